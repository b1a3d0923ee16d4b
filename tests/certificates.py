"""Certificates for tests of TLS, made anew each time."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any


def certificates(folder: Path) -> dict[str, str]:
    """A CA, and certificates of a server, of a client, of a stranger that no CA knows.

    `old` was the server's; its time is over.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def made(
        name: str, issuer: Any = None, signer: Any = None, *, days: float = 1
    ) -> tuple[Any, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        is_ca = issuer is None
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if issuer is None else issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=9))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .sign(key if signer is None else signer, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, key

    ca, ca_key = made("ca")
    made("stranger")
    for name in ("server", "ci"):
        made(name, ca, ca_key)
    made("old", ca, ca_key, days=-1)
    return {
        f"{name}.{ending}": str(folder / f"{name}.{ending}")
        for name in ("ca", "stranger", "server", "ci", "old")
        for ending in ("pem", "key")
    }
