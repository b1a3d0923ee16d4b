"""A mistake where a name is declared is reported there only, and not at each use of the name."""

from __future__ import annotations

import pytest

from tests.unit.plan.documents import does, findings, group

USES = does("a", "set: {x: '{{ state.x }}', y: '{{ inputs.i }}{{ env.E }}'}\n")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("state: {x: {reduce: appendd}, y: {}}\n", ["AW508 appendd"]),
        ("state: {x: {by: z}, y: {}}\n", ["AW525 by"]),
        ("state: {x: {}, y: {}, 1z: {}}\n", ["AW513 1z"]),
        ("state: [x, y]\n", ["AW503 [x, y]"]),
        ("state: {x: {reduce: sumn}}\n", ["AW508 sumn", "AW124 y"]),
    ],
)
def test_a_mistake_in_state(head: str, expected: list[str]) -> None:
    assert findings(USES, f"{head}inputs: {{i: string}}\nenv: {{E: a}}\n") == expected


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("inputs: {i?: strng}\nenv: {E: a}\n", ["AW517 strng"]),
        ("inputs: i\nenv: {E: a}\n", ["AW503 i"]),
        ("inputs: {j: strng}\nenv: {E: a}\n", ["AW517 strng", "AW108 i"]),
        ("inputs: {i: string}\nenv: {E: [a]}\n", ["AW503 [a]"]),
        ("inputs: {i: string}\nenv: 1\n", ["AW503 1"]),
        ("inputs: {i: string}\n", ["AW108 E"]),
    ],
)
def test_a_mistake_in_inputs_or_env(head: str, expected: list[str]) -> None:
    assert findings(USES, f"state: {{x: {{}}, y: {{}}}}\n{head}") == expected


def test_a_mistake_in_an_input_that_a_trigger_fills() -> None:
    head = "inputs: {i: strng}\non: {webhook: {path: /x, verify: none, inputs: {i: '{{ trigger.body }}'}}}\n"
    assert findings(does("a", "wait: 1s\n"), head) == ["AW517 strng"]


def test_a_mistake_in_the_env_of_a_step_and_of_the_group_around_it() -> None:
    inner = does("a", "env: {F: [2]}\nset: {x: '{{ env.E }}{{ env.F }}{{ env.G }}'}\n", level=3)
    found = findings(group("g", "env: {E: [1]}\n", inner), "state: {x: {}}\n")
    assert found == ["AW503 [1]", "AW503 [2]", "AW108 G"]


def test_a_frontmatter_that_cannot_be_read_declares_whatever_is_used() -> None:
    assert findings(USES, "inputs: {i: string\n") == ["AW313 {"]
