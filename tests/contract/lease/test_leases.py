"""The leases of ours: a kernel lock in a folder, and signs of life in a journal on a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aiworkflow.journal import Journal
from aiworkflow.journal.postgres import PostgresJournal
from aiworkflow.runtime.holding import Holding
from tests.contract.lease.suite import LEASE_S, RUN, LeaseContract, Other, Places
from tests.postgres import a_schema, execute


@dataclass
class At:
    """See `Places`."""

    where: str
    here: Path
    there: Path
    dies_at_once: bool


class TestFolder(LeaseContract):
    @pytest.fixture
    def places(self, tmp_path: Path) -> Places:
        return At(f"sqlite://{tmp_path}/state", tmp_path, tmp_path, dies_at_once=True)


class TestSameFolderOnServer(LeaseContract):
    @pytest.fixture
    def places(self, tmp_path: Path) -> Iterator[Places]:
        with a_schema() as url:
            yield At(url, tmp_path, tmp_path, dies_at_once=True)

    def test_a_neighbour_is_taken_over_when_it_is_stopped_not_when_it_is_only_cut_off(
        self, holding: Holding, start: Callable[[], Other], journal: Journal
    ) -> None:
        other = start()
        driver = journal.stream(RUN).driver
        assert driver is not None
        assert journal.signs is not None
        execute(f"UPDATE {schema_of(journal)}.drivers SET beat = now() - interval '1 hour'")
        assert holding.is_alive(driver)
        other.stop()
        time.sleep(LEASE_S * 1.3)
        assert not holding.is_alive(driver)
        assert holding.claim(RUN).epoch == other.epoch + 1
        other.process.wait()  # it was killed, since that can be done here


def schema_of(journal: Journal) -> str:
    assert isinstance(journal, PostgresJournal)
    return journal.address.schema


class TestOnServer(LeaseContract):
    @pytest.fixture
    def places(self, tmp_path: Path) -> Iterator[Places]:
        with a_schema() as url:
            yield At(url, tmp_path / "here", tmp_path / "there", dies_at_once=False)

    def test_one_that_was_stopped_for_longer_than_its_lease_finds_out_by_itself(
        self, holding: Holding, start: Callable[[], Other]
    ) -> None:
        other = start()
        other.stop()
        assert self.eventually(holding) == other.epoch + 1  # nobody had to say so
        other.go_on()
        assert other.told("check").startswith("fenced this process could not tell the journal")
        assert other.told("append").startswith("fenced")
        time.sleep(LEASE_S)  # it gives no sign ever again
        assert other.told("check").startswith("fenced")
        assert holding.claim(RUN).epoch == other.epoch + 2

    def test_one_that_was_stopped_and_not_taken_over_goes_on(
        self, holding: Holding, start: Callable[[], Other]
    ) -> None:
        other = start()
        other.stop()
        time.sleep(LEASE_S)
        other.go_on()
        give_up = time.monotonic() + 20
        while other.told("check") != "yes":
            assert time.monotonic() < give_up
            time.sleep(0.05)
        assert other.told("append") == "yes"

    def test_the_drivers_are_listed_with_what_they_say(
        self, holding: Holding, start: Callable[[], Other], journal: Journal
    ) -> None:
        other = start()
        holding.say(labels=["gpu"])
        time.sleep(LEASE_S / 2)
        found = {one.about["pid"]: one for one in holding.drivers.all()}
        assert found[other.process.pid].is_alive
        assert any(one.about.get("labels") == ["gpu"] for one in found.values())
        assert journal.signs is not None
        other.kill()
        time.sleep(LEASE_S * 1.3)
        found = {one.about["pid"]: one for one in holding.drivers.all()}
        assert not found[other.process.pid].is_alive
        journal.sweep(older_than_s=0)
        assert other.process.pid in {one.about["pid"] for one in holding.drivers.all()}
