"""The contract of what starts runs by itself: schedules, webhooks, watched files, queues.

One that looks at the project on this machine, and one that asks a server, keep it alike. What they give
is plain data: the objects that `--json` prints and HTTP answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine.carried import Json

    Shown = dict[str, Json]


class Schedules(Protocol):
    """The schedules of a project. One is named by its name, or its bundle's where that has one only."""

    def all(self, *, count: int = 1) -> Shown:
        """Every schedule; `count` of its next times. `problems` says which bundles are left out."""
        ...

    def one(self, schedule: str, *, count: int = 5) -> Shown:
        """A schedule, and where it stands.

        Raises:
            UsageError: there is none of this name, or several.
        """
        ...

    def coming(self, schedule: str = "", *, count: int = 10, after: float | None = None) -> Shown:
        """The next times of one, or of all together, in order. Raises as `one`.

        Args:
            after: seconds since the epoch; None for now.
        """
        ...

    def pause(self, schedule: str) -> Shown:
        """Stop it from starting runs, on all servers, until it is resumed. Raises as `one`."""
        ...

    def resume(self, schedule: str) -> Shown:
        """Let it start runs again. Raises as `one`."""
        ...

    async def run(self, schedule: str, *, key: str = "") -> Shown:
        """Start its run at once: `run`, `new` and `status`. Its own times come as they would.

        Args:
            key: names the request: whoever sends it again gets the same run.

        Raises:
            As `one`; and as runs that are started: Overlap, InputsInvalid, …
        """
        ...


class Queues(Protocol):
    """The queues of a project.

    Each call takes a `url`: where the queue is, instead of what bundles say. A server takes none.
    """

    async def standing(self, queue: str = "", *, url: str | None = None) -> Shown:
        """How all queues stand, or one.

        Raises:
            UsageError: it is at several places. QueueUnavailable: its server does not answer.
        """
        ...

    async def publish(
        self,
        queue: str,
        data: Json,
        *,
        id_: str | None = None,
        priority: int = 0,
        delay_s: float = 0.0,
        headers: Mapping[str, str] | None = None,
        url: str | None = None,
    ) -> Shown:
        """Publish a message; it is durable when this returns. Raises as `standing`.

        Args:
            id_: two messages with the same id start one run; made up if there is none.

        Raises:
            MessageInvalid: the queue would not take it.
        """
        ...

    async def dead(self, queue: str, *, limit: int = 100, url: str | None = None) -> Shown:
        """Messages that were set aside, the oldest first. Raises as `standing`."""
        ...

    async def retry(
        self, queue: str, ids: Sequence[str] | None = None, *, url: str | None = None
    ) -> Shown:
        """Put messages back that were set aside: those with these ids, or all. Raises as `standing`."""
        ...

    async def drop(
        self, queue: str, ids: Sequence[str] | None = None, *, url: str | None = None
    ) -> Shown:
        """Remove messages that were set aside, for ever: these, or all. Raises as `standing`."""
        ...

    async def purge(self, queue: str, *, url: str | None = None) -> Shown:
        """Remove all messages that nobody has taken, for ever. Raises as `standing`."""
        ...


class Triggers(Protocol):
    """What starts runs of a project by itself."""

    @property
    def schedules(self) -> Schedules:
        """Its schedules."""
        ...

    @property
    def queues(self) -> Queues:
        """Its queues."""
        ...

    def webhooks(self, *, last: int = 5) -> Shown:
        """Its webhooks, and the last deliveries of each."""
        ...

    def try_webhook(
        self,
        webhook: str,
        *,
        event: str = "",
        payload: bytes | None = None,
        dry_run: bool = False,
        url: str | None = None,
    ) -> Shown:
        """Send an event to the running server, signed as its sender would, and give the answer.

        Args:
            webhook: a bundle with one, or its name.
            event: its name, such as `push` or `pull_request.opened`; "" for the first that is taken.
            payload: the body, instead of a sample.
            dry_run: send nothing, and say what would match, and the inputs.
            url: where the server is, if not as the settings say. A server takes none.

        Raises:
            UsageError: there is no such webhook, no sample of such an event, or only a certificate can
                show who sends. SecretMissing: it cannot be signed. UnavailableError: no server answers.
        """
        ...

    def replay_webhook(
        self, delivery: str, *, same_id: bool = False, url: str | None = None
    ) -> Shown:
        """Send a delivery again to the running server, signed anew, as an event of its own.

        Args:
            delivery: its id, or the beginning of it.
            same_id: send it with the id it had: it is known, and starts nothing.
            url: as of `try_webhook`.

        Raises:
            As `try_webhook`. UsageError: there is no such delivery, or nothing of its body was kept.
        """
        ...

    def watches(self) -> Shown:
        """What it watches, and what each has started last on that machine."""
        ...

    def try_watches(self, paths: Sequence[str] = (), *, watch: str = "") -> Shown:
        """Which watches a change of some files would concern, and what their runs would be told.

        Args:
            paths: files in the project, from its root; none for all that the watches mean.
            watch: only this one, by its name; "" for all.

        Raises:
            UsageError: a path is not in the project, or there is no such watch.
        """
        ...
