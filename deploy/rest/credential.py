"""How the Job API shows the controller who it is, and checks who the controller is."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from deploy.grpc_api.tls import ClientTls, read_ca, read_certificate
from deploy.grpc_api.tokens import OPTION, read_tokens
from deploy.listening import is_loopback
from env.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Credential:
    """What was read of the files that the options name.

    Attributes:
        token: shown with each call.
        tls: how to check the controller; none: it speaks no TLS.
        warning: what the operator should know.
    """

    token: SecretStr | None = None
    tls: ClientTls | None = None
    warning: str | None = None


def add_credential_options(parser: argparse.ArgumentParser) -> None:
    """The options that `read_credential` reads."""
    group = parser.add_argument_group("a controller on another machine, or one with TLS")
    group.add_argument(
        OPTION,
        type=Path,
        metavar="FILE",
        help="file with the token that the controller has in its own; a controller on this "
        "machine needs none",
    )
    group.add_argument(
        "--tls-ca", metavar="FILE", help="CA of the controller's certificate; without it: no TLS"
    )
    group.add_argument(
        "--tls-server-name", metavar="NAME", help="the name in it, if not --grpc-server"
    )
    for option, what in (("--tls-cert", "certificate"), ("--tls-key", "its private key")):
        group.add_argument(
            option,
            type=Path,
            metavar="FILE",
            help=f"{what} to show at the controller's --front-end-port",
        )


def read_credential(options: argparse.Namespace) -> Credential:
    """The files of the options, checked.

    Raises:
        DaCircoError: a file cannot be used, or options do not go together.
    """
    token = None
    if options.front_end_token_file is not None:
        token = read_tokens(options.front_end_token_file)[0]
    if (options.tls_cert is None) != (options.tls_key is None):
        raise ConfigError("give both --tls-cert and --tls-key, or neither")
    if options.tls_ca is None:
        for option in ("tls_cert", "tls_server_name"):
            if getattr(options, option) is not None:
                raise ConfigError(f"--{option.replace('_', '-')} needs --tls-ca: no TLS without it")
        near = options.grpc_server == "localhost" or is_loopback(options.grpc_server)
        warning = None
        if token is not None and not near:
            warning = (
                f"the token goes to {options.grpc_server} without encryption: whoever can listen "
                "on the way learns it; see --tls-ca"
            )
        return Credential(token, warning=warning)
    own = None
    if options.tls_cert is not None:
        own = read_certificate(options.tls_cert, options.tls_key)
    ca = read_ca(options.tls_ca, "--tls-ca")
    return Credential(token, ClientTls(ca, options.tls_server_name or "", own))
