"""A server of the older protocol, by hand; what it does wrong is said by its arguments.

Words: `garbage` (lines that are no messages), `schema` (a schema that is none), `shape` (answers that do
not fit its own schema), `nonsense` (answers that are none), `chatter` (a flood of notifications),
`reference` (one that leads elsewhere), `costly` (one whose check takes for ever), `steer` (text that
would steer a terminal), `describe=TEXT`, `mute` (never answers a call), `secretive` (never says which
tools it has).
"""

from __future__ import annotations

import json
import sys

WORDS = sys.argv[1:]
DESCRIBED = next((one[9:] for one in WORDS if one.startswith("describe=")), "Say it again.")


def send(**message: object) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def tools() -> list[dict[str, object]]:
    takes: dict[str, object] = {"type": "object", "properties": {"text": {"type": "string"}}}
    if "schema" in WORDS:
        takes = {"type": "object", "properties": {"text": {"type": 7}}}
    if "reference" in WORDS:
        takes = {"type": "object", "properties": {"text": {"$ref": "http://127.0.0.1:9/x"}}}
    if "costly" in WORDS:
        takes = {"type": "object", "properties": {"text": {"pattern": "^(hi|h|i)+$"}}}
    echo: dict[str, object] = {"name": "echo", "description": DESCRIBED, "inputSchema": takes}
    if "shape" in WORDS:
        echo["outputSchema"] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    street = {"type": "object", "properties": {"street": {"type": "string"}}}
    return [
        echo,
        {"name": "ask", "description": "Asks.", "inputSchema": {"type": "object"}, "_": street},
    ]


def answer(id_: object, text: str, *, failed: bool = False, **more: object) -> None:
    content = [{"type": "text", "text": text}]
    send(id=id_, result={"content": content, "isError": failed, **more})


def call(id_: object, params: dict[str, object]) -> None:
    if "mute" in WORDS:
        return
    if "garbage" in WORDS:
        sys.stdout.write('Listening…\n{"half": \n[]\n\n"text"\n')
    if "chatter" in WORDS:
        for _ in range(20_000):
            send(method="notifications/message", params={"level": "info", "data": "x" * 200})
    if "steer" in WORDS:
        answer(id_, "red \x1b[31m\nand more", failed=True)
        return
    if "nonsense" in WORDS:
        send(id=id_, result={"content": "what?"})
    elif params["name"] == "ask":
        schema = {"type": "object", "properties": {"street": {"type": "string"}}}
        send(
            id="q",
            method="elicitation/create",
            params={"message": "Which street?", "requestedSchema": schema},
        )
        said = json.loads(sys.stdin.readline())["result"]["action"]
        answer(id_, f"the person said {said}", failed=said != "accept")
    elif "shape" in WORDS:
        answer(id_, "{}", structuredContent={"n": "one"})
    else:
        meta = params.get("_meta") or {}
        answer(
            id_, json.dumps({"given": params.get("arguments"), "key": meta.get("aiworkflow/key")})
        )


for line in sys.stdin:
    message = json.loads(line)
    method, id_ = message["method"], message.get("id")
    if method == "initialize":
        version = message["params"]["protocolVersion"]
        about = {"name": "old", "version": "1"}
        send(
            id=id_,
            result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about},
        )
    elif method == "tools/list":
        if "secretive" in WORDS:
            continue
        send(id=id_, result={"tools": tools()})
    elif method == "tools/call":
        call(id_, message["params"])
    elif id_ is not None:
        send(id=id_, error={"code": -32601, "message": "no such method"})
