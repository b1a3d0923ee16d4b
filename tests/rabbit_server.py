"""A real RabbitMQ server for tests, shared with others: names are random.

`AIWORKFLOW_TEST_RABBIT` is its URL. Without one the tests that need it are skipped, except in continuous
integration, where they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from tests.servers import is_demanded

URL = os.environ.get("AIWORKFLOW_TEST_RABBIT", "amqp://guest:guest@localhost:5672/")


def need_rabbit() -> None:
    """Skip the test when there is no server; fail it under CI=true."""
    try:
        import pika

        pika.BlockingConnection(pika.URLParameters(URL)).close()
    except Exception as error:
        if is_demanded("rabbitmq"):
            raise
        pytest.skip(f"no RabbitMQ server: {type(error).__name__}")


def forget_in_rabbit(names: Iterable[str], url: str = URL) -> None:
    """Remove all that queues of these names have left, but for delays."""
    import pika

    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    for name in names:
        for kind in ("", ".aiworkflow.high", ".aiworkflow.urgent", ".aiworkflow.dead"):
            channel.queue_delete(name + kind)
    connection.close()
