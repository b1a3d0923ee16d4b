"""The files of a server's TLS: a certificate, its key, and who vouches for clients.

They are read before anything is started, and never is anybody asked for a passphrase.
"""

from __future__ import annotations

import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from aiworkflow.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime


def tls_context(certificate: str, key: str, client_ca: str) -> ssl.SSLContext | None:
    """With what a server answers by TLS; None where there is to be none.

    Args:
        certificate, key: files in PEM; "" for none.
        client_ca: file with who vouches for clients that show a certificate; "" for none.

    Raises:
        UsageError: the files are not there, or not what they should be.
    """
    if bool(certificate) != bool(key):
        raise UsageError("TLS takes a certificate and a key", hint="give both, or neither")
    if not certificate:
        return None
    for path in (certificate, key, client_ca):
        if path:
            _check_file(Path(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"`{certificate}` and `{key}` are no pair for TLS: {_why(error)}",
            hint="name a certificate, and the private key that belongs to it, both in PEM; the key "
            "must have no passphrase",
        ) from error
    if client_ca:
        _load_vouchers(context, client_ca)
    return context


def _load_vouchers(context: ssl.SSLContext, client_ca: str) -> None:
    try:
        context.load_verify_locations(client_ca)
    except OSError as error:
        raise UsageError(
            f"`{client_ca}` holds no certificates: {_why(error)}",
            hint="`serve.tls.client_ca` takes a PEM file with those that vouch for clients",
        ) from error
    context.verify_mode = ssl.CERT_OPTIONAL  # the API takes tokens of those who show none


def _check_file(path: Path) -> None:
    """Whether a file can be read. Raises UsageError."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            with path.open("rb"):
                return
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(
            f"`{path}` cannot be read: {_why(error)}",
            hint="TLS takes PEM files that the user of the server may read",
        ) from error
    raise UsageError(f"there is no file `{path}`", hint="`serve.tls` takes PEM files")


def _why(error: OSError) -> str:
    reason = getattr(error, "reason", None) or error.strerror or f"{error}"
    return str(reason).lower().replace("_", " ")


def validity(certificate: str) -> tuple[datetime, datetime] | None:
    """From when, and until when, a server's certificate is good; None where nobody here can read it.

    Args:
        certificate: a file that `tls_context` has taken.
    """
    try:
        from cryptography.x509 import load_pem_x509_certificates
    except ImportError:  # it comes with what a server needs
        return None
    try:
        first, *_ = load_pem_x509_certificates(Path(certificate).read_bytes())
    except (OSError, ValueError):
        return None
    return first.not_valid_before_utc, first.not_valid_after_utc


def validity_problem(certificate: str, now: datetime) -> str | None:
    """Why a certificate is refused by everybody who looks at its time; None where it is good."""
    found = validity(certificate)
    if found is None:
        return None
    begins, ends = found
    if now >= ends:
        return f"it was good until {_day(ends)}"
    return f"it is good from {_day(begins)} on" if now < begins else None


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
