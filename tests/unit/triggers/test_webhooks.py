"""Webhooks from the bytes of a request to a durable run: who is let in, what counts, what is answered."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aiworkflow.bundle.webhook import Verify
from aiworkflow.errors import UsageError
from aiworkflow.plan.triggers import trigger_fields
from aiworkflow.runtime.lanes import LANE
from aiworkflow.runtime.ready import READY
from aiworkflow.triggers.webhook.recent import Happened, Recent, recent
from tests.unit.triggers.hooks import NOW, SECRETS, Hooks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PAYLOADS = sorted((Path(__file__).parents[2] / "data" / "github_webhooks").glob("*.json"))
PLAIN = "on: {webhook: {path: /h, verify: {github: HOOK}}}"


def hooked(options: str, more: str = "") -> str:
    return f"{more}on:\n  webhook: {{path: /h, verify: {{github: HOOK}}, {options}}}"


def with_hooks(
    tmp_path: Path,
    flows: dict[str, str] | str,
    test: Callable[[Hooks], Awaitable[None]],
    **more: Any,
) -> None:
    async def go() -> None:
        async with Hooks(
            tmp_path, {"flow": flows} if isinstance(flows, str) else flows, **more
        ) as it:
            await test(it)

    asyncio.run(go())


# -- who is let in ---------------------------------------------------------------------------------


def test_every_real_event_of_github_starts_one_run_however_often_it_comes(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        runs = set()
        for number, path in enumerate(PAYLOADS):
            body, event = path.read_bytes(), path.name.split(".")[0]
            kind: Any = {"event": event, "delivery": f"d-{number}"}
            for refused in (
                await it.send("/h", body, secret=SECRETS["OTHER"], **kind),
                await it.send(
                    "/h", body + b" ", headers={"x-hub-signature-256": "sha256=" + "0" * 64}, **kind
                ),
                await it.ask("/h", body, {"x-github-event": event}),
            ):
                assert (refused.status, refused.json) == (404, {"error": "not found"})
            first = await it.send("/h", body, **kind)
            if event == "ping":
                assert (first.status, first.body) == (200, b"pong")
                continue
            assert first.status == 202, path
            again = await it.send("/h", body, **kind)
            assert (again.status, again.json) == (200, first.json)
            runs.add(first.json["run"])
            found = it.trigger(first.json["run"])
            assert found["body"] == json.loads(body)
            assert (found["type"], found["event"]) == ("webhook", event)
            assert found["action"] == json.loads(body).get("action")
        assert len(PAYLOADS) >= 20
        assert set(it.runs()) == runs
        assert len(runs) == len(PAYLOADS) - 1

    config = {"refusals": "1000000/s"}
    (tmp_path / ".aiworkflow").mkdir()
    (tmp_path / ".aiworkflow" / "config.yaml").write_text(
        f"serve: {{webhooks: {json.dumps(config)}}}\n"
    )
    with_hooks(tmp_path, PLAIN, test)


def test_a_secret_that_was_replaced_signs_nothing_any_more(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        old = SECRETS["OLD"]
        assert (await it.send("/h", {}, secret=old)).status == 202
        assert (await it.send("/h", {}, delivery="d-2")).status == 202
        it.write(tmp_path, "flow", PLAIN)
        it.reload()
        assert (await it.send("/h", {}, secret=old, delivery="d-3")).status == 404
        assert (await it.send("/h", {}, delivery="d-4")).status == 202

    with_hooks(tmp_path, "on: {webhook: {path: /h, verify: {github: [HOOK, OLD]}}}", test)


def test_whoever_is_refused_learns_nothing(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        large = b'"' + b"x" * 3000 + b'"'
        replies = [
            await it.ask("/nowhere", b"{}"),
            await it.ask("/h", b"{}"),
            await it.ask("/h", b"{}", {"x-hub-signature-256": "sha256=zz"}),
            await it.ask("/h", b"not json"),
            await it.send("/h", large),  # larger than this route takes: only its sender knows it
            await it.send("/h", {}, secret=SECRETS["OTHER"]),
            await it.send("/h/", {}),
            await it.send("/H", {}),
            await it.ask("/h", b"", method="GET"),
            await it.ask("/api/v1/runs", b"", method="GET"),
        ]
        seen = {
            (status, body, tuple(sorted(headers)))
            for status, body, headers in (r.seen for r in replies)
        }
        closing = {
            (404, b'{"error":"not found"}', ("connection", "content-length", "content-type"))
        }
        assert seen - closing == {
            (404, b'{"error":"not found"}', ("content-length", "content-type"))
        }
        assert it.runs() == []
        it.source._recent.flush()
        kept = json.dumps([row.value for row in it.client.journal.registers("hook")])
        assert "the signature is missing" in kept
        assert "the signature is wrong" in kept
        assert "no webhook is there" in kept
        assert not any(secret in kept for secret in SECRETS.values())

    with_hooks(tmp_path, hooked("max_body: 2kB"), test)


@pytest.mark.parametrize("most", ["2kB", "3MB"])
def test_how_large_a_body_may_be_tells_no_stranger_where_a_webhook_is(
    tmp_path: Path, most: str
) -> None:
    async def test(it: Hooks) -> None:
        for size in (100, 3000, 1_500_000, 3_500_000):
            one, other = [await it.ask(path, b"x" * size) for path in ("/h", "/nowhere")]
            assert one.seen == other.seen
            head = {"content-length": str(size)}
            one, other = [await it.ask(path, [b"x" * 50], head) for path in ("/h", "/nowhere")]
            assert one.seen == other.seen

    with_hooks(tmp_path, hooked(f"max_body: {most}"), test)


def test_an_address_that_was_refused_often_is_not_listened_to_for_a_while(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        for _ in range(60):
            assert (await it.ask("/h", b"{}")).status == 404
        assert (await it.ask("/h", b"{}")).status == 429
        assert (await it.send("/h", {})).status == 429
        assert (await it.send("/h", {}, address="192.0.2.2")).status == 202
        it.clock.skip_to(NOW + 2)
        assert (await it.send("/h", {}, delivery="d-2")).status == 202

    with_hooks(tmp_path, PLAIN, test)


def test_a_webhook_whose_secret_is_missing_is_left_out_and_said(tmp_path: Path) -> None:
    flows = {"flow": PLAIN, "other": "on: {webhook: {path: /o, verify: {github: NOT_SET}}}"}

    async def test(it: Hooks) -> None:
        assert (await it.send("/h", {})).status == 202
        assert (await it.send("/o", {})).status == 404
        assert it.source.problems == {"bundles/other/webhook": "secret `NOT_SET` is not set"}

    with_hooks(tmp_path, flows, test)


def test_two_bundles_at_one_path_each_by_its_own_secret(tmp_path: Path) -> None:
    flows = {
        "one": PLAIN,
        "two": PLAIN,
        "three": "on: {webhook: {path: /h, verify: {github: OTHER}}}",
    }

    async def test(it: Hooks) -> None:
        both = await it.send("/h", {})
        assert both.status == 202
        bundles = [it.client.journal.run(run).bundle for run in both.json["runs"]]
        assert sorted(bundles) == ["bundles/one", "bundles/two"]
        third = await it.send("/h", {}, secret=SECRETS["OTHER"])
        assert it.client.journal.run(third.json["run"]).bundle == "bundles/three"
        again = await it.send("/h", {})
        assert (again.status, again.json) == (200, both.json)

    with_hooks(tmp_path, flows, test)


# -- what counts -----------------------------------------------------------------------------------

PUSH = {
    "ref": "refs/heads/release/1",
    "commits": [{"added": ["src/a/b.py"], "modified": [], "removed": ["x.md"]}],
}


@pytest.mark.parametrize(
    ("options", "event", "body", "ignored"),
    [
        ("events: [push]", "push", PUSH, ""),
        ("events: [push]", "issues", PUSH, "events"),
        ("events: [issues.opened]", "issues", {"action": "opened"}, ""),
        ("events: [issues.opened]", "issues", {"action": "closed"}, "events"),
        ("events: [issues]", "issues", {"action": "closed"}, ""),
        ('events: ["pull_request.*"]', "pull_request", {"action": "closed"}, ""),
        ("branches: [main]", "push", PUSH, "branches"),
        ("branches: [main, release/*]", "push", PUSH, ""),
        ("branches: [main]", "pull_request", {"pull_request": {"base": {"ref": "main"}}}, ""),
        ("branches: [main]", "star", {}, "branches"),
        ("paths: [src/**]", "push", PUSH, ""),
        ('paths: ["*.py"]', "push", PUSH, "paths"),
        ("if: trigger.body.n > 3", "x", {"n": 4}, ""),
        ("if: trigger.body.n > 3", "x", {"n": 3}, "if"),
        ("if: trigger.body.n > 3", "x", {}, "if"),
        ("if: \"trigger.event == trigger.headers['x-github-event']\"", "x", {}, ""),
        ("event: trigger.body.kind, events: [a.b]", "x", {"kind": "a", "action": "b"}, ""),
        ("event: trigger.body.kind, events: [x]", "x", {"kind": "a"}, "events"),
    ],
)
def test_filters(tmp_path: Path, options: str, event: str, body: object, ignored: str) -> None:
    async def test(it: Hooks) -> None:
        reply = await it.send("/h", body, event=event)
        assert reply.status == 202
        if ignored:
            assert reply.json == {"run": None, "ignored": ignored}
            assert it.runs() == []
        else:
            assert it.runs() == [reply.json["run"]]

    with_hooks(tmp_path, hooked(options), test)


def test_inputs_come_from_the_payload_and_are_checked_before_a_run_exists(tmp_path: Path) -> None:
    flow = hooked(
        'inputs: {n: "{{ trigger.body.n }}"}', "inputs: {n: {type: integer, maximum: 5}}\n"
    )

    async def test(it: Hooks) -> None:
        good = await it.send("/h", {"n": 3})
        assert it.inputs(good.json["run"]) == {"n": 3}
        for body in ({"n": 9}, {"n": "3; rm"}, {}):
            bad = await it.send("/h", body, delivery=json.dumps(body))
            assert bad.status == 422
            assert "3; rm" not in bad.body.decode()
        assert len(it.runs()) == 1

    with_hooks(tmp_path, flow, test)


def is_to_end(it: Hooks, run: str) -> bool:
    """Whether a run was asked to end."""
    return any(b"cancel.requested" in one.payload for one in it.client.journal.read(run))


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel_old"])
def test_an_event_while_an_older_run_is_going(tmp_path: Path, overlap: str) -> None:
    async def test(it: Hooks) -> None:
        first = await it.send("/h", {"n": 1}, delivery="d-1")
        second = await it.send("/h", {"n": 2}, delivery="d-2")
        (older,) = [run for run in it.runs() if run == first.json["run"]]
        if overlap == "skip":
            assert (second.status, second.json) == (200, {"run": None, "reason": "overlap"})
        else:
            assert (second.status, len(it.runs())) == (202, 2)
        # the same event is no second one, whatever is going
        assert (await it.send("/h", {"n": 1}, delivery="d-1")).json == first.json
        assert is_to_end(it, older) == (overlap == "cancel_old")

    with_hooks(tmp_path, hooked(f"overlap: {overlap}"), test)


@pytest.mark.parametrize(("overlap", "at"), [("skip", LANE), ("cancel_old", READY)])
def test_an_event_that_two_servers_take_at_one_moment_is_not_in_its_own_way(
    tmp_path: Path, overlap: str, at: str
) -> None:
    async def test(it: Hooks) -> None:
        older = []
        if overlap == "cancel_old":
            older = [(await it.send("/h", {"n": 1}, delivery="d-1")).json["run"]]
        journal, found = it.client.journal, list[str]()
        looks = {name: getattr(journal, name) for name in ("register", "registers")}

        async def on_another_server() -> None:
            async with Hooks(tmp_path, {}) as other:
                found.append((await other.send("/h", {"n": 2}, delivery="d-2")).json["run"])

        def meanwhile(name: str) -> Any:
            def look(space: str, *more: Any, **options: Any) -> Any:
                if space == at and not found:
                    other = threading.Thread(target=lambda: asyncio.run(on_another_server()))
                    other.start()
                    other.join()
                return looks[name](space, *more, **options)

            return look

        for name in looks:
            setattr(journal, name, meanwhile(name))
        reply = await it.send("/h", {"n": 2}, delivery="d-2")
        assert (reply.status, reply.json) == (200, {"run": found[0]})
        assert [is_to_end(it, run) for run in (*older, found[0])] == [*(True for _ in older), False]

    with_hooks(tmp_path, hooked(f"overlap: {overlap}"), test)


def test_a_webhook_may_start_nothing(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        assert (await it.send("/h", {})).json == {"run": None}
        assert it.runs() == []

    with_hooks(tmp_path, hooked("start: false"), test)


def test_a_body_that_does_not_fit_the_schema_is_refused(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        assert (await it.send("/h", {"action": "opened"})).status == 202
        bad = await it.send("/h", {"action": 3}, delivery="d-2")
        assert (bad.status, bad.json["error"]) == (422, "schema")
        assert len(it.runs()) == 1

    with_hooks(tmp_path, hooked("schema: {action: opened | closed}"), test)


def test_a_run_sees_no_header_that_may_be_a_secret(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        secret = ("authorization", "cookie", "x-api-key", "x-amz-security-token", "x-my-signature")
        reply = await it.send(
            "/h", {}, headers={**dict.fromkeys(secret, "hidden"), "user-agent": "GitHub-Hookshot/1"},
            query="a=1&token=hidden&a=2&sig=hidden",
        )  # fmt: skip
        found = it.trigger(reply.json["run"])
        assert "hidden" not in json.dumps(found)
        assert not [name for name in found["headers"] if "signature" in name]
        assert found["headers"]["user-agent"] == "GitHub-Hookshot/1"
        assert found["query"] == {"a": ["1", "2"]}
        assert (found["path"], found["delivery"]) == ("/h", "d-1")
        assert set(found) == set(trigger_fields(["webhook"]))

    with_hooks(tmp_path, PLAIN, test)


def test_a_run_sees_no_header_that_a_sender_is_known_by_whatever_its_name(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        known = Verify("bearer", ("HOOK",), {"header": "X-Hook-Id"})
        reply = await it.send("/h", {}, known, headers={"x-mark": "mine"})
        assert reply.status == 202
        found = it.trigger(reply.json["run"])
        assert SECRETS["HOOK"] not in json.dumps(found)
        assert found["headers"]["x-mark"] == "mine"

    verify = "verify: {bearer: {secret: HOOK, header: X-Hook-Id}}"
    with_hooks(tmp_path, PLAIN.replace("verify: {github: HOOK}", verify), test)


# -- once ------------------------------------------------------------------------------------------


def test_a_request_without_an_id_counts_once_within_some_minutes(tmp_path: Path) -> None:
    bearer = Verify("bearer", ("HOOK",))

    async def test(it: Hooks) -> None:
        first = await it.send("/h", {"a": 1}, bearer)
        assert (await it.send("/h", {"a": 1}, bearer)).json == first.json
        other = await it.send("/h", {"a": 2}, bearer)
        assert other.json != first.json
        assert (await it.send("/h", {"a": 1}, bearer, query="x=1")).json != first.json
        it.clock.skip_to(NOW + 299)
        assert (await it.send("/h", {"a": 1}, bearer)).json == first.json
        it.clock.skip_to(NOW + 301)
        later = await it.send("/h", {"a": 1}, bearer)
        assert (later.status, later.json != first.json) == (202, True)
        with_id = [
            await it.send("/h", {}, bearer, headers={"idempotency-key": key}) for key in "aab"
        ]
        assert len({reply.json["run"] for reply in with_id}) == 2
        it.clock.skip_to(NOW + 10_000)
        it.source._acceptance.sweep(NOW + 10_000)
        assert it.client.journal.registers("seen") == []

    with_hooks(tmp_path, "on: {webhook: {path: /h, verify: {bearer: HOOK}}}", test)


def test_an_event_is_known_after_other_entries_were_put_before_or_removed(tmp_path: Path) -> None:
    def entries(*paths: str) -> str:
        listed = "\n".join(f"    - {{path: {one}, verify: {{github: HOOK}}}}" for one in paths)
        return f"on:\n  webhook:\n{listed}"

    async def test(it: Hooks) -> None:
        first = (await it.send("/b", {})).json
        without_id = (await it.send("/b", {"n": 1}, delivery="")).json
        for paths in (["/b"], ["/c", "/d", "/b"], ["/b", "/b", "/c"]):
            it.write(tmp_path, "flow", entries(*paths))
            it.reload()
            again = (await it.send("/b", {})).json
            assert first["run"] in again.get("runs", [again.get("run")])
            again = (await it.send("/b", {"n": 1}, delivery="")).json
            assert without_id["run"] in again.get("runs", [again.get("run")])
        assert len(it.runs()) == 4  # the second entry at the same path has its own

    with_hooks(tmp_path, entries("/a", "/b"), test)


def test_an_entry_names_the_header_that_holds_the_id(tmp_path: Path) -> None:
    verify = "{hmac: {secret: HOOK, header: X-Sig, delivery: X-Event-Id}}"
    hmac = Verify("hmac", ("HOOK",), {"header": "X-Sig"})

    async def test(it: Hooks) -> None:
        runs = []
        for body, id_, other in ((1, "a", "x"), (2, "a", "y"), (2, "b", "x")):
            headers = {"x-event-id": id_, "idempotency-key": other}
            runs.append((await it.send("/h", body, hmac, headers=headers)).json["run"])
        assert runs[0] == runs[1] != runs[2]
        assert it.trigger(runs[0])["delivery"] == "a"

    with_hooks(tmp_path, f"on: {{webhook: {{path: /h, verify: {verify}}}}}", test)


def test_many_deliveries_at_one_moment_make_one_run(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        addresses = ["192.0.2.1", "127.0.0.1", "2001:db8::1"]  # a proxy's too
        replies = await asyncio.gather(
            *(it.send("/h", {}, address=addresses[number % 3]) for number in range(30))
        )
        assert len({reply.json["run"] for reply in replies}) == 1
        assert it.source.app.busy == 0
        assert sorted({reply.status for reply in replies}) == [200, 202]
        assert len(it.runs()) == 1

    with_hooks(tmp_path, PLAIN, test)


# -- what is answered ------------------------------------------------------------------------------


def test_an_answer_of_the_authors_own(tmp_path: Path) -> None:
    respond = 'respond: {status: 201, body: "run {{ run.id }} for {{ trigger.body.who }}", headers: {X-Who: "{{ trigger.body.who }}", Content-Type: text/html, Content-Length: "3"}}'

    async def test(it: Hooks) -> None:
        reply = await it.send("/h", {"who": "Ada"})
        (run,) = it.runs()
        assert (reply.status, reply.body.decode()) == (201, f"run {run} for Ada")
        assert reply.headers["x-who"] == "Ada"
        assert reply.headers["content-type"] == "text/html"
        assert reply.headers["content-length"] == str(len(reply.body))
        # no value begins another header; the run is there, and its sender is told
        forged = await it.send("/h", {"who": "Ada\r\nSet-Cookie: a=b"}, delivery="d-2")
        assert (forged.status, list(forged.json)) == (202, ["run"])
        assert len(it.runs()) == 2

    with_hooks(tmp_path, hooked(respond), test)


def test_an_answer_may_be_data(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        reply = await it.send("/h", {"n": 3})
        assert (reply.status, reply.json) == (202, {"ok": True, "n": 3})

    with_hooks(tmp_path, hooked('respond: {body: {ok: true, n: "{{ trigger.body.n }}"}}'), test)


def test_the_outputs_of_a_run_are_its_answer(tmp_path: Path) -> None:
    steps = '\n---\n## A\n\n```yaml step\nid: a\nset: {x: "{{ trigger.body.n + 1 }}"}\n```\n'
    head = "state: {x: {reduce: last}}\noutputs: {x: '{{ state.x }}'}\n"

    async def test(it: Hooks) -> None:
        assert it.service.worker is not None
        working = asyncio.ensure_future(it.service.worker.run())
        try:
            reply = await it.send("/h", {"n": 3})
            assert (reply.status, reply.json["outputs"]) == (200, {"x": 4})
            assert reply.json["status"] == "succeeded"
        finally:
            working.cancel()
            await asyncio.wait({working})

    with_hooks(tmp_path, hooked("respond: {wait: 50s}", head) + steps, test)


def test_a_run_that_takes_longer_than_its_sender_waits(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        async with asyncio.timeout(25):  # less than the half minute where nothing is said
            reply = await it.send("/h", {})
        assert (reply.status, reply.json) == (202, {"run": it.runs()[0]})

    with_hooks(tmp_path, hooked("respond: {wait: 10ms}"), test)


def test_pings_and_challenges_are_answered_and_start_nothing(tmp_path: Path) -> None:
    flows = {"flow": PLAIN, "s": "on: {webhook: {path: /s, verify: {slack: HOOK}}}"}
    slack = Verify("slack", ("HOOK",))

    async def test(it: Hooks) -> None:
        assert (await it.send("/h", {"zen": "x"}, event="ping")).body == b"pong"
        challenge = {"type": "url_verification", "challenge": "3eZbrw1a"}
        reply = await it.send("/s", challenge, slack)
        assert (reply.status, reply.body) == (200, b"3eZbrw1a")
        assert (await it.send("/s", challenge, slack, secret=SECRETS["OTHER"])).status == 404
        assert it.runs() == []
        said = {"type": "event_callback", "event_id": "E1", "event": {"type": "message"}}
        first = await it.send("/s", said, slack)
        it.clock.skip_to(NOW + 100)
        assert (await it.send("/s", said, slack)).json == first.json  # signed anew, the same event
        command = await it.send(
            "/s", b"command=%2Fgo&text=a+b", slack, content_type="application/x-www-form-urlencoded"
        )
        assert it.trigger(command.json["run"])["body"] == {"command": "/go", "text": "a b"}

    with_hooks(tmp_path, flows, test)


def test_rate_and_number_of_a_route_are_bounded(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        statuses = [(await it.send("/h", {}, delivery=str(n))).status for n in range(3)]
        assert statuses == [202, 202, 429]
        limited = await it.send("/h", {}, delivery="3")
        assert int(limited.headers["retry-after"]) >= 1
        it.clock.skip_to(NOW + 31)
        at_once = await asyncio.gather(*(it.send("/h", {}, delivery=f"x{n}") for n in range(2)))
        assert sorted(reply.status for reply in at_once) == [202, 429]

    with_hooks(tmp_path, hooked("rate: 2/m"), test)


def test_too_many_requests_at_once_are_told_to_come_again(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        at_once = await asyncio.gather(*(it.send("/h", {}, delivery=str(n)) for n in range(4)))
        assert sorted(reply.status for reply in at_once) == [202, 202, 503, 503]
        assert len(it.runs()) == 2

    with_hooks(tmp_path, hooked("max_parallel: 2"), test)


# -- hostile bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 150 + b"1" + b"}" * 150,
        b'{"a": 1, "a": 2}',
        b'{"a": NaN}',
        b'{"a": 1e999}',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": "\\ud800"}',
        b"\xff\xfe{}",
        b'{"a": "\xc3\x28"}',
        b"{",
        b'{"a": 1} x',
    ],
    ids=range(12),
)
def test_a_body_that_is_no_json_is_told_to_its_sender_only(tmp_path: Path, body: bytes) -> None:
    async def test(it: Hooks) -> None:
        assert (await it.ask("/h", body)).status == 404
        known = await it.send("/h", body)
        assert (known.status, list(known.json)) == (400, ["error"])
        assert it.runs() == []
        assert (await it.send("/h", {"a": 1})).status == 202

    with_hooks(tmp_path, PLAIN, test)


def test_bodies_in_pieces_and_of_every_kind(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        signed = await it.send("/h", b'{"a":1}')
        assert signed.status == 202
        from aiworkflow.triggers.webhook.sign import sign
        from tests.unit.triggers.hooks import GITHUB

        whole = sign(GITHUB, SECRETS["HOOK"], b'{"a":1}', url="", at=NOW, delivery="d-2").headers
        pieces = await it.ask("/h", [b'{"a', b'"', b":1}", b""], whole)
        assert it.trigger(pieces.json["run"])["body"] == {"a": 1}
        assert (await it.ask("/h", [b"x" * 900_000, b"x" * 900_000], whole)).status == 404
        bodies = {
            "text/plain": (b"h\xc3\xa9llo", "héllo"),
            "application/x-www-form-urlencoded": (b"a=1&b=&a=2", {"a": ["1", "2"], "b": ""}),
            "application/vnd.x+json": (b"[1]", [1]),
            "application/json; charset=utf-8": (b"", None),
        }
        for kind, (raw, value) in bodies.items():
            reply = await it.send("/h", raw, content_type=kind, delivery=kind)
            assert it.trigger(reply.json["run"])["body"] == value
        form = await it.send(
            "/h", b"payload=%7B%22a%22%3A1%7D", content_type="application/x-www-form-urlencoded", delivery="p"
        )  # fmt: skip
        assert it.trigger(form.json["run"])["body"] == {"a": 1}

    with_hooks(tmp_path, PLAIN, test)


def test_a_header_that_is_there_twice_signs_nothing(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        from aiworkflow.triggers.webhook.sign import sign
        from tests.unit.triggers.hooks import GITHUB

        signed = sign(GITHUB, SECRETS["HOOK"], b"{}", url="", at=NOW, delivery="d").headers
        pairs = [*signed.items(), ("x-hub-signature-256", signed["x-hub-signature-256"])]
        assert (await it.ask("/h", b"{}", pairs)).status == 404
        assert (
            await it.ask("/h", b"{}", [*signed.items(), ("x-other", "1"), ("x-other", "2")])
        ).status == 202

    with_hooks(tmp_path, PLAIN, test)


def test_a_sender_that_never_ends_is_cut(tmp_path: Path) -> None:
    (tmp_path / ".aiworkflow").mkdir()
    (tmp_path / ".aiworkflow" / "config.yaml").write_text(
        "serve: {webhooks: {read_timeout: 100ms}}\n"
    )

    async def test(it: Hooks) -> None:
        sent: list[Any] = []
        got = iter([{"type": "http.request", "body": b"{", "more_body": True}])

        async def receive() -> Any:
            try:
                return next(got)
            except StopIteration:
                await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        scope: dict[str, object] = {
            "type": "http",
            "method": "POST",
            "path": "/h",
            "headers": [],
            "client": None,
        }
        async with asyncio.timeout(9):  # less than the ten seconds where nothing is said
            await it.source.app(scope, receive, send)
        assert sent[0]["status"] == 404
        assert (b"connection", b"close") in sent[0]["headers"]
        assert it.source.app.busy == 0

    with_hooks(tmp_path, PLAIN, test)


def test_a_journal_that_does_not_answer_has_it_sent_again(tmp_path: Path) -> None:
    from aiworkflow.journal import JournalUnavailable

    async def test(it: Hooks) -> None:
        append = it.client.journal.append

        def down(one: Any) -> Any:
            raise JournalUnavailable("gone")

        it.client.journal.append = down  # type: ignore[method-assign]
        reply = await it.send("/h", {})
        assert (reply.status, reply.headers["retry-after"]) == (503, "6")
        it.client.journal.append = append  # type: ignore[method-assign]
        assert (await it.send("/h", {})).status == 202
        assert len(it.runs()) == 1

    with_hooks(tmp_path, PLAIN, test)


# -- the server around it --------------------------------------------------------------------------


def test_a_client_with_the_right_certificate(tmp_path: Path) -> None:
    flow = f"""on:
  webhook:
    - {{path: /h, verify: {{mtls: {{subject: "CN=ci,O=Example"}}}}}}
    - {{path: /f, verify: {{mtls: {{fingerprint: {"ab" * 32}}}}}}}"""
    tls = "{certificate: s.pem, key: s.key, client_ca: ca.pem}"
    (tmp_path / ".aiworkflow").mkdir()
    (tmp_path / ".aiworkflow" / "config.yaml").write_text(f"serve: {{tls: {tls}}}\n")

    def shown(name: str, digest: str = "00") -> dict[str, Any]:
        return {"extensions": {"tls": {"client_cert_name": name, "client_cert_sha256": digest}}}

    async def test(it: Hooks) -> None:
        assert (await it.ask("/h", b"{}", **shown("CN=ci,O=Example"))).status == 202
        assert (await it.ask("/h", b"{}", **shown("CN=other,O=Example"))).status == 404
        assert (await it.ask("/h", b"{}", extensions={"tls": {}})).status == 404
        assert (await it.ask("/h", b"{}", {"client-cert-name": "CN=ci,O=Example"})).status == 404
        assert (await it.ask("/f", b"{}", **shown("", "ab" * 32))).status == 202
        assert (await it.ask("/f", b"{}", **shown("", "cd" * 32))).status == 404

    with_hooks(tmp_path, flow, test)


def test_a_webhook_for_certificates_that_nobody_is_asked_for_is_left_out_and_said(
    tmp_path: Path,
) -> None:
    async def test(it: Hooks) -> None:
        assert it.source.problems == {
            "bundles/flow/webhook": "no client is asked for its certificate here"
        }
        assert (await it.ask("/h", b"{}")).status == 404

    with_hooks(tmp_path, "on: {webhook: {path: /h, verify: {mtls: {subject: CN=ci}}}}", test)


def test_a_server_that_ends_waits_for_no_run(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        asking = asyncio.ensure_future(it.send("/h", {}))
        while not it.runs():
            await asyncio.sleep(0.01)
        assert not asking.done()
        await it.source.drain()
        assert (await asking).json == {"run": it.runs()[0]}
        late = await it.send("/h", {}, delivery="d-2")
        assert (late.status, late.headers["connection"]) == (503, "close")

    with_hooks(tmp_path, hooked("respond: {wait: 1h}"), test)


def test_a_sender_that_has_hung_up_keeps_no_place(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        hangs_up = asyncio.Event()
        asking = asyncio.ensure_future(it.send("/h", {}, hangs_up=hangs_up))
        while not it.runs():
            await asyncio.sleep(0.01)
        assert (await it.send("/h", {}, delivery="d-2")).status == 503
        hangs_up.set()
        assert (await asking).json == {"run": it.runs()[0]}
        assert it.source.app.busy == 0
        assert len(it.runs()) == 1  # it goes on all the same

    settings = tmp_path / ".aiworkflow" / "config.yaml"
    settings.parent.mkdir()
    settings.write_text("serve: {webhooks: {max_requests: 1}}\n")
    with_hooks(tmp_path, hooked("respond: {wait: 1h}"), test)


def test_a_journal_that_does_not_answer_holds_up_no_end(tmp_path: Path) -> None:
    from aiworkflow.journal import JournalUnavailable

    async def test(it: Hooks) -> None:
        serving = asyncio.ensure_future(it.service.run())
        await it.service.began.wait()
        await it.ask("/nowhere", b"{}")

        def gone(*_: object) -> None:
            raise JournalUnavailable("gone")

        drained: list[float] = []
        assert it.service.worker is not None
        drain = it.service.worker.drain

        async def seen(grace_s: float) -> None:
            drained.append(grace_s)
            await drain(grace_s)

        it.service.worker.drain = seen  # type: ignore[method-assign]
        put, it.client.journal.put = it.client.journal.put, gone  # type: ignore[method-assign,assignment]
        it.service.stop()
        async with asyncio.timeout(20):
            await serving
        it.client.journal.put = put  # type: ignore[method-assign]
        assert drained == [30.0]  # and running steps had their time

    with_hooks(tmp_path, PLAIN, test)


def test_what_came_to_two_servers_is_remembered_of_both(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        journal = it.client.journal
        both = [
            Recent(journal, str, iter(map(str, range(n, n + 999))).__next__) for n in (1000, 5000)
        ]
        for turn in range(3):
            for number, one in enumerate(both):
                one.add(Happened(turn, f"/{number}/{turn}", "a", 202, "started", route="b/webhook"))
                one.add(Happened(turn, f"/{number}/{turn}/x", "a", 404, "refused"))
            for one in both:
                one.flush()
        paths = {f"/{number}/{turn}" for number in (0, 1) for turn in range(3)}
        assert {str(one["path"]) for one in recent(journal, "b/webhook")} == paths
        assert {str(one["path"]) for one in recent(journal, "")} == {f"{path}/x" for path in paths}
        for number in range(250):  # and no more of them than there are places
            both[number % 2].add(Happened(9.0, "/", "a", 202, "started", route="b/webhook"))
            both[number % 2].flush()
        assert len(recent(journal, "b/webhook")) == 100

    with_hooks(tmp_path, PLAIN, test)


def test_what_a_route_has_counted_stays_when_other_bundles_change(tmp_path: Path) -> None:
    async def test(it: Hooks) -> None:
        assert (await it.send("/h", {})).status == 202
        it.write(tmp_path, "other", "on: {webhook: {path: /o, verify: none}}")
        it.reload()
        assert (await it.send("/h", {}, delivery="d-2")).status == 429
        assert (await it.ask("/o", b"{}")).status == 202
        it.write(tmp_path, "flow", hooked("rate: 9/h"))
        it.reload()
        assert (await it.send("/h", {}, delivery="d-2")).status == 202

    with_hooks(tmp_path, hooked("rate: 1/h"), test)


def test_what_a_route_has_counted_stays_when_entries_change_places(tmp_path: Path) -> None:
    entries = [f"{{path: /{name}, verify: {{github: HOOK}}, rate: 1/h}}" for name in "ab"]

    def listed(entries: list[str]) -> str:
        return f"on: {{webhook: [{', '.join(entries)}]}}"

    async def test(it: Hooks) -> None:
        assert (await it.send("/a", {})).status == 202
        it.write(tmp_path, "flow", listed(entries[::-1]))
        it.reload()
        assert (await it.send("/a", {}, delivery="d-2")).status == 429
        assert (await it.send("/b", {}, delivery="d-2")).status == 202

    with_hooks(tmp_path, listed(entries), test)


def test_one_address_takes_only_its_part_of_the_places(tmp_path: Path) -> None:
    (tmp_path / ".aiworkflow").mkdir()
    config = "serve: {webhooks: {max_requests: 3, max_per_address: 2, refusals: 1000/s}}\n"
    (tmp_path / ".aiworkflow" / "config.yaml").write_text(config)

    async def test(it: Hooks) -> None:
        held = asyncio.Event()

        async def slow(address: str) -> None:
            async def receive() -> Any:
                await held.wait()
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                pass

            scope: Any = {
                "type": "http",
                "method": "POST",
                "path": "/h",
                "headers": [],
                "client": (address, 1),
            }
            await it.source.app(scope, receive, send)

        network = "2001:db8::"
        waiting = [asyncio.ensure_future(slow(f"{network}{n}")) for n in range(2)]
        await asyncio.sleep(0)
        assert (await it.send("/h", {}, address=f"{network}9")).status == 503
        assert (await it.send("/h", {}, address="192.0.2.1")).status == 202
        waiting.append(asyncio.ensure_future(slow("192.0.2.2")))
        await asyncio.sleep(0)
        assert (await it.send("/h", {}, address="192.0.2.3")).status == 503
        held.set()
        await asyncio.wait(waiting)
        assert (await it.send("/h", {}, address=f"{network}9", delivery="d-2")).status == 202

    with_hooks(tmp_path, PLAIN, test)


def test_behind_a_proxy_each_sender_counts_for_itself(tmp_path: Path) -> None:
    (tmp_path / ".aiworkflow").mkdir()
    config = "serve: {webhooks: {refusals: 3/h, proxies: [10.0.0.0/8, 127.0.0.1]}}\n"
    (tmp_path / ".aiworkflow" / "config.yaml").write_text(config)

    async def test(it: Hooks) -> None:
        bad = {
            "x-forwarded-for": "198.51.100.9, 203.0.113.5"
        }  # the first entry is what a sender says
        good = {"x-forwarded-for": "203.0.113.6, 10.1.2.3"}
        for _ in range(3):
            assert (await it.ask("/h", b"{}", bad, address="10.0.0.1")).status == 404
        assert (await it.ask("/h", b"{}", bad, address="10.0.0.1")).status == 429
        forged = {"x-forwarded-for": "198.51.100.77, 203.0.113.5"}
        assert (await it.ask("/h", b"{}", forged, address="10.0.0.1")).status == 429
        assert (await it.send("/h", {}, headers=good, address="10.0.0.1")).status == 202
        # who is no proxy is counted by its own address, whatever it says
        for number in range(3):
            lie = {"x-forwarded-for": f"192.0.2.{number}"}
            assert (await it.ask("/h", b"{}", lie, address="203.0.113.7")).status == 404
        assert (await it.ask("/h", b"{}", address="203.0.113.7")).status == 429
        # a proxy that says nothing is never refused for what others do
        for _ in range(9):
            assert (await it.ask("/h", b"{}", address="127.0.0.1")).status == 404
            assert (
                await it.ask("/h", b"{}", {"x-forwarded-for": "x, ,"}, address="10.0.0.1")
            ).status == 404

    with_hooks(tmp_path, PLAIN, test)


def test_a_network_of_proxies_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / ".aiworkflow").mkdir()
    config = "serve: {webhooks: {proxies: [10.0.0.0/99]}}\n"
    (tmp_path / ".aiworkflow" / "config.yaml").write_text(config)
    with pytest.raises(UsageError, match=r"`serve.webhooks.proxies`: .*10.0.0.0/99") as failed:
        Hooks(tmp_path, {"flow": PLAIN})
    assert "10.0.0.0/8" in str(failed.value.hint)
