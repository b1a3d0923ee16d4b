"""Circuit breakers, through the command: whoever fails again and again is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.bundles.loopback import Answer, Call, Loopback, route
from tests.support import Project


class Site(Loopback):
    """Answers 503 until it is well."""

    status = 503

    @route("GET", "/x")
    def look(self, call: Call) -> Answer:
        return Answer(self.status, {"ok": self.status == 200})

    def refuse(self, call: Call) -> Answer | None:
        return None


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as found:
        yield found


def asks(project: Project, site: Site, settings: str = "") -> None:
    host = site.url.removeprefix("http://")
    project.workflow(
        f"## Ask\n\n```yaml step\nid: ask\nuses: http.get\nwith: {{url: '{site.url}/x'}}\n"
        f"{settings}```\n",
        head=f'allow: {{network: ["{host}"]}}\n',
    )


def configure(project: Project, text: str) -> None:
    project.write(".aiworkflow/config.yaml", text)


def error(project: Project) -> str:
    done = project.run("run", "flow", "--json")
    assert done.code == 1
    return str(done.json["error"]["message"])


def test_after_the_threshold_all_runs_leave_the_host_alone(project: Project, site: Site) -> None:
    configure(project, "breaker: {threshold: 2, cool_down: 1h}\n")
    asks(project, site)
    assert "503" in error(project)
    assert "503" in error(project)
    host = site.url.removeprefix("http://")
    refused = error(project)
    assert f"the circuit breaker of host:{host} is open since" in refused
    assert "503" in refused
    assert len(site.calls) == 2
    done = project.run("doctor", "--json")
    (check,) = [one for one in done.json["checks"] if one["check"] == f"breaker host:{host}"]
    assert check["status"] == "warning"
    assert "it is tried again in 36" in check["text"] or "in 35" in check["text"]
    assert f"--reset-breaker host:{host}" in check["fix"]


def test_a_person_closes_it(project: Project, site: Site) -> None:
    configure(project, "breaker: {threshold: 1, cool_down: 1h}\n")
    asks(project, site)
    error(project)
    assert "is open" in error(project)
    name = f"host:{site.url.removeprefix('http://')}"
    done = project.run("doctor", "--reset-breaker", name)
    assert f"the circuit breaker of {name} is closed" in done.out
    assert f"breaker {name}" not in done.out
    site.status = 200
    assert project.run("run", "flow").code == 0
    done = project.run("doctor", "--reset-breaker", name)
    assert done.code == 2
    assert f"there is no open circuit breaker `{name}`" in done.err
    assert "none is open" in done.err


def test_after_the_cool_down_one_attempt_tries_it(project: Project, site: Site) -> None:
    configure(project, "breaker: {threshold: 1, cool_down: 300ms}\n")
    asks(project, site)
    error(project)
    time.sleep(0.3)
    site.status = 200
    assert project.run("run", "flow").code == 0
    assert project.run("run", "flow").code == 0
    assert len(site.calls) == 3


def test_a_step_with_retry_waits_for_the_cool_down(project: Project, site: Site) -> None:
    configure(project, "breaker: {threshold: 1, cool_down: 1s}\n")
    asks(project, site, "retry: {times: 1, base: 1ms, jitter: 0}\n")
    driver = project.start("run", "flow")
    deadline = time.monotonic() + 20
    while not site.calls and time.monotonic() < deadline:
        time.sleep(0.01)
    site.status = 200
    driver.communicate(timeout=20)
    # the second attempt comes at once and is refused; nothing is left to try it again
    assert driver.returncode == 1
    assert len(site.calls) == 1
    time.sleep(1.0)
    asks(project, site, "retry: {times: 2, base: 1ms, jitter: 0}\n")
    assert project.run("run", "flow").code == 0


def test_an_answer_between_begins_the_count_again(project: Project, site: Site) -> None:
    configure(project, "breaker: {threshold: 2, cool_down: 1h}\n")
    asks(project, site)
    for status in (503, 404, 503, 200, 503):
        site.status = status
        project.run("run", "flow")
    site.status = 200
    assert project.run("run", "flow").code == 0
    assert len(site.calls) == 6


def test_a_window_bounds_what_counts(project: Project, site: Site) -> None:
    configure(project, "breaker: {threshold: 2, window: 1ms}\n")
    asks(project, site)
    assert all("503" in error(project) for _ in range(3))


def test_zero_switches_it_off(project: Project, site: Site) -> None:
    configure(project, "breaker: {threshold: 0}\n")
    asks(project, site)
    assert all("503" in error(project) for _ in range(6))
    assert len(site.calls) == 6


def test_it_opens_after_five_by_default(project: Project, site: Site) -> None:
    asks(project, site)
    assert all("503" in error(project) for _ in range(5))
    assert "is open since" in error(project)


def test_a_tool_that_times_out_is_left_alone_a_script_never(project: Project) -> None:
    configure(project, "breaker: {threshold: 1, cool_down: 1h}\n")
    slow = "import time\n\ntime.sleep(60)\n"
    tools = "slow: {effect: read, operations: {look: {}}}\n"
    project.write("bundles/flow/tools.yaml", tools)
    project.workflow(
        "## Look\n\n```yaml step\nid: look\nuses: slow.look\ntimeout: 300ms\n```\n", slow=slow
    )
    first, second = project.run("run", "flow", "--json"), project.run("run", "flow", "--json")
    assert first.json["error"]["kind"] == "timeout", first.out + first.err
    assert "the circuit breaker of tool:slow.look is open" in second.json["error"]["message"]
