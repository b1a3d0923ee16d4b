"""The `aiworkflow` command. `--version` is answered here, before anything heavy is loaded."""

from __future__ import annotations

import gc
import sys
from typing import Final

_NEW_OBJECTS: Final = 20_000


def collect_seldom() -> None:
    """Look for cycles after more new objects than usual, and not among what is there already.

    With the usual 700, imports and runs spend a tenth of their time on it, sometimes 30 ms at once.
    """
    gc.set_threshold(_NEW_OBJECTS)
    gc.freeze()


def main() -> None:
    """Run the command line and exit with its status."""
    collect_seldom()
    if sys.argv[1:] in (["--version"], ["-V"]):
        from aiworkflow import __version__

        sys.stdout.write(f"aiworkflow {__version__}\n")
        return
    from aiworkflow.cli.main import run

    collect_seldom()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
