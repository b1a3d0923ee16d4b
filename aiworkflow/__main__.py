"""The `aiworkflow` command. `--version` is answered here, before anything heavy is loaded."""

from __future__ import annotations

import gc
import sys
from typing import Final

NEW_OBJECTS: Final = 20_000
"""So many before cycles are looked for: with the usual 700, imports and runs spend a tenth on it."""


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(NEW_OBJECTS)
    if sys.argv[1:] in (["--version"], ["-V"]):
        from aiworkflow import __version__

        sys.stdout.write(f"aiworkflow {__version__}\n")
        return
    from aiworkflow.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
