"""The study's page, ``study.md``, with its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2

from agents.frozen import NETWORK_FILE, FrozenPolicy
from agents.grace_period import GracePeriod, GracePeriodParameters
from agents.registry import make_policy
from env.cluster import Cluster
from env.errors import DaCircoError
from env.families import DaCirco
from env.textfile import write_atomically
from training.evaluation.plots import png
from training.findings import boots, fleets, half_hour, knobs, plots, policy_plots
from training.findings.action_map import QUEUE_LOAD
from training.findings.capacity import COOL_DOWN, WARM_UP, check_hours, full
from training.findings.duel import SAME
from training.findings.naive import NATIVE, Sweep, break_even_s, verdicts
from training.findings.readable import readable_names
from training.findings.study_parts import DUEL_PREFERENCES, Findings
from training.findings.surrogate import Surrogate
from training.findings.visits import FIT_SEED, HELD_OUT_SEED, action_names, families
from training.findings.world import GRACE, MINIMIZE, Spread, World
from training.revision import git_revision

PAGE: Final = "study.md"
IMAGES: Final = "images"
_LOSSES: Final = 8
"""Losses that are listed one by one."""


def check_folder(folder: Path) -> None:
    """See to it that the page can be written, before the work begins.

    Raises:
        DaCircoError: it cannot.
    """
    if folder.exists() and not folder.is_dir():
        raise DaCircoError(f"cannot write to {folder}: it is a file, give a folder")
    try:
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DaCircoError(f"cannot write to {folder}: {error.strerror}") from error


def write_page(folder: Path, world: World, found: Findings, *, source: str, command: str) -> Path:
    """Write the page and its pictures; other files of the folder stay.

    Args:
        folder: for the page; the pictures go to ``images`` in it.
        world: what was simulated.
        found: what came of it.
        source: the profile as the user named it.
        command: that was given.

    Raises:
        DaCircoError: the folder cannot be written to.
    """
    check_folder(folder)
    try:
        for name, data in _pictures(world, found).items():
            (folder / IMAGES / f"study-{name}.png").write_bytes(data)
    except OSError as error:
        raise DaCircoError(f"cannot write to {folder}: {error.strerror}") from error
    page = folder / PAGE
    write_atomically(page, render(_contents(world, found, source, command)))
    return page


def render(contents: Mapping[str, Any]) -> str:
    """The page's text."""
    environment = jinja2.Environment(
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["spread"] = spread_text
    environment.filters["percent"] = lambda share, digits=0: f"{100 * share:.{digits}f} %"
    environment.filters["f"] = lambda value, digits=2: f"{value:,.{digits}f}"
    environment.filters["g"] = lambda value: f"{value:g}"
    template = resources.files("training") / "templates" / "study.md.jinja"
    return environment.from_string(template.read_text(encoding="utf-8")).render(contents)


def spread_text(spread: Spread, digits: int = 1, scale: float = 1.0) -> str:
    """Mean and deviation: ``12.3 +- 0.4``."""
    return f"{scale * spread.mean:,.{digits}f} +- {scale * spread.deviation:,.{digits}f}"


def _pictures(world: World, found: Findings) -> dict[str, bytes]:
    actions = action_names(world.flavors)
    return {
        "loads": png(plots.sweep_plot(found.sweep)),
        "duel": png(plots.duel_plot(found.duel)),
        "capacity": png(plots.capacity_plot(found.capacities)),
        "knobs": png(plots.knob_plot(found.knobs)),
        "first-boots": png(plots.cold_start_plot(found.cold)),
        "queue-actions": png(policy_plots.queue_plot(found.queue_maps, actions)),
        "idle-actions": png(policy_plots.idle_plot(found.idle_maps, actions)),
        "tree": png(policy_plots.tree_plot(found.surrogate)),
        "half-hour": png(policy_plots.half_hour_plot(found.half_hours, world.profile.cluster)),
        # The frozen policy alone, for the front page.
        "policy": png(policy_plots.half_hour_plot(found.half_hours[-1:], world.profile.cluster)),
    }


def network_hash(world: World) -> str:
    """The sha256 of the network that was studied, be the file replaced since or not."""
    policy = world.policy(world.frozen)
    assert isinstance(policy, FrozenPolicy)
    return str(policy.card["files"][NETWORK_FILE]["sha256"])


def naive_defaults() -> GracePeriodParameters:
    """What the naive algorithms run with: flavor and grace period."""
    policy = make_policy(GRACE)
    assert isinstance(policy, GracePeriod)
    return policy.parameters


def _contents(world: World, found: Findings, source: str, command: str) -> dict[str, Any]:
    defaults = naive_defaults()
    flavor = defaults.flavor
    boot = world.profile.timing.boot
    checks = verdicts(world, found.sweep, flavor, DUEL_PREFERENCES)
    most = full(found.capacities)
    empty = Cluster(world.profile)
    return {
        "effort": world.effort,
        "images": IMAGES,
        "made": {
            "command": command,
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "revision": (git_revision() or "unknown")[:10],
            "policy": world.frozen,
            "sha256": network_hash(world),
            "profile": world.profile.name,
        },
        "cores": world.cores,
        "mean_core_s": world.mean_core_s,
        "per_hour_at_one": 3600 * world.rate(1.0),
        "flavor": flavor,
        "grace_s": defaults.max_idle_time,
        "flavors": world.flavors,
        "flavor_costs": [empty.flavor_cost(i) for i in range(len(world.flavors))],
        "minimize": MINIMIZE,
        "grace": GRACE,
        "sweep_rows": _sweep_rows(world, found.sweep),
        "traits": _traits(found.sweep),
        "native_load": world.load(DaCirco().rate_per_s),
        "checks": checks,
        "agreeing": sum(check.agrees for check in checks),
        "break_even": [
            {"preference": w, "seconds": break_even_s(world, flavor, w)}
            for w in world.effort.preferences
        ],
        "duel": found.duel,
        "same": SAME,
        "won": {w: found.duel.won(w) for w in found.duel.preferences},
        "equal_from": [(row.name, found.duel.equal_from(row)) for row in found.duel.rows],
        "equal_cells": len(found.duel.equal_at()),
        "cells": found.duel.ratios.size,
        "capacities": found.capacities,
        "most": most,
        "best_capacity": max(most.values(), key=lambda row: row.measured.mean),
        "theory_error": max(abs(row.theory / row.measured.mean - 1.0) for row in found.capacities),
        "pushes": found.pushes,
        "push_hours": check_hours(world),
        "middle": COOL_DOWN - WARM_UP,
        "knobs": [{"map": one, "best": one.best()} for one in found.knobs],
        "knob_load": knobs.LOAD,
        "boot": boot,
        "boot_notes": {
            key: boots.evidence(world.profile, source, key)
            for key in ("median_s", "first_on_node_s", "crowd_slope")
        },
        "boot_seen": world.profile.provenance.get("boot", {}),
        "cold": found.cold,
        "cold_load": boots.LOAD,
        "visits": found.visits,
        "queue_load": QUEUE_LOAD,
        "watched": list(families(world)),
        "fit_seed": FIT_SEED,
        "held_out_seed": HELD_OUT_SEED,
        "tied": len(found.visits.losses),
        "duels_played": 2 * len(found.visits.episodes),
        "losses": found.visits.losses[:_LOSSES],
        "fleets": found.fleets,
        "fleet_preference": fleets.PREFERENCE,
        "surrogate": found.surrogate,
        "features": readable_names(world.flavors),
        "missed": _missed(found.surrogate),
        "half_hours": found.half_hours,
        "half_hour": half_hour,
    }


def _sweep_rows(world: World, found: Sweep) -> list[dict[str, Any]]:
    return [
        {
            "workload": workload,
            "per_hour": 3600 * workload.family.rate_per_s,
            "policy": policy,
            "is": found.figures(workload, policy),
        }
        for workload in found.workloads
        for policy in (MINIMIZE, GRACE)
    ]


def _traits(found: Sweep) -> dict[str, Any]:
    """Where the algorithms differ most, and least, in the sweep."""
    loads = [workload for workload in found.workloads if workload.name != NATIVE]
    delay, reserved, boot = {}, {}, {}
    for workload in loads:
        lean = found.figures(workload, MINIMIZE)
        warm = found.figures(workload, GRACE)
        delay[workload.load] = lean["delay_mean_s"].mean - warm["delay_mean_s"].mean
        reserved[workload.load] = warm["cpu_reserved_mean"].mean / lean["cpu_reserved_mean"].mean
        boot[workload.load] = lean["boots"].mean / max(1.0, warm["boots"].mean)
    saved, dear = max(delay, key=delay.__getitem__), max(reserved, key=reserved.__getitem__)
    often = max(boot, key=boot.__getitem__)
    return {
        "saved_load": saved,
        "saved_s": delay[saved],
        "dear_load": dear,
        "dear": reserved[dear],
        "boot_load": often,
        "boots": boot[often],
    }


def _missed(found: Surrogate) -> list[str]:
    """Actions that the printed tree gives in less than half of the cases of the network."""
    return [one.action for one in found.actions if one.recall < 0.5]
