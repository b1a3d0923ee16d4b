#!/usr/bin/env python3
"""What PyPI and the npm registry say of a package. Public metadata; no credentials.

PYPI_URL is https://pypi.org and NPM_REGISTRY_URL https://registry.npmjs.org unless set, as for mirrors.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from _http import Api, quoted
from _tool import USAGE, Problem, main, setting
from _versions import NAME, VERSION, behind, is_preview, release

_ADVISORY = re.compile(
    r"(?:GHSA(?:-[0-9a-z]{4}){3}|CVE-[0-9]{4}-[0-9]{4,8}|PYSEC-[0-9]{4}-[0-9]{1,6})"
)


def pypi() -> Api:
    """PyPI's JSON API."""
    return Api("PyPI", setting("PYPI_URL", "https://pypi.org"), {})


def npm() -> Api:
    """The npm registry."""
    form = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8"
    return Api("npm", setting("NPM_REGISTRY_URL", "https://registry.npmjs.org"), {"Accept": form})


def latest(ecosystem: str, name: str, file: str, current: str = "") -> dict[str, Any]:
    """How far behind a version is, and what is known against it. Only bounded words come out."""
    if not re.fullmatch(NAME, name):
        raise Problem(f"`{name[:80]}` is no name of a package", USAGE)
    if current and not re.fullmatch(VERSION, current):
        current = ""
    look = {"pypi": _pypi, "npm": _npm}.get(ecosystem)
    if look is None:
        raise Problem(f"`{ecosystem}` is no registry; there are pypi and npm", USAGE)
    found = look(name, current)
    newest = found.pop("latest", None)
    known = newest is not None and re.fullmatch(VERSION, newest) is not None
    return {
        "ecosystem": ecosystem,
        "name": name,
        "file": file,
        "current": current,
        "latest": newest if known else "",
        "behind": behind(current, newest) if known else "unknown",
        "withdrawn": found["withdrawn"],
        "advisories": sorted(set(found["advisories"])),
    }


def _pypi(name: str, current: str) -> dict[str, Any]:
    api, path = pypi(), f"/pypi/{quoted(name)}"
    answer = api.ask("GET", f"{path}/json", missing=True)
    if answer.status == 404:
        return {"latest": None, "withdrawn": False, "advisories": []}
    releases = answer.data.get("releases") or {}
    good = [
        version
        for version, files in releases.items()
        if files and not all(file["yanked"] for file in files) and not is_preview(version)
    ]
    newest = max(
        good, key=lambda version: release(version) or (), default=answer.data["info"]["version"]
    )
    found = {"latest": newest, "withdrawn": False, "advisories": []}
    if current:
        here = api.ask("GET", f"{path}/{quoted(current)}/json", missing=True)
        if here.status != 404:
            found["withdrawn"] = bool(here.data["info"].get("yanked"))
            for one in here.data.get("vulnerabilities") or []:
                if not one.get("withdrawn"):
                    found["advisories"] += _ids(one["id"], *(one.get("aliases") or []))
    return found


def _npm(name: str, current: str) -> dict[str, Any]:
    api = npm()
    answer = api.ask("GET", f"/{quoted(name)}", missing=True)
    if answer.status == 404:
        return {"latest": None, "withdrawn": False, "advisories": []}
    tags, versions = answer.data["dist-tags"], answer.data["versions"]
    found: dict[str, Any] = {"latest": tags.get("latest"), "advisories": []}
    found["withdrawn"] = bool((versions.get(current) or {}).get("deprecated"))
    if current:
        listed = api.send("POST", "/-/npm/v1/security/advisories/bulk", {name: [current]})
        for one in (listed or {}).get(name) or []:
            found["advisories"] += _ids(one.get("url", ""))
    return found


def _ids(*texts: str) -> list[str]:
    """Names of advisories in texts, the first only: the others are names of the same."""
    for text in texts:
        found = _ADVISORY.search(text)
        if found:
            return [found.group()]
    return []


def repository(ecosystem: str, name: str) -> dict[str, Any]:
    """The GitHub repository that a package names as its own, or an empty text."""
    if not re.fullmatch(NAME, name):
        raise Problem(f"`{name[:80]}` is no name of a package", USAGE)
    if ecosystem == "pypi":
        info = pypi().get(f"/pypi/{quoted(name)}/json")["info"]
        urls = [*(info.get("project_urls") or {}).values(), info.get("home_page") or ""]
    else:
        # the short form of the registry does not tell it
        answer = npm().ask("GET", f"/{quoted(name)}/latest", headers={"Accept": "application/json"})
        said = answer.data.get("repository") or ""
        urls = [said.get("url", "") if isinstance(said, dict) else str(said)]
    for url in urls:
        found = _github(url)
        if found:
            return {"repo": found}
    return {"repo": ""}


def _github(url: str) -> str | None:
    short = re.fullmatch(r"(?:github:)?([\w.-]{1,80}/[\w.-]{1,80})", url, re.ASCII)
    if short:
        return short.group(1)
    parts = urllib.parse.urlsplit(
        url.removeprefix("git+").replace("git@github.com:", "ssh://git@github.com/")
    )
    words = parts.path.strip("/").split("/")
    if parts.hostname not in {"github.com", "www.github.com"} or len(words) < 2:
        return None
    owner, name = words[0], words[1].removesuffix(".git")
    fits = re.fullmatch(r"[\w.-]{1,80}", owner, re.ASCII) and re.fullmatch(
        r"[\w.-]{1,80}", name, re.ASCII
    )
    return f"{owner}/{name}" if fits and owner != "sponsors" else None


if __name__ == "__main__":
    main({"latest": latest, "repository": repository})
