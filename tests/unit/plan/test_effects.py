"""What steps do to the outside, and that `allow` names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiworkflow.bundle.builtins import BUILTINS
from aiworkflow.bundle.workflow import Effect
from aiworkflow.plan import Plan
from tests.unit.plan.documents import (
    agent,
    compiled,
    does,
    findings,
    group,
    plan,
    read,
    read_with_tools,
    said,
    shown,
    step,
)

NETWORK = "allow: {network: [api.github.com]}\n"


def get(url: str) -> str:
    return does("a", f'uses: http.get\nwith: {{url: "{url}"}}\n')


def tooled(folder: Path, body: str, head: str = "") -> tuple[Plan | None, list[str]]:
    found, problems = compiled(read_with_tools(folder, body, head))
    return found, [said(one) for one in problems]


# -- classes ---------------------------------------------------------------------------------------


def test_a_script_reads_where_its_bundle_allows_nothing_and_else_writes() -> None:
    assert plan(step("a")).nodes["a"].effect is Effect.READ
    assert plan(step("a"), NETWORK).nodes["a"].effect is Effect.WRITE
    assert plan(step("a", "allow: {}\n"), NETWORK).nodes["a"].effect is Effect.READ
    assert plan(step("a", "effect: read\n"), NETWORK).nodes["a"].effect is Effect.READ


@pytest.mark.parametrize(
    ("call", "effect"),
    [
        ("uses: git.status\n", Effect.READ),
        ("uses: git.commit\nwith: {message: x}\n", Effect.WRITE),
        ("uses: file.write\nwith: {path: out/x, content: y}\n", Effect.IDEMPOTENT),
        ("uses: http.delete\nwith: {url: https://api.github.com/x}\n", Effect.DESTRUCTIVE),
        ("uses: http.put\nwith: {url: https://api.github.com/x}\n", Effect.IDEMPOTENT),
        ("uses: mcp:files/read\n", Effect.DESTRUCTIVE),
    ],
)
def test_tools_say_what_they_do(call: str, effect: Effect) -> None:
    head = 'allow: {write: [git.commit, "http.*", "mcp:files/*"], paths: ["out/**"], network: [api.github.com]}\n'
    found = plan(does("a", call), head)
    assert found.nodes["a"].effect is effect
    assert found.effect is effect
    assert found.root.effect is effect


def test_a_group_is_as_bad_as_the_worst_in_it() -> None:
    inner = does("a", "uses: git.commit\nwith: {message: x}\n", level=4)
    body = group("g", "", step("c", level=3), group("h", "", inner, level=3))
    found = plan(body, "allow: {write: [git.commit]}\n")
    assert found.nodes["g"].effect is Effect.WRITE
    assert found.nodes["h"].effect is Effect.WRITE


def test_an_agent_is_as_bad_as_its_tools() -> None:
    assert plan(agent("a", "Think.")).nodes["a"].effect is Effect.READ
    found = plan(agent("a", "Look.", "tools: [git.diff]\n"))
    assert found.nodes["a"].effect is Effect.READ
    found = plan(agent("a", "Do.", "tools: [git.commit]\n"), "allow: {write: [git.commit]}\n")
    assert found.nodes["a"].effect is Effect.WRITE
    assert found.nodes["a"].writes == ("git.commit",)


def test_undeclared_tools_write_where_anything_is_allowed(tmp_path: Path) -> None:
    found, problems = tooled(tmp_path, does("a", "uses: plain.go\n"))
    assert problems == []
    assert found is not None
    assert found.nodes["a"].effect is Effect.READ
    _, problems = tooled(tmp_path, does("a", "uses: plain.go\n"), NETWORK)
    assert problems == ["AW702 plain.go"]
    _, problems = tooled(tmp_path, does("a", "uses: plain.go\neffect: read\n"), NETWORK)
    assert problems == []


def test_a_step_cannot_call_a_tool_less_dangerous_than_it_says(tmp_path: Path) -> None:
    call = "uses: github.comment\nwith: {body: x}\neffect: read\n"
    head = "allow: {write: [github.comment], secrets: [GITHUB_TOKEN]}\n"
    _, problems = tooled(tmp_path, does("a", call), head)
    assert problems == ["AW701 read"]
    found, problems = tooled(tmp_path, does("a", call.replace("read", "destructive")), head)
    assert problems == []
    assert found is not None
    assert found.nodes["a"].effect is Effect.DESTRUCTIVE


# -- permissions -----------------------------------------------------------------------------------


def test_a_write_must_be_allowed_by_name_or_pattern() -> None:
    commit = does("a", "uses: git.commit\nwith: {message: x}\n")
    assert findings(commit) == ["AW702 git.commit"]
    for allowed in ("git.commit", "git.*"):
        assert plan(commit, f"allow: {{write: [{allowed}]}}\n").nodes["a"].writes == ("git.commit",)
    assert findings(commit, "allow: {write: [git.branch]}\n") == ["AW702 git.commit"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://api.github.com", "api.github.com"),
        ("https://api.github.com/x?y=https://evil.com/", "api.github.com"),
        ("https://api.github.com?x=1", "api.github.com"),
        ("https://API.GitHub.com/x", "api.github.com"),
        ("https://me@api.github.com/x", "api.github.com"),
        ("https://api.github.com@evil.com/x", "evil.com"),
        ("https://api.github.com:8443/x", "api.github.com:8443"),
        ("https://api.github.com/{{ run.id }}", "api.github.com"),
        ("https://api.github.com{{ run.id }}", "*"),
        ("https://{{ run.id }}/x", "*"),
        ("{{ run.id }}", "*"),
        ("https://api.github.com\\\\.evil.com/", "*"),
    ],
)
def test_the_host_of_a_request_is_known_before_the_run_or_any(url: str, host: str) -> None:
    body = get(url)
    found = plan(body, f'allow: {{network: ["{host if host != "*" else "x.org"}"]}}\n')
    assert found.nodes["a"].network == (host,)
    assert findings(body) == ["AW703 http.get"]


@pytest.mark.parametrize(
    ("allowed", "fits"),
    [
        ("api.github.com", True),
        ("API.github.com", True),
        ("*.github.com", True),
        ("api.github.com:443", True),
        ("api.github.com:8080", False),
        ("github.com", False),
        ("*.api.github.com", False),
        ("evil-api.github.com", False),
    ],
)
def test_hosts_are_allowed_by_name_port_or_below_a_name(allowed: str, fits: bool) -> None:
    found = findings(get("https://api.github.com/x"), f'allow: {{network: ["{allowed}"]}}\n')
    assert found == ([] if fits else ["AW703 http.get"])


def test_what_an_operation_lists_must_be_allowed(tmp_path: Path) -> None:
    search = does("a", "uses: github.search\nwith: {query: x}\n")
    assert tooled(tmp_path, search)[1] == ["AW703 github.search"]
    found, problems = tooled(tmp_path, search, NETWORK)
    assert problems == []
    assert found is not None
    assert found.nodes["a"].network == ("api.github.com",)
    comment = does("a", "uses: github.comment\nwith: {body: x}\n")
    head = "allow: {write: [github.comment]}\n"
    assert tooled(tmp_path, comment, head)[1] == ["AW704 github.comment"]


def test_secrets_of_every_layer_of_env_must_be_allowed() -> None:
    asks = 'env: {T: "{{ secrets.TOKEN }}"}\n'
    assert findings(step("a", asks)) == ["AW704 Step a"]
    assert findings(step("a"), asks) == ["AW704 Step a"]
    assert findings(group("g", asks, step("a", level=3))) == ["AW704 Step a"]
    found = plan(group("g", asks, step("a", level=3)) + step("b"), "allow: {secrets: [TOKEN]}\n")
    assert found.nodes["a"].secrets == ("TOKEN",)
    assert found.nodes["b"].secrets == ()


def test_an_inner_layer_that_sets_the_variable_gets_no_secret() -> None:
    head = 'env: {T: "{{ secrets.TOKEN }}"}\n'
    assert plan(step("a", "env: {T: none}\n"), head).nodes["a"].secrets == ()


@pytest.mark.parametrize(
    ("path", "allowed", "expected"),
    [
        ("out/x.txt", '"out/**"', []),
        ("out/x.txt", '"**"', []),
        ("out/x.txt", "out/x.txt", []),
        ("out/x.txt", '"*/x.txt"', []),  # for the run to decide
        ("src/x.txt", '"out/**"', ["AW705 file.write"]),
        ("outer/x.txt", '"out/**"', ["AW705 file.write"]),
        ("{{ run.id }}", '"out/**"', []),
    ],
)
def test_a_file_is_written_where_paths_allow_it(
    path: str, allowed: str, expected: list[str]
) -> None:
    body = does("a", f'uses: file.write\nwith: {{path: "{path}", content: x}}\n')
    assert findings(body, f"allow: {{paths: [{allowed}]}}\n") == expected


def test_braces_in_a_path_are_text() -> None:
    body = does("a", "uses: file.write\nwith: {path: 'src/{x}', content: x}\n")
    assert findings(body, 'allow: {paths: ["out/**"]}\n') == ["AW705 file.write"]


def test_a_step_and_a_group_can_only_narrow() -> None:
    head = "allow: {network: [api.github.com, x.org], secrets: [A]}\n"
    assert findings(step("a", "allow: {network: [evil.com]}\n"), head) == ["AW706 evil.com"]
    outer = "allow: {network: [x.org]}\n"
    files = step("a", 'allow: {paths: ["**"]}\n')
    assert findings(files, 'allow: {paths: ["*"]}\n') == ['AW706 "**"']
    inner = step("a", "allow: {network: [api.github.com]}\n", level=3)
    assert findings(group("g", outer, inner), head) == ["AW706 api.github.com"]
    assert findings(group("g", "allow: {network: [y.org]}\n", step("a", level=3)), head) == [
        "AW706 y.org"
    ]


def test_what_a_group_narrows_holds_for_its_steps() -> None:
    head = "allow: {network: [api.github.com, x.org]}\n"
    call = "uses: http.get\nwith: {url: https://api.github.com/x}\n"
    assert findings(does("a", call), head) == []
    inner = group("g", "allow: {network: [x.org]}\n", does("a", call, level=3))
    (found,) = compiled(read(inner, head))[1]
    assert said(found) == "AW703 http.get"
    assert "of the group around it" in str(found.hint)
    narrowed = plan(group("g", "allow: {network: [x.org]}\n", step("a", level=3)), head)
    for name in ("g", "a"):
        allow = narrowed.nodes[name].allow
        assert allow is not None
        assert allow.network == ("x.org",)
    assert plan(step("a"), head).nodes["a"].allow is None


def test_an_undo_is_there_and_allowed() -> None:
    def call(undo: str) -> str:
        return does("a", f"uses: git.branch\nwith: {{name: x}}\nundo: {{{undo}}}\n")

    head = "allow: {write: [git.branch]}\n"
    assert findings(call("uses: git.brnch"), head) == ["AW111 git.brnch"]
    assert findings(call("uses: gti.branch"), head) == ["AW110 gti.branch"]
    assert findings(call("uses: git.commit, with: {message: x}"), head) == ["AW702 git.commit"]
    assert findings(call("uses: git.branch, with: {nmae: x}"), head) == ["AW112 nmae"]
    assert findings(call("uses: git.branch, with: {name: x}"), head) == []
    assert findings(call("uses: 'mcp:files/remove'"), head) == ["AW702 'mcp:files/remove'"]


# -- calls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("uses: gihub.show\n", "AW110 gihub.show"),
        ("uses: github.shwo\n", "AW111 github.shwo"),
        ("uses: github\n", "AW111 github"),
        ("uses: github.show\n", "AW113 github.show"),
        ("uses: github.show\nwith: {number: 3, nubmer: 3}\n", "AW112 nubmer"),
        ("uses: github.show\nwith: {number: three}\n", "AW127 three"),
        ('uses: github.show\nwith: {number: "n{{ run.id }}"}\n', 'AW127 "n{{ run.id }}"'),
        ("uses: http.get\nwith: {ulr: x}\n", "AW112 ulr"),
        ("uses: file.read\nwith: {path: x, encoding: latin}\n", "AW127 latin"),
    ],
)
def test_calls_fit_what_is_declared(tmp_path: Path, call: str, expected: str) -> None:
    found = tooled(tmp_path, does("a", call), 'allow: {network: ["*.org"]}\n')[1]
    assert expected in found


@pytest.mark.parametrize(
    "arguments", ["number: 3", 'number: "{{ inputs.n }}"', "number: 3, verbose: true"]
)
def test_calls_that_fit_are_right(tmp_path: Path, arguments: str) -> None:
    body = does("a", f"uses: github.show\nwith: {{{arguments}}}\n")
    found, problems = tooled(tmp_path, body, "inputs: {n: integer}\n")
    assert problems == []
    assert found is not None
    assert found.nodes["a"].output == found.nodes["a"].operation.output  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        ("github.show", []),
        ("git.*", ["AW702 git.*", "AW702 git.*", "AW702 git.*", "AW705 git.*"]),
        ("github.vague", ["AW114 github.vague"]),
        ("plain.go", ["AW114 plain.go"]),
        ("github.shwo", ["AW111 github.shwo"]),
        ("nothing.at", ["AW110 nothing.at"]),
        ("mcp:files/*", ["AW702 'mcp:files/*'"]),
        ("github.comment", ["AW702 github.comment", "AW704 github.comment"]),
    ],
)
def test_an_agent_is_handed_only_what_is_declared_and_allowed(
    tmp_path: Path, tools: str, expected: list[str]
) -> None:
    quoted = f"'{tools}'" if ":" in tools else tools
    found = tooled(tmp_path, agent("a", "Do it.", f"tools: [{quoted}]\n"))[1]
    codes = [one.partition(" ")[0] for one in found]
    assert codes == [one.partition(" ")[0] for one in expected], found


def test_an_agent_that_may_only_read_is_read_itself() -> None:
    plan, problems = compiled(read(agent("a", "Look.", "tools: [git.diff, file.read]\n")))
    assert problems == []
    assert plan is not None
    node = plan.nodes["a"]
    assert node.effect == "read"
    assert [*node.handed] == ["git.diff", "file.read"]
    assert {str(one.effect) for one in node.handed.values()} == {"read"}


def test_the_built_in_tools_say_what_they_take() -> None:
    for tool in BUILTINS.values():
        for name, operation in tool.operations.items():
            assert operation.name == name
            assert operation.inputs is not None
            assert operation.effect is not None
            assert operation.description.endswith(".")


def test_nothing_follows_from_an_allow_that_cannot_be_read() -> None:
    body = does("a", "uses: git.commit\nwith: {message: x}\nallow: {paths: [a]}\n")
    assert [one.partition(" ")[0] for one in findings(body, "allow: {write: [3]}\n")] == ["AW504"]


def test_all_that_is_missing_is_found_in_one_pass() -> None:
    body = does("a", 'uses: http.post\nwith: {url: https://x.org}\nenv: {T: "{{ secrets.T }}"}\n')
    problems = compiled(read(body))[1]
    assert [one.code for one in problems] == ["AW702", "AW703", "AW704"], shown(problems)
