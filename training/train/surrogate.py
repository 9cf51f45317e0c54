"""The all-action surrogate: move the actor towards the actions that would have saved.

PPO's surrogate weighs the one action that was taken by an estimate of its advantage. Here the
advantage of every plausible action is known, so the expectation over the actions is exact. The step
is held near an anchor policy by a Kullback-Leibler penalty (the form of PPO that Schulman et al.
2017 call adaptive KL, with a fixed coefficient) and ends early at a target divergence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from agents.network_policy import masked_argmax
from training.network import Actor, forbid
from training.train.labels import Labels

_LARGEST_LOGIT: Final = 16.0
"""A policy so sure learns no more."""
_EARLY: Final = 1.5
"""The update ends when the divergence is so many times the target, as stable-baselines3 has it."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the actor is moved.

    Attributes:
        epochs: passes over the states.
        batch_size: states of one step.
        learning_rate: AdamW's step size at the start; it falls linearly to zero.
        kl_weight: coefficient of the divergence from the anchor.
        small_advantage: up to this size advantages count in full, larger ones by their logarithm
            (symlog): most of what is large is the chaos of a crowded cluster.
        target_kl: the update ends early where an epoch's mean divergence is 1.5 times this; none
            for no end.
        clip: how far a probability ratio may be from 1 without being counted in the report.
        max_grad_norm: longer gradients are scaled down to it.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    kl_weight: float
    small_advantage: float
    target_kl: float | None
    clip: float = 0.2
    max_grad_norm: float = 0.5


@dataclass(frozen=True, slots=True)
class FitReport:
    """Of the last epoch, means over the states.

    Attributes:
        loss: the surrogate's.
        gain: expected advantage.
        kl: divergence from the anchor.
        entropy: of the policy, nats.
        clip_fraction: share of the states at which the probability of the action that had been
            chosen changed by more than `FitSettings.clip` relative to the anchor's.
        epochs: that were begun.
    """

    loss: float
    gain: float
    kl: float
    entropy: float
    clip_fraction: float
    epochs: int


def squash(advantages: NDArray[np.float32], small: float) -> NDArray[np.float32]:
    """Sign kept, size x to ``small * ln(1 + x / small)``."""
    squashed = np.sign(advantages) * small * np.log1p(np.abs(advantages) / small)
    return squashed.astype(np.float32)


def expected_gain(actor: Actor, labels: Labels) -> float:
    """Mean advantage of the actor's likeliest actions over those that were followed."""
    with torch.no_grad():
        logits = actor(torch.as_tensor(labels.observations)).numpy()
    best = masked_argmax(logits, labels.masks)
    return float(labels.advantages[np.arange(len(labels)), best].mean())


def surrogate(
    now: torch.Tensor,
    anchor: torch.Tensor,
    advantages: torch.Tensor,
    forbidden: torch.Tensor,
    kl_weight: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss, expected advantage and divergence from the anchor, means over the states.

    Args:
        now: logarithms of the policy's probabilities, shape (n, actions).
        anchor: likewise the anchor's.
        advantages: 0 for what was not tried, likewise.
        forbidden: what was not tried, likewise.
        kl_weight: coefficient of the divergence.
    """
    share = now.exp()
    kl = (share * (now - anchor)).masked_fill(forbidden, 0.0).sum(dim=1).mean()
    gain = (share * advantages).sum(dim=1).mean()
    return kl_weight * kl - gain, gain, kl


def fit(
    actor: Actor, anchor: Actor, labels: Labels, settings: FitSettings, rng: np.random.Generator
) -> FitReport:
    """Move the actor by the surrogate on all the states.

    Args:
        actor: is changed.
        anchor: the policy that it is held near.
        labels: the states.
        settings: how.
        rng: for the order of the states.
    """
    observations = torch.as_tensor(labels.observations)
    forbidden = torch.as_tensor(~labels.masks)
    advantages = torch.as_tensor(squash(labels.advantages, settings.small_advantage))
    chosen = torch.as_tensor(labels.chosen)[:, None]
    with torch.no_grad():
        before = functional.log_softmax(forbid(anchor(observations), forbidden), dim=1)
    parameters = list(actor.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=1e-4)
    steps = settings.epochs * -(-len(labels) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    report = FitReport(0.0, 0.0, 0.0, 0.0, 0.0, 0)
    for epoch in range(1, settings.epochs + 1):
        sums = np.zeros(5)
        order = torch.as_tensor(rng.permutation(len(labels)))
        for rows in torch.split(order, settings.batch_size):
            barred, anchored = forbidden[rows], before[rows]
            now = functional.log_softmax(forbid(actor(observations[rows]), barred), dim=1)
            loss, gain, kl = surrogate(now, anchored, advantages[rows], barred, settings.kl_weight)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            optimiser.step()
            schedule.step()
            with torch.no_grad():
                entropy = -(now.exp() * now).masked_fill(barred, 0.0).sum(dim=1).mean()
                ratio = (now - anchored).gather(1, chosen[rows]).exp()
                clipped = ((ratio - 1.0).abs() > settings.clip).float().mean()
            told = (loss.detach(), gain.detach(), kl.detach(), entropy, clipped)
            sums += len(rows) * np.array([float(one) for one in told])
        means = [float(one) for one in sums / len(labels)]
        report = FitReport(means[0], means[1], means[2], means[3], means[4], epoch)
        if settings.target_kl is not None and report.kl > _EARLY * settings.target_kl:
            break
    limit_logits(actor, observations, _LARGEST_LOGIT)
    return report


def limit_logits(actor: Actor, observations: torch.Tensor, largest: float) -> None:
    """Scale the last layer so that no logit there exceeds `largest`; no decision changes."""
    with torch.no_grad():
        scale = largest / float(actor(observations).abs().max())
        if scale < 1.0:
            for parameter in actor.head.parameters():
                parameter.mul_(scale)
