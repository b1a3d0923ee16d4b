"""A model on loopback for programs that are agents: it speaks what each of them speaks, and does as told.

Chat Completions, the Responses API and Gemini's `generateContent`, streaming or not. What it answers is
a list of turns; which of them comes next follows from how often the assistant has spoken in the
request, so that requests on the side (a title, a routing question) do no harm.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass
class Turn:
    """What the model says in a turn: text, calls of tools, an HTTP failure, or nothing at all."""

    text: str = ""
    calls: Sequence[tuple[str, Json]] = ()
    status: int = 200
    hang: bool = False
    usage: tuple[int, int, int] = (100, 40, 7)  # input, of these cached, output


@dataclass
class Asked:
    """A request, as far as all protocols say it."""

    path: str
    headers: Mapping[str, str]
    body: Json
    tools: list[str]
    spoken: int
    prompt: str = ""
    results: list[str] = field(default_factory=list)


class Brain:
    """The server. `turns` is what it says, or a function from what it is asked."""

    def __init__(self, turns: Sequence[Turn] | Callable[[Asked], Turn]) -> None:
        self.turns = turns
        self.asked: list[Asked] = []
        self.released = threading.Event()
        self.waiting = threading.Event()
        brain = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                brain.reply(self, 200, json.dumps({"object": "list", "data": []}))

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                if (self.headers.get("content-encoding") or "") not in {"", "identity"}:
                    brain.reply(self, 415, "{}")
                    return
                brain.answer(self, json.loads(raw or b"{}"))

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:
                """Clients that hang up are part of the tests."""

        self._http = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> Brain:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- requests and answers --

    def answer(self, http: BaseHTTPRequestHandler, body: Json) -> None:
        path = http.path.partition("?")[0]
        if path.endswith("/chat/completions"):
            asked, render = _chat_asked(body), _chat
        elif path.endswith("/responses"):
            asked, render = _responses_asked(body), _responses
        elif "enerateContent" in path:
            asked, render = _gemini_asked(body), _gemini
        else:
            self.reply(http, 404 if "countTokens" not in path else 200, '{"totalTokens": 10}')
            return
        asked.path, asked.body = http.path, body
        asked.headers = {name.lower(): value for name, value in http.headers.items()}
        self.asked.append(asked)
        turn = self._turn(asked)
        if turn.status != 200:
            text = json.dumps({"error": {"message": turn.text, "code": turn.status}})
            self.reply(http, turn.status, text)
            return
        if turn.hang:
            self.waiting.set()
            self.released.wait(60)
        stream = bool(body.get("stream")) or "stream" in path
        kind = "text/event-stream" if stream else "application/json"
        self.reply(http, 200, render(body, turn, stream), kind)

    def _turn(self, asked: Asked) -> Turn:
        if callable(self.turns):
            return self.turns(asked)
        return self.turns[min(asked.spoken, len(self.turns) - 1)]

    @staticmethod
    def reply(
        http: BaseHTTPRequestHandler, status: int, text: str, kind: str = "application/json"
    ) -> None:
        data = text.encode()
        http.send_response(status)
        http.send_header("content-type", kind)
        http.send_header("content-length", str(len(data)))
        http.end_headers()
        http.wfile.write(data)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def _sse(*events: Json, name: bool = False, done: bool = False) -> str:
    rows = [
        (f"event: {event['type']}\n" if name else "") + f"data: {json.dumps(event)}\n\n"
        for event in events
    ]
    return "".join(rows) + ("data: [DONE]\n\n" if done else "")


# -- Chat Completions --


def _chat_asked(body: Json) -> Asked:
    messages = body.get("messages", [])
    tools = [tool["function"]["name"] for tool in body.get("tools") or []]
    spoken = sum(one["role"] == "assistant" for one in messages)
    asked = Asked("", {}, body, tools, spoken)
    asked.prompt = "\n".join(_text(one["content"]) for one in messages if one["role"] == "user")
    asked.results = [_text(one["content"]) for one in messages if one["role"] == "tool"]
    return asked


def _chat(body: Json, turn: Turn, stream: bool) -> str:
    calls = [
        {
            "index": at,
            "id": f"call_{at}_{name}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for at, (name, arguments) in enumerate(turn.calls)
    ]
    given, cached, out = turn.usage
    usage = {
        "prompt_tokens": given,
        "completion_tokens": out,
        "total_tokens": given + out,
        "prompt_tokens_details": {"cached_tokens": cached},
    }
    stop = "tool_calls" if calls else "stop"
    head = {"id": "c1", "created": 1, "model": body.get("model", "m1")}
    if not stream:
        message = {
            "role": "assistant",
            "content": turn.text,
            **({"tool_calls": calls} if calls else {}),
        }
        choice = {"index": 0, "message": message, "finish_reason": stop}
        return json.dumps(
            {**head, "object": "chat.completion", "choices": [choice], "usage": usage}
        )
    head["object"] = "chat.completion.chunk"
    rows: list[Json] = [
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": piece}}]}
        for piece in _pieces(turn.text)
    ]
    if calls:
        rows.append(
            {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": calls}}]}
        )
    rows.append(
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": stop}], "usage": usage}
    )
    return _sse(*rows, done=True)


def _pieces(text: str) -> list[str]:
    return [text[at : at + 11] for at in range(0, len(text), 11)]


# -- Responses --


def _responses_asked(body: Json) -> Asked:
    items = body.get("input") or []
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    tools = [name for tool in body.get("tools") or [] for name in _named(tool)]
    spoken = sum(
        one.get("role") == "assistant" or "call" in one.get("type", "") for one in items
    ) - sum(one.get("type", "").endswith("_output") for one in items)
    asked = Asked("", {}, body, tools, spoken)
    asked.prompt = "\n".join(
        _text(one.get("content")) for one in items if one.get("role") == "user"
    )
    asked.results = [
        str(one.get("output")) for one in items if one.get("type", "").endswith("_output")
    ]
    return asked


def _named(tool: Json) -> list[str]:
    """The names of a tool; those of a namespace stand after it and a slash."""
    if tool.get("type") == "namespace":
        return [f"{tool['name']}/{one['name']}" for one in tool["tools"]]
    return [str(tool.get("name") or tool.get("type"))]


def _responses(body: Json, turn: Turn, stream: bool) -> str:
    items: list[Json] = []
    if turn.text:
        content = [{"type": "output_text", "text": turn.text, "annotations": []}]
        items.append(
            {
                "type": "message",
                "id": "m1",
                "role": "assistant",
                "status": "completed",
                "content": content,
            }
        )
    for at, (name, arguments) in enumerate(turn.calls):
        items.append(
            {
                "type": "function_call",
                "id": f"f{at}",
                "call_id": f"call_{at}",
                "name": name.rpartition("/")[2],
                **({"namespace": name.rpartition("/")[0]} if "/" in name else {}),
                "arguments": json.dumps(arguments),
                "status": "completed",
            }
        )
    given, cached, out = turn.usage
    usage = {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + out,
    }
    response = {"id": "r1", "object": "response", "created_at": 1, "model": body.get("model", "m1")}
    whole = {**response, "status": "completed", "output": items, "usage": usage}
    if not stream:
        return json.dumps(whole)
    rows: list[Json] = [
        {"type": "response.created", "response": {**response, "status": "in_progress"}}
    ]
    for at, item in enumerate(items):
        rows.append(
            {
                "type": "response.output_item.added",
                "output_index": at,
                "item": {**item, "content": []},
            }
        )
        if item["type"] == "message":
            rows += [
                {
                    "type": "response.output_text.delta",
                    "item_id": "m1",
                    "output_index": at,
                    "content_index": 0,
                    "delta": piece,
                }
                for piece in _pieces(turn.text)
            ]
        rows.append({"type": "response.output_item.done", "output_index": at, "item": item})
    rows.append({"type": "response.completed", "response": whole})
    return _sse(*rows, name=True)


# -- Gemini --


def _gemini_asked(body: Json) -> Asked:
    contents = body.get("contents") or []
    tools = [
        one["name"]
        for tool in body.get("tools") or []
        for one in tool.get("functionDeclarations") or []
    ]
    asked = Asked("", {}, body, tools, sum(one.get("role") == "model" for one in contents))
    parts = [part for one in contents if one.get("role") == "user" for part in one["parts"]]
    asked.prompt = "\n".join(part["text"] for part in parts if "text" in part)
    asked.results = [
        json.dumps(part["functionResponse"]["response"])
        for part in parts
        if "functionResponse" in part
    ]
    return asked


def _gemini(body: Json, turn: Turn, stream: bool) -> str:
    parts: list[Json] = [{"text": piece} for piece in _pieces(turn.text)]
    parts += [{"functionCall": {"name": name, "args": given}} for name, given in turn.calls]
    given, cached, out = turn.usage
    rows: list[Json] = [
        {"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}}]}
        for part in parts
    ]
    rows = rows or [{"candidates": [{"index": 0, "content": {"role": "model", "parts": []}}]}]
    rows[-1]["candidates"][0]["finishReason"] = "STOP"
    rows[-1]["usageMetadata"] = {
        "promptTokenCount": given,
        "cachedContentTokenCount": cached,
        "candidatesTokenCount": out,
        "totalTokenCount": given + out,
    }
    if stream:
        return _sse(*rows)
    whole = {"role": "model", "parts": parts}
    return json.dumps(
        {**rows[-1], "candidates": [{"index": 0, "content": whole, "finishReason": "STOP"}]}
    )
