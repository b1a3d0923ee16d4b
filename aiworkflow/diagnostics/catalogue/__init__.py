"""What each diagnostic code means. `explain`, the docs and SARIF are made from it."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiworkflow.diagnostics.rule import Rule

FAMILIES: Final = (
    "files",
    "names",
    "markdown",
    "yaml",
    "expressions",
    "settings",
    "tools",
    "trust",
    "prose",
    "versions",
)
"""The modules of this package, one a family of codes."""


def all_rules() -> list[Rule]:
    """All rules, by code."""
    return list(_by_code().values())


def rule(code: str) -> Rule | None:
    """The rule of a code; None where there is none."""
    return _by_code().get(code)


@cache
def _by_code() -> dict[str, Rule]:
    found: list[Rule] = []
    for family in FAMILIES:
        found += import_module(f"{__name__}.{family}").RULES
    return {rule.code: rule for rule in sorted(found, key=lambda rule: rule.code)}
