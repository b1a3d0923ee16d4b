"""What a program begins as its MCP server: it carries bytes between that program and the run's process.

It is run by its path with nothing but the standard library (`python -I -S pipe.py FOLDER`), so that it
is there in milliseconds, whatever environment the program gives it. In the folder, which only its owner
may enter, are the socket, and the token that shows the other side who is there.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

SOCKET = "s"
SHOWN = "shown"
_PIECE = 65_536


def main(folder: str) -> int:
    """Carry bytes until one side has no more. The exit code."""
    os.chdir(folder)  # a path of a socket may have 100 bytes only
    with open(SHOWN, "rb") as file:  # noqa: PTH123
        token = file.read()
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(SOCKET)
        line.sendall(token + b"\n")
    except OSError as error:
        sys.stderr.write(f"the step that this was for is over: {error}\n")
        return 1
    threading.Thread(target=_send, args=(line,), daemon=True).start()
    try:
        while data := line.recv(_PIECE):
            os.write(1, data)
    except OSError:
        return 1
    return 0


def _send(line: socket.socket) -> None:
    try:
        while data := os.read(0, _PIECE):
            line.sendall(data)
        line.shutdown(socket.SHUT_WR)
    except OSError:
        pass


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))  # a thread that waits for input would hold it up
