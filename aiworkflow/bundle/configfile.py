"""config.yaml: how bundles run here. The bundle's, the project's and the user's own are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.bundle.keys import read_settings
from aiworkflow.bundle.reading import Scope, Settings
from aiworkflow.bundle.yaml_nodes import Mapping, Node, Scalar
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.settings.layers import Layer, Stratum

if TYPE_CHECKING:
    from aiworkflow.diagnostics import Report, Source


def read_configfile(source: Source, report: Report) -> Settings:
    """Read a config.yaml.

    Args:
        source: the file.
        report: gets all findings.

    Returns:
        What is right of it; `plain` is what `settings/` layers.
    """
    root = compose(source, 0, len(source.text), report)
    settings = read_settings(root, Scope.CONFIG, None, report)
    _check_agent(settings, report)
    return settings


def stratum(settings: Settings, layer: Layer) -> Stratum:
    """The layer that a config.yaml, or a frontmatter, makes. Only what is right of it counts."""
    values = {name: value for name, value in settings.plain.items() if name in settings.values}

    def where(name: str) -> str:
        place = settings.where.get(name)
        return "" if place is None else f"{place.path}:{place.line}:{place.column}"

    return Stratum(layer, values, where)


def _check_agent(settings: Settings, report: Report) -> None:
    """Warn where `agent` names none of `agents` but nearly does: the nearly right name is meant."""
    agents = settings.values.get("agents")
    node = settings.node.get("agent") if settings.node is not None else None
    if not isinstance(agents, dict) or node is None:
        return
    for one in _texts(node):
        name = one.text.split("/", 1)[0]
        near = None if name in agents else did_you_mean(name, list(agents))
        if near is not None:
            report.warning(
                "AW652", one.place, f"`agent` names `{name}`, which `agents` has not", near
            )


def _texts(node: Node) -> list[Scalar]:
    if isinstance(node, Scalar):
        return [node]
    if isinstance(node, Mapping):
        return []
    return [item for item in node.items if isinstance(item, Scalar)]
