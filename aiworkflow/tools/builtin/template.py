"""`template.render`: a file of the bundle with expressions in it, and values for them → text."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from aiworkflow.diagnostics import Report
from aiworkflow.diagnostics.source import Fragment
from aiworkflow.expr import EvaluationError, parse_template, render
from aiworkflow.tools.builtin.arguments import Arguments
from aiworkflow.tools.contract import ToolError
from aiworkflow.tools.paths import inside, read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.diagnostics import Place
    from aiworkflow.tools.contract import Surroundings

_MOST_TEMPLATE = 1_000_000


async def call_template(
    operation: str, given: Mapping[str, Json], surroundings: Surroundings
) -> Json:
    """Do one call: `template` (a path in the bundle) and `values` → the text.

    The values are the only names the template knows; each is also a field of `values`, for names
    that are no identifiers.

    Raises:
        ToolError: `input`, `not_found`, `expression` or `limit`.
    """
    if operation != "render":
        raise ToolError("not_found", f"there is no `template.{operation}`")
    arguments = Arguments("template.render", given)
    path = arguments.text("template")
    values = arguments.table("values")
    arguments.done()
    report = Report()
    fragment = _fragment(surroundings.bundle, path)

    def include(included: str, _place: Place) -> Fragment | None:
        return _fragment(surroundings.bundle, included)

    template = parse_template(fragment, report, blocks=True, include=include)
    if template is None or report.has_errors:
        first = next(iter(report.sorted()), None)
        text = f"`{path}` cannot be read" if first is None else f"{first.place}: {first.message}"
        raise ToolError("input", text, hint=None if first is None else first.hint)
    try:
        text = render(template, {"values": values, **values})
    except EvaluationError as error:
        where = f"{error.place}: " if error.place is not None else ""
        raise ToolError("expression", f"{where}{error.message}", hint=error.hint) from error
    if len(text.encode("utf-8", "surrogatepass")) > surroundings.output_limit:
        raise ToolError(
            "limit", f"the text of `{path}` is larger than {surroundings.output_limit} bytes"
        )
    return text


def _fragment(bundle: Path, path: str) -> Fragment:
    """A file of the bundle as text."""
    if PurePosixPath(path).is_absolute():
        raise ToolError("permission", f"`{path}`: templates are files of the bundle")
    content = read_bytes(bundle, inside(bundle, bundle, path), _MOST_TEMPLATE, path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ToolError("input", f"`{path}` is not UTF-8 at offset {error.start}") from None
    return Fragment.of(text.replace("\r\n", "\n"), path)
