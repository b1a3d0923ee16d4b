"""Readers of `on.watch`."""

# ruff: noqa: E501  a row of a table is one line

from __future__ import annotations

from typing import Final

from aiworkflow.bundle.readers import DURATION, PERIOD, Flag, ListOf, Text
from aiworkflow.bundle.readers_map import Record
from aiworkflow.bundle.readers_on_rows import INPUTS, OVERLAP_ROW, row
from aiworkflow.bundle.readers_step import PATTERN

WATCH: Final = Record(
    "watch",
    (
        row("paths", ListOf(Text("a path within the project", PATTERN, code="AW524", hint="write it relative to the project; what is left aside stands in `ignore`"), "paths", least=1), "Which files to watch, as patterns: `*` stays within a folder, `**` does not; a folder stands for all in it.", '["data/*.csv", "src/**/*.py"]', required=True),
        row("ignore", ListOf(Text("a line as in a `.gitignore`", r"[^\n]+", 1000), "lines as in a `.gitignore`"), "Which of them to leave aside, as in a `.gitignore`.", '["*.tmp", "build/"]'),
        row("gitignore", Flag(), "Whether what git ignores is left aside too; so it is unless said.", "false"),
        row("debounce", DURATION, "Wait until nothing changed for so long; 2 seconds without it.", "2s"),
        row("max_wait", DURATION, "Start at the latest so long after the first change, even if there are more; a minute without it.", "5m"),
        row("initial", Flag(), "Whether what changed while nothing watched starts a run; the first time, all files that there are.", "true"),
        row("poll", PERIOD, "Look at the files every so often, where the system does not tell of changes: network folders, say.", "5s"),
        INPUTS,
        OVERLAP_ROW,
    ),
)  # fmt: skip
