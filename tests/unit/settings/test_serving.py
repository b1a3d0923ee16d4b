"""What `serve` of config.yaml says is what a server goes by."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from aiworkflow.bundle.keys_serve import SERVE
from aiworkflow.settings.serving import ServeOptions, serve_options

SAID = {
    "host": "::1", "port": 81, "max_runs": 2, "max_ready": 3, "grace": "4s", "reload": "5s",
    "log": "json", "socket": "s.sock", "hosts": ["x"], "webhooks": {"max_requests": 6},
    "tls": {"certificate": "c.pem", "key": "/etc/k.pem", "client_ca": "a.pem"},
}  # fmt: skip


def test_every_setting_counts() -> None:
    assert {key.name for key in SERVE.keys} == SAID.keys()
    found = serve_options(SAID, Path("/p"))
    assert found == ServeOptions(
        "::1", 81, 2, 3, 4.0, 5.0, "json", "/p/s.sock", ["x"], "/p/c.pem", "/etc/k.pem", "/p/a.pem", SAID
    )  # fmt: skip
    plain = ServeOptions()
    assert all(
        getattr(found, one.name) != getattr(plain, one.name) for one in dataclasses.fields(found)
    )
    assert serve_options({}, Path("/p")) == dataclasses.replace(plain, more={})
