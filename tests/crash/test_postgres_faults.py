"""A run on PostgreSQL whose connection breaks at any append, or whose server is restarted.

The real runtime on the real server: whatever moment the line is cut at, each effect happens once, the
run ends as an undisturbed one, and its driver need not be started again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aiworkflow.agents import Roster
from aiworkflow.bundle.workflow import Effect, Group, Kind, Script
from aiworkflow.client.inputs import check_inputs
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.engine import decode
from aiworkflow.engine import events as ev
from aiworkflow.journal import Conflict, Journal, JournalUnavailable, RegisterWrite, open_journal
from aiworkflow.plan.graph import Node, Plan
from aiworkflow.runtime.given import Folders, InForce, NewRun
from aiworkflow.runtime.local import LocalRuntime
from aiworkflow.runtime.mask import Masking
from aiworkflow.runtime.workspace import Revision
from aiworkflow.steps.contract import Outcome, Ports, Work
from aiworkflow.trust.secrets import EnvironmentSecrets
from tests.crash.cut_line import COMMIT, PORT, CutLine
from tests.postgres import URL, a_schema, execute, need_server

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)
LIMITS = {
    "max_parallel": 10,
    "max_items": 1000,
    "output": 10**6,
    "inline_output": 500,
    "log": 10**6,
    "prompt": 10**6,
}
STEPS = ["a", "b", "c1", "c2", "c3", "d"]
APPENDS = range(1, 6) if "EXHAUSTIVE" in os.environ else (1, 2, 3, 5)
"""Of a run; ends that come at once share one, so that there may be two more."""


def plan() -> Plan:
    def node(name: str, *after: str) -> Node:
        return Node(
            name, Kind.SCRIPT, "", name, 1, Script("sh", ""), effect=Effect.WRITE, after=after
        )

    nodes = [
        node("a"),
        node("b", "a"),
        *(node(name, "b") for name in ("c1", "c2", "c3")),
        node("d", "c1", "c2", "c3"),
    ]
    root = Node("", Kind.GROUP, "", "", 1, Group(()), children=tuple(one.id for one in nodes))
    return Plan("test", "test", "", None, {"": root, **{one.id: one for one in nodes}})


class Ledger:
    """Acts as a step, and counts."""

    def __init__(self, on: Callable[[str], None] = lambda name: None) -> None:
        self.done: Counter[str] = Counter()
        self._on = on

    async def act(self, work: Work, ports: Ports) -> Outcome:
        self.done[work.path] += 1
        self._on(work.path)
        return Outcome({"name": work.path, "large": "x" * 600})  # larger ones are blobs


def drive(url: str, folder: Path, ledger: Ledger) -> tuple[str, list[ev.Event]]:
    """Start a run and drive it to its end: the status, and its events."""
    journal = open_journal(url, folder, clock=CLOCK, ids=IDS)
    runtime = LocalRuntime(
        journal=journal,
        folders=Folders(folder, folder),
        clock=CLOCK,
        ids=IDS,
        masking=Masking(EnvironmentSecrets({})),
        environ={},
        performers=lambda settings: {Kind.SCRIPT: ledger.act},
        on_append=lambda run: None,
        check_inputs=check_inputs,
        roster=Roster,
    )

    async def go() -> tuple[str, list[ev.Event]]:
        settings = InForce({}, {}, LIMITS, {}, ())
        new = NewRun(plan(), (), {}, settings, "test", "me", Revision(None, False))
        run, drive, first = runtime.start(new)
        row = await drive.run(first)
        return row.status, events(journal, run)

    try:
        return asyncio.run(go())
    finally:
        runtime.close()
        journal.close()


def events(journal: Journal, run: str) -> list[ev.Event]:
    return [decode(record.payload) for record in journal.read(run)]


def assert_undisturbed(status: str, found: list[ev.Event], ledger: Ledger, where: object) -> None:
    assert status == "succeeded", where
    assert ledger.done == Counter(STEPS), where
    started = Counter(event.path for event in found if isinstance(event, ev.Started))
    ended = Counter(event.path for event in found if isinstance(event, ev.Ended))
    assert started == ended == Counter(STEPS), where


@pytest.fixture
def line() -> Iterator[tuple[CutLine, str]]:
    """A line to the server, and the URL of a journal at its end."""
    need_server()
    import psycopg

    with psycopg.connect(URL) as connection:
        upstream = (connection.info.host, connection.info.port)
        name = connection.info.dbname
    with tempfile.TemporaryDirectory(prefix="pg") as folder, a_schema() as schema:
        line = CutLine(
            Path(folder), upstream, lambda pid: execute("SELECT pg_terminate_backend(%s)", pid)
        )
        where = f"postgresql:///{name}?host={folder}&port={PORT}&sslmode=disable&gssencmode=disable"
        try:
            yield line, f"{where}&schema={schema.partition('schema=')[2]}"
        finally:
            line.close()


@pytest.mark.parametrize("how", ["unsent", "sent", "answered", "half", "killed"])
def test_the_connection_may_break_at_any_append(
    line: tuple[CutLine, str], tmp_path: Path, how: str
) -> None:
    cut, url = line
    for at in APPENDS:
        cut.arm(at, how)
        ledger = Ledger()
        status, found = drive(url, tmp_path / f"{at}", ledger)
        assert cut.cuts == 1, f"append {at} never came"
        assert_undisturbed(status, found, ledger, f"{how} at append {at}")


def test_the_connection_may_break_at_every_append(
    line: tuple[CutLine, str], tmp_path: Path
) -> None:
    """Each time the answer is lost, so that the same append is given again and found to be made."""
    cut, url = line

    def again(_: str) -> None:
        cut.arm(1, "answered")

    ledger = Ledger(again)
    status, found = drive(url, tmp_path, ledger)
    assert_undisturbed(status, found, ledger, "every append")


@pytest.mark.parametrize("how", ["unsent", "sent", "answered", "half", "killed"])
def test_the_connection_may_break_when_a_write_is_committed(
    line: tuple[CutLine, str], tmp_path: Path, how: str
) -> None:
    """Whether it was made or not: it is made once, and is nobody else's."""
    cut, url = line
    journal = open_journal(url, tmp_path, clock=CLOCK, ids=IDS)
    try:
        cut.meant = COMMIT
        cut.arm(1, how)
        journal.put([RegisterWrite("a", "1", "first", expect=0), RegisterWrite("a", "2", "more")])
        cut.arm(1, how)
        journal.put([RegisterWrite("a", "1", "second", expect=1), RegisterWrite("a", "2", None)])
        assert cut.cuts == 1
        found = journal.register("a", "1")
        assert found is not None
        assert (found.value, found.version) == ("second", 2)
        with pytest.raises(Conflict):
            journal.put([RegisterWrite("a", "1", "third", expect=1)])
    finally:
        journal.close()


# -- a server of our own --------------------------------------------------------------------------


class Cluster:
    """A private server, without TCP, owned by a user that may run one."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._programs = programs
        self._lock = threading.Lock()
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres")
        options = ["--no-sync", "--auth=trust", "--username=me", "--encoding=UTF8"]
        self.call("initdb", "-D", str(self.data), *options)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{folder}'\n")

    def call(self, program: str, *words: str) -> None:
        subprocess.run(
            [*self._as, str(self._programs / program), *words],
            check=True,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a server that was begun keeps a pipe open
            stderr=subprocess.DEVNULL,
            timeout=60,
        )

    def control(self, what: str, *more: str) -> None:
        with self._lock:
            log = str(self.folder / "log")
            self.call("pg_ctl", what, "-D", str(self.data), "-w", "-l", log, *more)

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={self.folder}&user=me"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and on_path is None:
        pytest.skip("no initdb: the server's programs are not installed")
    programs = Path(on_path) if not found and on_path else found[-1]
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        try:
            made = Cluster(Path(folder), programs.parent)
            made.control("start")
        except (OSError, LookupError, subprocess.SubprocessError) as error:
            pytest.skip(f"no server can be run here: {error}")
        try:
            yield made
        finally:
            made.control("stop", "-m", "immediate")


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_server_may_be_restarted_during_a_run(
    cluster: Cluster, tmp_path: Path, mode: str
) -> None:
    """`immediate` is a crash: the server recovers from its own log."""
    restarts: list[threading.Thread] = []

    def on(name: str) -> None:
        if name in {"a", "c2"}:  # while the others act and append
            restart = threading.Thread(target=cluster.control, args=("restart", "-m", mode))
            restart.start()
            restarts.append(restart)

    ledger = Ledger(on)
    status, found = drive(f"{cluster.url}&schema=run_{mode}", tmp_path, ledger)
    for restart in restarts:
        restart.join()
    assert len(restarts) == 2
    assert_undisturbed(status, found, ledger, mode)


def test_a_server_that_is_gone_is_named(cluster: Cluster, tmp_path: Path) -> None:
    cluster.control("stop", "-m", "fast")
    try:
        with pytest.raises(JournalUnavailable, match="does not answer") as error:
            open_journal(cluster.url, tmp_path, clock=CLOCK, ids=IDS)
        assert "start the server" in error.value.hint
    finally:
        cluster.control("start")
