"""The command, killed or stopped at one commit of its journal: before it, or right after it.

    python kill_at.py NUMBER before|after|stop-before|stop-after WORDS…

Child processes are left as they are: it is the next driver that ends them. A stopped process goes on
when it is sent SIGCONT.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from aiworkflow.cli.main import run
from aiworkflow.journal.sqlite.commit import Commits

count = 0


def end(how: signal.Signals) -> None:
    """Kill or stop this process, and do nothing more before that has come to all of its threads.

    A stop may reach another thread first; this one would go on and be stopped with the file locked.
    """
    os.kill(os.getpid(), how)
    time.sleep(0.3)


def main() -> int:
    at, moment, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    how = signal.SIGSTOP if moment.startswith("stop-") else signal.SIGKILL
    moment = moment.removeprefix("stop-")
    original = Commits._try

    def counted(self: Commits, appends: object) -> object:
        global count  # noqa: PLW0603  one process, one count
        count += 1
        if count == at and moment == "before":
            end(how)
        outcomes = original(self, appends)  # type: ignore[arg-type]
        if count == at and moment == "after":
            end(how)
        return outcomes

    Commits._try = counted  # type: ignore[method-assign, assignment]
    status = run(words)
    print(f"commits: {count}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
