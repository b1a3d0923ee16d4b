"""What a model server's refusal means: by its status, and by the words where the status says little."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from aiworkflow.agents.contract import AgentError
from aiworkflow.tools.later import retry_after_s

if TYPE_CHECKING:
    import httpx2

_MOST_ERROR: Final = 20_000
_KINDS: Final = {
    400: "bad_request",
    401: "auth",
    402: "unavailable",  # no credit left: another agent may have some
    403: "auth",
    404: "not_found",
    408: "timeout",
    413: "limit",
    422: "bad_request",
    429: "rate_limit",
    498: "rate_limit",  # Groq: no capacity
}
_LONG: Final = re.compile(
    r"context.?(?:length|window|size)|prompt is too long|too many (?:input )?tokens|maximum context"
    r"|exceeds? (?:the )?(?:available |model'?s? )?context|input is too long",
    re.IGNORECASE,
)
_BROKE: Final = re.compile(
    r"credit balance|insufficient (?:balance|credit|quota|funds)", re.IGNORECASE
)


def host_of(url: str) -> str:
    """Host and port, for messages; without a name and password that may stand before them."""
    return url.split("://", 1)[-1].split("/", 1)[0].rsplit("@", 1)[-1]


def key_hint(key: str | None) -> str:
    """What to do where a key is refused."""
    return f"check the key in {key}" if key else "the server asks for a key: set `key:`"


async def refused(response: httpx2.Response, url: str, key_variable: str | None) -> AgentError:
    """The error that an answer other than a success is."""
    content = b""
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > _MOST_ERROR:
            break
    status = response.status_code
    kind = _KINDS.get(status, "unavailable" if status >= 500 else "bad_request")
    said = _message(content)
    text = f"{host_of(url)} answered {status}" + (f": {said}" if said else "")
    hint = None
    if kind in {"bad_request", "limit"} and _LONG.search(said):
        kind, hint = "limit", "give the agent less, or name a model that takes more"
    elif status == 402 or (kind in {"bad_request", "auth"} and _BROKE.search(said)):
        kind, hint = (
            "unavailable",
            "the account has no credit left: buy some, or name another agent",
        )
    elif kind == "auth":
        hint = key_hint(key_variable)
    elif 300 <= status < 400:
        hint = "the answer is a redirect: put the new address into the `url` of the agent"
    elif kind == "not_found":
        hint = "check the model's name and the `url` of the agent"
    return AgentError(kind, text, hint=hint, retry_after_s=retry_after_s(response.headers))


def _message(content: bytes) -> str:
    """What an error body says, from the forms that servers use."""
    text = content.decode("utf-8", "replace").strip()
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(text.split())[:300]
    found = data[0] if isinstance(data, list) and data else data  # Gemini's
    for name in ("error", "message", "detail"):  # each may hold the next
        if isinstance(found, dict) and name in found:
            found = found[name]
    if isinstance(found, list):  # Mistral's and vLLM's: what is wrong with which field
        found = "; ".join(
            f"{one.get('loc')}: {one.get('msg')}" if isinstance(one, dict) else str(one)
            for one in found
        )
    if isinstance(found, dict):
        found = found.get("type", found)
    return " ".join(str(found).split())[:300]
