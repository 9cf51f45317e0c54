"""The controller decides without what only training needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "models" / "dacirco"

PROGRAM = """
import sys

import deploy.controller.app
import deploy.controller.command
from agents.loading import live_policy
from deploy.shadow import Shadow
from env.cluster import Cluster
from env.config import load_profile

policy, warnings = live_policy(sys.argv[1], clock=lambda: 0.0)
cluster = Cluster(load_profile("openstack"))
decision = policy.decide(cluster)
Shadow(live_policy(sys.argv[1])[0]).observe(cluster, decision)
assert (decision.source, warnings) == ("policy", ()), (decision, warnings)
heavy = {"torch", "stable_baselines3", "sb3_contrib", "training", "tensorboard", "matplotlib"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.skipif(not MODEL.is_dir(), reason="needs the shipped policy")
def test_neither_torch_nor_the_training_is_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(MODEL)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_nothing_in_deploy_imports_the_training() -> None:
    """Also not in a function that is called now and then."""
    folder = Path(__file__).parents[2] / "deploy"
    forbidden = ("import torch", "from torch", "import training", "from training", "pickle")
    found = [
        f"{path}: {line.strip()}"
        for path in folder.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(forbidden) or "import pickle" in line
    ]
    assert found == []
