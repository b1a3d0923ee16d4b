"""Confluence Cloud's REST API, version 2.

Needs CONFLUENCE_BASE_URL (https://your-team.atlassian.net), CONFLUENCE_EMAIL and CONFLUENCE_API_TOKEN.
"""

from __future__ import annotations

import html
from typing import Any

from _http import Api, basic
from _tool import USAGE, Problem, credential, setting

PAGES = "/wiki/api/v2/pages"


class Confluence:
    """A site."""

    def __init__(self) -> None:
        email = credential(
            "CONFLUENCE_EMAIL", "it is the address of the account that owns the token"
        )
        token = credential(
            "CONFLUENCE_API_TOKEN",
            "create a token at https://id.atlassian.com/manage-profile/security/api-tokens",
        )
        base = setting("CONFLUENCE_BASE_URL", where="https://your-team.atlassian.net")
        self._api = Api("Confluence", base, {"Authorization": basic(email, token)})

    def space(self, key: str) -> str:
        """The id of a space."""
        found = self._api.get("/wiki/api/v2/spaces", keys=key, limit=1)["results"]
        if not found:
            raise Problem(f"Confluence has no space `{key}` that this account can see", USAGE)
        return str(found[0]["id"])

    def find(self, space: str, title: str) -> dict[str, Any] | None:
        """The page with a title, of which a space has at most one; None where there is none."""
        query = {"space-id": space, "title": title, "status": "current", "limit": 1}
        found = self._api.get(PAGES, **query)["results"]
        return found[0] if found else None

    def create(self, space: str, title: str, storage: str) -> dict[str, Any]:
        """Make a page."""
        body = {"spaceId": space, "status": "current", "title": title, "body": _body(storage)}
        return self.shown(self._api.send("POST", PAGES, body), "created")

    def replace(self, page: dict[str, Any], storage: str) -> dict[str, Any]:
        """Give a page another text, as its next version; an edit in between is refused by Confluence."""
        body = {
            "id": page["id"],
            "status": "current",
            "title": page["title"],
            "body": _body(storage),
            "version": {"number": page["version"]["number"] + 1},
        }
        return self.shown(self._api.send("PUT", f"{PAGES}/{page['id']}", body), "replaced")

    def shown(self, page: dict[str, Any], how: str) -> dict[str, Any]:
        """What a step is told of a page."""
        links = page.get("_links") or {}
        return {
            "id": page["id"],
            "url": f"{self._api.base}/wiki{links.get('webui', '')}",
            "how": how,
        }


def _body(storage: str) -> dict[str, str]:
    return {"representation": "storage", "value": storage}


def paragraph(text: str) -> str:
    """A paragraph in Confluence's storage format."""
    return f"<p>{html.escape(text)}</p>"


def heading(text: str) -> str:
    """A heading of the second level."""
    return f"<h2>{html.escape(text)}</h2>"


def bullets(texts: list[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li><p>{html.escape(text)}</p></li>" for text in texts) + "</ul>"


def rows(head: list[str], lines: list[list[object]]) -> str:
    """A table."""
    cells = ["".join(f"<th><p>{html.escape(one)}</p></th>" for one in head)]
    cells += ["".join(f"<td><p>{html.escape(str(one))}</p></td>" for one in line) for line in lines]
    return "<table><tbody>" + "".join(f"<tr>{one}</tr>" for one in cells) + "</tbody></table>"
