"""Runs that were gone on with at `aiworkflow serve` outlive it: the next one goes on by itself."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.api_server import until
from tests.e2e.served import serve
from tests.support import Project, script

pytest.importorskip("uvicorn")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_the_next_server_goes_on_with_what_was_resumed_forked_or_taken_back(
    tmp_path: Path, number: int
) -> None:
    project = Project(tmp_path / "project")
    notes = tmp_path / "notes"
    slow = f"echo at >> {notes}; test -e {tmp_path}/go || sleep 60\n"
    undo = script("first", "true") + f"```bash undo\n{slow}```\n"
    project.workflow(
        undo
        + script("last", f"test -e {tmp_path}/mended || exit 3\n{slow}", "effect: idempotent\n")
    )

    def told(server: str, *words: str) -> str:
        done = here.run("--server", server, *words, "--json", timeout=120)
        return str(done.json.get("status"))

    def count() -> int:
        return len(notes.read_text().splitlines()) if notes.exists() else 0

    with serve(project, "--grace", "1s") as server:
        here = Project(tmp_path / "here")
        assert told(server.url, "run", "flow") == "failed"
        first = here.run("--server", server.url, "runs", "list", "--json").json["runs"][0]["run"]
        (tmp_path / "mended").write_text("")
        for words, ends in (
            (("resume", first), "succeeded"),
            (("fork", first, "--from", "last"), "succeeded"),
            (("undo", first), "waiting"),  # nobody knows what was taken back
        ):
            notes.unlink(missing_ok=True)
            (tmp_path / "go").unlink(missing_ok=True)
            following = here.start("--server", server.url, "runs", *words, "--json")
            until(lambda: count() == 1, 60)
            server.end(number)
            (tmp_path / "go").write_text("")
            server.start()
            out, err = following.communicate(timeout=120)
            assert f'"status": "{ends}"' in out, (words, out, err)
            assert count() == (2 if ends == "succeeded" else 1)
