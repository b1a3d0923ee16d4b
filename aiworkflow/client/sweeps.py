"""The contract of sweeps: running a bundle in many repositories.

One that drives them in this process, and one that asks a server, keep it alike. What has become of them
is in `client.views`: `sweeps`, `sweep`, `sweep_report`; which repositories there are, in `repos`. What
they give is plain data: the objects that `--json` prints and HTTP answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypedDict

if TYPE_CHECKING:
    from typing import Unpack

    from aiworkflow.engine.carried import Json

Shown = dict[str, "Json"]
Tell = Callable[[Shown], None]


def silent(shown: Shown) -> None:
    """Nobody listens."""


class Wanted(TypedDict, total=False):
    """What a sweep is asked for; `POST /sweeps` takes it by the same names.

    Attributes:
        tags, repos, all: over which repositories of repos.yaml: those with all these tags, those with
            one of these names, or all of them.
        inputs: of every run. texts: inputs as text, turned into their declared types.
        canary: how many must succeed before the rest begin: a share such as `5%`, or a number.
        max_parallel: how many runs at once; 8 where nothing says it.
        stop_after_failures: failures after which nothing more begins; 0 for never.
        max_usd: US dollars that all runs together may cost; None for no bound.
        branch: the branch that each repository gets; else `aiworkflow/<name>/<sweep>`.
        message, author: of the commit on it; the author as `NAME <EMAIL>`.
        overrides: settings of the command line, by their names in config.yaml; at a server `agent`
            alone.
    """

    tags: Sequence[str]
    repos: Sequence[str]
    all: bool
    inputs: Mapping[str, Json]
    texts: Mapping[str, str]
    canary: str
    max_parallel: int
    stop_after_failures: int
    max_usd: float | None
    branch: str
    message: str
    author: str
    overrides: Mapping[str, Json]


class Sweeping(Protocol):
    """A sweep that was begun, gone on with or is taken back."""

    @property
    def id(self) -> str:
        """The sweep's id."""
        ...

    def stop(self) -> None:
        """Begin nothing more, and ask the runs that are under way to stop."""
        ...

    async def run(self, tell: Tell = silent) -> Shown:
        """Wait until it is at rest; what became of it, as `client.views.sweep` gives it.

        Args:
            tell: called with each repository when its run has come to rest.

        Raises:
            JournalUnavailable, Unreachable: it can be gone on with.
        """
        ...


class Sweeps(Protocol):
    """The sweeps of a project. One is named by its id, the beginning or end of it, or `last`."""

    async def plan(self, bundle: str, **wanted: Unpack[Wanted]) -> Shown:
        """What a sweep would do: `repositories`, `canary`, `max_parallel`, `branch`; starts nothing.

        Raises:
            As `start`.
        """
        ...

    async def start(
        self, bundle: str, *, agreed: bool = False, **wanted: Unpack[Wanted]
    ) -> Sweeping:
        """Begin a sweep; it can be gone on with from here on.

        Args:
            agreed: to what it may cost.

        Raises:
            BundleInvalid, NotBuiltYet, InputsInvalid, ReposInvalid, UsageError: it cannot be
            carried out.
            CostNotAgreed: it may cost more than is spent without asking.
        """
        ...

    async def resume(self, sweep: str, max_usd: float | None = None) -> Sweeping:
        """Go on with a sweep where it stopped, with the bundle as it was then.

        Args:
            max_usd: another bound on what all runs may cost; None for the one that it has.

        Raises:
            UsageError: there is nothing to go on with, or another process is at it.
        """
        ...

    async def retry(self, sweep: str, max_usd: float | None = None) -> Sweeping:
        """Try the failed repositories of a sweep again, and go on with it.

        The bundle counts as it is now. Where neither it nor the repository has changed, the failed run
        goes on from where it failed; else a new one is made.

        Raises:
            UsageError: none has failed, or another process is at it.
        """
        ...

    async def undo(self, sweep: str) -> Sweeping:
        """Take back what the runs of a sweep did, the last first, and their branches.

        Raises:
            UsageError: it is going on.
        """
        ...

    async def sync(
        self, tags: Sequence[str] = (), tell: Callable[[str], None] = lambda _: None
    ) -> Shown:
        """Clone the repositories that have a URL and are not there yet, and fetch the rest.

        Args:
            tags: only those with all of them.
            tell: called with a line on each, as it is done.

        Returns:
            `synced`, the names of those that are up to date, and `failed`, by name why.

        Raises:
            ReposInvalid, UsageError: there is no repos.yaml that can be used.
        """
        ...
