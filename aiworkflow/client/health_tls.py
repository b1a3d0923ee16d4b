"""What `doctor` says of the files of TLS that `aiworkflow serve` answers with."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from aiworkflow.client.health_check import Check, ok, problem, warning
from aiworkflow.diagnostics import Report
from aiworkflow.errors import UsageError
from aiworkflow.settings.serving import serve_options
from aiworkflow.trust.tls import tls_context, validity, validity_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiworkflow.client.project import Project

_SOON: Final = timedelta(days=14)
_NAME: Final = "serve.tls"


def tls_checks(project: Project) -> Iterator[Check]:
    """One check where config.yaml names such files; none where it does not."""
    found, _ = project.layered(Report()).get("serve")
    said = serve_options(found if isinstance(found, dict) else {}, project.root)
    if not said.certificate:
        return
    try:
        tls_context(said.certificate, said.key, said.client_ca)
    except UsageError as error:
        yield problem(_NAME, error.message, error.hint)
        return
    now = project.clock.now()
    why = validity_problem(said.certificate, now)
    good = validity(said.certificate)
    if why is not None:
        yield problem(
            _NAME,
            f"nobody trusts `{said.certificate}`: {why}",
            "get a new one, and begin `serve` anew",
        )
    elif good is None:
        yield ok(_NAME, f"{said.certificate} and its key")
    elif good[1] - now < _SOON:
        text = f"{said.certificate} is good only until {good[1]:%Y-%m-%d}"
        yield warning(_NAME, text, "get a new one, and begin `serve` anew")
    else:
        yield ok(_NAME, f"{said.certificate}, good until {good[1]:%Y-%m-%d}")
