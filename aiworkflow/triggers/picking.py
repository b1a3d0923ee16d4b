"""Entries of `on` as people name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiworkflow.triggers.contract import Armed


def pick(name: str, entries: Sequence[Armed], kind: str) -> Armed:
    """The entry that a name means: all of it, its end, or its bundle where that has one only.

    Raises:
        UsageError: there is none, or there are several.
    """
    from aiworkflow.diagnostics.suggest import did_you_mean

    known = [one.name for one in entries]
    found = [one for one in entries if name in {one.name, one.bundle}]
    found = found or [one for one in entries if f"/{one.name}".endswith(f"/{name}")]
    found = found or [one for one in entries if f"/{one.bundle}".endswith(f"/{name}")]
    exact = [one for one in found if one.name == name]
    if exact or len(found) == 1:
        return (exact or found)[0]
    if found:
        several = ", ".join(one.name for one in found)
        raise UsageError(f"there are several of `{name}`", hint=f"say which: {several}")
    listed = f"known are {', '.join(known)}" if known else f"no bundle here has `on.{kind}`"
    raise UsageError(f"there is no {kind} `{name}`", hint=did_you_mean(name, known) or listed)
