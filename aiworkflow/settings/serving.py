"""Settings of `aiworkflow serve`, as the map `serve` of config.yaml says them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiworkflow.records import record
from aiworkflow.settings import units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiworkflow.expr.types import Json


@record
class ServeOptions:
    """How a server runs.

    Attributes:
        max_runs: most runs that are driven at once.
        max_ready: most runs that wait for a worker; more events are refused.
        grace_s: how long running steps may take to finish at the end.
        reload_s: how often the project's files are looked at.
        log: `text` or `json`.
        socket: path of a Unix socket, instead of address and port; "" for none.
        hosts: names that it is called by; empty for any.
        certificate, key: files of TLS; "" for none. `client_ca`: who vouches for clients.
        more: all that was said, as plain data.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    max_runs: int = 16
    max_ready: int = 100_000
    grace_s: float = 30.0
    reload_s: float = 2.0
    log: str = "text"
    socket: str = ""
    hosts: Sequence[str] = ()
    certificate: str = ""
    key: str = ""
    client_ca: str = ""
    more: Mapping[str, Json] | None = None

    @property
    def address(self) -> tuple[str, str]:
        """Where this machine finds the server, and the certificate that it is known by; "" for none."""
        if self.socket:
            return f"unix:{self.socket}", ""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}", self.certificate


def serve_options(said: Mapping[str, Json], root: Path) -> ServeOptions:
    """Typed options of what was said, which whoever read it has checked.

    Args:
        root: where files are found whose paths are relative.
    """

    def file(path: object) -> str:
        return str(root / str(path)) if path else ""

    plain = ServeOptions()
    tls, hosts = said.get("tls"), said.get("hosts")
    files = tls if isinstance(tls, dict) else {}
    return ServeOptions(
        host=str(said.get("host", plain.host)),
        port=int(str(said.get("port", plain.port))),
        max_runs=int(str(said.get("max_runs", plain.max_runs))),
        max_ready=int(str(said.get("max_ready", plain.max_ready))),
        grace_s=units.duration(said["grace"]) if "grace" in said else plain.grace_s,
        reload_s=units.duration(said["reload"]) if "reload" in said else plain.reload_s,
        log=str(said.get("log", plain.log)),
        socket=file(said.get("socket")),
        hosts=[str(one) for one in hosts] if isinstance(hosts, list) else (),
        certificate=file(files.get("certificate")),
        key=file(files.get("key")),
        client_ca=file(files.get("client_ca")),
        more=said,
    )
