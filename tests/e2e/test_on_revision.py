"""`--on REVISION`: the bundle is read as it was committed."""

from __future__ import annotations

from tests.support import Project, script


def commit(project: Project, code: str) -> None:
    project.workflow(script("act", code, "effect: read\n"))
    project.git("add", ".gitattributes", "bundles")
    project.git("commit", "-qm", "next")


def test_attributes_do_not_hide_a_bundle(project: Project) -> None:
    project.write(".gitattributes", "bundles export-ignore\n")
    commit(project, "exit 1")
    run = project.run("run", "flow", "--json").json["run"]
    commit(project, "echo $Format:%h$ fine")
    assert project.run("runs", "resume", run, "--on", "HEAD~1", "--yes").code == 1
    done = project.run("runs", "fork", run, "--on", "HEAD", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded"), done.err
    assert "echo $Format:%h$ fine" in project.run("bundle", "diff", "HEAD~1", "HEAD").out
