"""Cases of ten steps that `bundle test` replays in a second, as a whole process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CASES = 200
HEAD = (
    "---\nname: flow\ndescription: Made for measuring.\ninputs: {n: integer}\n"
    "allow: {write: [box.put]}\noutputs: {o: '{{ steps.s4.output }}'}\n---\n\n# Measured\n\n"
)


def recorded(bundle: Path) -> None:
    """Five answers of agents, five effects of tools that take them."""
    body = ""
    for i in range(5):
        body += f"## A{i}\n\n```yaml step\nid: a{i}\n```\n\nSay {i} of {{{{ inputs.n }}}}\n\n"
        body += f"## S{i}\n\n```yaml step\nid: s{i}\nuses: box.put\nwith: {{text: '{{{{ steps.a{i}.output }}}}'}}\n```\n\n"
    (bundle / "workflow.md").write_text(HEAD + body)
    (bundle / "tools").mkdir()
    (bundle / "tools/box.py").write_text("raise SystemExit(1)\n")
    (bundle / "tools.yaml").write_text(
        "box: {operations: {put: {effect: write, inputs: {text: string}}}}\n"
    )
    for case in range(CASES):
        answers = bundle / f"tests/c{case:03}/answers"
        answers.mkdir(parents=True)
        (answers.parent / "case.yaml").write_text(f"inputs: {{n: {case}}}\n")
        (answers.parent / "expect.yaml").write_text("status: succeeded\noutputs: {o: done 4}\n")
        for i in range(5):
            (answers / f"a{i}.md").write_text(f"---\nagent: x/y\n---\ntext {i}\n")
            (answers / f"s{i}.yaml").write_text(f"with: {{text: text {i}}}\noutput: done {i}\n")


def run_for_real(bundle: Path) -> None:
    """Ten scripts that read, and so run."""
    head = HEAD.replace("allow: {write: [box.put]}\n", "").replace("steps.s4", "steps.s9")
    body = "".join(f"## S{i}\n\n```sh step id=s{i}\necho done {i}\n```\n\n" for i in range(10))
    (bundle / "workflow.md").write_text(head + body)
    for case in range(CASES):
        folder = bundle / f"tests/c{case:03}"
        folder.mkdir(parents=True)
        (folder / "case.yaml").write_text(f"inputs: {{n: {case}}}\n")
        (folder / "expect.yaml").write_text("status: succeeded\noutputs: {o: done 9}\n")


def main() -> None:
    for name, make, at_least in (
        ("cases of 10 recorded steps a second", recorded, 50),
        ("cases of 10 scripts that run a second", run_for_real, None),
    ):
        with tempfile.TemporaryDirectory() as folder:
            bundle = Path(folder) / "bundles/flow"
            bundle.mkdir(parents=True)
            make(bundle)
            command = [sys.executable, "-m", "aiworkflow", "bundle", "test", "flow", "--json"]
            env = {**os.environ, "PYTHONPATH": str(ROOT)}
            began = time.perf_counter()
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
            seconds = time.perf_counter() - began
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr
            figure = {"figure": name, "per_second": round(CASES / seconds, 1), "at_least": at_least}
            print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
