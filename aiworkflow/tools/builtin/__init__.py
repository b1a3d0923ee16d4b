"""Operations that come with the product: http, file, git and template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.tools.contract import ToolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.tools.contract import Surroundings


async def call_builtin(
    tool: str, operation: str, arguments: Mapping[str, Json], surroundings: Surroundings
) -> Json:
    """Do one call of a built-in operation.

    Raises:
        ToolError: it failed, or there is no such operation.
    """
    match tool:  # each is imported when it is first called: http alone costs 100 ms
        case "http":
            from aiworkflow.tools.builtin.http import call_http

            return await call_http(operation, arguments, surroundings)
        case "file":
            from aiworkflow.tools.builtin.file import call_file

            return await call_file(operation, arguments, surroundings)
        case "git":
            from aiworkflow.tools.builtin.git import call_git

            return await call_git(operation, arguments, surroundings)
        case "template":
            from aiworkflow.tools.builtin.template import call_template

            return await call_template(operation, arguments, surroundings)
        case _:
            raise ToolError("not_found", f"there is no tool `{tool}`")
