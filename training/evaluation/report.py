"""The report of an evaluation: one self-contained HTML page, and the same as Markdown."""

from __future__ import annotations

import base64
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
import numpy as np

from env.errors import DaCircoError
from training.evaluation.leaderboard import count, explanation, interval, pair
from training.evaluation.plots import (
    cost_plot,
    delay_plot,
    heat_map,
    png,
    preference_plot,
    trade_off_plot,
)
from training.evaluation.runs import RunRecord
from training.evaluation.statistics import Estimate, Floats, mean_of_known
from training.evaluation.summary import Summary
from training.evaluation.timelines import timeline_pairs
from training.revision import git_revision

PAGE: Final = "index.html"
TEXT: Final = "report.md"

_TRADE_OFF: Final = (
    "Delay against resources, geometric means relative to {}: a policy in the shaded corner is "
    "both faster and leaner. A policy that follows the preference w is a curve, any other a point."
)
_DELAYS: Final = (
    "Delays of all jobs of all scenarios and seeds at w = {:g}: their distribution, and on the "
    "right the slow half."
)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the report: its file's name, what it shows, and the PNG file."""

    name: str
    caption: str
    data: bytes

    @property
    def source(self) -> str:
        """The picture as the source of an HTML image, so that no file is needed."""
        return "data:image/png;base64," + base64.b64encode(self.data).decode("ascii")


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two pictures that belong together, and what they show."""

    caption: str
    pictures: tuple[Picture, Picture]


def check_folder(folder: Path) -> None:
    """See to it that a report can be written there, before the work begins.

    Raises:
        DaCircoError: it cannot.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise DaCircoError(f"cannot write a report to {folder}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK):
        raise DaCircoError(f"cannot write a report to {folder}: {nearest} is not writable")


def write_report(
    folder: Path, summary: Summary, records: Sequence[RunRecord], command: str
) -> Path:
    """Write ``index.html``, ``report.md`` and its pictures; other files of the folder stay.

    All is drawn before the first file is written, and each file appears whole.

    Args:
        folder: made if it is not there.
        summary: the figures.
        records: the runs.
        command: that made them.

    Returns:
        The path of the page.

    Raises:
        DaCircoError: the folder cannot be written to.
    """
    contents = _contents(summary, records, command)
    files = {
        **{picture.name: picture.data for picture in _pictures(contents)},
        TEXT: _render("report.md.jinja", contents).encode(),
        PAGE: _render("report.html.jinja", contents).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".report-", dir=folder))
        try:
            for name, data in files.items():
                (draft / name).write_bytes(data)
            for name in files:
                (draft / name).replace(folder / name)
        finally:
            shutil.rmtree(draft)
    except OSError as error:
        raise DaCircoError(f"cannot write the report to {folder}: {error.strerror}") from error
    return folder / PAGE


def _render(template: str, contents: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        autoescape="html" in template,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["ratio"] = "{:.3f}".format
    environment.filters["interval"] = interval
    environment.filters["count"] = count
    environment.filters["verdict"] = verdict
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|")
    source = (resources.files("training") / "templates" / template).read_text(encoding="utf-8")
    return environment.from_string(source).render(contents)


def _pictures(contents: Mapping[str, Any]) -> list[Picture]:
    found: list[Picture] = [*contents["pictures"].values(), *contents["heat_maps"]]
    for both in contents["timelines"]:
        found += both.pictures
    return found


def verdict(estimate: Estimate) -> str:
    """Whether the interval leaves no doubt: ``better``, ``worse``, or nothing."""
    if estimate.high is not None and estimate.high < 1:
        return "better"
    if estimate.low is not None and estimate.low > 1:
        return "worse"
    return ""


def _contents(summary: Summary, records: Sequence[RunRecord], command: str) -> dict[str, Any]:
    plan = summary.plan
    middle = sorted(plan.preferences)[len(plan.preferences) // 2]
    return {
        "summary": summary,
        "plan": plan,
        "findings": findings(summary),
        "explanation": explanation(summary),
        "pair": partial(pair),
        "share": partial(pair, scale=100),
        "standings_by_policy": list(zip(*summary.by_preference, strict=True)),
        "pictures": _single_pictures(summary, records, middle),
        "heat_maps": _heat_maps(summary),
        "timelines": _timelines(summary),
        "losses": _losses(summary),
        "scenario_rows": _scenario_rows(summary, records),
        "middle": middle,
        "made": {
            "Command": command,
            "Profile": plan.profile.name,
            "Catalog": plan.catalog.name,
            "Scenarios": ", ".join(scenario.name for scenario in plan.scenarios),
            "Preferences": ", ".join(f"{w:g}" for w in plan.preferences),
            "Seeds": ", ".join(map(str, plan.seeds)),
            "Runs": count(len(records), "run"),
            "Revision": git_revision() or "unknown",
            "Machine": f"{platform.platform()}, {count(os.cpu_count() or 1, 'CPU')}",
            "Python": platform.python_version(),
            "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        },
    }


def findings(summary: Summary) -> list[str]:
    """What the evaluation says about the policy in focus, in sentences; losses included."""
    plan = summary.plan
    names = [standing.policy for standing in summary.overall]
    standing = summary.overall[names.index(summary.focus)]
    if summary.focus == plan.baseline:
        return [f"Only {plan.baseline} was run: there is nothing to compare it with."]
    sentences = [
        (
            f"Under {summary.focus} a job costs {_with_interval(standing.cost_ratio)} times as "
            f"much as under {plan.baseline}; it is number {names.index(summary.focus) + 1} of "
            f"{count(len(names), 'policy', 'policies')}."
        ),
    ]
    if standing.delay_ratio is not None and standing.reserved_ratio is not None:
        sentences.append(
            f"Its mean delay is {_with_interval(standing.delay_ratio)} times and its reserved "
            f"core-seconds are {_with_interval(standing.reserved_ratio)} times the baseline's."
        )
    rivals = [duel for duel in summary.duels if duel.against != plan.baseline]
    if rivals:
        sentences.append(
            f"Against {rivals[0].against}, the cheapest of the others, its cost ratio is "
            f"{_with_interval(rivals[0].overall)}."
        )
    sentences.append(
        f"It costs more than the baseline on {standing.lost} of "
        f"{count(len(plan.scenarios), 'scenario')}"
        + (
            f", worst on {standing.worst_scenario} ({standing.worst_ratio:.2f})."
            if standing.lost
            else f"; the narrowest is {standing.worst_scenario} ({standing.worst_ratio:.2f})."
        )
    )
    return sentences


def _with_interval(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _single_pictures(
    summary: Summary, records: Sequence[RunRecord], middle: float
) -> dict[str, Picture]:
    """The pictures that there are data for, by what they show."""
    baseline = summary.plan.baseline
    several = len(summary.plan.preferences) > 1
    focus = summary.focus
    drawn = [
        (
            "cost",
            f"Cost per job relative to {baseline}, with 95 % intervals.",
            cost_plot(summary),
        ),
        (
            "preferences",
            f"Cost relative to {baseline} by preference; the band is the interval of {focus}.",
            preference_plot(summary) if several else None,
        ),
        ("trade-off", _TRADE_OFF.format(baseline), trade_off_plot(summary)),
        ("delays", _DELAYS.format(middle), delay_plot(summary, _delays(records, middle))),
    ]
    return {
        name: Picture(f"{name}.png", caption, png(figure))
        for name, caption, figure in drawn
        if figure is not None
    }


def _delays(records: Sequence[RunRecord], preference: float) -> dict[str, Floats]:
    by_policy: dict[str, list[Floats]] = {}
    for record in records:
        if record.preference == preference:
            by_policy.setdefault(record.policy, []).append(record.delays_s)
    return {policy: np.concatenate(parts) for policy, parts in by_policy.items()}


def _heat_maps(summary: Summary) -> list[Picture]:
    about = (
        f"Cost relative to {summary.plan.baseline} by scenario (geometric mean over the seeds"
        "{}); blue is cheaper, red and bold is dearer."
    )
    preferences = summary.plan.preferences
    if len(preferences) == 1:
        return [Picture("scenarios.png", about.format(""), png(heat_map(summary)))]
    return [
        Picture("scenarios.png", about.format(" and preferences"), png(heat_map(summary))),
        *(
            Picture(
                f"scenarios-w{w:g}.png",
                f"The same at w = {w:g}.",
                png(heat_map(summary, index)),
            )
            for index, w in enumerate(preferences)
        ),
    ]


def _timelines(summary: Summary) -> list[SideBySide]:
    shown = []
    for number, both in enumerate(timeline_pairs(summary), start=1):
        pictures = tuple(
            Picture(f"timeline-{number}-{side}.png", policy, png(figure))
            for side, policy, figure in zip("ab", both.policies, both.figures, strict=True)
        )
        which = "gains most" if number == 1 else "gains least" if both.ratio < 1 else "loses most"
        shown.append(
            SideBySide(
                f"{both.scenario} at w = {both.preference:g}, where {both.policies[0]} {which} "
                f"(cost ratio {both.ratio:.2f}): the busiest stretch, first seed.",
                (pictures[0], pictures[1]),
            )
        )
    return shown


def _losses(summary: Summary) -> list[dict[str, Any]]:
    """Where the policy in focus costs more than the baseline, the worst first."""
    names = [standing.policy for standing in summary.overall]
    ratios = summary.ratios[names.index(summary.focus)]
    plan = summary.plan
    found = [
        {"scenario": scenario.name, "preference": w, "ratio": float(ratios[i, j])}
        for i, w in enumerate(plan.preferences)
        for j, scenario in enumerate(plan.scenarios)
        if ratios[i, j] > 1
    ]
    return sorted(found, key=lambda loss: -loss["ratio"])


def _scenario_rows(summary: Summary, records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Means over the seeds, of the policy in focus and the baseline."""
    plan = summary.plan
    sides = tuple(dict.fromkeys((summary.focus, plan.baseline)))
    groups: dict[tuple[str, float, str], list[RunRecord]] = {}
    for record in records:
        groups.setdefault((record.scenario, record.preference, record.policy), []).append(record)

    def mean(group: list[RunRecord], figure: str, scale: float = 1.0) -> str:
        values = np.array([getattr(record.metrics, figure) for record in group], dtype=np.float64)
        known = mean_of_known(values)
        return "-" if known is None else f"{scale * known:.0f}"

    return [
        {
            "scenario": scenario.name,
            "preference": preference,
            "policy": policy,
            "jobs": len(scenario),
            "cost": mean(group, "cost_per_job"),
            "delay": mean(group, "delay_mean_s"),
            "delay_p95": mean(group, "delay_p95_s"),
            "cpu": mean(group, "cpu_reserved_mean", 100),
            "ram": mean(group, "ram_reserved_mean", 100),
            "boots": mean(group, "boots"),
        }
        for scenario in plan.scenarios
        for preference in plan.preferences
        for policy in sides
        for group in [groups[scenario.name, preference, policy]]
    ]
