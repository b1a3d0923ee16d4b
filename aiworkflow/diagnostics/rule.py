"""A rule: what one diagnostic code means. Its page in the docs is made from this record."""

from __future__ import annotations

from aiworkflow.records import record


@record
class Rule:
    """What a code stands for.

    Attributes:
        code: `AW103`.
        name: kebab-case, for people: `unknown-step`.
        title: one line, what is reported.
        why: why it matters, one to three sentences of Markdown.
        bad: an example that is reported, as it stands in a bundle.
        good: the same, mended.
    """

    code: str
    name: str
    title: str
    why: str
    bad: str = ""
    good: str = ""
