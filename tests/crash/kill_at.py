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
from collections.abc import Sequence

from aiworkflow.cli.main import run
from aiworkflow.journal import Append
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
    write, commit = Commits._write, Commits._end

    def counted(self: Commits, appends: Sequence[Append]) -> object:
        global count  # noqa: PLW0603  one process, one count
        count += 1
        if count == at and moment == "before":
            end(how)
        return write(self, appends)

    def committed(self: Commits) -> None:
        commit(self)
        if count == at and moment == "after":
            end(how)

    Commits._write = counted  # type: ignore[method-assign, assignment]
    Commits._end = committed  # type: ignore[method-assign]
    status = run(words)
    print(f"commits: {count}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
