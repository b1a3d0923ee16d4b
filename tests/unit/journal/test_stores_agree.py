"""Whatever is done to them, the SQLite journal and the one in memory say the same."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import Append, RegisterWrite, Require, RunRow, StreamState, open_journal

CLOCK = SystemClock()
IDS = SystemIds(CLOCK)

RUNS = st.sampled_from(["run-1", "run-2", "other"])
KEYS = st.sampled_from(["k1", "k2", "m"])
SPACES = st.sampled_from(["s", "t"])
DRIVERS = st.sampled_from(["d", "e"])
SMALL = st.integers(0, 4)

WRITES = st.builds(
    RegisterWrite,
    SPACES,
    KEYS,
    st.none() | st.text("ab", max_size=3),
    st.none() | st.integers(0, 2),
    st.none() | st.sampled_from([1.0, 5.0]),
)
ROWS = st.builds(
    RunRow,
    RUNS,
    st.sampled_from(["hello", "bye"]),
    st.sampled_from(["running", "failed", "succeeded"]),
    st.just(1.5),
    cost_usd=st.sampled_from([0.0, 0.25]),
    dirty=st.booleans(),
)


def sound(append: Append) -> Append:
    """With a row of its own run, and with events beside it: SQLite takes a row alone for damage."""
    row = dataclasses.replace(append.row, run=append.run) if append.row and append.events else None
    return dataclasses.replace(append, row=row)


APPENDS = st.builds(
    Append,
    id=st.uuids(allow_nil=False).map(str),
    run=RUNS,
    events=st.lists(st.binary(max_size=4), max_size=3),
    epoch=st.none() | st.integers(1, 3),
    after=st.none() | SMALL,
    driver=st.none() | DRIVERS,
    registers=st.lists(WRITES, max_size=3),
    requires=st.lists(st.builds(Require, SPACES, KEYS, st.sampled_from([0.5, 3.0])), max_size=1),
    row=st.none() | ROWS,
    releases=st.booleans(),
).map(sound)


def said(error: Exception) -> tuple[object, ...]:
    return type(error), str(error), getattr(error, "records", None)


def outcome(work: Callable[[], object]) -> object:
    try:
        return work()
    except AIWorkflowError as error:
        return said(error)


class Stores(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.made: list[Append] = []
        self.folder = tempfile.TemporaryDirectory(
            dir="/dev/shm" if Path("/dev/shm").is_dir() else None
        )
        self.memory = open_journal("memory", Path(), clock=CLOCK, ids=IDS)
        self.sqlite = self.reopened()

    def reopened(self):
        return open_journal("sqlite", Path(self.folder.name), clock=CLOCK, ids=IDS)

    def once(self, append: Append) -> None:
        self.made.append(append)
        self.both(lambda journal: journal.append_now(append))

    def both(self, work: Callable[[object], object]) -> object:
        one, two = outcome(lambda: work(self.memory)), outcome(lambda: work(self.sqlite))
        assert one == two
        return one

    @rule(run=RUNS, driver=DRIVERS)
    def create(self, run, driver) -> None:
        append = Append(f"create-{run}-{driver}", run, [b"first"], 1, 0, driver)
        self.once(append)

    @rule(append=APPENDS)
    def append(self, append) -> None:
        self.once(append)

    @rule(which=st.integers(0, 1_000))
    def the_same_again(self, which) -> None:
        if self.made:
            append = self.made[which % len(self.made)]
            self.both(lambda journal: journal.append_now(append))

    @rule(run=RUNS, events=st.lists(st.binary(max_size=3), max_size=2), row=st.none() | ROWS,
          writes=st.lists(WRITES, max_size=2), releases=st.booleans(), id_=st.uuids())  # fmt: skip
    def drive_on(self, run, events, row, writes, releases, id_) -> None:
        """An append that fits, so that streams grow."""
        state = outcome(lambda: self.memory.stream(run))
        if not isinstance(state, tuple):
            append = Append(
                str(id_),
                run,
                events,
                state.epoch,
                state.tail,
                registers=writes,
                row=row,
                releases=releases,
            )
            self.once(sound(append))

    @rule(group=st.lists(APPENDS, min_size=2, max_size=5), again=st.booleans())
    def one_turn(self, group, again) -> None:
        self.made += group
        if again:
            group = [*group, group[0], *self.made[-7:-5]]

        def work(journal) -> list[object]:
            async def turn() -> list[object]:
                pending = [journal.append(one) for one in group]
                found: list[object] = []
                for one in pending:
                    try:
                        found.append(await one)
                    except AIWorkflowError as error:
                        found.append(said(error))
                return found

            return asyncio.run(turn())

        self.both(work)

    @rule(run=RUNS, driver=DRIVERS, instead=st.none() | DRIVERS)
    def claim(self, run, driver, instead) -> None:
        self.both(lambda journal: journal.claim(run, driver, instead_of=instead))

    @rule(writes=st.lists(WRITES, max_size=3))
    def put(self, writes) -> None:
        self.both(lambda journal: journal.put(writes))

    @rule(run=RUNS, other=RUNS, writes=st.lists(WRITES, max_size=1), stale=st.booleans())
    def forget(self, run, other, writes, stale) -> None:
        seen = [one for one in self.memory.streams() if one.run in {run, other}]
        if stale and seen:
            seen[0] = StreamState(seen[0].run, seen[0].epoch, seen[0].tail + 1, seen[0].driver)
        self.both(lambda journal: journal.forget(seen, writes))

    @rule(after=RUNS, limit=SMALL, space=SPACES, key=KEYS)
    def look_at_all(self, after, limit, space, key) -> None:
        self.both(lambda journal: journal.streams(after, limit))
        self.both(lambda journal: journal.uses(after))
        self.both(lambda journal: journal.all_registers((space, key), limit))

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = self.reopened()

    @rule(run=RUNS, after=SMALL, limit=SMALL)
    def read(self, run, after, limit) -> None:
        self.both(lambda journal: journal.read(run, after, limit))
        self.both(lambda journal: journal.record(run, after))

    @rule(status=st.lists(st.sampled_from(["running", "failed"]), max_size=2), limit=SMALL,
          bundle=st.none() | st.just("hello"), before=st.none() | RUNS)  # fmt: skip
    def list_runs(self, status, limit, bundle, before) -> None:
        self.both(
            lambda journal: journal.runs(status=status, bundle=bundle, limit=limit, before=before)
        )
        self.both(lambda journal: journal.find("run"))

    @rule(space=SPACES, key=KEYS, prefix=st.sampled_from(["", "k", "m", "x"]),
          after=st.just("") | KEYS, limit=st.none() | SMALL)  # fmt: skip
    def registers(self, space, key, prefix, after, limit) -> None:
        self.both(lambda journal: journal.register(space, key))
        self.both(lambda journal: journal.registers(space, prefix, after=after, limit=limit))

    @invariant()
    def counts_agree(self) -> None:
        one, two = self.memory.health(), self.sqlite.health()
        assert (one.runs, one.events, one.problems) == (two.runs, two.events, two.problems)
        for run in ("run-1", "run-2", "other"):
            self.both(lambda journal, run=run: journal.stream(run))
            self.both(lambda journal, run=run: journal.run(run))

    def teardown(self) -> None:
        self.sqlite.close()
        self.memory.close()
        self.folder.cleanup()


Stores.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStoresAgree = pytest.mark.filterwarnings("error")(Stores.TestCase)
