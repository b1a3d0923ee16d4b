"""The cases that the bundles of ours bring are replayed, as their users do it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.bundles.driving import NAMES
from tests.support import ROOT


def test_every_bundle_has_cases_and_they_pass() -> None:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-m", "aiworkflow", "bundle", "test", "--json"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert [one["bundle"] for one in found["bundles"]] == [f"bundles/{name}" for name in NAMES]
    assert found["passed"] >= len(NAMES)


def test_no_case_holds_an_address_of_the_machine_it_was_recorded_on() -> None:
    for path in (ROOT / "bundles").glob("*/tests/**/*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "127.0.0.1" not in text, path
            assert "/tmp/" not in text, path
