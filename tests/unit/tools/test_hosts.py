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
        ("::ffff:a9fe:a9fe%eth0", True),
        ("::169.254.169.254", True),
        ("::ffff:0:169.254.169.254", True),
        ("64:ff9b::169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("64:ff9b::6464:64c8", True),
        ("64:ff9b:1::169.254.169.254", True),
        ("64:ff9b:1:a9fe:a9:fe00::", True),
        ("64:ff9b:1:a9:fe:a9fe::", True),
        ("64:ff9b:1::a9:fea9:fe00:0", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b:1::10.0.0.1", False),
        ("64:ff9b:2::169.254.169.254", False),
        ("2002:a9fe:a9fe::1", True),
        ("2002:0a00:0001::1", False),
        ("2001:0:1:1:0:0:5601:5601", True),
        ("::1", False),
        ("2606:4700::a9fe:a9fe", False),
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


@pytest.mark.parametrize("form", ["169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe"])
def test_an_address_that_is_named_is_reached_in_each_of_its_forms(form):
    assert not is_forbidden_address(form, ["169.254.169.254:80"])
    assert not is_forbidden_address(form, [f"[{form}]" if ":" in form else form])
    assert is_forbidden_address(form, ["169.254.169.253", "[64:ff9b::a9fe:a9fd]:80"])
