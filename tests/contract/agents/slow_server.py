"""A model server in a process of its own, with a fixed service time: one answer after the other.

Prints its port. `GET /count` answers how many requests it has taken, and all else with 200.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def serve(seconds: float) -> None:
    at_work = threading.Lock()
    taken = 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def _say(self, text: str) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            self._say(str(taken))

        def do_POST(self) -> None:
            nonlocal taken
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            taken += 1
            with at_work:
                time.sleep(seconds)
            said = {"role": "assistant", "content": f"by {os.getpid()}"}
            end = {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
            lines = [{"model": body["model"], "message": said, "done": False}]
            lines.append({"model": body["model"], "message": {"content": ""}, **end})
            self._say("".join(json.dumps(line) + "\n" for line in lines))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever(0.02)


class SlowServer:
    """Such a process; killed at the end, or before."""

    def __init__(self, seconds: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(seconds)], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def count(self) -> int:
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as answer:
            return int(answer.read())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self) -> SlowServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        assert self.process.stdout is not None
        self.process.stdout.close()


if __name__ == "__main__":
    assert Path(__file__).exists()
    serve(float(sys.argv[1]))
