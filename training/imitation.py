"""Behaviour cloning with data aggregation: the network learns to decide as a rule does.

The rule labels every decision; who acts changes: first the rule with some random actions
(so that the network sees states beyond the rule's own path), then the network itself
(DAgger: Ross, Gordon and Bagnell 2011, "A reduction of imitation learning and structured
prediction to no-regret online learning").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from agents.policy import Policy
from env.actions import KEEP, action_index, n_actions
from env.gym_env import DaCircoEnv
from training.lockstep import Decide
from training.network import Actor, forbid

Progress = Callable[[int], None]
"""Called with the number of decisions or samples done."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """Labelled decisions: observations (n, features), masks (n, actions), labels (n,)."""

    observations: NDArray[np.float32]
    masks: NDArray[np.bool_]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @staticmethod
    def join(parts: Sequence[Decisions]) -> Decisions:
        """All decisions of the parts."""
        return Decisions(
            np.concatenate([part.observations for part in parts]),
            np.concatenate([part.masks for part in parts]),
            np.concatenate([part.labels for part in parts]),
        )


def collect(
    members: Sequence[DaCircoEnv],
    make_teacher: Callable[[], Policy],
    n: int,
    rng: np.random.Generator,
    *,
    random_share: float = 0.0,
    student: Decide | None = None,
    progress: Progress | None = None,
) -> Decisions:
    """Let the members run for `n` decisions in all, labelled by the teacher.

    Args:
        members: environments, already seeded.
        make_teacher: makes the teacher of one member.
        n: how many decisions, rounded down to whole rounds over the members.
        rng: for the random actions.
        random_share: share of decisions that are carried out at random.
        student: who acts; by default the teacher.
        progress: told the decisions of each round.
    """
    rounds = n // len(members)
    n_flavors = (int(members[0].action_space.n) - 1) // 2
    width = members[0].observation_space.shape
    assert width is not None
    observations = np.zeros((rounds, len(members), *width), dtype=np.float32)
    masks = np.zeros((rounds, len(members), n_actions(n_flavors)), dtype=np.bool_)
    labels = np.zeros((rounds, len(members)), dtype=np.int64)
    teachers = [make_teacher() for _ in members]
    for member, teacher in zip(members, teachers, strict=True):
        member.begin()
        teacher.reset(member.simulator.cluster)
    for turn in range(rounds):
        for i, (member, teacher) in enumerate(zip(members, teachers, strict=True)):
            member.observe_into(observations[turn, i])
            member.mask_into(masks[turn, i])
            order = teacher.act(member.simulator.cluster)
            # What cannot be carried out is ignored, so the rule in effect keeps.
            label = action_index(order if member.simulator.cluster.can(order) else KEEP, n_flavors)
            labels[turn, i] = label
            # A rule may keep where the mask does not offer it (KEDA's waits for its next poll).
            masks[turn, i, label] = True
        chosen = labels[turn] if student is None else student(observations[turn], masks[turn])
        lots = rng.random(len(members))
        for i, (member, teacher) in enumerate(zip(members, teachers, strict=True)):
            action = int(chosen[i])
            if lots[i] < random_share:
                action = int(rng.choice(np.flatnonzero(masks[turn, i])))
            _, terminated, truncated = member.decide(action)
            if terminated or truncated:
                member.begin()
                teacher.reset(member.simulator.cluster)
        if progress is not None:
            progress(len(members))
    return Decisions(
        observations.reshape(-1, *width), masks.reshape(-1, masks.shape[-1]), labels.reshape(-1)
    )


def clone(
    actor: Actor,
    data: Decisions,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    smoothing: float,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> float:
    """Fit the actor to the labels by masked cross-entropy.

    Args:
        actor: the network.
        data: what to imitate.
        epochs: passes over it.
        batch_size: samples of one step.
        learning_rate: Adam's step size at the start; it falls to zero along a cosine.
        smoothing: share of the target that is spread over all actions that can be carried
            out: it keeps the actor from being so sure that it never tries anything else.
        rng: for the order of the samples.
        progress: told the samples of each step.

    Returns:
        Share of the labels that the actor agrees with in the last epoch.
    """
    parameters = [p for p in actor.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimiser, T_max=epochs * max(1, len(data) // batch_size)
    )
    observations = torch.as_tensor(data.observations)
    forbidden = torch.as_tensor(~data.masks)
    labels = torch.as_tensor(data.labels)
    right = seen = 0
    for _ in range(epochs):
        right = seen = 0
        order = torch.as_tensor(rng.permutation(len(data)))
        for start in range(0, len(data) - batch_size + 1, batch_size):
            rows = order[start : start + batch_size]
            logits = forbid(actor(observations[rows]), forbidden[rows])
            loss = functional.cross_entropy(logits, labels[rows])
            if smoothing:
                allowed = ~forbidden[rows]
                spread = functional.log_softmax(logits, dim=1).where(allowed, 0.0).sum(dim=1)
                loss = (1 - smoothing) * loss - smoothing * (spread / allowed.sum(dim=1)).mean()
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            schedule.step()
            right += int((logits.argmax(dim=1) == labels[rows]).sum())
            seen += len(rows)
            if progress is not None:
                progress(len(rows))
    return right / max(1, seen)
