"""`run --batch`: a run for each line of inputs, through the command."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.support import Done, Project

HEAD = "inputs: {n: integer, word: {type: string, default: x}}\noutputs: {twice: '{{ steps.a.output.twice }}'}\n"
TWICE = 'echo "{\\"twice\\": $((N * 2))}"'


def step(code: str, more: str = "") -> str:
    return (
        "## A\n\n```yaml step\nid: a\noutput: {twice: integer}\n"
        f"env: {{N: '{{{{ inputs.n }}}}', W: '{{{{ inputs.word }}}}'}}\n{more}```\n\n"
        f"```bash step\n{code}\n```\n"
    )


def doubles(project: Project, code: str = "", more: str = "", head: str = "") -> None:
    project.workflow(step(code + TWICE, more), head=HEAD + head)


def lines(project: Project, *inputs: object, name: str = "in.jsonl") -> str:
    project.write(name, "".join(json.dumps(one) + "\n" for one in inputs))
    return name


def results(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.out.splitlines()]


def numbers(count: int) -> list[dict[str, int]]:
    return [{"n": n} for n in range(1, count + 1)]


def test_results_come_as_json_lines_in_the_order_of_the_inputs(project: Project) -> None:
    doubles(project, 'sleep "0.$((10 - N))"\n')
    done = project.run("run", "flow", "--batch", lines(project, *numbers(5)))
    assert done.code == 0, done.err
    found = results(done)
    assert [one["line"] for one in found] == [1, 2, 3, 4, 5]
    assert [one["outputs"]["twice"] for one in found] == [2, 4, 6, 8, 10]
    assert {one["status"] for one in found} == {"succeeded"}
    assert "5 succeeded in" in done.err
    assert "(median)" in done.err
    shown = project.run("runs", "inspect", found[2]["run"], "--json").json
    assert (shown["trigger"]["type"], shown["trigger"]["line"]) == ("batch", 3)
    assert shown["trigger"]["batch"] == found[0]["batch"]


def test_at_most_so_many_runs_at_once(project: Project) -> None:
    code = 'mkdir -p on most\ntouch "on/$N"\nls on | wc -l > "most/$N"\nsleep 0.1\nrm "on/$N"\n'
    doubles(project, code, head='allow: {paths: ["**"]}\n')
    inputs = lines(project, *numbers(6))
    for most, width in (("1", {1}), ("3", {1, 2, 3})):
        assert project.run("run", "flow", "--batch", inputs, "--max-parallel", most).code == 0
        seen = {int(path.read_text()) for path in (project.root / "most").iterdir()}
        assert seen <= width
        assert max(seen) == max(width)


def test_failures_are_apart_and_only_they_are_run_again(project: Project) -> None:
    doubles(project, 'echo "$N" >> ran\ntest -f ok -o "$N" != 2\n', head='allow: {paths: ["**"]}\n')
    inputs = lines(project, *numbers(3))
    done = project.run(
        "run", "flow", "--batch", inputs, "--output", "out.jsonl", "--failures", "bad"
    )
    assert done.code == 1
    assert done.out == ""
    assert "2 succeeded, 1 failed" in done.err
    assert "line 2 failed: " in done.err
    assert "only what is left: take it up again with: --again out.jsonl" in done.err
    assert (project.root / "bad").read_text() == '{"n": 2}\n'
    first = [json.loads(line) for line in (project.root / "out.jsonl").read_text().splitlines()]
    assert [one["status"] for one in first] == ["succeeded", "failed", "succeeded"]
    assert first[1]["error"]["step"] == "a"
    project.write("ok", "")
    again = project.run(
        "run", "flow", "--batch", inputs, "--output", "out.jsonl", "--again", "out.jsonl"
    )
    assert again.code == 0, again.err
    assert "3 succeeded" in again.err
    assert "2 were so before" in again.err
    second = [json.loads(line) for line in (project.root / "out.jsonl").read_text().splitlines()]
    assert [one["outputs"]["twice"] for one in second] == [2, 4, 6]
    assert [one["run"] for one in second] == [one["run"] for one in first]
    assert sorted((project.root / "ran").read_text().split()) == ["1", "2", "2", "3"]
    assert not list(project.root.glob("*.part"))


def test_a_failed_line_may_be_mended_the_others_not(project: Project) -> None:
    doubles(project, 'test "$W" = x\n')
    inputs = lines(project, {"n": 1}, {"n": 2, "word": "wrong"})
    first = results(project.run("run", "flow", "--batch", inputs))
    lines(project, {"n": 1}, {"n": 2})
    again = project.run("run", "flow", "--batch", inputs, "--again", first[0]["batch"])
    assert again.code == 0, again.err
    second = results(again)
    assert second[0]["run"] == first[0]["run"]
    assert second[1]["run"] != first[1]["run"]
    assert second[1]["outputs"] == {"twice": 4}
    lines(project, {"n": 7}, {"n": 2})
    wrong = project.run("run", "flow", "--batch", inputs, "--again", first[0]["batch"])
    assert wrong.code == 2
    assert "line 1 is not the one that batch" in wrong.err


def test_all_lines_are_checked_before_anything_starts(project: Project) -> None:
    doubles(project)
    project.write("in.jsonl", '{"n": 1}\n{"n": "a"}\nno\n{"m": 1}\n[]\n\n{"n": 2}\n')
    done = project.run("run", "flow", "--batch", "in.jsonl")
    assert done.code == 2
    assert "4 lines of in.jsonl cannot be used; nothing was started" in done.err
    assert "in.jsonl:2:2: " in done.err
    assert "in.jsonl:3:1: it is not JSON" in done.err
    assert "in.jsonl:5:1: it is no object" in done.err
    assert "leave them out with --skip-invalid" in done.err
    assert project.run("runs", "list", "--json").json["runs"] == []
    skipping = project.run("run", "flow", "--batch", "in.jsonl", "--skip-invalid")
    assert skipping.code == 1
    found = results(skipping)
    assert [(one["line"], one["status"]) for one in found] == [
        (1, "succeeded"),
        (2, "invalid"),
        (3, "invalid"),
        (4, "invalid"),
        (5, "invalid"),
        (7, "succeeded"),
    ]


def test_what_is_said_once_holds_for_all_lines(project: Project) -> None:
    doubles(project, 'test "$W" = all\n')
    inputs = lines(project, {"n": 1}, {"n": 2, "word": "mine"})
    done = project.run("run", "flow", "--batch", inputs, "-i", "word=all")
    assert [one["status"] for one in results(done)] == ["succeeded", "failed"]


def test_one_json_object_with_all_results(project: Project) -> None:
    doubles(project)
    done = project.run("run", "flow", "--batch", "-", "--json", stdin='{"n": 1}\n{"n": 2}')
    assert done.json["statuses"] == {"succeeded": 2}
    assert [one["outputs"]["twice"] for one in done.json["results"]] == [2, 4]
    assert done.json["p50_seconds"] > 0


def test_a_dry_run_checks_the_lines_alone(project: Project) -> None:
    doubles(project)
    inputs = lines(project, *numbers(2))
    done = project.run("run", "flow", "--batch", inputs, "--dry-run")
    assert (done.code, done.out) == (0, "2 lines of in.jsonl: 2 to start\n")
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_runs_that_wait_make_it_3(project: Project) -> None:
    project.workflow("## A\n\n```yaml step\nid: a\napprove: true\n```\n\n```bash step\ntrue\n```\n")
    project.write("in.jsonl", "{}\n{}\n")
    done = project.run("run", "flow", "--batch", "in.jsonl")
    assert done.code == 3
    assert {one["status"] for one in results(done)} == {"waiting"}
    assert "what waits: aiworkflow runs list --status waiting" in done.err
    for one in results(done):
        assert project.run("approvals", "approve", f"{one['run']}/a").code == 0
    batch = results(done)[0]["batch"]
    assert f"its results, when it is over: take it up again with: --again {batch}" in done.err
    again = project.run("run", "flow", "--batch", "in.jsonl", "--again", batch)
    assert {one["status"] for one in results(again)} == {"succeeded"}


def test_killed_it_is_taken_up_again_and_nothing_is_done_twice(project: Project) -> None:
    doubles(project, 'echo "$N" >> ran\nsleep 0.2\n', head='allow: {paths: ["**"]}\n')
    inputs = lines(project, *numbers(8))
    words = ("run", "flow", "--batch", inputs, "--max-parallel", "2", "--output", "out.jsonl")
    driver = project.start(*words)
    ran = project.root / "ran"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (ran.exists() and len(ran.read_text().split()) >= 3):
        time.sleep(0.01)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    before = set(ran.read_text().split())
    assert len(before) < 8
    done = project.run(*words, "--again", "out.jsonl")
    # nobody knows whether the scripts that were running had written their line: these two wait
    assert done.code == 3, done.err
    text = (project.root / "out.jsonl").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    assert [one["line"] for one in found] == list(range(1, 9))
    assert sum(one["status"] == "waiting" for one in found) <= 2
    assert len(ran.read_text().split()) == len(set(ran.read_text().split()))


def test_ctrl_c_starts_no_more(project: Project) -> None:
    doubles(project, 'touch "ran$N"\nsleep 5\n', head='allow: {paths: ["**"]}\n')
    inputs = lines(project, *numbers(4))
    driver = project.start("run", "flow", "--batch", inputs, "--max-parallel", "1")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (project.root / "ran1").exists():
        time.sleep(0.01)
    driver.send_signal(signal.SIGINT)
    out, err = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["cancelled"]
    assert "1 cancelled, 3 not started" in err
    assert not (project.root / "ran2").exists()


def test_a_reader_that_goes_away_stops_it_as_ctrl_c_does(project: Project) -> None:
    doubles(project, 'if [ "$N" -gt 1 ]; then sleep 1; fi\n')
    inputs = lines(project, *numbers(40))
    driver = project.start("run", "flow", "--batch", inputs, "--max-parallel", "2")
    assert driver.stdout is not None
    assert driver.stderr is not None
    assert json.loads(driver.stdout.readline())["line"] == 1
    driver.stdout.close()
    with driver:
        err = driver.stderr.read()
    assert driver.returncode == 1
    assert err.count("stopping: the results cannot be written; running steps are ended") == 1
    assert " not started" in err
    batch = err.split()[1].rstrip(":")
    assert f"only what is left: take it up again with: --again {batch}" in err
    listed = project.run("runs", "list", "--json").json["runs"]
    assert "interrupted" not in {row["status"] for row in listed}
    again = project.run("run", "flow", "--batch", inputs, "--max-parallel", "40", "--again", batch)
    assert again.code == 0, again.err
    assert len(results(again)) == 40


def test_results_for_which_there_is_no_space_stop_it(project: Project) -> None:
    doubles(project)
    inputs = lines(project, *numbers(30))
    assert project.run("run", "flow", "--batch", inputs, "--output", "o").code == 0
    (project.root / "o.part").symlink_to("/dev/full")
    before = (project.root / "o").read_text()
    words = ["run", "flow", "--batch", inputs, "--output", "o", "--again", "o"]
    done = project.run(*words)
    assert done.code == 1
    assert "stopping: the results cannot be written" in done.err
    assert "no space left on the disk" in done.err
    assert (project.root / "o").read_text() == before, "as it was"
    assert not (project.root / "o.part").is_symlink()
    assert project.run(*words).code == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--output", "o"], "--output is for a batch"),
        (["--again", "o"], "--again is for a batch"),
        (["--skip-invalid"], "--skip-invalid is for a batch"),
        (["--max-parallel", "2"], "--max-parallel is for a batch"),
        (["--failures", "o"], "--failures is for a batch"),
        (["--batch", "none.jsonl"], "cannot read inputs from `none.jsonl`: No such file"),
        (["--batch", "empty"], "there are no lines in empty"),
        (
            ["--batch", "in.jsonl", "--max-parallel", "0"],
            "takes a whole number from 1 to 1,000, not `0`",
        ),
        (["--batch", "in.jsonl", "--again", "x-y"], "there is no batch `x-y`, and no file"),
        (["--batch", "in.jsonl", "--again", "empty"], "`empty` holds no results, and no batch"),
        (
            ["--batch", "in.jsonl", "--again", "in.jsonl"],
            "in.jsonl:1: this is no result of a batch",
        ),
        (["--batch", "in.jsonl", "--output", "in.jsonl"], "`in.jsonl` exists already"),
        (["--batch", "in.jsonl", "--output", "no/x"], "cannot write to `no/x`"),
        (["--batch", "in.jsonl", "--record", "d"], "--record is for one run"),
        (["--batch", "-", "--inputs", "-"], "cannot both be read from standard input"),
    ],
)
def test_what_is_refused(project: Project, words: list[str], text: str) -> None:
    doubles(project)
    lines(project, {"n": 1})
    project.write("empty", "")
    done = project.run("run", "flow", *words)
    assert done.code == 2
    assert text in done.err
    assert project.run("runs", "list", "--json").json["runs"] == []


def test_the_python_api_gives_the_same(project: Project) -> None:
    doubles(project)
    code = """
import asyncio
import aiworkflow

async def main():
    async with aiworkflow.connect(".") as client:
        batch = client.batch("flow", ({"n": n} for n in range(3)), max_parallel=2)
        print([result.outputs["twice"] async for result in batch])
        print(dict(batch.report.statuses))

asyncio.run(main())
"""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["[0, 2, 4]", "{'succeeded': 3}"]


def test_a_thousand_lines_keep_their_order(project: Project) -> None:
    project.workflow(
        "## A\n\n```yaml step\nid: a\nset: {n: '{{ inputs.n }}'}\n```\n",
        head="inputs: {n: integer}\nstate: {n: {}}\noutputs: {n: '{{ state.n }}'}\n",
    )
    inputs = lines(project, *({"n": n} for n in range(1000)))
    done = project.run("run", "flow", "--batch", inputs, timeout=120)
    assert done.code == 0, done.err[-2000:]
    assert [one["outputs"]["n"] for one in results(done)] == list(range(1000))
