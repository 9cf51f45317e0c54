"""Pictures of a run: as text word by word, as images by what can be measured in them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray

from env.actions import kill, spawn
from env.config import Profile
from env.render import render_ansi, render_rgb_array
from env.simulator import Simulator
from env.timeline import Timeline
from env.timeline_plot import (
    STATE_COLORS,
    WAITING_COLOR,
    Window,
    draw_timeline,
    draw_workers,
    timeline_picture,
)
from env.worker import WorkerState
from tests.env.worlds import Erratic, OnDemand, make_profile, make_work

PICTURE_SHAPE = (640, 1000, 3)


def simulate(profile: Profile, jobs: int = 40, gap_s: float = 5.0, seed: int = 0) -> Simulator:
    """A run of a while under a policy that orders at random."""
    rng = np.random.default_rng(seed)
    requests, catalog = make_work(np.arange(jobs) * gap_s, rng.uniform(5.0, 60.0, jobs))
    simulator = Simulator(profile, requests, catalog, seed=seed, timeline=Timeline())
    simulator.run(Erratic(seed))
    return simulator


def under_way(profile: Profile) -> Simulator:
    """A worker in each state, a job in process, two that wait; 8 s have passed."""
    requests, catalog = make_work([2.0, 5.0, 6.0], [100.0, 20.0, 20.0])
    simulator = Simulator(profile, requests, catalog, preference=0.9, timeline=Timeline())
    simulator.apply(spawn(0))
    simulator.apply(spawn(2))
    simulator.advance()  # 1 s: both are ready
    simulator.advance()
    assert simulator.apply(kill(0))
    while simulator.now < 8.0:
        simulator.advance()
    simulator.apply(spawn(1))
    return simulator


def profile_for_states() -> Profile:
    return make_profile(
        nodes=[(6, 16.0), (4, 8.0)], tick_s=4.0, timing={"stop": {"median_s": 1000.0}}
    )


def pixels(picture: NDArray[np.uint8], color: str) -> int:
    """How many pixels have exactly this colour."""
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return int((picture == wanted).all(axis=2).sum())


# -- text -------------------------------------------------------------------------------


def test_text() -> None:
    assert render_ansi(under_way(profile_for_states())).splitlines() == [
        "0:00:08   decision due: tick   w = 0.90 (fast)   2 waiting, 1 in process",
        "reserved 64% of 10 cores, 0 jobs completed, 0 failed",
        "node0 [fxa#######  ]",
        "node1 [l~~~    ]",
        "f flavor0  l flavor1  a flavor2  # busy  . idle  ~ booting  x draining",
    ]


def test_text_of_a_fresh_environment() -> None:
    simulator = Simulator(make_profile(), *make_work([1.0], [1.0]))
    text = render_ansi(simulator)
    assert "decision due: start" in text
    assert "node2 [            ]" in text


def test_text_of_many_nodes_is_short() -> None:
    profile = make_profile(nodes=[(6, 16.0)] * 300)
    simulator = Simulator(profile, *make_work([0.0], [1.0]))
    for _ in range(300):
        simulator.apply(spawn(0))
    lines = render_ansi(simulator).splitlines()
    assert len(lines) < 20
    assert lines[-2].strip() == "and 288 more nodes with 288 workers"


# -- pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize("nodes", [1, 3, 16, 17, 300])
def test_frames_have_one_shape(nodes: int) -> None:
    requests, catalog = make_work(np.arange(40) * 100.0, [300.0] * 40)
    profile = make_profile(nodes=[(6, 16.0)] * nodes, tick_s=50.0)
    simulator = Simulator(profile, requests, catalog, timeline=Timeline())
    policy = OnDemand()
    frames = [render_rgb_array(simulator)]
    for until in (1.0, 250.0, 4000.0):
        while simulator.now < until and simulator.advance():
            simulator.apply(policy.act(simulator.cluster))
        frames.append(render_rgb_array(simulator))
    assert {(frame.shape, frame.dtype) for frame in frames} == {(PICTURE_SHAPE, np.dtype("uint8"))}
    assert len({frame.tobytes() for frame in frames}) == len(frames)


def test_states_show_in_their_colours() -> None:
    profile = profile_for_states()
    empty = render_rgb_array(Simulator(profile, *make_work([1.0], [1.0]), timeline=Timeline()))
    picture = render_rgb_array(under_way(profile))
    for color in (STATE_COLORS[WorkerState.DRAINING], STATE_COLORS[WorkerState.BUSY]):
        assert pixels(picture, color) > pixels(empty, color) + 100, color
    assert pixels(picture, WAITING_COLOR) > pixels(empty, WAITING_COLOR) + 100


def test_the_same_run_gives_the_same_picture() -> None:
    first, second = (render_rgb_array(simulate(make_profile(tick_s=5.0))) for _ in range(2))
    assert np.array_equal(first, second)


def test_needs_a_timeline() -> None:
    with pytest.raises(ValueError, match="timeline"):
        render_rgb_array(Simulator(make_profile(), *make_work([0.0], [1.0])))


def test_leaves_pyplot_alone() -> None:
    # pyplot keeps every figure alive until it is closed, and picks a window toolkit.
    code = (
        "import sys; from env.gym_env import DaCircoEnv; e = DaCircoEnv(render_mode='rgb_array');"
        "e.reset(seed=0); e.render(); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("start_s", "end_s"), [(0.0, 1.0), (0.0, 1e5), (130.0, 190.0)])
def test_any_window_of_a_whole_run(start_s: float, end_s: float) -> None:
    profile = make_profile(tick_s=5.0)
    timeline = simulate(profile).timeline
    assert timeline is not None
    picture = timeline_picture(timeline, profile.cluster, start_s, end_s, title="a run")
    assert picture.shape == PICTURE_SHAPE


def test_draws_into_part_of_a_larger_figure() -> None:
    profile = make_profile(tick_s=5.0)
    timeline = simulate(profile).timeline
    assert timeline is not None
    figure = Figure()
    for part in np.asarray(figure.subfigures(1, 2), dtype=object):
        draw_timeline(part, timeline, profile.cluster, 0.0, 200.0)
    assert len(figure.axes) == 6


# -- the lanes --------------------------------------------------------------------------


def bars(
    profile: Profile, timeline: Timeline, window: Window
) -> tuple[Axes, list[tuple[str, float, float, float, float]]]:
    """The bars that are drawn: colour, left, right, upper and lower edge."""
    axes = Figure().subplots()
    draw_workers(axes, timeline, profile.cluster, window)
    found = []
    for collection in axes.collections:
        assert isinstance(collection, PolyCollection)
        colors = [to_hex(color) for color in np.atleast_2d(collection.get_facecolor())]
        for path in collection.get_paths():
            box = path.get_extents()
            found.append((colors[0], box.x0, box.x1, box.y0, box.y1))
    return axes, found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("overcommit", [1.0, 1.5])
def test_bars_are_what_was_reserved(seed: int, overcommit: float) -> None:
    profile = make_profile(
        tick_s=5.0,
        cluster={"vcpu_overcommit": overcommit, "ram_overcommit": 2.0},
        timing={"stop": {"median_s": 20.0}, "boot": {"median_s": 10.0}},
        faults={"worker_loss_per_hour": 40.0, "spawn_failure": 0.1},
    )
    simulator = simulate(profile, seed=seed)
    assert simulator.timeline is not None
    now = simulator.now
    _, found = bars(profile, simulator.timeline, Window(0.0, now, now))
    for i, (_, left, right, upper, lower) in enumerate(found):
        for _, left2, right2, upper2, lower2 in found[:i]:
            apart_in_time = right <= left2 + 1e-9 or right2 <= left + 1e-9
            assert apart_in_time or lower <= upper2 + 1e-9 or lower2 <= upper + 1e-9
    # Bars are inset a little: what they are high is rounded to vCPUs.
    area = sum((right - left) * round(lower - upper) for _, left, right, upper, lower in found)
    assert area == pytest.approx(simulator.cluster.reserved_vcpu_integral(), rel=1e-6)
    busy = STATE_COLORS[WorkerState.BUSY].lower()
    worked = sum((b - a) * round(low - up) for color, a, b, up, low in found if color == busy)
    assert worked == pytest.approx(simulator.cluster.busy_vcpu_integral(), rel=1e-6)


def test_a_worker_without_adjacent_room_is_drawn_in_pieces() -> None:
    # 1-vCPU workers take the four rows, the second and the fourth go, a 2-vCPU one comes.
    profile = make_profile(nodes=[(4, 16.0)], flavors=[(1, 1.0), (2, 2.0)], tick_s=10.0)
    timeline = Timeline()
    simulator = Simulator(profile, *make_work([500.0], [1.0]), timeline=timeline)
    cluster = simulator.cluster
    for worker_id in range(4):
        timeline.spawned(0.0, cluster.worker_spawned(0.0, worker_id, 0))
    for worker_id in (1, 3):
        worker = cluster.workers[worker_id]
        cluster.worker_lost(5.0, worker_id)
        timeline.gone(5.0, worker)
    timeline.spawned(6.0, cluster.worker_spawned(6.0, "wide", 1))
    _, found = bars(profile, timeline, Window(0.0, 10.0, 10.0))
    pieces = [(round(up), round(low)) for _, left, _, up, low in found if left == 6.0]
    assert pieces == [(1, 2), (3, 4)]


def test_letters_stand_where_there_is_room() -> None:
    profile = make_profile(tick_s=5.0)
    requests, catalog = make_work([0.0], [200.0])
    simulator = Simulator(profile, requests, catalog, timeline=Timeline())
    for flavor in (0, 1, 2):
        simulator.apply(spawn(flavor))
    while simulator.now < 100.0:
        simulator.advance()
    timeline = simulator.timeline
    assert timeline is not None
    axes, _ = bars(profile, timeline, Window(0.0, 100.0, 100.0))
    assert Counter(text.get_text() for text in axes.texts) == {"f": 1, "l": 1, "a": 1}
    axes, _ = bars(profile, timeline, Window(0.0, 1e6, 100.0))  # a tenth of a pixel wide
    assert not axes.texts
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"node{i}\n6 vCPUs" for i in range(3)
    ]
