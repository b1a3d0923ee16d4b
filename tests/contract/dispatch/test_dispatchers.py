from __future__ import annotations

from collections.abc import Iterator

import pytest

from aiworkflow.client.client import Client
from aiworkflow.runtime.dispatch import Dispatcher, EmbeddedDispatcher
from tests.contract.dispatch.suite import DispatcherSuite, Make
from tests.postgres import a_schema


def embedded(client: Client) -> Dispatcher:
    return EmbeddedDispatcher(client.journal, client.project.clock, client.is_driven)


class TestEmbeddedOnSqlite(DispatcherSuite):
    @pytest.fixture
    def make(self) -> Make:
        return embedded


class TestEmbeddedOnPostgres(TestEmbeddedOnSqlite):
    @pytest.fixture
    def journal(self) -> Iterator[str]:
        with a_schema() as found:
            yield found


def on_dbos(client: Client) -> Dispatcher:
    from aiworkflow.runtime.distributed import DbosDispatcher

    holding = client.runtime.holding
    return DbosDispatcher(
        client.journal,
        client.project.clock,
        client.is_driven,
        driver=lambda: holding.lease.id,
        is_alive=holding.is_alive,
    )


class TestDbos(TestEmbeddedOnPostgres):
    @pytest.fixture
    def make(self) -> Make:
        return on_dbos
