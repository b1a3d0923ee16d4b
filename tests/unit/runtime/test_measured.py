"""What is measured of agents: figures add up, and stand in registers that all processes share."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aiworkflow.agents.figures import Attempted, Figures, together
from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.engine import Failure, Spent
from aiworkflow.engine import events as ev
from aiworkflow.journal import Append, RegisterWrite, RunRow
from aiworkflow.journal.memory import MemoryJournal
from aiworkflow.runtime.measured import AGENT, Measured

ATTEMPTS = st.lists(
    st.builds(
        Attempted,
        st.sampled_from(["", "", "unavailable", "timeout"]),
        st.floats(0, 100),
        st.integers(0, 5000),
        st.none() | st.floats(0, 1),
        st.floats(0, 1e9),
    ),
    max_size=80,
)


@settings(deadline=None)
@given(ATTEMPTS)
def test_figures_say_what_the_attempts_were(attempts: list[Attempted]) -> None:
    found = Figures()
    for one in attempts:
        found = found.after(one)
    good = [one for one in attempts if not one.failure]
    assert (found.attempts, found.succeeded) == (len(attempts), len(good))
    assert sum(found.failures.values()) == len(attempts) - len(good)
    assert len(found.seconds) == min(50, len(good))
    assert (found.success is None) == (not attempts)
    assert (found.median_s is None) == (not good)
    if found.median_s is not None:
        assert min(found.seconds) <= found.median_s <= max(found.seconds)
    assert Figures.from_json(found.to_json()) == found
    assert together([found, Figures()]) == found


def ended(attempt: int, *, status: str = "succeeded", agent: str = "local/m1 on b:1") -> ev.Ended:
    error = None if status == "succeeded" else Failure("timeout", "slow")
    spent = Spent(10, 0, 20, 0.5)
    return ev.Ended(float(attempt), "s", 1, attempt, status, None, error, spent, agent, 2.0)


def journal() -> MemoryJournal:
    return MemoryJournal(clock=SystemClock(), ids=SystemIds(SystemClock()))


def write(store: MemoryJournal, id_: str, registers: list[RegisterWrite]) -> None:
    if not store.runs(limit=1).runs:
        row = RunRow("r", "b", "running", 0.0, "", False, "d", "manual", "me")
        store.append_now(Append("first", "r", [b"{}"], epoch=1, after=0, driver="one", row=row))
    store.append_now(Append(id_, "r", registers=registers))


def test_an_attempt_is_counted_once_also_when_its_append_is_made_again() -> None:
    store = journal()
    measured = Measured(store)
    writes = measured.writes("r", [ended(1)])
    assert measured.writes("r", [ended(1)]) == writes
    assert [(one.space, one.key) for one in writes] == [(AGENT, "local/m1")]
    assert measured.writes("r", [ended(1, status="cancelled")]) == []
    write(store, "a", writes)
    found = Measured(store).of("local/m1")
    assert (found.attempts, found.success, found.median_s, found.mean_usd) == (1, 1.0, 2.0, 0.5)
    assert found.tokens_per_s == 10


def test_another_process_goes_on_counting() -> None:
    store = journal()
    write(store, "a", Measured(store).writes("r", [ended(1)]))
    other = Measured(store)
    write(store, "b", other.writes("r", [ended(2, status="failed")]))
    found = Measured(store).all()["local/m1"]
    assert (found.attempts, found.succeeded, found.failures) == (2, 1, {"timeout": 1})


def test_what_a_newer_version_wrote_is_left_out() -> None:
    store = journal()
    write(store, "a", [RegisterWrite(AGENT, "new/m", '{"other": 1}')])
    assert Measured(store).all() == {}
