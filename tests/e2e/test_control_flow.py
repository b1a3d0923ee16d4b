"""Control flow and data of a bundle, through the command."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.support import Project, group, script


def ran(project: Project, body: str, *words: str, head: str = "", **tools: str) -> dict[str, Any]:
    """The JSON object of a run that succeeds."""
    project.workflow(body, head=head, **tools)
    done = project.run("run", "flow", *words, "--json")
    assert done.code == 0, done.out + done.err
    result: dict[str, Any] = done.json
    return result


def failed(project: Project, body: str, head: str = "") -> dict[str, Any]:
    """The JSON object of a run that fails."""
    project.workflow(body, head=head)
    done = project.run("run", "flow", "--json")
    assert done.code == 1, done.out + done.err
    result: dict[str, Any] = done.json
    return result


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {path: step["status"] for path, step in result["steps"].items()}


def set_step(id_: str, values: str, settings: str = "", level: int = 2) -> str:
    hashes = "#" * level
    return f"{hashes} {id_}\n\n```yaml step\nid: {id_}\nset: {values}\n{settings}```\n\n"


# -- branches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "taken"), [(1, "one"), (2, "two"), (3, "more")])
def test_one_branch_of_a_chain_runs(project: Project, n: int, taken: str) -> None:
    body = (
        script("one", "echo 1", "if: inputs.n == 1\n")
        + script("two", "echo 2", "else: true\nif: inputs.n == 2\n")
        + script("more", "echo 3", "else: true\n")
    )
    result = ran(project, body, "-i", f"n={n}", head="inputs: {n: integer}\n")
    assert [path for path, status in statuses(result).items() if status == "succeeded"] == [taken]


def test_finally_runs_after_a_failure_and_does_not_hide_it(project: Project) -> None:
    body = (
        script("a", "exit 4")
        + script("b", "true")
        + script("clean", "touch cleaned; exit 5", "finally: true\n")
    )
    result = failed(project, body)
    assert result["error"]["step"] == "a"
    assert result["error"]["exit_code"] == 4
    assert (project.root / "cleaned").exists()
    assert statuses(result)["clean"] == "failed"


def test_on_error_continue_goes_on_with_null(project: Project) -> None:
    body = script("a", "exit 4", "on_error: continue\n") + script(
        "b",
        'echo "$SAW $KIND"',
        'env: {SAW: "{{ steps.a.status }}", KIND: "{{ steps.a.error.exit_code }}"}\n',
    )
    result = ran(project, body, head="outputs: {a: '{{ steps.a.output }}'}\n")
    assert result["steps"]["b"]["output"] == "failed 4"
    assert result["outputs"] == {"a": None}


def test_a_timeout_ends_the_whole_process_group(project: Project) -> None:
    body = script("a", "(sleep 30; touch late) & sleep 30", "timeout: 300ms\n")
    begun = time.monotonic()
    result = failed(project, body)
    assert time.monotonic() - begun < 10
    assert result["steps"]["a"]["error"]["kind"] == "timeout"


def test_needs_orders_steps_of_a_parallel_group(project: Project) -> None:
    children = [
        script("a", "sleep 0.3; echo a >> order", level=3),
        script("b", "echo b >> order", level=3),
        script("c", "echo c >> order", "needs: [a, b]\n", level=3),
    ]
    ran(project, group("g", "parallel: true\n", *children))
    assert (project.root / "order").read_text().split() == ["b", "a", "c"]


# -- groups ---------------------------------------------------------------------------------------


def test_parallel_steps_run_together(project: Project) -> None:
    wait = "touch {0}; for i in $(seq 100); do [ -e {1} ] && exit 0; sleep 0.05; done; exit 1"
    children = [
        script("l", wait.format("l", "r"), level=3),
        script("r", wait.format("r", "l"), level=3),
    ]
    ran(project, group("g", "parallel: true\n", *children))


@pytest.mark.parametrize(("mode", "succeeds"), [("any", 1), ("majority", 2), ("2", 2)])
def test_enough_successes_end_a_parallel_group(project: Project, mode: str, succeeds: int) -> None:
    children = [script(f"s{n}", f"echo {n}", level=3) for n in range(succeeds)]
    children += [script(f"z{n}", "sleep 30", level=3) for n in range(3 - succeeds)]
    begun = time.monotonic()
    result = ran(project, group("g", f"parallel: {mode}\n", *children))
    assert time.monotonic() - begun < 10
    found = statuses(result)
    assert sum(found[f"g.s{n}"] == "succeeded" for n in range(succeeds)) == succeeds
    assert all(found[f"g.z{n}"] == "cancelled" for n in range(3 - succeeds))


def test_too_few_successes_fail_the_group(project: Project) -> None:
    children = [script("a", "echo 1", level=3), script("b", "exit 1", level=3)]
    children.append(script("c", "exit 1", level=3))
    result = failed(project, group("g", "parallel: majority\n", *children))
    assert result["error"]["message"].startswith("2 steps were to succeed, and only 1 can; ")


def test_a_group_has_the_outputs_of_its_children_or_a_result(project: Project) -> None:
    children = [script("a", "echo 1", "output: integer\n", level=3), script("b", "echo x", level=3)]
    body = group("g", "", *children)
    body += group(
        "h",
        'result: "{{ steps.c.output + 1 }}"\n',
        script("c", "echo 4", "output: integer\n", level=3),
    )
    head = 'outputs: {g: "{{ steps.g.output }}", h: "{{ steps.h.output }}"}\n'
    assert ran(project, body, head=head)["outputs"] == {"g": {"a": 1, "b": "x"}, "h": 5}


# -- each and until -------------------------------------------------------------------------------


def test_each_gives_a_list_in_item_order_within_max_parallel(project: Project) -> None:
    code = (
        "echo + >> live; sleep 0.0$((5 - INPUT_N % 5)); "
        "n=$(python3 -c \"import json,os; print(json.load(open(os.environ['AIWORKFLOW_CONTEXT']))['n'])\"); "
        "echo - >> live; echo $((n * n))"
    ).replace("INPUT_N", "RANDOM")
    body = script("sq", code, "each: range(6)\nas: n\nmax_parallel: 2\noutput: integer\n")
    result = ran(project, body, head='outputs: {sq: "{{ steps.sq.output }}"}\n')
    assert result["outputs"]["sq"] == [0, 1, 4, 9, 16, 25]
    assert result["steps"]["sq[3]"]["output"] == 9
    live = most = 0
    for mark in (project.root / "live").read_text().split():
        live += 1 if mark == "+" else -1
        most = max(most, live)
    assert most <= 2


def test_an_if_on_the_item_skips_items(project: Project) -> None:
    settings = "each: \"['a', 'b', 'c']\"\nas: w\nif: w != \"b\"\nenv: {W: \"{{ w }}\"}\n"
    result = ran(
        project, script("e", 'echo "$W"', settings), head='outputs: {e: "{{ steps.e.output }}"}\n'
    )
    assert result["outputs"]["e"] == ["a", None, "c"]


def test_more_items_than_allowed_fail_before_any_starts(project: Project) -> None:
    result = failed(project, script("e", "touch ran", "each: range(9)\nmax_items: 8\n"))
    assert "8" in result["error"]["message"]
    assert not (project.root / "ran").exists()


def test_a_rate_paces_items(project: Project) -> None:
    begun = time.monotonic()
    ran(project, script("e", "true", "each: range(4)\nrate: 5/s\n"))
    assert time.monotonic() - begun >= 0.55


def test_one_failed_item_fails_the_each_unless_it_continues(project: Project) -> None:
    code = '[ "$N" != 1 ] || exit 1; echo "$N"'
    settings = 'each: range(3)\nas: n\nenv: {N: "{{ n }}"}\n'
    assert failed(project, script("e", code, settings))["error"]["step"].startswith("e")
    result = ran(
        project,
        script("e", code, settings + "on_error: continue\n"),
        head='outputs: {e: "{{ steps.e.output }}"}\n',
    )
    assert result["outputs"]["e"] == ["0", None, "2"]


def test_what_items_wrote_counts_when_the_run_goes_on_after_one_that_failed(
    project: Project,
) -> None:
    """Also by a reducer of our own, and once, when the run fails later and is resumed."""
    write = "### S\n\n```yaml step\nid: s\nset: {n: '{{ item }}', own: '{{ item }}'}\n```\n\n"
    check = script("f", "test $I != 2", 'env: {I: "{{ item }}"}\n', level=3)
    body = group("e", 'each: "[1, 2, 3]"\non_error: continue\n', write, check)
    head = (
        "state: {n: {reduce: sum}, own: {reduce: keep.all}}\n"
        'outputs: {n: "{{ state.n }}", own: "{{ state.own }}"}\n'
    )
    project.workflow(body + script("last", "test -e there"), head=head, keep=KEEP)
    assert project.run("run", "flow").code == 1
    project.write("there", "")
    done = project.run("runs", "resume", "last", "--json")
    assert done.json["outputs"] == {"n": 4, "own": [1, 3]}


def test_until_repeats_and_is_bounded(project: Project) -> None:
    counting = script("n", "echo x >> n; wc -l < n", "output: integer\n", level=3)
    result = ran(project, group("u", "until: steps.n.output >= 3\nmax_rounds: 5\n", counting))
    assert result["steps"]["u#3.n"]["output"] == 3
    assert "u#4.n" not in result["steps"]
    ended = failed(project, group("u", "until: steps.n.output < 0\nmax_rounds: 2\n", counting))
    assert ended["error"]["kind"] == "rounds"


# -- state ----------------------------------------------------------------------------------------

STATE = """\
state:
  last: {reduce: last}
  list: {reduce: append}
  total: {reduce: sum}
  least: {reduce: min}
  best: {reduce: max, by: score}
  map: {reduce: merge}
  talk: {reduce: messages}
  own: {reduce: keep.all}
outputs:
"""
NAMES = ("last", "list", "total", "least", "best", "map", "talk", "own")
KEEP = """\
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("--current", type=json.loads, default=None)
parser.add_argument("--values", type=json.loads)
given, _ = parser.parse_known_args()
print(json.dumps([*(given.current or []), *given.values]))
"""


def test_every_reducer_and_one_of_our_own(project: Project) -> None:
    def values(n: int) -> str:
        return (
            f"{{last: {n}, list: {n}, total: {n}, least: {n}, best: {{score: {n}}}, "
            f"map: {{k{n}: {n}}}, talk: {{role: user, content: m{n}}}, own: {n}}}"
        )

    head = STATE + "".join(f'  {name}: "{{{{ state.{name} }}}}"\n' for name in NAMES)
    result = ran(project, set_step("a", values(2)) + set_step("b", values(1)), head=head, keep=KEEP)
    outputs = result["outputs"]
    assert outputs["last"] == 1
    assert outputs["list"] == [2, 1]
    assert outputs["total"] == 3
    assert outputs["least"] == 1
    assert outputs["best"] == {"score": 2}
    assert outputs["map"] == {"k2": 2, "k1": 1}
    assert [one["content"] for one in outputs["talk"]] == ["m2", "m1"]
    assert outputs["own"] == [2, 1]


def test_parallel_writes_merge_in_plan_order(project: Project) -> None:
    body = group(
        "g",
        "parallel: true\n",
        group(
            "slow",
            "",
            script("w", "sleep 0.3", level=4),
            set_step("s", "{list: slow}", level=4),
            level=3,
        ),
        set_step("fast", "{list: fast}", level=3),
    )
    head = 'state: {list: {reduce: append}}\noutputs: {list: "{{ state.list }}"}\n'
    assert ran(project, body, head=head)["outputs"]["list"] == ["slow", "fast"]


# -- data -----------------------------------------------------------------------------------------


def test_env_has_layers_and_each_sees_the_outer_ones(project: Project) -> None:
    inner = script("s", 'echo "$A $B $C"', 'env: {C: "{{ env.B }}!"}\n', level=3)
    project.write("bundles/flow/config.yaml", "env: {A: config, B: config}\n")
    result = ran(project, group("g", 'env: {B: "{{ env.A }}+"}\n', inner), head="env: {A: front}\n")
    assert result["steps"]["g.s"]["output"] == "front front+ front+!"


def test_what_a_step_does_sees_its_own_env(project: Project) -> None:
    body = (
        '## S\n\n```yaml step\nid: s\neach: "[1, 2]"\nmax_parallel: 1\n'
        'env: {X: "{{ item }}{{ env.W }}"}\nset: {log: "{{ env.X }}"}\n```\n\n'
        + group(
            "g", 'env: {G: "g{{ env.W }}"}\nresult: "{{ env.G }}"\n', script("h", "echo", level=3)
        )
        + group(
            "u",
            'env: {N: "2"}\nuntil: round == (env.N | int)\nmax_rounds: 3\nresult: "{{ round }}"\n',
            script("v", "echo", level=3),
        )
    )
    head = (
        "env: {W: w}\nstate: {log: {reduce: append}}\n"
        'outputs: {log: "{{ state.log }}", g: "{{ steps.g.output }}", u: "{{ steps.u.output }}"}\n'
    )
    assert ran(project, body, head=head)["outputs"] == {"log": ["1w", "2w"], "g": "gw", "u": 2}


def test_a_script_sees_nothing_that_was_not_given(project: Project) -> None:
    project.workflow(script("s", "env"))
    out = project.run("run", "flow", "--json", SECRET_THING="hidden").json["steps"]["s"]["output"]
    assert "SECRET_THING" not in out
    names = {line.partition("=")[0] for line in out.splitlines()}
    assert {"PATH", "HOME", "AIWORKFLOW_KEY", "AIWORKFLOW_SCRATCH", "AIWORKFLOW_CONTEXT"} <= names


@pytest.mark.parametrize(
    ("settings", "code", "output"),
    [
        ("", "echo hello; echo", "hello\n"),
        ("", "echo '{\"a\": 1}'", {"a": 1}),
        ("", "echo 5", "5"),
        ("output: json\n", "echo 5", 5),
        ("output: text\n", "echo '[1]'", "[1]"),
        ("output: lines\n", "printf 'a\\nb\\n'", ["a", "b"]),
        ("output: {n: integer, s?: string}\n", "echo '{\"n\": 1}'", {"n": 1}),
    ],
)
def test_outputs_take_the_form_that_was_asked(
    project: Project, settings: str, code: str, output: object
) -> None:
    settings = settings or "timeout: 1m\n"
    assert ran(project, script("s", code, settings))["steps"]["s"]["output"] == output


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ("output: {n: integer}\n", 'echo \'{"n": "x"}\''),
        ("output: json\n", 'echo \'{"a": 1, "a": 2}\''),
        ("output: json\n", "echo NaN"),
        ("output: text\n", "printf '\\xff'"),
    ],
)
def test_output_that_does_not_fit_fails_the_step(
    project: Project, settings: str, code: str
) -> None:
    error = failed(project, script("s", code, settings))["steps"]["s"]["error"]
    assert error["kind"] == "output", error


def test_a_large_output_is_kept_once_as_a_blob(project: Project) -> None:
    big = script("big", "head -c 300000 /dev/zero | tr '\\0' x")
    count = 'wc -c < "$BIG_FILE"'
    body = big + script("size", count, 'env: {BIG: "{{ steps.big.output }}"}\noutput: integer\n')
    result = ran(project, body)
    assert result["steps"]["big"]["output"] == "x" * 300_000
    assert result["steps"]["size"]["output"] == 300_000
    state = project.root / ".aiworkflow/state"
    assert sum(p.stat().st_size for p in state.rglob("*") if p.is_file()) < 1_500_000


def test_text_from_data_is_never_expanded_again(project: Project) -> None:
    body = script("s", 'echo "$T"', 'env: {T: "{{ inputs.t }}"}\n')
    given = "{{ 1 + 1 }} $(touch owned) `touch owned`"
    project.write("in.json", json.dumps({"t": given}))
    result = ran(project, body, "--inputs", "in.json", head="inputs: {t: string}\n")
    assert result["steps"]["s"]["output"] == given
    assert not (project.root / "owned").exists()


@pytest.mark.parametrize(
    ("head", "config", "words", "env", "said"),
    [
        ("timeout: 1h\n", "", ("--set", "timeout=300ms"), {}, "0.3 s"),
        ("", "", (), {"AIWORKFLOW_TIMEOUT": "300ms"}, "0.3 s"),
        ("", "timeout: 300ms\n", (), {}, "0.3 s"),
        ("timeout: 400ms\n", "timeout: 1h\n", (), {}, "0.4 s"),
    ],
)
def test_the_longest_time_of_a_run_is_that_of_the_strongest_layer(
    project: Project, head: str, config: str, words: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    project.write(".aiworkflow/config.yaml", config)
    project.workflow(script("a", "sleep 60", "effect: read\n"), head=head)
    done = project.run("run", "flow", *words, "--json", **env)
    assert done.json["error"]["kind"] == "timeout"
    assert done.json["error"]["message"] == f"took longer than {said}"
