"""How runs are shared among processes and machines: `workers` of config.yaml, typed."""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast

from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.settings import units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.settings.options import Json

_SHORTEST_LEASE_S: Final = 1.0


@record
class FleetLimits:
    """What all workers of a journal together keep to. None and nothing: no bound.

    Attributes:
        max_runs: most runs that are driven at once.
        max_runs_of: the same, by bundle; see `names_of`.
        rate: so many runs begun in so many seconds.
    """

    max_runs: int | None = None
    max_runs_of: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    rate: tuple[int, float] | None = None

    def most_of(self, label: str) -> int | None:
        """Most runs of a bundle that are driven at once."""
        said = (self.max_runs_of.get(name) for name in names_of(label))
        return next((most for most in said if most is not None), None)

    @property
    def is_open(self) -> bool:
        """Whether there is no bound at all."""
        return self.max_runs is None and not self.max_runs_of and self.rate is None


@record
class FleetOptions:
    """How workers work here.

    Attributes:
        slots: most runs that one drives at once.
        labels: what it has.
        lease_s: for how long its sign of life counts, where several machines share the journal.
        spread: whether child runs of `each` are driven by any worker.
        dispatch: what gives runs out: `journal` or `dbos`.
    """

    slots: int = 8
    labels: tuple[str, ...] = ()
    lease_s: float = 15.0
    limits: FleetLimits = field(default_factory=FleetLimits)
    spread: bool = False
    dispatch: str = "journal"


def names_of(label: str) -> tuple[str, ...]:
    """What a bundle is called where a limit is meant for it: by its path, or by its name."""
    file = label.rpartition("/")[2]
    return label, file, file.removesuffix(".md")


def fleet_options(said: Json) -> FleetOptions:
    """The options from merged plain data, which was checked when it was read.

    Raises:
        UsageError: the lease is too short to be kept.
    """
    given = said if isinstance(said, dict) else {}
    plain = FleetOptions()
    lease_s = units.duration(given.get("lease", plain.lease_s))
    if lease_s < _SHORTEST_LEASE_S:
        raise UsageError(
            f"`workers.lease` is {units.format_duration(lease_s)}, too short to be kept",
            hint="set it to some seconds, such as `15s`",
        )
    return FleetOptions(
        slots=units.count(given.get("slots", plain.slots)),
        labels=_labels(given.get("labels")),
        lease_s=lease_s,
        limits=FleetLimits(
            max_runs=int(str(given["max_runs"])) if "max_runs" in given else None,
            max_runs_of=cast("dict[str, int]", given.get("max_runs_of", {})),
            rate=units.rate(given["rate"]) if "rate" in given else None,
        ),
        spread=given.get("spread") in (True, "true"),
        dispatch=str(given.get("dispatch", plain.dispatch)),
    )


def _labels(said: Json) -> tuple[str, ...]:
    """Labels as a list, or as one text, of a variable: `gpu,linux`."""
    if isinstance(said, str):
        return tuple(one.strip() for one in said.split(",") if one.strip())
    return tuple(map(str, said)) if isinstance(said, list) else ()
