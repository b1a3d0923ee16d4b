"""Errors as problem+json (RFC 9457): the same three parts as on the command line, and a status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from aiworkflow.errors import (
    EXIT_FAILED,
    EXIT_REFUSED,
    EXIT_USAGE,
    AIWorkflowError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.engine.carried import Json

PROBLEM_TYPE: Final = "application/problem+json"
_KIND: Final = "urn:aiworkflow:problem:"

# code → status; what is not here goes by the exit status that it has on the command line
STATUS: Final[Mapping[str, int]] = {
    "invalid-request": 400,
    "invalid-json": 400,
    "invalid-message": 400,
    "invalid-moment": 400,
    "invalid-queue": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "foreign-origin": 403,
    "unknown-run": 404,
    "unknown-bundle": 404,
    "unknown-sweep": 404,
    "not-found": 404,
    "method-not-allowed": 405,
    "fenced": 409,
    "held": 409,
    "closed": 409,
    "conflict": 409,
    "overlap": 409,
    "not-now": 409,
    "too-large": 413,
    "not-json": 415,
    "wrong-host": 421,
    "invalid-bundle": 422,
    "invalid-inputs": 422,
    "invalid-repos": 422,
    "not-built-yet": 422,
    "other-request": 422,
    "too-many": 429,
    "bug": 500,
    "unavailable": 503,
    "journal-unavailable": 503,
    "disk": 503,
    "draining": 503,
}
_EXITS: Final[Mapping[str, int]] = {
    "unauthorized": EXIT_REFUSED,
    "forbidden": EXIT_REFUSED,
    "foreign-origin": EXIT_REFUSED,
    "too-many": EXIT_FAILED,
    "draining": EXIT_FAILED,
}
_TITLES: Final[Mapping[int, str]] = {
    400: "The request is not what it must be",
    401: "A token is needed",
    403: "Refused",
    404: "Not found",
    405: "Not that way",
    409: "Not as things stand",
    413: "Too large",
    415: "Not JSON",
    421: "Another server is meant",
    422: "It cannot be used",
    429: "Too many requests",
    500: "It did not work",
    503: "Not now",
}


class RequestRefused(UsageError):
    """A request that comes to nothing.

    Attributes:
        retry_s: seconds after which it may be tried again; None where that would not help.
        problems: of a body: one line for each mistake.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        retry_s: float | None = None,
        problems: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code  # type: ignore[misc]  # one class for what HTTP alone can meet
        self.exit_code = _EXITS.get(code, EXIT_USAGE)  # type: ignore[misc]
        self.retry_s = retry_s
        self.problems = problems


def status_of(error: AIWorkflowError, usage: int = 400) -> int:
    """The status that an error stands for.

    Args:
        usage: what wrong usage means on this route.
    """
    if error.code in STATUS:
        return STATUS[error.code]
    if error.exit_code == EXIT_USAGE:
        return usage
    return 403 if error.exit_code == EXIT_REFUSED else 500


def problem_of(error: AIWorkflowError, status: int, root: str = "") -> dict[str, Json]:
    """An error as a problem.

    Args:
        root: of the project: what is below it is named from there.
    """
    found: dict[str, Json] = {
        "type": _KIND + error.code,
        "title": _TITLES.get(status, "It did not work"),
        "status": status,
        "code": error.code,
        "detail": _hidden(error.message, root),
        "hint": _hidden(error.hint, root) if error.hint is not None else None,
        "exit_code": error.exit_code,
    }
    if error.place is not None:
        found["place"] = _below(str(error.place), root)
    problems = getattr(error, "problems", ())
    if problems:
        found["problems"] = list(problems)
    diagnostics = getattr(error, "diagnostics", ())
    if diagnostics:
        from aiworkflow.diagnostics.render import to_json

        found["diagnostics"] = below(root, [dict(one) for one in to_json(diagnostics)])
    return found


def below(root: str, diagnostics: Json) -> list[Json]:
    """Findings, whose files are named from the project's root: where that is concerns nobody."""
    assert isinstance(diagnostics, list)
    return [
        {**one, "file": _below(str(one["file"]), root)} if isinstance(one, dict) else one
        for one in diagnostics
    ]


def _hidden(text: str, root: str) -> str:
    """A text in which the project's folder has no name."""
    folder = root.rstrip("/")
    return text.replace(f"{folder}/", "").replace(folder, "the project") if folder else text


def _below(path: str, root: str) -> str:
    return path.removeprefix(f"{root.rstrip('/')}/") if root else path


def unknown_problem(id_: str) -> dict[str, Json]:
    """An error that nobody expected: it says nothing but where it stands in the log."""
    return {
        "type": f"{_KIND}bug",
        "title": _TITLES[500],
        "status": 500,
        "code": "bug",
        "detail": "the server itself has failed",
        "hint": f"who runs it finds the reason in its log, under {id_}",
        "exit_code": 1,
        "id": id_,
    }


def problem_bytes(problem: Mapping[str, Json]) -> bytes:
    """A problem as it is sent."""
    return json.dumps(problem, ensure_ascii=False).encode("utf-8", "surrogatepass")
