"""The competition's page, ``docs/competition.md``, with its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np

from agents.registry import FURTHER
from agents.tuned import tuned_effort
from env.errors import DaCircoError
from env.textfile import write_atomically
from training.competition import targets
from training.competition.entrants import GRACE_PERIOD, MINIMIZE_WORKERS, Rival, tuned_rules
from training.competition.plots import pictures
from training.competition.results import DIAL, MET_ELSEWHERE, Away, Home
from training.competition.runs import Floats
from training.competition.targets import Target
from training.evaluation.leaderboard import interval
from training.evaluation.statistics import Estimate
from training.revision import git_revision

PAGE: Final = "competition.md"
IMAGES: Final = "images"
_LOSS: Final = 1.02
"""Losses above this are listed one by one."""


@dataclass(frozen=True, slots=True)
class BoardRow:
    """A line of the leaderboard; what is relative to the bound is 0 without bounds."""

    name: str
    overall: Estimate
    by_preference: tuple[float, ...]
    closed_grace: float
    closed_minimize: float
    above: float


def all_targets(home: Home, worlds: Sequence[Away]) -> list[Target]:
    """Every demand with what was found."""
    return [
        *targets.at_home(home),
        *targets.of_the_dial(home),
        *targets.elsewhere(worlds),
    ]


def board(home: Home, *, bounds: bool) -> list[BoardRow]:
    """Every learned policy, every tuned rule and every rule at its defaults, cheapest first."""
    entry = home.entry
    everybody: dict[str, Floats] = {policy: home.costs(policy) for policy in entry.learned}
    everybody |= {f"{rule}, tuned": home.of_tuned(rule) for rule in tuned_rules(entry.rivals)}
    at_defaults = [rival.rule for rival in entry.rivals if rival.tuned_for is None]
    everybody |= {f"{rule}, at its defaults": home.costs(rule) for rule in at_defaults}
    grace = home.costs(GRACE_PERIOD)
    rows = []
    for name, costs in everybody.items():
        by = [home.match(costs, grace, w).ratio.value for w in range(len(entry.preferences))]
        rows.append(
            BoardRow(
                name=name,
                overall=home.match(costs, grace).ratio,
                by_preference=tuple(by),
                closed_grace=home.share_closed(costs, GRACE_PERIOD) if bounds else 0.0,
                closed_minimize=home.share_closed(costs, MINIMIZE_WORKERS) if bounds else 0.0,
                above=home.above_bound(costs) if bounds else 0.0,
            )
        )
    return sorted(rows, key=lambda row: row.overall.value)


def write_page(
    folder: Path, home: Home, worlds: Sequence[Away], *, bounds: bool, command: str
) -> Path:
    """Write the page and its pictures; other files of the folder stay.

    Raises:
        DaCircoError: the folder cannot be written to.
    """
    rows = board(home, bounds=bounds)
    contents = _contents(home, worlds, rows, bounds=bounds, command=command)
    shares = {row.name: row.closed_grace for row in rows} if bounds else {}
    drawn = pictures(home, shares, worlds)
    try:
        (folder / IMAGES).mkdir(parents=True, exist_ok=True)
        for name, data in drawn.items():
            (folder / IMAGES / name).write_bytes(data)
    except OSError as error:
        raise DaCircoError(f"cannot write to {folder}: {error.strerror}") from error
    page = folder / PAGE
    write_atomically(page, render(contents))
    return page


def render(contents: Mapping[str, Any]) -> str:
    """The page's text."""
    environment = jinja2.Environment(
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["estimate"] = estimate_text
    environment.filters["loss"] = lambda ratio: f"**{ratio:.3f}**" if ratio > 1 else f"{ratio:.3f}"
    source = resources.files("training") / "templates" / "competition.md.jinja"
    return environment.from_string(source.read_text(encoding="utf-8")).render(contents)


def estimate_text(estimate: Estimate) -> str:
    """A figure with its interval."""
    if estimate.low is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({interval(estimate)})"


def _contents(
    home: Home, worlds: Sequence[Away], rows: Sequence[BoardRow], *, bounds: bool, command: str
) -> dict[str, Any]:
    entry = home.entry
    ours, best = home.costs(entry.shipped), home.of_best_tuned()
    after, whose = home.afterwards()
    checked = all_targets(home, worlds)
    first = home.outcome(entry.shipped, entry.preferences[0])
    tuned: dict[str, dict[float, str]] = {rule: {} for rule in tuned_rules(entry.rivals)}
    for rival in entry.rivals:
        if rival.tuned_for is not None:
            tuned[rival.rule][rival.tuned_for] = rival.spec
    settings = sorted({w for specs in tuned.values() for w in specs})
    return {
        "entry": entry,
        "rules": list(tuned),
        "as_they_are": [rule for rule in FURTHER if rule in {r.rule for r in entry.rivals}],
        "images": IMAGES,
        "jobs": f"{int(first.jobs[:, 0].sum()):,}",
        "made": {
            "command": command,
            "effort": tuned_effort(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "revision": (git_revision() or "unknown")[:10],
        },
        "targets": checked,
        "held": sum(one.held for one in checked),
        "tuned_rows": _tuned_rows(home, ours, best),
        "after": home.match(ours, after),
        "grace": home.match(ours, home.costs(GRACE_PERIOD)),
        "minimize": home.match(ours, home.costs(MINIMIZE_WORKERS)),
        "scenario_rows": _scenario_rows(home, ours, best),
        "losses": _losses(home, ours, after, whose),
        "board": rows,
        "bound_rows": bounds,
        "dial": [
            {"preference": w, "point": point}
            for w, point in zip(sorted({*DIAL, *entry.preferences}), home.curve(), strict=True)
        ],
        "reference": targets.reference(home),
        "worlds": worlds,
        "met": MET_ELSEWHERE,
        **_seeds(home, best),
        "tuned_preferences": settings,
        "setting_rows": [
            {"rule": rule, "settings": [_setting(specs.get(w, "")) for w in settings]}
            for rule, specs in tuned.items()
        ],
    }


def _tuned_rows(home: Home, ours: Floats, best: Floats) -> list[dict[str, Any]]:
    rows = [
        {"name": f"{w:g}", "rival": f"`{rival.rule}`", "match": home.match(ours, best, i)}
        for i, (w, rival) in enumerate(zip(home.entry.preferences, home.best_tuned(), strict=True))
    ]
    return [*rows, {"name": "all", "rival": "each of these", "match": home.match(ours, best)}]


def _scenario_rows(home: Home, ours: Floats, best: Floats) -> list[dict[str, Any]]:
    logs = np.log(ours / best).mean(axis=2)
    return [
        {
            "name": scenario.rpartition("/")[2],
            "ratios": np.exp(logs[:, s]).tolist(),
            "overall": float(np.exp(logs[:, s].mean())),
        }
        for s, scenario in enumerate(home.entry.scenarios)
    ]


def _losses(
    home: Home, ours: Floats, after: Floats, whose: Sequence[Sequence[Rival]]
) -> list[dict[str, Any]]:
    ratios = np.exp(np.log(ours / after).mean(axis=2))
    found = [
        {
            "scenario": home.entry.scenarios[s].rpartition("/")[2],
            "preference": home.entry.preferences[w],
            "ratio": float(ratios[w, s]),
            "rival": whose[w][s],
        }
        for w, s in np.argwhere(ratios > _LOSS).tolist()
    ]
    return sorted(found, key=lambda row: -float(row["ratio"]))


def _seeds(home: Home, best: Floats) -> dict[str, Any]:
    learned = home.entry.learned
    costs = [home.costs(policy) for policy in learned]
    overall = [home.match(one, best) for one in costs]
    # The shipped policy is of another preset: not one draw of theirs.
    others = costs[1:] or costs
    values = [one.ratio.value for one in overall[1:] or overall]
    preferences = range(len(home.entry.preferences))
    return {
        "seed_rows": [
            {
                "name": policy,
                "overall": one.ratio,
                "by_preference": [home.match(cost, best, w).ratio.value for w in preferences],
            }
            for policy, cost, one in zip(learned, costs, overall, strict=True)
        ],
        "seed_mean": float(np.mean(values)),
        "seed_deviation": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
        # Each training seed meets the rule on the same jobs, so its runs are repeated.
        "pooled": home.match(
            np.concatenate(others, axis=2), np.concatenate([best] * len(others), axis=2)
        ),
    }


def _setting(spec: str) -> str:
    parameters = spec.partition(":")[2].replace(",", ", ")
    return f"`{parameters}`" if parameters else "its defaults" if spec else "-"
