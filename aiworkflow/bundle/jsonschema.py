"""The published JSON Schemas (draft 2020-12), made from the table of settings.

They check form only: what depends on the kind of a step, on other settings or on other files is for
`aiworkflow bundle validate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.keys import KEYS
from aiworkflow.bundle.readers_map import record_schema
from aiworkflow.bundle.reading import Key, Scope
from aiworkflow.bundle.repofile import REPOS
from aiworkflow.bundle.toolfile import TOOLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiworkflow.bundle.reading import JsonSchema

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


def frontmatter_schema() -> JsonSchema:
    """The frontmatter of a workflow."""
    return _whole("frontmatter of a workflow", record_schema(_rows(Scope.FRONTMATTER)))


def step_schema() -> JsonSchema:
    """The settings of a step."""
    schema = record_schema(_rows(Scope.STEP))
    schema["dependentRequired"] = {
        "as": ["each"], "rate": ["each"], "max_items": ["each"], "max_rounds": ["until"],
        "until": ["max_rounds"],
    }  # fmt: skip
    schema["not"] = {"required": ["each", "until"]}
    return _whole("settings of a step", schema)


def tools_schema() -> JsonSchema:
    """tools.yaml."""
    return _whole("tools.yaml", TOOLS.schema())


def config_schema() -> JsonSchema:
    """config.yaml."""
    return _whole("config.yaml", record_schema(_rows(Scope.CONFIG)))


def repos_schema() -> JsonSchema:
    """repos.yaml."""
    return _whole("repos.yaml", record_schema([REPOS]))


SCHEMAS: Final[dict[str, Callable[[], JsonSchema]]] = {
    "frontmatter": frontmatter_schema,
    "step": step_schema,
    "tools": tools_schema,
    "config": config_schema,
    "repos": repos_schema,
}
"""By name, as `aiworkflow schema NAME` takes them."""


def _rows(scope: Scope) -> list[Key]:
    return list(KEYS[scope].values())


def _whole(title: str, schema: JsonSchema) -> JsonSchema:
    return {"$schema": DRAFT, "title": f"aiworkflow: {title}", **schema}
