"""YAML text → nodes that know their places.

The nodes are built from the parser's events, so every limit holds before anything can explode.
Values follow the YAML 1.2 core schema by a resolver of our own: `on`, `yes`, `1:30`, `012` and
dates are text. Anchors, aliases, tags, duplicate keys and further documents are findings. After one
of the usual quoting mistakes (`yaml_mistakes.py`) the spoilt value is masked and the text read
again, so that one pass finds all of them; the masked value comes back as a node with `spoilt` set,
of which readers say nothing more.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

import yaml

from aiworkflow.bundle.yaml_build import Builder, Refused, Spoilt
from aiworkflow.bundle.yaml_mistakes import Mistake, explain
from aiworkflow.bundle.yaml_nodes import Entry, Mapping, Node, Scalar, Sequence, plain, walk

if TYPE_CHECKING:
    from aiworkflow.diagnostics import Report, Source

__all__ = ["Entry", "Mapping", "Node", "Scalar", "Sequence", "compose", "plain", "walk"]

MAX_CHARACTERS = 1_000_000  # a megabyte of settings is a mistake or an attack
_MAX_FORBIDDEN = 20  # findings about characters; a binary file has them all over
_MAX_REPAIRS = 20  # each one reads the text again

# Not in this set: what YAML 1.2 forbids, and the line ends of YAML 1.1 that 1.2 took back.
_FORBIDDEN = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def compose(source: Source, start: int, end: int, report: Report) -> Node | None:
    """Read a slice of a file as one YAML document.

    Args:
        source: the whole file; every place refers to it.
        start: first character of the YAML.
        end: where the YAML ends.
        report: gets all findings.

    Returns:
        The root node; None where the text is empty or too broken to be read.
    """
    text = source.text[start:end]
    if end - start > MAX_CHARACTERS:
        report.error(
            "AW310",
            source.place(start),
            f"more than {MAX_CHARACTERS:,} characters of YAML",
            "move the data to a file that a step reads",
        )
        return None
    text = _without_forbidden(text, source, start, report)
    for _ in range(_MAX_REPAIRS):
        builder = Builder(text, source, start, report)
        try:
            return builder.build()
        except Spoilt as found:
            mistake: Mistake | None = found.mistake
        except yaml.MarkedYAMLError as error:
            mistake = _explain(text, error)
        except Refused:
            return None
        if mistake is None:
            return None
        place = source.place(start + mistake.start, start + mistake.end)
        report.error(mistake.code, place, mistake.message, mistake.hint)
        if mistake.mask is None:
            return None
        low, high = mistake.mask
        text = text[:low] + mistake.filler * (high - low) + text[high:]
    return None


def _without_forbidden(text: str, source: Source, base: int, report: Report) -> str:
    """Report characters that YAML does not allow; they become `?`, so that reading can go on."""
    if not _FORBIDDEN.search(text):
        return text
    for found in islice(_FORBIDDEN.finditer(text), _MAX_FORBIDDEN):
        at = base + found.start()
        report.error(
            "AW302",
            source.place(at, at + 1),
            f"the character U+{ord(found[0]):04X} cannot stand in YAML",
            f"remove it, or write `\\u{ord(found[0]):04x}` in a value in double quotes",
        )
    return _FORBIDDEN.sub("?", text)


def _explain(text: str, error: yaml.MarkedYAMLError) -> Mistake:
    """The parser's complaint in our words, with the corrected line where the mistake is known."""
    problem = min(error.problem_mark.index if error.problem_mark else len(text), len(text))
    context = error.context_mark.index if error.context_mark else problem
    return explain(text, problem, min(context, len(text)), error.problem or "", error.context or "")
