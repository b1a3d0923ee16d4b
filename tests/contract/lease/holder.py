"""A process that holds a run, and does what it is told on standard input.

    python holder.py JOURNAL FOLDER LEASE RUN

It says `held EPOCH` when it has the run. Then, for each line: `check` → whether it may begin something;
`append` → appends to the run; `spin SECONDS` → lets its event loop do nothing for so long; `end` → ends.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from aiworkflow.clock import SystemClock, SystemIds
from aiworkflow.journal import Append, Fenced, open_journal
from aiworkflow.runtime.holding import Holding


def main() -> None:
    where, folder, lease_s, run = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
    clock = SystemClock()
    ids = SystemIds(clock)
    journal = open_journal(where, folder / "state", clock=clock, ids=ids)
    holding = Holding(folder / "drivers", journal, clock, ids, lambda: lease_s)
    claim = holding.claim(run)
    lease = holding.lease
    print("held", claim.epoch, flush=True)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        try:
            if word == "check":
                lease.check(run)
            elif word == "append":
                journal.append_now(Append(ids.token(), run, [b"{}"], epoch=claim.epoch))
            elif word == "spin":
                until = time.monotonic() + float(rest)
                while time.monotonic() < until:
                    pass
            elif word == "end":
                break
        except Fenced as error:
            print("fenced", error.message, flush=True)
        else:
            print("yes", flush=True)
    holding.close()
    journal.close()
    print("ended", flush=True)


if __name__ == "__main__":
    main()
