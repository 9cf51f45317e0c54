"""``dacirco_controller``: the gRPC server, the scheduler and the worker manager."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from agents.loading import DEFAULT_FALLBACK
from deploy.controller.access_options import access_settings, add_access_options
from deploy.controller.parameter_files import quantity, read_pod_types, read_vm_types
from deploy.controller.settings import (
    DEFAULT_EVENT_LOG_MIB,
    DEFAULT_HTTP_PORT,
    DEFAULT_PORT,
    DEFAULT_SCHEDULER,
    SIGNS_WITHIN_TIMEOUT,
    MinioSettings,
    Mode,
    OpenStackSettings,
    Patience,
    PodSecurity,
    PodSettings,
    RunnerType,
    Settings,
)
from deploy.controller.webhook_options import add_webhook_options, webhook_settings
from deploy.grpc_api.dialect import DEFAULT_DIALECT, DIALECT_HELP, DIALECTS
from deploy.log_file import log_handler, quiet_libraries
from deploy.managers.pod.settings import PodType
from deploy.managers.vm.settings import VmType
from deploy.policy_options import add_policy_options
from env.command import (
    CommandParser,
    port_number,
    positive_seconds,
    run_command,
    whole_number,
    whole_number_or_none,
)
from env.config import PlacementName
from env.errors import DaCircoError

COMMAND: Final = "dacirco_controller"
SECRET_VARIABLE: Final = "DACIRCO_MINIO_SECRET_KEY"
DEFAULT_SECRET_KEY: Final = "pass4minio"
_MOST_TAG: Final = 200
_MOST_SEED_DIGITS: Final = 18


def make_parser() -> CommandParser:
    """The command's options: those of the existing system, and ours."""
    parser = CommandParser(
        prog=COMMAND,
        description="Schedule transcoding jobs on workers that are spawned and ended as needed.",
        epilog="Policies and their parameters: python -m agents. All times are in seconds.",
    )
    _add_service(parser.add_argument_group("service"))
    add_access_options(parser.add_argument_group("who may call over gRPC, and over which wire"))
    add_webhook_options(parser.add_argument_group("telling clients of the end of their jobs"))
    _add_scheduling(parser.add_argument_group("scheduling"))
    _add_patience(parser.add_argument_group("how long things may take"))
    _add_storage(parser.add_argument_group("object storage"))
    _add_openstack(parser.add_argument_group("workers as VMs (--runner-type vm)"))
    _add_pods(parser.add_argument_group("workers as pods (--runner-type pod)"))
    _add_local(parser.add_argument_group("workers as processes, and simulated ones"))
    return parser


def _add_service(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-v", "--verbose", action="store_true", help="log debugging details too")
    group.add_argument(
        "-p",
        "--port",
        type=port_number,
        default=DEFAULT_PORT,
        metavar="PORT",
        help="gRPC port; 0 takes a free one (default: %(default)s)",
    )
    group.add_argument(
        "--bind",
        "--bind-ip-address",
        metavar="ADDRESS",
        help="where gRPC listens (default: all interfaces for vm and pod, whose workers call from "
        "other machines; else 127.0.0.1)",
    )
    group.add_argument(
        "--ip-address",
        "--ip-address-for-tc-worker",
        metavar="ADDRESS",
        help="the address that workers call back (default: detected)",
    )
    group.add_argument(
        "--port-for-tc-worker",
        type=_called_port,
        metavar="PORT",
        help="the port that workers call back, where it is forwarded from another one "
        "(default: --port)",
    )
    group.add_argument(
        "--dialect", choices=list(DIALECTS), default=DEFAULT_DIALECT, help=DIALECT_HELP
    )
    group.add_argument(
        "--tag",
        type=_tag,
        default="",
        metavar="TEXT",
        help="a name for this run; it is written into the event log and its .config.txt",
    )
    group.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help="the controller's own log (default: standard error)",
    )
    group.add_argument(
        "--http-port",
        type=port_number,
        default=DEFAULT_HTTP_PORT,
        metavar="PORT",
        help="port of /metrics, /health, /ready and /preference; 0 takes a free one "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name with a dot by which HTTP clients call this machine, or *.DOMAIN; give it "
        "again for more. Addresses, names without a dot, and this machine's own are always allowed",
    )
    group.add_argument(
        "--http-host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where they listen; PUT /preference is only taken from this machine "
        "(default: %(default)s)",
    )
    group.add_argument(
        "-r",
        "--runner-type",
        type=str.lower,
        choices=get_args(RunnerType),
        default="vm",
        help="what workers are: VMs, pods, processes of this machine, or simulated "
        "(default: %(default)s)",
    )
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--store",
        default="sqlite:///dacirco.db",
        metavar="URL",
        help="database of jobs and workers: sqlite:///FILE or postgresql+psycopg://... "
        "(default: %(default)s)",
    )
    where.add_argument(
        "--db-file", type=Path, metavar="FILE", help="the same as --store sqlite:///FILE"
    )
    group.add_argument(
        "--event-log-file",
        type=Path,
        metavar="FILE",
        help="event log (default: the first free tc-events-XY.txt in the working directory)",
    )
    group.add_argument(
        "--event-log-max-mib",
        type=whole_number_or_none,
        default=DEFAULT_EVENT_LOG_MIB,
        metavar="N",
        help="a file of the event log that would grow beyond N MiB is continued beside it in "
        "tc-events-XY_part0002.txt and so on; 0 for never (default: %(default)s)",
    )
    group.add_argument(
        "--stop-workers",
        action="store_true",
        help="when the controller ends, end its workers too (default: they go on, and the next "
        "controller with this store adopts them)",
    )


def _add_scheduling(group: argparse._ArgumentGroup) -> None:
    add_policy_options(
        group,
        scheduler=DEFAULT_SCHEDULER,
        fallback=DEFAULT_FALLBACK,
        max_attempts=3,
        most_workers="2 for vm and pod, else as many as fit",
    )
    group.add_argument(
        "--quarantine-after",
        type=whole_number,
        default=3,
        metavar="N",
        help="a worker that fails so often in a row, and not by the jobs' fault, is ended and "
        "replaced (default: %(default)s)",
    )
    group.add_argument(
        "--mode",
        choices=get_args(Mode),
        default="active",
        help="shadow: the fallback decides, what the scheduler would have done is only logged "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--max-idle-time",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="how long an idle worker lives under the existing system's algorithms with a grace "
        "period (default: %(default)g)",
    )
    group.add_argument(
        "--max-queue",
        type=whole_number,
        default=10_000,
        metavar="N",
        help="most jobs in the system; further ones are refused (default: %(default)s)",
    )
    group.add_argument(
        "--flavors",
        type=_names,
        default=(),
        metavar="NAMES",
        help="sizes of worker that the scheduler may choose from, by commas (default: all of the "
        "profile, or of the parameter file; for the existing system's algorithms with one size "
        "--os-flavor or --pod-cpus and --pod-memory, or the file's table default)",
    )
    together = group.add_mutually_exclusive_group()
    for name, text in (
        ("concentrate", "prefer few nodes for VMs (soft affinity) and pods (preferred affinity)"),
        ("spread", "prefer many nodes for VMs and pods (soft or preferred anti-affinity)"),
    ):
        together.add_argument(
            f"--{name}-workers", dest="workers", action="store_const", const=name, help=text
        )
    group.add_argument(
        "--profile",
        metavar="NAME_OR_PATH",
        help="expected boot and service times (default: openstack for vm and simulated, "
        "kubernetes for pod, local for process)",
    )
    group.add_argument(
        "--catalog",
        metavar="NAME_OR_PATH",
        help="the videos whose length and resolution are known (default: local for process, "
        "else bbb)",
    )


def _add_patience(group: argparse._ArgumentGroup) -> None:
    patience = Patience()
    group.add_argument(
        "--call-interval",
        type=positive_seconds,
        default=patience.call_interval_s,
        metavar="S",
        help="period of the scheduler's call when nothing happens (default: %(default)g)",
    )
    group.add_argument(
        "--keepalive-timeout",
        type=_keepalive_timeout,
        default=patience.keepalive_s,
        metavar="S",
        help="a worker that is silent for longer is lost; workers are told to give a sign of life "
        "three times as often, every 15 s at the longest (default: %(default)g)",
    )
    group.add_argument(
        "--boot-timeout",
        type=positive_seconds,
        default=patience.boot_s,
        metavar="S",
        help="a worker that takes longer to register has failed (default: %(default)g)",
    )
    group.add_argument(
        "--task-timeout",
        type=positive_seconds,
        default=patience.task_s,
        metavar="S",
        help="a worker that takes longer for one job is given up (default: %(default)g)",
    )
    group.add_argument(
        "--retry-pause",
        type=positive_seconds,
        default=patience.retry_s,
        metavar="S",
        help="a job that failed waits for up to so long before its next attempt; twice as long "
        "each time (default: %(default)g)",
    )
    group.add_argument(
        "--longest-retry-pause",
        type=positive_seconds,
        default=patience.longest_retry_s,
        metavar="S",
        help="the longest that this pause becomes (default: %(default)g)",
    )
    group.add_argument(
        "--storage-look",
        type=positive_seconds,
        default=patience.storage_look_s,
        metavar="S",
        help="how often to look whether the object storage answers (default: %(default)g)",
    )


def _add_storage(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--storage",
        metavar="URL",
        help="a folder, s3://HOST:PORT/BUCKET or s3s:// over TLS; goes before --minio-server "
        "(default for process: the folder storage)",
    )
    group.add_argument("--minio-server", metavar="HOST", help="S3 server; required for vm and pod")
    group.add_argument(
        "--minio-port",
        type=port_number,
        default=9000,
        metavar="PORT",
        help="its port (default: %(default)s)",
    )
    group.add_argument(
        "--minio-access-key",
        default="minio",
        metavar="NAME",
        help="its user (default: %(default)s)",
    )
    group.add_argument(
        "--minio-secret-key",
        metavar="SECRET",
        help=f"its secret; better given in the variable {SECRET_VARIABLE} or in a file, since "
        f"others can read command lines (default: {DEFAULT_SECRET_KEY})",
    )
    group.add_argument(
        "--minio-secret-key-file",
        type=Path,
        metavar="FILE",
        help="file whose first line is the secret",
    )
    group.add_argument(
        "--worker-minio-access-key",
        metavar="NAME",
        help="a user of the workers' own, who may only read inputs and write results (default: the "
        "controller's user)",
    )
    group.add_argument(
        "--worker-minio-secret-key-file",
        type=Path,
        metavar="FILE",
        help="file whose first line is that user's secret",
    )


def _add_openstack(group: argparse._ArgumentGroup) -> None:
    default = OpenStackSettings()
    for option, value, text in (
        ("--os-image", default.image, "image of the workers"),
        ("--os-flavor", default.flavor, "flavor of the workers"),
        ("--os-key", default.key, "key pair"),
        ("--os-security-group", default.security_group, "security group"),
        ("--os-network", default.network, "network"),
        ("--os-cloud", default.cloud, "entry of clouds.yaml that owns the VMs"),
        (
            "--os-admin-cloud",
            default.admin_cloud,
            "entry that may read the nodes; need not be there",
        ),
        (
            "--os-service-user",
            default.service_user,
            "user of the image whom its worker runs as; he and root may read its environment file",
        ),
        (
            "--os-worker-log-file",
            default.worker_log_file,
            "file of the VM that the worker logs to, in a folder of that user; empty: none",
        ),
    ):
        group.add_argument(
            option, default=value, metavar="NAME", help=f"{text} (default: %(default)s)"
        )
    group.add_argument(
        "--os-placement",
        choices=get_args(PlacementName),
        default=default.placement,
        help="how VMs go to nodes: spread and concentrate make a server group "
        "(default: %(default)s, which leaves it to Nova)",
    )
    group.add_argument(
        "--vm-params-file",
        type=Path,
        metavar="FILE",
        help="TOML file with a table for each type of VM (default, small, large, ...); keys: "
        "image, flavor, key, security_group, network; what a table lacks is as given above",
    )


def _add_pods(group: argparse._ArgumentGroup) -> None:
    default = PodSettings()
    group.add_argument("--pod-image", metavar="IMAGE", help="container image of the workers")
    for what, unit, given in (
        ("cpu", "cores", default.size.cpu_request),
        ("memory", "RAM", default.size.memory_request),
    ):
        group.add_argument(
            "--pod-cpus" if what == "cpu" else "--pod-memory",
            dest=f"pod_{what}",
            type=_quantity,
            metavar="N" if what == "cpu" else "SIZE",
            help=f"{unit} of a pod, request and limit; 0: neither (default: {given}, unless one of "
            "the two is given)",
        )
        for kind in ("request", "limit"):
            group.add_argument(
                f"--pod-{what}-{kind}",
                type=_quantity,
                metavar="QUANTITY",
                help=f"{unit}: the {kind} alone, such as {'500m' if what == 'cpu' else '1.4Gi'}; "
                "0: none",
            )
    group.add_argument(
        "--pod-params-file",
        type=Path,
        metavar="FILE",
        help="TOML file with a table for each type of pod (default, small, large, ...); keys: "
        "image, cpu_request, memory_request, cpu_limit, memory_limit, node_selector",
    )
    group.add_argument(
        "--pod-node-selector",
        metavar="NODE|KEY=VALUE",
        help="only the node of this name, or only nodes with this label (several by commas)",
    )
    group.add_argument(
        "--pod-namespace",
        default=default.namespace,
        metavar="NAME",
        help="namespace of the pods, made when missing (default: %(default)s)",
    )
    group.add_argument(
        "--pod-security",
        choices=get_args(PodSecurity),
        default=default.security,
        help="what a worker's container may not do: baseline takes all capabilities and further "
        "privileges from it, restricted lets it not be root either, image leaves it as the image "
        "and the cluster have it (default: %(default)s)",
    )
    where = group.add_mutually_exclusive_group()
    where.add_argument(
        "--concentrate-pods", action="store_true", help="all pods on one node (required affinity)"
    )
    where.add_argument(
        "--spread-pods",
        action="store_true",
        help="no two pods on one node (required anti-affinity)",
    )


def _add_local(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--workers-folder",
        type=Path,
        default=Path("workers"),
        metavar="DIR",
        help="logs and working directories of process workers (default: %(default)s)",
    )
    group.add_argument(
        "--cores",
        type=whole_number,
        metavar="N",
        help="cores of this machine to offer (default: all that this process may use)",
    )
    group.add_argument(
        "--boot-delay",
        type=_seconds,
        default=0.0,
        metavar="S",
        help="process workers start this much later, as a VM that boots (default: %(default)g)",
    )
    group.add_argument(
        "--speed-up",
        type=_factor,
        default=1.0,
        metavar="N",
        help="with simulated workers, time passes so many times as fast (default: %(default)g)",
    )
    group.add_argument(
        "--seed",
        type=_seed,
        default=0,
        metavar="N",
        help="of the simulated workers' scatter and faults (default: %(default)s)",
    )


def _names(text: str) -> tuple[str, ...]:
    """An option's value: names by commas."""
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different names by commas")
    return names


def settings_from(args: argparse.Namespace) -> Settings:
    """The settings of a parsed command line.

    Raises:
        DaCircoError: options that do not go together, or a secret's file that cannot be read.
    """
    runner: RunnerType = args.runner_type
    if runner in ("vm", "pod") and args.minio_server is None and args.storage is None:
        raise DaCircoError(f"--runner-type {runner} needs --minio-server HOST")
    if args.speed_up != 1.0 and runner != "simulated":
        raise DaCircoError("--speed-up is for --runner-type simulated: real workers take real time")
    if args.workers is not None and (args.spread_pods or args.concentrate_pods):
        raise DaCircoError(
            f"--{args.workers}-workers is a preference, --spread-pods and --concentrate-pods are "
            "requirements: give one of them"
        )
    openstack = OpenStackSettings(
        args.os_image,
        args.os_flavor,
        args.os_key,
        args.os_security_group,
        args.os_network,
        args.os_placement,
        args.os_cloud,
        args.os_admin_cloud,
        service_user=args.os_service_user,
        worker_log_file=args.os_worker_log_file,
    )
    return Settings(
        runner_type=runner,
        bind=args.bind,
        port=args.port,
        http_host=args.http_host,
        http_port=args.http_port,
        allowed_hosts=tuple(args.allowed_host),
        ip_address=args.ip_address,
        scheduler=args.scheduler,
        fallback=args.fallback,
        mode=args.mode,
        preference=args.preference,
        max_idle_time_s=args.max_idle_time,
        max_workers=args.max_workers,
        max_attempts=args.max_attempts,
        quarantine_after=args.quarantine_after,
        max_queue=args.max_queue,
        flavors=args.flavors,
        profile=args.profile,
        catalog=args.catalog,
        store=_store(args),
        storage=args.storage,
        workers_folder=args.workers_folder,
        event_log_file=args.event_log_file,
        event_log_max_mib=args.event_log_max_mib,
        speed_up=args.speed_up,
        seed=args.seed,
        cores=args.cores,
        boot_delay_s=args.boot_delay,
        stop_workers=args.stop_workers,
        patience=Patience(
            call_interval_s=args.call_interval,
            boot_s=args.boot_timeout,
            keepalive_s=args.keepalive_timeout,
            task_s=args.task_timeout,
            retry_s=args.retry_pause,
            longest_retry_s=args.longest_retry_pause,
            storage_look_s=args.storage_look,
        ),
        dialect=args.dialect,
        tag=args.tag,
        worker_port=args.port_for_tc_worker,
        worker_placement=args.workers,
        vm_types=_vm_types(args.vm_params_file, openstack),
        pod_types={} if args.pod_params_file is None else read_pod_types(args.pod_params_file),
        openstack=openstack,
        pod=PodSettings(
            args.pod_image,
            _pod_size(args),
            args.pod_node_selector,
            args.concentrate_pods,
            args.spread_pods,
            args.pod_namespace,
            security=args.pod_security,
        ),
        access=access_settings(args),
        webhooks=webhook_settings(args),
        minio=MinioSettings(
            args.minio_server,
            args.minio_port,
            args.minio_access_key,
            _secret(args),
            worker_access_key=args.worker_minio_access_key,
            worker_secret_key=_workers_secret(args),
        ),
    )


def _store(args: argparse.Namespace) -> str:
    """URL of the store.

    Raises:
        DaCircoError: it is a folder.
    """
    url = str(args.store)
    path = Path(url.removeprefix("sqlite:///")) if args.db_file is None else args.db_file
    try:
        if not path.name or path.is_dir():
            raise DaCircoError(f"store {path}: it is a folder: give a file")
    except OSError as error:  # a name that is too long, for instance
        raise DaCircoError(f"store {str(path)[:200]}: {error.strerror}") from None
    if args.db_file is None:
        return url
    from sqlalchemy import URL  # takes long to import, and hardly anyone needs it

    return URL.create("sqlite", database=str(args.db_file)).render_as_string()


def _vm_types(path: Path | None, given: OpenStackSettings) -> dict[str, VmType]:
    if path is None:
        return {}
    names = (given.image, given.flavor, given.key, given.security_group, given.network)
    return read_vm_types(path, VmType(*names))


def _pod_size(args: argparse.Namespace) -> PodType:
    """The one size of pod: what is given for request or limit alone goes before both."""
    default, sizes = PodSettings().size, {}
    for what in ("cpu", "memory"):
        alone = {kind: getattr(args, f"pod_{what}_{kind}") for kind in ("request", "limit")}
        both = getattr(args, f"pod_{what}")
        if both is None:
            nothing_given = all(value is None for value in alone.values())
            both = getattr(default, f"{what}_request") if nothing_given else ""
        for kind, value in alone.items():
            sizes[f"{what}_{kind}"] = both if value is None else value
    return PodType(**sizes)


def _secret(args: argparse.Namespace) -> str:
    if args.minio_secret_key is not None:
        return str(args.minio_secret_key)
    path: Path | None = args.minio_secret_key_file
    if path is not None:
        return _first_line(path, "--minio-secret-key-file")
    return os.environ.get(SECRET_VARIABLE) or DEFAULT_SECRET_KEY


def _quantity(text: str) -> str:
    try:
        return quantity(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:60]!r} {error}") from None


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_SEED_DIGITS):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a whole number of 0 or more with at most {_MOST_SEED_DIGITS} "
            "digits"
        )
    return int(text)


def _called_port(text: str) -> int:
    port = port_number(text)
    if port == 0:
        raise argparse.ArgumentTypeError("'0' is no port that workers can call: give 1 to 65535")
    return port


def _tag(text: str) -> str:
    if len(text) > _MOST_TAG or not text.isprintable():
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not usable: at most {_MOST_TAG} printable characters"
        )
    return text


def _workers_secret(args: argparse.Namespace) -> str | None:
    path: Path | None = args.worker_minio_secret_key_file
    if (path is None) != (args.worker_minio_access_key is None):
        raise DaCircoError(
            "give both --worker-minio-access-key and --worker-minio-secret-key-file, or neither"
        )
    return None if path is None else _first_line(path, "--worker-minio-secret-key-file")


def _first_line(path: Path, option: str) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DaCircoError(f"{option} {path}: {error}") from None
    if not lines or not lines[0]:
        raise DaCircoError(f"{option} {path}: its first line is empty")
    return lines[0]


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return number


def _keepalive_timeout(text: str) -> float:
    timeout = positive_seconds(text)
    if timeout < SIGNS_WITHIN_TIMEOUT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is below {SIGNS_WITHIN_TIMEOUT} s: workers give a sign of life every second "
            "at the most, and one that comes late must not cost a worker"
        )
    return timeout


def _factor(text: str) -> float:
    number = _seconds(text)
    if number == 0.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""

    def work() -> None:
        args = make_parser().parse_args(argv)
        settings = settings_from(args)
        logging.basicConfig(
            level=logging.DEBUG if args.verbose else logging.INFO,
            format="%(asctime)s %(levelname)s %(name)s: %(message)s",
            handlers=[log_handler(args.log_file)],
        )
        quiet_libraries()
        # Imported here: --help needs neither gRPC nor a database.
        from deploy.controller.app import run_controller

        asyncio.run(run_controller(settings, lambda line: print(line, flush=True)))

    return run_command(COMMAND, work)


if __name__ == "__main__":
    sys.exit(main())
