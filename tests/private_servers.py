"""Redis, RabbitMQ, NATS, SQS and Kafka servers of a test's own, to be killed and begun again."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.servers import is_demanded

PATIENCE_S = 90


def free_port() -> int:
    """A port that no client is given by chance while its server is away: clients' ports are higher."""
    while True:
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", 20_000 + secrets.randbelow(12_000)))
            return int(found.getsockname()[1])


def until(is_so: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        if process.poll() is not None or time.monotonic() > end:
            raise OSError(log.read_text(errors="replace")[-2000:])
        time.sleep(0.05)


class Server:
    """A server in a folder.

    Attributes:
        url: where it listens.
        demanded: its name in `.ci/servers`, if continuous integration must have it.
    """

    url: str
    demanded = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def answers(self) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        """Until it answers."""
        words, more = self.command()
        log = self.folder / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                words, env={**os.environ, **more}, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        until(self.answers, self._process, log)

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """In good order, as for an upgrade."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
        self.kill()

    def again(self, end: Callable[[], None] | None = None) -> None:
        """Killed, or ended in another way, and begun again."""
        (end or self.kill)()
        time.sleep(0.1)
        self.start()

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It has its connections, and answers nothing."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def begin(self) -> None:
        """The first start; skips the test where none can be run."""
        try:
            self.start()
        except OSError as error:
            self.kill()
            if self.demanded and is_demanded(self.demanded):
                raise
            pytest.skip(f"no server can be run here: {str(error)[-300:]}")


class PrivateRedis(Server):
    """Keeps what it has confirmed: `appendfsync always`."""

    def __init__(self, folder: Path, certificates: Path) -> None:
        super().__init__(folder)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        tls = free_port()
        self.tls_url = f"rediss://localhost:{tls}/0"
        self._words = ["--tls-port", str(tls), "--tls-auth-clients", "no"]
        for option, name in (("cert", "cert.pem"), ("key", "key.pem"), ("ca-cert", "ca.pem")):
            self._words += [f"--tls-{option}-file", str(certificates / name)]

    def command(self) -> tuple[list[str], dict[str, str]]:
        found = shutil.which("redis-server")
        if found is None:
            raise OSError("no redis-server")
        options = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [found, *where, *options, *self._words], {}

    def answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class PrivateRabbit(Server):
    """A node of its own."""

    def __init__(self, folder: Path, certificates: Path) -> None:
        super().__init__(folder)
        self.url = f"amqp://127.0.0.1:{self.port}/"
        tls = free_port()
        self.tls_url = f"amqps://localhost:{tls}/"
        self._node = f"t{secrets.token_hex(4)}@localhost"
        self._dist = free_port()
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nlisteners.ssl.1 = 127.0.0.1:{tls}\n"
            f"ssl_options.cacertfile = {certificates}/ca.pem\nssl_options.verify = verify_none\n"
            f"ssl_options.certfile = {certificates}/cert.pem\n"
            f"ssl_options.keyfile = {certificates}/key.pem\nlog.file.level = warning\n"
        )
        (folder / "plugins").write_text("[].\n")

    def command(self) -> tuple[list[str], dict[str, str]]:
        inside = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
        found = str(inside) if inside.exists() else shutil.which("rabbitmq-server")
        if found is None:
            raise OSError("no rabbitmq-server")
        return [found], {
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self._dist),
            "RABBITMQ_BASE": str(self.folder),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(self.folder / "expanded"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 2:2",
        }

    def answers(self) -> bool:
        import pika
        from pika.exceptions import AMQPError

        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (AMQPError, OSError):
            return False
        return True

    def until_there(self, queue: str) -> None:
        """Until the server has made a queue, which it may not have noted down yet."""
        import pika
        from pika.exceptions import ChannelClosedByBroker

        end = time.monotonic() + PATIENCE_S
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        while True:
            try:
                connection.channel().queue_declare(queue, passive=True)
            except ChannelClosedByBroker:
                assert time.monotonic() < end, f"no queue {queue}"
            else:
                break
        connection.close()

    def has_noted(self, queue: str) -> bool:
        """Whether the server will know of a queue when it is begun again."""
        name = f"%2F_{queue}".encode()
        notes = self.folder.glob("data/*/quorum/*/names.dets")
        return any(bytes([len(name)]) + name in one.read_bytes() for one in notes)


class PrivateNats(Server):
    """With JetStream, or, if it is guarded, with TLS and a login.

    Attributes:
        login: what a guarded one lets in.
    """

    demanded = "nats"
    login = "me:p@ss:w/rd"

    def __init__(self, folder: Path, certificates: Path | None = None, more: str = "") -> None:
        super().__init__(folder)
        self.url = f"nats://127.0.0.1:{self.port}"
        self.tls_url = f"nats+tls://localhost:{self.port}"
        text = f'listen: "127.0.0.1:{self.port}"\n{more or f"jetstream {{store_dir: {folder}/data}}"}\n'
        if certificates is not None:
            user, _, password = self.login.partition(":")
            text += f'authorization {{user: "{user}", password: "{password}"}}\n'
            text += (
                f"tls {{cert_file: {certificates}/cert.pem, key_file: {certificates}/key.pem}}\n"
            )
        (folder / "nats.conf").write_text(text)

    def command(self) -> tuple[list[str], dict[str, str]]:
        found = shutil.which("nats-server") or shutil.which("/usr/sbin/nats-server")
        if found is None:
            raise OSError("no nats-server")
        return [found, "-c", str(self.folder / "nats.conf")], {}

    def answers(self) -> bool:
        """It greets everybody; JetStream is ready by then."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 3) as line:
                line.settimeout(3)
                return line.recv(4).startswith(b"INFO")
        except OSError:
            return False


class PrivateSqs(Server):
    """moto's, in place of Amazon's; it keeps nothing when it is killed.

    Args:
        certificates: it speaks TLS with those of this folder.

    Attributes:
        login: keys that it takes; it takes any.
    """

    demanded = "moto"
    login = "AKID:se/cret+key"

    def __init__(self, folder: Path, certificates: Path | None = None) -> None:
        super().__init__(folder)
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.url = self.through(self.port)
        self.tls_url = f"sqs://eu-central-1/?endpoint=https://localhost:{self.port}"
        self._words: list[str] = []
        if certificates is not None:
            self._words = ["-c", f"{certificates}/cert.pem", "-k", f"{certificates}/key.pem"]

    def through(self, port: int) -> str:
        """The URL of it, by a port."""
        return f"sqs://eu-central-1/?endpoint=http://127.0.0.1:{port}&wait=1"

    def command(self) -> tuple[list[str], dict[str, str]]:
        script = Path(__file__).with_name("moto_server.py")
        return [sys.executable, str(script), "-p", str(self.port), *self._words], {}

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 3):
                return True
        except OSError:
            return False


class PrivateKafka:
    """The broker of `tests/kafka_broker.py`: not Apache Kafka, but it speaks its protocol.

    Attributes:
        url: where it listens.
        port: the same.
    """

    def __init__(self) -> None:
        pytest.importorskip("confluent_kafka", reason="confluent-kafka is not installed")
        words = [sys.executable, str(Path(__file__).with_name("kafka_broker.py"))]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        servers = self._process.stdout.readline().strip()
        self.port = int(servers.rpartition(":")[2])
        self.url = f"kafka://127.0.0.1:{self.port}"

    def order(self, *words: object) -> None:
        """Tell it something; see there."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "done\n"

    def again(self) -> None:
        """As if it were killed, and begun again on what it has."""
        self.order("down")
        time.sleep(0.3)
        self.order("up")

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It has its connections, and answers nothing."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """What it has is lost."""
        self._process.kill()
        self._process.communicate()


def make_certificates(folder: Path) -> None:
    """An authority, and a server's certificate for `localhost`."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_key = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    found = {}
    for subject, key in (("ca", authority), ("localhost", server)):
        is_ca = key is authority
        usage = x509.KeyUsage(not is_ca, False, False, False, False, is_ca, is_ca, False, False)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("ca"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier(ca_key.digest, None, None), False)
            .add_extension(usage, critical=True)
        )
        found[subject] = builder.sign(authority, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(found["ca"].public_bytes(pem))
    (folder / "cert.pem").write_bytes(found["localhost"].public_bytes(pem))
    (folder / "key.pem").write_bytes(
        server.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    folder.chmod(0o755)
