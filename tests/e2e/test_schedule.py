"""Schedules, by the command."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.support import Project, script

HEAD = """inputs: {when: string}
on:
  schedule:
    - {cron: "30 2 * * *", timezone: Europe/Berlin, inputs: {when: "{{ trigger.time }}"}}
    - {cron: "* * * * * *", overlap: allow, inputs: {when: "{{ trigger.time }} {{ trigger.missed }}"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.workflow(script("one", 'echo "$INPUT_WHEN"'), name="night", head=HEAD)
    return made


def runs(project: Project) -> list[dict[str, str]]:
    found: list[dict[str, str]] = project.run("runs", "list", "--limit", "100", "--json").json[
        "runs"
    ]
    return found


def until_there_are(project: Project, count: int) -> None:
    for _ in range(200):
        if len(runs(project)) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"{count} runs never came")


def test_schedules_are_looked_at(project: Project) -> None:
    listed = project.run("schedule", "list")
    assert listed.code == 0, listed.err
    assert "bundles/night/schedule    30 2 * * *   Europe/Berlin" in listed.out
    shown = project.run(
        "schedule",
        "next",
        "night/schedule",
        "--at",
        "2026-10-24T12:00+02:00",
        "--count",
        "2",
        "--json",
    )
    assert [one["time"] for one in shown.json["times"]] == [
        "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00",
    ]  # fmt: skip
    info = project.run("schedule", "info", "night/schedule.2", "--json").json
    assert (info["cron"], info["overlap"], info["run"], len(info["next"])) == (
        "* * * * * *",
        "allow",
        None,
        5,
    )
    wrong = project.run("schedule", "info", "nite")
    assert wrong.code == 2
    assert "there is no schedule `nite`" in wrong.err
    several = project.run("schedule", "pause", "night")
    assert several.code == 2
    assert "say which: bundles/night/schedule, bundles/night/schedule.2" in several.err
    assert "takes a whole number from 1" in project.run("schedule", "next", "--count", "0").err
    assert "`--at noon` is no moment" in project.run("schedule", "next", "--at", "noon").err
    for far in ("0001-01-01", "9999-12-31T23:59"):
        beyond = project.run("schedule", "next", "--at", far)
        assert (beyond.code, f"`--at {far}` cannot be reckoned with" in beyond.err) == (2, True)
        assert "take one of the years 1900 to 2999" in beyond.err


def test_a_run_is_started_at_once(project: Project) -> None:
    done = project.run("schedule", "run", "night/schedule.2", "--json")
    assert done.code == 0, done.err
    assert done.json["status"] == "succeeded"
    assert done.json["steps"]["one"]["output"].endswith("+00:00 false")
    handed_in = project.run("schedule", "run", "night/schedule.2", "--detach", "--json").json
    assert handed_in["run"] in [one["run"] for one in runs(project)]


def test_a_run_that_is_started_beside_a_server_goes_on_there(project: Project) -> None:
    head = 'on: {schedule: {cron: "@yearly", overlap: queue}}\n'
    project.workflow(script("one", "sleep 1"), name="slow", head=head)
    server = project.start("schedule", "start")
    try:
        done = [project.run("schedule", "run", "slow", "--json") for _ in range(4)]
        assert [one.code for one in done] == [0] * 4
        started = [one.json["run"] for one in done]
        for _ in range(100):
            over = {one["run"] for one in runs(project) if one["status"] == "succeeded"}
            if over >= set(started):
                break
            time.sleep(0.1)
        assert over >= set(started)
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)


def test_a_paused_schedule_comes_no_more(project: Project) -> None:
    assert project.run("schedule", "pause", "night/schedule.2").code == 0
    times = project.run("schedule", "next", "--json").json["times"]
    assert {one["schedule"] for one in times} == {"bundles/night/schedule"}
    listed = project.run("schedule", "list", "--json").json["schedules"]
    assert [(one["paused"], len(one["next"])) for one in listed] == [(False, 1), (True, 0)]
    assert "goes on" in project.run("schedule", "resume", "night/schedule.2").out
    assert project.run("schedule", "list", "--json").json["schedules"][1]["paused"] is False


def test_two_servers_start_each_run_once_and_one_that_is_killed_loses_none(
    project: Project,
) -> None:
    one, two = (
        project.start("schedule", "start"),
        project.start("schedule", "start", "--log", "json"),
    )
    try:
        until_there_are(project, 3)
        os.kill(one.pid, signal.SIGKILL)
        one.communicate()
        until_there_are(project, len(runs(project)) + 3)
    finally:
        two.send_signal(signal.SIGINT)
        _, log = two.communicate(timeout=60)
    assert two.returncode == 0, log
    assert '"message": "run started"' in log
    outputs = [
        project.run("runs", "show", run["run"], "--json").json["steps"]["one"]["output"]
        for run in runs(project)
    ]
    times = sorted(one.split()[0] for one in outputs)
    assert len(times) == len(set(times)) >= 6
    seconds = [int(one[17:19]) + 60 * int(one[14:16]) for one in times]
    assert [
        (later - sooner) % 3600 for sooner, later in zip(seconds, seconds[1:], strict=False)
    ] == [1] * (len(times) - 1)


def test_a_time_that_comes_while_the_run_before_is_going_is_skipped(project: Project) -> None:
    head = 'on: {schedule: {cron: "* * * * * *", overlap: skip}}\n'
    project.workflow("## W\n\n```yaml step\nid: w\nwait: 1h\n```\n", name="night", head=head)
    server = project.start("schedule", "start")
    assert server.stderr is not None
    try:
        skipped = next((line for line in server.stderr if "no run is started" in line), None)
    finally:
        server.kill()
        server.communicate()
    assert skipped is not None
    assert [one["bundle"] for one in runs(project)] == ["bundles/night"]


def test_a_broken_bundle_is_left_out_and_said(project: Project) -> None:
    project.workflow(script("one", "true"), name="bad", head="on: {schedule: '0 0 31 2 *'}\n")
    listed = project.run("schedule", "list")
    assert listed.code == 0
    assert "warning: bundles/bad is left out: AW522" in listed.err
    assert "there is no 31. in Feb" in listed.err
