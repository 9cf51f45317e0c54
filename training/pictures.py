"""Pictures of a policy for TensorBoard: the trade-off that the dial draws, and a timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from env.episodes import Episode
from env.timeline import Timeline
from env.timeline_plot import draw_timeline
from training.comparison import Comparison, Figures
from training.lockstep import greedy, run_lockstep, simulate
from training.network import Actor

_WINDOW_S = 1800.0


def trade_off(policies: Mapping[str, Figures], preferences: Sequence[float]) -> Figure:
    """Mean delay against reserved core-seconds per job, one curve over w for each policy."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, figures in policies.items():
        jobs = figures.mean("jobs")
        cores = figures.mean("core_seconds") / jobs
        delay = figures.mean("delay_mean_s")
        axes.plot(cores, delay, marker="o", label=name)
        for w, x, y in zip(preferences, cores, delay, strict=True):
            axes.annotate(f"{w}", (x, y), textcoords="offset points", xytext=(4, 4), fontsize=7)
    axes.set_xlabel("reserved equivalent core-seconds per job (lean is left)")
    axes.set_ylabel("mean delay, seconds (fast is down)")
    axes.set_title("Trade-off over the preference w")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def timeline(actor: Actor, comparison: Comparison) -> Figure:
    """The first validation episode under the network at the middle of the dial."""
    episode: Episode = comparison.episodes[0]
    simulator = simulate(episode, 0.5)
    simulator.timeline = Timeline()
    run_lockstep([simulator], greedy(actor))
    figure = Figure(figsize=(10, 6.4))
    FigureCanvasAgg(figure)
    end = simulator.now
    draw_timeline(
        figure,
        simulator.timeline,
        simulator.profile.cluster,
        max(0.0, end - _WINDOW_S),
        end,
        title="last half hour of a validation episode, w = 0.5",
    )
    return figure
