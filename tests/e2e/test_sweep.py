"""`sweep`: a bundle's run in each of many repositories, through failures, kills and undo."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.e2e.sweeping import Fleet, statuses
from tests.support import ROOT, Project, script

COUNT = 100 if os.environ.get("EXHAUSTIVE") == "true" else 12
HEAD = 'allow: {paths: ["**"]}\n'


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, 4)


def test_each_repository_gets_a_branch_with_what_changed(fleet: Fleet, tmp_path: Path) -> None:
    code = "cat a.txt\necho $WORD > a.txt\necho $BRANCH"
    env = "env: {WORD: '{{ inputs.word }} {{ run.repo }}', BRANCH: '{{ run.branch }}'}\n"
    fleet.project.workflow(script("change", code, env), head="inputs: {word: string}\n" + HEAD)
    words = ["flow", "--tag", "python", "--input", "word=new", "--author", "Bot <bot@x.org>"]
    report = tmp_path / "report.md"
    found = fleet.sweep(*words, "--message", "Renew", "--report", str(report))
    assert found["status"] == "succeeded"
    branch = f"aiworkflow/flow/{found['sweep']}"
    for one in found["repositories"]:
        name = one["repository"]
        assert (one["branch"], one["result"]) == (branch, fleet.git(name, "rev-parse", branch))
        assert fleet.git(name, "show", f"{branch}:a.txt") == f"new {name}"
        assert (
            fleet.git(name, "log", "--format=%an <%ae> %s", f"main..{branch}")
            == "Bot <bot@x.org> Renew"
        )
        assert fleet.git(name, "status", "-s", "-uno") == ""
        assert fleet.git(name, "worktree", "list").count("\n") == 0
    assert (
        f"| r002 | succeeded | {found['repositories'][2]['run']} | `{branch}`" in report.read_text()
    )
    shown = fleet.run("sweep", "show", "last")
    assert "succeeded: 4 succeeded in" in shown.out
    assert fleet.sweep("list")["sweeps"][0]["sweep"] == found["sweep"]
    undone = fleet.sweep("undo", found["sweep"])
    assert (undone["status"], set(statuses(undone))) == ("undone", {"undone"})
    assert fleet.git("r000", "branch", "--list", "aiworkflow/*") == ""
    assert fleet.run("journal", "prune", "--keep", "1").code == 0
    assert len(fleet.sweep("list")["sweeps"]) == 1
    assert fleet.run("journal", "prune", "--status", "succeeded").code == 0
    assert fleet.sweep("list") == {"sweeps": []}


def test_what_changes_nothing_gets_no_branch(fleet: Fleet) -> None:
    fleet.project.workflow(script("look", "cat a.txt"))
    found = fleet.sweep("flow", "--repo", "r001", "--repo", "r003")
    assert [(one["repository"], one["branch"]) for one in found["repositories"]] == [
        ("r001", None),
        ("r003", None),
    ]
    assert fleet.git("r001", "branch", "--list").split() == ["*", "main"]


def test_canaries_come_first(fleet: Fleet) -> None:
    fleet.project.workflow(script("check", 'test "$MODE" = x\ntest -e ok || exit 3'))
    found = fleet.sweep("flow", "--all", "--canary", "25%", "--set", "env.MODE=x", code=1)
    assert statuses(found) == ["failed", "not_started", "not_started", "not_started"]
    assert (found["status"], found["stopped"]) == ("stopped", "1 of 1 canaries did not succeed")
    for name in fleet.names:
        Project(fleet.folder / name, git=False).write("ok", "")
        fleet.git(name, "add", ".")
        fleet.git(name, "commit", "-qm", "ok")
    assert statuses(fleet.sweep("retry-failed", found["sweep"])) == ["succeeded"] * 4


def test_it_stops_after_so_many_failures(fleet: Fleet) -> None:
    fleet.project.workflow(script("check", "exit 3"))
    found = fleet.sweep(
        "flow", "--all", "--max-parallel", "1", "--stop-after-failures", "2", code=1
    )
    assert statuses(found) == ["failed", "failed", "not_started", "not_started"]
    assert found["dead_letters"] == ["r000", "r001"]
    assert "2 repositories failed" in found["stopped"]


def test_it_stops_when_the_money_is_spent(fleet: Fleet) -> None:
    fleet.project.workflow("## Ask\n\n```yaml step\nid: ask\nagent: paid\n```\n\nSay something.\n")
    config = (
        "agents: {paid: {echo: {text: hi}, max_tokens: 4, price: {input: 0, output: 100000}}}\n"
    )
    fleet.project.write(".aiworkflow/config.yaml", config)
    cost = fleet.sweep("flow", "--repo", "r000")["cost_usd"]
    assert cost > 0
    most = round(cost + 0.45, 6)  # the second still fits, with all that it may cost
    words = ["flow", "--all", "--max-parallel", "1", "--max-usd", str(most)]
    found = fleet.sweep(*words, code=4)
    done = statuses(found)
    assert done[:2] == ["succeeded", "succeeded"]
    assert done[-1] == "not_started"
    assert cost <= found["cost_usd"] <= most
    assert "--max-usd" in found["stopped"]
    assert {one["error"]["kind"] for one in found["repositories"] if one["error"]} == {"budget"}
    again = fleet.sweep("retry-failed", found["sweep"], "--max-usd", "100")
    assert statuses(again) == ["succeeded"] * 4


def test_the_recipe_of_the_how_to_pushes_each_branch_once(fleet: Fleet, tmp_path: Path) -> None:
    page = (ROOT / "docs/how-to/sweep-over-repositories.md").read_text()
    fleet.project.write(
        "bundles/update-licences/workflow.md", page.split("````markdown\n")[1].split("````")[0]
    )
    assert fleet.run("bundle", "validate", "update-licences").code == 0
    text = (fleet.project.root / "bundles/update-licences/workflow.md").read_text()
    offline = text[: text.index("## Look whether")].replace("  write: [http.post]\n", "")
    fleet.project.write("bundles/update-licences/workflow.md", offline)
    for name in ("r000", "r001"):
        there = tmp_path / f"{name}.git"
        there.mkdir()
        subprocess.run(["git", "init", "-q", "--bare", there], check=True)
        fleet.git(name, "remote", "add", "origin", str(there))
        code = "echo new >> a.txt\n" if name == "r000" else "true\n"
        Project(fleet.folder / name, git=False).write(
            "scripts/update-licences.sh", f"#!/bin/sh\n{code}", executable=True
        )
        fleet.git(name, "add", "scripts")
        fleet.git(name, "commit", "-qm", "script")
    found = fleet.sweep(
        "update-licences", "--repo", "r000", "--repo", "r001", "--branch", "licences"
    )
    assert [one["branch"] for one in found["repositories"]] == ["licences", None]
    pushed = Project(tmp_path / "r000.git", git=False).git("log", "-1", "--format=%s", "licences")
    assert pushed == "Update licences\n"
    assert Project(tmp_path / "r001.git", git=False).git("branch", "--list") == ""


def test_waiting_runs_are_gone_on_with(fleet: Fleet) -> None:
    fleet.project.workflow(
        script("first", "echo two > a.txt")
        + "## Sure?\n\n```yaml step\nid: gate\napprove: true\n```\n"
    )
    found = fleet.sweep("flow", "--repo", "r000", "--repo", "r001", code=3)
    assert statuses(found) == ["waiting", "waiting"]
    run = found["repositories"][1]["run"]
    assert fleet.run("approvals", "approve", run, "--detach").code == 0
    found = fleet.sweep("resume", found["sweep"], code=3)
    assert statuses(found) == ["waiting", "succeeded"]
    assert found["repositories"][1]["branch"]


@pytest.mark.parametrize("count", [COUNT])
def test_killed_and_gone_on_with_each_is_done_once(tmp_path: Path, count: int) -> None:
    fleet = Fleet(tmp_path, count)
    bad = [fleet.names[at] for at in (1, count // 2, count - 2)]
    for name in bad:
        Project(fleet.folder / name, git=False).write("broken", "")
        fleet.git(name, "add", ".")
        fleet.git(name, "commit", "-qm", "broken")
    done = tmp_path / "done"
    done.touch()
    body = script(
        "change", "sleep 0.2\ntest ! -e broken\necho two > a.txt\n", "effect: idempotent\n"
    ) + script(
        "effect", f"echo $REPO >> {done}\n", "env: {REPO: '{{ run.repo }}'}\neffect: idempotent\n"
    )
    fleet.project.workflow(body, head=HEAD)
    for kill in range(1, 3):
        words = ["flow", "--all", "--max-parallel", "4"] if kill == 1 else ["resume", "last"]
        process = fleet.project.start("sweep", *words)
        until = time.monotonic() + 120
        while len(done.read_text().split()) < kill * count // 3 and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    found = fleet.sweep("resume", "last", code=1)
    assert found["dead_letters"] == bad
    assert statuses(found).count("succeeded") == count - 3
    times = done.read_text().split()
    # a step that was under way when it was killed is done again, under its own key
    again = len(times) - len(set(times))
    assert again <= 8
    assert set(times) == set(fleet.names) - set(bad)
    for name in set(fleet.names) - set(bad):
        branches = fleet.git(name, "branch", "--list", "aiworkflow/*").split()
        assert len([one for one in branches if one not in "*+"]) == 1
        assert fleet.git(name, "rev-list", "--count", f"main..{found['branch']}") == "1"
    runs = fleet.run("runs", "list", "--limit", "1000", "--json").json["runs"]
    assert len(runs) == count
    refused = fleet.run("sweep", "resume", found["sweep"])
    assert "nothing is left to do" in refused.err
    for name in bad:
        fleet.git(name, "rm", "-q", "broken")
        fleet.git(name, "commit", "-qm", "mended")
    mended = fleet.sweep("retry-failed", found["sweep"])
    assert (mended["status"], mended["dead_letters"]) == ("succeeded", [])
    assert len(set(done.read_text().split())) == count
    assert not list((fleet.project.root / ".aiworkflow/state/worktrees").glob("*-*"))
