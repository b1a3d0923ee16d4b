"""What a request says is read, whatever it is: data, or a reason why not; never an error of ours."""

from __future__ import annotations

import fnmatch
import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.webhook import Verify
from aiworkflow.engine import decode, encode
from aiworkflow.engine import events as ev
from aiworkflow.engine.carried import Inline
from aiworkflow.triggers.webhook.events import (
    branches_of,
    event_of,
    event_pattern,
    files_of,
)
from aiworkflow.triggers.webhook.limits import Buckets
from aiworkflow.triggers.webhook.payload import (
    Unreadable,
    header_map,
    read_body,
    read_query,
    safe_headers,
)

KINDS = [
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "",
    "a/b+json",
    "x;y",
]
SENDERS = [
    "github",
    "gitlab",
    "bitbucket",
    "stripe",
    "slack",
    "shopify",
    "twilio",
    "standard",
    "none",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["ref", "commits", "added", "type", "event", "action", "push", "changes", "new", "pull_request", "base"]) | st.text(max_size=4),
        inner, max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


@given(
    body=st.binary(max_size=200) | JSON.map(lambda one: json.dumps(one).encode()),
    kind=st.sampled_from(KINDS),
)
def test_any_body_is_data_or_a_reason(body: bytes, kind: str) -> None:
    try:
        found = read_body(body, kind)
    except Unreadable as error:
        assert str(error)
    else:
        json.dumps(found, ensure_ascii=False).encode()


@given(
    body=st.dictionaries(st.text(max_size=4), JSON, max_size=4),
    form=st.sampled_from(
        [{}, {"ensure_ascii": False}, {"separators": (" ,", " : ")}, {"indent": 1}]
    ),
    kind=st.sampled_from(["application/json", "application/x-www-form-urlencoded"]),
)
def test_a_body_stands_in_the_event_as_it_came(
    body: dict[str, object], form: dict[str, object], kind: str
) -> None:
    text = json.dumps(body, **form)  # type: ignore[arg-type]
    sent = text if kind == "application/json" else urlencode({"payload": text})
    trigger = {"at": "now", "body": read_body(sent.encode(), kind), "type": "webhook"}
    refs = ["p", "d", "f", Inline({}), Inline({}), {}]
    event = ev.RunStarted(1.0, "r", "b", *refs, trigger=trigger, actor="x")  # type: ignore[arg-type]
    payload = encode(event)
    assert decode(payload).trigger == {**trigger, "body": body}  # type: ignore[union-attr]
    assert decode(payload) == event
    assert b"\n" not in payload, "an event is one line wherever it is kept as text"
    assert (text.encode() in payload) == ("\n" not in text), "what is there need not be written"


@given(
    body=JSON,
    values=st.dictionaries(
        st.sampled_from(["x-github-event", "ce-type", "webhook-id"]), st.text(max_size=5)
    ),
)
def test_any_data_is_an_event(body: object, values: dict[str, str]) -> None:
    for sender in SENDERS:
        event = event_of(Verify(sender), values, body)  # type: ignore[arg-type]
        assert all(isinstance(name, str) for name in event.names)
    assert all(isinstance(one, str) for one in branches_of(body))  # type: ignore[arg-type]
    assert all(isinstance(one, str) for one in files_of(body))  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.binary(max_size=8), st.binary(max_size=8)), max_size=6))
def test_any_headers_are_a_map(pairs: list[tuple[bytes, bytes]]) -> None:
    found, doubled = header_map(pairs)
    assert found.keys() == {name.decode("latin-1") for name, _ in pairs}
    assert doubled <= found.keys()
    assert len(pairs) - len(found) >= len(doubled)
    json.dumps(safe_headers(found))


@given(st.binary(max_size=60))
def test_any_query_is_fields(query: bytes) -> None:
    json.dumps(read_query(query))


def test_no_name_that_may_tell_a_secret_is_shown() -> None:
    telling = [
        "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "apikey", "x-auth",
        "x-hub-signature", "stripe-signature", "x-gitlab-token", "x-shopify-hmac-sha256", "x-secret",
        "x-amz-security-token", "x-session-id", "client-cert", "x-password", "passwd", "sig", "code",
        "api_sig", "x-sig", "cf-access-jwt-assertion", "x-goog-iap-jwt-assertion", "dpop", "x-otp",
    ]  # fmt: skip
    assert safe_headers(dict.fromkeys(telling, "v")) == {}
    assert read_query("&".join(f"{name}=v" for name in telling).encode()) == {}
    known = ["x-event-key", "idempotency-key", "x-github-event", "user-agent", "content-type"]
    assert list(safe_headers(dict.fromkeys(known, "v"))) == known
    for value in ("Bearer abc", "basic YTpi", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.c2ln"):
        assert safe_headers({"x-from": value, "x-other": "basics"}) == {"x-other": "basics"}
    many = safe_headers({f"x-{number}": "v" * 5000 for number in range(200)})
    assert len(many) == 64
    assert max(len(str(value)) for value in many.values()) == 1024


@pytest.mark.parametrize(
    ("pattern", "name", "is_one"),
    [
        ("push", "push", True), ("push", "pushed", False), ("pull_request.*", "pull_request.opened", True),
        ("*", "anything", True), ("repo:*", "repo:push", True), ("a.b", "axb", False), ("*.opened", "issues.opened", True),
    ],
)  # fmt: skip
def test_patterns_of_events(pattern: str, name: str, is_one: bool) -> None:  # noqa: FBT001
    assert (event_pattern(pattern).fullmatch(name) is not None) is is_one


@given(pattern=st.text("ab*.", max_size=8), name=st.text("ab.", max_size=10))
def test_patterns_of_events_are_those_of_file_names(pattern: str, name: str) -> None:
    assert (event_pattern(pattern).fullmatch(name) is not None) is fnmatch.fnmatchcase(
        name, pattern
    )


def test_a_pattern_of_stars_is_no_trap() -> None:
    assert event_pattern("*a" * 40 + "b").fullmatch("a" * 200) is None
    long = {
        "ref": "refs/heads/" + "a" * 300,
        "commits": [{"added": ["a/" + "b" * 300, "c" * 5000, "d"]}],
    }
    assert branches_of(long) == ()  # type: ignore[arg-type]
    assert list(files_of(long)) == ["d"]  # type: ignore[arg-type]


def test_buckets_fill_again_and_take_no_more_room_than_said() -> None:
    buckets = Buckets(2, 10.0, names=3)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0.0, 0.0, 5.0]
    assert buckets.take("b", 0.0) == 0.0
    assert buckets.wait("a", 2.5) == 2.5
    assert buckets.take("a", 5.0) == 0.0
    assert buckets.take("a", 4.0) > 0  # a clock that goes back fills nothing
    for name in "cdefg":
        buckets.take(name, 5.0)
    assert len(buckets) == 3
    assert [buckets.wait("z", 9.0) for _ in range(3)] == [0.0] * 3  # to look takes nothing
    assert [buckets.take("a", 1000.0) for _ in range(3)] == [0.0, 0.0, 5.0]  # full is full
