"""Whether a test that needs a server fails without it, or is skipped."""

from __future__ import annotations

import os


def is_demanded(name: str) -> bool:
    """Under CI=true a server must be there, unless CI could not get it and says so (`.ci/servers`)."""
    return (
        os.environ.get("CI") == "true" and name not in os.environ.get("SERVERS_MISSING", "").split()
    )
