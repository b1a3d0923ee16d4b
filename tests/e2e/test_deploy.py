"""The files for deployment are valid, and what they call is there."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

import aiworkflow
from tests.postgres import a_schema, execute
from tests.support import Project, script

DEPLOY = Path(__file__).parents[2] / "templates" / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
OLDEST = "1.30.0"
_TEXT = {"type": "string", "minLength": 1}
_NAMED = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": _TEXT, "kind": _TEXT, "apiVersion": _TEXT},
}
# Of KEDA's custom resource, what is used here; anything else is refused, as the API server would.
SCALED_OBJECT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "keda.sh/v1alpha1"},
        "kind": {"const": "ScaledObject"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["scaleTargetRef", "triggers"],
            "properties": {
                "scaleTargetRef": {**_NAMED, "additionalProperties": False},
                "pollingInterval": {"type": "integer", "minimum": 1},
                "cooldownPeriod": {"type": "integer", "minimum": 0},
                "minReplicaCount": {"type": "integer", "minimum": 0},
                "maxReplicaCount": {"type": "integer", "minimum": 1},
                "triggers": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["type", "metadata"],
                        "properties": {
                            "type": {"const": "postgresql"},
                            "metadata": {
                                "type": "object",
                                "additionalProperties": _TEXT,  # numbers are texts there
                                "required": ["query", "targetQueryValue", "passwordFromEnv"],
                            },
                        },
                    },
                },
            },
        },
    },
}


def documents(path: Path) -> list[dict]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


ALL = [one for path in MANIFESTS for one in documents(path)]


def pods() -> list[dict]:
    return [one["spec"]["template"]["spec"] for one in ALL if one["kind"] in {"Deployment", "Job"}]


@pytest.mark.parametrize("version", [OLDEST, "1.34.0"])
def test_the_manifests_are_valid(version: str) -> None:
    import kubernetes_validate

    for one in ALL:
        if one["apiVersion"].startswith("keda.sh/"):
            jsonschema.validate(one, SCALED_OBJECT)
        else:
            kubernetes_validate.validate(one, version, strict=True)


def test_pods_may_do_no_more_than_they_must() -> None:
    assert len(pods()) == 3
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_what_scales_points_at_what_there_is() -> None:
    names = {(one["kind"], one["metadata"].get("name")) for one in ALL}
    for one in ALL:
        spec = one.get("spec", {})
        if one["kind"] == "ScaledObject":
            target = spec["scaleTargetRef"]
            assert (target["kind"], target["name"]) in names
        if one["kind"] in {"Service", "PodDisruptionBudget"}:
            selector = spec["selector"].get("matchLabels", spec["selector"])
            found = [
                other
                for other in ALL
                if other["kind"] == "Deployment"
                and other["spec"]["template"]["metadata"]["labels"] == selector
            ]
            assert len(found) == 1
    for pod in pods():
        for source in pod["containers"][0]["envFrom"]:
            if "configMapRef" in source:
                assert ("ConfigMap", source["configMapRef"]["name"]) in names
            else:
                assert ("Secret", source["secretRef"]["name"]) in names


def commands() -> list[list[str]]:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    found = [one["command"] for one in compose["services"].values() if "command" in one]
    found += [pod["containers"][0]["args"] for pod in pods()]
    docker = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert docker is not None
    unit = re.search(r"^ExecStart=\S+ (.*)$", (DEPLOY / "aiworkflow.service").read_text(), re.M)
    assert unit is not None
    return [*found, yaml.safe_load(docker[1]), unit[1].split()]


def test_the_commands_are_those_of_the_product(project: Project) -> None:
    assert len(commands()) == 7
    for words in commands():
        done = project.run(*words, "--help")  # which is an error where an option is not known
        assert done.code == 0, done.err


def test_variables_are_settings() -> None:
    (config,) = [one for one in ALL if one["kind"] == "ConfigMap"]
    from aiworkflow.settings.layers import environment

    assert environment(config["data"])[1] == []


def test_the_scaler_asks_how_many_runs_there_are_to_drive(project: Project) -> None:
    (scaled,) = [one for one in ALL if one["kind"] == "ScaledObject"]
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    with a_schema() as url:
        project.write(".aiworkflow/config.yaml", f"journal: {url}\n")
        project.workflow(script("a", "echo 1", "approve: true\n"))

        async def submit() -> None:
            async with aiworkflow.connect(project.root, environ=project.env) as client:
                for _ in range(3):
                    await client.submit("flow")

        def depth() -> int:
            here = query.replace(
                "aiworkflow.registers", f"{url.rpartition('schema=')[2]}.registers"
            )
            return execute(here)[0][0]

        asyncio.run(submit())
        assert depth() == 3
        for _ in range(3):
            assert project.run("worker", "--once").code == 3
        assert depth() == 0
        assert project.run("approvals", "approve", "last", "--detach").code == 0
        assert depth() == 1


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    text = (DEPLOY / "aiworkflow.service").read_text()
    unit = tmp_path / "aiworkflow.service"
    unit.write_text(text.replace("/opt/aiworkflow/bin/aiworkflow", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "aiworkflow.service" not in done.stderr, done.stderr


def test_the_probes_ask_what_the_server_answers() -> None:
    from aiworkflow.http.table import HEALTH

    asked = {
        probe["httpGet"]["path"]
        for pod in pods()
        for name in ("startupProbe", "livenessProbe", "readinessProbe")
        if "httpGet" in (probe := pod["containers"][0].get(name, {}))
    }
    assert asked == {one.path for one in HEALTH}
