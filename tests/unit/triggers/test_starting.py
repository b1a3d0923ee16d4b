"""Runs that nobody drives yet do not pile up without end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aiworkflow.runtime.ready import READY
from aiworkflow.triggers import starting
from tests.unit.triggers.hooks import NOW, Hooks


def test_no_more_runs_than_said_wait_for_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "_PAGE", 4)
    (tmp_path / ".aiworkflow").mkdir()
    (tmp_path / ".aiworkflow" / "config.yaml").write_text("serve: {max_ready: 10}\n")

    async def test() -> None:
        async with Hooks(
            tmp_path, {"flow": "on: {webhook: {path: /h, verify: {github: HOOK}}}"}
        ) as it:
            statuses = []
            for number in range(60):
                it.clock.skip_to(NOW + number)
                statuses.append((await it.send("/h", {}, delivery=str(number))).status)
            assert set(statuses) == {202, 503}
            assert statuses[:10] == [202] * 10
            assert len(it.runs()) < 20  # counted once in a while, a page at a time
            assert statuses[-1] == 503

    asyncio.run(test())


def test_of_requests_that_come_together_one_counts_a_page_of_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "_PAGE", 2)
    pages = 0

    async def test() -> None:
        nonlocal pages
        async with Hooks(
            tmp_path, {"flow": "on: {webhook: {path: /h, verify: {github: HOOK}}}"}
        ) as it:
            registers = it.client.journal.registers

            def counting(space: str, *rest: object, **options: object) -> object:
                nonlocal pages
                pages += space == READY
                return registers(space, *rest, **options)  # type: ignore[arg-type]

            monkeypatch.setattr(it.client.journal, "registers", counting)
            for moment, wanted in ((0, 1), (10, 2), (10.01, 2), (10.03, 3), (10.06, 4)):
                it.clock.skip_to(NOW + moment)
                for number in range(5):
                    await it.send("/h", {}, delivery=f"{moment} {number}")
                assert pages == wanted, moment

    asyncio.run(test())
