"""What a run's worktree has to hold, by the events of the run."""

from __future__ import annotations

from aiworkflow.engine import blobs_of, decode, encode
from aiworkflow.engine import events as ev
from aiworkflow.runtime.trail import Trail, standing_to_json
from aiworkflow.runtime.worktrees import Standing


def at(name: str) -> Standing:
    return Standing(name, "h")


def ended(path: str, before: str, after: str, status: str = "succeeded") -> ev.Ended:
    said = {
        **standing_to_json(at(after)),
        "before": standing_to_json(at(before)),
        "changes": f"{before}{after}",
    }
    return ev.Ended(1.0, path, 1, 1, status, standing=said)


def started(path: str) -> ev.Started:
    return ev.Started(1.0, path, path, "", 1, 1, "write", "k")


def trail(*events: ev.Event) -> Trail:
    found = Trail()
    for one in events:
        found.apply(decode(encode(one)))
    return found


def test_the_last_step_that_changed_something_counts() -> None:
    assert trail(started("a")).standing is None
    assert trail(ended("a", "0", "1"), ended("b", "1", "2"), started("c")).standing == at("2")


def test_what_a_failed_attempt_left_is_void_when_the_step_begins_again() -> None:
    events = [ended("a", "0", "1"), ended("b", "1", "2", "failed")]
    assert trail(*events).standing == at("2")
    assert trail(*events, started("c")).standing == at("2")
    assert trail(*events, started("b")).standing == at("1")
    assert trail(ended("b", "0", "2"), started("b")).standing == at("2")  # another visit of it


def test_a_group_that_is_tried_again_voids_what_failed_in_it() -> None:
    events = [
        ended("g.a", "0", "1"),
        ended("g.b", "1", "2", "failed"),
        ended("gg", "2", "3", "failed"),
    ]
    assert trail(*events[:2], ev.Repeated(1.0, "g", "retry")).standing == at("1")
    assert trail(*events[:2], ev.Repeated(1.0, "g", "goto", ("b",))).standing == at("2")
    assert trail(*events, ev.Repeated(1.0, "g", "retry")).standing == at("3")


def test_finals_that_begin_again_are_as_if_they_had_not_been() -> None:
    events = [ended("a", "0", "1"), ended("b", "1", "2", "failed"), ended("last", "2", "3")]
    resumed = ev.RunResumed(1.0, 2, "me", ("b",), ("last",))
    assert trail(*events, resumed, started("b")).standing == at("1")


def test_the_way_to_a_standing() -> None:
    events = [
        ended("a", "0", "1"),
        ended("b", "1", "2", "failed"),
        started("b"),
        ended("b", "1", "3"),
    ]
    assert [one.changes for one in trail(*events).way(at("3"))] == ["01", "13"]
    assert [one.changes for one in trail(*events).way(at("2"))] == ["01", "12"]
    assert trail(*events).way(at("0")) == []
    back = [ended("a", "0", "1"), ended("b", "1", "0"), ended("c", "0", "1")]
    assert [one.changes for one in trail(*back).way(at("1"))] == ["01"]


def test_what_is_kept_of_a_step_goes_with_its_run() -> None:
    assert list(blobs_of([decode(encode(ended("a", "0", "1")))])) == ["01"]
