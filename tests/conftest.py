"""For all tests: in which order they begin."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of killed processes take longest: first, so that none is left alone at the end."""
    items.sort(key=lambda item: "crash" not in item.path.parts)
