"""Reader of `on.webhook`: its address, who may send, what counts, and what the sender is answered."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.bundle.readers import DURATION, RATE, SIZE, Choice, Flag, ListOf, Text, Whole, wrong
from aiworkflow.bundle.readers_map import MapOf, OneOrMany, Record, record_schema
from aiworkflow.bundle.readers_on_rows import INPUTS, OVERLAP_ROW, row
from aiworkflow.bundle.readers_step import SECRET_NAME
from aiworkflow.bundle.readers_value import EXPRESSION, VALUE
from aiworkflow.bundle.reading import WRONG, JsonSchema, Key, Reading
from aiworkflow.bundle.schema_form import read_schema
from aiworkflow.bundle.webhook import Respond, Verify
from aiworkflow.bundle.yaml_nodes import Mapping, Node, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

    from aiworkflow.bundle.workflow import Json, Value


# -- who may send ---------------------------------------------------------------------------------

_SECRET: Final = Text("the name of a secret", SECRET_NAME)
_HEADER: Final = Text("the name of a header such as `X-Signature`", r"[A-Za-z0-9-]+", 100)
_TOLERANCE: Final = row(
    "tolerance", DURATION, "How far the sender's clock may be from ours; 5m without it.", "5m"
)


@dataclass(slots=True, eq=False, repr=False)
class _SecretsReader:
    """The name of a secret, or of two while one replaces the other; gives a tuple."""

    expects: str = "the name of a secret, or a list of two while one replaces the other"
    _names: OneOrMany = field(default_factory=lambda: OneOrMany(_SECRET, "names of secrets"))

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The names."""
        found = self._names.read(node, name, reading)
        if isinstance(found, tuple) and len(found) > 2:
            return wrong(node, name, reading, self.expects)
        return found

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        one = _SECRET.schema()
        return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 2}]}


_SECRETS: Final = _SecretsReader()


@dataclass(slots=True, eq=False, repr=False)
class _SchemeReader:
    """One way to verify: its secret, or a map with what else it takes; gives a `Verify`."""

    name: str
    keys: tuple[Key, ...] = ()
    has_secret: bool = True

    @property
    def rows(self) -> tuple[Key, ...]:
        """The long form's."""
        secret = row(
            "secret",
            _SECRETS,
            "Name of the secret, or of two while one replaces the other.",
            "WEBHOOK_SECRET",
            required=True,
        )
        return (secret, *self.keys) if self.has_secret else self.keys

    @property
    def is_long(self) -> bool:
        """Whether it takes a map only."""
        return not self.has_secret or any(key.required for key in self.keys)

    @property
    def expects(self) -> str:
        """What is allowed."""
        names = ", ".join(f"`{key.name}`" for key in self.rows)
        return f"a map of {names}" if self.is_long else f"{_SECRETS.expects}, or a map of {names}"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Verify`."""
        if isinstance(node, Mapping):
            values = Record(self.name, self.rows).read(node, name, reading)
            if not isinstance(values, dict):
                return WRONG
            secrets = values.pop("secret", ())
            return Verify(self.name, cast("tuple[str, ...]", secrets), values)
        if self.is_long:
            return wrong(node, name, reading, self.expects)
        secrets = _SECRETS.read(node, name, reading)
        return WRONG if secrets is WRONG else Verify(self.name, cast("tuple[str, ...]", secrets))

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        long = record_schema(self.rows)
        return (
            long
            if self.is_long
            else {"anyOf": [*cast("list[Json]", _SECRETS.schema()["anyOf"]), long]}
        )


_USER: Final = Text("the name of a user", r"[^:\x00-\x1f]+", 100)
_FINGERPRINT: Final = Text(
    "the SHA-256 fingerprint of a certificate in hexadecimal",
    r"[0-9A-Fa-f]{2}(?::?[0-9A-Fa-f]{2}){31}",
)
_SCHEMES: Final[tuple[tuple[_SchemeReader, str, str], ...]] = (
    (_SchemeReader("github"), "GitHub: `X-Hub-Signature-256`.", "WEBHOOK_SECRET"),
    (_SchemeReader("gitlab", (_TOLERANCE,)), "GitLab: the signature of a signing token, or the token of `X-Gitlab-Token`.", "GITLAB_TOKEN"),
    (_SchemeReader("bitbucket"), "Bitbucket: `X-Hub-Signature`.", "BITBUCKET_SECRET"),
    (_SchemeReader("stripe", (_TOLERANCE,)), "Stripe: `Stripe-Signature`.", "STRIPE_SECRET"),
    (_SchemeReader("slack", (_TOLERANCE,)), "Slack: `X-Slack-Signature`.", "SLACK_SIGNING_SECRET"),
    (_SchemeReader("shopify"), "Shopify: `X-Shopify-Hmac-Sha256`.", "SHOPIFY_SECRET"),
    (
        _SchemeReader("twilio", (row("url", Text("a URL", r"https?://\S+", 500), "The address as Twilio has it, where a proxy stands before the server.", "https://hooks.example.com/sms"),)),
        "Twilio: `X-Twilio-Signature`.", "TWILIO_AUTH_TOKEN",
    ),
    (_SchemeReader("standard", (_TOLERANCE,)), "Standard Webhooks: `webhook-signature`.", "WEBHOOK_SECRET"),
    (
        _SchemeReader("hmac", (
            row("header", _HEADER, "The header that holds the signature.", "X-Signature", required=True),
            row("algorithm", Choice(("sha256", "sha512")), "What it is made with; sha256 without it.", "sha512"),
            row("encoding", Choice(("hex", "base64")), "How it is written; hex without it.", "base64"),
            row("prefix", Text("text", None, 50), "What stands before it in the header.", "sha256="),
            row("timestamp", _HEADER, "The header that holds the time, in seconds; then what is signed is the time, a full stop and the body.", "X-Timestamp"),
            row("delivery", _HEADER, "The header that holds the id of the event.", "X-Request-Id"),
            _TOLERANCE,
        )),
        "Any sender that signs the body: an HMAC in a header.", "{secret: HOOK_SECRET, header: X-Signature}",
    ),
    (
        _SchemeReader("bearer", (row("header", _HEADER, "The header that holds the token alone, instead of `Authorization: Bearer`.", "X-Api-Key"),)),
        "A token that the sender knows; the body is not signed.", "HOOK_TOKEN",
    ),
    (_SchemeReader("basic", (row("user", _USER, "The name of the user.", "ci", required=True),)), "A user and a password; the body is not signed.", "{user: ci, secret: HOOK_PASSWORD}"),
    (
        _SchemeReader("mtls", (
            row("subject", Text("a name such as `CN=ci,O=Example`", r"[^\x00-\x1f]+", 500), "The subject of the certificate.", '"CN=ci,O=Example"'),
            row("fingerprint", OneOrMany(_FINGERPRINT, "the fingerprint of a certificate, or a list"), "The certificate itself, by its SHA-256 digest.", "ab" * 32),
        ), has_secret=False),
        "The client's certificate, which the server's `tls.client_ca` has signed.", '{subject: "CN=ci,O=Example"}',
    ),
)  # fmt: skip


def _verify(values: dict[str, object]) -> object:
    return next(iter(values.values()))


class VerifyReader:
    """`none`, or one sender and the secret it signs with; gives a `Verify`."""

    __slots__ = ()
    expects = "one sender and the name of its secret, such as `{github: WEBHOOK_SECRET}`, or `none`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Verify`."""
        if isinstance(node, Scalar) and node.text == "none" and not node.spoilt:
            return Verify("none")
        if not isinstance(node, Mapping):
            return wrong(node, name, reading, self.expects)
        found = VERIFY.read(node, name, reading)
        if isinstance(found, Verify) and found.scheme == "mtls" and not found.options:
            return wrong(
                node, name, reading, "`subject` or `fingerprint` of the certificate with `mtls`"
            )
        return found

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"anyOf": [{"const": "none"}, VERIFY.schema()]}


VERIFY: Final = Record(
    "verify",
    tuple(row(one.name, one, doc, example) for one, doc, example in _SCHEMES),
    exactly_one=tuple(one.name for one, _, _ in _SCHEMES),
    make=_verify,
)

# -- what counts, and the answer ------------------------------------------------------------------


class SchemaReader:
    """A type, in the words of `inputs` and `output`."""

    __slots__ = ()
    expects = "a type such as `{action: string}`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Schema`."""
        schema = read_schema(node, name, reading)
        return WRONG if schema is None else schema

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": ["string", "array", "object"]}


def _respond(values: dict[str, object]) -> Respond:
    return Respond(
        cast("float | None", values.get("wait")),
        "body" in values,
        cast("Value", values.get("body")),
        cast("int | None", values.get("status")),
        cast("MappingOf[str, Value]", values.get("headers", {})),
    )


_WAIT_S: Final = 30.0
RESPOND: Final = Record(
    "respond",
    (
        row("wait", DURATION, "Answer when the run is over, or after so long.", "30s"),
        row("body", VALUE, "The answer: text, or what becomes JSON; may read `trigger`, `run`, and with `wait` `outputs`.", '{ok: true, run: "{{ run.id }}"}'),
        row("status", Whole(200, 299), "Status of the answer; 202, and 200 once the run is over.", "200"),
        row("headers", MapOf(VALUE, "headers to texts", r"[A-Za-z0-9-]+", "letters, digits and `-`"), "Headers of the answer.", "{X-Flow: review}"),
    ),
    make=_respond,
)  # fmt: skip


class RespondReader:
    """`run`, `wait`, or an answer of the author's; gives a `Respond`."""

    __slots__ = ()
    expects = "`run`, `wait` or a map of `wait`, `body`, `status`, `headers`"
    _words: Final = Choice(("run", "wait"))

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Respond`."""
        if isinstance(node, Mapping):
            return RESPOND.read(node, name, reading)
        if isinstance(node, Sequence):
            return wrong(node, name, reading, self.expects)
        word = self._words.read(node, name, reading)
        if word is WRONG:
            return WRONG
        return Respond(wait_s=_WAIT_S if word == "wait" else None)

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"anyOf": [{"enum": ["run", "wait"]}, RESPOND.schema()]}


_GLOB: Final = Text("a pattern such as `release/*`", r"[^{}\n]+", 200)


WEBHOOK: Final = Record(
    "webhook",
    (
        row("path", Text("a path such as `/github`, not under `/api/`", r"/(?!api/|healthz|readyz)[A-Za-z0-9._~/-]*", 200), "Path of the address.", "/github", required=True),
        row("verify", VerifyReader(), "Whose signature is checked, and with which secret; `none` lets anyone start runs.", "{github: WEBHOOK_SECRET}", required=True),
        row("events", ListOf(Text("the name of an event", r"[A-Za-z0-9_.*:/-]+", 100), "names of events", least=1), "Which events count, with their action if need be, as patterns; all without it.", "[push, pull_request.opened]"),
        row("event", EXPRESSION, "The name of the event, where the sender does not say it in the usual place.", "trigger.body.kind"),
        row("branches", ListOf(_GLOB, "patterns", least=1), "Which branches count, as patterns; an event without a branch does not.", "[main, release/*]"),
        row("paths", ListOf(_GLOB, "patterns", least=1), "Which changed files count, as patterns; one is enough. An event that lists no files does not count.", "[src/**]"),
        row("if", EXPRESSION, "Whether an event counts.", "trigger.body.sender.type != 'Bot'"),
        row("schema", SchemaReader(), "What the body must be, in the words of `inputs`; another one is refused.", "{type: object, required: [action]}"),
        INPUTS,
        OVERLAP_ROW,
        row("start", Flag(), "Whether it starts runs; `false` only reaches steps that wait.", "false"),
        row("respond", RespondReader(), "What the sender is answered: the id of the `run`, at once; its outputs (`wait`); or a text of your own.", "wait"),
        row("max_body", SIZE, "The largest body; 1MB without it.", "5MB"),
        row("rate", RATE, "At most so many events in so long; more are told to come again.", "100/m"),
        row("max_parallel", Whole(1, 10_000), "Most requests of it under way at once.", "16"),
    ),
)  # fmt: skip
