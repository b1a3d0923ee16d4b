"""Versions of packages, as far as it takes to say how far behind one is."""

from __future__ import annotations

import re

NAME = r"(@[A-Za-z0-9_.~-]{1,100}/)?[A-Za-z0-9_.~-]{1,150}"
VERSION = r"[0-9][0-9A-Za-z.+!_-]{0,63}"
_RELEASE = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)(.*)")


def release(version: str) -> tuple[int, ...] | None:
    """The numbers of a version, without the zeros at its end; None where it has none."""
    found = _RELEASE.fullmatch(version.strip())
    if found is None:
        return None
    numbers = [int(part) for part in found.group(1).split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def is_preview(version: str) -> bool:
    """Whether it is an alpha, beta, candidate or development version."""
    found = _RELEASE.fullmatch(version.strip())
    return (
        found is None
        or re.match(
            r"[-_.]?(a|b|c|rc|alpha|beta|pre|preview|dev|next|canary)",
            found.group(2),
            re.IGNORECASE,
        )
        is not None
    )


def behind(current: str | None, latest: str) -> str:
    """`major`, `minor`, `patch` or `none`; `unknown` where they cannot be compared.

    Before 1.0 the second number is the one that breaks things.
    """
    here, there = release(current or ""), release(latest)
    if here is None or there is None:
        return "unknown"
    if here >= there:
        return "none"
    one, other = (*here, 0, 0)[:3], (*there, 0, 0)[:3]
    if one[0] != other[0]:
        return "major"
    if one[1] != other[1]:
        return "major" if one[0] == 0 else "minor"
    return "patch"
