"""VinePPO: proximal policy optimisation with advantages from paired rollouts of the same state.

Ordinary PPO estimates the advantage of the one action that was taken from one noisy future. Here
each generation lets the policy run in many compiled data centres, labels states on its way by
trying every plausible action on the same future (`training.train.labels`), and fits the actor to
the states of all generations (`training.train.surrogate`): approximate policy iteration, with the
common random numbers that make it cheap. (The name is the field's: Kazemnejad et al. 2024 take
PPO's advantages from several rollouts of the same state.) There is no critic in it; the one that
the policy class brings is left as it is.
"""

from __future__ import annotations

import copy
from typing import Any, Final

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from env.engine.perceptron import Perceptron, forward
from training.engine_vec_env import EngineVecEnv
from training.network import Actor
from training.rollouts.flatten import flatten
from training.train.labels import Labels, RolloutSettings, choose_trials, label_states
from training.train.surrogate import FitSettings, expected_gain, fit

_BURN_IN: Final = 500
"""Most decisions that a generation begins with before any state is labelled."""
_STRIDE: Final = 12
"""Most decisions between two states of a data centre."""
_RANDOM_SHARE: Final = 0.03
"""Share of the decisions on the way that are random."""
_STATES: Final = 0
_FIT: Final = 1


class VineBuffer(MaskableRolloutBuffer):
    """Labelled states of all generations, in the place of stable-baselines3's rollout buffer.

    Attributes:
        parts: the states of each generation, the latest last.
    """

    parts: list[Labels]

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: torch.device | str = "auto",
        gae_lambda: float = 1.0,
        gamma: float = 1.0,
        n_envs: int = 1,
    ) -> None:
        self.parts = []
        super().__init__(
            buffer_size, observation_space, action_space, device, gae_lambda, gamma, n_envs
        )

    def reset(self) -> None:
        """Keep the states: single steps, which the buffer is made for, are not stored at all."""
        self.pos, self.full = 0, False


class VinePPO(MaskablePPO):
    """MaskablePPO that collects labelled states and updates by the all-action surrogate.

    A generation is one call of `collect_rollouts` and one of `train`. It begins with episodes of
    its own, so a generation follows from the seed, its number and the parameters alone: a run that
    is saved after any generation and resumed is the run that was never interrupted. The number of
    threads changes nothing.

    Args:
        policy: see `MaskablePPO`.
        env: compiled data centres.
        n_steps: most decisions of each data centre in a generation at which states may be
            labelled; up to 500 go before, so that states come from all parts of an episode.
        n_states: a generation ends earlier when it has labelled so many states.
        batch_size: states of one step of the update.
        n_epochs: passes over all states in an update.
        learning_rate: at the start of each update, within which it falls linearly to zero.
        target_kl: see `FitSettings`.
        kl_states: the divergence from the anchor weighs as much as so many states, so it fades as
            states come in.
        small_advantage: see `FitSettings`.
        rollout_s: length of the paired rollouts, seconds.
        discount_s: time constant of the discount in them, seconds.
        threads: that share the rollouts.
        kwargs: see `MaskablePPO`; ``seed`` must be given.

    Attributes:
        anchor: the policy that every update begins from and is held near.
        generation: how many are done.
    """

    rollout_buffer: VineBuffer
    anchor: Actor

    def __init__(
        self,
        policy: Any,
        env: Any,
        *,
        n_steps: int = 2048,
        n_states: int = 30_000,
        batch_size: int = 512,
        n_epochs: int = 12,
        learning_rate: float = 2e-3,
        target_kl: float | None = None,
        kl_states: float = 500.0,
        small_advantage: float = 0.05,
        rollout_s: float = 180.0,
        discount_s: float = 2000.0,
        threads: int = 1,
        **kwargs: Any,
    ) -> None:
        self.n_states = n_states
        self.kl_states = kl_states
        self.small_advantage = small_advantage
        self.rollout_s = rollout_s
        self.discount_s = discount_s
        self.threads = threads
        self.generation = 0
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            target_kl=target_kl,
            rollout_buffer_class=VineBuffer,
            **kwargs,
        )

    def _setup_model(self) -> None:
        super()._setup_model()
        self.remember_anchor()

    def remember_anchor(self) -> None:
        """From now on updates begin from the policy as it is."""
        self.anchor = copy.deepcopy(Actor(self))

    def learn_generations(self, n: int, callback: BaseCallback | list[BaseCallback]) -> None:
        """Learn for so many more generations."""
        assert self.env is not None
        # Each generation resets the data centres itself.
        shape = self.observation_space.shape or ()
        self._last_obs = np.zeros((self.n_envs, *shape), dtype=np.float32)
        first = self.generation
        while self.generation < first + n:
            before = self.generation
            self.learn(1, callback=callback, reset_num_timesteps=False)
            if self.generation == before:
                return

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
        use_masking: bool = True,
    ) -> bool:
        """Let the policy run, and label states on its way; see `MaskablePPO`."""
        assert isinstance(env, EngineVecEnv)
        assert isinstance(rollout_buffer, VineBuffer)
        rng = self._rng(_STATES)
        env.seed(int(rng.integers(2**31)))
        observations = env.reset()
        assert isinstance(observations, np.ndarray)
        network = flatten(Actor(self))
        callback.on_rollout_start()
        parts: list[Labels] = []
        labelled = tried = 0
        burn_in = min(_BURN_IN, n_rollout_steps)
        due = burn_in + int(rng.integers(1, _STRIDE + 1))
        for step in range(burn_in + n_rollout_steps):
            masks = env.action_masks()
            shares = probabilities(network, observations, masks)
            if step == due:
                due += int(rng.integers(1, _STRIDE + 1))
                parts.append(self._label(env, observations, shares, masks, network, rng))
                labelled += len(parts[-1])
                tried += int(parts[-1].masks.sum())
                callback.update_locals({"labelled": labelled})
                if labelled >= self.n_states:
                    break
            actions = shares.argmax(axis=1)
            anything = (masks * rng.random(masks.shape)).argmax(axis=1)
            actions = np.where(rng.random(self.n_envs) < _RANDOM_SHARE, anything, actions)
            observations, _, dones, infos = env.step(actions)
            assert isinstance(observations, np.ndarray)
            self._update_info_buffer(infos, dones)
            self.num_timesteps += self.n_envs
            callback.update_locals({"labelled": labelled, "observations": observations})
            if not callback.on_step():
                return False
        fresh = Labels.join(parts) if parts else None
        if fresh is None or not len(fresh):
            raise RuntimeError("no state was worth a label: take more data centres or more steps")
        rollout_buffer.parts.append(fresh)
        self.logger.record("rollout/states", labelled)
        self.logger.record("rollout/actions_per_state", tried / labelled)
        self.logger.record(
            "rollout/gain_of_best_action", float(fresh.advantages.max(axis=1).mean())
        )
        callback.on_rollout_end()
        return True

    def _label(
        self,
        env: EngineVecEnv,
        observations: NDArray[np.float32],
        shares: NDArray[np.float32],
        masks: NDArray[np.bool_],
        network: Perceptron,
        rng: np.random.Generator,
    ) -> Labels:
        tried = choose_trials(shares, masks, rng)
        rows = np.flatnonzero(tried.any(axis=1))
        return label_states(
            env.envs.engine,
            rows,
            observations[rows],
            tried[rows],
            shares[rows].argmax(axis=1),
            network,
            env.envs.reference_cost_rates[rows],
            RolloutSettings(self.rollout_s, self.discount_s, self.threads),
        )

    def train(self) -> None:
        """Fit the actor to the states of all generations.

        It begins anew from the anchor: a fit that goes on from the last one keeps what that one has
        learned of the noise, and the next states are sampled where that leads.
        """
        actor, parts = Actor(self), self.rollout_buffer.parts
        actor.load_state_dict(self.anchor.state_dict())
        labels = Labels.join(parts)
        assert isinstance(self.batch_size, int)
        report = fit(
            actor,
            self.anchor,
            labels,
            FitSettings(
                epochs=self.n_epochs,
                batch_size=self.batch_size,
                learning_rate=self.lr_schedule(1.0),
                kl_weight=self.kl_states * self.small_advantage / len(labels),
                small_advantage=self.small_advantage,
                target_kl=self.target_kl,
                max_grad_norm=self.max_grad_norm,
            ),
            self._rng(_FIT),
        )
        self.generation += 1
        self._n_updates += report.epochs
        self.logger.record("train/loss", report.loss)
        self.logger.record("train/policy_gradient_loss", -report.gain)
        self.logger.record("train/approx_kl", report.kl)
        self.logger.record("train/clip_fraction", report.clip_fraction)
        self.logger.record("train/entropy_loss", -report.entropy)
        # Before the update it is 0: advantages are relative to what the policy did.
        self.logger.record("train/gain", expected_gain(actor, parts[-1]))
        self.logger.record("train/states", len(labels))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")

    def _rng(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed or 0, 2, self.generation, purpose])

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        states, variables = super()._get_torch_save_params()
        return [*states, "anchor"], variables


def probabilities(
    network: Perceptron, observations: NDArray[np.float32], masks: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """The policy's probability of each action, 0 for what cannot be carried out."""
    logits = np.where(masks, forward(network, observations), -np.inf)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    normalised: NDArray[np.float32] = (shares / shares.sum(axis=1, keepdims=True)).astype(
        np.float32
    )
    return normalised
