"""``DaCirco-v0``: the simulated data centre as a Gymnasium environment."""

from __future__ import annotations

from typing import Any, SupportsInt

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from env.actions import ActionKind, action_from_index, n_actions
from env.arguments import World, read_options
from env.config import Profile
from env.cost import CostVector
from env.episodes import EpisodeSampler
from env.errors import DaCircoError
from env.metrics import EpisodeMetrics, measure
from env.observation import Observer, action_mask
from env.render import render_ansi, render_rgb_array
from env.simulator import Simulator
from env.timeline import Timeline

Observation = NDArray[np.float32]
Mask = NDArray[np.bool_]

_NOTHING = CostVector(0.0, 0.0)

RENDER_MODES = ("ansi", "rgb_array")


class DaCircoEnv(gymnasium.Env[Observation, np.int64]):
    """An autoscaler's world: a small data centre that transcodes movies for its users.

    ## Description

    Jobs arrive and wait until a worker (a VM or a pod) is free. Workers run on compute
    nodes, come in a few flavors (sizes) and reserve their CPU and RAM from the order to
    spawn them until they are gone; they boot before they can work. The agent decides when
    to spawn a worker, of which flavor, and when to end one. It has two bosses:
    one wants every job done soon, the other as little as possible reserved. The
    preference `w` says how much each counts, from 0.1 (lean) to 0.9 (fast).

    Decisions are due at events (see `env.simulator.Epoch`): a job has arrived, a worker is
    ready, stopped or lost, a spawn has failed, a task has ended, or 5 s (the profile's
    `tick_s`) have passed. Spawn and kill take no time: the next decision is due at once.
    After keep, time passes until the next event. Steps are thus of unequal length: discount
    by `info["elapsed_s"]`, not by the number of steps. Waiting jobs go to idle workers by
    themselves, the shortest first, with ageing.

    ## Action Space

    `Discrete(1 + 2 F)` for F flavors, ordered small to large; with the three flavors of the
    shipped profiles:

    | Num | Action                                       |
    | --- | -------------------------------------------- |
    | 0   | keep                                         |
    | 1   | spawn s10.tiny                               |
    | 2   | spawn s10.small                              |
    | 3   | spawn s10.medium                             |
    | 4   | end s10.tiny: longest-idle, or else retire   |
    | 5   | end s10.small: longest-idle, or else retire  |
    | 6   | end s10.medium: longest-idle, or else retire |

    `action_masks()` tells which may be ordered: a spawn needs room on a node, an end an idle
    worker, and keep is not offered while a job waits that no worker is there or booting for,
    though one would fit. Where none of the flavor idles, an end retires the busy one whose job
    is done first: it ends after that job. That may be ordered of all but the smallest flavor, while
    jobs wait and not even the smallest fits, for one worker at a time: several small ones get more
    done with its cores. An order that cannot be carried out is counted in `info["invalid_actions"]` and
    otherwise taken as keep.

    ## Observation Space

    A `Box` of float32 that does not depend on the number of nodes; each figure is clipped to
    its bounds. With the three flavors of the shipped profiles (other flavors take the
    places in brackets):

    | Num | Observation          | Min | Max | Meaning                                                             |
    | --- | -------------------- | --- | --- | ------------------------------------------------------------------- |
    | 0   | preference           | -1  | 1   | (w - 0.5) / 0.4: -1 lean, 1 fast                                    |
    | 1   | size                 | -3  | 3   | ln(cores / 18) / 2                                                  |
    | 2   | waiting              | 0   | 3   | ln(1 + jobs waiting) / 4                                            |
    | 3   | waiting_share        | 0   | 3   | jobs waiting / capacity in workers of the smallest flavor           |
    | 4   | in_service_share     | 0   | 1   | jobs in process / the same capacity                                 |
    | 5   | booting[s10.tiny]    | 0   | 3   | ln(1 + booting s10.tiny) / 3                                        |
    | 6   | booting[s10.small]   | 0   | 3   | ln(1 + booting s10.small) / 3                                       |
    | 7   | booting[s10.medium]  | 0   | 3   | ln(1 + booting s10.medium) / 3                                      |
    | 8   | idle[s10.tiny]       | 0   | 3   | ln(1 + idle s10.tiny) / 3                                           |
    | 9   | idle[s10.small]      | 0   | 3   | ln(1 + idle s10.small) / 3                                          |
    | 10  | idle[s10.medium]     | 0   | 3   | ln(1 + idle s10.medium) / 3                                         |
    | 11  | busy[s10.tiny]       | 0   | 3   | ln(1 + busy s10.tiny) / 3                                           |
    | 12  | busy[s10.small]      | 0   | 3   | ln(1 + busy s10.small) / 3                                          |
    | 13  | busy[s10.medium]     | 0   | 3   | ln(1 + busy s10.medium) / 3                                         |
    | 14  | draining             | 0   | 3   | ln(1 + workers that drain or retire) / 3                            |
    | 15  | reserved_cpu         | 0   | 1   | share of the vCPUs reserved                                         |
    | 16  | reserved_ram         | 0   | 1   | share of the RAM reserved                                           |
    | 17  | fits[s10.tiny]       | 0   | 1   | 1 if one more s10.tiny fits                                         |
    | 18  | fits[s10.small]      | 0   | 1   | 1 if one more s10.small fits                                        |
    | 19  | fits[s10.medium]     | 0   | 1   | 1 if one more s10.medium fits                                       |
    | 20  | balance              | -3  | 3   | b = booting + idle - waiting: sign(b) ln(1 + abs(b)) / 3            |
    | 21  | queued_work          | 0   | 2   | ln(1 + expected seconds of the queue on the smallest flavor) / 8    |
    | 22  | queued_share         | 0   | 3   | those seconds / (60 s * the same capacity)                          |
    | 23  | head_service         | 0   | 1   | ln(1 + expected seconds of the next job on the smallest flavor) / 8 |
    | 24  | oldest_wait          | 0   | 1   | ln(1 + seconds the oldest waiting job has waited) / 8               |
    | 25  | mean_service         | 0   | 1   | ln(1 + mean expected seconds of a job on the smallest flavor) / 8   |
    | 26  | load_short           | 0   | 3   | offered load over 1 min / the same capacity                         |
    | 27  | load_medium          | 0   | 3   | offered load over 10 min / the same capacity                        |
    | 28  | load_long            | 0   | 3   | offered load over 60 min / the same capacity                        |
    | 29  | erlangs_short        | 0   | 3   | ln(1 + offered load over 1 min in erlangs) / 3                      |
    | 30  | erlangs_medium       | 0   | 3   | ln(1 + offered load over 10 min in erlangs) / 3                     |
    | 31  | trend                | -2  | 2   | ln((load_short + 0.02) / (load_medium + 0.02)) / 2                  |
    | 32  | since_arrival        | 0   | 1   | ln(1 + seconds since the last arrival) / 8                          |
    | 33  | mean_gap             | 0   | 1   | ln(1 + mean inter-arrival time in seconds) / 8                      |
    | 34  | gap_cv               | 0   | 2   | coefficient of variation of the inter-arrival times / 2             |
    | 35  | next_in_boot         | 0   | 1   | probability of an arrival within one boot time                      |
    | 36  | next_in_minute       | 0   | 1   | probability of an arrival within 60 s                               |
    | 37  | boot_time            | 0   | 1   | ln(1 + expected seconds of a warm boot) / 6                         |
    | 38  | cold_nodes           | 0   | 1   | share of the nodes that never held the image                        |
    | 39  | boot_progress        | 0   | 2   | age of the oldest boot / expected boot time                         |
    | 40  | idle_age[s10.tiny]   | 0   | 1   | ln(1 + seconds the longest-idle s10.tiny has idled) / 8             |
    | 41  | idle_age[s10.small]  | 0   | 1   | ln(1 + seconds the longest-idle s10.small has idled) / 8            |
    | 42  | idle_age[s10.medium] | 0   | 1   | ln(1 + seconds the longest-idle s10.medium has idled) / 8           |
    | 43  | next_end             | 0   | 1   | ln(1 + expected seconds to the first job end) / 8, 1 if none        |
    | 44  | mean_remaining       | 0   | 1   | ln(1 + mean expected seconds to a job end) / 8                      |

    Features 3, 4, 22 and 26 to 28 are relative to how many workers of the smallest flavor
    the empty cluster holds. Offered load is in erlangs of the smallest flavor: arrival rate
    times expected service time, exponentially weighted over the time given.

    ## Rewards

    Minus the cost of the time that has passed, `w * jobs + (1 - w) * cores`, where

    - jobs is the integral of the number of jobs waiting or in process over that time,
      job-seconds (over an episode this is the sum of the jobs' delays, by Little's law);
    - cores is the integral of what is reserved in equivalent cores, core-seconds: the cores
      of the data centre times the mean of the reserved shares of its vCPUs and of its RAM.

    So the cost rate is `w N(t) + (1 - w) R(t)`, and a reward does not depend on how many
    decisions fell into its time; the reward of a spawn or kill is 0.
    `info["vector_reward"]` is (-jobs, -cores), shape (2,), for multi-objective learners.

    ## Starting State

    Time 0, no workers, no jobs. Arrivals, movies, scatter of the times, and (unless it is
    given) a preference uniform in [0.1, 0.9] are drawn anew; the requests depend on the seed
    only, not on the actions.

    ## Episode End

    - Termination: the last job of the episode has ended.
    - Truncation: `episode_s` is over, or more than `max_jobs_per_core` jobs per core are in
      the system, which a policy that does its work does not meet.

    ## Information

    `reset` returns `preference`. `step` returns

    - `vector_reward`: float64 array (-job-seconds, -core-seconds) of this step;
    - `elapsed_s`: simulated seconds that this step took, 0 after spawn and kill;
    - `epoch`: why the decision is due, a name of `env.simulator.Epoch`;
    - `invalid_actions`: how many actions of the episode could not be carried out.

    `metrics()` gives the figures of the episode so far, see `env.metrics.EpisodeMetrics`.

    ## Arguments

    ```python
    import gymnasium
    import env  # registers DaCirco-v0

    gymnasium.make("DaCirco-v0", family="bursts", load=0.3, preference=0.9)
    ```

    `gymnasium.make("env:DaCirco-v0")` does the same without the second import.
    `gymnasium.make_vec("env:DaCirco-v0", num_envs=4096)` gives many at once, in compiled code: see
    `env.engine.vector_env.DaCircoVectorEnv`.

    | Argument            | Default       | Meaning                                            |
    | ------------------- | ------------- | -------------------------------------------------- |
    | `profile`           | `"openstack"` | data centre: name, TOML file or `Profile`          |
    | `family`            | `"poisson"`   | arrivals, a name of `env.families.FAMILIES`        |
    | `load`              | `0.5`         | offered load, share of the cores                   |
    | `preference`        | `None`        | fixed w; None draws one for each episode           |
    | `episode_s`         | `3600.0`      | length of an episode, seconds                      |
    | `max_jobs_per_core` | `5.0`         | truncated with more jobs than this in the system   |
    | `sampler`           | `None`        | draws the episodes instead of family, load, length |
    | `render_mode`       | `None`        | `"ansi"` (text) or `"rgb_array"` (timeline)        |

    `reset(options={"preference": w})` fixes the preference of one episode; other options are
    refused. With a `sampler`
    (see `env.episodes`) its episodes may have other profiles, as long as their flavors are
    the same.

    An environment can be pickled and copied (`copy.deepcopy`) at any moment, also in the middle of
    an episode; what comes back goes on in the same way. A `sampler` of your own must allow it.

    ## Version History

    * v0: first version
    """  # noqa: E501  # a table's rows cannot be wrapped

    action_space: spaces.Discrete
    # Not a ClassVar, because Gymnasium declares it as an instance's.
    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": list(RENDER_MODES),
        "render_fps": 4,
    }

    def __init__(
        self,
        profile: str | Profile = "openstack",
        *,
        family: str = "poisson",
        load: float = 0.5,
        preference: float | None = None,
        episode_s: float = 3600.0,
        max_jobs_per_core: float = 5.0,
        sampler: EpisodeSampler | None = None,
        render_mode: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise DaCircoError(f"render_mode {render_mode!r} is not one of {RENDER_MODES}")
        self.render_mode = render_mode
        self._world = World(
            profile,
            family=family,
            load=load,
            preference=preference,
            episode_s=episode_s,
            max_jobs_per_core=max_jobs_per_core,
            sampler=sampler,
        )
        self.max_jobs_per_core = max_jobs_per_core
        self._n_flavors = len(self._world.flavors)
        self.action_space = self._world.action_space
        self.observation_space = self._world.observation_space
        self._simulator: Simulator | None = None
        self._observer: Observer | None = None
        self._max_jobs = 0.0
        self._reference_cost_rate = 1.0
        self._job_seconds = self._core_seconds = 0.0

    @property
    def simulator(self) -> Simulator:
        """The running simulation.

        Raises:
            gymnasium.error.ResetNeeded: `reset` was never called.
        """
        if self._simulator is None:
            raise gymnasium.error.ResetNeeded("call reset() before anything else")
        return self._simulator

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; ``options={"preference": w}`` fixes its preference.

        Raises:
            DaCircoError: an option that there is not, or one of the wrong type or out of range.
        """
        preference = read_options(options)
        super().reset(seed=seed)
        self.begin(preference)
        return self._observe(), {"preference": self.simulator.cluster.preference}

    def step(self, action: SupportsInt) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Carry out an action; keep (or an action that cannot be carried out) lets time pass."""
        before = self.simulator.now
        vector, terminated, truncated = self.decide(int(action))
        simulator = self.simulator
        info = {
            "vector_reward": np.array([-vector.job_seconds, -vector.core_seconds]),
            "elapsed_s": simulator.now - before,
            "epoch": simulator.epoch.name if simulator.epoch is not None else None,
            "invalid_actions": simulator.invalid_actions,
        }
        reward = -vector.weighed(simulator.cluster.preference)
        return self._observe(), reward, terminated, truncated, info

    def action_masks(self) -> Mask:
        """Which actions can be carried out now, shape (actions,)."""
        mask = np.zeros(n_actions(self._n_flavors), dtype=np.bool_)
        action_mask(self.simulator.cluster, mask)
        return mask

    def metrics(self) -> EpisodeMetrics:
        """Figures of the episode so far."""
        return measure(self.simulator)

    def render(self) -> Any:
        """A line of text (``ansi``) or a picture, uint8 of shape (height, width, 3)."""
        if self.render_mode == "ansi":
            return render_ansi(self.simulator)
        if self.render_mode == "rgb_array":
            return render_rgb_array(self.simulator)
        gymnasium.logger.warn("render() does nothing: make the environment with a render_mode")
        return None

    @property
    def now(self) -> float:
        """Simulated time, seconds."""
        return self.simulator.cluster.now

    @property
    def preference(self) -> float:
        """The episode's preference w."""
        return self.simulator.cluster.preference

    @property
    def horizon_s(self) -> float:
        """When the episode is truncated at the latest, seconds."""
        return self.simulator.limit_s

    @property
    def reference_cost_rate(self) -> float:
        """A rough cost rate of the episode, see `env.simulator.Simulator.reference_cost_rate`."""
        return self._reference_cost_rate

    # -- without Gymnasium's wrapping, for vectorised training ---------------------------

    def begin(self, preference: float | None = None) -> None:
        """Start an episode with the environment's own random numbers."""
        episode = self._world.draw(self.np_random)
        self._simulator = Simulator(
            episode.profile,
            episode.requests,
            episode.catalog,
            seed=episode.seed,
            preference=self._world.preference_of(episode.preference, preference),
            limit_s=None if episode.horizon_s == np.inf else episode.horizon_s,
            timeline=None if self.render_mode is None else Timeline(),
        )
        cluster = self._simulator.cluster
        self._observer = Observer(cluster)
        self._max_jobs = self.max_jobs_per_core * cluster.cores
        self._job_seconds = self._core_seconds = 0.0
        self._reference_cost_rate = self._simulator.reference_cost_rate()

    def decide(self, action: int) -> tuple[CostVector, bool, bool]:
        """Carry out an action; returns the cost it brought, terminated, truncated."""
        simulator = self.simulator
        order = action_from_index(action, self._n_flavors)
        if order.kind is not ActionKind.KEEP and simulator.apply(order):
            return _NOTHING, False, False
        alive = simulator.advance()
        cluster = simulator.cluster
        # As `cost_so_far(cluster).since(before)`, without the two vectors in between.
        job_seconds, core_seconds = cluster.jobs_integral(), cluster.reserved_cores_integral()
        spent = CostVector(job_seconds - self._job_seconds, core_seconds - self._core_seconds)
        self._job_seconds, self._core_seconds = job_seconds, core_seconds
        truncated = cluster.now >= simulator.limit_s or cluster.jobs_in_system > self._max_jobs
        terminated = not alive and not truncated
        return spent, terminated, truncated

    def observe_into(self, row: Observation) -> None:
        """Write the observation into `row`, shape (features,)."""
        assert self._observer is not None
        self._observer.write(row)

    def mask_into(self, mask: Mask) -> None:
        """Write the action mask into `mask`, shape (actions,)."""
        action_mask(self.simulator.cluster, mask)

    def _observe(self) -> Observation:
        row = np.empty(self.observation_space.shape or (), dtype=np.float32)
        self.observe_into(row)
        return row
