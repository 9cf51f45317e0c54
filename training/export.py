"""Freeze a policy: an ONNX network, the checkpoint it came from, a card, a model card."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO

from agents.frozen import CARD_FILE, NETWORK_FILE, FrozenPolicy, sha256
from env.cost import MAX_PREFERENCE, MIN_PREFERENCE
from env.errors import PolicyError
from env.observation import schema
from training.model_card import model_card
from training.network import Actor
from training.revision import git_revision

CHECKPOINT_FILE: Final = "policy.zip"
MODEL_CARD_FILE: Final = "README.md"
_SYSTEM_FILE: Final = "system_info.txt"
TOLERANCE: Final = 1e-5
"""Largest difference allowed between the ONNX network and the trained one, in logits."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a policy comes from.

    Attributes:
        training: how it was made, as plain values: ``settings``, ``seed``, ``rounds`` of
            policy iteration on branches up to this policy, and ``steps`` of learning by PPO.
        observations: recorded observations, shape (n, features), to check the export on.
        envelope: least and greatest value of each feature seen in training.
        evaluation: figures of the evaluation that chose this policy.
        flavors: names of the flavors, small to large.
    """

    training: dict[str, Any]
    observations: NDArray[np.float32]
    envelope: tuple[Sequence[float], Sequence[float]]
    evaluation: dict[str, Any]
    flavors: tuple[str, ...]


def export_onnx(model: MaskablePPO, path: Path) -> None:
    """Write the actor with its standardisation as ONNX: ``observation`` to ``logits``."""
    actor = Actor(model).eval()
    width = model.observation_space.shape
    assert width is not None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter warns of its own internals; the result is checked below.
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            actor,
            (torch.zeros(2, *width),),
            input_names=["observation"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    network = program.model_proto
    # Names and stack traces of the exporting program do not belong into the product.
    for node in network.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del network.graph.metadata_props[:]
    for value in (*network.graph.value_info, *network.graph.input, *network.graph.output):
        del value.metadata_props[:]
    onnx.checker.check_model(network)
    path.write_bytes(network.SerializeToString(deterministic=True))


def largest_difference(
    model: MaskablePPO, frozen: FrozenPolicy, observations: NDArray[np.float32]
) -> float:
    """Largest absolute difference of logits between network and frozen policy."""
    with torch.no_grad():
        expected = Actor(model)(torch.as_tensor(observations)).numpy()
    return float(np.abs(expected - frozen.logits(observations)).max())


def export(model: MaskablePPO, folder: Path, provenance: Provenance) -> float:
    """Write a frozen policy; the folder appears whole or not at all.

    Returns:
        The largest difference between frozen and trained logits on the observations.

    Raises:
        PolicyError: that difference is above `TOLERANCE`, or the folder is there and holds
            something else than a frozen policy.
    """
    check_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as work:
        draft = Path(work) / folder.name
        draft.mkdir()
        export_onnx(model, draft / NETWORK_FILE)
        # Paths and loggers of the run do not belong into the product.
        model.save(draft / CHECKPOINT_FILE, exclude=["tensorboard_log"])
        _forget_machine(draft / CHECKPOINT_FILE)
        observations = provenance.observations
        card = {
            "name": folder.name,
            "algorithm": "MaskablePPO",
            "discipline": "sjf",
            "preference_range": [MIN_PREFERENCE, MAX_PREFERENCE],
            "schema": schema(provenance.flavors),
            "training": {**provenance.training, "git_revision": git_revision()},
            "evaluation": provenance.evaluation,
            "observation_envelope": {
                "low": [float(x) for x in provenance.envelope[0]],
                "high": [float(x) for x in provenance.envelope[1]],
            },
            "files": {
                name: {"sha256": sha256(draft / name), "bytes": (draft / name).stat().st_size}
                for name in (NETWORK_FILE, CHECKPOINT_FILE)
            },
        }
        (draft / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
        (draft / MODEL_CARD_FILE).write_text(model_card(card), encoding="utf-8")
        difference = largest_difference(model, FrozenPolicy(draft), observations)
        if not difference <= TOLERANCE:
            raise PolicyError(
                f"the exported network differs from the trained one by {difference:.2g} "
                f"(allowed {TOLERANCE:g}): nothing was written"
            )
        _replace(folder, draft, Path(work) / "old")
    return difference


def _forget_machine(checkpoint: Path) -> None:
    """Take the description of the training machine out of a checkpoint; it is never read."""
    clean = checkpoint.with_suffix(".clean")
    with zipfile.ZipFile(checkpoint) as old, zipfile.ZipFile(clean, "w") as new:
        for entry in old.infolist():
            if entry.filename != _SYSTEM_FILE:
                new.writestr(entry, old.read(entry))
    clean.replace(checkpoint)


def check_replaceable(folder: Path) -> None:
    """Make sure that an export to the folder would overwrite nothing but a frozen policy.

    Raises:
        PolicyError: it would.
    """
    if not folder.exists() or (folder / CARD_FILE).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise PolicyError(
            f"{folder} is there and is not a frozen policy: choose another name, or remove it"
        )


def _replace(folder: Path, draft: Path, aside: Path) -> None:
    """Put the draft in the folder's place; on failure the old folder stands again."""
    if not folder.exists():
        draft.rename(folder)
        return
    folder.rename(aside)
    try:
        draft.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
