"""What holds of settings in layers, and who said it."""

# ruff: noqa: E501  a case is one line

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiworkflow.errors import UsageError
from aiworkflow.settings.layers import (
    Layer,
    Layered,
    Stratum,
    command_line,
    covers,
    covers_path,
    environment,
    narrow,
    variables,
)
from aiworkflow.settings.options import INTERPRETERS, Limits
from aiworkflow.tools.paths import matches


def at(layer: Layer, **values: object) -> Stratum:
    return Stratum(layer, values, lambda name: f"{layer.name.lower()}:{name}")


def test_the_strongest_layer_wins_whatever_the_order_they_are_given_in() -> None:
    strata = [at(layer, agent=layer.name) for layer in Layer if layer is not Layer.DEFAULT]
    for order in itertools.islice(itertools.permutations(strata), 50):
        value, origin = Layered(order).get("agent")
        assert value == "COMMAND_LINE"
        assert str(origin) == "command line (command_line:agent)"


def test_maps_merge_by_key_and_everything_else_replaces() -> None:
    layered = Layered([
        at(Layer.USER, env={"A": "1", "B": "2"}, agents={"x": {"api": "openai", "model": "m"}}),
        at(Layer.PROJECT, env={"B": "3"}, agents={"x": {"model": "n"}, "y": {"api": "ollama"}}),
        at(Layer.BUNDLE, agent=["a", "b"]),
        at(Layer.STEP, agent=["c"]),
    ])  # fmt: skip
    assert layered.values()["env"] == {"A": "1", "B": "3"}
    assert layered.values()["agents"] == {
        "x": {"api": "openai", "model": "n"},
        "y": {"api": "ollama"},
    }
    assert layered.values()["agent"] == ["c"]
    assert layered.get("env.A")[1].layer is Layer.USER
    assert layered.get("env.B")[1].layer is Layer.PROJECT
    assert layered.get("env")[1].layer is Layer.PROJECT
    assert layered.get("agents.x.api") == (
        "openai",
        layered.get("env.A")[1].__class__(Layer.USER, "user:agents.x.api"),
    )


def test_a_value_replaced_by_a_map_leaves_no_origin_behind() -> None:
    layered = Layered([at(Layer.USER, sandbox="box"), at(Layer.BUNDLE, sandbox={"image": "x"})])
    assert layered.values()["sandbox"] == {"image": "x"}
    assert [row[0] for row in layered.rows() if row[0].startswith("sandbox")] == ["sandbox.image"]


def test_rows_show_every_value_and_its_origin() -> None:
    rows = Layered([at(Layer.PROJECT, limits={"max_parallel": 2})]).rows()
    shown = {name: (value, str(origin)) for name, value, origin in rows}
    assert shown["limits.max_parallel"] == (
        2,
        "project's config.yaml (project:limits.max_parallel)",
    )
    assert shown["limits.inline_output"] == ("32KiB", "default")
    assert [name for name, _, _ in rows] == sorted(name for name, _, _ in rows)


def test_allow_only_narrows_and_the_frontmatter_grants() -> None:
    frontmatter = at(
        Layer.FRONTMATTER,
        allow={"network": ["api.github.com", "evil.test"], "write": ["github.comment"]},
    )
    project = at(Layer.PROJECT, allow={"network": ["*.github.com", "other.test"]})
    layered = Layered([frontmatter, project, at(Layer.COMMAND_LINE, allow={"secrets": ["ALL"]})])
    assert layered.values()["allow"] == {
        "network": ["api.github.com"],
        "write": ["github.comment"],
        "secrets": [],
        "paths": [],
    }
    assert Layered([at(Layer.FRONTMATTER), project]).values()["allow"]["network"] == []
    assert layered.options().allow == {
        "network": ("api.github.com",),
        "write": ("github.comment",),
        "secrets": (),
        "paths": (),
    }


def test_budget_is_the_smallest_anyone_says() -> None:
    layered = Layered(
        [
            at(Layer.USER, budget={"usd": 1, "tokens": "10k"}),
            at(Layer.COMMAND_LINE, budget={"usd": 9, "tokens": 500}),
        ]
    )
    assert layered.get("budget.usd") == (1, layered.get("budget.usd")[1])
    assert layered.get("budget.usd")[1].layer is Layer.USER
    assert layered.get("budget.tokens")[0] == 500


@pytest.mark.parametrize(
    ("wide", "small", "fits"),
    [
        ("a.test", "a.test", True), ("*.a.test", "b.a.test", True), ("*.a.test", "a.test", False),
        ("*.a.test", "*.b.a.test", True), ("*.a.test", "xa.test", False), ("a.test", "a.test:80", True),
        ("a.test:80", "a.test", False), ("*.a.test", "b.a.test:80", True), ("*.a.test:80", "b.a.test", False),
        ("b.a.test", "*.a.test", False), ("github.*", "github.comment", True), ("github.*", "git.comment", False),
        ("github", "github.comment", False), ("*.a.test", "evil.test:a.test", False),
    ],
)  # fmt: skip
def test_what_a_permission_includes(wide: str, small: str, fits: bool) -> None:
    assert covers(wide, small) is fits


PATTERNS = st.sampled_from(
    [
        "a.test",
        "*.a.test",
        "b.a.test",
        "*.b.a.test",
        "b.a.test:80",
        "t.*",
        "t.x",
        "d/**",
        "d/e",
        "*",
    ]
)


@given(st.lists(PATTERNS), st.lists(PATTERNS))
def test_narrowing_never_widens(first: list[str], second: list[str]) -> None:
    for permission, within in (("network", covers), ("paths", covers_path)):
        for one in narrow(permission, first, second):
            assert any(within(wide, one) for wide in first)
            assert any(within(wide, one) for wide in second)


NAMES = st.sampled_from(["a", "b", "*", "**", "?", "a*", "*.b", "a.*", "[ab]", "a.b", ".", ""])
PATH_PATTERNS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
PATHS = st.lists(st.sampled_from(["a", "b", "a.b", "ab"]), min_size=1, max_size=3).map("/".join)


@given(PATH_PATTERNS, PATH_PATTERNS, PATHS)
@example("*", "**", "a/b")
@example("*.b", "b/a.b", "b/a.b")
@example("a.*", "a.b/**", "a.b/a")
@example("a/*", "a/", "a/b/a")
def test_a_pattern_that_is_covered_means_no_other_path(wide: str, small: str, path: str) -> None:
    if covers_path(wide, small) and matches(small, path):
        assert matches(wide, path)


@pytest.mark.parametrize(
    ("wide", "small"),
    [
        ("**", "x/*"),
        ("out/**", "out/a/**"),
        ("out/*", "out/a.txt"),
        ("*.txt", "a*.txt"),
        ("a*", "ab"),
        ("docs/**", "docs/a/b"),
        ("**", "anything"),
    ],
)
def test_a_narrower_pattern_is_covered(wide: str, small: str) -> None:
    assert covers_path(wide, small)
    assert not covers_path(small, wide)


def test_variables_are_a_layer() -> None:
    stratum, strangers = environment({
        "AIWORKFLOW_AGENT": "ollama/x", "AIWORKFLOW_LIMITS__MAX_PARALLEL": "3", "AIWORKFLOW_LIMITS__OUTPUT": "1MiB",
        "AIWORKFLOW_TIMEOUT": "5m", "AIWORKFLOW_CONTEXT": "/x", "AIWORKFLOW_LIMIT": "9", "PATH": "/bin",
    })  # fmt: skip
    assert strangers == ["AIWORKFLOW_LIMIT"]
    layered = Layered([stratum])
    options = layered.options()
    assert options.agent == ("ollama/x",)
    assert (options.limits.max_parallel, options.limits.output_bytes, options.timeout_s) == (
        3,
        2**20,
        300,
    )
    assert (
        str(layered.get("limits.max_parallel")[1])
        == "environment (AIWORKFLOW_LIMITS__MAX_PARALLEL)"
    )


def test_a_variable_with_a_wrong_value_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="`AIWORKFLOW_TIMEOUT` takes a duration such as") as caught:
        environment({"AIWORKFLOW_TIMEOUT": "soon"})
    assert caught.value.hint == "set `AIWORKFLOW_TIMEOUT` to such a value, or unset it"


def test_each_variable_names_its_setting() -> None:
    assert dict(variables())["AIWORKFLOW_LIMITS__MAX_ITEMS"] == "limits.max_items"


def test_options_without_any_layer_are_the_defaults() -> None:
    options = Layered([]).options()
    assert options.limits == Limits()
    assert options.interpreters == INTERPRETERS
    assert (options.journal, options.workspace, options.allow, options.timeout_s) == (
        ("sqlite",),
        "here",
        None,
        None,
    )


def test_options_are_typed() -> None:
    options = Layered([at(
        Layer.PROJECT, agent=["a", "b/m"], env={"A": "1"}, records="docs/runs", interpreters={"ruby": "ruby -w"},
    )]).options()  # fmt: skip
    assert options.agent == ("a", "b/m")
    assert options.records == "docs/runs"
    assert options.interpreters["ruby"] == "ruby -w"
    assert options.interpreters["bash"] == "bash -e -o pipefail"


def test_settings_of_the_command_line_are_nested_by_their_names() -> None:
    values = command_line(
        {"limits.max_parallel": "3", "agent": "a", "env.LEVEL": "2", "agents.x.model": "m"}
    )
    assert values == {
        "limits": {"max_parallel": "3"},
        "agent": "a",
        "env": {"LEVEL": "2"},
        "agents": {"x": {"model": "m"}},
    }
    assert Layered([Stratum(Layer.COMMAND_LINE, values)]).options().limits.max_parallel == 3


@pytest.mark.parametrize(
    ("name", "value", "message", "hint"),
    [
        (
            "limits.max_paralel",
            "3",
            "`limits.max_paralel` is no setting of the command line",
            "did you mean `limits.max_parallel`?",
        ),
        (
            "allow.network",
            "*",
            "`allow.network` is no setting of the command line",
            "give one of `agent`",
        ),
        ("env.A-B", "x", "`env.A-B` is no setting of the command line", "give one of"),
        ("timeout", "soon", "`timeout` takes a duration such as", ""),
    ],
)
def test_wrong_settings_of_the_command_line_are_refused(
    name: str, value: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        command_line({name: value})
    assert caught.value.message.startswith(message)
    assert (caught.value.hint or "").startswith(hint)
