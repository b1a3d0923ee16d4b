"""What the README of each bundle must tell, and that none of them has a remark."""

from __future__ import annotations

import frontmatter
import pytest

from aiworkflow.bundle import read_bundle
from aiworkflow.plan import compile_plan
from tests.bundles.driving import BUNDLES, NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_readme_tells_each_input_and_what_reaches_the_outside(name: str) -> None:
    readme = (BUNDLES / name / "README.md").read_text(encoding="utf-8")
    head = frontmatter.load(str(BUNDLES / name / "workflow.md")).metadata
    inputs = head.get("inputs", {})
    assert isinstance(inputs, dict)
    for one in inputs:
        assert f"`{one}`" in readme or f"{one}=" in readme, one
    if name not in {"hello", "repo-report"}:
        assert "## What reaches the outside" in readme
        allow = head["allow"]
        assert isinstance(allow, dict)
        for secret in allow["secrets"]:
            assert f"`{secret}`" in readme, secret


@pytest.mark.parametrize("name", NAMES)
def test_the_list_of_bundles_has_all(name: str) -> None:
    listed = (BUNDLES / "README.md").read_text(encoding="utf-8")
    assert f"[{name}]({name}/README.md)" in listed


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_is_valid_without_a_remark(name: str) -> None:
    reading = read_bundle(BUNDLES / name)
    assert reading.workflow is not None
    assert compile_plan(reading.workflow, reading.report) is not None
    assert [f"{one.code} {one.message}" for one in reading.report] == []
