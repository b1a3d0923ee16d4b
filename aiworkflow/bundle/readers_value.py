"""Readers of what is evaluated in the run: expressions, and values with templates in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.readers import literal_key, refuse_as_text, wrong
from aiworkflow.bundle.reading import WRONG, JsonSchema, Reading
from aiworkflow.bundle.yaml_nodes import Entry, Node, Scalar, Sequence
from aiworkflow.expr import parse_expression, parse_text

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Value

_SECRET_VALUE = re.compile(r"\{\{-?\s*secrets\.[A-Za-z_][A-Za-z0-9_]*\s*-?\}\}")
_SECRET_USE = re.compile(r"(?<![\w.])secrets\b")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_CODE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_NOT_SETTABLE = ("INPUT_", "AIWORKFLOW_", "LD_", "DYLD_")


class ExpressionReader:
    """An expression, bare or as one `{{ … }}`."""

    __slots__ = ()
    expects = "an expression such as `steps.review.output.score < 8`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Expression`."""
        if not isinstance(node, Scalar) or node.value is None or node.spoilt:
            hint = None
            if isinstance(node, Sequence) and name == "each":
                hint = "write it as an expression: `each: \"['a', 'b']\"`"
            return wrong(node, name, reading, self.expects, hint)
        found = parse_expression(node.fragment, reading.report)
        if found is None:
            return WRONG
        if "secrets" in node.text and _reads_secret(node.text):
            _secret(node, name, reading)
            return WRONG
        return found

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": ["string", "boolean", "number"]}


@dataclass(slots=True, eq=False, repr=False)
class ValueReader:
    """Data whose texts may hold `{{ expression }}`.

    Attributes:
        expects: what is allowed, for messages.
        secrets: whether one whole value may be `{{ secrets.NAME }}`.
        text: whether it must be text.
    """

    expects: str = "a value"
    secrets: bool = False
    text: bool = False

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Value`."""
        if isinstance(node, Scalar):
            return self._scalar(node, name, reading)
        if self.text:
            return wrong(node, name, reading, self.expects)
        if isinstance(node, Sequence):
            items = [
                self.read(item, f"{name}.{index}", reading) for index, item in enumerate(node.items)
            ]
            return WRONG if any(item is WRONG for item in items) else items
        values = {}
        complete = True
        for entry in node.entries:
            key = entry.key.text
            value = self.read(entry.value, f"{name}.{key}", reading)
            if value is WRONG or not literal_key(entry, name, reading):
                complete = False
            values[key] = value
        return values if complete else WRONG

    def _scalar(self, node: Scalar, name: str, reading: Reading) -> object:
        if node.spoilt:
            return WRONG
        value = node.value
        if not isinstance(value, str):
            if self.text:
                return refuse_as_text(node, name, reading, self.expects)
            return value
        if "{" not in value:
            return value
        if "secrets" in value and not self.secrets_fit(node, name, reading):
            return WRONG
        found: Value = parse_text(node.fragment, reading.report)
        return WRONG if found is None else found

    def secrets_fit(self, node: Scalar, name: str, reading: Reading) -> bool:
        """Whether secrets stand only where they may; reports the first that does not."""
        for code in _CODE.finditer(node.text):
            if not _reads_secret(code[0]):
                continue
            if self.secrets and _SECRET_VALUE.fullmatch(node.text):
                return True
            _secret(node, name, reading, code.span())
            return False
        return True

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string"} if self.text else {}


def _reads_secret(code: str) -> bool:
    """Whether an expression names `secrets`, outside its texts."""
    return _SECRET_USE.search(_STRING.sub("", code)) is not None


def _secret(node: Scalar, name: str, reading: Reading, span: tuple[int, int] | None = None) -> None:
    place = node.fragment.place(*span) if span else node.place
    reading.report.error(
        "AW515",
        place,
        f"a secret may stand only in `env`, as the whole value, not in `{name}`",
        'write `env: {NAME: "{{ secrets.NAME }}"}` on the step that needs it',
    )


def settable(entry: Entry, name: str, reading: Reading) -> bool:
    """Whether a variable may be set by `env`; reports one that may not."""
    key = entry.key.text
    for prefix in _NOT_SETTABLE:
        if key.upper().startswith(prefix):
            reading.report.error(
                "AW516",
                entry.key.place,
                f"`{name}` cannot set `{key}`: names that begin with `{prefix}` are kept",
                "use another name",
            )
            return False
    return True


ENV_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
ENV_WORDS: Final = "a letter or `_`, then letters, digits and `_`, in ASCII"
EXPRESSION: Final = ExpressionReader()
VALUE: Final = ValueReader()


class MessageReader:
    """Prose for a person, with templates."""

    __slots__ = ()
    expects = "text"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The `Template`."""
        from aiworkflow.expr import parse_template

        if not isinstance(node, Scalar) or not isinstance(node.value, str) or node.spoilt:
            return wrong(node, name, reading, self.expects)
        if "secrets" in node.text and not VALUE.secrets_fit(node, name, reading):
            return WRONG
        found = parse_template(node.fragment, reading.report)
        return WRONG if found is None else found

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string"}
