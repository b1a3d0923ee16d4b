from __future__ import annotations

import pytest

from aiworkflow.errors import UsageError
from aiworkflow.settings.fleet import FleetLimits, FleetOptions, fleet_options


def test_nothing_said_is_the_default() -> None:
    assert fleet_options(None) == FleetOptions()
    assert FleetOptions().limits.is_open


def test_what_is_said_is_typed() -> None:
    found = fleet_options(
        {
            "slots": 3,
            "labels": ["gpu", "linux"],
            "lease": "20s",
            "max_runs": 9,
            "max_runs_of": {"etl": 2},
            "rate": "5/m",
            "spread": True,
            "dispatch": "dbos",
        }
    )
    limits = FleetLimits(9, {"etl": 2}, (5, 60.0))
    assert found == FleetOptions(3, ("gpu", "linux"), 20.0, limits, True, "dbos")
    assert not found.limits.is_open


def test_labels_of_a_variable_are_one_text() -> None:
    assert fleet_options({"labels": "gpu, linux,"}).labels == ("gpu", "linux")
    assert fleet_options({"slots": "4"}).slots == 4


def test_a_lease_that_nobody_could_keep_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        fleet_options({"lease": "200ms"})
    assert refused.value.message == "`workers.lease` is 200ms, too short to be kept"
    assert refused.value.hint == "set it to some seconds, such as `15s`"
