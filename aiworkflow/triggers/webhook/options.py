"""What a stranger can take of a server, as `serve.webhooks` of config.yaml says it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.records import record
from aiworkflow.settings import units
from aiworkflow.triggers.webhook.sender import USUAL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiworkflow.engine.carried import Json


@record
class WebhookOptions:
    """What a stranger can take of a server; see `serve.webhooks` of config.yaml.

    Attributes:
        refusals: so many refused requests in so many seconds, from one address.
        max_per_address: requests under way at once from one address.
        proxies: networks whose requests are counted by what they say of the sender.
    """

    read_s: float = 10.0
    refusals: tuple[int, float] = (60, 60.0)
    max_requests: int = 512
    max_per_address: int = 128
    max_connections_per_address: int = 256
    proxies: Sequence[str] = USUAL


def webhook_options(serve: Mapping[str, Json] | None) -> WebhookOptions:
    """Typed options of what `serve` says, which whoever read it has checked."""
    webhooks = (serve or {}).get("webhooks")
    said = webhooks if isinstance(webhooks, dict) else {}
    plain, proxies = WebhookOptions(), said.get("proxies")
    return WebhookOptions(
        units.duration(said["read_timeout"]) if "read_timeout" in said else plain.read_s,
        units.rate(said["refusals"]) if "refusals" in said else plain.refusals,
        int(str(said.get("max_requests", plain.max_requests))),
        int(str(said.get("max_per_address", plain.max_per_address))),
        int(str(said.get("max_connections_per_address", plain.max_connections_per_address))),
        [str(one) for one in proxies] if isinstance(proxies, list) else plain.proxies,
    )
