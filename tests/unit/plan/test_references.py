"""Names resolve to what is certainly there by then; everything else is found before the run."""

from __future__ import annotations

import pytest

from tests.unit.plan.documents import (
    agent,
    compiled,
    does,
    findings,
    group,
    plan,
    read,
    said,
    shown,
    step,
)

INPUTS = "inputs: {name: string, files: [{path: string, size: integer}], big?: integer}\n"
EVENTS = "on: {webhook: {path: /hook, verify: {github: HOOK}}}\n"


def reads(expression: str, settings: str = "", id_: str = "b", level: int = 2) -> str:
    return step(id_, f'{settings}with: {{x: "{{{{ {expression} }}}}"}}\n', level=level)


# -- steps -----------------------------------------------------------------------------------------


def test_an_earlier_step_may_be_read() -> None:
    plan(step("a") + reads("steps.a.output ~ steps.a.status ~ steps.a.error.exit_code"))


def test_a_step_that_does_not_exist_is_shown_with_its_exact_place_and_the_nearest_name() -> None:
    (found,) = compiled(read(step("review") + step("b", "if: steps.reveiw.output == 8\n")))[1]
    assert said(found) == "AW103 reveiw"
    assert found.message == "`if` refers to a step that does not exist"
    assert found.hint == "did you mean `review`?"


def test_a_later_step_and_the_step_itself_may_not_be_read() -> None:
    assert findings(reads("steps.c.output") + step("c")) == ["AW109 c"]
    (found,) = compiled(read(reads("steps.b.output")))[1]
    assert (found.code, found.message) == ("AW109", "`b` is this very step")


def test_references_never_create_order() -> None:
    body = step("a") + step("b") + reads("steps.b.output", "needs: [a]\n", "c")
    (found,) = compiled(read(body))[1]
    assert (found.code, found.hint) == ("AW109", "add `needs: [b]`, or move this step after it")


def test_what_ended_before_something_needed_may_be_read() -> None:
    body = step("a") + step("b", "needs: [a]\n") + step("c", "needs: [b]\n")
    plan(body + reads("steps.a.output", "needs: [c]\n", "d"))


def test_siblings_of_a_parallel_group_may_not_be_read() -> None:
    body = group("g", "parallel: true\n", step("a", level=3), reads("steps.a.output", level=3))
    assert findings(body) == ["AW109 a"]
    needed = reads("steps.a.output", "needs: [a]\n", level=3)
    plan(group("g", "parallel: true\n", step("a", level=3), needed))


def test_steps_in_a_group_are_read_by_id_from_outside_and_read_what_is_before_the_group() -> None:
    inner = group("h", "", reads("steps.a.output", level=4), level=3)
    plan(step("a") + group("g", "", inner) + reads("steps.b.output ~ steps.h.output", id_="c"))


def test_a_step_cannot_read_the_group_it_is_in() -> None:
    (found,) = compiled(read(group("g", "", reads("steps.g.output", level=3))))[1]
    assert (found.code, found.message) == ("AW109", "this step is part of `g`")


def test_items_of_an_each_are_read_through_the_list_of_all() -> None:
    body = group("g", "each: inputs.files\n", step("a", level=3)) + reads("steps.a.output")
    (found,) = compiled(read(body, INPUTS))[1]
    assert found.code == "AW109"
    assert found.hint == "read the list of all items: `steps.g.output`"


def test_within_an_each_a_sibling_is_that_of_the_same_item() -> None:
    plan(
        group("g", "each: inputs.files\n", step("a", level=3), reads("steps.a.output", level=3)),
        INPUTS,
    )


def test_final_steps_read_all_others_of_their_group() -> None:
    body = step("a") + group("g", "parallel: true\n", step("c", level=3), step("d", level=3))
    plan(body + reads("steps.a.status ~ steps.c.status ~ steps.d.status", "finally: true\n"))


def test_a_final_step_is_read_by_later_final_steps_only() -> None:
    body = step("a") + step("f", "finally: true\n")
    plan(body + reads("steps.f.output", "finally: true\n"))
    (found,) = compiled(read(reads("steps.f.output") + step("f", "finally: true\n")))[1]
    assert (found.code, found.message) == ("AW109", "`f` is `finally`: it runs after this step")


def test_outputs_read_everything_but_items() -> None:
    body = step("a") + group("g", "", step("c", level=3))
    plan(body, 'outputs: {x: "{{ steps.a.output }}", y: "{{ steps.c.output }}"}\n')
    body = group("g", "each: inputs.files\n", step("c", level=3))
    head = INPUTS + 'outputs: {y: "{{ steps.c.output }}"}\n'
    assert findings(body, head) == ["AW109 c"]


def test_result_and_until_read_the_steps_of_their_group() -> None:
    settings = 'until: steps.a.output == "done"\nmax_rounds: 3\nresult: "{{ steps.a.output }}"\n'
    plan(group("g", settings, step("a", level=3)))
    plan(group("g", 'result: "{{ steps.a.output }}"\n', step("a", level=3)))


def test_the_if_of_a_group_reads_what_is_before_the_group_only() -> None:
    assert findings(group("g", "if: steps.a.output\n", step("a", level=3))) == ["AW109 a"]


@pytest.mark.parametrize("expression", ["steps[inputs.name].output", "steps | keys", "steps[0]"])
def test_steps_are_named_not_computed(expression: str) -> None:
    body = step("a") + step("b", f'with: {{x: "{{{{ {expression} }}}}"}}\n')
    assert [one.partition(" ")[0] for one in findings(body, INPUTS)] == ["AW119"]


def test_a_step_has_three_fields() -> None:
    (found,) = compiled(read(step("a") + reads("steps.a.outptu")))[1]
    assert (said(found), found.hint) == ("AW108 outptu", "did you mean `output`?")
    (found,) = compiled(read(step("a") + reads("steps.a.exit_code")))[1]
    assert said(found) == "AW108 exit_code"


# -- rounds ----------------------------------------------------------------------------------------

UNTIL = "until: round > 2\nmax_rounds: 3\n"


def test_in_an_until_itself_and_later_siblings_are_those_of_the_round_before() -> None:
    body = group("g", UNTIL, reads("steps.b.output ~ steps.c.output", level=3), step("c", level=3))
    plan(body)


def test_in_an_until_what_is_in_a_later_group_is_of_the_round_before() -> None:
    later = group("h", "", step("c", level=4), level=3)
    plan(group("g", UNTIL, reads("steps.c.output", level=3), later))


def test_in_an_until_steps_that_run_together_cannot_be_read() -> None:
    together = reads("steps.c.output", level=3) + step("c", level=3)
    assert findings(group("g", UNTIL + "parallel: true\n", together)) == ["AW109 c"]
    body = (
        step("a", level=3)
        + reads("steps.c.output", "needs: [a]\n", level=3)
        + step("c", "needs: [a]\n", level=3)
    )
    assert findings(group("g", UNTIL, body)) == ["AW109 c"]


def test_in_an_until_a_nested_group_has_no_round_before_of_its_own() -> None:
    nested = group("h", "", reads("steps.c.output", level=4), step("c", level=4), level=3)
    assert findings(group("g", UNTIL, nested)) == ["AW109 c"]
    plan(group("g", UNTIL, group("h", "", reads("steps.h.output", level=4), level=3)))


def test_the_round_before_is_null_in_the_first_round() -> None:
    body = group("g", UNTIL, reads("steps.c.output.x", level=3), step("c", level=3))
    (found,) = compiled(read(body))[1]
    assert found.code == "AW116"
    assert "this is the first round" in found.message


def test_round_is_known_in_an_until_only() -> None:
    plan(group("g", UNTIL, reads("round", level=3)))
    (found,) = compiled(read(reads("round")))[1]
    assert (found.code, found.hint) == (
        "AW108",
        "`round` is known within a group with `until` only",
    )


# -- other names -----------------------------------------------------------------------------------


def test_items_are_known_in_their_each_only() -> None:
    plan(reads("item.path ~ index", "each: inputs.files\n"), INPUTS)
    plan(reads("file.path", "each: inputs.files\nas: file\n"), INPUTS)
    plan(group("g", "each: inputs.files\n", reads("item.path", level=3)), INPUTS)
    assert findings(reads("item ~ index"), INPUTS) == ["AW108 item", "AW108 index"]
    assert findings(reads("item", "each: inputs.files\nas: file\n"), INPUTS) == ["AW108 item"]


def test_each_itself_does_not_know_its_item() -> None:
    assert findings(step("b", "each: item.x\n")) == ["AW108 item"]


@pytest.mark.parametrize(
    ("expression", "place", "hint"),
    [
        ("inputs.nmae", "nmae", "did you mean `name`?"),
        ("state.x", "x", "no state value is declared"),
        ("run.idd", "idd", "did you mean `id`?"),
        ("env.HOME", "HOME", "no environment variable is declared"),
        ("name", "name", "write `inputs.name`"),
        ("a.output", "a", "write `steps.a.output`"),
        ("input.name", "input", "did you mean `inputs`?"),
        ("output", "output", "`output` is known in `undo` only"),
        ("zzz", "zzz", "names are inputs, steps, state, index, round, trigger, run, env"),
    ],
)
def test_what_is_not_defined_is_said_with_the_way_out(
    expression: str, place: str, hint: str
) -> None:
    (found,) = compiled(read(step("a") + reads(expression), INPUTS))[1]
    assert (said(found), found.hint) == (f"AW108 {place}", hint)


def test_env_is_the_declared_layers_around() -> None:
    head = 'env: {A: "1", B: "{{ run.id }}"}\n'
    inner = step(
        "s", 'env: {D: "{{ env.C }}"}\nwith: {x: "{{ env.A ~ env.C ~ env.D }}"}\n', level=3
    )
    plan(group("g", 'env: {C: "{{ env.B }}"}\n', inner), head)


def test_a_layer_of_env_sees_only_those_outside_of_it() -> None:
    assert findings(step("s", 'env: {A: "1", B: "{{ env.A }}"}\n')) == ["AW108 A"]
    assert findings(step("s"), 'env: {A: "1", B: "{{ env.A }}"}\n') == ["AW108 A"]
    assert findings(step("s", "env: {A: '1'}\nif: env.A == '1'\n")) == ["AW108 A"]


def test_env_may_be_asked_for_with_a_default() -> None:
    plan(reads("env.A | default('x')"))


def test_state_is_read_where_it_is_declared() -> None:
    plan(reads("state.best"), "state: {best: {reduce: max}}\n")
    assert findings(reads("state.bset | default(1)"), "state: {best: {reduce: max}}\n") == [
        "AW108 bset"
    ]


def test_trigger_is_read_only_in_workflows_with_triggers() -> None:
    plan(reads("trigger.type"))
    plan(reads("trigger.body.x"), EVENTS)
    plan(reads("trigger.body.x | default('')"))
    assert findings(reads("trigger.body.x")) == ["AW115 trigger.body.x"]


def test_triggers_fill_inputs_that_exist_from_the_trigger_alone() -> None:
    def head(inputs: str) -> str:
        on = f"on: {{webhook: {{path: /h, verify: {{github: H}}, inputs: {inputs}}}}}\n"
        return "inputs: {name: string, size?: integer}\n" + on

    plan(step("a"), head('{name: "{{ trigger.body.name }}"}'))
    assert findings(step("a"), head('{name: x, nmae: "x"}')) == ["AW108 nmae"]
    assert findings(step("a"), head('{name: "{{ run.id }}"}')) == ["AW108 run"]
    assert findings(step("a"), head('{name: "{{ trigger.bdy }}"}')) == ["AW108 bdy"]
    plan(step("a"), head("{name: \"{{ trigger.bdy | default('') }}\"}"))


def test_what_a_trigger_can_never_start_is_found_before() -> None:
    def head(on: str) -> str:
        return f"inputs: {{size: integer, name?: string}}\non: {on}\n"

    def webhook(more: str) -> str:
        return head(f"{{webhook: {{path: /h, verify: none, {more}}}}}")

    filled = "inputs: {size: 1}"
    plan(step("a"), webhook(filled))
    plan(step("a"), webhook("start: false"))
    assert findings(step("a"), head("{schedule: '@daily'}")) == ["AW113 '@daily'"]
    assert findings(step("a"), webhook("inputs: {name: x}")) == ["AW113 inputs"]
    assert findings(step("a"), webhook("inputs: {size: big}")) == ["AW127 big"]
    assert findings(step("a"), webhook("inputs: {size: 'a{{ trigger.event }}'}")) == [
        "AW127 'a{{ trigger.event }}'"
    ]
    for key in ("inputs: {size: 1}", "respond: wait", "overlap: skip"):
        found = findings(step("a"), webhook(f"start: false, {key}"))
        assert found == [f"AW512 {key.partition(':')[0]}"]
    limit = head("{schedule: {cron: '@daily', missed_limit: 3, inputs: {size: 1}}}")
    assert findings(step("a"), limit) == ["AW512 missed_limit"]


def test_trigger_has_the_fields_of_what_starts_the_workflow() -> None:
    schedule = "on: {schedule: '@daily'}\n"
    plan(reads("trigger.time"), schedule)
    plan(reads("trigger.at"), schedule)
    assert findings(reads("trigger.body.x"), schedule) == ["AW108 body"]
    plan(reads("trigger.body.x"), "on: {schedule: '@daily', queue: {name: q}}\n")


def test_secrets_stand_in_env_only() -> None:
    head = "allow: {secrets: [TOKEN]}\n"
    plan(step("a", 'env: {T: "{{ secrets.TOKEN }}"}\n'), head)
    assert findings(reads("secrets.TOKEN"), head) == ["AW515 {{ secrets.TOKEN }}"]
    assert findings(agent("a", "Log in with {{ secrets.TOKEN }}."), head) == ["AW707 secrets.TOKEN"]


def test_undo_reads_the_output_of_its_step() -> None:
    settings = 'uses: git.branch\nwith: {name: x}\nundo: {uses: git.branch, with: {name: "{{ output.name }}"}}\n'
    plan(does("a", settings), "allow: {write: [git.branch]}\n")


def test_every_mistake_is_found_in_one_pass() -> None:
    prompt = "{{ steps.nope.output }} {{ inputs.x }} {{ what }}"
    found = findings(agent("a", prompt, "needs: [b]\n") + step("c", "if: steps.d.output\n"))
    assert found == ["AW103 b", "AW103 nope", "AW108 x", "AW108 what", "AW103 d"]


# -- types -----------------------------------------------------------------------------------------

SCORED = "output: {score: integer, level: low | high, notes: [{text: string}]}\n"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("steps.a.output.scor", "AW430 scor"),
        ("steps.a.output.score.x", "AW431 x"),
        ("steps.a.output.notes[0].txt", "AW430 txt"),
        ("steps.a.output.notes.text", "AW431 text"),
        ("steps.a.error.kidn", "AW430 kidn"),
        ("steps.g.output.a.scor", "AW430 scor"),
        ("steps.g.output.b", "AW430 b"),
        ("inputs.files[0].pth", "AW430 pth"),
        ("steps.a.status == 'success'", "AW433 'success'"),
        ("steps.a.output.level == 'medium'", "AW433 'medium'"),
    ],
)
def test_fields_are_those_of_the_declared_types(expression: str, expected: str) -> None:
    body = group("g", "", step("a", SCORED, level=3)) + reads(expression)
    assert findings(body, INPUTS) == [expected]


def test_items_have_the_type_of_the_elements_of_their_list() -> None:
    body = step("a", SCORED) + reads("item.txt", "each: steps.a.output.notes\n")
    assert findings(body) == ["AW430 txt"]
    inner = reads("part.txt", "each: file.parts\nas: part\n", level=3)
    head = "inputs: {files: [{parts: [{text: string}]}]}\n"
    assert findings(group("g", "each: inputs.files\nas: file\n", inner), head) == ["AW430 txt"]


def test_the_output_of_an_each_is_a_list() -> None:
    body = step("a", SCORED + "each: inputs.files\n") + reads("steps.a.output.score")
    assert findings(body, INPUTS) == ["AW431 score"]
    plan(step("a", SCORED + "each: inputs.files\n") + reads("steps.a.output[0].score"), INPUTS)


def test_answers_and_gates_have_types() -> None:
    body = does("q", "ask: {fields: {go: boolean}}\n", prose="Go?") + does(
        "w", "approve: true\n", prose="Sure?"
    )
    assert findings(body + reads("steps.q.output.og ~ steps.w.output.who")) == [
        "AW430 og",
        "AW430 who",
    ]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("inputs.name", "AW117"),
        ("inputs.big", "AW117"),
        ("inputs.files[0]", "AW117"),
        ("'abc'", "AW117"),
        ("inputs.files", None),
        ("inputs.name | lines", None),
        ("range(3)", None),
    ],
)
def test_each_takes_a_list(value: str, code: str | None) -> None:
    found = findings(step("a", f'each: "{{{{ {value} }}}}"\n'), INPUTS)
    assert [one.partition(" ")[0] for one in found] == ([] if code is None else [code])


# -- null ------------------------------------------------------------------------------------------

MAYBE = 'if: run.id == "1"\n'


@pytest.mark.parametrize(
    ("first", "then", "words"),
    [
        (step("a", MAYBE), reads("steps.a.output.x"), "it is skipped or fails"),
        (step("a", "on_error: continue\n"), reads("steps.a.output.x"), "it is skipped or fails"),
        (
            group("g", MAYBE, step("a", level=3)),
            reads("steps.a.output.x"),
            "`g` is skipped or fails",
        ),
        (
            group("g", "parallel: any\n", step("a", level=3), step("z", level=3)),
            reads("steps.a.output.x"),
            "`g` has enough without it",
        ),
        (step("a"), reads("steps.a.output.x", "finally: true\n"), "a step before it fails"),
        (
            step("a", MAYBE),
            step("b", 'else: true\nwith: {x: "{{ steps.a.output.x }}"}\n'),
            "it is skipped or fails",
        ),
    ],
)
def test_a_field_of_what_may_be_null_is_warned_about(first: str, then: str, words: str) -> None:
    found, problems = compiled(read(first + then))
    assert found is not None
    assert [one.code for one in problems] == ["AW116"]
    assert words in problems[0].message


@pytest.mark.parametrize(
    "then",
    [
        reads("steps.a.output"),
        reads("steps.a.output.x | default('')"),
        reads("steps.a.output.x if steps.a.output else ''"),
        reads("steps.a.output.x", 'if: steps.a.status == "succeeded"\n'),
        group("h", "if: steps.a.output\n", reads("steps.a.output.x", level=3)),
        reads("steps.a.output.x", MAYBE),
        agent("b", "{% if steps.a.output %}{{ steps.a.output.x }}{% endif %}"),
    ],
)
def test_a_guard_takes_the_warning_away(then: str) -> None:
    assert shown(compiled(read(step("a", MAYBE) + then))[1]) == []


def test_within_the_group_that_may_be_skipped_nothing_is_null() -> None:
    body = group("g", MAYBE, step("a", level=3), reads("steps.a.output.x", level=3))
    assert findings(body) == []
