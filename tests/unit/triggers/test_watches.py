"""Watches: one batch for what changed, whoever tells of it; nothing missed, nothing twice, nothing of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiworkflow.bundle.workflow import Trigger
from aiworkflow.engine import encode
from aiworkflow.engine import events as ev
from aiworkflow.journal import Append, Conflict, JournalUnavailable, RunRow
from aiworkflow.plan.triggers import trigger_fields
from aiworkflow.runtime.waits import child_id
from aiworkflow.triggers.catalogue import _armed
from aiworkflow.triggers.contract import Armed
from aiworkflow.triggers.watch.observing import WatchdogMissing
from aiworkflow.triggers.watch.patterns import Patterns
from aiworkflow.triggers.watch.source import Watches
from aiworkflow.triggers.watch.watched import Watched, data_of
from tests.unit.triggers.stage import NOWHERE, HandClock, Runs, armed, memory


class Stage:
    """A project's folder, looked at by one server."""

    def __init__(self, root: Path, *, observes: bool) -> None:
        self.root, self.observes = root, observes
        self.clock = HandClock("2026-11-21T08:30Z")
        self.journal = memory(self.clock)
        self.runs = Runs()
        self.allowed: Patterns | None = None
        self.written = 0
        self.changed: dict[Path, float] = {}
        self.source = self.server()
        self.loop = asyncio.new_event_loop()

    def server(self) -> Watches:
        return Watches(
            self.journal, self.runs, self.clock, root=self.root, place=f"here:{self.root}",
            writes=lambda run: self.allowed, is_driven=lambda _: True, observes=self.observes,
            changed=lambda path: self.changed.get(path) if path.exists() else None,
        )  # fmt: skip

    def arm(self, **options: object) -> None:
        options["paths"] = [*options["paths"], "zz"]  # type: ignore[misc]
        self.source.arm([armed("b/watch", "watch", **options)])
        self.look()

    def restart(self, **options: object) -> None:
        self.source.close()
        self.source = self.server()
        self.arm(**options)

    def look(self) -> None:
        async def some_looks() -> None:
            await asyncio.sleep(0)  # what was told by other threads
            await self.source.look()

        self.loop.run_until_complete(some_looks())

    def write(self, path: str, text: str = "x") -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        self.changed[target] = self.clock.at
        return target

    def heard(self, *paths: str) -> None:
        """Wait until something was heard of these paths, or of all if none is named."""
        (one,) = self.source._watched.values()
        for _ in range(1000):
            self.clock.at += 0 if self.observes else 6  # time for another look
            self.look()
            if (
                (one.due_at is not None)
                if not paths
                else one._all or all(path in one.heard_at for path in paths)
            ):
                return
            self.loop.run_until_complete(asyncio.sleep(0.01))
        raise AssertionError(f"never heard of {paths}: {one.heard_at}")

    def batch(self) -> dict[str, str]:
        """The changes of the one batch that starts when nothing changes any more."""
        self.written += 1
        self.write("zz", "x" * self.written)  # what was changed before it is told before it
        self.heard("zz")
        if self.observes:  # but by another thread, where it is in another folder
            self.loop.run_until_complete(asyncio.sleep(0.1))
            self.look()
        assert self.runs.happened == {}
        self.clock.at += 61
        self.look()
        (one,) = self.runs.took()
        assert one.data["count"] == len(one.data["changes"])  # type: ignore[arg-type]
        return {
            change["path"]: f"{change['change']} {change.get('from', '')}".strip()
            for change in one.data["changes"]  # type: ignore[union-attr]
            if change["path"] != "zz"
        }

    def quiet(self) -> list[object]:
        """What starts when much time has passed."""
        for _ in range(3):
            self.clock.at += 61
            self.look()
        return [one.data["changes"] for one in self.runs.took()]


@pytest.fixture(params=["observed", "polled"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path.resolve(), observes=request.param == "observed")
    yield made
    made.source.close()
    made.loop.run_until_complete(asyncio.sleep(0))
    made.loop.close()


def test_what_trigger_has_is_known_beforehand() -> None:
    assert {"type", "at", *data_of("b/watch", [])} == set(trigger_fields(["watch"]))


def test_changes_are_one_batch_when_nothing_changes_any_more(stage: Stage) -> None:
    stage.write("data/old.csv")
    stage.write("data/gone.csv")
    stage.arm(paths=["data/**/*.csv"])
    stage.write("data/old.csv", "xyz")
    stage.write("data/new/deep/a.csv")
    stage.write("data/note.txt")
    (stage.root / "data/gone.csv").unlink()
    assert stage.batch() == {
        "data/gone.csv": "deleted", "data/new/deep/a.csv": "created", "data/old.csv": "modified",
    }  # fmt: skip
    assert stage.quiet() == []
    stage.write("data/old.csv", "abcd")
    assert stage.batch() == {"data/old.csv": "modified"}


def test_it_waits_for_quiet_but_not_for_ever(tmp_path: Path) -> None:
    entry = armed("b/watch", "watch", paths=["*.txt"], debounce="20s", max_wait="100s")
    one = Watched(entry, tmp_path, 1000)
    assert one.due_at is None
    due = []
    for now in range(0, 120, 15):
        one.hear({"a.txt": False}, now)
        due.append(one.due_at)
    assert due == [20, 35, 50, 65, 80, 95, 100, 100]
    one.close_batch()
    one.hear({"a.md": False, "b/a.txt": False}, 200)
    assert one.due_at is None


@pytest.mark.parametrize(
    ("options", "due"), [({"max_wait": "30s"}, 30), ({}, 300), ({"debounce": "10s"}, 10)]
)
def test_a_short_max_wait_counts_beside_a_long_debounce(
    tmp_path: Path, options: dict[str, str], due: float
) -> None:
    one = Watched(
        armed("b/watch", "watch", paths=["*.txt"], **{"debounce": "5m", **options}), tmp_path, 1000
    )
    one.hear({"a.txt": False}, 0)
    assert one.due_at == due


def test_a_file_that_moves_is_one_change(stage: Stage) -> None:
    stage.write("in/a.csv", "abc")
    stage.write("in/sub/b.csv", "b")
    stage.arm(paths=["in", "out"])
    (stage.root / "out").mkdir()
    (stage.root / "in/a.csv").rename(stage.root / "out/c.csv")
    (stage.root / "in/sub").rename(stage.root / "in/other")
    assert stage.batch() == {"in/other/b.csv": "moved in/sub/b.csv", "out/c.csv": "moved in/a.csv"}


def test_a_move_is_one_change_also_where_half_of_it_was_heard(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in/a").write_text("abc")
    one = Watched(armed("b/watch", "watch", paths=["in", "out"]), tmp_path, 1000)
    one.files = one.tree.all()
    (tmp_path / "in/a").rename(tmp_path / "out/b")
    one.hear({"out/b": False}, 1.0)
    looked = one.look(one.close_batch())
    assert [change.to_json() for change in one.changes(looked)] == [
        {"path": "out/b", "change": "moved", "from": "in/a"}
    ]
    (tmp_path / "out/c").hardlink_to(tmp_path / "out/b")
    one.files = looked.files
    one.hear({"out/c": False}, 2.0)
    assert [change.change for change in one.changes(one.look(one.close_batch()))] == ["created"]


def test_what_moves_in_is_created_and_what_moves_out_is_deleted(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "many").mkdir()
    (outside / "many/x").write_text("x")
    stage.write("in/out/y")
    stage.arm(paths=["in"])
    (outside / "many").rename(stage.root / "in/many")
    (stage.root / "in/out").rename(outside / "out")
    stage.heard("in/out" if stage.observes else "in/out/y")  # the system tells it with a delay
    assert stage.batch() == {"in/many/x": "created", "in/out/y": "deleted"}


def test_an_atomic_save_is_one_change(stage: Stage) -> None:
    stage.write("data/a.json", "old")
    stage.write("data/b.json", "old")
    stage.arm(paths=["data/*"])
    stage.write("data/.a.json.tmp12", "new").rename(stage.root / "data/a.json")
    # as some editors do: the old one is kept aside while the new one is written
    (stage.root / "data/b.json").rename(stage.root / "data/b.json~")
    stage.write("data/b.json", "newer")
    (stage.root / "data/b.json~").unlink()
    assert stage.batch() == {
        "data/a.json": "modified",
        "data/b.json": "modified",
    }


def test_what_comes_and_goes_before_it_is_quiet_is_nothing(stage: Stage) -> None:
    stage.arm(paths=["data/*"])
    stage.write("data/short").unlink()
    stage.write("data/stays")
    assert stage.batch() == {"data/stays": "created"}


def test_what_git_or_the_watch_ignores_starts_nothing(stage: Stage) -> None:
    (stage.root / ".git/info").mkdir(parents=True)
    stage.write(".gitignore", "*.log\nbuild/\n")
    stage.arm(paths=["."], ignore=["*.tmp"])
    for path in ("a.log", "build/x", ".git/HEAD", ".aiworkflow/state/x", "x.tmp"):
        stage.write(path)
    stage.write("real")
    assert stage.batch() == {"real": "created"}


def test_another_rule_of_what_is_ignored_is_no_change_of_files(stage: Stage) -> None:
    stage.write("a.log")
    stage.write("b.txt")
    stage.arm(paths=["."])
    stage.write(".gitignore", "*.log\n")
    assert stage.batch() == {".gitignore": "created"}
    stage.write(".gitignore", "*.txt\n")
    stage.write("a.log", "longer")
    assert stage.batch() == {".gitignore": "modified"}
    stage.write("a.log", "longer still")
    assert stage.batch() == {"a.log": "modified"}


@pytest.mark.parametrize("rules", [".gitignore", ".git/info/exclude", "data/.gitignore"])
def test_rules_above_what_is_watched_count_as_they_are_now(stage: Stage, rules: str) -> None:
    stage.write("data/a.log")
    stage.source.arm([armed("b/watch", "watch", paths=["data/*.log", "data/*.txt"])])
    stage.look()
    stage.write(rules, "*.log\n")
    stage.heard()
    assert stage.quiet() == []
    stage.write("data/b.log")
    stage.write("data/b.txt")
    stage.heard("data/b.txt")
    assert stage.quiet() == [[{"path": "data/b.txt", "change": "created"}]]
    (stage.root / rules).unlink()
    stage.heard()
    assert stage.quiet() == []
    stage.write("data/b.log", "other")
    stage.heard("data/b.log")
    assert stage.quiet() == [[{"path": "data/b.log", "change": "modified"}]]


def test_what_is_ignored_since_nothing_watched_is_not_deleted(stage: Stage) -> None:
    stage.write("data/a.log")
    stage.write("data/b.log")
    stage.arm(paths=["data"], initial=True)
    stage.batch()
    stage.source.close()
    stage.write(".gitignore", "*.log\n")
    (stage.root / "data/b.log").unlink()
    stage.restart(paths=["data"], initial=True)
    assert stage.quiet() == [[{"path": "data/b.log", "change": "deleted"}]]


def test_gitignore_can_be_left_aside(stage: Stage) -> None:
    stage.write(".gitignore", "*.log\n")
    stage.arm(paths=["*.log"], gitignore=False)
    stage.write("a.log")
    assert stage.batch() == {"a.log": "created"}


def test_ten_thousand_files_are_one_batch(stage: Stage) -> None:
    stage.arm(paths=["data/**"])
    names = {f"data/d{n % 100}/f{n}" for n in range(10_000)}
    for name in sorted(names):
        stage.write(name)
    found = stage.batch()
    assert set(found) == names
    assert set(found.values()) == {"created"}
    assert stage.quiet() == []


def test_what_the_system_kept_back_is_found(stage: Stage) -> None:
    stage.arm(paths=["data/*"])
    (one,) = stage.source._watched.values()
    stage.write("data/a")
    stage.heard()
    one.close_batch()  # as if nothing had been told of it
    stage.write("data/b")
    stage.heard("data/b")
    one.hear({}, stage.clock.at, count=1_000_000)
    assert stage.batch() == {"data/a": "created", "data/b": "created"}


def test_a_folder_that_comes_later_or_comes_again_is_watched(stage: Stage) -> None:
    stage.arm(paths=["later/in/*.txt"])
    stage.write("later/in/a.txt")
    assert stage.batch() == {"later/in/a.txt": "created"}
    shutil.rmtree(stage.root / "later")
    assert stage.batch() == {"later/in/a.txt": "deleted"}
    stage.write("later/in/b.txt")
    assert stage.batch() == {"later/in/b.txt": "created"}
    stage.write("later/in/b.txt", "more")
    assert stage.batch() == {"later/in/b.txt": "modified"}


def test_what_changed_while_nothing_watched(stage: Stage) -> None:
    options = {"paths": ["data"], "initial": True}
    stage.write("data/a")
    stage.write("data/b")
    stage.arm(**options)
    assert stage.batch() == {"data/a": "created", "data/b": "created"}
    stage.source.close()
    stage.write("data/a", "other")
    (stage.root / "data/b").unlink()
    stage.restart(**options)
    assert stage.batch() == {"data/a": "modified", "data/b": "deleted"}
    stage.restart(**options)
    assert stage.quiet() == []
    stage.source.close()
    stage.write("data/c")
    stage.restart(paths=["data"])
    assert stage.quiet() == []
    (stage.root / "data/a").unlink()
    assert stage.batch() == {"data/a": "deleted"}


def test_another_pattern_is_no_change_of_files(stage: Stage) -> None:
    stage.write("data/a")
    stage.write("more/b")
    stage.arm(paths=["data"], initial=True)
    stage.batch()
    stage.restart(paths=["data", "more"], initial=True)
    assert stage.quiet() == []


def said(*lists: list[str], places: bool = False, **options: object) -> list[Armed]:
    """Watches of one bundle by their patterns.

    Args:
        places: they go by their places in the list, as all did once.
    """
    made = [Trigger("watch", {"paths": one, **options}, {}, NOWHERE) for one in lists]  # type: ignore[arg-type]
    entries = _armed("b", made, "d")
    return [dataclasses.replace(one, listens_to="") if places else one for one in entries]


def begin(stage: Stage, entries: list[Armed]) -> None:
    stage.source.close()
    stage.source = stage.server()
    stage.source.arm(entries)
    stage.look()


def some_heard(stage: Stage) -> None:
    """Wait until some watch has heard of something."""
    for _ in range(1000):
        stage.clock.at += 0 if stage.observes else 6
        stage.look()
        if any(one.due_at is not None for one in stage.source._watched.values()):
            return
        stage.loop.run_until_complete(asyncio.sleep(0.01))
    raise AssertionError("nothing was heard")


def paths(stage: Stage) -> list[list[str]]:
    """The paths of the batches that start when much time has passed."""
    return [[change["path"] for change in one] for one in stage.quiet()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("places", [True, False], ids=["by places", "by patterns"])
def test_watches_that_change_places_know_what_they_knew(stage: Stage, *, places: bool) -> None:
    lists = [["data"], ["more"]]
    stage.write("data/a")
    stage.write("more/a")
    begin(stage, said(*lists, places=places, initial=True))
    assert sorted(paths(stage)) == [["data/a"], ["more/a"]]
    stage.source.close()
    stage.write("data/b")
    begin(stage, said(*lists[::-1], initial=True))
    assert paths(stage) == [["data/b"]]
    stage.write("more/b")
    some_heard(stage)
    stage.source.arm(said(*lists))  # while the server runs, and something was heard
    assert paths(stage) == [["more/b"]]
    assert len(stage.journal.registers("watch")) == 2
    known = {row.key.partition("/")[0] for row in stage.journal.registers("watched")}
    assert known == {row.key for row in stage.journal.registers("watch")}


def test_a_batch_that_was_on_its_way_by_its_place_is_the_same_event(stage: Stage) -> None:
    begin(stage, said(["data"], ["more"], places=True))
    stage.write("more/a")
    stage.source.close()
    stage.runs.fails = [RuntimeError()]
    with pytest.raises(RuntimeError):
        stage.clock.at += 6
        begin(stage, said(["data"], ["more"], places=True, initial=True))
        stage.quiet()
    begin(stage, said(["more"], ["data"]))
    (one,) = stage.runs.took()
    assert [change["path"] for change in one.data["changes"]] == ["more/a"]  # type: ignore[union-attr]
    assert one.scope == "b/watch.2"  # what its key begins with, as it did then
    assert stage.quiet() == []


def test_patterns_that_are_mended_are_no_change_of_files_of_theirs_or_of_another_watch(
    stage: Stage,
) -> None:
    for path in ("data/a", "more/a", "else/a"):
        stage.write(path)
    begin(stage, said(["data"], ["more"], initial=True))
    assert len(paths(stage)) == 2
    begin(stage, said(["else", "data"], ["more"], initial=True))
    assert paths(stage) == []
    assert len(stage.journal.registers("watch")) == 2
    begin(stage, said(["else", "data"], ["more"], ["data"], initial=True))
    assert paths(stage) == [["data/a"]]  # this one is new


def test_watches_that_could_not_begin_begin_later(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.write("data/a")
    stage.write("more/a")

    def lost(*_: object) -> None:
        raise JournalUnavailable("no answer")

    stage.source.arm(said(["data"], ["more"]))
    with monkeypatch.context() as patch, pytest.raises(JournalUnavailable):
        patch.setattr("aiworkflow.triggers.watch.kept.Kept.write", lost)
        stage.look()
    assert paths(stage) == []
    stage.write("more/b")
    some_heard(stage)
    assert paths(stage) == [["more/b"]]


def test_two_servers_start_one_run(stage: Stage) -> None:
    other = stage.server()
    entry = armed("b/watch", "watch", paths=["data/*"])
    stage.source.arm([entry])
    other.arm([entry])
    run = stage.loop.run_until_complete
    stage.look()
    run(other.look())
    for number in range(5):
        stage.write(f"data/{number}")
        stage.heard()
        (one,) = other._watched.values()
        while one.due_at is None:
            stage.clock.at += 1
            run(asyncio.sleep(0.01))
            run(other.look())
        stage.clock.at += 61
        run(both(stage.source, other))
        (batch,) = stage.runs.took()
        assert [change["path"] for change in batch.data["changes"]] == [f"data/{number}"]  # type: ignore[union-attr]
    other.close()


async def both(one: Watches, other: Watches) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(one.look())
        group.create_task(other.look())


@pytest.mark.parametrize("error", [RuntimeError(), JournalUnavailable("no answer")])
def test_a_crash_before_or_after_its_run_is_durable_neither_loses_nor_doubles_a_batch(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    stage.arm(paths=["data/*"])
    stage.write("data/a")
    stage.heard()
    stage.clock.at += 61
    stage.runs.fails = [error]  # type: ignore[list-item]
    with pytest.raises((RuntimeError, JournalUnavailable)):
        stage.look()
    stage.restart(paths=["data/*"])
    assert len(stage.runs.happened) == 1
    # now it is durable, and not yet written down that it is
    kept = stage.source._kept(next(iter(stage.source._watched.values())))
    stage.write("data/b")
    stage.heard()
    stage.clock.at += 61

    def crash(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr("aiworkflow.triggers.watch.source.started", crash)
        stage.look()
    head, _ = kept.head()
    assert head is not None
    assert head.pending is not None
    stage.restart(paths=["data/*"])
    assert stage.quiet() == [
        [{"path": "data/a", "change": "created"}], [{"path": "data/b", "change": "created"}],
    ]  # fmt: skip


class Going:
    """The run of the last batch, as the journal has it."""

    def __init__(self, stage: Stage, run: str = "") -> None:
        (one,) = stage.source._watched.values()
        head, _ = stage.source._kept(one).head()
        assert head is not None
        self.stage, self.id, self.seq = stage, run or head.runs[-1], 0
        self.row = RunRow(self.id, "b", "running", stage.clock.at)

    def note(self, *events: ev.Event, **row: object) -> None:
        """Have the journal say that something happened in it."""
        self.row = dataclasses.replace(self.row, **row)  # type: ignore[arg-type]
        append = Append(
            f"{self.id} {self.seq}", self.id, [encode(one) for one in events], epoch=1,
            after=self.seq, driver=None if self.seq else "d", row=self.row,
        )  # fmt: skip
        self.stage.journal.append_now(append)
        self.seq += len(events)

    def begins(self, path: str = "act", role: str = "") -> None:
        at = self.stage.clock.at
        self.note(ev.Started(at, path, path, "", 1, 1, "pure", "k", role=role))

    def ends(self, path: str = "act") -> None:
        self.note(ev.Ended(self.stage.clock.at, path, 1, 1, "succeeded"))

    def waits(self) -> None:
        self.note(ev.Opened(self.stage.clock.at, "gate", "gate", "", "gate"), status="waiting")

    def is_over(self) -> None:
        self.note(status="succeeded", finished=self.stage.clock.at)


def test_what_its_runs_write_starts_no_further_run(stage: Stage) -> None:
    stage.allowed = Patterns(["data/out/**"])
    stage.arm(paths=["data/**"])
    stage.write("data/a")
    assert stage.batch() == {"data/a": "created"}
    run = Going(stage)
    run.begins()
    stage.clock.at += 1
    stage.write("data/out/result")
    stage.write("data/out/old")
    stage.write("data/by-somebody-else")
    assert stage.batch() == {"data/by-somebody-else": "created"}
    stage.write("data/out/at-the-end")
    (stage.root / "data/out/old").unlink()
    run.ends()
    run.is_over()  # what is gone is heard of later than it went
    stage.heard("data/out/at-the-end", "data/out/old")
    assert stage.quiet() == []
    stage.clock.at += 10
    stage.look()
    stage.write("data/out/result", "by hand, at once")
    assert stage.batch() == {"data/out/result": "modified"}


def test_what_a_run_wrote_before_it_waited_is_its_own_and_no_more(stage: Stage) -> None:
    stage.allowed = Patterns(["."])
    stage.arm(paths=["data/**"])
    stage.write("data/a")
    stage.batch()
    run = Going(stage)
    run.begins()
    stage.write("data/made", "before it waits")
    stage.heard("data/made")
    run.ends()
    run.waits()
    assert stage.quiet() == []
    stage.write("data/made", "meanwhile")
    assert stage.batch() == {"data/made": "modified"}


def test_what_the_runs_write_that_it_calls_is_its_own(stage: Stage) -> None:
    stage.allowed = Patterns(["."])
    stage.arm(paths=["data/**"])
    stage.write("data/a")
    stage.batch()
    run = Going(stage)
    run.begins("call", role="child")
    run.note(ev.Opened(stage.clock.at, "call", "call", "", "child"), status="waiting")
    child = Going(stage, child_id(run.id, "call", 1))
    child.begins()
    stage.write("data/made")
    stage.heard("data/made")
    child.ends()
    child.waits()
    assert stage.quiet() == []
    stage.write("data/made", "while both wait")
    assert stage.batch() == {"data/made": "modified"}


def test_more_than_a_run_can_be_told_is_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiworkflow.triggers.watch.watched.MOST_LISTED", 3)
    stage.arm(paths=["data/*"])
    for number in range(5):
        stage.write(f"data/{number}")
    stage.heard(*(f"data/{number}" for number in range(5)))
    stage.clock.at += 61
    stage.look()
    (one,) = stage.runs.took()
    assert (one.data["count"], one.data["truncated"], len(one.data["changes"])) == (5, True, 3)  # type: ignore[arg-type]


def test_a_watch_that_is_armed_anew_goes_on(stage: Stage) -> None:
    stage.arm(paths=["data/*"])
    stage.write("data/a")
    stage.heard()
    stage.arm(paths=["data/*"], overlap="skip")
    assert stage.batch() == {"data/a": "created"}
    stage.source.arm([])
    stage.look()
    assert stage.source._watched == {}


def test_names_that_are_no_text_are_left_aside(stage: Stage) -> None:
    stage.arm(paths=["."])
    Path(os.fsdecode(os.fsencode(stage.root) + b"/\xff\xfe")).write_text("x")
    stage.write("ü")
    assert stage.batch() == {"ü": "created"}


def test_it_runs_by_itself_and_drains(tmp_path: Path) -> None:
    stage = Stage(tmp_path.resolve(), observes=True)

    async def serve() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(stage.source.run())
            stage.source.arm([armed("b/watch", "watch", paths=["*"], debounce="10s")])
            while stage.source._entries is not None:  # what is there before is not new
                await asyncio.sleep(0)
            stage.write("a")
            (one,) = stage.source._watched.values()
            while one.due_at is None:
                await asyncio.sleep(0.01)
            stage.clock.at += 11
            while not stage.runs.happened:
                await asyncio.sleep(0.01)
            await stage.source.drain()
            task.cancel()

    stage.loop.run_until_complete(serve())
    stage.loop.close()
    assert len(stage.runs.took()) == 1
    assert stage.source._observing is None


def test_a_conflict_is_settled_by_looking_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.arm(paths=["data/*"])
    put, failed = stage.journal.put, []

    def once(writes: list[object]) -> None:
        if not failed:
            failed.append(1)
            raise Conflict("watch", "x", 1, 2)
        put(writes)  # type: ignore[arg-type]

    stage.write("data/a")
    stage.heard()
    monkeypatch.setattr(stage.journal, "put", once)
    assert stage.batch() == {"data/a": "created"}


def test_what_is_to_be_polled_is_not_observed(tmp_path: Path) -> None:
    stage = Stage(tmp_path.resolve(), observes=True)
    stage.arm(paths=["*"], poll="30s")
    assert stage.source._observing is None
    stage.clock.at += 29
    stage.write("a")
    stage.look()
    (one,) = stage.source._watched.values()
    assert one.due_at is None
    stage.clock.at += 1
    assert stage.quiet() == [[{"path": "a", "change": "created"}]]
    stage.loop.close()


@pytest.mark.parametrize("error", [OSError(28, "inotify watch limit reached"), WatchdogMissing()])
def test_files_are_polled_where_the_system_tells_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    def none(*_: object) -> None:
        raise error

    monkeypatch.setattr("aiworkflow.triggers.watch.source.Observing", none)
    stage = Stage(tmp_path.resolve(), observes=True)
    stage.arm(paths=["*"])
    assert "the system cannot tell of changes" in caplog.text
    assert "files are looked at every 5 seconds" in caplog.text
    stage.write("a")
    stage.observes = False
    assert stage.batch() == {"a": "created"}
    stage.loop.close()


def test_files_are_polled_when_the_system_takes_no_more_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so to whoever asks, and to nobody of a folder that is new."""
    stage = Stage(tmp_path.resolve(), observes=True)
    (tmp_path / "data").mkdir()
    stage.arm(paths=["data"])

    def full(*_: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr("aiworkflow.triggers.watch.source.Observing", full)
    stage.write("data/new/a")
    stage.heard("data/new")
    assert stage.quiet() == [[{"path": "data/new/a", "change": "created"}]]
    assert caplog.text.count("inotify watch limit reached; files are looked at every 5") == 1
    stage.observes = False
    stage.write("data/new/b")
    assert stage.batch() == {"data/new/b": "created"}
    stage.loop.close()


def test_a_flood_of_names_is_not_remembered_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiworkflow.triggers.watch.watched._MOST_HEARD", 3)
    for number in range(9):
        (tmp_path / str(number)).write_text("x")
    one = Watched(armed("b/watch", "watch", paths=["*"]), tmp_path, 10_000)
    one.hear({str(number): False for number in range(7)}, 0)
    assert len(one.heard_at) == 3
    assert len(one.changes(one.look(one.close_batch()))) == 9


@pytest.mark.skipif(
    os.environ.get("EXHAUSTIVE") != "true", reason="takes a minute; EXHAUSTIVE=true"
)
def test_a_day_of_changes_leaves_nothing_behind(tmp_path: Path) -> None:
    """A change every three minutes of 24 hours: memory, threads, files and registers stay as they are."""
    stage = Stage(tmp_path.resolve(), observes=True)
    (tmp_path / "data").mkdir()
    stage.arm(paths=["data/**"])
    sizes: list[tuple[int, int, int, int]] = []
    for number in range(480):
        stage.write(f"data/{number % 20}/{number % 7}", "x" * (number % 100 + 1))
        if number % 5 == 4:
            shutil.rmtree(stage.root / f"data/{number % 20}")
        assert stage.batch() is not None
        if number % 20 == 19:
            memory_now = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
            rows = len(stage.journal.registers("watch")) + len(stage.journal.registers("watched"))
            sizes.append(
                (memory_now, len(os.listdir("/proc/self/fd")), threading.active_count(), rows)
            )
    stage.source.close()
    stage.loop.close()
    assert len({(files, threads) for _, files, threads, _ in sizes}) == 1, sizes
    assert max(rows for *_, rows in sizes) <= 22, sizes
    assert sizes[-1][0] - sizes[6][0] < 2_000_000, sizes
