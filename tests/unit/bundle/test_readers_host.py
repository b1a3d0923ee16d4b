"""Hosts and paths of `allow`: what is taken, and the way out of what is not."""

from __future__ import annotations

import pytest

from aiworkflow.bundle.keys import Scope, read_settings
from aiworkflow.bundle.yamltree import compose
from aiworkflow.diagnostics import Report, Source


def said(text: str) -> list[str]:
    """What is reported of settings of the frontmatter: `code message | hint`."""
    report = Report()
    source = Source("f.yaml", text)
    node = compose(source, 0, len(text), report)
    read_settings(node, Scope.FRONTMATTER, None, report, lambda _: None)
    return [f"{d.code} {d.message} | {d.hint}" for d in report.sorted()]


@pytest.mark.parametrize(
    "host",
    ["a.com", "LOCALHOST", "*.a.com", "a:1", "a:9999", "a:65535", "[::1]", "[2001:db8::1]:443"],
)
def test_hosts_are_taken(host: str) -> None:
    assert said(f"allow: {{network: ['{host}']}}\n") == []


@pytest.mark.parametrize(
    ("host", "hint"),
    [
        ("a:65536", "a port is from 1 to 65535, without zeros before it"),
        ("a:99999", "a port is from 1 to 65535, without zeros before it"),
        ("a:0", "a port is from 1 to 65535, without zeros before it"),
        ("a:080", "a port is from 1 to 65535, without zeros before it"),
        ("[::1]:70000", "write an IPv6 address and a port: `[::1]:8080`"),
        ("[:::]", "write an IPv6 address and a port: `[::1]:8080`"),
        ("::1", "an IPv6 address stands in brackets: `[::1]`"),
        ("*", "name each host; `*.example.com` is all that is below one"),
        ("https://a.com", "leave out the scheme and the path"),
        ("a.com/x", "leave out the scheme and the path"),
        ("a..com", "write its name alone: letters, digits and `-`, with single dots between"),
        ("a.com.", "write its name alone: letters, digits and `-`, with single dots between"),
    ],
)
def test_what_is_no_host_is_told_a_way_out(host: str, hint: str) -> None:
    takes = "takes a host such as `api.github.com`, `host:8080` or `*.example.com`"
    assert said(f"allow: {{network: ['{host}']}}\n") == [
        f"AW523 `allow.network` {takes}, not `{host}` | {hint}"
    ]


@pytest.mark.parametrize(
    ("text", "way_out"),
    [
        ("allow: {paths: ['**', '!secrets/**']}\n", "nothing is excluded by `!`"),
        ("on: {watch: {paths: ['src', '!src/x']}}\n", "what is left aside stands in `ignore`"),
    ],
)
def test_a_pattern_that_would_exclude_is_refused(text: str, way_out: str) -> None:
    (only,) = said(text)
    assert only.startswith("AW524 ")
    assert only.endswith(way_out)
