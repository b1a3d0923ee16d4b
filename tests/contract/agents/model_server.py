"""Model servers on loopback: the four protocols, spoken truly, with behaviours to choose from.

`ModelServer(script)` answers request n with `script[n]` (the last one again and again). A behaviour is
a text or an object to answer with, a `Reply` (with tool calls, or a usage report of its own),
`(401, headers, text)`, or one of `"cut"`, `"malformed"`, `"nonsense"`, `"hang"`, `"flood"`, `"error"`.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ODD = ("cut", "malformed", "nonsense", "hang", "flood", "error")
FLOOD = 100_000_000


@dataclass
class Reply:
    """An answer in full.

    Attributes:
        calls: tools by their names on the wire, with their arguments (text: as it stands).
        usage: the usage report as the protocol has it; None for the ordinary one.
        stop: the reason to stop, where it is not the ordinary one.
        thoughts, signature: what DeepSeek and Gemini want back with the calls (chat completions only).
    """

    value: Any = ""
    calls: Sequence[tuple[str, Any]] = ()
    usage: Any = None
    stop: str = ""
    thoughts: str = ""
    signature: Any = None
    ids: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return self.value if isinstance(self.value, str) else json.dumps(self.value)

    def pieces(self) -> list[str]:
        return [self.text[at : at + 5] for at in range(0, len(self.text), 5)]


class ModelServer:
    def __init__(self, answers: Sequence[Any], models: Sequence[str] = ("m1", "m2")) -> None:
        self.answers = list(answers)
        self.models = list(models)
        self.requests: list[dict[str, Any]] = []
        self.flooded = 0
        self.hung_up = threading.Event()
        """Set when a client goes while the server still has something to say."""
        self.holding = threading.Event()
        """Set when the server has gone silent in the middle of an answer."""
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                number = len(server.requests)
                server.requests.append(
                    {"path": self.path, "headers": dict(self.headers.items()), "body": body}
                )
                answer = server.answers[min(number, len(server.answers) - 1)]
                server.answer(self, body, answer)

            def do_GET(self) -> None:
                first = server.answers[0]
                if isinstance(first, tuple):
                    server._plain(self, *first)
                    return
                listed = [{"id": name, "name": name} for name in server.models]
                server._plain(self, 200, {}, json.dumps({"data": listed, "models": listed}))

        class Server(ThreadingHTTPServer):
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                """Clients that hang up are part of the tests."""

        self._http = Server(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.released = threading.Event()
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> ModelServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- answers --

    def answer(self, http: BaseHTTPRequestHandler, body: dict[str, Any], answer: Any) -> None:
        if isinstance(answer, tuple):
            self._plain(http, *answer)
            return
        stream = {
            "/v1/messages": self._anthropic,
            "/chat/completions": self._openai,
            "/responses": self._responses,
            "/api/chat": self._ollama,
        }.get(http.path)
        if stream is None:
            self._plain(http, 404, {}, '{"error": {"message": "no such path"}}')
            return
        http.send_response(200)
        http.send_header("transfer-encoding", "chunked")
        http.end_headers()
        odd = answer if isinstance(answer, str) and answer in ODD else ""
        reply = answer if isinstance(answer, Reply) else Reply("x" if odd == "flood" else answer)
        parts = stream(body, reply, odd)
        lines = http.path == "/api/chat"
        try:
            if odd == "flood":
                self._flood(http, parts)
                return
            text = "".join(parts)
            if odd == "malformed":
                text = "{not json\n" if lines else "data: {not json\n\n"
            if odd == "nonsense":
                text = '{"message": [1], "done": {}}\n' if lines else self._nonsense(http.path)
            if odd == "cut":
                text = text[: len(text) // 2]
            data = text.encode()
            for at in range(0, len(data), 7):  # chunks cut anywhere
                self._chunk(http, data[at : at + 7])
            http.wfile.flush()
            if odd == "cut":
                http.close_connection = True
                http.connection.shutdown(socket.SHUT_RDWR)
                return
            if odd == "hang":
                self._hold(http)
            http.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.hung_up.set()

    def _hold(self, http: BaseHTTPRequestHandler) -> None:
        """Say nothing more until the client goes or the test ends."""
        self.holding.set()
        http.connection.settimeout(0.02)
        while not self.released.is_set():
            try:
                if not http.connection.recv(1):
                    self.hung_up.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                self.hung_up.set()
                return

    def _flood(self, http: BaseHTTPRequestHandler, parts: list[str]) -> None:
        """The piece that says `x`, with more of it, until there are 100 MB."""
        at = next(number for number, part in enumerate(parts) if '"x"' in part)
        piece = parts[at].replace('"x"', '"' + "x" * 65_000 + '"').encode()
        for part in parts[:at]:
            self._chunk(http, part.encode())
        while self.flooded < FLOOD:
            self._chunk(http, piece)
            self.flooded += len(piece)

    @staticmethod
    def _nonsense(path: str) -> str:
        events: dict[str, list[Any]] = {
            "/v1/messages": [
                {"type": "message_start", "message": "no"},
                {"type": "content_block_delta", "delta": 7},
            ],
            "/chat/completions": [{"choices": [{"delta": {"content": {"a": 1}}}]}, {"choices": 3}],
            "/responses": [{"type": "response.completed", "response": 5}],
        }
        return "".join(f"data: {json.dumps(one)}\n\n" for one in events[path])

    @staticmethod
    def _chunk(http: BaseHTTPRequestHandler, piece: bytes) -> None:
        http.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))

    @staticmethod
    def _plain(
        http: BaseHTTPRequestHandler, status: int, headers: dict[str, str], text: str
    ) -> None:
        http.send_response(status)
        for name, value in headers.items():
            http.send_header(name, value)
        http.send_header("content-length", str(len(text.encode())))
        http.end_headers()
        http.wfile.write(text.encode())

    # -- protocols --

    def _anthropic(self, body: dict[str, Any], reply: Reply, odd: str) -> list[str]:
        def event(kind: str, **data: Any) -> str:
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"

        usage = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}
        usage = usage if reply.usage is None else reply.usage
        parts = [
            event(
                "message_start",
                message={
                    "id": f"msg_{len(self.requests)}",
                    "type": "message",
                    "role": "assistant",
                    "model": body["model"],
                    "content": [],
                    "stop_reason": None,
                    "stop_sequence": None,
                    "usage": usage,
                },
            ),
            event("ping"),
        ]
        if odd == "error":
            return [
                *parts,
                event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
            ]
        names = {tool["name"] for tool in body.get("tools", ())}
        is_answer = "answer" in names and not reply.calls
        number = 0
        if reply.text and not is_answer:
            block = {"type": "text", "text": ""}
            parts += self._block(
                event, number, block, [{"type": "text_delta", "text": p} for p in reply.pieces()]
            )
            number += 1
        calls = [("answer", reply.text)] if is_answer else reply.calls
        for name, arguments in calls:
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            call = f"toolu_{len(self.requests)}_{number}"
            reply.ids.append(call)
            block = {"type": "tool_use", "id": call, "name": name, "input": {}}
            pieces = [text[at : at + 5] for at in range(0, len(text), 5)]
            parts += self._block(
                event,
                number,
                block,
                [{"type": "input_json_delta", "partial_json": piece} for piece in pieces],
            )
            number += 1
        stop = reply.stop or ("tool_use" if calls else "end_turn")
        ended = {"input_tokens": None, "output_tokens": 7} if reply.usage is None else reply.usage
        return [
            *parts,
            event("message_delta", delta={"stop_reason": stop}, usage=ended),
            *([] if odd == "hang" else [event("message_stop")]),
        ]

    @staticmethod
    def _block(event: Any, number: int, block: Any, deltas: list[Any]) -> Iterator[str]:
        yield event("content_block_start", index=number, content_block=block)
        for delta in deltas:
            yield event("content_block_delta", index=number, delta=delta)
        yield event("content_block_stop", index=number)

    def _openai(self, body: dict[str, Any], reply: Reply, odd: str) -> list[str]:
        def event(**data: Any) -> str:
            return f"data: {json.dumps({'id': 'c', 'model': body['model'], **data})}\n\n"

        def delta(**data: Any) -> str:
            return event(choices=[{"index": 0, "delta": data, "finish_reason": None}])

        if odd == "error":
            return [event(error={"message": "Overloaded", "type": "server_error"})]
        parts = [": keep-alive\n\n", *(delta(content=piece) for piece in reply.pieces())]
        if reply.thoughts:
            parts.append(delta(reasoning_content=reply.thoughts))
        for number, (name, arguments) in enumerate(reply.calls):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            call = f"call_{len(self.requests)}_{number}"
            reply.ids.append(call)
            head: dict[str, Any] = {"index": number, "id": call, "type": "function"}
            if reply.signature is not None:
                head["extra_content"] = reply.signature
            parts.append(delta(tool_calls=[{**head, "function": {"name": name, "arguments": ""}}]))
            parts += [
                delta(tool_calls=[{"index": number, "function": {"arguments": text[at : at + 5]}}])
                for at in range(0, len(text), 5)
            ]
        usage = {
            "total_tokens": 22,
            "prompt_tokens": 15,
            "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 5},
        }
        stop = reply.stop or ("tool_calls" if reply.calls else "stop")
        return [
            *parts,
            event(choices=[{"index": 0, "delta": {}, "finish_reason": stop}]),
            event(choices=[], usage=usage if reply.usage is None else reply.usage),
            *([] if odd == "hang" else ["data: [DONE]\n\n"]),
        ]

    def _responses(self, body: dict[str, Any], reply: Reply, odd: str) -> list[str]:
        def event(kind: str, **data: Any) -> str:
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"

        parts = [event("response.created", response={"id": "r", "model": body["model"]})]
        if odd == "error":
            failed = {"error": {"code": "server_error", "message": "Overloaded"}}
            return [*parts, event("response.failed", response=failed)]
        first = 0
        if reply.text:
            item = {"type": "message", "role": "assistant", "content": []}
            parts.append(event("response.output_item.added", output_index=0, item=item))
            parts += [
                event("response.output_text.delta", output_index=0, delta=piece)
                for piece in reply.pieces()
            ]
            first = 1
        for number, (name, arguments) in enumerate(reply.calls, first):
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            call = f"call_{len(self.requests)}_{number}"
            reply.ids.append(call)
            item = {"type": "function_call", "call_id": call, "name": name, "arguments": ""}
            parts.append(event("response.output_item.added", output_index=number, item=item))
            parts += [
                event(
                    "response.function_call_arguments.delta",
                    output_index=number,
                    delta=text[at : at + 5],
                )
                for at in range(0, len(text), 5)
            ]
            whole = {**item, "arguments": text}
            parts.append(event("response.output_item.done", output_index=number, item=whole))
        usage = {
            "input_tokens": 15,
            "output_tokens": 7,
            "input_tokens_details": {"cached_tokens": 5},
        }
        ended: dict[str, Any] = {
            "model": body["model"],
            "usage": usage if reply.usage is None else reply.usage,
        }
        kind = "response.completed"
        if reply.stop:
            kind, ended["incomplete_details"] = "response.incomplete", {"reason": reply.stop}
        return [*parts, *([] if odd == "hang" else [event(kind, response=ended)])]

    def _ollama(self, body: dict[str, Any], reply: Reply, odd: str) -> list[str]:
        def line(**data: Any) -> str:
            return json.dumps({"model": body["model"], **data}) + "\n"

        if odd == "error":
            return [line(error="model runner has stopped")]
        parts = [
            line(message={"role": "assistant", "content": piece}, done=False)
            for piece in reply.pieces()
        ]
        if reply.calls:
            calls = [{"function": {"name": n, "arguments": a}} for n, a in reply.calls]
            parts.append(line(message={"role": "assistant", "content": "", "tool_calls": calls}))
        usage = {"prompt_eval_count": 15, "eval_count": 7}
        end = line(
            message={"role": "assistant", "content": ""},
            done=True,
            done_reason=reply.stop or "stop",
            **(usage if reply.usage is None else reply.usage),
        )
        return [*parts, *([] if odd == "hang" else [end])]
