"""The `aiworkflow` command. `--version` is answered here, before anything heavy is loaded."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its status."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from aiworkflow import __version__

        sys.stdout.write(f"aiworkflow {__version__}\n")
        return
    from aiworkflow.cli.main import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
