"""The controller's options on who may call it over gRPC, and over which wire."""

from __future__ import annotations

import argparse
from pathlib import Path

from deploy.controller.settings import AccessSettings
from env.command import port_number


def add_access_options(group: argparse._ArgumentGroup) -> None:
    """The options that `access_settings` reads."""
    group.add_argument(
        "--front-end-token-file",
        type=Path,
        metavar="FILE",
        help="file with the token (openssl rand -hex 32) that front ends on other machines show; "
        "without it they are refused, those on this machine are taken",
    )
    group.add_argument(
        "--trust-front-ends",
        action="append",
        default=[],
        metavar="CIDR",
        help="network or address whose front ends need show nothing, such as an existing one that "
        "knows no token; may be given again (default: none)",
    )
    group.add_argument(
        "--local-front-ends-need-token",
        action="store_true",
        help="front ends of this machine need the token, too: it has other users, or something "
        "forwards connections from elsewhere to it",
    )
    group.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="certificate of the controller with its chain (PEM): --port speaks TLS, and only TLS",
    )
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key (PEM)")
    group.add_argument(
        "--tls-ca",
        type=Path,
        metavar="FILE",
        help="CA that has signed it: our own workers get it at their spawn and check with it",
    )
    group.add_argument(
        "--tls-server-name",
        metavar="NAME",
        help="name in the certificate that workers look for (default: the address that they call)",
    )
    group.add_argument(
        "--plaintext-port",
        type=port_number,
        metavar="PORT",
        help="a further port without TLS, for workers and front ends of the existing system",
    )
    group.add_argument(
        "--front-end-port",
        type=port_number,
        metavar="PORT",
        help="a further port over TLS for front ends that show a certificate instead of the token",
    )
    group.add_argument(
        "--front-end-ca",
        type=Path,
        metavar="FILE",
        help="CA that signs those certificates, and no others",
    )


def access_settings(args: argparse.Namespace) -> AccessSettings:
    """What the options say; the files are read later."""
    return AccessSettings(
        front_end_token_file=args.front_end_token_file,
        trusted_front_ends=tuple(args.trust_front_ends),
        local_needs_token=args.local_front_ends_need_token,
        front_end_port=args.front_end_port,
        front_end_ca=args.front_end_ca,
        tls_cert=args.tls_cert,
        tls_key=args.tls_key,
        tls_ca=args.tls_ca,
        tls_server_name=args.tls_server_name,
        plaintext_port=args.plaintext_port,
    )
