"""Policy improvement on branches: sample states in several processes, then move the actor.

At every state the advantages of all actions are known (see `training.branching`), so the
actor is moved along the exact all-action policy gradient, held near the policy that was
followed by a Kullback-Leibler penalty.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from env.episodes import Randomisation, random_episodes
from env.gym_env import DaCircoEnv
from training.branching import Branches, sample_branches
from training.lockstep import Decide, greedy, weighing
from training.network import Actor, forbid, masked_argmax
from training.processes import worker_pool

_MEMBERS: Final = 48
_STRIDE: Final = 24
_RANDOM_SHARE: Final = 0.03
_TASK_STATES: Final = 800
"""States of one task: small enough for even progress, large enough to pay the start."""

_LARGEST_LOGIT: Final = 16.0
"""A policy so sure learns no more."""


@dataclass(frozen=True, slots=True)
class BranchSettings:
    """How states are sampled.

    Attributes:
        profile: the home profile.
        ranges: from which the episodes are drawn.
        discount_s: time constant of the discount in the branches, seconds.
        length_s: how long each branch is followed, seconds.
        flavor_length_s: the same where the choice is between flavors, seconds.
        longest_hold_s: longest time for which an order that is not given is put off, seconds.
    """

    profile: str
    ranges: Randomisation
    discount_s: float
    length_s: float
    flavor_length_s: float
    longest_hold_s: float


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How the actor is moved.

    Attributes:
        epochs: passes over the branches.
        batch_size: states of one step.
        learning_rate: AdamW's step size at the start; it falls linearly to zero.
        kl_weight: weight of the divergence from the policy before.
        small_advantage: up to this size advantages count in full, larger ones by their
            logarithm: most of what is large is the chaos of a crowded cluster.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    kl_weight: float
    small_advantage: float


def _length_s(member: DaCircoEnv) -> float:
    """Seconds to the end of the member's episode, or to the last arrival if it has no end."""
    if isfinite(member.horizon_s):
        return member.horizon_s
    requests = member.simulator.requests
    return requests[-1].arrival_s if requests else 0.0


def _burn_in(members: list[DaCircoEnv], decide: Decide, rng: np.random.Generator) -> None:
    """Follow the policy to a random time within each member's episode."""
    first = members[0]
    assert first.observation_space.shape is not None
    rows = np.zeros((len(members), *first.observation_space.shape), dtype=np.float32)
    masks = np.zeros((len(members), int(first.action_space.n)), dtype=np.bool_)
    until = [float(rng.uniform(0.0, _length_s(member))) for member in members]
    active = list(range(len(members)))
    while active:
        for row, i in enumerate(active):
            members[i].observe_into(rows[row])
            members[i].mask_into(masks[row])
        actions = decide(rows[: len(active)], masks[: len(active)]).tolist()
        going = []
        for i, action in zip(active, actions, strict=True):
            _, terminated, truncated = members[i].decide(action)
            if terminated or truncated:
                members[i].begin()
            elif members[i].now < until[i]:
                going.append(i)
        active = going


def sample_task(frozen_actor: bytes, seed: int, settings: BranchSettings) -> Branches:
    """Branches at about `_TASK_STATES` states; depends on the arguments alone."""
    torch.set_num_threads(1)
    actor: Actor = torch.load(io.BytesIO(frozen_actor), weights_only=False)  # our own bytes
    rng = np.random.default_rng(seed)
    sampler = random_episodes(settings.ranges)
    members = [DaCircoEnv(settings.profile, sampler=sampler) for _ in range(_MEMBERS)]
    for member in members:
        member.reset(seed=int(rng.integers(2**31)))
    _burn_in(members, greedy(actor), rng)
    weigh = weighing(actor)
    parts: list[Branches] = []
    while sum(map(len, parts)) < _TASK_STATES:
        parts.append(
            sample_branches(
                members,
                weigh,
                rng,
                stride=_STRIDE,
                random_share=_RANDOM_SHARE,
                discount_s=settings.discount_s,
                length_s=settings.length_s,
                flavor_length_s=settings.flavor_length_s,
                longest_hold_s=settings.longest_hold_s,
            )
        )
    return Branches.join(parts)


Sample = Callable[[Actor, int, int, Callable[[int], None]], Branches]
"""``sample(actor, states, seed, progress)``: branches at about so many states."""


@contextmanager
def branch_sampler(processes: int, settings: BranchSettings) -> Iterator[Sample]:
    """A sampler that uses several processes; what it samples does not depend on how many."""
    with worker_pool(processes) as pool:

        def sample(
            actor: Actor,
            states: int,
            seed: int,
            progress: Callable[[int], None],
        ) -> Branches:
            buffer = io.BytesIO()
            torch.save(actor, buffer)
            seeds = np.random.SeedSequence(seed).generate_state(-(-states // _TASK_STATES))
            tasks = [(buffer.getvalue(), int(one), settings) for one in seeds]
            parts = []
            for part in pool.imap(_sample, tasks):
                parts.append(part)
                progress(len(part))
            return Branches.join(parts)

        yield sample


def _sample(task: tuple[bytes, int, BranchSettings]) -> Branches:
    return sample_task(*task)


def expected_gain(actor: Actor, branches: Branches) -> float:
    """Mean advantage of the actor's likeliest actions over those that were followed."""
    with torch.no_grad():
        logits = actor(torch.as_tensor(branches.observations)).numpy()
    best = masked_argmax(logits, branches.masks)
    return float(branches.advantages[np.arange(len(branches)), best].mean())


def squash(advantages: NDArray[np.float32], small: float) -> NDArray[np.float32]:
    """Sign kept, size x to ``small * ln(1 + x / small)``."""
    squashed = np.sign(advantages) * small * np.log1p(np.abs(advantages) / small)
    return squashed.astype(np.float32)


def move_actor(
    actor: Actor, branches: Branches, settings: FitSettings, rng: np.random.Generator
) -> float:
    """Move the actor towards the actions that would have saved.

    Returns:
        Mean divergence from the policy before, in the last epoch.
    """
    observations = torch.as_tensor(branches.observations)
    forbidden = torch.as_tensor(~branches.masks)
    advantages = torch.as_tensor(squash(branches.advantages, settings.small_advantage))
    with torch.no_grad():
        before = functional.log_softmax(forbid(actor(observations), forbidden), dim=1)
    parameters = list(actor.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=1e-4)
    steps = settings.epochs * -(-len(branches) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    divergence = 0.0
    for _ in range(settings.epochs):
        divergences = []
        order = torch.as_tensor(rng.permutation(len(branches)))
        for rows in torch.split(order, settings.batch_size):
            logits = forbid(actor(observations[rows]), forbidden[rows])
            now = functional.log_softmax(logits, dim=1)
            share = now.exp()
            kl = (share * (now - before[rows])).masked_fill(forbidden[rows], 0.0).sum(dim=1).mean()
            gain = (share * advantages[rows]).sum(dim=1).mean()
            loss = settings.kl_weight * kl - gain
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 0.5)
            optimiser.step()
            schedule.step()
            divergences.append(float(kl.detach()))
        divergence = float(np.mean(divergences))
    limit_logits(actor, observations, _LARGEST_LOGIT)
    return divergence


def limit_logits(actor: Actor, observations: torch.Tensor, largest: float) -> None:
    """Scale the last layer so that no logit there exceeds `largest`; no decision changes."""
    with torch.no_grad():
        scale = largest / float(actor(observations).abs().max())
        if scale < 1.0:
            for parameter in actor.head.parameters():
                parameter.mul_(scale)
