"""GitHub's REST API, with the token of GITHUB_TOKEN.

GITHUB_API_URL is https://api.github.com unless set, as for GitHub Enterprise Server.
"""

from __future__ import annotations

import re

from _http import Api, quoted
from _tool import USAGE, Problem, credential, setting


def github_api() -> Api:
    """The server."""
    token = credential(
        "GITHUB_TOKEN", "create a token at https://github.com/settings/personal-access-tokens"
    )
    return Api(
        "GitHub",
        setting("GITHUB_API_URL", "https://api.github.com"),
        {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {token}",
            "X-GitHub-Api-Version": "2022-11-28",
        },
    )


def repository_path(repo: str) -> str:
    """The path of a repository that is named as owner/name."""
    owner, slash, name = repo.partition("/")
    parts = (owner, name)
    if not slash or not all(
        re.fullmatch(r"[\w.-]+", part) and set(part) != {"."} for part in parts
    ):
        raise Problem(f"`{repo}` is no repository: write owner/name", USAGE)
    return f"/repos/{quoted(owner)}/{quoted(name)}"
