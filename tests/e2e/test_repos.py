"""`repos`: the list of repositories, and mirrors of those that have a URL."""

from __future__ import annotations

from pathlib import Path

from tests.support import Project, script


def remote(folder: Path) -> Project:
    found = Project(folder)
    found.write("a.txt", "one\n")
    found.git("add", "a.txt")
    found.git("commit", "-qm", "first")
    return found


def test_repositories_are_added_and_listed(project: Project) -> None:
    refused = project.run("repos", "list")
    assert (refused.code, "there is no `repos.yaml`" in refused.err) == (2, True)
    remote(project.root.parent / "shop")
    assert project.run("repos", "add", "../shop", "--tag", "python", "--tag", "web").code == 0
    url = "https://example.org/acme/till.git"
    added = project.run("repos", "add", url, "--tag", "python", "--branch", "develop", "--json")
    assert (added.json["name"], added.json["url"], added.json["here"]) == ("till", url, False)
    text = (project.root / "repos.yaml").read_text()
    only = project.run("repos", "sync", "--tag", "web")
    assert (only.code, "no repository with a `url` is chosen" in only.out + only.err) == (0, True)
    assert text.splitlines()[1] == '  - {path: "../shop", tags: ["python", "web"]}'
    listed = project.run("repos", "list", "--tag", "web", "--json").json["repositories"]
    assert [one["name"] for one in listed] == ["shop"]
    assert "till  python" in project.run("repos", "list").out
    twice = project.run("repos", "add", "../shop")
    assert (twice.code, "two repositories are called `shop`" in twice.err) == (2, True)
    nothing = project.run("repos", "add", "../nothing")
    assert "there is no repository" in nothing.err
    assert (project.root / "repos.yaml").read_text() == text


def test_a_token_in_a_url_is_refused_and_not_repeated(project: Project) -> None:
    url = "https://user:geheim123@example.org/a.git"
    done = project.run("repos", "add", url)
    assert (done.code, "geheim" in done.err) == (2, False)
    assert "password or token" in done.err
    project.write("repos.yaml", f"repos:\n  - {{url: '{url}'}}\n")
    done = project.run("repos", "list")
    assert (done.code, "geheim" in done.err.split("|")[0]) == (2, False)
    assert "error[AW653]" in done.err
    assert "repos.yaml:2:11" in done.err


def test_mistakes_are_shown_where_they_are(project: Project) -> None:
    project.write("repos.yaml", "repos:\n  - {path: a, url: git@x.org:b}\n  - {path: b, tag: x}\n")
    done = project.run("sweep", "flow", "--all")
    assert done.code == 2
    assert "error[AW531]" in done.err
    assert "error[AW651]" in done.err
    assert "did you mean `tags`?" in done.err
    project.write("repos.yaml", "repos:\n  - {path: x/a}\n  - {path: y/a}\n")
    assert "error[AW530]: two repositories are called `a`" in project.run("repos", "list").err


def test_a_repository_is_added_to_any_form_of_the_list(project: Project) -> None:
    for name in ("a", "b", "c"):
        remote(project.root.parent / name)
    for before, after in (
        ("", 'repos:\n  - {path: "../c"}\n'),
        ("repos: []  # none yet\n", 'repos:  # none yet\n  - {path: "../c"}\n'),
        ("# ours\nrepos:\n- path: ../a\n", '# ours\nrepos:\n- path: ../a\n- {path: "../c"}\n'),
        ("repos:\r\n- path: ../a", 'repos:\r\n- path: ../a\r\n- {path: "../c"}\r\n'),
    ):
        (project.root / "repos.yaml").write_bytes(before.encode())
        assert project.run("repos", "add", "../c").code == 0
        assert (project.root / "repos.yaml").read_bytes().decode() == after
    project.write("repos.yaml", "repos: [{path: ../a}]\n")
    flow = project.run("repos", "add", "../c")
    assert (flow.code, "nothing can be added at the end of `repos.yaml`" in flow.err) == (2, True)
    assert 'write it into the list of `repos` by hand: {path: "../c"}' in flow.err


def test_what_cannot_be_added_is_said(project: Project) -> None:
    remote(project.root.parent / "shop")
    for words, text in (
        (["../shop", "--name", "bad name"], "takes a name such as `shop`"),
        (["../shop", "--branch", "x y"], "`repos.branch` takes a branch, not `x y`"),
        (["../shop", "--branch", "gone"], "has no branch `gone`"),
        (["../shop", "--tag", "x y"], "`x y` is no tag"),
        (["~nobody-has-this-name/x"], "nobody's home folder is meant by"),
        ([""], "a repository needs a path or a URL"),
    ):
        done = project.run("repos", "add", *words)
        assert (done.code, text in done.err) == (2, True), done.err
    assert not (project.root / "repos.yaml").exists()
    (project.root / "repos.yaml").write_bytes(b"\xff\xfe")
    assert "it is not UTF-8 text at byte 0" in project.run("repos", "add", "../shop").err
    project.write("repos.yaml", "repos:\n  - {path: ..}\n")
    assert "error[AW506]: `..` says no name" in project.run("repos", "list").err


def test_the_project_itself_has_a_name(project: Project) -> None:
    project.write("a.txt", "one\n")
    project.git("add", "a.txt")
    project.git("commit", "-qm", "first")
    assert project.run("repos", "add", ".", "--json").json["name"] == "project"


def test_mirrors_are_made_fetched_and_swept(project: Project) -> None:
    there = remote(project.root.parent / "remote")
    project.write(
        "repos.yaml",
        f"repos:\n  - {{url: 'file://{there.root}', tags: [x]}}\n  - {{url: 'file:///nowhere/x'}}\n",
    )
    project.workflow(
        script("change", "cat a.txt\necho two >> a.txt"), head='allow: {paths: ["**"]}\n'
    )
    swept = project.run("sweep", "flow", "--tag", "x", "--json")
    assert swept.code == 0, swept.err
    mirror = next((project.root / ".aiworkflow/state/repos").glob("remote-*.git"))
    branch = swept.json["branch"]
    assert Project(mirror, git=False).git("show", f"{branch}:a.txt") == "one\ntwo\n"
    there.write("a.txt", "three\n")
    there.git("commit", "-qam", "more")
    done = project.run("repos", "sync", "--json")
    assert (done.code, done.json["synced"], [*done.json["failed"]]) == (1, ["remote"], ["x"])
    again = project.run("sweep", "flow", "--tag", "x", "--json").json
    mirrored = Project(mirror, git=False)
    assert mirrored.git("show", f"{again['branch']}:a.txt") == "three\ntwo\n"
    assert mirrored.git("show", f"{branch}:a.txt") == "one\ntwo\n"


def test_what_is_asked_wrongly_is_said(project: Project) -> None:
    remote(project.root.parent / "shop")
    project.workflow(script("a", "true"), head="concurrency: {key: x, overlap: queue}\n")
    project.run("repos", "add", "../shop")
    for words, text in (
        ([], "nothing says which repositories"),
        (["--repo", "shpo"], "did you mean `shop`?"),
        (["--tag", "none"], "no repository is chosen"),
        (["--all"], "has a `concurrency` key"),
        (["--all", "--canary", "some"], "--canary takes a share such as 5%"),
        (["--all", "--max-parallel", "0"], "`--max-parallel` takes a whole number"),
        (["--all", "--author", "me"], "--author takes a name and an address"),
        (["--all", "--max-usd", "much"], "--max-usd takes"),
    ):
        done = project.run("sweep", "flow", *words)
        assert (done.code, text in done.err) == (2, True), done.err
    project.workflow(script("a", "true"))
    bad = project.run("sweep", "flow", "--all", "--branch", "a..b")
    assert "`a..b` is no name of a branch" in bad.err
    planned = project.run("sweep", "flow", "--all", "--canary", "1", "--dry-run", "--json").json
    assert (planned["canary"], [one["name"] for one in planned["repositories"]]) == (1, ["shop"])
    assert project.run("sweep", "list", "--json").json == {"sweeps": []}
    assert "there is no sweep `x`" in project.run("sweep", "show", "x").err


def test_mirrors_are_for_their_owner_only(project: Project) -> None:
    there = remote(project.root.parent / "remote")
    project.write("repos.yaml", f"repos: [{{url: 'file://{there.root}'}}]\n")
    done = project.run("repos", "sync")
    assert done.code == 0, done.err
    state = project.root / ".aiworkflow" / "state"
    assert list((state / "repos").iterdir())
    assert state.stat().st_mode & 0o777 == 0o700
