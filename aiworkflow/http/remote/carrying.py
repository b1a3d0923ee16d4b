"""Carrying runs from a server to this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.client.portable import own_file, refuse_taken
from aiworkflow.errors import UsageError
from aiworkflow.http.remote.reading import path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aiworkflow.http.remote.connection import Connection


class RemoteCarrier:
    """Exports runs of a server; as `aiworkflow.client.carrier.Carrier`, one at a time.

    Args:
        find: the full id of a run, given as a person writes it.
    """

    def __init__(self, connection: Connection, find: Callable[[str], str]) -> None:
        self._connection = connection
        self._find = find

    def export(
        self, runs: Sequence[str], path: Path | str | None = None, *, with_children: bool = True
    ) -> tuple[Path, list[str]]:
        """Write a run to a file here.

        Raises:
            UsageError: several were asked for, or the file is there already or cannot be written.
        """
        if len(runs) != 1:
            raise UsageError("a server gives one run at a time", hint="export each by itself")
        run = self._find(runs[0])
        query = None if with_children else {"without_children": "true"}
        target = Path(path) if path is not None else Path(f"{run}.run.zip")
        refuse_taken(target)
        content = self._connection.get_bytes(path_of(run, "export"), query)
        try:
            with own_file(target) as file:
                file.write(content)
        except OSError as error:
            raise UsageError(f"cannot write `{target}`: {error.strerror}") from error
        return target, [run]
