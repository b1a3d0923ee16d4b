"""Where runs are kept: a journal on a server, a list of journals, and the next one when asked."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import URL, a_schema, execute
from tests.support import Project, script

NOBODY = "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1"


@pytest.fixture
def url() -> Iterator[str]:
    with a_schema() as found:
        yield found


@pytest.fixture
def served(project: Project, url: str) -> Project:
    """A project whose runs are kept on the server."""
    project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
    return project


def until(project: Project, name: str, process: subprocess.Popen[str] | None = None) -> None:
    """Wait for a file that a step writes."""
    for _ in range(400):
        if (project.root / name).exists():
            return
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{name} never came")


def files(project: Project) -> set[str]:
    state = project.root / ".aiworkflow" / "state"
    return {path.name for path in state.iterdir()} if state.exists() else set()


def test_a_server_is_told_of_no_option_that_it_does_not_take(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "journal: [postgresql://no@127.0.0.1:1/x, sqlite]\n")
    done = project.run("serve")
    assert done.code == 1
    assert "commands that take --journal-fallback can use sqlite" in done.err
    assert "no such option" in project.run("serve", "--journal-fallback").err.lower()


def test_no_other_journal_is_taken_when_the_settings_cannot_be_read(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", f"agent: [ollama/x\njournal: {NOBODY}\n")
    for words in (("runs", "list"), ("queue", "publish", "q"), ("journal", "check")):
        done = project.run(*words)
        assert done.code == 2, (words, done.out)
        assert (
            "error: .aiworkflow/config.yaml:1:8: `[` is not closed; so it is not known where runs are"
            " kept\n  help: close it with `]`" in done.err
        ), done.err
    assert files(project) == set()


# -- a journal on a server ------------------------------------------------------------------------


def test_a_run_is_kept_on_the_server_and_shown_from_there(served: Project) -> None:
    big = "python3 -c 'print(\"y\" * 100000)'"
    served.workflow(script("a", "echo said >&2; echo 1") + script("b", big))
    done = served.run("run", "flow", "--json")
    assert (done.code, done.err) == (0, done.err)
    run = done.json["run"]
    assert len(done.json["steps"]["b"]["output"]) == 100_000
    assert [row["run"] for row in served.run("runs", "list", "--json").json["runs"]] == [run]
    shown = served.run("runs", "show", run[:-2], "--json").json
    assert shown["status"] == "succeeded"
    assert "said" in served.run("runs", "log", "last", "a").out
    assert not {"journal.db", "blobs"} & files(served)
    state = served.root / ".aiworkflow" / "state"
    assert state.stat().st_mode & 0o777 == 0o700, "logs are there"


def test_a_run_that_waits_is_approved_by_another_process(served: Project) -> None:
    served.workflow(script("a", "echo done > done; echo yes", "approve: true\n"))
    done = served.run("run", "flow", "--json")
    assert done.code == 3
    listed = served.run("approvals", "list", "--json").json["approvals"]
    assert [one["step"] for one in listed] == ["a"]
    assert "approves" not in served.run("approvals", "show", "last").err
    approved = served.run("approvals", "approve", "last", "--json")
    assert (approved.code, approved.json["status"]) == (0, "succeeded")
    assert (served.root / "done").exists()


def test_a_wait_is_answered_while_another_process_stays(served: Project) -> None:
    served.workflow(script("a", "touch began") + script("b", "echo 1", "approve: true\n"))
    stays = served.start("run", "flow", "--wait", "--json")
    until(served, "began", stays)
    for _ in range(200):
        if served.run("approvals", "list", "--json").json["approvals"]:
            break
    said = served.run("approvals", "approve", "last")
    assert said.code == 0, said.err
    out, err = stays.communicate(timeout=30)
    assert stays.returncode == 0, (out, err)


def test_a_run_is_killed_and_resumed(served: Project) -> None:
    body = script("a", "echo a >> ran") + script(
        "b", "echo b >> ran; test -e again || { touch began; exec sleep 60; }", "effect: read\n"
    )
    served.workflow(body)
    driver = served.start("run", "flow")
    until(served, "began", driver)
    assert served.run("runs", "resume", "last").code == 2  # it is alive
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    rows = served.run("runs", "list", "--json").json["runs"]
    assert [row["interrupted"] for row in rows] == [True]
    assert "was interrupted" in served.run("doctor").out
    served.write("again", "")
    done = served.run("runs", "resume", "last", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded")
    assert (served.root / "ran").read_text().split() == ["a", "b", "b"]


def test_a_write_that_was_killed_is_in_doubt(served: Project) -> None:
    served.workflow(
        script("a", "touch began; exec sleep 60", "effect: write\n"),
        head="allow: {paths: ['**']}\n",
    )
    driver = served.start("run", "flow")
    until(served, "began", driver)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    assert served.run("runs", "resume", "last").code == 3
    done = served.run("runs", "resolve", "last", "a", "done", "--json")
    assert (done.code, done.json["status"]) == (0, "succeeded")


def config_of(project: Project) -> str:
    return (project.root / ".aiworkflow" / "config.yaml").read_text()


def elsewhere(served: Project, root: Path) -> Project:
    """Another folder with the same journal, as another machine would have it."""
    other = Project(root)
    shutil.copytree(served.root / "bundles", other.root / "bundles")
    other.write(".aiworkflow/config.yaml", config_of(served))
    return other


def test_another_folder_takes_a_run_when_the_lease_of_its_driver_is_over(
    served: Project, tmp_path: Path
) -> None:
    served.write(".aiworkflow/config.yaml", config_of(served) + "workers: {lease: 2s}\n")
    served.workflow(
        script("a", "touch began; [ -e ../other/go ] || exec sleep 60", "effect: read\n")
    )
    driver = served.start("run", "flow")
    until(served, "began", driver)
    other = elsewhere(served, tmp_path / "other")
    for _ in range(2):  # it lives, however long one waits
        refused = other.run("runs", "resume", "last")
        assert refused.code == 2
        assert f"driven by another process (process {driver.pid} on " in refused.err
        time.sleep(1.5)
    assert other.run("runs", "list", "--json").json["runs"][0]["interrupted"] is False
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    other.write("go", "")
    for _ in range(100):
        done = other.run("runs", "resume", "last", "--json")
        if done.code == 0:
            break
        assert done.json["error"]["code"] == "held"
        time.sleep(0.1)
    assert done.json["status"] == "succeeded"


def test_a_driver_elsewhere_is_taken_over_when_a_person_says_so(
    served: Project, tmp_path: Path
) -> None:
    served.write(".aiworkflow/config.yaml", config_of(served) + "workers: {lease: 3s}\n")
    served.workflow(script("a", "touch began; exec sleep 60", "effect: read\n"))
    driver = served.start("run", "flow", "--json")
    until(served, "began", driver)
    other = elsewhere(served, tmp_path / "other")
    taken = other.start("runs", "resume", "last", "--take-over")
    until(other, "began", taken)
    out, _ = driver.communicate(timeout=20)  # it heard of it, and ended what it had begun
    assert '"code": "fenced"' in out
    os.killpg(taken.pid, signal.SIGTERM)
    taken.communicate()


def test_doctor_names_the_server_never_the_password(project: Project, url: str) -> None:
    secret = url.replace("postgres@", "postgres:s3cret@")
    project.write(".aiworkflow/config.yaml", f"journal: {secret}\n")
    project.workflow(script("a", "echo 1"))
    before = project.run("doctor").out
    assert "none yet; the first run makes it in postgresql://" in before
    project.run("run", "flow")
    after = project.run("doctor").out
    assert "1 run" in after
    assert "events" in after
    settings = project.run("bundle", "info", "flow", "--settings").out
    assert "journal" in settings
    assert "s3cret" not in before + after + settings


def test_doctor_says_that_the_server_does_not_answer(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", f"journal: {NOBODY}\n")
    done = project.run("doctor")
    assert done.code == 1
    assert "✗ journal" in done.out
    assert "does not answer" in done.out
    assert "start the server or mend the network" in done.out


def test_the_connection_is_lost_and_made_again_within_a_run(served: Project) -> None:
    served.workflow(script("a", "touch began; sleep 2") + script("b", "echo 1"))
    name = f"t_{secrets.token_hex(8)}"
    execute(f'CREATE DATABASE "{name}"')  # its own, so that no other connection can be meant
    try:
        url = f"{URL}{'&' if '?' in URL else '?'}dbname={name}"
        served.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        driver = served.start("run", "flow", "--json")
        until(served, "began", driver)
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        assert len(execute(end, name)) == 2  # that of the journal, and that of the signs of life
        out, err = driver.communicate(timeout=60)
        assert driver.returncode == 0, (out, err)
    finally:
        execute(f'DROP DATABASE "{name}" WITH (FORCE)')


# -- a list of journals ---------------------------------------------------------------------------


@pytest.fixture
def two(project: Project) -> Project:
    """A project whose first journal does not answer."""
    project.write(".aiworkflow/config.yaml", f"journal: ['{NOBODY}', sqlite]\n")
    project.workflow(script("a", "echo 1", "approve: true\n"))
    return project


def test_the_first_of_a_list_is_used(project: Project, url: str) -> None:
    project.write(".aiworkflow/config.yaml", f"journal: [sqlite, '{url}']\n")
    project.workflow(script("a", "echo 1"))
    done = project.run("run", "flow", "--journal-fallback", "--json")
    assert done.code == 0
    assert "warning" not in done.err
    assert "journal.db" in files(project)
    assert "none there yet" in project.run("doctor").out


def test_the_next_is_never_used_unasked_and_the_error_names_the_option(two: Project) -> None:
    for words in (["run", "flow"], ["runs", "list"], ["approvals", "list"]):
        done = two.run(*words)
        assert done.code == 1
        assert "does not answer" in done.err
        assert "--journal-fallback" in done.err
    assert "journal.db" not in files(two)
    assert "commands that take --journal-fallback can use sqlite" in two.run("workers", "list").err
    assert two.run("workers", "list", AIWORKFLOW_JOURNAL="sqlite").code == 0
    assert "--journal-fallback" in two.run("runs", "list", "--json").json["error"]["hint"]


def test_the_next_is_used_when_asked_and_that_is_said(two: Project) -> None:
    fallback = "--journal-fallback"
    done = two.run("run", "flow", fallback, "--json")
    assert done.code == 3
    assert done.json["status"] == "waiting"
    assert "warning: the journal postgresql://nobody@127.0.0.1:1/none" in done.err
    assert "this command uses sqlite instead (--journal-fallback)" in done.err
    listed = two.run("runs", "list", fallback, "--json")
    assert len(listed.json["runs"]) == 1
    assert "warning" in listed.err
    approved = two.run("approvals", "approve", "last", fallback, "--json")
    assert approved.json["status"] == "succeeded"
    assert approved.err.count("warning") == 1
    assert two.run("runs", "list").code == 1


def test_the_last_of_the_list_has_no_next(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", f"journal: ['{NOBODY}', '{NOBODY}']\n")
    done = project.run("runs", "list", "--journal-fallback")
    assert done.code == 1
    assert "this command uses postgresql://nobody@" in done.err
    assert "error: the journal postgresql://nobody@127.0.0.1:1/none" in done.err


def test_doctor_looks_at_the_next_ones_too(two: Project) -> None:
    out = two.run("doctor").out
    assert "✓ next journal" in out
    assert "only with --journal-fallback" in out
    two.write(".aiworkflow/config.yaml", f"journal: [sqlite, '{NOBODY}']\n")
    done = two.run("doctor")
    assert done.code == 0
    assert "! next journal" in done.out


def test_a_journal_that_is_none_is_never_replaced_by_another(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "journal: mysql://host/db\n")
    project.workflow(script("a", "echo 1"))
    for words in (["run", "flow"], ["runs", "list"]):
        done = project.run(*words)
        assert done.code == 2
        assert "`journal` takes `sqlite`, `sqlite:///folder` or `postgresql://" in done.err
    assert not files(project) & {"journal.db"}


def test_set_names_the_journal_of_this_run(project: Project, tmp_path: Path) -> None:
    project.workflow(script("a", "echo 1"))
    place = tmp_path / "elsewhere"
    done = project.run("run", "flow", "--set", f"journal=sqlite://{place}")
    assert done.code == 0
    assert (place / "journal.db").exists()
    assert project.run("runs", "list", "--json").json["runs"] == []
    env = {"AIWORKFLOW_JOURNAL": f"sqlite://{place}"}
    assert len(project.run("runs", "list", "--json", **env).json["runs"]) == 1


def test_a_run_of_another_journal_is_told_from_one_that_never_was(
    project: Project, tmp_path: Path
) -> None:
    project.workflow(script("a", "echo 1"))
    elsewhere = {"AIWORKFLOW_JOURNAL": f"sqlite://{tmp_path}/elsewhere"}
    run = project.run("run", "flow", "--json", **elsewhere).json["run"]
    done = project.run("runs", "show", run)
    assert done.code == 2
    assert f"no run `{run}` in this project" in done.err
    assert "by its id it is of another journal; see `journal` in config.yaml" in done.err
    assert "list them: aiworkflow runs list" in project.run("runs", "show", "never").err
    own = project.run("run", "flow", "--json").json["run"]
    assert (
        "list them"
        in project.run("runs", "show", f"{own[:-1]}{'1' if own[-1] != '1' else '2'}").err
    )


@pytest.mark.parametrize("_again", [1, 2])  # whether the last ones were seen was a matter of luck
def test_all_steps_of_a_run_that_another_process_drives_are_watched(
    served: Project, _again: int
) -> None:
    begin = script("a", "touch began; until [ -e go ]; do sleep 0.05; done")
    served.workflow(begin + script("b", "echo 1") + script("c", "echo 2"))
    driver = served.start("run", "flow")
    until(served, "began", driver)
    watcher = served.start("runs", "watch", "last")
    assert watcher.stderr is not None
    assert watcher.stderr.readline().startswith("run ")
    served.write("go", "")
    _, err = watcher.communicate(timeout=30)
    driver.communicate(timeout=30)
    assert [line.split()[1] for line in err.splitlines() if "✓ " in line] == [
        "a",
        "b",
        "c",
        "succeeded",
    ]


def test_a_run_is_watched_looked_into_and_cancelled_from_another_process(served: Project) -> None:
    served.workflow(script("a", "echo working >&2; touch began; exec sleep 60", "effect: read\n"))
    driver = served.start("run", "flow", "--json")
    until(served, "began", driver)
    watcher = served.start("runs", "watch", "last", "--json")
    assert served.run("runs", "show", "last", "--json").json["status"] == "running"
    assert "working" in served.run("runs", "log", "last", "a").out
    assert served.run("runs", "cancel", "last").code == 0
    out, err = driver.communicate(timeout=30)
    assert json.loads(out)["status"] == "cancelled", err
    out, err = watcher.communicate(timeout=30)
    assert json.loads(out)["status"] == "cancelled", err


def test_a_client_of_a_program_falls_back_only_when_it_may(tmp_path: Path) -> None:
    import aiworkflow
    from aiworkflow.journal import JournalUnavailable

    said: list[str] = []
    several = [NOBODY, f"sqlite://{tmp_path}/next"]
    with pytest.raises(JournalUnavailable, match="does not answer"):
        _ = aiworkflow.connect(tmp_path, journal=several).journal
    client = aiworkflow.connect(tmp_path, journal=several, journal_fallback=said.append)
    assert client.runs().runs == ()
    client.close()
    assert len(said) == 1
    assert said[0].endswith(f"this command uses sqlite://{tmp_path}/next instead")


def test_a_pooler_that_lets_nobody_in_who_names_a_schema_is_called_one(project: Project) -> None:
    """As pgbouncer does, in its own words."""
    says = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"

    class Pooler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while len(asked := self.request.recv(10_000)) == 8:  # for TLS, and then for GSS
                self.request.sendall(b"N")
            if asked:
                self.request.sendall(b"E" + (len(says) + 4).to_bytes(4, "big") + says)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pooler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"postgresql://me@127.0.0.1:{server.server_address[1]}/runs"
        project.write(".aiworkflow/config.yaml", f"journal: {where}\n")
        done = project.run("runs", "list")
        server.shutdown()
    assert done.code == 1, done.out
    assert "such as pgbouncer, does not hand on its schema" in done.err
    assert "unsupported startup parameter: options" in done.err
    assert "help: set `journal:` to the address of the PostgreSQL server itself" in done.err
