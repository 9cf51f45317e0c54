"""The figures of an evaluation as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from training.evaluation.statistics import Estimate
from training.evaluation.summary import Standing, Summary


def print_leaderboard(summary: Summary, console: Console) -> None:
    """Print the tables; the console is made wider where they need it, so that none is cut."""
    parts = list(leaderboard(summary))
    endless = Console(width=10_000)
    widths = [endless.measure(part).maximum for part in parts if isinstance(part, Table)]
    console.width = max(console.width, *widths)
    for part in parts:
        console.print(part)


def leaderboard(summary: Summary) -> Iterator[RenderableType]:
    """The tables under their headlines, the most important first."""
    plan = summary.plan
    preferences = ", ".join(f"{w:g}" for w in plan.preferences)
    yield _headline(f"{plan.profile.name}, w = {preferences}")
    yield standings_table(summary)
    if len(plan.preferences) > 1:
        yield _headline(f"cost relative to {plan.baseline}, by preference w")
        yield preference_table(summary)
    if summary.duels:
        yield _headline(f"cost of {summary.focus} relative to each other policy")
        yield duel_table(summary)
    yield Text(explanation(summary), style="dim")


def _headline(text: str) -> Text:
    return Text(text, style="bold italic")


def explanation(summary: Summary) -> str:
    """How the tables are to be read."""
    plan = summary.plan
    text = (
        f"Cost per job relative to {plan.baseline} on the same jobs: geometric mean over "
        f"{count(len(plan.scenarios), 'scenario')}, {count(len(plan.seeds), 'seed')} and "
        f"{count(len(plan.preferences), 'preference')}, below 1 is better, with paired 95 % "
        "bootstrap interval. "
        "Delays in seconds and shares of the data centre (mean / 95th percentile) and boots "
        "are means over the runs; failed jobs are counted over all runs. "
        "'lost' tells on how many scenarios the policy cost more than the baseline."
    )
    unfinished = sum(standing.totals["unfinished"] for standing in summary.overall)
    if unfinished:
        text += f" {count(unfinished, 'job')} had not ended when the run was cut off."
    return text


def count(n: int, thing: str, things: str | None = None) -> str:
    """A number and what it counts."""
    return f"{n:,} {thing if n == 1 else things or thing + 's'}"


def standings_table(summary: Summary) -> Table:
    """Every policy over all preferences."""
    plan = summary.plan
    table = _table()
    for heading in (
        "cost\nratio",
        "95 %\ninterval",
        "lost",
        "delay\nseconds",
        "CPU res.\n%",
        "CPU used\n%",
        "RAM res.\n%",
        "RAM used\n%",
        "boots",
        "failed",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for place, standing in enumerate(summary.overall, start=1):
        table.add_row(
            Text(f"{place:2} {standing.policy}", style=_style(standing, summary)),
            Text(f"{standing.cost_ratio.value:.3f}", style=_colour(standing.cost_ratio)),
            "baseline" if standing.policy == plan.baseline else interval(standing.cost_ratio),
            f"{standing.lost}/{len(plan.scenarios)}",
            pair(standing, "delay_mean_s", "delay_p95_s"),
            *(
                pair(standing, f"{figure}_mean", f"{figure}_p95", 100)
                for figure in ("cpu_reserved", "cpu_used", "ram_reserved", "ram_used")
            ),
            _figure(standing.means["boots"]),
            str(standing.totals["failed"]),
        )
    return table


def preference_table(summary: Summary) -> Table:
    """Cost ratio to the baseline of every policy at each preference."""
    table = _table()
    for preference in summary.plan.preferences:
        table.add_column(f"w = {preference:g}", justify="right", no_wrap=True)
    for rows in zip(*summary.by_preference, strict=True):
        table.add_row(
            Text(rows[0].policy, style=_style(rows[0], summary)),
            *(_estimate(standing.cost_ratio) for standing in rows),
        )
    return table


def duel_table(summary: Summary) -> Table:
    """Cost ratio of the policy in focus to each other."""
    table = _table()
    preferences = summary.plan.preferences if len(summary.plan.preferences) > 1 else ()
    for heading in ("all" if preferences else "ratio", *(f"w = {w:g}" for w in preferences)):
        table.add_column(heading, justify="right", no_wrap=True)
    for duel in summary.duels:
        by_preference = duel.by_preference if preferences else ()
        table.add_row(Text(duel.against), *(_estimate(e) for e in (duel.overall, *by_preference)))
    return table


def interval(estimate: Estimate) -> str:
    """The interval as text."""
    if estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.low:.3f}-{estimate.high:.3f}"


def pair(standing: Standing, mean: str, percentile: str, scale: float = 1.0) -> str:
    """Two figures as ``mean / 95th percentile``."""
    return (
        f"{_figure(standing.means[mean], scale)} / {_figure(standing.means[percentile], scale):>3}"
    )


def _figure(value: float | None, scale: float = 1.0) -> str:
    if value is None:
        return "-"
    scaled = scale * value
    return f"{scaled:.0f}" if scaled >= 9.95 else f"{scaled:.1f}"


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    table.add_column("policy", no_wrap=True)
    return table


def _style(standing: Standing, summary: Summary) -> str:
    return "bold" if standing.policy == summary.focus else ""


def _colour(estimate: Estimate) -> str:
    """Green or red where the interval leaves no doubt."""
    if estimate.high is not None and estimate.high < 1:
        return "green"
    if estimate.low is not None and estimate.low > 1:
        return "red"
    return ""


def _estimate(estimate: Estimate) -> Text:
    return Text.assemble(
        (f"{estimate.value:.3f}", _colour(estimate)), (f"  {interval(estimate)}", "dim")
    )
