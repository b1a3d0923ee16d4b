"""An outside event reaches the steps that wait for it by `match`: those, once, and nobody folds a run."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiworkflow.runtime.submit import KEPT_S
from aiworkflow.runtime.waits import AWAITED, WAIT
from aiworkflow.triggers.delivery import DELIVERED, Delivery
from tests.unit.triggers.hooks import NOW, Hooks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HEAD = """inputs: {id: integer}
on:
  webhook: {path: /h, verify: {github: HOOK}, start: false}
outputs: {got: "{{ steps.w.output }}"}"""
WAITS = """
---
## Wait

```yaml step
id: w
wait: {event: deployed, match: trigger.body.id == inputs.id, timeout: 1h}
```
"""
FLOW = HEAD + WAITS


def with_runs(
    tmp_path: Path,
    test: Callable[[Hooks, list[str]], Awaitable[None]],
    flow: str = FLOW,
    count: int = 3,
    **others: str,
) -> None:
    """Runs of `flow` with the ids 1, 2, …, each at rest at its wait."""

    async def go() -> None:
        async with Hooks(tmp_path, {"flow": flow, **others}) as it:
            runs = []
            for number in range(count):
                run = await it.client.start("flow", {"id": number + 1})
                assert str((await run.result()).status) == "waiting"
                runs.append(run.id)
            await test(it, runs)

    asyncio.run(go())


async def finish(it: Hooks, run: str) -> Any:
    return await (await it.client.resume(run)).result()


def answers(it: Hooks, run: str) -> int:
    records = it.client.journal.read(run)
    return sum(json.loads(record.payload)["t"] == "answered" for record in records)


def test_an_event_reaches_the_run_that_waits_for_it(tmp_path: Path) -> None:
    async def test(it: Hooks, runs: list[str]) -> None:
        assert len(it.client.journal.registers(AWAITED)) == 3
        reply = await it.send("/h", {"id": 2}, event="deployed")
        assert (reply.status, reply.json) == (202, {"run": None, "reached": [f"{runs[1]}/w"]})
        again = await it.send("/h", {"id": 2}, event="deployed")
        assert again.json == {"run": None}
        result = await finish(it, runs[1])
        assert str(result.status) == "succeeded"
        got = result.outputs["got"]
        assert (got["body"], got["event"], got["type"]) == ({"id": 2}, "deployed", "webhook")
        assert [answers(it, run) for run in runs] == [0, 1, 0]
        assert len(it.client.journal.registers(AWAITED)) == 2
        assert sorted(it.runs()) == sorted(runs)

    with_runs(tmp_path, test)


def test_what_does_not_match_or_has_another_name_reaches_nobody(tmp_path: Path) -> None:
    async def test(it: Hooks, runs: list[str]) -> None:
        for number, (body, event) in enumerate(
            [({"id": 9}, "deployed"), ({}, "deployed"), ({"id": "1"}, "deployed"), ([], "deployed"), ({"id": 1}, "push")]
        ):  # fmt: skip
            reply = await it.send("/h", body, event=event, delivery=str(number))
            assert reply.json == {"run": None}
        assert [answers(it, run) for run in runs] == [0, 0, 0]

    with_runs(tmp_path, test)


def test_an_event_with_its_action_is_awaited_by_both_names(tmp_path: Path) -> None:
    flow = FLOW.replace("event: deployed", "event: issues.opened")

    async def test(it: Hooks, runs: list[str]) -> None:
        body = {"id": 1, "action": "closed"}
        assert (await it.send("/h", body, event="issues")).json == {"run": None}
        body["action"] = "opened"
        reply = await it.send("/h", body, event="issues", delivery="d-2")
        assert reply.json["reached"] == [f"{runs[0]}/w"]

    with_runs(tmp_path, test, flow)


def test_a_wait_whose_time_is_over_is_not_reached(tmp_path: Path) -> None:
    async def test(it: Hooks, runs: list[str]) -> None:
        it.clock.skip_to(NOW + 3601)
        assert (await it.send("/h", {"id": 1}, event="deployed")).json == {"run": None}
        result = await finish(it, runs[0])
        assert result.steps["w"].error.kind == "timeout"
        assert len(it.client.journal.registers(AWAITED)) == 2

    with_runs(tmp_path, test)


def test_who_may_speak_to_one_bundle_cannot_answer_another(tmp_path: Path) -> None:
    other = "on:\n  webhook: {path: /o, verify: {github: HOOK}, start: false}"

    async def test(it: Hooks, runs: list[str]) -> None:
        assert (await it.send("/o", {"id": 1}, event="deployed")).json == {"run": None}
        assert (await it.send("/h", {"id": 1}, event="deployed")).json["reached"]

    with_runs(tmp_path, test, other=other)


def test_a_called_workflow_is_reached_by_what_its_caller_may_hear(tmp_path: Path) -> None:
    child = "inputs: {id: integer}" + WAITS
    calls = (
        "## Call\n\n```yaml step\nid: w\nworkflow: ../child\nwith: {id: '{{ inputs.id }}'}\n```\n"
    )

    async def test(it: Hooks, runs: list[str]) -> None:
        reply = await it.send("/h", {"id": 1}, event="deployed")
        assert len(reply.json["reached"]) == 1
        assert str((await finish(it, runs[0])).status) == "succeeded"

    with_runs(tmp_path, test, f"{HEAD}\n---\n{calls}", 1, child=child)


def test_an_event_counts_once_for_a_run_that_waits_again_and_again(tmp_path: Path) -> None:
    loop = """
---
## Loop

```yaml step
id: rounds
until: round == 2
max_rounds: 3
```

### Wait

```yaml step
id: w
wait: {event: deployed, match: "trigger.body.id == inputs.id and round > 0"}
```
"""

    async def test(it: Hooks, runs: list[str]) -> None:
        (run,) = runs
        assert len((await it.send("/h", {"id": 1}, event="deployed")).json["reached"]) == 1
        assert str((await finish(it, run)).status) == "waiting"
        again = await it.send("/h", {"id": 1}, event="deployed")
        assert again.json == {"run": None}
        it.clock.skip_to(NOW + 13 * 86_400)  # an event is known for two weeks
        Delivery(it.client.journal, it.clock, it.client.project.ids).sweep()
        late = await it.send("/h", {"id": 1}, event="deployed")
        assert late.json == {"run": None}
        assert answers(it, run) == 1
        other = await it.send("/h", {"id": 1}, event="deployed", delivery="d-2")
        assert len(other.json["reached"]) == 1
        assert str((await finish(it, run)).status) == "succeeded"

    with_runs(tmp_path, test, HEAD.partition("outputs")[0].rstrip() + loop, 1)


def test_the_run_that_an_event_starts_is_not_reached_by_it(tmp_path: Path) -> None:
    flow = FLOW.replace(", start: false", ", inputs: {id: '{{ trigger.body.id }}'}")

    async def test(it: Hooks, _: list[str]) -> None:
        first = await it.send("/h", {"id": 7}, event="deployed")
        run = first.json["run"]
        assert str((await finish(it, run)).status) == "waiting"
        again = await it.send("/h", {"id": 7}, event="deployed")
        assert (again.status, again.json) == (200, {"run": run})
        other = await it.send("/h", {"id": 7}, event="deployed", delivery="d-2")
        assert other.json["reached"] == [f"{run}/w"]

    with_runs(tmp_path, test, flow, 0)


def test_many_deliveries_at_once_are_one_answer(tmp_path: Path) -> None:
    async def test(it: Hooks, runs: list[str]) -> None:
        replies = await asyncio.gather(
            *(it.send("/h", {"id": 1}, event="deployed", delivery=f"d-{n % 3}") for n in range(12))
        )
        assert sum(len(reply.json.get("reached", ())) for reply in replies) == 1
        assert answers(it, runs[0]) == 1

    with_runs(tmp_path, test)


def test_a_person_may_signal_it_too_and_nothing_is_left_over(tmp_path: Path) -> None:
    async def test(it: Hooks, runs: list[str]) -> None:
        it.client.waits.signal(runs[0], "deployed", {"by": "hand"})
        assert len(it.client.journal.registers(AWAITED)) == 2
        assert (await finish(it, runs[0])).outputs["got"] == {"by": "hand"}
        it.client.signals.cancel(runs[1])
        await finish(it, runs[1])
        assert len(it.client.journal.registers(AWAITED)) == 1
        assert len(it.client.journal.registers(WAIT)) == 1

    with_runs(tmp_path, test)


def test_a_match_that_takes_too_much_is_no_match(tmp_path: Path) -> None:
    match = "(range(9000) | map('x') | list | length) > 0 or trigger.body.id == inputs.id"
    flow = FLOW.replace("trigger.body.id == inputs.id", f'"{match}"')

    async def test(it: Hooks, runs: list[str]) -> None:
        assert (await it.send("/h", {"id": 1}, event="deployed")).status == 202

    with_runs(tmp_path, test, flow, 1)


def test_what_match_reads_of_the_run_is_bounded(tmp_path: Path) -> None:
    flow = (
        "inputs: {id: integer}\non:\n  webhook: {path: /h, verify: {github: HOOK}, start: false}"
        + WAITS.replace("inputs.id", "(inputs | to_json | length) and ('x' * 70000) ~ state.s")
        .replace("match: trigger", 'match: "trigger')
        .replace("state.s,", 'state.s",')
    )
    flow = flow.replace("\n---\n", "\nstate: {s: {reduce: last}}\n---\n## Set\n\n```yaml step\nid: s\nset: {s: \"{{ 'x' * 70000 }}\"}\n```\n\n", 1)  # fmt: skip

    async def go() -> None:
        async with Hooks(tmp_path, {"flow": flow}) as it:
            result = await (await it.client.start("flow", {"id": 1})).result()
            assert "`wait.match` reads" in str(result.error.message if result.error else "")

    asyncio.run(go())


def test_what_was_delivered_long_ago_is_forgotten(tmp_path: Path) -> None:
    async def test(it: Hooks, runs: list[str]) -> None:
        await it.send("/h", {"id": 1}, event="deployed")
        delivery = Delivery(it.client.journal, it.clock, it.client.project.ids)
        assert delivery.sweep() == 0
        it.clock.skip_to(NOW + KEPT_S + 1)
        assert delivery.sweep() == 1
        assert it.client.journal.registers(DELIVERED) == []

    with_runs(tmp_path, test)
