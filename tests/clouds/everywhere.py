"""The same jobs on processes, VMs and pods under the frozen policy.

python -m tests.clouds.everywhere --out DIR [--runner process --runner vm --runner pod]

Sets the control planes up, plays one scenario of real transcodes on each, makes the contract's
tables of each event log, and writes everywhere.md: the three side by side with the simulator.
Needs root and what `make test-openstack` and `make test-kubernetes` need.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path

from deploy.analysis.process_logs import process_log
from deploy.comparison.figures import Figures
from deploy.comparison.measured import read_measurement
from deploy.comparison.predicted import predict
from env.catalog import load_catalog
from env.config import ClusterConfig, NodeConfig, Profile, load_profile
from env.event_log import read_events
from env.log_parts import logs_in
from env.scenario import Scenario, load_scenario
from tests.clouds.kubernetes.cluster import KubernetesCluster
from tests.clouds.live import ROOT, LiveController, living
from tests.clouds.openstack.cloud import OpenStackCloud
from tests.clouds.session import running

FROZEN = ROOT / "models" / "dacirco"
FALLBACK = "grace-period"
PREFERENCE = 0.5
BOOT_S = (4.0, 6.0)
"""A boot that is told from noise, the same on all three."""
SEEDS = 30
NODES = tuple(NodeConfig(f"compute{n}", 6, 16.0) for n in (1, 2, 3))
COLUMNS = (
    ("jobs", "jobs", "{:.0f}"),
    ("delay, mean (s)", "delay_mean_s", "{:.1f}"),
    ("delay, p95 (s)", "delay_p95_s", "{:.1f}"),
    ("vCPU reserved, mean", "cpu_reserved_mean", "{:.2f}"),
    ("vCPU reserved, p95", "cpu_reserved_p95", "{:.0f}"),
    ("GiB reserved, mean", "ram_reserved_mean", "{:.2f}"),
    ("GiB reserved, p95", "ram_reserved_p95", "{:.0f}"),
    ("workers started", "boots", "{:.1f}"),
    ("cost a job", "cost", "{:.1f}"),
)


@contextmanager
def environment(runner: str) -> Iterator[tuple[tuple[str, ...], dict[str, str]]]:
    """A control plane that is up: the controller's options for it, and its variables."""
    if runner == "vm":
        with running(OpenStackCloud()) as cloud:
            cloud.clean()
            cloud.set_behaviour(boot_delay_s=BOOT_S)
            yield (), {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_file)}
            cloud.clean()
    elif runner == "pod":
        with running(KubernetesCluster()) as cluster:
            cluster.clean()
            cluster.set_behaviour(start_delay_s=BOOT_S)
            yield (), {"KUBECONFIG": str(cluster.kubeconfig)}
            cluster.clean()
    else:
        yield ("--boot-delay", f"{sum(BOOT_S) / 2:g}"), {}


def play(runner: str, out: Path, scenario: Scenario) -> tuple[Path, float]:
    """Run the service on one kind of worker; returns the event log and the scenario's start."""
    folder = out / runner
    folder.mkdir(parents=True)
    movies = (resources.files("env") / "catalogs" / "local.csv").read_text(encoding="utf-8")
    with environment(runner) as (options, variables):
        controller = LiveController(
            folder,
            (
                *("--runner-type", runner, "--scheduler", str(FROZEN), "--fallback", FALLBACK),
                *("--preference", str(PREFERENCE), "--profile", str(profile_file(out, runner))),
                *("--max-workers", "18", "--stop-workers", *options),
            ),
            variables,
            out / "storage",
            movies,
        )
        with living(controller):
            start = time.time()
            ids = []
            for number, request in enumerate(scenario.requests):
                time.sleep(max(0.0, start + request.arrival_s - time.time()))
                output = f"out-{runner}-{number}.mp4"
                ids.append(
                    controller.submit_one(
                        request.movie, output, request.bitrate_kbps, request.speed
                    )
                )
            controller.await_completed(ids)
        (log,) = logs_in(folder)
    process_log(log)
    return log, start


def world(runner: str) -> Profile:
    """What the simulator is told: this machine's transcoding, that runner's nodes and flavors."""
    local = load_profile("local")
    boot = replace(local.timing.boot, median_s=local.timing.boot.median_s + sum(BOOT_S) / 2)
    timing = replace(local.timing, boot=boot)
    if runner == "process":
        return replace(local, timing=timing)
    home = load_profile("openstack" if runner == "vm" else "kubernetes")
    cluster: ClusterConfig = replace(home.cluster, nodes=NODES)
    return replace(local, name=runner, timing=timing, cluster=cluster)


def profile_file(out: Path, runner: str) -> Path:
    """The world as a file that the controller reads."""
    path = out / f"{runner}.toml"
    text = (resources.files("env") / "profiles" / "local.toml").read_text(encoding="utf-8")
    profile = world(runner)
    head, _, rest = text.partition("[cluster]")
    _, _, timing = rest.partition("[timing.boot]")
    lines = [f'placement = "{profile.cluster.placement}"']
    lines.append(f"vcpu_overcommit = {profile.cluster.vcpu_overcommit}")
    for node in profile.cluster.nodes:
        lines += ["[[cluster.nodes]]", f'name = "{node.name}"', f"cores = {node.cores}"]
        lines.append(f"ram_gib = {node.ram_gib}")
    for flavor in profile.cluster.flavors:
        lines += ["[[cluster.flavors]]", f'name = "{flavor.name}"', f"vcpus = {flavor.vcpus}"]
        lines.append(f"ram_gib = {flavor.ram_gib}")
    median = load_profile("local").timing.boot.median_s
    timing = timing.replace(str(median), str(profile.timing.boot.median_s), 1)
    path.write_text(f"{head}[cluster]\n" + "\n".join(lines) + f"\n\n[timing.boot]{timing}")
    assert load_profile(path).cluster == profile.cluster
    return path


def row(name: str, figures: Figures) -> str:
    """One line of the table."""
    cells = []
    for _, key, form in COLUMNS:
        value = getattr(figures, key)
        cells.append(form.format(value / figures.jobs if key == "cost" else value))
    return f"| {name} | " + " | ".join(cells) + " |"


def main(argv: Sequence[str] | None = None) -> int:
    """Play, tabulate, write."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.clouds.everywhere", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="an empty or new folder")
    parser.add_argument(
        "--runner", action="append", choices=["process", "vm", "pod"], help="default: all three"
    )
    parser.add_argument(
        "--scenario", default=str(ROOT / "docs" / "live" / "scenario.csv"), metavar="FILE"
    )
    options = parser.parse_args(argv)
    out: Path = options.out.resolve()
    catalog = load_catalog("local")
    scenario = load_scenario(options.scenario, catalog)
    lines = [
        "| workers | " + " | ".join(name for name, *_ in COLUMNS) + " |",
        "| --- " * (1 + len(COLUMNS)) + "|",
    ]
    notes = []
    for runner in options.runner or ("process", "vm", "pod"):
        log, start = play(runner, out, scenario)
        profile = world(runner)
        measured = read_measurement(log, (), start, profile, PREFERENCE).figures
        foreseen, _ = predict(profile, scenario, catalog, str(FROZEN), FALLBACK, PREFERENCE, SEEDS)
        lines += [row(f"{runner}, measured", measured), row(f"{runner}, simulated", foreseen)]
        sources: Counter[str] = Counter()
        for _, event in read_events(log):
            if event["code"] in ("EV20", "EV45"):
                sources[event["source"]] += int(event.get("repeated", 1))
        notes.append(f"- {runner}: decisions by source {dict(sources)}")
    text = "\n".join(
        [
            *lines,
            "",
            *notes,
            "",
            f"{os.cpu_count()} cores, {platform.system()}, {SEEDS} simulations",
        ]
    )
    (out / "everywhere.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
