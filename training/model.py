"""The learning algorithms, VinePPO and maskable PPO, over compiled data centres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from gymnasium.vector import AutoresetMode
from sb3_contrib import MaskablePPO
from stable_baselines3.common.utils import LinearSchedule

from env.config import load_profile
from env.engine.vector_env import DaCircoVectorEnv
from env.episodes import EpisodeSampler, Randomisation, random_episodes
from env.errors import ConfigError
from env.gym_env import DaCircoEnv
from training.engine_vec_env import EngineVecEnv
from training.network import policy_arguments
from training.semi_markov import Clock, SemiMarkovRolloutBuffer
from training.settings import Settings
from training.train.vine_ppo import VinePPO
from training.vector_env import BatchVecEnv


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


def training_batch(settings: Settings, n: int) -> EngineVecEnv:
    """So many compiled data centres to learn in."""
    return EngineVecEnv(
        DaCircoVectorEnv(
            n,
            settings.home_profile,
            sampler=random_episodes(randomisation(settings)),
            autoreset_mode=AutoresetMode.SAME_STEP,
            threads=settings.threads,
        ),
        settings.seed,
    )


def build_vine(settings: Settings, batch: EngineVecEnv) -> VinePPO:
    """A fresh VinePPO on the batch."""
    # Small matrices: a second thread costs more than it brings, and sums in another order.
    torch.set_num_threads(1)
    return VinePPO(
        "MlpPolicy",
        batch,
        n_steps=settings.vine_steps,
        n_states=settings.vine_states,
        batch_size=settings.vine_batch,
        n_epochs=settings.vine_epochs,
        learning_rate=settings.vine_rate,
        target_kl=settings.vine_target_kl or None,
        kl_states=settings.vine_kl,
        small_advantage=settings.vine_small,
        rollout_s=settings.vine_length_s,
        discount_s=settings.vine_discount_s,
        threads=settings.threads,
        policy_kwargs=_policy_arguments(settings),
        seed=settings.seed,
        device="cpu",
    )


def _policy_arguments(settings: Settings) -> dict[str, Any]:
    flavors = load_profile(settings.home_profile).cluster.flavors
    return policy_arguments(settings.width, [flavor.name for flavor in flavors])


def build_model(settings: Settings, batch: BatchVecEnv | EngineVecEnv) -> MaskablePPO:
    """A fresh learner by PPO on the batch."""
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
        policy_kwargs=_policy_arguments(settings),
        tensorboard_log=str(settings.run_folder),
        seed=settings.seed,
        device="cpu",
    )
    set_clock(model, batch)
    return model


def as_ppo(settings: Settings, vine: VinePPO, batch: EngineVecEnv) -> MaskablePPO:
    """A learner by PPO with VinePPO's policy."""
    model = build_model(settings, batch)
    model.policy.load_state_dict(vine.policy.state_dict())
    return model


def load_vine(path: Path, batch: EngineVecEnv | None, threads: int) -> VinePPO:
    """A VinePPO from a checkpoint of our own (never load a stranger's: it is pickled).

    Args:
        path: of the checkpoint.
        batch: to go on learning in, if at all.
        threads: that share its work from now on.

    Raises:
        ConfigError: the file is not such a checkpoint, or not one for this batch.
    """
    torch.set_num_threads(1)
    try:
        model = VinePPO.load(path, env=batch, device="cpu")
    except Exception as error:
        raise ConfigError(f"{path} cannot be loaded: {error!r}") from None
    model.threads = threads
    return model


def load_model(path: Path, batch: BatchVecEnv | EngineVecEnv, seed: int) -> MaskablePPO:
    """A learner by PPO from a checkpoint of our own, likewise.

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


def set_clock(model: MaskablePPO, batch: Clock) -> None:
    """Let the rollout buffer read the time that passes from the batch."""
    assert isinstance(model.rollout_buffer, SemiMarkovRolloutBuffer)
    model.rollout_buffer.clock = batch


def train_only_critic(model: MaskablePPO, only: bool) -> None:
    """Freeze the actor, or let it learn again."""
    for part in (model.policy.mlp_extractor.policy_net, model.policy.action_net):
        for parameter in part.parameters():
            parameter.requires_grad = not only
