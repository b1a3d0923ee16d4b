"""Machines on one: network namespaces joined by a bridge, a PostgreSQL server in one of them.

What is done to a machine: its worker is killed, it is stopped for a while, or its cable is pulled.
"""

from __future__ import annotations

import os
import pwd
import random
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import COMMAND, Project

_SUBNET = "10.213.7"
_PATIENCE_S = 30.0
WITH_US = ["setpriv", "--pdeathsig", "KILL"]
"""Before a command: it ends when this process does, however that ends."""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def binary(name: str) -> str | None:
    """A program of the PostgreSQL server, which as a rule is in no PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return str(places[0]) if places else shutil.which(name)


def need_machines() -> None:
    """Skip where no network namespaces can be made, or there is no server to begin in one."""
    probe = f"aw{secrets.token_hex(3)}"
    programs = [binary("initdb"), shutil.which("ip"), shutil.which("setpriv")]
    users = {user.pw_name for user in pwd.getpwall()}
    if None in programs or "postgres" not in users or os.geteuid() != 0:
        pytest.skip("needs root, `ip`, `setpriv` and PostgreSQL's own programs to make machines")
    try:
        ip("netns", "add", probe)
        ip("netns", "del", probe)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespaces here: {error.stderr.decode().strip()}")


class Network:
    """A bridge in a namespace of its own, and a namespace with a cable to it for each machine."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._token = secrets.token_hex(3)
        self.hub = self._space("hub")
        ip("-n", self.hub, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.hub, "link", "set", "bridge", "up")
        self._count = 0

    def _space(self, name: str) -> str:
        space = f"aw{self._token}{name}"
        ip("netns", "add", space)
        self._stack.callback(ip, "netns", "del", space)
        ip("-n", space, "link", "set", "lo", "up")
        return space

    def machine(self, name: str) -> tuple[str, str]:
        """A new machine: its namespace and its address."""
        space = self._space(name)
        self._count += 1
        address = f"{_SUBNET}.{self._count}"
        ip(
            "-n",
            self.hub,
            "link",
            "add",
            name,
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            space,
        )
        ip("-n", self.hub, "link", "set", name, "master", "bridge")
        ip("-n", self.hub, "link", "set", name, "up")
        ip("-n", space, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        return space, address

    def cut(self, name: str) -> None:
        ip("-n", self.hub, "link", "set", name, "down")

    def mend(self, name: str) -> None:
        ip("-n", self.hub, "link", "set", name, "up")


@contextmanager
def server(network: Network) -> Iterator[tuple[str, str]]:
    """A PostgreSQL server on a machine of its own; its URL from there, and by its socket from here."""
    with tempfile.TemporaryDirectory(prefix="aw") as name:  # pytest's own are for root alone
        postgres = pwd.getpwnam("postgres")
        os.chown(name, postgres.pw_uid, postgres.pw_gid)
        yield from _server(network, Path(name))


def _server(network: Network, folder: Path) -> Iterator[tuple[str, str]]:
    space, address = network.machine("db")
    as_postgres = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
    data = folder / "data"
    subprocess.run(
        [*as_postgres, str(binary("initdb")), "-D", str(data), "-A", "trust", "-E", "UTF8", "-N"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    with (data / "pg_hba.conf").open("a") as hba:
        hba.write(f"host all all {_SUBNET}.0/24 trust\n")
    options = ["-h", address, "-k", str(folder), "-c", "fsync=off", "-c", "max_connections=60"]
    as_postgres += ["--pdeathsig", "INT"]  # it ends with this process, however that ends
    running = subprocess.Popen(
        [
            "ip",
            "netns",
            "exec",
            space,
            *as_postgres,
            str(binary("postgres")),
            "-D",
            str(data),
            *options,
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        give_up = time.monotonic() + _PATIENCE_S
        ready = [str(binary("pg_isready")), "-h", str(folder), "-q"]
        while subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < give_up
            time.sleep(0.1)
        yield (
            f"postgresql://postgres@{address}/postgres",
            f"postgresql:///postgres?host={folder}&user=postgres",
        )
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(timeout=_PATIENCE_S)


@dataclass
class Machine:
    """A machine with a worker on it.

    Attributes:
        disturbed_until: when what was done to it is made good; `mend` does that.
        done: how often what was done to it.
    """

    network: Network
    name: str
    space: str
    project: Project
    words: list[str]
    process: subprocess.Popen[bytes] | None = None
    disturbed_until: float = 0.0
    mend: Callable[[], None] | None = None
    done: dict[str, int] = field(default_factory=dict)

    def start(self) -> None:
        log = (self.project.root / "worker.log").open("ab")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.space, *WITH_US, *COMMAND, "worker", *self.words],
            cwd=self.project.root,
            env=self.project.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def send(self, number: int) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.kill()

    def disturb(self, chance: random.Random, lease_s: float) -> None:
        """Do one of the bad things to it, for a while."""
        what = chance.choice(["kill", "stop", "cut"])
        self.done[what] = self.done.get(what, 0) + 1
        if what == "kill":
            self.kill()
            self.mend = self.start
        elif what == "stop":
            self.send(signal.SIGSTOP)
            self.mend = lambda: self.send(signal.SIGCONT)
        else:
            self.network.cut(self.name)
            self.mend = lambda: self.network.mend(self.name)
        self.disturbed_until = time.monotonic() + chance.uniform(0.2, 2.5) * lease_s

    def recover(self) -> None:
        if self.mend is not None:
            self.mend()
            self.mend = None

    def supervise(self) -> None:
        """Begin the worker again that could not open the journal, as a supervisor would."""
        if self.mend is None and self.process is not None and self.process.poll() is not None:
            said = (self.project.root / "worker.log").read_text()[-4000:]
            assert "does not answer" in said.rpartition("error:")[2], said
            self.start()


@contextmanager
def machines(
    folder: Path, count: int, config: str, *words: str
) -> Iterator[tuple[list[Machine], str]]:
    """Machines whose workers share a journal; and the journal's URL from here.

    Args:
        config: more lines of their config.yaml.
        words: further ones of `aiworkflow worker`.
    """
    with ExitStack() as stack:
        network = Network(stack)
        there, here = stack.enter_context(server(network))
        made = []
        for number in range(count):
            name = f"w{number}"
            space, _ = network.machine(name)
            project = Project(folder / name, git=False)
            project.env["NAME_OF_MACHINE"] = name
            project.write(".aiworkflow/config.yaml", f"journal: {there}\n{config}")
            made.append(Machine(network, name, space, project, list(words)))
            stack.callback(made[-1].end)
        yield made, here
