"""Who may call the controller over gRPC, and over which wire: made as the settings say."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

import grpc.aio

from deploy.controller.parts import Ports, listen_for_grpc
from deploy.controller.settings import AccessSettings, Settings
from deploy.grpc_api.front_ends import FrontEnds
from deploy.grpc_api.peers import Network
from deploy.grpc_api.tls import (
    Certificate,
    as_inline,
    check_chain,
    read_ca,
    read_certificate,
    server_credentials,
)
from deploy.grpc_api.tokens import Tokens, read_tokens
from deploy.listening import is_loopback
from deploy.storage.factory import DEFAULT_SECRET_KEY
from env.errors import DaCircoError

NAME_FIX: Final = (
    "give --tls-server-name NAME, one that the certificate holds, or another certificate or CA"
)


@dataclass(frozen=True, slots=True)
class Access:
    """What was read of the files that the settings name.

    Attributes:
        front_ends: who may make front ends' calls.
        certificate: of the controller; none: no TLS.
        ca: what our workers are given to check it with.
        clients_ca: who signs the certificates of front ends.
    """

    front_ends: FrontEnds
    certificate: Certificate | None = None
    ca: bytes | None = None
    clients_ca: bytes | None = None


def read_access(settings: AccessSettings) -> Access:
    """Read and check the files of the settings.

    Raises:
        DaCircoError: one cannot be used, or options are missing beside others.
    """
    tokens = settings.front_end_token_file
    front_ends = FrontEnds(
        tokens=None if tokens is None else Tokens(read_tokens(tokens)),
        trusted=tuple(read_network(text) for text in settings.trusted_front_ends),
        local_needs_token=settings.local_needs_token,
    )
    if settings.local_needs_token and tokens is None and settings.front_end_port is None:
        raise DaCircoError(
            "--local-front-ends-need-token shuts every front end out: give --front-end-token-file"
        )
    if settings.tls_cert is None or settings.tls_key is None or settings.tls_ca is None:
        if settings.tls_cert or settings.tls_key or settings.tls_ca:
            raise DaCircoError("give all of --tls-cert, --tls-key and --tls-ca, or none")
        for option, value in (
            ("--plaintext-port", settings.plaintext_port),
            ("--front-end-port", settings.front_end_port),
            ("--tls-server-name", settings.tls_server_name),
        ):
            if value is not None:
                raise DaCircoError(f"{option} needs --tls-cert, --tls-key and --tls-ca")
        return Access(front_ends)
    if (settings.front_end_port is None) != (settings.front_end_ca is None):
        raise DaCircoError("give both --front-end-port and --front-end-ca, or neither")
    return Access(
        front_ends,
        read_certificate(settings.tls_cert, settings.tls_key),
        read_ca(str(settings.tls_ca), "--tls-ca"),
        None
        if settings.front_end_ca is None
        else read_ca(str(settings.front_end_ca), "--front-end-ca"),
    )


def read_network(text: str) -> Network:
    """A network as ``10.0.0.0/24``, or one address.

    Raises:
        DaCircoError: it is none.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise DaCircoError(
            f"--trust-front-ends {text!r}: {error}: write for instance 10.0.0.7 or 10.0.0.0/24"
        ) from None


def open_ports(
    server: grpc.aio.Server, host: str, port: int, access: Access, settings: AccessSettings
) -> Ports:
    """Let the server listen where the settings say.

    Raises:
        DaCircoError: it cannot.
    """
    if access.certificate is None:
        return Ports(listen_for_grpc(server, host, port))
    secure = server_credentials(access.certificate)
    plaintext = front_ends = None
    main = listen_for_grpc(server, host, port, secure)
    if settings.plaintext_port is not None:
        plaintext = listen_for_grpc(server, host, settings.plaintext_port)
    if settings.front_end_port is not None:
        mutual = server_credentials(access.certificate, access.clients_ca)
        front_ends = listen_for_grpc(server, host, settings.front_end_port, mutual)
    return Ports(main, plaintext, front_ends)


def workers_tls(access: Access, settings: AccessSettings, address: str) -> tuple[str, str]:
    """What workers are told of TLS: the CA in one line, and the name to look for; empty: none.

    Raises:
        DaCircoError: workers that call this address would not accept the certificate.
    """
    if access.ca is None or settings.tls_cert is None or settings.tls_key is None:
        return "", ""
    name = settings.tls_server_name or ""
    check_chain(settings.tls_cert, settings.tls_key, access.ca, name or address, NAME_FIX)
    return as_inline(access.ca), name


def warnings(settings: Settings, host: str) -> list[str]:
    """What an operator who opens the controller to the network must know."""
    told = []
    minio, open_to_others = settings.minio, not is_loopback(host)
    with_s3 = minio.server is not None or (settings.storage or "").startswith("s3")
    if open_to_others and with_s3 and minio.secret_key == DEFAULT_SECRET_KEY:
        told.append(
            "the object storage's secret key is the well-known default: everyone who reaches the "
            "storage can read and change all videos; give it another, and the controller with it"
        )
    if open_to_others and settings.access.tls_cert is None:
        told.append(
            f"gRPC on {host} is not encrypted: whoever can listen on the network between workers "
            "and controller learns the workers' secret ids; see --tls-cert"
        )
    if settings.access.trusted_front_ends:
        networks = ", ".join(settings.access.trusted_front_ends)
        told.append(f"everyone in {networks} may submit and list jobs without a credential")
    return told
