"""The webhooks of a project as people look at them: who may send, and what came."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiworkflow.triggers.webhook.recent import recent

if TYPE_CHECKING:
    from aiworkflow.bundle.webhook import Verify
    from aiworkflow.client.client import Client
    from aiworkflow.engine.carried import Json
    from aiworkflow.triggers.catalogue import Catalogue


def webhooks_json(client: Client, catalogue: Catalogue, last: int) -> dict[str, Json]:
    """The webhooks of a project, as `webhook list --json` prints them.

    Args:
        last: how many of the last deliveries of each.
    """
    rows: list[Json] = []
    for armed in catalogue.armed("webhook"):
        values = armed.trigger.values
        verify = cast("Verify", values["verify"])
        missing = [name for name in verify.secrets if not client.project.environ.get(name)]
        rows.append(
            {
                "name": armed.name,
                "bundle": armed.bundle,
                "path": str(values["path"]),
                "verify": verify.scheme,
                "events": armed.trigger.options.get("events", []),
                "secrets_missing": [*missing],
                "deliveries": [*recent(client.journal, armed.name)[:last]],
            }
        )
    refused: list[Json] = [*recent(client.journal, "")[:last]]
    return {"webhooks": rows, "refused": refused, "problems": dict(catalogue.problems)}
