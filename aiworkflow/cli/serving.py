"""Runs a service in the foreground: settings of the command line, signals, the log."""

from __future__ import annotations

import dataclasses
import signal
from typing import TYPE_CHECKING, Final

from aiworkflow.cli.given import seconds, whole
from aiworkflow.cli.serverlog import check_form, set_up
from aiworkflow.errors import EXIT_OK, UsageError
from aiworkflow.records import record
from aiworkflow.settings.serving import ServeOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from aiworkflow.cli.out import Out
    from aiworkflow.cli.where import Where
    from aiworkflow.client.client import Client
    from aiworkflow.client.project import Project

_KINDS: Final = ("schedule", "webhook", "watch", "queue")


@record
class ServeRequest:
    """What the command line says.

    Attributes:
        only: kinds of triggers; empty for all.
        bundles: by name or path; empty for all.
        works: whether runs are driven here too.
        answers: whether there is an API, and webhooks are answered.
    """

    host: str | None = None
    port: str | None = None
    only: tuple[str, ...] = ()
    max_runs: str | None = None
    works: bool = True
    answers: bool = True
    grace: str | None = None
    log: str | None = None
    bundles: tuple[str, ...] = ()


def serve_project(request: ServeRequest, where: Where, out: Out) -> int:
    """Serve until stopped; the exit code.

    Raises:
        UsageError: something on the command line, or in the settings, cannot be used.
    """
    for kind in request.only:
        if kind not in _KINDS:
            raise UsageError(
                f"there is no kind of trigger `{kind}`", hint=f"use one of {', '.join(_KINDS)}"
            )
    if "webhook" in request.only and not request.answers:
        raise UsageError(
            "`--no-http` answers no webhooks", hint="leave out `--no-http`, or `--only webhook`"
        )
    client = where.connect()
    refuse_bad_settings(client.project)
    options = _options(request, client)
    set_up(options.log, verbose=out.verbose, quiet=out.quiet)
    _run(_serve(client, request, options, where))
    return EXIT_OK


def _run(serving: Coroutine[None, None, None]) -> None:
    """Run it on uvloop, which takes half as long for a request; without it on the usual loop."""
    try:
        import uvloop
    except ImportError:
        import asyncio

        asyncio.run(serving)
    else:
        uvloop.run(serving)


def refuse_bad_settings(project: Project) -> None:
    """Raise when a config.yaml has errors: a server must not run by half of what it says.

    Raises:
        UsageError: with the first of them.
    """
    from aiworkflow.diagnostics import Report

    report = Report()
    project.layered(report)
    for found in report.sorted():
        if found.severity == "error":
            raise UsageError(found.message, hint=found.hint, place=found.place)


def _options(request: ServeRequest, client: Client) -> ServeOptions:
    from aiworkflow.triggers.assembly import options_of

    options = options_of(client.project)
    said: dict[str, object] = {"host": request.host, "log": request.log}
    for name, text in (("port", request.port), ("max_runs", request.max_runs)):
        least, most = (0, 65_535) if name == "port" else (1, 10_000)
        option = f"--{name.replace('_', '-')}"
        said[name] = None if text is None else whole(option, text, least, most)
    if request.log is not None:
        check_form(request.log)
    if request.grace is not None:
        said["grace_s"] = seconds("--grace", request.grace)
    if request.host is not None or request.port is not None:
        said["socket"] = ""  # an address that is asked for is stronger than the settings' socket
    changed = {name: value for name, value in said.items() if value is not None}
    return dataclasses.replace(options, **changed)  # type: ignore[arg-type]


async def _serve(
    client: Client, request: ServeRequest, options: ServeOptions, where: Where
) -> None:
    from aiworkflow.triggers.assembly import open_service

    async with client:
        service = open_service(
            client,
            kinds=request.only or None,
            bundles=[client.project.read(one)[0] for one in request.bundles],
            works=request.works,
            options=options,
        )
        if not request.answers:
            stop_on_signals(service.stop)
            await service.run()
            return
        from aiworkflow.http.together import Server

        server = Server(service, client, options, reopen=where.connect)
        stop_on_signals(server.stop)
        await server.run()


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Have the process come to an orderly end when it is interrupted or terminated."""
    import asyncio

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
