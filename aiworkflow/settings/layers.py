"""Settings in layers: who said what, and what holds.

A stronger layer replaces a weaker one. Maps merge by key, at any depth; everything else replaces,
lists too. Two settings only narrow, whatever the order: of `allow` remains what all layers that
speak of it allow, of `budget` the smallest. Each value remembers its origin.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING

from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.settings import units
from aiworkflow.settings.options import Json, Options, defaults, options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from decimal import Decimal

PERMISSIONS = ("write", "network", "secrets", "paths")


class Layer(StrEnum):
    """Where settings come from, strongest first."""

    COMMAND_LINE = "command line"
    ENVIRONMENT = "environment"
    STEP = "step"
    FRONTMATTER = "frontmatter"
    BUNDLE = "bundle's config.yaml"
    PROJECT = "project's config.yaml"
    USER = "user's config.yaml"
    DEFAULT = "default"


_STRENGTH = {layer: number for number, layer in enumerate(Layer)}


@record
class Origin:
    """Who said a value: the layer, and a file with line and column, a variable or an option."""

    layer: Layer
    place: str = ""

    def __str__(self) -> str:
        return f"{self.layer} ({self.place})" if self.place else str(self.layer)


def _nowhere(_: str) -> str:
    return ""


@record
class Stratum:
    """What one layer says.

    Attributes:
        layer: which.
        values: settings as plain data, by the names of config.yaml.
        where: dotted name of a setting → where it stands, for people; "" where unknown.
    """

    layer: Layer
    values: Mapping[str, Json]
    where: Callable[[str], str] = _nowhere


class Layered:
    """The settings that hold, and who said each."""

    __slots__ = ("_leaves", "_values")

    def __init__(self, strata: Sequence[Stratum]) -> None:
        """Merge the layers; the defaults are added as the weakest."""
        ordered = sorted(
            [*strata, Stratum(Layer.DEFAULT, defaults())],
            key=lambda stratum: _STRENGTH[stratum.layer],
        )
        self._leaves: dict[str, tuple[Json, Origin]] = {}
        self._values: dict[str, Json] = {}
        for stratum in reversed(ordered):
            rest = {k: v for k, v in stratum.values.items() if k not in {"allow", "budget"}}
            self._merge(self._values, rest, "", stratum)
        self._narrow_allow(ordered)
        self._narrow_budget(ordered)

    def get(self, name: str) -> tuple[Json, Origin]:
        """Value and origin of a setting by its dotted name.

        Of a map the origin is that of the strongest layer that speaks of any of its keys. Nobody
        speaks: None, and the default.
        """
        if name in self._leaves:
            return self._leaves[name]
        value: Json = self._values
        for word in name.split("."):
            value = value.get(word) if isinstance(value, dict) else None
        below = [
            origin for leaf, (_, origin) in self._leaves.items() if leaf.startswith(name + ".")
        ]
        if not below:
            return value, Origin(Layer.DEFAULT)
        return value, min(below, key=lambda origin: _STRENGTH[origin.layer])

    def rows(self) -> list[tuple[str, Json, Origin]]:
        """Every setting that has a value: dotted name, value, origin; sorted by name."""
        return [(name, value, origin) for name, (value, origin) in sorted(self._leaves.items())]

    def values(self) -> dict[str, Json]:
        """All values as plain data, in the form of config.yaml."""
        return self._values

    def options(self) -> Options:
        """The typed options."""
        return options(self._values)

    def _merge(
        self, into: dict[str, Json], given: Mapping[str, Json], prefix: str, stratum: Stratum
    ) -> None:
        for name, value in given.items():
            full = prefix + name
            old = into.get(name)
            if isinstance(value, dict):
                if not isinstance(old, dict) or prefix in _WHOLE:
                    self._forget(full)
                    old = into[name] = {}
                self._merge(old, value, full + ".", stratum)
            else:
                self._forget(full)
                into[name] = value
                self._leaves[full] = (value, Origin(stratum.layer, stratum.where(full)))

    def _forget(self, name: str) -> None:
        """Drop the origins of what is replaced as a whole."""
        self._leaves.pop(name, None)
        for leaf in [leaf for leaf in self._leaves if leaf.startswith(name + ".")]:
            del self._leaves[leaf]

    def _narrow_allow(self, ordered: Sequence[Stratum]) -> None:
        for permission in PERMISSIONS:
            held: list[str] | None = None
            origin = Origin(Layer.DEFAULT)
            for stratum in reversed(ordered):
                said = _allowed(stratum, permission)
                if said is None:
                    continue
                narrower = said if held is None else narrow(permission, held, said)
                if narrower != held:
                    origin = Origin(stratum.layer, stratum.where(f"allow.{permission}"))
                held = narrower
            if held is not None:
                self._set("allow", permission, list[Json](held), origin)

    def _narrow_budget(self, ordered: Sequence[Stratum]) -> None:
        for stratum in reversed(ordered):
            budget = stratum.values.get("budget")
            for unit, amount in budget.items() if isinstance(budget, dict) else ():
                name = f"budget.{unit}"
                held = self._leaves.get(name)
                read = _BUDGET[unit]
                if held is None or read(amount) < read(held[0]):
                    self._set("budget", unit, amount, Origin(stratum.layer, stratum.where(name)))

    def _set(self, group: str, name: str, value: Json, origin: Origin) -> None:
        values = self._values.setdefault(group, {})
        assert isinstance(values, dict)
        values[name] = value
        self._leaves[f"{group}.{name}"] = (value, origin)


# Half a server of one layer and half of another would hand the secrets of one to the other.
_WHOLE = frozenset({"mcp.servers."})

_BUDGET: Mapping[str, Callable[[object], Decimal | float]] = {
    "usd": units.money,
    "daily": units.money,
    "ask_above": units.money,
    "tokens": units.count,
    "seconds": units.duration,
    "on_exceed": ("stop", "wait", "switch").index,  # the strictest wins
}


def _allowed(stratum: Stratum, permission: str) -> list[str] | None:
    """What a layer says of a permission; None where it is silent.

    The frontmatter grants, so there silence means nothing is allowed; the others only narrow.
    """
    allow = stratum.values.get("allow")
    if not isinstance(allow, dict):
        return [] if stratum.layer is Layer.FRONTMATTER else None
    said = allow.get(permission)
    if said is None:
        return [] if stratum.layer is Layer.FRONTMATTER else None
    return [str(one) for one in said] if isinstance(said, list) else [str(said)]


def narrow(permission: str, first: Sequence[str], second: Sequence[str]) -> list[str]:
    """What both lists of permissions allow: of each pair, the narrower one."""
    within = covers_path if permission == "paths" else covers
    held = [one for one in first if any(within(other, one) for other in second)]
    held += [
        one for one in second if one not in held and any(within(other, one) for other in first)
    ]
    return held


def covers_path(wide: str, small: str) -> bool:
    """Whether a pattern of paths includes another, as far as can be told from the two alone.

    `*` stays within a folder here, and a dot is a character like any other.
    """
    wide, small = _bare(wide), _bare(small)
    if wide in {small, "**"}:
        return True
    if wide.endswith("/**"):
        return small.startswith(wide[:-2])
    outer, inner = wide.split("/"), small.split("/")
    return len(outer) == len(inner) and all(map(_covers_name, outer, inner))


def _bare(pattern: str) -> str:
    bare = pattern.removeprefix("./")
    if bare in {"", "."}:
        return "**"
    return f"{bare}**" if bare.endswith("/") else bare


def _covers_name(wide: str, small: str) -> bool:
    """The same of one name in a path."""
    if wide == small or "**" in {wide, small} or not small:
        return wide == small
    for end, is_there in ((wide[1:], small.endswith), (wide[:-1], small.startswith)):
        if wide in {f"*{end}", f"{end}*"} and not set(end) & set("*?[]"):
            return is_there(end)
    return False


def covers(wide: str, small: str) -> bool:
    """Whether a permission includes another: `*.host`, `tool.*`, host without port."""
    if wide in {small, "*"}:
        return True
    if wide.startswith("*."):
        host = small if ":" in wide else small.rsplit(":", 1)[0]
        return host.endswith(wide[1:])
    if wide.endswith(".*"):
        return small.startswith(wide[:-1])
    return ":" not in wide and small.startswith(wide + ":")


# -- the environment ------------------------------------------------------------------------------


def _up_to_thousand(text: str) -> int:
    """How many steps or runs may go on at once; the bounds are those of config.yaml."""
    found = units.count(text)
    if not 1 <= found <= 1000:
        raise ValueError("a whole number from 1 to 1000")
    return found


_VARIABLES: Mapping[str, Callable[[str], object]] = {
    "agent": str,
    "timeout": units.some_time,
    "workspace": units.workspace,
    "records": str,
    "journal": str,
    "limits.max_parallel": _up_to_thousand,
    "limits.max_items": units.some_count,
    "limits.output": units.some_size,
    "limits.inline_output": units.size,
    "limits.log": units.size,
    "limits.prompt": units.some_size,
    "limits.file": units.size,
    "workers.slots": _up_to_thousand,
    "workers.labels": str,
    "workers.dispatch": str,
}
_PREFIX = "AIWORKFLOW_"
# Set for the children of a step, or read before settings are: no settings, and no mistakes.
_OTHERS = frozenset(
    [
        "KEY",
        "ATTEMPT",
        "CONTEXT",
        "SCRATCH",
        "RUN",
        "STEP",
        "ACTOR",
        "PROJECT",
        "HOME",
        "DEBUG",
        "SERVER",
        "TOKEN",
        "TOKEN_FILE",
    ]
)


def environment(environ: Mapping[str, str]) -> tuple[Stratum, list[str]]:
    """The layer of `AIWORKFLOW_…` variables.

    `AIWORKFLOW_LIMITS__MAX_PARALLEL` is `limits.max_parallel`.

    Returns:
        The layer, and the names of variables that are no setting, for a warning.

    Raises:
        UsageError: a variable's value is not what the setting takes.
    """
    values: dict[str, Json] = {}
    strangers: list[str] = []
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or variable[len(_PREFIX) :] in _OTHERS:
            continue
        name = variable[len(_PREFIX) :].lower().replace("__", ".")
        read = _VARIABLES.get(name)
        if read is None:
            strangers.append(variable)
            continue
        text = environ[variable]
        try:
            read(text)
        except ValueError as error:
            raise UsageError(
                f"the variable `{variable}` takes {error}, not `{text[:60]}`",
                hint=f"set `{variable}` to such a value, or unset it",
            ) from error
        _put(values, name, text)
    return Stratum(Layer.ENVIRONMENT, values, _variable), strangers


_MAPS = {
    "env": re.compile(r"env\.[A-Za-z_][A-Za-z0-9_]*"),
    "interpreters": re.compile(r"interpreters\.[A-Za-z][A-Za-z0-9_+#-]*"),
    "agents": re.compile(r"agents\.[A-Za-z][A-Za-z0-9_-]*\.(?:api|model|url|key)"),
}


_RESERVED = re.compile(r"env\.(?:INPUT|AIWORKFLOW|LD|DYLD)_", re.IGNORECASE)


def command_line(given: Mapping[str, str]) -> dict[str, Json]:
    """The values of `--set NAME=VALUE`, by their dotted names, as nested plain data.

    Raises:
        UsageError: a name is no setting that the command line takes, or a value is none for it.
    """
    values: dict[str, Json] = {}
    for name, text in given.items():
        if _RESERVED.match(name):
            raise UsageError(
                f"`{name[:60]}` cannot be set: names that begin with `INPUT_`, `AIWORKFLOW_`, `LD_` or"
                " `DYLD_` are kept",
                hint="use another name",
            )
        group = _MAPS.get(name.split(".", 1)[0])
        read = str if group is not None and group.fullmatch(name) else _VARIABLES.get(name)
        if read is None:
            known = [*_VARIABLES, "env.NAME", "interpreters.LANGUAGE", "agents.NAME.model"]
            raise UsageError(
                f"`{name[:60]}` is no setting of the command line",
                hint=did_you_mean(name, _VARIABLES)
                or "give one of " + ", ".join(f"`{one}`" for one in known),
            )
        try:
            read(text)
        except ValueError as error:
            raise UsageError(f"`{name}` takes {error}, not `{text[:60]}`") from error
        _put(values, name, text)
    return values


def _put(values: dict[str, Json], name: str, value: str) -> None:
    """Set a value by its dotted name."""
    *groups, last = name.split(".")
    for group in groups:
        below = values.setdefault(group, {})
        assert isinstance(below, dict)
        values = below
    values[last] = value


def variables() -> Iterator[tuple[str, str]]:
    """Each variable and the setting it stands for, for the documentation."""
    for name in _VARIABLES:
        yield _variable(name), name


def _variable(name: str) -> str:
    return _PREFIX + name.upper().replace(".", "__")
