"""What keeps other users of the host out of SeaweedFS's inner ports.

The S3 port asks for signatures, but the ports between its roles would serve anybody who can reach them: on a host with
several users, any of them could delete every object.  So gRPC between the roles is mutual TLS under an authority
that signs one certificate and is forgotten, the volume server wants tokens, and `-disableHttp` closes the HTTP
interfaces of master and filer.  All secrets are made anew at each start.
Source: `weed scaffold -config=security` of version 4.48.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from daemon.embedded.private_files import write_private

_VALIDITY: Final = timedelta(days=3650)
_ROLES: Final = ("master", "volume", "filer", "s3", "client")
_TOKENS: Final = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")


def write_security(config_dir: Path, now: datetime) -> None:
    """Writes `security.toml` and the files it names, mode 0600; valid for ten years from `now`."""
    authority, certificate, private_key = _certificates(now)
    paths = {name: config_dir / name for name in ("authority.pem", "certificate.pem", "private_key.pem")}
    write_private(paths["authority.pem"], authority)
    write_private(paths["certificate.pem"], certificate)
    write_private(paths["private_key.pem"], private_key)
    tokens = {section: secrets.token_urlsafe(32) for section in _TOKENS}
    write_private(config_dir / "security.toml", render_security(paths, tokens))


def render_security(paths: dict[str, Path], tokens: dict[str, str]) -> str:
    """The text of `security.toml`."""
    blocks = [f'[{section}]\nkey = "{token}"\n' for section, token in tokens.items()]
    blocks.append(f"[grpc]\nca = {_literal(paths['authority.pem'])}\n")
    blocks += [
        f"[grpc.{role}]\ncert = {_literal(paths['certificate.pem'])}\nkey = {_literal(paths['private_key.pem'])}\n"
        for role in _ROLES
    ]
    blocks.append("[filer.expose_directory_metadata]\nenabled = false\n")
    return "\n".join(blocks)


def _literal(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _certificates(now: datetime) -> tuple[bytes, bytes, bytes]:
    """An authority, a certificate signed by it, and the certificate's private key, each as PEM."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = _name("object store authority")
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    authority = (
        _builder(authority_name, authority_name, authority_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    private_key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(_name("object store"), authority_name, private_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key_pem = private_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return authority.public_bytes(pem), certificate.public_bytes(pem), key_pem


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(days=1))  # a clock set back must not lock the store
        .not_valid_after(now.astimezone(UTC) + _VALIDITY)
    )
