"""`on.webhook`: who may send, in the short and the long form; what is said of mistakes."""

from __future__ import annotations

import pytest

from aiworkflow.bundle import read_document
from aiworkflow.bundle.webhook import Respond, Verify
from aiworkflow.diagnostics import Report
from aiworkflow.plan import compile_plan


def read(webhook: str) -> tuple[dict[str, object], list[str]]:
    text = (
        f"---\nname: t\ndescription: T.\noutputs: {{x: 1}}\non:\n  webhook: {webhook}\n---\n\n# T\n\n"
        "## A\n\n```yaml step\nid: a\nwait: 1s\n```\n"
    )
    reading = read_document(text, name="t")
    report: Report = reading.report
    if reading.workflow is not None:
        compile_plan(reading.workflow, report)
    found = [f"{one.code} {one.message} | {one.hint}" for one in report.sorted()]
    triggers = reading.workflow.triggers if reading.workflow is not None else ()
    return (dict(triggers[0].values) if triggers else {}), found


def verified(verify: str) -> object:
    values, findings = read(f"{{path: /h, verify: {verify}}}")
    assert findings == []
    return values["verify"]


@pytest.mark.parametrize(
    ("written", "verify"),
    [
        ("none", Verify("none")),
        ("{github: S}", Verify("github", ("S",))),
        ("{github: [NEW, OLD]}", Verify("github", ("NEW", "OLD"))),
        ("{stripe: {secret: S, tolerance: 1m}}", Verify("stripe", ("S",), {"tolerance": 60.0})),
        ("{basic: {user: ci, secret: [A, B]}}", Verify("basic", ("A", "B"), {"user": "ci"})),
        ("{hmac: {secret: S, header: X-Sig}}", Verify("hmac", ("S",), {"header": "X-Sig"})),
        ("{mtls: {subject: 'CN=a'}}", Verify("mtls", (), {"subject": "CN=a"})),
    ],
)
def test_who_may_send(written: str, verify: Verify) -> None:
    assert verified(written) == verify


@pytest.mark.parametrize(
    ("written", "respond"),
    [
        ("run", Respond()),
        ("wait", Respond(wait_s=30.0)),
        ("{wait: 5s}", Respond(wait_s=5.0)),
        ("{status: 201, body: null}", Respond(None, True, None, 201)),
    ],
)
def test_what_is_answered(written: str, respond: Respond) -> None:
    values, findings = read(f"{{path: /h, verify: none, respond: {written}}}")
    assert findings == []
    assert values["respond"] == respond


@pytest.mark.parametrize(
    ("webhook", "finding"),
    [
        ("{path: /h, verify: no}", "AW503 `on.webhook.verify` takes one sender and the name of its secret, such as `{github: WEBHOOK_SECRET}`, or `none`, not `no`"),
        ("{path: /h, verify: {}}", "AW531 `on.webhook.verify` takes exactly one of `github`, `gitlab`"),
        ("{path: /h, verify: {github: A, gitlab: B}}", "AW531 `on.webhook.verify` takes exactly one of"),
        ("{path: /h, verify: {githab: A}}", "AW501 `githab` is no setting of `verify` | did you mean `github`?"),
        ("{path: /h, verify: {github: [A, B, C]}}", "AW503 `on.webhook.verify.github` takes the name of a secret, or a list of two"),
        ("{path: /h, verify: {github: 'a b'}}", "AW503 `on.webhook.verify.github` takes the name of a secret, not `a b`"),
        ("{path: /h, verify: {hmac: S}}", "AW503 `on.webhook.verify.hmac` takes a map of `secret`, `header`"),
        ("{path: /h, verify: {hmac: {secret: S}}}", "AW506 `hmac` needs `header` | add `header: X-Signature`"),
        ("{path: /h, verify: {github: {secret: S, tolerance: 1m}}}", "AW501 `tolerance` is no setting of `github`"),
        ("{path: /h, verify: {mtls: {}}}", "AW503 `on.webhook.verify` takes `subject` or `fingerprint` of the certificate with `mtls`"),
        ("{path: /h, verify: {mtls: {fingerprint: ab}}}", "AW503 `on.webhook.verify.mtls.fingerprint` takes the SHA-256 fingerprint"),
        ("{path: /api/x, verify: none}", "AW503 `on.webhook.path` takes a path such as `/github`, not under `/api/`"),
        ("{path: x, verify: none}", "AW503 `on.webhook.path` takes a path such as `/github`"),
        ("{path: /h, verify: none, if: inputs.x}", "AW108 `inputs` is not there in `if` of a trigger | read `trigger`"),
        ("{path: /h, verify: none, event: steps.a.output}", "AW108 `steps` is not there in `event` of a trigger"),
        ("{path: /h, verify: none, respond: {body: '{{ inputs.x }}'}}", "AW108 `inputs` is not there in `respond` of a trigger"),
        ("{path: /h, verify: none, respond: {body: '{{ outputs.x }}'}}", "AW108 `outputs` is not there before the run is over | add `wait: 30s` to `respond`, or read `run.id`"),
        ("{path: /h, verify: none, respond: {wait: 1s, body: '{{ outputs.y }}'}}", "AW108 there is no output `y`"),
        ("{path: /h, verify: none, respond: {body: '{{ run.started }}'}}", "AW108 there is no field of `run` `started` | known: id, status"),
        ("{path: /h, verify: none, if: trigger.bdy}", "AW108 there is no field of `trigger` `bdy` | did you mean `body`?"),
        ("{path: /h, verify: none, start: false, respond: wait}", "AW512 `respond` means something only where runs are started | remove `respond`, or `start: false`"),
        ("{path: /h, verify: none, respond: later}", "AW508 `on.webhook.respond` takes one of `run`, `wait`"),
        ("{path: /h, verify: none, respond: {status: 500}}", "AW503 `on.webhook.respond.status` takes a whole number from 200 to 299"),
        ("{path: /h, verify: none, schema: strin}", "AW517 "),
        ("{path: /h, verify: none, max_body: big}", "AW503 `on.webhook.max_body` takes a size"),
    ],
)  # fmt: skip
def test_what_is_said_of_mistakes(webhook: str, finding: str) -> None:
    found = read(webhook)[1]
    assert any(one.startswith(finding) for one in found), found


def test_what_an_answer_may_read() -> None:
    body = "{{ run.id }} {{ outputs.x }} {{ trigger.body.y }}"
    assert read(f"{{path: /h, verify: none, respond: {{wait: 1s, body: '{body}'}}}}")[1] == []


def test_match_reads_the_event_and_the_run() -> None:
    text = (
        "---\nname: t\ndescription: T.\ninputs: {id: integer}\n---\n\n# T\n\n## A\n\n"
        "```yaml step\nid: a\nwait: {event: repo:push, match: trigger.body.id == inputs.ids}\n```\n"
    )
    reading = read_document(text, name="t")
    assert reading.workflow is not None
    compile_plan(reading.workflow, reading.report)
    (found,) = [one for one in reading.report.sorted() if one.severity == "error"]
    assert found.message == "there is no input `ids`"
    reading = read_document(
        text.replace("trigger.body.id == inputs.ids", "trigger.id == 1"), name="t"
    )
    assert reading.workflow is not None
    compile_plan(reading.workflow, reading.report)
    assert not reading.report.has_errors  # a message's
    reading = read_document(
        text.replace("trigger.body.id == inputs.ids", "trigger.bdy.id"), name="t"
    )
    assert reading.workflow is not None
    compile_plan(reading.workflow, reading.report)
    (found,) = [one for one in reading.report.sorted() if one.severity == "error"]
    assert found.message == "there is no field of `trigger` `bdy`"
