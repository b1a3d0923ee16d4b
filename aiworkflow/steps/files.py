"""Files that go with a prompt: images within the project, known by their content, not their names."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from aiworkflow.agents import Attachment
from aiworkflow.plan.bound import MOST_FILES
from aiworkflow.steps.contract import StepError
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.paths import inside, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.steps.contract import Ports, Work

_LIMIT: Final = 5_000_000
_MOST_BYTES: Final = 20_000_000


def attachments(work: Work, ports: Ports) -> tuple[Attachment, ...]:
    """The files of an agent step, read now; each is noted in the attempt's log with its digest.

    Raises:
        StepError: `input not_found permission limit io`: there is no such file, it may not be read,
            is too large, or is no image.
    """
    given = work.arguments.get("files")
    if not given:
        return ()
    try:
        limit = ports.limit("file")
    except KeyError:  # a run from before there was this limit
        limit = _LIMIT
    paths = list(_paths(given))
    if len(paths) > MOST_FILES:
        raise StepError(
            "limit", f"{len(paths)} files are more than the {MOST_FILES} a prompt may have"
        )
    found = tuple(_read(work, path, limit) for path in paths)
    if sum(len(one.content) for one in found) > _MOST_BYTES:
        raise StepError("limit", f"the files of the prompt are larger than {_MOST_BYTES:,} bytes")
    for one in found:
        digest = hashlib.sha256(one.content).hexdigest()
        ports.log(
            f"[with {one.name}: {one.media_type}, {len(one.content):,} bytes, sha256 {digest}]\n"
        )
    return found


def _paths(given: Json) -> Iterator[str]:
    """The paths, from texts and lists of texts."""
    if isinstance(given, str):
        yield given
    elif isinstance(given, list):
        for one in given:
            yield from _paths(one)
    else:
        raise StepError(
            "input",
            f"`files` takes paths, and got {'null' if given is None else type(given).__name__}",
            hint="give it a text, or a list of texts",
        )


def _read(work: Work, path: str, limit: int) -> Attachment:
    try:
        relative = inside(work.project, work.cwd, path)
        content = read_bytes(work.project, relative, limit, path)
    except ToolError as error:
        hint = error.hint
        if error.kind == "limit":
            hint = "make it smaller, or raise `limits: {file: …}` in config.yaml"
        raise StepError(error.kind, error.message, hint=hint) from error
    kind = _media_type(content)
    if kind is None:
        raise StepError(
            "input",
            f"`{path}` is no image that agents take",
            hint="png, jpeg, gif and webp are taken; put text into the prompt",
        )
    return Attachment(str(relative), kind, content)


def _media_type(content: bytes) -> str | None:
    """By the first bytes: a name can say anything."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None
