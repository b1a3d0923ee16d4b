"""The way to the server: its address, credentials, requests in threads, and errors that say what to do.

The client waits for each answer, so requests are made in threads of this line's own. One that had no
answer is repeated once, after a pause; whoever uses the queue pauses longer.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)

from aiworkflow.errors import UsageError
from aiworkflow.triggers.queues.address import login_of
from aiworkflow.triggers.queues.contract import QueueUnavailable

if TYPE_CHECKING:
    from aiworkflow.triggers.queues.address import Address

_CONNECT_S: Final = 5
_ANSWER_S: Final = 5
_TRIES: Final = 2
_THREADS: Final = 16
_WAIT_S: Final = 5
_LONGEST_WAIT_S: Final = 20
_OPTIONS: Final = {"endpoint", "wait"}
_FORM: Final = "write it like sqs://eu-central-1/ or sqs://eu-central-1/?endpoint=https://host:port"
_SAID: Final = 200
_LONG_GONE: Final = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_LATE: Final = {"ReceiptHandleIsInvalid", "MessageNotInflight"}
_NOT_NOW: Final = {"AWS.SimpleQueueService.PurgeQueueInProgress", "PurgeQueueInProgress"}
_WRONG_LOGIN: Final = {
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


class Gone(Exception):
    """The server has no such queue (any more)."""


class Late(Exception):
    """A lease that is over was to be settled."""


class TooSoon(Exception):
    """The queue has been purged within the last minute."""


class _Client(Protocol):
    def close(self) -> None: ...


class Line:
    """The way to a server.

    Attributes:
        wait_s: seconds for which a request for messages waits at the server until one is there.

    Raises:
        UsageError: the address is none.
    """

    def __init__(self, address: Address) -> None:
        parts = urlsplit(address.shown)
        options = dict(parse_qsl(urlsplit(address.url).query, keep_blank_values=True))
        self._shown = address.shown
        self._region = parts.hostname
        self._endpoint = options.get("endpoint")
        wait = options.get("wait", str(_WAIT_S))
        if parts.port is not None or parts.path not in {"", "/"}:
            raise UsageError(f"{address.shown} is no region of SQS", hint=_FORM)
        if options.keys() - _OPTIONS:
            one = min(options.keys() - _OPTIONS)
            raise UsageError(f"a queue on SQS has no option `{one[:40]}`", hint=_FORM)
        if self._endpoint is not None and not _is_endpoint(self._endpoint):
            raise UsageError(f"the `endpoint` of {address.shown} is no URL", hint=_FORM)
        if not (wait.isdecimal() and 1 <= int(wait) <= _LONGEST_WAIT_S):
            raise UsageError(
                f"`wait` of {address.shown} is not a whole number of seconds from 1 to 20",
                hint="leave it out for 5",
            )
        self.wait_s = int(wait)
        self._login = login_of(address)
        if self._login is not None and not all(self._login):
            raise UsageError(
                f"the login for {address.shown} is not two keys with a colon between them",
                hint="set the secret that `login` names to `access key id:secret access key`",
            )
        self._client: _Client | None = None
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, "aiworkflow sqs")

    async def ask(self, action: str, **said: object) -> dict[str, object]:
        """Make a request; its answer.

        Raises:
            Gone, Late, TooSoon, QueueUnavailable.
            UsageError: the client cannot be made at all.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._ask, action, said)

    async def close(self) -> None:
        """End it; requests that are under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            await asyncio.to_thread(self._client.close)

    def unavailable(self, why: str, hint: str = "") -> QueueUnavailable:
        """The error for whoever uses the queue."""
        where = self._shown + (f" ({self._endpoint})" if self._endpoint else "")
        return QueueUnavailable(
            f"the queue at {where} {why}",
            hint=hint or "see to it on the server, or correct the `url` of the queue",
        )

    def _ask(self, action: str, said: dict[str, object]) -> dict[str, object]:
        try:
            with self._making:
                if self._client is None:
                    self._client = self._make()
            return cast("dict[str, object]", getattr(self._client, action)(**said))
        except ClientError as error:
            raise self._refused(error) from error
        except (NoRegionError, InvalidRegionError) as error:
            raise UsageError(f"{self._shown} does not say which region", hint=_FORM) from error
        except ProfileNotFound as error:
            raise UsageError(str(error), hint="correct AWS_PROFILE") from error
        except (
            NoCredentialsError,
            PartialCredentialsError,
            CredentialRetrievalError,
            SSOError,
        ) as error:
            raise self.unavailable(
                f"cannot be asked without credentials ({type(error).__name__})",
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; or name a `login`",
            ) from error
        except (BotoCoreError, OSError) as error:
            raise self.unavailable(
                f"does not answer ({type(error).__name__})",
                "start the server, or correct the `url` of the queue",
            ) from error

    def _make(self) -> _Client:
        key, secret = self._login or (None, None)
        session = boto3.session.Session(
            aws_access_key_id=key, aws_secret_access_key=secret, region_name=self._region
        )
        config = Config(
            connect_timeout=_CONNECT_S,
            read_timeout=self.wait_s + _ANSWER_S,
            max_pool_connections=_THREADS,
            retries={"mode": "standard", "total_max_attempts": _TRIES},
        )
        made = session.client("sqs", endpoint_url=self._endpoint, config=config)
        return cast("_Client", made)

    def _refused(self, error: ClientError) -> Exception:
        about = error.response.get("Error", {})
        code, text = str(about.get("Code", "")), " ".join(str(about.get("Message", "")).split())
        if code in _LONG_GONE:
            return Gone(text)
        if code in _NOT_NOW:
            return TooSoon(text)
        if code in _LATE or (code == "InvalidParameterValue" and "receipt handle" in text.lower()):
            return Late(text)
        if code in _WRONG_LOGIN:
            return self.unavailable(
                f"refuses the credentials ({code})",
                "correct the secret that `login` names, or what stands in the usual places of AWS",
            )
        return self.unavailable(f"refuses: {(text or code)[:_SAID]}")


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_right = parts.port != 0 and parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        return False
    return is_right and "@" not in url and url.isprintable()
