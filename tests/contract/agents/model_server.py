"""Model servers on loopback: the three protocols, spoken truly, with behaviours to choose from.

`ModelServer(script)` answers request n with `script[n]` (the last one again and again). A behaviour is
a text to answer with, or one of `(401, …)`, `"cut"`, `"malformed"`, `"hang"`, `"error"`.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class ModelServer:
    def __init__(self, answers: Sequence[Any]) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []
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

        class Server(ThreadingHTTPServer):
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
            status, headers, text = answer
            self._plain(http, status, headers, text)
            return
        stream = {
            "/v1/messages": self._anthropic,
            "/chat/completions": self._openai,
            "/api/chat": self._ollama,
        }.get(http.path)
        if stream is None:
            self._plain(http, 404, {}, '{"error": {"message": "no such path"}}')
            return
        http.send_response(200)
        http.send_header("transfer-encoding", "chunked")
        http.end_headers()
        text = "".join(stream(body, answer))
        if answer == "malformed":
            text = "data: {not json\n\n" if http.path != "/api/chat" else "{not json\n"
        if answer == "cut":
            text = text[: len(text) // 2]
        data = text.encode()
        try:
            for at in range(0, len(data), 7):  # chunks cut anywhere
                piece = data[at : at + 7]
                http.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            http.wfile.flush()
            if answer == "cut":
                http.close_connection = True
                http.connection.shutdown(socket.SHUT_RDWR)
                return
            if answer == "hang":
                self.released.wait(30)
            http.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass

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

    @staticmethod
    def _pieces(answer: Any) -> list[str]:
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return [text[at : at + 5] for at in range(0, len(text), 5)]

    def _anthropic(self, body: dict[str, Any], answer: Any) -> list[str]:
        def event(kind: str, **data: Any) -> str:
            return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n"

        usage = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}
        parts = [
            event("message_start", message={"model": body["model"], "usage": usage}),
            event("ping"),
        ]
        if answer == "error":
            return [
                *parts,
                event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
            ]
        kind = "input_json_delta" if "tools" in body else "text_delta"
        field = "partial_json" if "tools" in body else "text"
        block = {"type": "tool_use", "id": "t", "name": "answer", "input": {}}
        parts.append(
            event(
                "content_block_start",
                index=0,
                content_block=block if "tools" in body else {"type": "text", "text": ""},
            )
        )
        parts += [
            event("content_block_delta", index=0, delta={"type": kind, field: piece})
            for piece in self._pieces(answer)
        ]
        stop = "tool_use" if "tools" in body else "end_turn"
        return [
            *parts,
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": stop}, usage={"output_tokens": 7}),
            *([] if answer == "hang" else [event("message_stop")]),
        ]

    def _openai(self, body: dict[str, Any], answer: Any) -> list[str]:
        def event(**data: Any) -> str:
            return f"data: {json.dumps({'id': 'c', 'model': body['model'], **data})}\n\n"

        if answer == "error":
            return [event(error={"message": "Overloaded", "type": "server_error"})]
        parts = [": keep-alive\n\n"]
        parts += [
            event(choices=[{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
            for piece in self._pieces(answer)
        ]
        usage = {
            "prompt_tokens": 15,
            "completion_tokens": 7,
            "prompt_tokens_details": {"cached_tokens": 5},
        }
        return [
            *parts,
            event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
            event(choices=[], usage=usage),
            *([] if answer == "hang" else ["data: [DONE]\n\n"]),
        ]

    def _ollama(self, body: dict[str, Any], answer: Any) -> list[str]:
        def line(**data: Any) -> str:
            return json.dumps({"model": body["model"], **data}) + "\n"

        if answer == "error":
            return [line(error="model runner has stopped")]
        parts = [
            line(message={"role": "assistant", "content": piece}, done=False)
            for piece in self._pieces(answer)
        ]
        end = line(
            message={"role": "assistant", "content": ""},
            done=True,
            done_reason="stop",
            prompt_eval_count=15,
            eval_count=7,
        )
        return [*parts, *([] if answer == "hang" else [end])]
