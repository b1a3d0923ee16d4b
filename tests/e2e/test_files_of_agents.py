"""Images that go with the prompt of an agent step, through the command."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from tests.contract.agents.model_server import ModelServer
from tests.support import Done, Project, script

PNG = b"\x89PNG\r\n\x1a\n" + b"dots" * 10
JPEG = b"\xff\xd8\xff\xe0" + b"dots"
WEBP = b"RIFF\x00\x00\x00\x00WEBPVP8 "


def look(files: str, more: str = "") -> str:
    return f"## Look\n\n```yaml step\nid: look\nfiles: {files}\n{more}```\n\nWhat do you see?\n"


def run(project: Project, server: ModelServer, *words: str, agent: str = "anthropic/m1") -> Done:
    env = {
        "ANTHROPIC_BASE_URL": server.url,
        "ANTHROPIC_API_KEY": "sk-x",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "sk-x",
        "OLLAMA_HOST": server.url,
    }
    return project.run("run", "flow", "--json", "--agent", agent, *words, **env)


def put(project: Project, path: str, content: bytes) -> None:
    (project.root / path).parent.mkdir(parents=True, exist_ok=True)
    (project.root / path).write_bytes(content)


def sent(server: ModelServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.requests[0]["body"]["messages"][0]["content"]
    return found


def test_images_reach_the_agent_with_the_prompt(project: Project) -> None:
    made = script("draw", "echo art/two.jpg")
    project.workflow(
        made + look('[art/one.png, "{{ steps.draw.output }}", "{{ inputs.more }}"]'),
        head="inputs:\n  more: {type: [string], default: [art/three.webp]}\n",
    )
    put(project, "art/one.png", PNG)
    put(project, "art/two.jpg", JPEG)
    put(project, "art/three.webp", WEBP)
    with ModelServer(["dots"]) as server:
        done = run(project, server)
        assert done.code == 0, done.out + done.err
        *images, text = sent(server)
    assert [one["source"]["media_type"] for one in images] == [
        "image/png",
        "image/jpeg",
        "image/webp",
    ]
    assert base64.b64decode(images[0]["source"]["data"]) == PNG
    assert text["text"] == "What do you see?"
    log = project.run("runs", "log", "last", "look").out
    assert f"art/one.png: image/png, 48 bytes, sha256 {hashlib.sha256(PNG).hexdigest()}" in log


@pytest.mark.parametrize("agent", ["openai/m1", "ollama/m1"])
def test_images_reach_other_agents_too(project: Project, agent: str) -> None:
    project.workflow(look("[one.png]"))
    put(project, "one.png", PNG)
    with ModelServer(["dots"]) as server:
        assert run(project, server, agent=agent).code == 0
        assert base64.b64encode(PNG).decode() in str(server.requests[0]["body"])


@pytest.mark.parametrize(
    ("files", "kind", "says"),
    [
        ("[gone.png]", "not_found", "`gone.png` does not exist"),
        ("[../out.png]", "permission", "leads out of the project"),
        ("[/etc/hostname]", "permission", "leads out of the project"),
        ("[.git/config]", "permission", "never touched"),
        ("[link.png]", "permission", "leads out of the project"),
        ("[text.png]", "input", "`text.png` is no image that agents take"),
        ("[big.png]", "limit", "`big.png` is larger than 5000000 bytes"),
        ('["{{ 5 }}"]', "input", "`files` takes paths, and got int"),
    ],
)
def test_what_cannot_go_with_a_prompt_fails_the_step_before_anything_is_sent(
    project: Project, files: str, kind: str, says: str
) -> None:
    project.workflow(look(files))
    put(project, "text.png", b"just text")
    put(project, "big.png", PNG + b"x" * 5_000_000)
    (project.root / "link.png").symlink_to("/etc/hostname")
    with ModelServer(["dots"]) as server:
        done = run(project, server)
        assert server.requests == []
    assert done.code == 1
    error = done.json["steps"]["look"]["error"]
    assert error["kind"] == kind
    assert says in error["message"]


def test_the_largest_file_is_a_setting(project: Project) -> None:
    project.workflow(look("[one.png]"))
    put(project, "one.png", PNG)
    with ModelServer(["dots"]) as server:
        done = run(project, server, "--set", "limits.file=20")
        assert done.json["steps"]["look"]["error"]["kind"] == "limit"
        assert "limits: {file" in str(done.json["steps"]["look"]["error"])
        assert run(project, server, "--set", "limits.file=10MB").code == 0


def test_more_files_than_a_prompt_takes_are_refused(project: Project) -> None:
    project.workflow(look(f"[{', '.join(['one.png'] * 21)}]"))
    put(project, "one.png", PNG)
    with ModelServer(["dots"]) as server:
        done = run(project, server)
        assert server.requests == []
    assert "21 files are more than the 20" in done.json["steps"]["look"]["error"]["message"]


def test_files_belong_to_agent_steps_only(project: Project) -> None:
    project.workflow(
        "## Run\n\n```yaml step\nid: a\nfiles: [one.png]\n```\n\n```bash step\ntrue\n```\n"
    )
    done = project.run("bundle", "validate", "flow")
    assert done.code == 2
    assert "`files`" in done.out + done.err


def test_images_count_in_what_is_reserved(project: Project) -> None:
    project.workflow(look("[one.png]"), head="budget: {tokens: 9000}\n")
    put(project, "one.png", PNG)
    with ModelServer(["dots"]) as server:
        assert run(project, server).json["error"]["kind"] == "budget"
        assert server.requests == []
    project.workflow(look("[one.png]"), head="budget: {tokens: 10000}\n")
    with ModelServer(["dots"]) as server:
        assert run(project, server).code == 0


def test_a_case_does_not_rest_on_images_of_the_project(project: Project) -> None:
    project.workflow(look("[one.png]"))
    put(project, "one.png", PNG)
    with ModelServer(["dots"]) as server:
        done = run(project, server, "--record", "seen")
    assert done.code == 0, done.out + done.err
    folder = project.root / "bundles/flow/tests/seen"
    assert "status: succeeded" in (folder / "expect.yaml").read_text()
    assert project.run("bundle", "test", "flow").code == 0
    (project.root / "one.png").unlink()
    assert project.run("bundle", "test", "flow").code == 0
