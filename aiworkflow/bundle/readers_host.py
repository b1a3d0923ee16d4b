"""Hosts that may be talked to: `api.github.com`, `host:8080`, `*.example.com`, `[::1]:8080`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.readers import describe, text_of
from aiworkflow.bundle.reading import WRONG

if TYPE_CHECKING:
    from aiworkflow.bundle.reading import JsonSchema, Reading
    from aiworkflow.bundle.yaml_nodes import Node

# 1 to 65535: another port is no connection's, so the entry would allow nothing
_HIGH: Final = "[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_PORT: Final = rf"(?::(?:[1-9][0-9]{{0,3}}|{_HIGH}))?"
_HOST: Final = rf"(?:\*\.)?(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+{_PORT}|\[[0-9A-Fa-f:.]+\]{_PORT}"
_LONGEST: Final = 260


@dataclass(slots=True, eq=False, repr=False)
class HostReader:
    """A host, with a port or for any; says what is wrong with one that is none."""

    expects: str = "a host such as `api.github.com`, `host:8080` or `*.example.com`"

    def read(self, node: Node, name: str, reading: Reading) -> object:
        """The host as it is written."""
        text = text_of(node, name, reading, self.expects)
        if text is None:
            return WRONG
        if re.fullmatch(_HOST, text) and len(text) <= _LONGEST and not _is_no_address(text):
            return text
        reading.report.error(
            "AW523", node.place, f"`{name}` takes {self.expects}, not {describe(node)}", _hint(text)
        )
        return WRONG

    def schema(self) -> JsonSchema:
        """JSON Schema."""
        return {"type": "string", "pattern": f"^(?:{_HOST})$", "maxLength": _LONGEST}


def _is_no_address(text: str) -> bool:
    """Whether what stands in brackets is no address of IPv6."""
    return text.startswith("[") and not _is_address(text[1:].partition("]")[0])


def _is_address(text: str) -> bool:
    import ipaddress  # few bundles name one

    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _hint(text: str) -> str:
    host, _, port = text.rpartition(":")
    if _is_address(text):
        return f"an IPv6 address stands in brackets: `[{text}]`"
    if text.startswith("["):
        return "write an IPv6 address and a port: `[::1]:8080`"
    if text.strip() in {"*", "*.*", "*:*"}:
        return "name each host; `*.example.com` is all that is below one"
    if "/" in text:
        return "leave out the scheme and the path"
    if host and port.isdecimal() and re.fullmatch(_HOST, host):
        return "a port is from 1 to 65535, without zeros before it"
    return "write its name alone: letters, digits and `-`, with single dots between"
