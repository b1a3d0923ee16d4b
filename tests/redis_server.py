"""A real Redis server for tests, shared with others: names are random.

`AIWORKFLOW_TEST_REDIS` is its URL. Without one the tests that need it are skipped, except in continuous
integration, where they fail.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from tests.servers import is_demanded

URL = os.environ.get("AIWORKFLOW_TEST_REDIS", "redis://localhost:6379/0")


def need_redis() -> None:
    """Skip the test when there is no server; fail it under CI=true."""
    try:
        import redis

        with redis.Redis.from_url(URL, socket_connect_timeout=3) as client:
            client.ping()
    except Exception as error:
        if is_demanded("redis"):
            raise
        pytest.skip(f"no Redis server: {type(error).__name__}")


def forget_in_redis(names: Iterable[str]) -> None:
    """Remove all that queues of these names have left."""
    import redis

    with redis.Redis.from_url(URL) as client:
        for name in names:
            kinds = [*map(str, range(10)), "delayed", "dead", "consumers"]
            client.delete(*(f"aiworkflow:{{{name}}}:{kind}" for kind in kinds))
