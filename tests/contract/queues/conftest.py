"""The broker that the tests of Kafka share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.private_servers import PrivateKafka


@pytest.fixture(scope="module")
def kafka() -> Iterator[PrivateKafka]:
    server = PrivateKafka()
    try:
        yield server
    finally:
        server.kill()
