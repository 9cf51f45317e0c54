"""Scenarios of a few jobs and a frozen policy of a few numbers, for evaluations of a second."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from agents.frozen import CARD_FILE, NETWORK_FILE
from env.observation import features, schema
from training.evaluation.plan import Plan, make_plan

ROOT = Path(__file__).parents[2]
FLAVORS = ["s10.tiny", "s10.small", "s10.medium"]
ROWS = (
    "0,bbb_1.mp4,800,fast",
    "4.5,bbb_9.mp4,8000,ultrafast",
    "0.2,bbb_3.mp4,500,fast",
    "30,bbb_5.mp4,1200,ultrafast",
    "61,bbb_7.mp4,4000,fast",
    "2,bbb_0.mp4,4000,ultrafast",
)


def write_rows(path: Path, rows: tuple[str, ...] = ROWS) -> Path:
    """A scenario file."""
    path.write_text("# a few jobs\n" + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def small_plan(folder: Path, **changes: Any) -> Plan:
    """Three rules on two scenarios of a few jobs."""
    busy = write_rows(folder / "busy.csv")
    calm = write_rows(folder / "calm.csv", ROWS[3:])
    options: dict[str, Any] = {
        "scenarios": [str(busy), str(calm)],
        "policies": ["minimize-workers", "grace-period", "reserve-k"],
        "seeds": 2,
        **changes,
    }
    return make_plan(**options)


def write_frozen(folder: Path, flavors: list[str] = FLAVORS) -> Path:
    """A frozen policy that spawns the smallest flavor while it can, and else keeps."""
    described = schema(flavors)
    width, actions = len(features(flavors)), len(described["actions"])
    bias = np.zeros(actions, dtype=np.float32)
    bias[1] = 1.0
    weights = np.zeros((width, actions), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["observation", "weights", "bias"], ["logits"])],
        "eager",
        [helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", actions])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    network = model.SerializeToString()
    folder.mkdir(parents=True)
    (folder / NETWORK_FILE).write_bytes(network)
    card = {
        "discipline": "sjf",
        "schema": described,
        "files": {NETWORK_FILE: {"sha256": hashlib.sha256(network).hexdigest()}},
    }
    (folder / CARD_FILE).write_text(json.dumps(card), encoding="utf-8")
    return folder


def run_module(module: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``python -m MODULE ARGUMENTS`` as a person runs it, in another folder than the project's."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
