"""Tool steps run real tools, and built-ins."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import pytest

from aiworkflow.bundle.workflow import Allow, Field, Operation, Output, OutputForm, ToolCall
from aiworkflow.expr import Integer, ObjectOf, Property, Text
from aiworkflow.steps.contract import StepError
from aiworkflow.steps.tool import perform_tool

ECHO = "import json, os, sys\nprint(json.dumps(sys.argv[1:]))"
HOSTILE = ["$(touch hacked)", "`x`", "'; x", '"', "a\nb", "--help", "-", "*", "\\", "ä😀", ""]


def test_a_tool_gets_its_operation_and_arguments(bench):
    tools = {"github": bench.tool("github.py", ECHO)}
    found = bench.call("github.comment", {"body": "x y", "number": 3, "no": None}, tools=tools)
    assert found.output == ["comment", "--body=x y", "--number=3"]
    assert bench.call("github", {"a": [1]}, tools=tools).output == ["--a=[1]"]


@pytest.mark.parametrize("value", HOSTILE)
def test_arguments_arrive_as_they_are(bench, value):
    tools = {"t": bench.tool("t.py", ECHO)}
    assert bench.call("t.o", {"x": value}, tools=tools).output == ["o", f"--x={value}"]
    tools = {"t": bench.tool("t.sh", 'printf "%s\\0" "$@"')}
    found = bench.call("t.o", {"x": value}, tools=tools, output=Output(OutputForm.TEXT))
    assert found.output == f"o\0--x={value}\0"
    assert list(bench.project.iterdir()) == []


def test_any_executable_is_a_tool_also_without_the_executable_bit(bench):
    for executable in (True, False):
        tools = {"t": bench.tool("t", "#!/bin/sh\necho $1", executable=executable)}
        assert bench.call("t.go", tools=tools).output == "go"


def test_a_large_argument_comes_in_a_file(bench):
    code = "import sys\nname, path = sys.argv[1].split('=')\nprint(name, len(open(path).read()))"
    tools = {"t": bench.tool("t.py", code)}
    assert bench.call("t", {"body": "x" * 100_000}, tools=tools).output == "--body-file 100000"


def test_arguments_are_checked_before_anything_starts(bench):
    tools = {"t": bench.tool("t.py", "open('started', 'w')")}
    operation = Operation("o", inputs=(Field("n", Integer(), required=True),))
    with pytest.raises(StepError, match="`n` must be a whole number") as failed:
        bench.call("t.o", {"n": "x"}, tools=tools, operation=operation)
    assert (failed.value.kind, failed.value.in_doubt) == ("input", False)
    assert list(bench.project.iterdir()) == []


def test_secrets_of_the_operation_come_by_name(bench):
    bench.environ["TOKEN"] = "t-1234"
    tools = {"t": bench.tool("t.sh", 'echo "${TOKEN-none}"')}
    operation = Operation("o", secrets=("TOKEN",))
    allow = Allow(secrets=("TOKEN",))
    assert bench.call("t.o", tools=tools, operation=operation, allow=allow).output == "t-1234"
    assert bench.call("t.p", tools=tools, allow=allow).output == "none"
    with pytest.raises(StepError, match="does not allow"):
        bench.call("t.o", tools=tools, operation=operation)


def test_what_the_operation_declares_holds_where_the_step_says_nothing(bench):
    tools = {"t": bench.tool("t.sh", "echo '{\"n\": 1}'")}
    schema = Output(OutputForm.SCHEMA, ObjectOf({"n": Property(Text())}))
    operation = Operation("o", output=schema)
    with pytest.raises(StepError, match="`n`: must be text"):
        bench.call("t.o", tools=tools, operation=operation)
    text = Output(OutputForm.TEXT)
    assert bench.call("t.o", tools=tools, operation=operation, output=text).output == '{"n": 1}'


def test_the_time_of_the_operation_holds_where_the_step_says_nothing(bench):
    tools = {"t": bench.tool("t.sh", "sleep ${INPUT_S}")}
    operation = Operation("o", timeout_s=0.2)
    began = time.monotonic()
    with pytest.raises(StepError, match=r"tool `t` did not end within 0\.2 s") as failed:
        bench.call("t.o", tools=tools, operation=operation, inputs={"s": 30})
    assert time.monotonic() - began < 2
    assert (failed.value.kind, failed.value.in_doubt) == ("timeout", True)
    found = bench.call("t.o", tools=tools, operation=operation, inputs={"s": 0.4}, timeout_s=20)
    assert found.output == ""


def test_a_failing_tool_says_why(bench):
    tools = {"t": bench.tool("t.py", "import sys; sys.exit('no such issue')")}
    with pytest.raises(StepError, match="tool `t` ended with exit code 1: no such issue"):
        bench.call("t.o", tools=tools)


def test_built_ins_act_within_what_is_allowed(bench):
    (bench.project / "in.txt").write_text("hello")
    assert bench.call("file.read", {"path": "in.txt"}).output == "hello"
    with pytest.raises(StepError, match="may not be written") as failed:
        bench.call("file.write", {"path": "out.txt", "content": "x"})
    assert failed.value.kind == "permission"
    allow = Allow(paths=("out/*",))
    found = bench.call("file.write", {"path": "out/a", "content": {"b": 1}}, allow=allow)
    assert found.output == {"path": "out/a", "bytes": 8}
    assert json.loads((bench.project / "out" / "a").read_text()) == {"b": 1}
    found = bench.call("file.read", {"path": "out/a"}, output=Output(OutputForm.SCHEMA, Text()))
    assert found.output == '{"b": 1}'
    with pytest.raises(StepError, match=r"there is no `file\.delete`"):
        bench.call("file.delete", {"path": "in.txt"})


def test_a_built_in_that_takes_too_long(bench):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(StepError, match=r"`http\.post` did not end within 0\.2 s") as failed:
            bench.call(
                "http.post", {"url": url}, allow=Allow(network=("127.0.0.1",)), timeout_s=0.2
            )
    assert (failed.value.kind, failed.value.in_doubt) == ("timeout", True)


def test_a_tool_that_is_not_there(bench):
    with pytest.raises(StepError, match="there is no tool `nothing`") as failed:
        bench.call("nothing.o")
    assert failed.value.kind == "not_found"
    work = bench.work(ToolCall("tool", "", server="files"))
    with pytest.raises(StepError, match="`mcp:files/tool`"):
        asyncio.run(perform_tool(work, bench.ports()))


def test_cancelling_ends_the_tool(bench):
    tools = {"t": bench.tool("t.sh", "echo $$ > pid; sleep 60")}
    work = bench.work(ToolCall("t", ""), tools=tools)

    async def cancel() -> int:
        task = asyncio.ensure_future(perform_tool(work, bench.ports()))
        pid = bench.project / "pid"
        while not (pid.exists() and pid.read_text()):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return int(pid.read_text())

    pid = asyncio.run(cancel())
    if sys.platform == "linux":
        from pathlib import Path

        assert not Path(f"/proc/{pid}").exists()
