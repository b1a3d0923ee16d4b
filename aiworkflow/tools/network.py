"""Shutting off the network for this process and all that it begins, where the system lets us.

On Linux a network namespace of one's own has no way out, not even to this machine. Making one takes
either root's rights or a user namespace; some containers allow neither.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from pathlib import Path
from typing import Final

_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000


def shut_off_network() -> str:
    """Shut it off for good; "" when that is done, else why it cannot be done here.

    To be called before any thread begins: a process with several can have no user namespace.
    """
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has no network namespaces"
    uid, gid = os.getuid(), os.getgid()
    if not _unshare(_NEW_NETWORK):
        return ""
    failed = _unshare(_NEW_USER | _NEW_NETWORK)
    if failed:
        return f"the system does not allow it: {os.strerror(failed)}"
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        with contextlib.suppress(OSError):
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    return ""


def _unshare(flags: int) -> int:
    """0, or the error number."""
    library = ctypes.CDLL(None, use_errno=True)
    return 0 if library.unshare(flags) == 0 else ctypes.get_errno()
