"""For all tests: in which order they begin, and that none depends on how fast the machine is."""

from __future__ import annotations

import pytest
from hypothesis import settings

# Without this a busy machine fails a test: for one slow example, or since its first ones took a second.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of killed processes take longest: first, so that none is left alone at the end."""
    items.sort(key=lambda item: "crash" not in item.path.parts)
