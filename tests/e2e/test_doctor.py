"""`doctor`: what it looks at, how it says what to do, and when it fails."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from aiworkflow.cli.out import wrapped
from tests.certificates import certificates
from tests.support import Project, script

STATES = {"ok", "absent", "warning", "problem"}


def checks(project: Project, **env: str) -> dict[str, dict[str, Any]]:
    done = project.run("doctor", "--json", **env)
    found = {check["check"]: check for check in done.json["checks"]}
    has_problem = any(check["status"] == "problem" for check in found.values())
    assert done.json["ok"] is not has_problem
    assert done.code == (1 if has_problem else 0)
    return found


def test_a_healthy_project_has_no_problem_and_names_every_check(project: Project) -> None:
    project.run("init")
    found = checks(project)
    for name in ("python", "git", "project", "settings", "journal"):
        assert found[name]["status"] == "ok", found[name]
    for name in ("sandbox", "optional keys", "optional agents", "agent ollama"):
        assert found[name]["status"] == "absent", found[name]
    assert {check["status"] for check in found.values()} <= STATES
    assert set(found["git"]) == {"check", "status", "text", "fix"}
    assert "the git repository" in found["project"]["text"]
    assert "not used by this version" in found["sandbox"]["text"]
    assert found["interpreter bash"]["status"] == "ok"


def test_people_see_a_mark_and_a_fix(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "interpreters: {cobol: /nowhere/cobc}\n")
    done = project.run("doctor")
    assert done.code == 1
    assert "✓ git" in done.out
    assert "✗ interpreter cobol" in done.out
    assert "fix: install it, or name another under `interpreters:" in done.out


def test_on_a_terminal_long_texts_stay_in_their_column(
    monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = "not set: ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY"
    assert wrapped(text, 20) == text  # a file has no width
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    lines = wrapped(text, 20).split("\n" + " " * 20)
    assert lines == ["not set: ANTHROPIC_API_KEY,", "OPENAI_API_KEY, GEMINI_API_KEY"]
    shown = project.run("doctor").out
    assert "\n· optional keys " in shown and "DEEPSEEK_API_KEY\n" in shown


def test_quiet_says_only_what_is_wrong(project: Project) -> None:
    project.run("init")
    assert "✓" not in project.run("doctor", "-q").out


def test_it_looks_but_makes_nothing(tmp_path: Path) -> None:
    bare = Project(tmp_path / "bare", git=False)
    before = sorted(path.name for path in bare.root.iterdir())
    found = checks(bare)
    assert sorted(path.name for path in bare.root.iterdir()) == before
    assert found["project"]["status"] == "warning"
    assert "aiworkflow init" in found["project"]["fix"]
    assert "none yet" in found["journal"]["text"]


def test_a_broken_config_is_a_problem_with_its_place(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "limits: {max_paralel: 3}\n")
    found = checks(project)["settings"]
    assert found["status"] == "problem"
    assert ".aiworkflow/config.yaml:1:" in found["text"]
    assert "max_parallel" in found["text"] + found["fix"]


def test_limits_for_no_bundle_are_warned_of_with_their_place(project: Project) -> None:
    project.workflow(script("one", "true"), name="etl")
    project.write("bundles/lone.md", "---\nname: lone\ndescription: Test.\n---\n\n# Lone\n")
    limits = (
        "  max_runs_of:\n    elt: 1\n    etl: 2\n    lone: 2\n    bundles/etl: 3\n    removed: 4\n"
    )
    project.write(".aiworkflow/config.yaml", f"workers:\n{limits}")
    project.write(
        ".home/.config/aiworkflow/config.yaml", "workers: {max_runs_of: {elsewhere: 1}}\n"
    )
    done = project.run("doctor", "--json")
    found = [one for one in done.json["checks"] if one["check"] == "settings"]
    assert [(one["status"], one["text"], one["fix"]) for one in found[:-1]] == [
        (
            "warning",
            f".aiworkflow/config.yaml:{line}: `workers.max_runs_of` names `{name}`, and there is no "
            "such bundle",
            fix,
        )
        for line, name, fix in (
            ("3:10", "elt", "did you mean `etl`?"),
            ("7:14", "removed", "correct the name, or remove it"),
        )
    ]
    assert found[-1]["status"] == "ok"


def test_where_runs_are_is_not_known_when_the_settings_cannot_be_read(project: Project) -> None:
    project.write(".aiworkflow/config.yaml", "agent: [x\n")
    found = checks(project)
    assert found["settings"]["status"] == found["journal"]["status"] == "problem"
    assert "it is not known where runs are kept" in found["journal"]["text"]


def test_variables_that_set_nothing_or_the_wrong_thing_are_named(project: Project) -> None:
    project.run("init")
    done = project.run("doctor", AIWORKFLOW_LIMITS__MAX_PARALEL="3")
    assert "! settings" in done.out
    assert "AIWORKFLOW_LIMITS__MAX_PARALEL sets nothing" in done.out
    wrong = checks(project, AIWORKFLOW_LIMITS__MAX_PARALLEL="many")["settings"]
    assert wrong["status"] == "problem"
    assert "AIWORKFLOW_LIMITS__MAX_PARALLEL" in wrong["text"]


def test_git_may_be_absent(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("bash", "sh"):
        found = shutil.which(program)
        assert found is not None
        (folder / program).symlink_to(found)
    seen = checks(project, PATH=str(folder))
    assert seen["git"]["status"] == "warning"
    assert seen["git"]["fix"] == "install git"
    assert seen["interpreter bash"]["status"] == "ok"
    assert seen["interpreter javascript"]["status"] == "warning"


def test_keys_are_seen_and_never_shown(project: Project) -> None:
    done = project.run("doctor", ANTHROPIC_API_KEY="sk-very-secret")
    assert "ANTHROPIC_API_KEY is set" in done.out
    assert "· optional keys" in done.out and "✓ agent anthropic" in done.out
    assert "not set: OPENAI_API_KEY, GEMINI_API_KEY, " in done.out
    assert "sk-very-secret" not in done.out + done.err


def test_each_configured_agent_can_be_used_or_says_why_not(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        project.write(
            ".aiworkflow/config.yaml",
            f"agent: mine/m1\nagents:\n  mine: {{api: openai, url: http://127.0.0.1:{port}/v1}}\n"
            "  theirs: {api: openai, url: http://127.0.0.1:9/v1, key: THEIR_KEY}\n"
            "  far: {api: openai, url: http://192.0.2.1/v1}\n",
        )
        found = checks(project)
    assert found["agent mine"]["status"] == "ok"
    assert found["agent far"]["status"] == "ok"  # other machines are not asked
    silent = checks(project)["agent mine"]
    assert silent["status"] == "warning"
    assert f"http://127.0.0.1:{port}/v1 does not answer: Connection refused" in silent["text"]
    assert found["agent theirs"]["status"] == "problem"
    assert "THEIR_KEY is not set" in found["agent theirs"]["text"]
    assert "export THEIR_KEY" in found["agent theirs"]["fix"]
    assert found["default agent"]["status"] == "ok"
    assert found["default agent"]["text"].startswith("mine/m1 (project's config.yaml ")


def test_an_ollama_that_is_set_up_answers_or_does_not(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
        assert checks(project, OLLAMA_HOST=host)["agent ollama"]["status"] == "ok"
    gone = checks(project, OLLAMA_HOST=host)["agent ollama"]
    assert gone["status"] == "warning"
    assert gone["fix"] == "start it: ollama serve"


def test_the_journal_is_checked_and_its_size_told(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    assert project.run("run", "bundles/flow").code == 0
    found = checks(project)["journal"]
    assert found["status"] == "ok"
    assert ", 1 run, " in found["text"]


def test_a_damaged_journal_is_a_problem(project: Project) -> None:
    project.workflow(script("one", "echo 1"))
    project.run("run", "bundles/flow")
    file = project.root / ".aiworkflow/state/journal.db"
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    content = bytearray(file.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    file.write_bytes(content)
    found = checks(project)["journal"]
    assert found["status"] == "problem"
    assert found["fix"]


def test_a_run_left_behind_is_found_with_the_way_on(project: Project) -> None:
    project.workflow(script("one", "echo 1") + script("slow", "sleep 30"))
    driver = project.start("run", "bundles/flow")
    assert driver.stderr is not None
    assert any("one" in line for line in driver.stderr)
    time.sleep(0.1)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    found = checks(project)["interrupted run"]
    assert found["status"] == "warning"
    assert "aiworkflow runs resume" in found["fix"]


def test_the_files_of_the_servers_tls_are_looked_at(project: Project) -> None:
    pytest.importorskip("cryptography")
    certificates(project.root)
    for said, status, text in (
        ("certificate: gone.pem, key: server.key", "problem", "there is no file"),
        ("certificate: bundles, key: server.key", "problem", "there is no file"),
        (f"certificate: {'x' * 400}, key: server.key", "problem", "cannot be read: "),
        ("certificate: server.pem, key: ci.key", "problem", "are no pair for TLS: key values"),
        ("certificate: old.pem, key: old.key", "problem", "it was good until "),
        ("certificate: server.pem, key: server.key", "warning", "is good only until "),
    ):
        project.write(".aiworkflow/config.yaml", f"serve: {{tls: {{{said}}}}}\n")
        found = checks(project)["serve.tls"]
        assert (found["status"], text in found["text"]) == (status, True), found
        assert found["fix"]
    project.write(".aiworkflow/config.yaml", "serve: {port: 8080}\n")
    assert "serve.tls" not in checks(project)
