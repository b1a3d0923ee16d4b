"""The command on a disk that fails: see test_disk.

fault_at.py write N ERRNO ONCE WORDS…    the N-th write of the process fails; all after it too, unless ONCE
fault_at.py size BYTES WORDS…            no file may grow beyond so many bytes
"""

from __future__ import annotations

import ctypes
import resource
import sys

from aiworkflow.cli.main import run


def main() -> int:
    how, *words = sys.argv[1:]
    if how == "size":
        limit, *words = words
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        return run(words)  # Python ignores SIGXFSZ, so that a write fails instead
    n, error, once, *words = words
    faults = ctypes.CDLL(None)
    faults.fail_nth(int(n), int(error), int(once))
    status = run(words)
    seen = faults.writes_seen()
    print(f"writes: {seen}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
