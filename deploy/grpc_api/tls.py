"""TLS on gRPC connections: certificates from files, and channels that check them."""

from __future__ import annotations

import base64
import binascii
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from deploy.secret_file import read_secret_file
from env.errors import DaCircoError

INLINE: Final = "base64:"
"""Before the content of a certificate where the name of its file could stand."""
MOST_CA_BYTES: Final = 16 * 1024
"""It travels in a VM's user data, of which clouds take 64 KiB."""
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with what belongs to it (its chain), and its private key; both in PEM."""

    chain: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How a client checks the server that it calls, and who it says that it is.

    Attributes:
        ca: certificates of whoever may have signed the server's, in PEM.
        server_name: the name that the server's certificate must hold; empty: what is called.
        own: the client's own certificate, for a server that asks for one.
    """

    ca: bytes
    server_name: str = ""
    own: Certificate | None = None


def open_channel(
    target: str, tls: ClientTls | None, options: Sequence[tuple[str, Any]] = ()
) -> grpc.aio.Channel:
    """A channel to ``HOST:PORT``; without TLS where none is given."""
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    own = tls.own
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.ca,
        private_key=None if own is None else own.key,
        certificate_chain=None if own is None else own.chain,
    )
    if tls.server_name:
        options = (*options, ("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(target, credentials, options=options)


def server_credentials(
    certificate: Certificate, clients_ca: bytes | None = None
) -> grpc.ServerCredentials:
    """Of a server with this certificate.

    Args:
        certificate: the server's.
        clients_ca: who must have signed the certificate that each caller has to show; none: no
            caller is asked for one.
    """
    return grpc.ssl_server_credentials(
        [(certificate.key, certificate.chain)],
        root_certificates=clients_ca,
        require_client_auth=clients_ca is not None,
    )


def read_certificate(chain: Path, key: Path) -> Certificate:
    """A certificate and its key from their files.

    Raises:
        DaCircoError: a file is not usable, others can read the key, or they do not belong
            together.
    """
    private = read_secret_file(key, "--tls-key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(chain, key, password=_refuse_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise DaCircoError(
            f"--tls-cert {chain} with --tls-key {key}: {_words(error)}: give a certificate in PEM "
            "and its own key without a password"
        ) from None
    return Certificate(_read(chain, "--tls-cert"), private)


def read_ca(given: str, option: str) -> bytes:
    """The certificates of a CA: the name of a file, or ``base64:`` and its content.

    Raises:
        DaCircoError: they cannot be read, or are no certificates.
    """
    if given.startswith(INLINE):
        try:
            content = base64.b64decode(given.removeprefix(INLINE), validate=True)
        except (binascii.Error, ValueError):
            raise DaCircoError(f"{option}: what follows {INLINE} is not in base64") from None
    else:
        content = _read(Path(given), option)
    try:
        # Only to see whether they can be read: gRPC would fail at the first call, in a riddle.
        ssl.create_default_context(cadata=content.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise DaCircoError(
            f"{option} {given[:80]}: {_words(error)}: give certificates in PEM"
        ) from None
    if len(content) > MOST_CA_BYTES:
        raise DaCircoError(
            f"{option} {given[:80]} is larger than {MOST_CA_BYTES} bytes: give only the CA that "
            "has signed the controller's certificate"
        )
    return content


def as_inline(ca: bytes) -> str:
    """The form of a CA that stands in one line of an environment file."""
    return INLINE + base64.b64encode(ca).decode("ascii")


def check_chain(chain: Path, key: Path, ca: bytes, name: str, fix: str) -> None:
    """See whether a client that trusts the CA would take this server for what it calls.

    Args:
        chain: of the server's certificate.
        key: its private key.
        ca: what clients are given.
        name: what they call, or are told to look for.
        fix: what to do if they would not, for the error.

    Raises:
        DaCircoError: they would not: another CA, another name, too late.
    """
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(chain, key, password=_refuse_password)
    client_side = ssl.create_default_context(cadata=ca.decode("ascii"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname=name)
    done = False
    while not done:
        done = True
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                done = False
            except ssl.SSLError as error:
                raise DaCircoError(
                    f"clients would not accept --tls-cert {chain} for {name!r}: {_words(error)}: "
                    f"{fix}"
                ) from None


def _read(path: Path, option: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DaCircoError(f"{option} {path}: {error.strerror}") from None
    if _BEGIN not in content:
        raise DaCircoError(f"{option} {path} holds no certificate in PEM")
    return content


def _refuse_password() -> bytes:
    raise ValueError("the key has a password")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not readable").replace("_", " ").lower()
    return getattr(error, "strerror", None) or str(error)
