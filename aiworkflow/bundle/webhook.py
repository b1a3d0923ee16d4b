"""What a bundle says of its webhooks: who may send, and what the sender is answered."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Final

from aiworkflow.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiworkflow.bundle.workflow import Json, Value

TOLERANCE_S: Final = 300.0
"""How far the time in a signature may be from ours, without `tolerance`."""


@record
class Verify:
    """Who may send, and how that is seen.

    Attributes:
        scheme: `github`, `gitlab`, …; `none` for anyone.
        secrets: names of the secrets: the one in use, and one that is on its way in or out.
        options: what else the scheme takes, by its name in the bundle; durations in seconds.
    """

    scheme: str
    secrets: tuple[str, ...] = ()
    options: Mapping[str, Json] = field(default_factory=dict)


@record
class Respond:
    """What the sender is answered once the run exists, instead of its id.

    Attributes:
        wait_s: seconds to wait for the end of the run; None not to wait.
        has_body: whether `body` was written; it may be null.
        body: the answer; text is sent as it is, anything else as JSON.
    """

    wait_s: float | None = None
    has_body: bool = False
    body: Value = None
    status: int | None = None
    headers: Mapping[str, Value] = field(default_factory=dict)
