"""Cases that were recorded from the same run, replayed side by side."""

from __future__ import annotations

from tests.support import Project, script

CASE = """\
inputs: {}
started: {at: "2026-11-22T02:51:01.901962Z", run: 01m80jm2c9-89g4eyae0594r5}
"""
EXPECT = "status: succeeded\noutputs: {said: fine}\n"
ALONE = """\
test ! -e "$AIWORKFLOW_SCRATCH/mine"
touch "$AIWORKFLOW_SCRATCH/mine"
sleep 0.5
test -e "$AIWORKFLOW_SCRATCH/mine"
echo fine"""


def test_each_has_its_own_folder(project: Project) -> None:
    project.workflow(script("a", ALONE), head='outputs: {said: "{{ steps.a.output }}"}\n')
    for name in ("one", "two", "three"):
        project.write(f"bundles/flow/tests/{name}/case.yaml", CASE)
        project.write(f"bundles/flow/tests/{name}/expect.yaml", EXPECT)
    done = project.run("bundle", "test", "flow")
    assert done.code == 0, done.out + done.err
