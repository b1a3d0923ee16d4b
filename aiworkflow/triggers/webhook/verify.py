"""Whether a request is from who it says: one pure function for each sender's way of signing.

All work on the raw body, before anything is read of it, and compare in constant time. Every secret and
every signature given is tried, whatever the ones before came to, so the time says nothing about them.
What a function gives is "" for a request that is genuine, and else why not, for the server's own log:
a stranger is never told.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import parse_qsl

from aiworkflow.bundle.webhook import TOLERANCE_S
from aiworkflow.errors import UsageError
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.bundle.webhook import Verify
    from aiworkflow.engine.carried import Json

_MOST_SIGNATURES: Final = 16  # in one header: senders that replace a secret send two
_LONGEST: Final = 4096  # characters of a header that are looked at
_TIME_DIGITS: Final = 12


@record
class Client:
    """The certificate that a client has shown, as the TLS layer has checked it.

    Attributes:
        subject: as in RFC 4514: `CN=ci,O=Example`.
        fingerprint: SHA-256 of the certificate, in lower-case hexadecimal.
    """

    subject: str
    fingerprint: str


class Request:
    """What of a request is signed.

    Attributes:
        headers: by lower-case name. A header that is there twice has both values, with `, ` between,
            and is listed in `doubled`: no signature may be there twice.
        url: as the sender has called it.
        client: whose certificate was shown; None for no certificate.
    """

    __slots__ = ("body", "client", "doubled", "headers", "url")

    def __init__(
        self,
        headers: Mapping[str, str],
        body: bytes,
        url: str = "",
        client: Client | None = None,
        doubled: frozenset[str] = frozenset(),
    ) -> None:
        self.headers = headers
        self.body = body
        self.url = url
        self.client = client
        self.doubled = doubled

    def one(self, name: str) -> str:
        """The value of a header; "" where it is not there, too long, or there twice."""
        value = self.headers.get(name, "")
        return "" if name in self.doubled or len(value) > _LONGEST else value


if TYPE_CHECKING:
    from typing import TypeAlias

    Check: TypeAlias = Callable[[Request, float], str]
    """Gives "" for a genuine request at a moment (seconds since the epoch), else why it is none."""


def checker(verify: Verify, secret: Callable[[str], str]) -> Check:
    """The check of an entry of `on`, its secrets looked up now.

    Args:
        secret: the value of a secret by its name.

    Raises:
        SecretMissing, SecretTooShort: it cannot be armed. UsageError: a secret is no such one.
    """
    keys = [secret(name) for name in verify.secrets]
    return _MAKERS[verify.scheme](keys, verify.options)


# -- pieces ---------------------------------------------------------------------------------------

_MISSING: Final = "the signature is missing"
_WRONG: Final = "the signature is wrong"
_OLD: Final = "the time of the signature is too far from ours"


def _bytes(secrets: Sequence[str]) -> list[bytes]:
    return [secret.encode("utf-8", "surrogateescape") for secret in secrets]


def _any_equal(expected: Sequence[bytes], given: Sequence[bytes]) -> bool:
    """Whether one of what is given is one of what is expected; all are compared."""
    found = False
    for one in expected:
        for other in given:
            found |= hmac.compare_digest(one, other)
    return found


def _digests(keys: Sequence[bytes], content: bytes, algorithm: str = "sha256") -> list[bytes]:
    return [hmac.digest(key, content, algorithm) for key in keys]


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text) if text.isascii() and " " not in text else b""
    except ValueError:
        return b""


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


def _seconds(text: str) -> int | None:
    """A time as it is written: digits and nothing else."""
    if not text or len(text) > _TIME_DIGITS or not (text.isascii() and text.isdigit()):
        return None
    return int(text)


def _tolerance(options: Mapping[str, Json]) -> float:
    return float(cast("float", options.get("tolerance", TOLERANCE_S)))


def _is_old(at: int | None, now: float, tolerance_s: float) -> bool:
    return at is None or abs(now - at) > tolerance_s


# -- senders that sign the body -------------------------------------------------------------------


def _hub(header: str) -> Callable[[Sequence[str], Mapping[str, Json]], Check]:
    """`sha256=` and the HMAC of the body in hexadecimal: GitHub, Bitbucket."""

    def make(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
        del options
        keys = _bytes(secrets)

        def check(request: Request, now: float) -> str:
            del now
            given = request.one(header)
            expected = _digests(keys, request.body)
            if not given.startswith("sha256="):
                return _MISSING
            return "" if _any_equal(expected, [_unhex(given[7:])]) else _WRONG

        return check

    return make


def _shopify(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """The HMAC of the body in base64."""
    del options
    keys = _bytes(secrets)

    def check(request: Request, now: float) -> str:
        del now
        given = request.one("x-shopify-hmac-sha256")
        expected = _digests(keys, request.body)
        if not given:
            return _MISSING
        return "" if _any_equal(expected, [_unbase64(given)]) else _WRONG

    return check


def _stripe(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """`t=TIME,v1=HEX,v1=HEX`: the HMAC of the time, a full stop and the body."""
    keys, tolerance_s = _bytes(secrets), _tolerance(options)

    def check(request: Request, now: float) -> str:
        times: list[str] = []
        given: list[bytes] = []
        for part in request.one("stripe-signature").split(",")[: _MOST_SIGNATURES + 1]:
            name, _, value = part.strip().partition("=")
            if name == "t":
                times.append(value)
            elif name == "v1":
                given.append(_unhex(value))
        at = _seconds(times[0]) if len(times) == 1 else None
        signed = f"{times[0] if times else ''}.".encode("utf-8", "replace") + request.body
        is_right = _any_equal(_digests(keys, signed), given)
        if not given:
            return _MISSING
        if not is_right:
            return _WRONG
        return _OLD if _is_old(at, now, tolerance_s) else ""

    return check


def _slack(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """`v0=` and the HMAC of `v0:TIME:BODY` in hexadecimal."""
    keys, tolerance_s = _bytes(secrets), _tolerance(options)

    def check(request: Request, now: float) -> str:
        stamp = request.one("x-slack-request-timestamp")
        given = request.one("x-slack-signature")
        signed = f"v0:{stamp}:".encode("utf-8", "replace") + request.body
        expected = _digests(keys, signed)
        if not given.startswith("v0="):
            return _MISSING
        if not _any_equal(expected, [_unhex(given[3:])]):
            return _WRONG
        return _OLD if _is_old(_seconds(stamp), now, tolerance_s) else ""

    return check


def _standard(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """Standard Webhooks: `v1,BASE64` (several, a space between) of `ID.TIME.BODY`."""
    keys, tolerance_s = [standard_key(secret) for secret in secrets], _tolerance(options)
    return lambda request, now: _check_standard(request, now, keys, tolerance_s)


def _check_standard(request: Request, now: float, keys: Sequence[bytes], tolerance_s: float) -> str:
    id_, stamp = request.one("webhook-id"), request.one("webhook-timestamp")
    given: list[bytes] = []
    for part in request.one("webhook-signature").split(" ")[:_MOST_SIGNATURES]:
        version, _, value = part.partition(",")
        if version == "v1":
            given.append(_unbase64(value))
    signed = f"{id_}.{stamp}.".encode("utf-8", "replace") + request.body
    is_right = _any_equal(_digests(keys, signed), given)
    if not given or not id_ or "." in id_:
        return _MISSING
    if not is_right:
        return _WRONG
    return _OLD if _is_old(_seconds(stamp), now, tolerance_s) else ""


def standard_key(secret: str) -> bytes:
    """The key of a secret of Standard Webhooks: base64, as a rule after `whsec_`.

    Raises:
        UsageError: it is not base64.
    """
    try:
        return base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except (ValueError, binascii.Error) as error:
        raise UsageError(
            "a secret of Standard Webhooks is base64, as a rule after `whsec_`, and this one is not",
            hint="copy it whole from the sender; any other text is for `hmac`",
        ) from error


def _gitlab(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """A signing token (`whsec_…`) signs as Standard Webhooks do; a plain one is sent as it is."""
    tolerance_s = _tolerance(options)
    signing = [standard_key(one) for one in secrets if one.startswith("whsec_")]
    tokens = _bytes([one for one in secrets if not one.startswith("whsec_")])

    def check(request: Request, now: float) -> str:
        given = request.one("x-gitlab-token")
        has_token = _any_equal(_hashed(tokens), _hashed([given.encode("utf-8", "replace")]))
        if signing:
            found = _check_standard(request, now, signing, tolerance_s)
            if not found:
                return ""
            if not tokens or "webhook-signature" in request.headers:
                return found
        if not given:
            return _MISSING
        return "" if has_token else _WRONG

    return check


def _twilio(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """The SHA-1 HMAC of the URL and of a form's fields by name; of JSON the URL holds the digest."""
    keys = _bytes(secrets)
    fixed = str(options.get("url", ""))

    def check(request: Request, now: float) -> str:
        del now
        given = request.one("x-twilio-signature")
        url = fixed
        if fixed and "?" not in fixed and "?" in request.url:
            url = f"{fixed}?{request.url.partition('?')[2]}"
        return _check_twilio(request, given, url or request.url, keys)

    return check


def _check_twilio(request: Request, given: str, url: str, keys: Sequence[bytes]) -> str:
    signed = url
    is_form = request.one("content-type").startswith("application/x-www-form-urlencoded")
    digest_is_right = True
    if is_form:
        try:
            # the order of fields with one name is by value, and one given twice counts once
            pairs = parse_qsl(request.body.decode(), keep_blank_values=True, max_num_fields=1000)
        except ValueError:
            return _WRONG
        signed += "".join(name + value for name, value in sorted(set(pairs)))
    else:
        query = url.partition("?")[2].partition("#")[0]
        said = [
            value
            for part in query.split("&")
            for name, _, value in [part.partition("=")]
            if name == "bodySHA256"
        ]
        body = hashlib.sha256(request.body).digest()
        digest_is_right = len(said) == 1 and hmac.compare_digest(_unhex(said[0]), body)
        if not said and not request.body:
            digest_is_right = True
    expected = _digests(keys, signed.encode("utf-8", "surrogatepass"), "sha1")
    is_right = _any_equal(expected, [_unbase64(given)])
    if not given:
        return _MISSING
    return "" if is_right and digest_is_right else _WRONG


def _hmac(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """Any header, algorithm, encoding and prefix; with a time, that is signed too."""
    keys, tolerance_s = _bytes(secrets), _tolerance(options)
    header = str(options["header"]).lower()
    prefix = str(options.get("prefix", ""))
    algorithm = str(options.get("algorithm", "sha256"))
    decode = _unbase64 if options.get("encoding") == "base64" else _unhex
    timed = str(options.get("timestamp", "")).lower()

    def check(request: Request, now: float) -> str:
        given = request.one(header)
        stamp = request.one(timed) if timed else ""
        start = f"{stamp}.".encode("utf-8", "replace") if timed else b""
        expected = _digests(keys, start + request.body, algorithm)
        if not given or not given.startswith(prefix):
            return _MISSING
        if not _any_equal(expected, [decode(given[len(prefix) :])]):
            return _WRONG
        return _OLD if timed and _is_old(_seconds(stamp), now, tolerance_s) else ""

    return check


# -- senders that show who they are ---------------------------------------------------------------


def _hashed(values: Sequence[bytes]) -> list[bytes]:
    """Digests: comparing them takes as long for values of any length."""
    return [hashlib.sha256(value).digest() for value in values]


def _bearer(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """`Authorization: Bearer TOKEN`, or the token alone in a header of its own."""
    expected = _hashed(_bytes(secrets))
    header = str(options.get("header", "authorization")).lower()
    needs_word = "header" not in options

    def check(request: Request, now: float) -> str:
        del now
        given = request.one(header)
        word, _, token = given.partition(" ") if needs_word else ("bearer", "", given)
        is_right = _any_equal(expected, _hashed([token.strip().encode("utf-8", "replace")]))
        if word.lower() != "bearer" or not token:
            return "the token is missing"
        return "" if is_right else "the token is wrong"

    return check


def _basic(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """`Authorization: Basic`, user and password."""
    user = str(options["user"])
    expected = _hashed(_bytes([f"{user}:{secret}" for secret in secrets]))

    def check(request: Request, now: float) -> str:
        del now
        word, _, value = request.one("authorization").partition(" ")
        is_right = _any_equal(expected, _hashed([_unbase64(value.strip())]))
        if word.lower() != "basic":
            return "user and password are missing"
        return "" if is_right else "user or password is wrong"

    return check


def _mtls(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    """The certificate of the client, which the TLS layer has checked against the server's CA."""
    del secrets
    subject = options.get("subject")
    listed = cast("Sequence[str]", options.get("fingerprint", ()))
    known = [one.replace(":", "").lower().encode() for one in listed]

    def check(request: Request, now: float) -> str:
        del now
        client = request.client
        if client is None:
            return "no certificate was shown"
        if subject is not None and client.subject != subject:
            return "it is another one's certificate"
        if known and not _any_equal(known, [client.fingerprint.encode()]):
            return "it is another certificate"
        return ""

    return check


def _none(secrets: Sequence[str], options: Mapping[str, Json]) -> Check:
    del secrets, options
    return lambda request, now: ""


_MAKERS: Final[Mapping[str, Callable[[Sequence[str], Mapping[str, Json]], Check]]] = {
    "github": _hub("x-hub-signature-256"),
    "gitlab": _gitlab,
    "bitbucket": _hub("x-hub-signature"),
    "stripe": _stripe,
    "slack": _slack,
    "shopify": _shopify,
    "twilio": _twilio,
    "standard": _standard,
    "hmac": _hmac,
    "bearer": _bearer,
    "basic": _basic,
    "mtls": _mtls,
    "none": _none,
}
