"""The lock of a bundle: every fact that decides its behaviour, one line each, and what has drifted.

    agent review = anthropic/claude-sonnet-4
    prompt review = 5f2c9a0d1e3b4c5d
    tool tools/github.py = 0f3a…

Sorted, without a moment or a machine in it: the same for the same files and settings, everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiworkflow.bundle.files import LOCK
from aiworkflow.bundle.workflow import agent_spec
from aiworkflow.errors import RefusedError, UsageError
from aiworkflow.plan.facts import facts_of
from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.client.project import Checked, Project

_NAMED: Final = 8


@record
class Drift:
    """A fact that is another than the lock says.

    Attributes:
        was, now: None where there was none, or is none any more.
    """

    fact: str
    was: str | None
    now: str | None

    def lines(self) -> list[str]:
        """As a diff of the lock shows it."""
        found = []
        if self.was is not None:
            found.append(f"- {self.fact} = {self.was}")
        if self.now is not None:
            found.append(f"+ {self.fact} = {self.now}")
        return found


class LockDrift(RefusedError):
    """A bundle is not what was locked; nothing was started.

    Attributes:
        drift: each fact that is another.
    """

    code = "lock-drift"

    def __init__(self, bundle: str, drift: Sequence[Drift]) -> None:
        self.drift = tuple(drift)
        self.details = {
            "drift": [{"fact": one.fact, "locked": one.was, "now": one.now} for one in drift]
        }
        names = [f"`{one.fact}`" for one in drift[:_NAMED]]
        if len(drift) > _NAMED:
            names.append(f"{len(drift) - _NAMED} more")
        super().__init__(
            f"bundle `{bundle}` is not what was locked: {', '.join(names)}",
            hint=f"look at what is another: aiworkflow bundle lock {bundle} --check; "
            f"lock it as it is: aiworkflow bundle lock {bundle}",
        )


def locked_facts(project: Project, checked: Checked) -> dict[str, str]:
    """The facts of a bundle as it is now. Raises BundleInvalid."""
    plan = project.sealed(checked)
    assert checked.workflow is not None
    default = [agent_spec(text) for text in checked.settings.options().agent]
    return facts_of(plan, checked.workflow, default)


def lock_text(facts: Mapping[str, str]) -> str:
    """The facts as the lock has them."""
    return "".join(f"{name} = {facts[name]}\n" for name in sorted(facts))


def lock_path(checked: Checked) -> Path:
    """Where the lock of a bundle is. Raises UsageError for a lone file."""
    from pathlib import Path

    assert checked.workflow is not None
    folder = Path(checked.workflow.root)
    if not folder.is_dir():
        raise UsageError(
            f"`{checked.label}` is a lone file, and so has no place for a lock",
            hint="make it a bundle: a folder with the file as its workflow.md",
        )
    return folder / LOCK


def write_lock(path: Path, facts: Mapping[str, str]) -> bool:
    """Write a lock; whether that has changed anything."""
    text = lock_text(facts)
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8", newline="\n")
    fresh.replace(path)
    return True


def read_lock(path: Path, bundle: str) -> dict[str, str]:
    """The facts that a lock has.

    Raises:
        UsageError: there is no lock, or it is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UsageError(
            f"bundle `{bundle}` has no {LOCK}", hint=f"write it: aiworkflow bundle lock {bundle}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    found = {}
    for number, line in enumerate(lines, 1):
        name, equals, value = line.partition(" = ")
        if not equals or name in found:
            raise UsageError(
                f"line {number} of {path} is no fact: {line[:60]}",
                hint=f"write it anew: aiworkflow bundle lock {bundle}",
            )
        found[name] = value
    return found


def drift_of(locked: Mapping[str, str], facts: Mapping[str, str]) -> list[Drift]:
    """What is another than locked, sorted by name."""
    return [
        Drift(name, locked.get(name), facts.get(name))
        for name in sorted(locked.keys() | facts.keys())
        if locked.get(name) != facts.get(name)
    ]


def refuse_drift(project: Project, checked: Checked) -> None:
    """Refuse a bundle that is not what was locked.

    Raises:
        LockDrift: with every difference. UsageError: there is no lock. BundleInvalid.
    """
    facts = locked_facts(project, checked)
    drift = drift_of(read_lock(lock_path(checked), checked.label), facts)
    if drift:
        raise LockDrift(checked.label, drift)
