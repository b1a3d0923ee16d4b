"""What a run leaves behind is freed at its end, and not by the collector, which stops all others."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import aiworkflow

FLOWS = {
    "script": "## A\n\n```bash step id=a\necho hi\n```\n\n"
    '## B\n\n```yaml step\nid: b\nset: {x: "{{ steps.a.output }}"}\n```\n',
    "failing": "## A\n\n```yaml step\nid: a\nretry: {times: 2, base: 1ms}\n```\n\n```bash step\nexit 3\n```\n",
    "late": "## A\n\n```yaml step\nid: a\ntimeout: 50ms\n```\n\n```bash step\nsleep 50\n```\n",
    "each": '## E\n\n```yaml step\nid: e\neach: "{{ range(3) }}"\n```\n\n'
    '### F\n\n```yaml step\nid: f\nenv: {I: "{{ item }}"}\n```\n\n```bash step\necho $I\n```\n',
    "agent": "## Ask\n\n```yaml step\nid: ask\nagent: echo\n```\n\nSay hello.\n",
    "calling": '## C\n\n```yaml step\nid: c\neach: "{{ range(2) }}"\nworkflow: ../script\n```\n',
    "undone": "## A\n\n```yaml step\nid: a\nuses: file.write\nwith: {path: a.txt, content: x}\n```\n\n"
    "## B\n\n```bash step id=b\nexit 1\n```\n",
    "waiting": "## W\n\n```yaml step\nid: w\nwait: {event: go}\n```\n",
}
HEADS = {
    "script": "state: {x: {reduce: last}}\n",
    "undone": "on_error: rollback\nallow: {write: [file.write], paths: ['**']}\n",
}

STATUS = {"failing": "failed", "late": "failed", "undone": "rolled_back", "waiting": "waiting"}


@pytest.fixture
def saving() -> Iterator[None]:
    """The collector keeps what it finds, and looks only when it is asked."""
    was = gc.isenabled()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    if was:
        gc.enable()


def write(root: Path) -> None:
    (root / ".aiworkflow").mkdir()
    for name, steps in FLOWS.items():
        folder = root / "bundles" / name
        folder.mkdir(parents=True)
        head = f"name: {name}\ndescription: D.\nworkspace: here\n{HEADS.get(name, '')}"
        (folder / "workflow.md").write_text(f"---\n{head}---\n\n# T\n\n{steps}")


@pytest.mark.usefixtures("saving")
@pytest.mark.parametrize("name", FLOWS)
def test_nothing_of_a_run_refers_to_itself(tmp_path: Path, name: str) -> None:
    write(tmp_path)

    async def test() -> None:
        async with aiworkflow.connect(tmp_path) as client:

            async def once() -> None:
                run = await client.start(name)
                while client.journal.run(run.id).status != STATUS.get(name, "succeeded"):
                    await asyncio.sleep(0.01)
                if name != "waiting":
                    await run.result()

            await once()  # what is made once for all runs
            await asyncio.sleep(0.05)
            gc.collect()
            gc.set_debug(gc.DEBUG_SAVEALL)
            await once()
            await asyncio.sleep(0.05)
            gc.collect()
            left = Counter(type(one).__qualname__ for one in gc.garbage)
            assert not left

    asyncio.run(test())
