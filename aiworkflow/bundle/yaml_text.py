"""Plain data as YAML that people read and review: block style, in the order given, LF.

What is written here reads back as the same value by our own resolver: anything that could be taken for
something else stands in double quotes, and longer texts stand as blocks.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from aiworkflow.jsontext import compact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.bundle.workflow import Json

_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+ -]*")
_WORDS: Final = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
_ODD: Final = re.compile(
    "[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_ESCAPES: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_SHORT: Final = 80


def yaml_text(data: Json) -> str:
    """A map or a list as a YAML document."""
    if not isinstance(data, dict | list) or not data:
        return f"{_scalar(data)}\n"
    return "\n".join(_block(data, "")) + "\n"


def _block(data: Json, indent: str) -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield from _entry(f"{indent}{_key(key)}:", value, indent)
    elif isinstance(data, list):
        for value in data:
            if isinstance(value, dict) and value and not _is_short(value):
                first, *rest = _block(value, f"{indent}  ")
                yield f"{indent}- {first.lstrip(' ')}"
                yield from rest
            else:
                yield from _entry(f"{indent}-", value, indent)


def _entry(head: str, value: Json, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        if _is_short(value):
            yield f"{head} {_flow(value)}"
            return
        yield head
        yield from _block(value, f"{indent}  ")
    elif isinstance(value, str) and _is_text(value):
        yield f"{head} {'|' if value.endswith(chr(10)) else '|-'}"
        for line in value.removesuffix("\n").split("\n"):
            yield f"{indent}  {line}" if line else ""
    else:
        yield f"{head} {_scalar(value)}"


def _is_text(value: str) -> bool:
    """Whether a text can stand as a block: several lines, nothing that a block would lose."""
    if "\n" not in value.rstrip("\n") or value.endswith("\n\n"):
        return False
    lines = value.removesuffix("\n").split("\n")
    return (
        bool(lines[0])
        and not lines[0].startswith((" ", "\t"))
        and not any(_ODD.search(line) or line.endswith((" ", "\t")) for line in lines)
    )


def _is_short(value: Json) -> bool:
    """Whether a list or a map of scalars fits a line."""
    if isinstance(value, dict):
        inner = list(value.values())
    elif isinstance(value, list):
        inner = value
    else:
        return False
    if any(isinstance(one, dict | list) and one for one in inner):
        return False
    if any(isinstance(one, str) and "\n" in one for one in inner):
        return False
    return len(inner) <= 8 and len(_flow(value)) <= _SHORT


def _flow(value: Json) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    return _scalar(value)


def _key(key: str) -> str:
    return key if _is_plain(key) and " " not in key else _quoted(key)


def _scalar(value: Json) -> str:
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    return compact(value)


def _is_plain(text: str) -> bool:
    return bool(_PLAIN.fullmatch(text)) and not text.endswith(" ") and text.lower() not in _WORDS


def _quoted(text: str) -> str:
    safe = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_ODD.sub(_escape, safe)}"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    return _ESCAPES.get(character) or f"\\u{ord(character):04x}"
