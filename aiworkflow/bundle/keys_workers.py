"""The table's rows for `workers` in config.yaml: how runs are shared among processes and machines."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import Final

from aiworkflow.bundle.readers import DURATION, RATE, Choice, Flag, Text, Whole
from aiworkflow.bundle.readers_map import MapOf, OneOrMany, Record
from aiworkflow.bundle.reading import Key, Reader, Scope


def _row(name: str, reader: Reader, doc: str, example: str) -> Key:
    return Key(name, Scope.CONFIG, reader, doc, example)


LABEL: Final = r"[\w.-]+"
LONGEST_LABEL: Final = 100
LABELS: Final = OneOrMany(Text("a label", LABEL, LONGEST_LABEL), "a label, or a list of labels")

WORKERS: Final = Record(
    "workers",
    (
        _row("slots", Whole(1, 1000), "Most runs that one worker drives at once.", "8"),
        _row("labels", LABELS, "What the workers here have, for workflows that say `runs_on`.", "[gpu, linux]"),
        _row("lease", DURATION, "For how long a sign of life of a process counts, where several machines share the journal; the same on all of them.", "15s"),
        _row("max_runs", Whole(1, 100_000), "Most runs that all workers together drive at once.", "100"),
        _row("max_runs_of", MapOf(Whole(1, 100_000), "bundles to numbers", r"[^\n{}]+", "one line of text"), "Most runs of a bundle that all workers together drive at once.", "{code-review: 4}"),
        _row("rate", RATE, "Most runs that all workers together begin in a time.", "100/m"),
        _row("spread", Flag(), "Whether the child runs of `each` are driven by any worker, not only by that of the parent.", "true"),
        _row("dispatch", Choice(("journal", "dbos")), "What gives the runs out: the journal alone, or DBOS on the same database.", "dbos"),
    ),
)  # fmt: skip
