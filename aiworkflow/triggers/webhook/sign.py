"""Signing as each sender does, for events that are sent to try a webhook or to send one again."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.triggers.webhook.verify import standard_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.webhook import Verify
    from aiworkflow.engine.carried import Json


@record
class Signed:
    """A request that its receiver holds genuine.

    Attributes:
        url: to send it to; a sender may add to what was given.
        headers: to send with it.
    """

    url: str
    headers: Mapping[str, str]


def sign(
    verify: Verify,
    secret: str,
    body: bytes,
    *,
    url: str,
    at: float,
    delivery: str,
    content_type: str = "application/json",
) -> Signed:
    """A request with this body as the sender that an entry of `on` trusts would send it.

    Args:
        secret: value of the first of its secrets; "" where it has none.
        url: the address as the sender has it.
        at: moment of the signature, seconds since the epoch.
        delivery: id of the event.

    Raises:
        UsageError: only the TLS layer can show who the sender is.
    """
    key = secret.encode("utf-8", "surrogateescape")
    stamp = str(int(at))
    found: dict[str, str] = {"content-type": content_type}
    match verify.scheme:
        case "github":
            found["x-github-delivery"] = delivery
            found["x-hub-signature-256"] = "sha256=" + _hex(key, body)
        case "gitlab" if not secret.startswith("whsec_"):
            found |= {"x-gitlab-token": secret, "x-gitlab-event-uuid": delivery}
        case "standard" | "gitlab":
            signed = f"{delivery}.{stamp}.".encode() + body
            found |= {"webhook-id": delivery, "webhook-timestamp": stamp}
            found["webhook-signature"] = "v1," + _base64(standard_key(secret), signed)
        case "bitbucket":
            found |= {"x-request-uuid": delivery, "x-hub-signature": "sha256=" + _hex(key, body)}
        case "stripe":
            signature = _hex(key, f"{stamp}.".encode() + body)
            found["stripe-signature"] = f"t={stamp},v1={signature}"
        case "slack":
            found["x-slack-request-timestamp"] = stamp
            found["x-slack-signature"] = "v0=" + _hex(key, f"v0:{stamp}:".encode() + body)
        case "shopify":
            found |= {"x-shopify-webhook-id": delivery}
            found["x-shopify-hmac-sha256"] = _base64(key, body)
        case "twilio":
            found["i-twilio-idempotency-token"] = delivery
            return _twilio(verify, key, body, url, found)
        case "hmac":
            found |= _hmac(verify.options, key, body, stamp, delivery)
        case "bearer":
            header = verify.options.get("header")
            found[str(header or "authorization").lower()] = secret if header else f"Bearer {secret}"
        case "basic":
            pair = f"{verify.options['user']}:{secret}".encode()
            found["authorization"] = "Basic " + base64.b64encode(pair).decode()
        case "mtls":
            raise UsageError(
                "this webhook is for a client with a certificate",
                hint="send it with that: curl --cert FILE --key FILE --data-binary @PAYLOAD URL",
            )
        case _:
            pass
    return Signed(url, found)


def _hex(key: bytes, content: bytes, algorithm: str = "sha256") -> str:
    return hmac.digest(key, content, algorithm).hex()


def _base64(key: bytes, content: bytes, algorithm: str = "sha256") -> str:
    return base64.b64encode(hmac.digest(key, content, algorithm)).decode()


def _hmac(
    options: Mapping[str, Json], key: bytes, body: bytes, stamp: str, delivery: str
) -> dict[str, str]:
    timed = options.get("timestamp")
    signed = f"{stamp}.".encode() + body if timed else body
    written = _base64 if options.get("encoding") == "base64" else _hex
    signature = written(key, signed, str(options.get("algorithm", "sha256")))
    found = {str(options["header"]).lower(): f"{options.get('prefix', '')}{signature}"}
    if timed:
        found[str(timed).lower()] = stamp
    if "delivery" in options:
        found[str(options["delivery"]).lower()] = delivery
    return found


def _twilio(verify: Verify, key: bytes, body: bytes, url: str, found: dict[str, str]) -> Signed:
    known = str(verify.options.get("url", "")) or url
    if found["content-type"].startswith("application/x-www-form-urlencoded"):
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
        signed = known + "".join(name + value for name, value in sorted(set(pairs)))
    else:
        query = f"bodySHA256={hashlib.sha256(body).hexdigest()}"
        url = f"{url}{'&' if '?' in url else '?'}{query}"
        signed = known = f"{known}{'&' if '?' in known else '?'}{query}"
    found["x-twilio-signature"] = _base64(key, signed.encode(), "sha1")
    return Signed(url, found)
