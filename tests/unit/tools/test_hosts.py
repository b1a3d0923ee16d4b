"""Entries of `allow: network`."""

from __future__ import annotations

import pytest

from aiworkflow.tools.hosts import Host, is_allowed, is_forbidden_address


@pytest.mark.parametrize(
    ("entry", "host", "allowed"),
    [
        ("api.github.com", Host("api.github.com", 443), True),
        ("API.GitHub.com.", Host("api.github.com", 8443), True),
        ("api.github.com", Host("github.com", 443), False),
        ("github.com", Host("api.github.com", 443), False),
        ("github.com", Host("evilgithub.com", 443), False),
        ("*.github.com", Host("api.github.com", 443), True),
        ("*.github.com", Host("a.b.github.com", 443), True),
        ("*.github.com", Host("github.com", 443), False),
        ("*.github.com", Host("evilgithub.com", 443), False),
        ("*.github.com:443", Host("api.github.com", 80), False),
        ("localhost:8080", Host("localhost", 8080), True),
        ("localhost:8080", Host("localhost", 80), False),
        ("localhost:http", Host("localhost", 80), False),
        ("[::1]:80", Host("::1", 80), True),
        ("::1", Host("::1", 80), True),
        ("*", Host("github.com", 443), False),
        ("", Host("github.com", 443), False),
    ],
)
def test_an_entry_covers_its_hosts_and_no_others(entry, host, allowed):
    assert is_allowed(host, [entry]) == allowed


@pytest.mark.parametrize(
    ("address", "forbidden"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("100.100.100.200", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("140.82.112.3", False),
        ("no address", False),
    ],
)
def test_addresses_that_serve_credentials_are_reached_only_when_they_are_named(address, forbidden):
    assert is_forbidden_address(address, ["*.example.com", "metadata.google.internal"]) == forbidden
    assert not is_forbidden_address("169.254.169.254", ["169.254.169.254"])
