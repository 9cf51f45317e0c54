"""The learning algorithm: maskable PPO over a batch of simulated data centres."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.utils import LinearSchedule

from env.config import load_profile
from env.episodes import EpisodeSampler, Randomisation, random_episodes
from env.errors import ConfigError
from env.gym_env import DaCircoEnv
from training.network import policy_arguments
from training.semi_markov import SemiMarkovRolloutBuffer
from training.settings import Settings
from training.vector_env import BatchVecEnv, make_batch

if TYPE_CHECKING:
    from training.engine_vec_env import EngineVecEnv  # Numba takes long to import


def randomisation(settings: Settings) -> Randomisation:
    """The ranges from which the episodes are drawn.

    Raises:
        ConfigError: a profile cannot be used, or has other flavors than the first.
        UnknownNameError: there is no such profile.
    """
    home, *others = [load_profile(name) for name, _ in settings.profile_shares]
    flavors = [flavor.name for flavor in home.cluster.flavors]
    for other in others:
        theirs = [flavor.name for flavor in other.cluster.flavors]
        if theirs != flavors:
            raise ConfigError(
                f"profiles: {other.name!r} has the flavors {', '.join(theirs)}, but "
                f"{home.name!r} has {', '.join(flavors)}: train one policy for each"
            )
    return Randomisation(
        profiles=settings.profile_shares,
        home_share=settings.home_share,
        preference_margin=settings.preference_margin,
        recipe_share=settings.recipe_share,
    )


def make_member(settings: Settings, sampler: EpisodeSampler) -> DaCircoEnv:
    """One simulated data centre to learn in."""
    return DaCircoEnv(settings.home_profile, sampler=sampler)


def training_batch(settings: Settings) -> BatchVecEnv:
    """The environments to learn in."""
    sampler = random_episodes(randomisation(settings))
    return make_batch(lambda: make_member(settings, sampler), settings.n_envs, settings.seed)


def build_model(settings: Settings, batch: BatchVecEnv | EngineVecEnv) -> MaskablePPO:
    """A fresh learner on the batch."""
    # Small matrices: a second thread costs more than it brings.
    torch.set_num_threads(1)
    model = MaskablePPO(
        "MlpPolicy",
        batch,
        learning_rate=_schedule(settings),
        n_steps=settings.rollout_steps,
        batch_size=settings.batch_size,
        n_epochs=settings.epochs,
        gamma=1.0,  # time is discounted by the buffer
        clip_range=settings.clip,
        ent_coef=settings.entropy,
        target_kl=settings.target_kl,
        rollout_buffer_class=SemiMarkovRolloutBuffer,
        rollout_buffer_kwargs={"horizon_s": settings.horizon_s, "trace_s": settings.trace_s},
        policy_kwargs=policy_arguments(
            settings.width,
            [flavor.name for flavor in load_profile(settings.home_profile).cluster.flavors],
        ),
        tensorboard_log=str(settings.run_folder),
        seed=settings.seed,
        device="cpu",
    )
    set_clock(model, batch)
    return model


def load_model(path: Path, batch: BatchVecEnv, seed: int) -> MaskablePPO:
    """A learner from a checkpoint of our own (never load a stranger's: it is pickled).

    Args:
        path: of the checkpoint.
        batch: to go on learning in.
        seed: of all that follows, the batch's episodes included.

    Raises:
        ConfigError: the file is not a checkpoint, or not one for this batch.
    """
    torch.set_num_threads(1)
    try:
        model = MaskablePPO.load(path, env=batch, device="cpu")
    # What stable-baselines3, zipfile, pickle and torch raise has no common base.
    except Exception as error:
        raise ConfigError(f"{path} cannot be loaded: {error!r}") from None
    # Loading has seeded everything as at the start of the run.
    model.set_random_seed(seed)
    set_clock(model, batch)
    return model


def _schedule(settings: Settings) -> LinearSchedule:
    # Not a lambda: that would be pickled by its code, with the path of this file.
    return LinearSchedule(settings.learning_rate, 0.0, end_fraction=1.0)


def set_clock(model: MaskablePPO, batch: BatchVecEnv | EngineVecEnv) -> None:
    """Let the rollout buffer read the time that passes from the batch."""
    assert isinstance(model.rollout_buffer, SemiMarkovRolloutBuffer)
    model.rollout_buffer.clock = batch


def train_only_critic(model: MaskablePPO, only: bool) -> None:
    """Freeze the actor, or let it learn again."""
    for part in (model.policy.mlp_extractor.policy_net, model.policy.action_net):
        for parameter in part.parameters():
            parameter.requires_grad = not only
