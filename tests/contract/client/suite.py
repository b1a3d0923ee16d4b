"""What every client keeps, whether its project is on this machine or behind a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest

from aiworkflow.client.calling import CallNotAgreed
from aiworkflow.client.inputs import InputsInvalid
from aiworkflow.client.project import BundleInvalid
from aiworkflow.errors import AIWorkflowError, UsageError
from aiworkflow.journal import UnknownRun
from tests.api_server import GATE, WAIT
from tests.support import Project, group, script

Clients = Callable[[], Any]

ASK = """## Which

```yaml step
id: which
ask: {fields: {colour: "red|blue", size: {type: integer, default: 3}}}
```

Which colour?

"""


def write_bundles(project: Project) -> None:
    project.workflow(
        script("one", 'echo "hello $WHO"; echo said >&2', 'env: {WHO: "{{ inputs.who }}"}\n')
        + group("many", "each: '{{ [1, 2] }}'\n", script("part", "echo part", level=3)),
        head="inputs: {who: {type: string, default: world}, n: {type: integer, default: 1}}\n"
        'outputs: {said: "{{ steps.one.output }}", n: "{{ inputs.n }}"}\n',
    )
    project.workflow(script("large", "head -c 100000 /dev/zero | tr '\\0' x"), name="large")
    project.workflow(ASK + GATE + WAIT, name="asks")
    project.workflow(script("bad", "echo broken >&2; exit 3"), name="fails")
    project.workflow(script("long", "test -e go || sleep 60"), name="long")
    project.workflow(
        script("make", "touch made") + "```bash undo\nrm -f made\n```\n",
        name="undoable",
        head='allow: {paths: ["**"]}\n',
    )
    project.workflow(script("one", "true"), name="starts", head=STARTS)
    project.write("bundles/invalid/workflow.md", "---\nname: x\n---\n\n# X\n\n```bash step\n")


STARTS = """on:
  schedule: {cron: '0 9 * * 1', timezone: Europe/Berlin}
  queue: {name: orders}
  watch: {paths: ["in/**"]}
  webhook: {path: /hooks/x, verify: {bearer: HOOK_SECRET}}
"""


class ClientContract:
    """Each test opens a client with `clients()`."""

    # -- starting ---------------------------------------------------------------------------------

    async def test_a_run_is_started_followed_and_gives_its_result(self, clients: Clients) -> None:
        seen: list[int] = []
        async with clients() as client:
            run = await client.start(
                "flow", {"n": 2}, texts={"who": "you"}, on_event=lambda seq, _: seen.append(seq)
            )
            events = [(seq, event) async for seq, event in run.events()]
            result = await run.result()
            assert result.run == run.id
            assert result.status == "succeeded"
            assert result.outputs == {"said": "hello you", "n": 2}
            assert result.steps["one"].output == "hello you"
            assert result.steps["many[1].part"].status == "succeeded"
            assert [seq for seq, _ in events] == [*range(1, len(events) + 1)]
            assert seen == [seq for seq, _ in events]
            assert run.plan.name == "flow"
            progress = run.progress()
            assert progress.steps["one"].status == "succeeded"
            assert run.log(progress.steps["one"].log) == "said\n"
            assert not run.is_driven_here
            again = client.run(run.id)
            assert json.dumps(again.look().to_json()) == json.dumps(result.to_json())
            rest = [seq async for seq, _ in again.events(after=3)]
            assert rest == [*range(4, len(events) + 1)]

    async def test_a_large_output_is_the_same(self, clients: Clients) -> None:
        async with clients() as client:
            result = await (await client.start("large")).result()
            assert result.steps["large"].output == "x" * 100_000

    async def test_a_run_that_fails_is_a_result(self, clients: Clients) -> None:
        async with clients() as client:
            result = await (await client.start("fails")).result()
            assert result.status == "failed"
            assert result.error.step == "bad"
            assert result.error.exit_code == 3
            resumed = await (await client.resume(result.run)).result()
            assert resumed.status == "failed"
            assert resumed.steps["bad"].attempts >= 1

    @pytest.mark.parametrize(
        ("bundle", "inputs", "kind", "says"),
        [
            ("flow", {"m": 1}, InputsInvalid, "`m` is not an input"),
            ("flow", {"n": "x"}, InputsInvalid, "`n`"),
            ("floe", {}, UsageError, "there is no bundle `floe`"),
            ("invalid", {}, BundleInvalid, "nothing was started"),
        ],
    )
    async def test_what_cannot_be_started(
        self, clients: Clients, bundle: str, inputs: Any, kind: type[AIWorkflowError], says: str
    ) -> None:
        async with clients() as client:
            with pytest.raises(kind, match=says) as refused:
                await client.start(bundle, inputs)
            assert refused.value.exit_code == 2
            assert client.runs().runs == ()

    # -- looking ----------------------------------------------------------------------------------

    async def test_runs_are_found_and_listed(self, clients: Clients) -> None:
        async with clients() as client:
            runs = [(await client.start("flow")) for _ in range(3)]
            for run in runs:
                await run.result()
            newest = [run.id for run in reversed(runs)]
            page = client.runs(limit=2)
            assert [row.run for row in page.runs] == newest[:2]
            rest = client.runs(limit=2, before=page.next)
            assert [row.run for row in rest.runs] == newest[2:]
            assert rest.next is None
            assert client.runs(status=["failed"]).runs == ()
            assert client.find("last") == newest[0]
            assert client.find(newest[1]) == newest[1]
            assert client.root_of(newest[0]) == newest[0]
            with pytest.raises(UnknownRun, match="no run `nope`") as unknown:
                client.find("nope")
            assert unknown.value.code == "unknown-run"
            row = page.runs[0]
            here = client.run(row.run).row
            assert (here.status, here.bundle, here.digest) == (row.status, row.bundle, row.digest)
            assert (here.actor, here.trigger) == (row.actor, row.trigger)
            assert row.finished is not None
            assert row.finished == pytest.approx(here.finished, abs=0.002)

    async def test_views(self, clients: Clients) -> None:
        async with clients() as client:
            run = (await (await client.start("flow")).result()).run
            views = client.views
            assert views.runs()["runs"][0]["run"] == run
            assert views.run(run)["steps"]["one"]["output"] == "hello world"
            assert views.standing(run)["status"] == "succeeded"
            assert views.log(run, "one")["log"] == "said\n"
            assert views.record(run)["record"].startswith("---")
            assert views.plan(run)["name"] == "flow"
            assert views.approvals() == {"approvals": []}
            assert views.costs()["rows"] == []
            assert client.costs().total.runs == 0
            assert views.journal()["ok"]
            with pytest.raises(UsageError, match="has no step `two`"):
                views.log(run, "two")

    # -- what starts runs by itself ---------------------------------------------------------------

    async def test_schedules(self, clients: Clients) -> None:
        async with clients() as client:
            schedules = client.triggers.schedules
            about = schedules.all(count=2)
            (one,) = about["schedules"]
            assert (one["schedule"], one["paused"]) == ("bundles/starts/schedule", False)
            assert len(one["next"]) == 2
            assert "AW" in about["problems"]["bundles/invalid"]
            assert schedules.one("starts", count=2) == one
            times = schedules.coming("starts", count=2, after=1_800_000_000.25)["times"]
            assert [one["time"] for one in times] == [
                "2027-01-18T09:00:00+01:00",
                "2027-01-25T09:00:00+01:00",
            ]
            assert len(schedules.coming()["times"]) == 10
            paused = schedules.pause("starts")
            assert paused == {"schedule": "bundles/starts/schedule", "paused": True}
            assert schedules.coming()["times"] == []
            assert schedules.resume("starts")["paused"] is False
            started = await schedules.run("starts", key="one")
            assert started["new"]
            again = await schedules.run("starts", key="one")
            assert (again["run"], again["new"]) == (started["run"], False)
            assert (await schedules.run("starts"))["run"] != started["run"]
            for refused in (schedules.one, schedules.pause, schedules.coming):
                with pytest.raises(UsageError, match="there is no schedule `nite`"):
                    refused("nite")
            with pytest.raises(UsageError, match="`bundles/invalid` is left out: AW"):
                await schedules.run("invalid")

    async def test_queues(self, clients: Clients) -> None:
        async with clients() as client:
            queues = client.triggers.queues
            sent = await queues.publish("orders", {"n": 1}, id_="a", priority=3, headers={"x": "y"})
            assert (sent["queue"], sent["id"], sent["bundles"]) == (
                "orders",
                "a",
                ["bundles/starts"],
            )
            await queues.publish("orders", [2], delay_s=60)
            (one,) = (await queues.standing("orders"))["queues"]
            assert (one["ready"], one["delayed"], one["dead"]) == (1, 1, 0)
            assert (await queues.standing())["queues"] == [one | {"oldest_seconds": ANY}]
            assert (await queues.publish("ordres", None))["hint"] == "did you mean `orders`?"
            assert await queues.dead("orders") == {"queue": "orders", "dead": []}
            assert (await queues.retry("orders"))["retried"] == 0
            assert (await queues.drop("orders", ["b"]))["dropped"] == 0
            assert (await queues.purge("orders"))["removed"] == 2  # the delayed one, too
            with pytest.raises(UsageError, match="id") as refused:
                await queues.publish("orders", 1, id_="")
            assert refused.value.code == "invalid-message"

    async def test_watches_webhooks_agents_and_workers(self, clients: Clients) -> None:
        async with clients() as client:
            (watch,) = client.triggers.watches()["watches"]
            assert (watch["watch"], watch["paths"]) == ("bundles/starts/watch", ["in/**"])
            (hook,) = client.triggers.webhooks(last=3)["webhooks"]
            assert (hook["path"], hook["secrets_missing"]) == ("/hooks/x", ["HOOK_SECRET"])
            agents = client.views.agents()["agents"]
            assert client.views.agent(agents[0]["agent"])["agent"] == agents[0]["agent"]
            assert (await client.views.check_agents(["openai"]))["agents"][0]["agent"] == "openai"
            with pytest.raises(UsageError, match="nobody"):
                client.views.agent("nobody")
            assert client.views.workers()["at"] > 0
            with pytest.raises(UsageError, match="no worker begins with `nope`"):
                client.drain("nope")

    async def test_triggers_are_tried_out(self, clients: Clients) -> None:
        async with clients() as client:
            tried = client.triggers.try_watches(["in/a", "b"], watch="starts")
            assert tried["watches"][0]["paths"] == {"in/a": "matches", "b": "matches no pattern"}
            assert tried["problems"].keys() == {"bundles/invalid"}
            would = client.triggers.try_webhook("starts", payload=b'{"n": 1}', dry_run=True)
            assert (would["matches"], would["path"], would["inputs"]) == (True, "/hooks/x", {})
            with pytest.raises(UsageError, match="there is no webhook of `flow`"):
                client.triggers.try_webhook("flow")
            with pytest.raises(UsageError, match="there is no delivery `nope`"):
                client.triggers.replay_webhook("nope", same_id=True)
            with pytest.raises(UsageError, match="is not in the project"):
                client.triggers.try_watches(["../x"])

    async def test_a_tool_is_called(self, clients: Clients, project: Project) -> None:
        project.write("a.txt", "hello")
        async with clients() as client:
            run = await client.call_tool("file.read", {"path": "a.txt"})
            assert (await run.result()).outputs == {"output": "hello"}
            words = {"path": "b.txt", "content": "x"}
            with pytest.raises(CallNotAgreed, match=r"`file\.write` counts as") as refused:
                await client.call_tool("file.write", texts=words)
            assert "agreed=True from Python" in str(refused.value.hint)
            run = await client.call_tool("file.write", texts=words, agreed=True)
            assert (await run.result()).status == "succeeded"
            assert (project.root / "b.txt").read_text() == "x"
            with pytest.raises(UsageError, match="has several operations"):
                await client.call_tool("file")

    async def test_agents_of_bundles_are_looked_at(self, clients: Clients) -> None:
        async with clients() as client:
            assert client.views.choice("flow") == {"steps": []}
            assert client.views.arms("flow", limit=3) == {"bundle": "bundles/flow", "steps": {}}
            with pytest.raises(BundleInvalid):
                client.views.choice("invalid")

    # -- people -----------------------------------------------------------------------------------

    async def test_what_waits_is_answered(self, clients: Clients) -> None:
        async with clients() as client:
            run = await client.start("asks")
            assert (await run.result()).status == "waiting"
            (wait,) = client.waits.open(run.id)
            assert (wait.step, wait.kind, wait.id) == ("which", "ask", f"{run.id}/which")
            assert [one.name for one in wait.fields] == ["colour", "size"]
            with pytest.raises(InputsInvalid, match="`colour`"):
                client.waits.answer(run.id, {"colour": "green"})
            with pytest.raises(UsageError, match="waits for no approval"):
                client.waits.approve(run.id)
            with pytest.raises(UsageError, match="cannot be declined: the workflow asks"):
                client.waits.decline(run.id)
            told = client.waits.answer(run.id, {"colour": "red"}, {"size": "4"})
            assert (told.run, told.step) == (run.id, "which")
            assert await self._at_rest(client, run.id) == "waiting"
            client.waits.approve(f"{run.id}/sure", comment="yes")
            assert await self._at_rest(client, run.id) == "waiting"
            client.waits.signal(run.id, "parcel", {"n": 1})
            assert await self._at_rest(client, run.id) == "succeeded"
            result = client.run(run.id).look()
            assert result.steps["which"].output == {"colour": "red", "size": 4}
            assert result.steps["parcel"].output == {"n": 1}

    async def _at_rest(self, client: Any, run: str) -> str:
        """Where a run comes to rest that was told something: at a server it goes on by itself."""
        if self.is_remote:
            return str((await client.run(run).result()).status)
        return str((await (await client.resume(run)).result()).status)

    is_remote = False

    # -- steering ---------------------------------------------------------------------------------

    async def test_a_run_is_cancelled_and_goes_on(self, clients: Clients, project: Project) -> None:
        async with clients() as client:
            run = await client.start("long")
            async for _, event in run.events():
                if getattr(event, "path", "") == "long":
                    break
            run.cancel("enough")
            result = await run.result()
            assert result.status == "cancelled"
            with pytest.raises(UsageError, match="is over already"):
                run.cancel()
            project.write("go", "")
            resumed = await (await client.resume(run.id)).result()
            assert resumed.status == "succeeded"
            with pytest.raises(UsageError, match="nothing to resume"):
                await client.resume(run.id)

    async def test_a_run_is_taken_back_and_forked(self, clients: Clients) -> None:
        async with clients() as client:
            run = await client.start("undoable")
            await run.result()
            undone = await (await client.undo(run.id)).result()
            assert undone.status == "rolled_back"
            fork = await client.fork(run.id, "make", key="one")
            assert fork.id != run.id
            assert (await client.fork(run.id, "make", key="one")).id == fork.id
            assert (await fork.result()).status == "succeeded"

    async def test_a_breakpoint(self, clients: Clients) -> None:
        async with clients() as client:
            run = await client.start("flow", breaks=["one"])
            assert (await run.result()).status == "waiting"
            client.waits.go_on(run.id, "skip")
            assert await self._at_rest(client, run.id) == "succeeded"
            assert client.run(run.id).look().steps["one"].status == "skipped"
