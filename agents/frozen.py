"""A frozen policy: an ONNX network with its card, run without torch and without pickles."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from agents.envelope import Envelope
from agents.network_policy import NetworkPolicy
from env.cluster import Cluster
from env.dispatch import DISCIPLINES, Discipline
from env.errors import PolicyError
from env.observation import schema

NETWORK_FILE: Final = "policy.onnx"
CARD_FILE: Final = "card.json"


def sha256(path: Path) -> str:
    """Hash of a file, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a frozen policy.

    Raises:
        PolicyError: there is none, or it is not JSON with the keys that are needed.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise PolicyError(f"{folder} is not a frozen policy: {CARD_FILE} is missing")
    try:
        card = dict(json.loads(path.read_text(encoding="utf-8")))
        texts = (card["schema"]["sha256"], card["files"][NETWORK_FILE]["sha256"])
        lists = (card["schema"]["observation"], card["schema"]["actions"])
        discipline = card["discipline"]
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyError(f"{path} is not a policy's card: {error!r}") from None
    if not all(isinstance(x, str) for x in texts) or not all(isinstance(x, list) for x in lists):
        raise PolicyError(f"{path} is not a policy's card: a hash or a schema is of a wrong type")
    if discipline not in list(DISCIPLINES):
        raise PolicyError(f"{path}: discipline {discipline!r} is not one of {list(DISCIPLINES)}")
    return card


def load_session(folder: Path, card: dict[str, Any]) -> onnxruntime.InferenceSession:
    """The network, checked against its hash and its card.

    Raises:
        PolicyError: the file is missing, changed or corrupt, or of another shape.
    """
    path = folder / NETWORK_FILE
    if not path.is_file():
        raise PolicyError(f"{folder}: {NETWORK_FILE} is missing")
    network = path.read_bytes()
    found = hashlib.sha256(network).hexdigest()
    wanted = card["files"][NETWORK_FILE]["sha256"]
    if found != wanted:
        raise PolicyError(
            f"{path} is corrupt or was changed: its sha256 is {found[:12]}..., "
            f"the card says {str(wanted)[:12]}...; export the policy again"
        )
    options = onnxruntime.SessionOptions()
    # One decision is microseconds of work: threads would only wait for each other.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        width = session.get_inputs()[0].shape[1]
        actions = session.get_outputs()[0].shape[1]
    except Exception as error:  # onnxruntime raises types of its own that share no base
        reason = " ".join(str(error).split()) or type(error).__name__
        raise PolicyError(f"{path} cannot be loaded: {reason}") from None
    named = card["schema"]
    if (width, actions) != (len(named["observation"]), len(named["actions"])):
        raise PolicyError(f"{path} does not have the inputs and outputs that its card names")
    return session


def _envelope(folder: Path, card: dict[str, Any]) -> Envelope | None:
    """The envelope of a card.

    Raises:
        PolicyError: the card has one that cannot be read.
    """
    try:
        return Envelope.of_card(card)
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyError(
            f"{folder / CARD_FILE} is not a policy's card: observation_envelope: {error!r}"
        ) from None


class FrozenPolicy(NetworkPolicy):
    """A network in a file.

    Args:
        folder: holds ``policy.onnx`` and ``card.json``.
        name: what to call it; by default the folder's path.

    Raises:
        PolicyError: see `read_card` and `load_session`.
    """

    def __init__(self, folder: Path, name: str | None = None) -> None:
        self.folder = folder
        self.name = name or folder.as_posix()
        self.card = read_card(folder)
        self.discipline: Discipline = self.card["discipline"]
        self._session = load_session(folder, self.card)
        self._input = self._session.get_inputs()[0].name
        self.envelope = _envelope(folder, self.card)

    def reset(self, cluster: Cluster) -> None:
        """Prepare to serve this cluster.

        Raises:
            PolicyError: the network was trained for another observation or other actions.
        """
        flavors = [flavor.name for flavor in cluster.flavors]
        here, there = schema(flavors)["sha256"], self.card["schema"]["sha256"]
        if here != there:
            raise PolicyError(
                f"{self.name}: its observation schema {there[:12]}... does not match "
                f"{here[:12]}... of this cluster (flavors {', '.join(flavors)}): train it again"
            )
        super().reset(cluster)

    def logits(self, observations: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's output before the mask: (n, features) to (n, actions)."""
        outputs: list[NDArray[np.float32]] = self._session.run(None, {self._input: observations})
        return outputs[0]
