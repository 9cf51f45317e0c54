"""Short episodes and small learners, quick enough for tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import Logger

from env.config import load_profile
from env.episodes import Episode, EpisodeSampler, family_episodes
from env.gym_env import DaCircoEnv
from training.comparison import RIVALS
from training.export import Provenance, export
from training.imitation import Decisions, clone, collect
from training.model import build_model
from training.network import Actor, standardiser
from training.settings import Settings
from training.teacher import load_teacher
from training.vector_env import BatchedEnv, BatchVecEnv

SMALL = Settings(
    runs=Path("runs-of-the-tests"),  # nothing is written there
    width=16,
    n_envs=2,
    rollout_steps=32,
    batch_size=64,
    epochs=2,
)
FLAVORS = ("s10.tiny", "s10.small", "s10.medium")


def short_sampler(load: float = 0.5, episode_s: float = 600.0) -> EpisodeSampler:
    """Episodes of ten minutes of Poisson arrivals on the OpenStack profile."""
    return family_episodes(load_profile("openstack"), "poisson", load, episode_s)


def short_episodes(n: int, seed: int = 0, load: float = 0.5) -> list[Episode]:
    """A few such episodes."""
    sampler, rng = short_sampler(load), np.random.default_rng(seed)
    return [sampler(rng) for _ in range(n)]


def members(n: int, seed: int = 0, load: float = 0.5) -> list[DaCircoEnv]:
    """Environments of short episodes, seeded."""
    worlds = [DaCircoEnv(sampler=short_sampler(load)) for _ in range(n)]
    for i, world in enumerate(worlds):
        world.reset(seed=1000 * seed + i)
    return worlds


def make_batch(make: Callable[[], BatchedEnv], n: int, seed: int) -> BatchVecEnv:
    """A batch of `n` members, seeded apart."""
    return BatchVecEnv([make() for _ in range(n)], seed)


def small_model(settings: Settings = SMALL) -> MaskablePPO:
    """A fresh learner on short episodes."""
    batch = make_batch(lambda: DaCircoEnv(sampler=short_sampler()), settings.n_envs, settings.seed)
    return silent(build_model(settings, batch))


def silent(model: MaskablePPO) -> MaskablePPO:
    """The learner, without curves."""
    model.set_logger(Logger(None, []))
    return model


@cache
def teachings() -> Decisions:
    """What the teacher decides, with some random actions."""
    return collect(members(8), load_teacher, 6000, np.random.default_rng(0), random_share=0.1)


def recorded() -> NDArray[np.float32]:
    """Observations of these decisions."""
    return teachings().observations


@cache
def taught_model() -> MaskablePPO:
    """A learner that imitates the teacher well enough to get its jobs done; not to be changed."""
    model = small_model()
    standardiser(model).fit(recorded())
    clone(
        Actor(model),
        teachings(),
        epochs=12,
        batch_size=256,
        learning_rate=5e-3,
        smoothing=0.03,
        rng=np.random.default_rng(1),
    )
    return model


def freeze(model: MaskablePPO, folder: Path) -> Path:
    """Export a model as a training run would."""
    seen = recorded()
    export(
        model,
        folder,
        Provenance(
            training={"settings": SMALL.to_dict(), "seed": 7, "rounds": 3, "steps": 0},
            observations=seen[:200],
            envelope=(seen.min(axis=0).tolist(), seen.max(axis=0).tolist()),
            evaluation={"about": "-", "cost_ratio": {name: {"all": 1.0} for name in RIVALS}},
            flavors=FLAVORS,
        ),
    )
    return folder
