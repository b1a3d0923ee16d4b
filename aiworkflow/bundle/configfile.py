"""config.yaml: how bundles run here. The bundle's, the project's and the user's own are alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.keys import read_settings
from aiworkflow.bundle.reading import Scope, Settings
from aiworkflow.bundle.yaml_nodes import Mapping, Node, Scalar
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics import Source
from aiworkflow.diagnostics.suggest import did_you_mean
from aiworkflow.errors import UsageError
from aiworkflow.records import record
from aiworkflow.settings.layers import Layer, Stratum

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Mapping as MappingOf
    from pathlib import Path

    from aiworkflow.bundle.workflow import Json
    from aiworkflow.diagnostics import Report

_LARGEST: Final = 1_000_000  # bytes


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


@record
class ConfigFile:
    """A config.yaml that was read.

    Attributes:
        values: what is right of it, as plain data.
        where: dotted name of a setting → `file:line:column`, "" where it is not in the file.
        reserved: settings whose execution is not built yet.
    """

    values: MappingOf[str, Json]
    where: Callable[[str], str]
    reserved: MappingOf[str, Json]


def read_config_file(path: Path, shown: str, report: Report) -> ConfigFile | None:
    """Read a config.yaml from disk; None where there is no such file.

    Args:
        path: the file.
        shown: its path as findings show it.
        report: gets all findings, also that the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        _unreadable(shown, f"it cannot be read: {error.strerror}", report)
        return None
    if len(content) > _LARGEST:
        _unreadable(shown, f"it has more than {_LARGEST:,} bytes", report)
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _unreadable(shown, f"it is not UTF-8 text at byte {error.start}", report)
        return None
    settings = read_configfile(Source(shown, text.replace("\r\n", "\n")), report)
    layer = stratum(settings, Layer.PROJECT)
    return ConfigFile(layer.values, layer.where, settings.reserved)


def journal_problem(report: Report) -> UsageError | None:
    """Why it is not known where runs are kept: `journal` is wrong, or the file cannot be read."""
    for one in report.sorted():
        if one.severity != "error":
            continue
        if one.message.startswith("`journal`"):
            return UsageError(one.message, hint=one.hint, place=one.place)
    return unread(report, "where runs are kept")


def unread(report: Report, unknown: str) -> UsageError | None:
    """Why nothing is known of the settings: the file is no YAML, or cannot be read at all.

    Args:
        unknown: what is not known, then.
    """
    for one in report.sorted():
        if one.severity == "error" and (one.code.startswith("AW3") or one.code == "AW654"):
            what = f"{one.message}; so it is not known {unknown}"
            return UsageError(what, hint=one.hint, place=one.place)
    return None


def _unreadable(shown: str, why: str, report: Report) -> None:
    report.error(
        "AW654", Source(shown, "").place(0), f"`{shown}` holds no settings: {why}",
        "mend or remove the file",
    )  # fmt: skip


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
