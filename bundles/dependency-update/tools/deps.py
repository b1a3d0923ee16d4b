#!/usr/bin/env python3
"""The dependencies that a project declares: find them, see where they are used, raise their versions.

Reads requirements*.txt, pyproject.toml and package.json (with package-lock.json) of the repository.
`apply` changes versions in those files and nothing else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

from _tool import USAGE, Problem, log, main
from _versions import NAME, VERSION

MOST_FILES, MOST_BYTES, TIMEOUT_S = 200, 5_000_000, 60
_PATH = re.compile(r"[A-Za-z0-9_@+,=./-]{1,300}")
_PYTHON = re.compile(
    r"\s*(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,148}[A-Za-z0-9])?)\s*(?:\[[^\]]*\])?"
    r"\s*(?P<spec>\(?(?:[=<>!~]=?=?\s*[^;#]*)?)"
)
_PINNED = re.compile(rf"(?:===?|~=|>=)\s*(?P<version>{VERSION})")
_NODE = re.compile(rf"[\^~=v]*(?P<version>{VERSION})$")
_NODE_KINDS = {
    "dependencies": "runtime",
    "devDependencies": "dev",
    "optionalDependencies": "runtime",
}


def inventory(path: str = ".") -> dict[str, Any]:
    """All dependencies that are declared in the repository, and the version each stands at."""
    found: list[dict[str, Any]] = []
    for file in manifests(path):
        text = read(file)
        if PurePosixPath(file).name == "package.json":
            found += _package_json(file, text)
        elif file.endswith(".toml"):
            found += _pyproject(file, text)
        else:
            found += _requirements(file, text)
    unique: dict[tuple[str, str, str], dict[str, Any]] = {}
    for one in found:
        unique.setdefault((one["ecosystem"], one["name"].lower(), one["file"]), one)
    return {"dependencies": list(unique.values())}


def manifests(path: str) -> list[str]:
    """Files of the repository that declare dependencies; only those that git knows."""
    try:
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", "ls-files", "-z", "--", path],
            capture_output=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        raise Problem(f"git ls-files: {error}", USAGE) from error
    if done.returncode:
        raise Problem(f"git ls-files: {done.stderr.decode('utf-8', 'replace')}", USAGE)
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    chosen = [
        name for name in names if _is_manifest(PurePosixPath(name)) and not Path(name).is_symlink()
    ]
    odd = [name for name in chosen if not _PATH.fullmatch(name)]
    if odd:  # their names could not pass the bounds of what may be written and posted
        log(f"{len(odd)} files with unusual characters in their path are left out")
        chosen = [name for name in chosen if _PATH.fullmatch(name)]
    if len(chosen) > MOST_FILES:
        log(f"{len(chosen)} files declare dependencies; the first {MOST_FILES} are read")
    return sorted(chosen)[:MOST_FILES]


def _is_manifest(path: PurePosixPath) -> bool:
    if "node_modules" in path.parts or "vendor" in path.parts:
        return False
    if path.name in {"package.json", "pyproject.toml"}:
        return True
    return path.suffix == ".txt" and (
        path.name.startswith("requirements") or path.parent.name == "requirements"
    )


def read(file: str) -> str:
    """The text of a manifest."""
    try:
        if Path(file).stat().st_size > MOST_BYTES:
            raise Problem(f"{file} is larger than {MOST_BYTES:,} bytes")
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{file} cannot be read: {error}") from error


def _requirement(file: str, text: str, kind: str, locked: dict[str, str]) -> list[dict[str, Any]]:
    match = _PYTHON.match(text)
    if match is None or text[match.end() :].strip()[:1] not in {"", ";", "#"}:
        return []  # an address or a path
    spec = match["spec"].partition(" --")[0].strip(" ()")
    return [
        {
            "ecosystem": "pypi",
            "name": match["name"],
            "file": file,
            "spec": spec,
            "current": locked.get(_plain(match["name"])) or _bound(spec),
            "kind": kind,
        }
    ]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _bound(spec: str) -> str:
    """The version a specification holds a package at; empty where the newest is welcome as well."""
    pinned = _PINNED.search(spec)
    is_held = re.search(r"==|~=|<", spec) is not None
    return pinned["version"] if pinned and is_held and "*" not in spec else ""


def _requirements(file: str, text: str) -> list[dict[str, Any]]:
    kind = "dev" if re.search(r"dev|test|lint|docs", PurePosixPath(file).name) else "runtime"
    lines = text.replace("\\\n", " ").splitlines()
    return [
        one
        for line in lines
        if line.strip() and not line.lstrip().startswith(("#", "-"))
        for one in _requirement(file, line, kind, {})
    ]


def _pyproject(file: str, text: str) -> list[dict[str, Any]]:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{file} is not TOML: {error}") from error
    project = _table(data, "project")
    found = [(one, "runtime") for one in _listed(project.get("dependencies"))]
    for groups in (_table(project, "optional-dependencies"), _table(data, "dependency-groups")):
        found += [(one, "dev") for group in groups.values() for one in _listed(group)]
    locked = _locked_python(file)
    return [item for text, kind in found for item in _requirement(file, text, kind, locked)]


def _table(data: Any, key: str) -> dict[str, Any]:
    """A table of a file that anybody may have written; empty where it is none."""
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _listed(value: Any) -> list[str]:
    """The texts of a list; other entries, such as the inclusion of a group, declare nothing."""
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _locked_python(file: str) -> dict[str, str]:
    """Versions of uv.lock or poetry.lock beside a pyproject.toml; both list packages alike."""
    for name in ("uv.lock", "poetry.lock"):
        lock = Path(file).with_name(name)
        if lock.is_file() and not lock.is_symlink() and lock.stat().st_size <= 4 * MOST_BYTES:
            try:
                packages = tomllib.loads(lock.read_text(encoding="utf-8")).get("package") or []
                return {_plain(o["name"]): o["version"] for o in packages if o.get("version")}
            except (OSError, ValueError, LookupError, TypeError, AttributeError):
                log(f"{lock} cannot be read, so versions come from {file}")
    return {}


def _package_json(file: str, text: str) -> list[dict[str, Any]]:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise Problem(f"{file} is not JSON: {error}") from error
    locked = _locked(file)
    found = []
    for section, kind in _NODE_KINDS.items():
        for name, spec in _table(data, section).items():
            match = _NODE.match(str(spec))
            if not re.fullmatch(NAME, name) or (match is None and name not in locked):
                continue  # a path, an address, a tag
            found.append(
                {
                    "ecosystem": "npm",
                    "name": name,
                    "file": file,
                    "spec": str(spec),
                    "current": locked.get(name) or (match["version"] if match else ""),
                    "kind": kind,
                }
            )
    return found


def _locked(file: str) -> dict[str, str]:
    """Versions of package-lock.json beside a package.json."""
    lock = Path(file).with_name("package-lock.json")
    if not lock.is_file() or lock.is_symlink() or lock.stat().st_size > 4 * MOST_BYTES:
        return {}
    try:
        data = json.loads(lock.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        log(f"{lock} cannot be read, so versions come from package.json")
        return {}
    return {
        path.removeprefix("node_modules/"): entry["version"]
        for path, entry in _table(data, "packages").items()
        if path.startswith("node_modules/")
        and "/node_modules/" not in path
        and isinstance(entry, dict)
        and re.fullmatch(VERSION, str(entry.get("version")))
    }


# -- use ------------------------------------------------------------------------------------------


def usage(ecosystem: str, name: str) -> dict[str, Any]:
    """Lines of the repository that import a package."""
    word = name if ecosystem == "npm" else re.sub(r"[-.]+", "_", name)
    safe = re.escape(word)
    pattern = (
        rf"(from|require\(|import)\s*\(?['\"]{safe}(/[^'\"]*)?['\"]"
        if ecosystem == "npm"
        else rf"^\s*(from|import)\s+{safe}(\.|\s|,|$)"
    )
    suffixes = (
        ("*.js", "*.jsx", "*.ts", "*.tsx", "*.mjs", "*.cjs", "*.vue")
        if ecosystem == "npm"
        else ("*.py",)
    )
    done = subprocess.run(
        ["git", "grep", "-nIPi", "-z", "-e", pattern, "--", *suffixes],
        capture_output=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode > 1:
        raise Problem(f"git grep: {done.stderr.decode('utf-8', 'replace')}")
    lines = []
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        parts = line.split("\0")
        if len(parts) == 3:
            lines.append({"file": parts[0], "line": int(parts[1]), "text": parts[2].strip()[:160]})
    return {"files": len({one["file"] for one in lines}), "lines": lines[:40]}


# -- change ---------------------------------------------------------------------------------------


def apply(updates: list[dict[str, Any]]) -> dict[str, Any]:
    """Raise versions where they stand in the manifests. Done again, it changes nothing more."""
    known = set(manifests("."))
    changed, left = [], []
    for file in sorted({one["file"] for one in updates}):
        if file not in known:
            raise Problem(f"{file} declares no dependencies of this repository", USAGE)
        text = before = read(file)
        for one in (one for one in updates if one["file"] == file):
            text, done = _raised(text, one)
            (changed if done else left).append(f"{one['name']} {one['latest']} in {file}")
        if text != before:
            _replace(Path(file), text)
    return {"changed": changed, "left": left}


def _raised(text: str, one: dict[str, Any]) -> tuple[str, bool]:
    """The text with a dependency at its new version, and whether it is there now."""
    name, current, latest = one["name"], one["current"], one["latest"]
    if not re.fullmatch(NAME, name) or not all(re.fullmatch(VERSION, v) for v in (current, latest)):
        raise Problem(f"`{name} {current} {latest}` is no package with versions", USAGE)
    return _raised_npm(text, name, latest) if one["ecosystem"] == "npm" else _raised_python(text, one)


def _raised_npm(text: str, name: str, latest: str) -> tuple[str, bool]:
    """Only where it is a dependency: ranges for peers and engines are promises to others."""
    pattern = re.compile(rf'("{re.escape(name)}"\s*:\s*"[\^~=v]*){VERSION}(?=")')
    times = 0

    def within(section: re.Match[str]) -> str:
        nonlocal times
        new, done = pattern.subn(lambda match: match.group(1) + latest, section.group())
        times += done
        return new

    new = re.sub(rf'"(?:{"|".join(_NODE_KINDS)})"\s*:\s*\{{[^{{}}]*\}}', within, text)
    return new, times > 0


def _raised_python(text: str, one: dict[str, Any]) -> tuple[str, bool]:
    """Only pins of the version that was looked at: the same package may be pinned otherwise for an older
    Python, and a pin with hashes cannot be raised without the new ones."""
    flexible = re.sub(r"[-_.]+", "[-_.]+", re.escape(one["name"]).replace("\\", ""))
    versions = "|".join(re.escape(one[key]) for key in ("current", "latest"))
    pattern = (
        rf"(?mi)((?:^|[\"'])\s*{flexible}\s*(?:\[[^\]]*\])?\s*===?\s*)(?:{versions})"
        r"(?![0-9A-Za-z.+!_*-])(?!(?:\\\n|[^\n])*?--hash)"
    )
    new, times = re.subn(pattern, lambda match: match.group(1) + one["latest"], text)
    return new, times > 0


def _replace(path: Path, text: str) -> None:
    building = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        building.write_text(text, encoding="utf-8")
        building.chmod(path.stat().st_mode & 0o777)
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)


if __name__ == "__main__":
    main({"inventory": inventory, "usage": usage, "apply": apply})
