"""The worker's options: from the command line, or from environment variables ``TCWORKER_...``."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.grpc_api.tls import INLINE, ClientTls, read_ca
from deploy.storage.base import check_key
from deploy.storage.factory import URL_HELP, s3_url
from deploy.worker.cpus import usable_cpus
from env.command import CommandParser, UsageError, port_number, positive_seconds, whole_number
from env.errors import DaCircoError

PREFIX: Final = "TCWORKER_"
SECRET_VARIABLE: Final = f"{PREFIX}MINIO_SECRET_KEY"
DEFAULT_DRAIN_S: Final = 25.0
"""Ends before Kubernetes kills a pod, 30 s after its SIGTERM."""
_BITRATE_UNITS: Final = {"kbit": 1000, "bit": 1}
_ID_LIMIT: Final = 200
_ON_COMMAND_LINE: Final = (
    "everyone on this machine can read the secret on the command line: better set "
    f"{SECRET_VARIABLE}, or give --minio-secret-key-file"
)


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is told at its start.

    Attributes:
        name: for people.
        worker_id: as the controller chose it.
        grpc_server: the controller's host.
        grpc_port: the controller's port.
        storage_url: see `deploy.storage.factory`.
        access_key: of an S3 storage, none for anonymous access.
        secret_key: of an S3 storage; kept out of `repr`.
        input_path: key prefix of the videos to transcode.
        output_path: key prefix of the results.
        keepalive_interval_s: between two signs of life, seconds.
        log_file: none for standard error.
        cpus: threads of ffmpeg's pools.
        work_dir: where the files of a task are, meanwhile.
        drain_timeout_s: how long a task may go on after SIGTERM, seconds.
        storage_patience_s: how long a storage that is down is tried again, seconds.
        controller_timeout_s: how long a controller may be away, seconds.
        bitrate_unit_bps: what a task's bitrate counts, bits a second.
        verbose: logs more.
        tls: how to check the controller; none: it speaks no TLS.
        tls_port: where it does, if not at `grpc_port`.
        warnings: what whoever has started it must know, one line each.
    """

    name: str
    worker_id: str
    grpc_server: str
    grpc_port: int
    storage_url: str
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    input_path: str = "input-videos"
    output_path: str = "output-videos"
    keepalive_interval_s: float = 15.0
    log_file: Path | None = None
    cpus: int = 1
    work_dir: Path = Path(tempfile.gettempdir())
    drain_timeout_s: float = DEFAULT_DRAIN_S
    storage_patience_s: float = 60.0
    controller_timeout_s: float = 3600.0
    bitrate_unit_bps: int = 1000
    verbose: bool = False
    tls: ClientTls | None = None
    tls_port: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def controller_port(self) -> int:
        """The port to call."""
        return self.grpc_port if self.tls is None else self.tls_port or self.grpc_port


def read_settings(argv: Sequence[str] | None, environment: Mapping[str, str]) -> WorkerSettings:
    """The settings from a command line and environment; the command line wins.

    Raises:
        DaCircoError: names the option and what is wrong with it.
    """
    options = _parser(environment).parse_args(argv)
    secret = options.minio_secret_key or _secret(options.minio_secret_key_file, environment)
    warnings = (_ON_COMMAND_LINE,) if options.minio_secret_key else ()
    if (options.minio_access_key is None) != (secret is None):
        raise UsageError(f"give both {PREFIX}MINIO_ACCESS_KEY and {SECRET_VARIABLE}, or neither")
    return WorkerSettings(
        name=_identifier("name", options.name),
        worker_id=_identifier("id", options.id),
        grpc_server=_given("grpc-server", options.grpc_server),
        grpc_port=options.grpc_port,
        storage_url=_storage_url(options),
        access_key=options.minio_access_key,
        secret_key=secret,
        input_path=_key_prefix(options.input_path),
        output_path=_key_prefix(options.output_path),
        keepalive_interval_s=options.keepalive_interval,
        log_file=options.log_file,
        cpus=options.cpus,
        work_dir=options.work_dir,
        drain_timeout_s=options.drain_timeout,
        storage_patience_s=options.storage_patience,
        controller_timeout_s=options.controller_timeout,
        bitrate_unit_bps=_bitrate_unit(options.bitrate_unit),
        verbose=options.verbose,
        tls=_tls(options),
        tls_port=options.tls_port,
        warnings=warnings,
    )


def _variable(option: str) -> str:
    return PREFIX + option.upper().replace("-", "_")


class _Parser(CommandParser):
    """Options that are environment variables, too."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        # Without abbreviations: --minio-secret must not be taken for the key or for its file.
        super().__init__(
            prog="dacirco_tc_worker",
            description="Transcodes videos: takes tasks from a DaCirco controller, one at a time.",
            epilog="Every option is an environment variable, too: TCWORKER_ and its name in "
            "capitals with underscores, such as TCWORKER_GRPC_SERVER. Everyone can read a command "
            f"line: give the S3 secret key by {SECRET_VARIABLE} or a file. "
            "On SIGTERM the worker goes on for --drain-timeout seconds to end its task, then "
            "hands it back as a storage error, which the controller tries elsewhere; a second "
            "SIGTERM hands it back at once.",
            allow_abbrev=False,
        )
        self._environment = environment

    def option(self, name: str, help: str, default: str | None = None, **kind: object) -> None:
        """Add ``--name``, whose default is its environment variable."""
        shown = "" if default is None else f" (default: {default})"
        value = self._environment.get(_variable(name)) or default
        self.add_argument(f"--{name}", default=value, help=help + shown, **kind)  # type: ignore[arg-type]


def _parser(environment: Mapping[str, str]) -> CommandParser:
    parser = _Parser(environment)
    add = parser.option
    add("grpc-server", "the controller's host name or address", metavar="HOST")
    add("grpc-port", "the controller's port", "50051", type=port_number, metavar="PORT")
    add("name", "the worker's name, for people")
    add("id", "the worker's id, as the controller chose it", metavar="UUID")
    add("minio-server", "host of the S3 storage (MinIO, Ceph, ...)", metavar="HOST")
    add("minio-port", "port of the S3 storage", "9000", type=port_number, metavar="PORT")
    add("minio-access-key", "user of the S3 storage", metavar="KEY")
    add("minio-secret-key-file", "file that holds the secret key", type=Path, metavar="FILE")
    parser.add_argument(
        "--minio-secret-key",
        metavar="SECRET",
        help="the secret key itself; others can read it there",
    )
    add("bucket-name", "bucket of the S3 storage", "videos", metavar="BUCKET")
    add("storage", f"{URL_HELP}; instead of the MinIO options", metavar="URL")
    add("input-path", "where the videos are in the storage", "input-videos", metavar="PREFIX")
    add("output-path", "where the results go", "output-videos", metavar="PREFIX")
    seconds = {"type": positive_seconds, "metavar": "SECONDS"}
    add("keepalive-interval", "between two signs of life", "15", **seconds)
    add("log-file", "the log; standard error if not given", type=Path, metavar="FILE")
    add(
        "cpus",
        "threads for transcoding; by default as many as the process may use here",
        str(usable_cpus()),
        type=whole_number,
        metavar="N",
    )
    add(
        "work-dir",
        "for the files of a task, while it lasts",
        tempfile.gettempdir(),
        type=Path,
        metavar="FOLDER",
    )
    add("drain-timeout", "for the task at hand, after SIGTERM", f"{DEFAULT_DRAIN_S:g}", **seconds)
    add("storage-patience", "how long a storage that is down is tried again", "60", **seconds)
    add("controller-timeout", "end when the controller is away for so long", "3600", **seconds)
    add(
        "tls-ca",
        f"CA of the controller's certificate, for TLS: a file, or {INLINE} and its content",
        metavar="FILE",
    )
    add("tls-server-name", "the name in it, if not --grpc-server", metavar="NAME")
    add(
        "tls-port",
        "the controller's port for TLS, if not --grpc-port",
        type=port_number,
        metavar="PORT",
    )
    add(
        "bitrate-unit",
        "what a task's bitrate counts: kbit/s, or bit/s as the workers of the 2022 system take it, "
        "for fleets that have both",
        "kbit",
        metavar="kbit|bit",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        default=environment.get(_variable("verbose"), "").lower() in ("1", "true", "yes"),
        help="log more",
    )
    return parser


def _tls(options: argparse.Namespace) -> ClientTls | None:
    if options.tls_ca:
        return ClientTls(read_ca(options.tls_ca, "--tls-ca"), options.tls_server_name or "")
    for option in ("tls_server_name", "tls_port"):
        if getattr(options, option):
            raise UsageError(f"--{option.replace('_', '-')} needs --tls-ca: no TLS without it")
    return None


def _given(option: str, value: str | None) -> str:
    if not value:
        raise UsageError(f"give --{option} or {_variable(option)}")
    return value


def _identifier(option: str, value: str | None) -> str:
    text = _given(option, value)
    if len(text) > _ID_LIMIT or not text.isprintable():
        raise UsageError(f"--{option} {text[:40]!a} is too long or not printable")
    return text


def _bitrate_unit(name: str) -> int:
    # Not by argparse: it does not check what comes from the environment.
    if name not in _BITRATE_UNITS:
        raise UsageError(f"--bitrate-unit {name[:40]!a} is not one of {', '.join(_BITRATE_UNITS)}")
    return _BITRATE_UNITS[name]


def _key_prefix(path: str) -> str:
    prefix = path.strip("/")
    check_key(prefix)
    return prefix


def _storage_url(options: argparse.Namespace) -> str:
    if options.storage:
        return str(options.storage)
    if not options.minio_server:
        raise UsageError(f"give {PREFIX}STORAGE or {PREFIX}MINIO_SERVER: where are the videos?")
    return s3_url(options.minio_server, options.minio_port, options.bucket_name)


def _secret(path: Path | None, environment: Mapping[str, str]) -> str | None:
    if path is None:
        return environment.get(SECRET_VARIABLE) or None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise DaCircoError(f"cannot read the secret key's file {path}: {error}") from error
