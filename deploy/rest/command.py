"""``dacirco_rest_api``: the Job API as a program."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.grpc_api.dialect import DEFAULT_DIALECT, DIALECT_HELP, DIALECTS
from deploy.listening import is_loopback, join_host_port, listen
from deploy.log_file import quiet_libraries
from deploy.rest.api_key import KEY_HEADER, KEY_VARIABLE, read_api_key
from deploy.rest.app import RestSettings, create_app
from deploy.rest.credential import add_credential_options, read_credential
from deploy.system.http_guard import HostNames
from deploy.system.http_server import HttpServer
from env.command import CommandParser, port_number, positive_seconds, run_command

_LOGGER = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the options, serve until SIGINT or SIGTERM, and return the exit code."""
    return run_command("dacirco_rest_api", lambda: _serve(make_parser().parse_args(argv)))


def _serve(options: argparse.Namespace) -> None:
    level = logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    quiet_libraries()
    key = read_api_key(options.api_key_file, os.environ)
    credential = read_credential(options)
    with listen(options.host, options.port, "choose others with --host and --port") as listener:
        host, port = listener.getsockname()[:2]
        if key is None and not is_loopback(host):
            _LOGGER.warning("everyone who reaches %s can submit jobs: set %s", host, KEY_VARIABLE)
        if credential.warning is not None:
            _LOGGER.warning("%s", credential.warning)
        _LOGGER.info("Job API on http://%s, see /docs", join_host_port(host, port))
        open_door = key is None or not is_loopback(host)
        settings = RestSettings(
            controller=join_host_port(options.grpc_server, options.grpc_port),
            api_key=key,
            timeout_s=options.grpc_timeout,
            token=credential.token,
            tls=credential.tls,
            dialect=options.dialect,
            hosts=HostNames(options.allowed_host) if open_door else None,
        )
        server = HttpServer(create_app(settings), access_log=options.verbose)
        server.run(sockets=[listener])


def make_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = CommandParser(
        prog="dacirco_rest_api",
        description="The Job API: takes jobs over HTTP and hands them to the controller.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every call")
    parser.add_argument(
        "-p", "--port", type=port_number, default=8000, help="port to listen on (%(default)s)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0 opens it to the network (%(default)s)",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name with a dot by which clients call this machine, or *.DOMAIN; give it again "
        "for more. Addresses, names without a dot, and this machine's own are always allowed; "
        "with a key and on loopback any is",
    )
    parser.add_argument(
        "--grpc-server", default="localhost", help="host of the controller (%(default)s)"
    )
    parser.add_argument(
        "--grpc-port", type=port_number, default=50051, help="its gRPC port (%(default)s)"
    )
    parser.add_argument(
        "--grpc-timeout",
        type=positive_seconds,
        default=10.0,
        metavar="SECONDS",
        help="after which a call to the controller is given up (%(default)s)",
    )
    parser.add_argument(
        "--dialect", choices=list(DIALECTS), default=DEFAULT_DIALECT, help=DIALECT_HELP
    )
    parser.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the key that calls must carry in {KEY_HEADER} or as bearer token; "
        f"default: the variable {KEY_VARIABLE}; without both, no key is needed",
    )
    add_credential_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
