"""Jira Cloud's REST API.

Needs JIRA_BASE_URL (https://your-team.atlassian.net), JIRA_EMAIL and JIRA_API_TOKEN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from _http import Api, basic
from _tool import credential, log, setting

if TYPE_CHECKING:
    from collections.abc import Sequence


def jira_api() -> Api:
    """The server."""
    email = credential("JIRA_EMAIL", "it is the address of the account that owns the token")
    token = credential(
        "JIRA_API_TOKEN",
        "create a token at https://id.atlassian.com/manage-profile/security/api-tokens",
    )
    base = setting("JIRA_BASE_URL", where="https://your-team.atlassian.net")
    return Api("Jira", base, {"Authorization": basic(email, token)})


def search(jira: Api, jql: str, fields: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Issues that a query finds, page by page; `most` at least where there are more."""
    found: list[dict[str, Any]] = []
    body: dict[str, Any] = {"jql": jql, "fields": list(fields), "maxResults": 100}
    while True:
        page = jira.send("POST", "/rest/api/3/search/jql", body)
        found += page["issues"]
        following = page.get("nextPageToken")
        if not following or page.get("isLast"):
            return found
        if len(found) >= most:
            log(f"Jira: more than {most} issues; the rest is left out")
            return found
        body["nextPageToken"] = following


def agile_pages(jira: Api, path: str, key: str, most: int, **query: object) -> list[dict[str, Any]]:
    """What the Agile API lists under `key`, page by page."""
    found: list[dict[str, Any]] = []
    while len(found) < most:
        page = jira.get(path, startAt=len(found), maxResults=50, **query)
        found += page[key]
        total = page.get("total")
        is_last = page.get("isLast", total is not None and len(found) >= total)
        if is_last or not page[key]:
            return found
    log(f"Jira: more than {most} entries of {path}; the rest is left out")
    return found
