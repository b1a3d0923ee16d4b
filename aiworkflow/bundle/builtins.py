"""The built-in tools, as data: their operations and what these do to the outside."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.workflow import Effect, Operation, Tool

if TYPE_CHECKING:
    from collections.abc import Mapping


def _tool(name: str, description: str, **operations: tuple[Effect, str]) -> Tool:
    return Tool(
        name,
        f"builtin:{name}",
        MappingProxyType(
            {verb: Operation(verb, text, effect=effect) for verb, (effect, text) in operations.items()}
        ),
        description,
    )


BUILTINS: Final[Mapping[str, Tool]] = MappingProxyType(
    {
        "http": _tool(
            "http",
            "HTTP requests to hosts that `allow.network` names.",
            get=(Effect.READ, "Fetch a URL."),
            head=(Effect.READ, "Fetch the headers of a URL."),
            post=(Effect.WRITE, "Send a body."),
            put=(Effect.IDEMPOTENT, "Replace what is at a URL."),
            patch=(Effect.WRITE, "Change what is at a URL."),
            delete=(Effect.DESTRUCTIVE, "Remove what is at a URL."),
            request=(Effect.WRITE, "A request with any method."),
        ),
        "file": _tool(
            "file",
            "Files of the project; writing where `allow.paths` lets it.",
            read=(Effect.READ, "The content of a file."),
            write=(Effect.IDEMPOTENT, "Write a file, whole or not at all."),
            list=(Effect.READ, "What is in a folder."),
            glob=(Effect.READ, "Files that match a pattern."),
        ),
        "git": _tool(
            "git",
            "The project's repository.",
            diff=(Effect.READ, "Changes between two states."),
            log=(Effect.READ, "Commits."),
            status=(Effect.READ, "What is changed and not committed."),
            branch=(Effect.WRITE, "Make a branch."),
            commit=(Effect.WRITE, "Commit changes."),
            worktree=(Effect.WRITE, "Make a worktree."),
        ),
        "template": _tool(
            "template", "Texts of the bundle.", render=(Effect.READ, "Render a file of the bundle.")
        ),
    }
)
