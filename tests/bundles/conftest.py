"""The servers, one each for a test that asks for it; a call that the real API has not fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import pytest

from tests.bundles import servers
from tests.bundles.loopback import Loopback

Server = TypeVar("Server", bound=Loopback)


def _opened(server: Server) -> Iterator[Server]:
    with server:
        yield server


@pytest.fixture
def github() -> Iterator[servers.GitHub]:
    yield from _opened(servers.GitHub())


@pytest.fixture
def jira() -> Iterator[servers.Jira]:
    yield from _opened(servers.Jira())


@pytest.fixture
def confluence() -> Iterator[servers.Confluence]:
    yield from _opened(servers.Confluence())


@pytest.fixture
def slack() -> Iterator[servers.Slack]:
    yield from _opened(servers.Slack())


@pytest.fixture
def pagerduty() -> Iterator[servers.PagerDuty]:
    yield from _opened(servers.PagerDuty())


@pytest.fixture
def datadog() -> Iterator[servers.Datadog]:
    yield from _opened(servers.Datadog())


@pytest.fixture
def pypi() -> Iterator[servers.PyPI]:
    yield from _opened(servers.PyPI())


@pytest.fixture
def npm() -> Iterator[servers.Npm]:
    yield from _opened(servers.Npm())
