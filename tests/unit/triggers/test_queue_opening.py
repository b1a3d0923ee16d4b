"""URLs of queues, what is shown of them, and queues that plugins bring."""

from __future__ import annotations

import asyncio
import builtins
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.errors import UsageError
from aiworkflow.journal import open_journal
from aiworkflow.triggers.queues.address import login_of, read_address
from aiworkflow.triggers.queues.contract import Message, Queue, QueueUnavailable
from aiworkflow.triggers.queues.opening import open_queue
from aiworkflow.triggers.queues.suite import QueueSuite
from tests.support import Project

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
JOURNAL = open_journal("memory", Path(), clock=CLOCK, ids=IDS)

PLUGIN = """
from urllib.parse import urlsplit
from aiworkflow.journal import open_journal
from aiworkflow.triggers.queues.embedded import EmbeddedQueue

def tiny(name, address, *, clock, ids, lease_s=10.0):
    journal = open_journal("sqlite", __import__("pathlib").Path(urlsplit(address.url).path), clock=clock, ids=ids)
    return EmbeddedQueue(name, journal, clock=clock, ids=ids, lease_s=lease_s)
"""


def plugin(folder: Path) -> None:
    """A distribution with a queue for `tiny://`, and one that cannot be loaded."""
    (folder / "tiny_queue.py").write_text(PLUGIN)
    info = folder / "tiny_queue-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-queue\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[aiworkflow.queues]\ntiny = tiny_queue:tiny\nbroken = not_there:made\nolder = tiny_queue:gone\n"
    )


def opened(url: str, name: str = "q", login: str | None = None) -> Queue:
    return open_queue(name, read_address(url, login), journal=JOURNAL, clock=CLOCK, ids=IDS)


def test_a_login_is_taken_in_and_never_shown() -> None:
    found = read_address("amqps://host:5671/live?x=hidden", "me:p@ss:w/rd")
    assert found.shown == "amqps://host:5671/live"
    assert login_of(found) == ("me", "p@ss:w/rd")
    assert found.url == "amqps://me:p%40ss%3Aw%2Frd@host:5671/live?x=hidden"
    assert "hidden" not in repr(found.shown)
    found = read_address("redis://a:b@[::1]:6379/0")
    assert (found.shown, login_of(found)) == ("redis://[::1]:6379/0", ("a", "b"))
    assert login_of(read_address("redis://host")) is None
    assert read_address("").shown == "the journal"


@given(st.text(max_size=40), st.text(alphabet="abc:@/%#?[] \x00é", max_size=12))
def test_any_text_is_an_address_or_refused(text: str, login: str) -> None:
    for url in (text, f"redis://{text}", f"redis://user:passw0rd-passw0rd@{text}"):
        try:
            found = read_address(url, login)
        except UsageError as error:
            assert "passw0rd" not in error.message
        else:
            assert "passw0rd-passw0rd" not in found.shown or "passw0rd-passw0rd" in text
            again = login_of(found)
            if found.scheme != "embedded":
                assert again == (login.partition(":")[0], login.partition(":")[2])


@pytest.mark.parametrize("url", ["nats://host", "broken://host", "older://host"])
def test_what_nobody_knows_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError) as error:
        opened(url)
    if url == "nats://host":
        assert error.value.message == "there are no queues at `nats://`"
        assert error.value.hint is not None
        assert "amqp, amqps, broken, older, redis, rediss, tiny" in error.value.hint
    else:
        assert "cannot be loaded" in error.value.message
        assert error.value.hint is not None
        assert "install again what brings `" in error.value.hint


@pytest.mark.parametrize(("url", "package"), [("redis://h", "redis"), ("amqp://h", "pika")])
def test_a_missing_package_is_named(
    url: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def missing(name: str, *rest: object) -> object:
        if name.partition(".")[0] == package and (len(rest) < 4 or rest[3] == 0):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", missing)
    for name in [one for one in sys.modules if one.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)

    async def go() -> None:
        await opened(url).status()

    extra = {"pika": "rabbitmq"}.get(package, package)
    with pytest.raises(UsageError, match="not installed") as error:
        asyncio.run(go())
    assert error.value.hint == f"pip install 'aiworkflow-bundles[{extra}]'"


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_server_that_is_not_there_is_named_without_its_login(scheme: str) -> None:
    async def go() -> None:
        queue = opened(f"{scheme}://127.0.0.1:1", login="me:hidden")
        try:
            await queue.publish(Message("a", b"1"))
        finally:
            await queue.close()

    with pytest.raises(QueueUnavailable) as error:
        asyncio.run(go())
    assert f"{scheme}://127.0.0.1:1 does not answer" in error.value.message
    shown = f"{error.value!r} {error.value.__cause__!r} {error.value.hint}"
    assert "hidden" not in shown


class TestPlugin(QueueSuite):
    """The suite is a plugin's too."""

    lease_s = 0.5

    @pytest.fixture(autouse=True)
    def _plugin(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plugin(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        self.folder = tmp_path / "state"

    async def open(self, name: str) -> Queue:
        address = read_address(f"tiny://{self.folder}")
        return open_queue(
            name, address, journal=JOURNAL, clock=CLOCK, ids=IDS, lease_s=self.lease_s
        )


def test_the_command_uses_a_plugin(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    plugin(tmp_path / "site")
    project = Project(tmp_path / "project")
    project.env["PYTHONPATH"] += f":{tmp_path / 'site'}"
    url = f"tiny://{tmp_path / 'state'}"
    done = project.run("queue", "publish", "q", "--url", url, "--data", "[1]")
    assert done.code == 0, done.err
    assert url.rpartition("/")[0] in done.out
    found = project.run("queue", "status", "q", "--url", url, "--json").json["queues"]
    assert found[0]["ready"] == 1
