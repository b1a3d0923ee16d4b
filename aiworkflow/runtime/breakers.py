"""The circuit breakers of a project: around each attempt that asks an agent, a tool or a host.

A breaker is a register that all runs and processes of the project share, written by compare-and-set;
`engine/breaker.py` says what it becomes. One that has never counted an outage has no register.

On the fast path nothing is read or written: what was read last holds until the journal's version says
that another process has committed, and an answer changes a breaker only where outages were counted.

Breakers are advice: where the journal cannot be read or written, attempts are made as without them.
"""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiworkflow.bundle.workflow import AgentCall, ToolCall
from aiworkflow.engine.breaker import (
    CLOSED,
    Breaker,
    BreakerPolicy,
    Entry,
    Evidence,
    ask,
    evidence,
    settle,
    trying,
)
from aiworkflow.errors import AIWorkflowError
from aiworkflow.journal import Append, Conflict, JournalUnavailable, Register, RegisterWrite
from aiworkflow.jsontext import compact
from aiworkflow.steps.contract import Outcome, Performer, Ports, StepError, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiworkflow.clock import Clock, Ids
    from aiworkflow.journal import Journal

BREAKER: Final = "breaker"
"""The space of registers; keys are `agent:NAME`, `tool:NAME.OPERATION` and `host:NAME[:PORT]`."""

_TRIAL_S: Final = 900.0  # of an attempt without a timeout
_SLACK_S: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}
_BUILTIN: Final = "builtin:"  # in place of a tool's path


class Breakers:
    """The breakers of a project, as one process sees them.

    Args:
        mask: hides secrets in the words of a failure.
        driver: this process's id as a driver of runs.
        is_alive: whether a driver lives: what a dead one tried is tried by the next.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        ids: Ids,
        *,
        mask: Callable[[str], str],
        driver: Callable[[], str],
        is_alive: Callable[[str], bool],
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._ids = ids
        self._mask = mask
        self._driver = driver
        self._is_alive = is_alive
        self._version: int | None = None
        self._seen: dict[str, tuple[Breaker, int]] = {}

    async def guard(
        self, key: str, policy: BreakerPolicy, performer: Performer, work: Work, ports: Ports
    ) -> Outcome:
        """Make an attempt, unless the breaker is open.

        Raises:
            StepError: what the attempt raises; or `unavailable`, and nothing was begun.
        """
        trial = self.enter(key, work)
        found, failed = Evidence.NONE, None
        try:
            outcome = await performer(work, ports)
            found = Evidence.ANSWER
        except StepError as error:
            found, failed = evidence(error.kind, error.http_status), error
            raise
        finally:
            self.leave(key, policy, work.run, trial, found, failed)
        return outcome

    def enter(self, key: str, work: Work) -> str:
        """Ask to begin an attempt; the name of its trial, or "" where it is none.

        Raises:
            StepError: `unavailable`: the breaker is open.
        """
        with contextlib.suppress(JournalUnavailable):
            if self._look(key)[0].since is None:
                return ""
            trial = f"{self._driver()}:{self._ids.token()}"
            lasts_s = (work.timeout_s or _TRIAL_S) + _SLACK_S
            entry = Entry.FREE
            breaker = CLOSED

            def begin(before: Breaker) -> Breaker:
                nonlocal entry, breaker
                now, breaker = self._now(), before
                entry = ask(before, now, is_lost=self._is_lost(before))
                return trying(before, now, trial, lasts_s) if entry is Entry.TRIAL else before

            self._change(key, work.run, begin)
            if entry is Entry.REFUSED:
                raise self._refusal(key, breaker)
            return trial if entry is Entry.TRIAL else ""
        return ""

    def is_open(self, key: str) -> bool:
        """Whether attempts are refused now."""
        with contextlib.suppress(JournalUnavailable):
            breaker = self._look(key)[0]
            return ask(breaker, self._now(), is_lost=self._is_lost(breaker)) is Entry.REFUSED
        return False

    def leave(
        self,
        key: str,
        policy: BreakerPolicy,
        run: str,
        trial: str,
        found: Evidence,
        failed: StepError | None,
    ) -> None:
        """Say how an attempt has ended. Also while it is cancelled: this waits for nothing."""
        asked_s = failed.retry_after_s if failed is not None else None
        reason = self._mask(failed.message)[:300] if failed is not None else ""

        def end(before: Breaker) -> Breaker:
            return settle(
                before, policy, self._now(), found, who=trial, asked_s=asked_s, reason=reason
            )

        with contextlib.suppress(JournalUnavailable):
            self._change(key, run, end)

    def reset(self, key: str, run: str) -> None:
        """Close a breaker. `run` is any run of the journal: registers are written beside one."""
        self._change(key, run, lambda _: CLOSED)

    # -- the registers ----------------------------------------------------------------------------

    def _look(self, key: str) -> tuple[Breaker, int]:
        """A breaker and the version of its register, 0 for none; read only after news."""
        version = self._journal.version()
        if version != self._version:
            rows = self._journal.registers(BREAKER)
            self._seen = {row.key: (read_breaker(row), row.version) for row in rows}
            self._version = version
        return self._seen.get(key, (CLOSED, 0))

    def _change(self, key: str, run: str, change: Callable[[Breaker], Breaker]) -> None:
        before, version = self._look(key)
        while (after := change(before)) != before:
            write = RegisterWrite(BREAKER, key, compact(after.to_json()), expect=version)
            try:
                self._journal.append_now(Append(self._ids.token(), run, registers=[write]))
            except Conflict:
                row = self._journal.register(BREAKER, key)
                before, version = (CLOSED, 0) if row is None else (read_breaker(row), row.version)
                self._seen[key] = before, version
            else:
                self._seen[key] = after, version + 1
                return

    def _is_lost(self, breaker: Breaker) -> bool:
        return bool(breaker.trial) and not self._is_alive(breaker.trial.partition(":")[0])

    def _now(self) -> float:
        return self._clock.now().timestamp()

    def _refusal(self, key: str, breaker: Breaker) -> StepError:
        now = self._now()
        left_s = breaker.left_s(now)
        assert breaker.since is not None
        if left_s:
            until = f"until {moment(breaker.until)}"
        else:  # as long again as before: the trial decides meanwhile
            until = "and another attempt is trying it now"
            left_s = min(breaker.cool_s, max(0.0, breaker.lapses - now))
        return StepError(
            "unavailable",
            f"the circuit breaker of {key} is open since {moment(breaker.since)} {until},"
            f" after: {breaker.reason}",
            retry_after_s=left_s,
            hint="it is tried again by itself after that; at once with"
            f" `aiworkflow doctor --reset-breaker {key}`",
        )


class Guarded:
    """The breakers as one run meets them, with the settings it keeps.

    Args:
        said: `threshold`, `cool_down_s`, `window_s`; what is not said is as by default.
        agents: the default agents, in order of preference.
    """

    def __init__(
        self, breakers: Breakers, said: Mapping[str, float], agents: Sequence[str]
    ) -> None:
        self._breakers = breakers
        self._policy = BreakerPolicy(**said)  # type: ignore[arg-type]
        self._agents = agents

    def is_left_alone(self, agent: str) -> bool:
        """Whether the breaker of an agent is open now."""
        return bool(self._policy.threshold) and self._breakers.is_open(f"agent:{agent}")

    async def __call__(self, performer: Performer, work: Work, ports: Ports) -> Outcome:
        """Make an attempt, unless the breaker of whom it asks is open. Raises StepError."""
        key = breaker_key(work, self._agents) if self._policy.threshold else None
        if key is None:
            return await performer(work, ports)
        return await self._breakers.guard(key, self._policy, performer, work, ports)


def breaker_key(work: Work, agents: Sequence[str]) -> str | None:
    """The breaker of an attempt; None where there is none to keep.

    Args:
        agents: the default agents, in order of preference.
    """
    match work.node.action:
        case AgentCall() if work.agent is not None:
            return f"agent:{work.agent.name}"
        case AgentCall(agents=named):
            name = named[0].name if named else next(iter(agents), "").partition("/")[0]
            return f"agent:{name}"
        case ToolCall(server=str(server)):
            return f"tool:mcp:{server}"
        case ToolCall(tool="http") if work.tools.get("http", _BUILTIN).startswith(_BUILTIN):
            return _host_key(work.arguments.get("url"))
        case ToolCall() as call:
            return f"tool:{call.name}"
        case _:
            return None


def _host_key(url: object) -> str | None:
    """`host:NAME`, with the port where it is not the usual one."""
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url.strip())
        name, port = parts.hostname, parts.port
    except ValueError:  # the tool says so in its own words
        return None
    if not name:
        return None
    shown = f"[{name}]" if ":" in name else name.removesuffix(".")
    return f"host:{shown}" if port in {None, _PORTS.get(parts.scheme)} else f"host:{shown}:{port}"


def read_breaker(row: Register) -> Breaker:
    """A breaker from its register; one that a newer version wrote in another form counts as closed."""
    try:
        return Breaker.from_json(json.loads(row.value))
    except (ValueError, KeyError, TypeError, AIWorkflowError):
        return CLOSED


def moment(at: float) -> str:
    """A moment for people, in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
