"""Every sender's way of signing: what is published, what is forged, what is old, what is rotated."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiworkflow.bundle.webhook import Verify
from aiworkflow.errors import UsageError
from aiworkflow.triggers.webhook.sign import sign
from aiworkflow.triggers.webhook.verify import Client, Request, checker
from aiworkflow.trust.secrets import EnvironmentSecrets, SecretMissing

if TYPE_CHECKING:
    from aiworkflow.triggers.webhook.verify import Check

NOW = 1_800_000_000.0
URL = "https://hooks.example.com/x"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PAYLOADS = sorted((Path(__file__).parents[2] / "data" / "github_webhooks").glob("*.json"))
SCHEMES = [
    Verify("github", ("S",)),
    Verify("gitlab", ("S",)),
    Verify("gitlab", ("W",)),
    Verify("bitbucket", ("S",)),
    Verify("stripe", ("S",)),
    Verify("slack", ("S",)),
    Verify("shopify", ("S",)),
    Verify("twilio", ("S",)),
    Verify("twilio", ("S",), {"url": "https://other.example.com/y"}),
    Verify("standard", ("W",)),
    Verify("hmac", ("S",), {"header": "X-Sig"}),
    Verify("hmac", ("S",), {"header": "X-Sig", "algorithm": "sha512", "encoding": "base64"}),
    Verify("hmac", ("S",), {"header": "X-Sig", "prefix": "v9=", "timestamp": "X-Time"}),
    Verify("bearer", ("S",)),
    Verify("bearer", ("S",), {"header": "X-Api-Key"}),
    Verify("basic", ("S",), {"user": "ci"}),
]
TIMED = [
    one
    for one in SCHEMES
    if one.scheme in {"stripe", "slack", "standard"}
    or one.secrets == ("W",)
    or "timestamp" in one.options
]
SECRETS = {"S": "correct horse", "W": WHSEC, "OLD": "battery staple", "W_OLD": "whsec_" + "A" * 32}


def check_of(verify: Verify) -> Check:
    return checker(verify, EnvironmentSecrets(SECRETS).get)


def signed_request(
    verify: Verify, body: bytes, at: float = NOW, secret: str = "", **kinds: str
) -> Request:
    value = secret or SECRETS[verify.secrets[0]]
    signed = sign(verify, value, body, url=URL, at=at, delivery="d-1", **kinds)
    return Request(signed.headers, body, signed.url)


# -- what is published -----------------------------------------------------------------------------

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
TWILIO_URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
TWILIO_FORM = (
    b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212"
    b"&Caller=%2B14158675309"
)
TWILIO_JSON = b'{"property": "value", "boolean": true}'
BODY_DIGEST = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


@pytest.mark.parametrize(
    ("scheme", "secret", "headers", "body", "url", "now"),
    [
        ("github", "It's a Secret to Everybody", {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}, b"Hello, World!", URL, NOW),
        ("bitbucket", "It's a Secret to Everybody", {"x-hub-signature": "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"}, b"Hello World!", URL, NOW),
        ("slack", "8f742231b10e8888abcd99yyyzzz85a5", {"x-slack-request-timestamp": "1531420618", "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"}, SLACK_BODY, URL, 1531420618.0),
        ("standard", WHSEC, {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330", "webhook-signature": "v1,bm9ldGhpbmcK v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, b'{"test": 2432232314}', URL, 1614265330.0),
        ("twilio", "12345", {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}, TWILIO_FORM, TWILIO_URL, NOW),
        ("twilio", "12345", {"content-type": "application/json", "x-twilio-signature": "a9nBmqA0ju/hNViExpshrM61xv4="}, TWILIO_JSON, f"{TWILIO_URL}&bodySHA256={BODY_DIGEST}", NOW),
    ],
)  # fmt: skip
def test_what_senders_publish_as_examples_is_genuine(
    scheme: str, secret: str, headers: dict[str, str], body: bytes, url: str, now: float
) -> None:
    check = checker(Verify(scheme, ("X",)), lambda _: secret)
    assert check(Request(headers, body, url), now) == ""
    assert check(Request(headers, body + b" ", url), now) != ""
    assert checker(Verify(scheme, ("X",)), lambda _: WHSEC[:-4] + "AAAA")(Request(headers, body, url), now) != ""  # fmt: skip


# -- every scheme ----------------------------------------------------------------------------------


def name_of(verify: Verify) -> str:
    return "-".join([verify.scheme, *verify.secrets, *map(str, verify.options.values())])


@pytest.mark.parametrize("verify", SCHEMES, ids=name_of)
def test_right_wrong_and_missing_signatures(verify: Verify) -> None:
    check = check_of(verify)
    body = b'{"action":"opened"}'
    request = signed_request(verify, body)
    assert check(request, NOW) == ""
    # a name that was never used signs nothing
    forged = signed_request(
        verify, body, secret=SECRETS["W_OLD" if verify.secrets == ("W",) else "OLD"]
    )
    assert "wrong" in check(forged, NOW)
    assert "missing" in check(Request({"content-type": "application/json"}, body, URL), NOW)
    if verify.scheme not in {"bearer", "basic"} and "x-gitlab-token" not in request.headers:
        assert "wrong" in check(Request(request.headers, body + b" ", request.url), NOW)
    for name in filter(
        re.compile("sig|hmac|(?<!idempotency-)token|time|auth|api-key|^webhook-id").search,
        request.headers,
    ):
        doubled = Request(request.headers, body, request.url, doubled=frozenset({name}))
        assert check(doubled, NOW) != ""


@pytest.mark.parametrize("verify", TIMED, ids=name_of)
def test_a_signature_is_good_for_some_minutes(verify: Verify) -> None:
    check = check_of(verify)
    request = signed_request(verify, b"{}")
    assert check(request, NOW + 299) == ""
    assert check(request, NOW - 299) == ""
    assert "time" in check(request, NOW + 301)
    assert "time" in check(request, NOW - 301)
    short = check_of(Verify(verify.scheme, verify.secrets, {**verify.options, "tolerance": 10.0}))
    assert "time" in short(request, NOW + 11)


@pytest.mark.parametrize("verify", SCHEMES, ids=name_of)
def test_two_secrets_count_while_one_replaces_the_other(verify: Verify) -> None:
    other = "W_OLD" if verify.secrets == ("W",) else "OLD"
    both = Verify(verify.scheme, (*verify.secrets, other), verify.options)
    old = signed_request(verify, b"{}", secret=SECRETS[other])
    assert check_of(both)(old, NOW) == ""
    assert check_of(both)(signed_request(verify, b"{}"), NOW) == ""
    assert check_of(verify)(old, NOW) != ""


def test_a_gitlab_hook_moves_from_a_token_to_a_signature() -> None:
    check = check_of(Verify("gitlab", ("S", "W")))
    assert check(signed_request(Verify("gitlab", ("S",)), b"{}"), NOW) == ""
    assert check(signed_request(Verify("gitlab", ("W",)), b"{}"), NOW) == ""
    signed = signed_request(Verify("gitlab", ("W",)), b"{}")
    assert check(Request(signed.headers, b"{ }"), NOW) != ""


def test_several_signatures_of_one_request() -> None:
    stripe = Verify("stripe", ("S",))
    good = signed_request(stripe, b"{}").headers["stripe-signature"]
    old = signed_request(stripe, b"{}", secret=SECRETS["OLD"]).headers["stripe-signature"]
    both = f"{good},{old.partition(',')[2]},v0=00"
    assert check_of(stripe)(Request({"stripe-signature": both}, b"{}"), NOW) == ""
    two_times = f"t={int(NOW)},{good}"
    assert check_of(stripe)(Request({"stripe-signature": two_times}, b"{}"), NOW) != ""
    many = ",".join(["v1=00"] * 50) + "," + good
    assert check_of(stripe)(Request({"stripe-signature": many}, b"{}"), NOW) != ""


def test_a_form_of_twilio_with_fields_of_one_name() -> None:
    form = b"Media=b&Media=a&Media=b&A="
    kind = {"content_type": "application/x-www-form-urlencoded"}
    for verify in (one for one in SCHEMES if one.scheme == "twilio"):
        check = check_of(verify)
        assert check(signed_request(verify, form, **kind), NOW) == ""
        assert check(signed_request(verify, b"A=1&B=2", **kind), NOW) == ""
    request = signed_request(Verify("twilio", ("S",)), b"A=1", **kind)
    assert check_of(Verify("twilio", ("S",)))(Request(request.headers, b"A=2", URL), NOW) != ""
    # a body whose digest the address does not hold was not signed
    bare = sign(Verify("twilio", ("S",)), SECRETS["S"], b"", url=URL, at=NOW, delivery="", **kind)
    headers = {**bare.headers, "content-type": "application/json"}
    assert check_of(Verify("twilio", ("S",)))(Request(headers, b"{}", URL), NOW) != ""


def test_a_client_with_a_certificate() -> None:
    print_ = hashlib.sha256(b"der").hexdigest()
    client = Client("CN=ci,O=Example", print_)
    dotted = ":".join(print_[at : at + 2] for at in range(0, 64, 2)).upper()
    for options, is_genuine in (
        ({"subject": "CN=ci,O=Example"}, True),
        ({"subject": "CN=ci"}, False),
        ({"fingerprint": [dotted]}, True),
        ({"fingerprint": ["00" * 32]}, False),
        ({"subject": "CN=ci,O=Example", "fingerprint": ["00" * 32]}, False),
    ):
        check = checker(Verify("mtls", (), options), EnvironmentSecrets({}).get)
        assert (check(Request({}, b"", client=client), NOW) == "") is is_genuine
        assert check(Request({}, b""), NOW) == "no certificate was shown"
    with pytest.raises(UsageError, match="certificate"):
        sign(Verify("mtls"), "", b"", url=URL, at=NOW, delivery="")


def test_what_cannot_be_armed_says_why() -> None:
    with pytest.raises(SecretMissing, match="secret `NONE` is not set"):
        check_of(Verify("github", ("NONE",)))
    with pytest.raises(UsageError, match="is base64") as failed:
        check_of(Verify("standard", ("S",)))
    assert failed.value.hint
    assert SECRETS["S"] not in str(failed.value)


# -- real events -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_real_events_of_github(path: Path) -> None:
    body = path.read_bytes()
    verify = Verify("github", ("S",))
    check = check_of(verify)
    request = signed_request(verify, body)
    assert check(request, NOW) == ""
    assert check(Request(request.headers, body[:-1] + b"\t"), NOW) == "the signature is wrong"
    assert check(Request({}, body), NOW) == "the signature is missing"
    assert check(signed_request(verify, body, secret=SECRETS["OLD"]), NOW) != ""


def test_there_are_real_events() -> None:
    assert len(PAYLOADS) >= 20


# -- anything at all -------------------------------------------------------------------------------

HEADERS = sorted({
    "authorization", "stripe-signature", "webhook-id", "webhook-signature", "webhook-timestamp",
    "x-api-key", "x-gitlab-token", "x-hub-signature", "x-hub-signature-256", "x-shopify-hmac-sha256",
    "x-sig", "x-slack-request-timestamp", "x-slack-signature", "x-time", "x-twilio-signature",
})  # fmt: skip
PIECES = ["", "sha256=", "v0=", "t=", "v1=", "v1,", " ", ",", "Bearer ", "Basic ", "1800000000", "é", "\x00", "9" * 30, "-5", "nan", "١٢", "===", "ab"]  # fmt: skip
VALUES = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))


@given(headers=st.dictionaries(st.sampled_from(HEADERS), VALUES), body=st.binary(max_size=60))
def test_no_header_at_all_is_genuine_or_an_error(headers: dict[str, str], body: bytes) -> None:
    for verify in SCHEMES:
        for kind in ("application/json", "application/x-www-form-urlencoded"):
            request = Request({**headers, "content-type": kind}, body, URL)
            assert check_of(verify)(request, NOW) != ""
