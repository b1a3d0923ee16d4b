"""Plain data from YAML or JSON that people hand over: inputs of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.yamltree import Mapping, compose, plain
from aiworkflow.diagnostics import Report, Source
from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from aiworkflow.bundle.workflow import Json
    from aiworkflow.diagnostics import Place


def read_map(text: str, shown: str) -> dict[str, Json]:
    """A map from YAML or JSON text; empty text is an empty map.

    Args:
        text: the text.
        shown: where it comes from, for messages.

    Raises:
        UsageError: it is not YAML, or no map; says the first thing that is wrong, and where.
    """
    source = Source(shown, text.removeprefix("\ufeff").replace("\r\n", "\n"))
    report = Report()
    node = compose(source, 0, len(source.text), report)
    for found in report.sorted():
        raise UsageError(f"{found.message} (in {_place(shown, found.place)})", hint=found.hint)
    if node is None:
        return {}
    if not isinstance(node, Mapping):
        raise UsageError(
            f"{shown} holds no map of names to values", hint="write `name: value` lines"
        )
    data = plain(node)
    assert isinstance(data, dict)
    return data


def _place(shown: str, place: Place) -> str:
    return f"{shown}, line {place.line}, column {place.column}"
