"""The log of a server: one line for each event on standard error, as text or as JSON."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Final

from aiworkflow.errors import UsageError
from aiworkflow.steady import steady, steady_json

_PLAIN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """An object on a line: time, level, where, what, and the fields that go with it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, object] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return steady_json(json.dumps(line, ensure_ascii=False, default=str))


class TextLines(logging.Formatter):
    """The same for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; a traceback follows it where there is one."""
        fields = " ".join(f"{name}={_shown(value)}" for name, value in _fields(record).items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        line = f"{_moment(record)} {level}{_one_line(record.getMessage())}"
        line += f"  {fields}" if fields else ""
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return steady(line)


def check_form(form: str) -> None:
    """Whether there is such a form of a log. Raises UsageError."""
    if form not in {"text", "json"}:
        raise UsageError(f"`--log {form}` is no form of a log", hint="use text or json")


def set_up(form: str, *, verbose: bool, quiet: bool) -> None:
    """Send the log of this process to standard error.

    Args:
        form: `text` or `json`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    ours = logging.getLogger("aiworkflow")
    ours.handlers[:] = [handler]
    ours.propagate = False
    ours.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    logging.getLogger().handlers[:] = [handler]  # what libraries warn of is no other kind of line
    # what it warns of is what strangers send that is no HTTP: they must not fill the disk
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in record.__dict__.items() if name not in _PLAIN}


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if text.isprintable() and text and not set(text) & set(' "='):
        return text
    return steady_json(json.dumps(text, ensure_ascii=False))


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())
