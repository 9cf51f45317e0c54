"""The service runs without what only training needs: neither installed nor imported.

All of it in a Python of its own, which has the packages of an installation without extras.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.deploy.light_install import (
    PACKAGES,
    ROOT,
    base_distributions,
    light_environment,
    make_light_python,
)

MODEL = ROOT / "models" / "dacirco"
COMPILED = ("env.engine", "agents.compiled")
"""The compiled engine and the rules on it: Numba is an extra, and the service simulates without."""
DEVELOPERS_ONLY = {("deploy.grpc_api.generate", "grpc_tools")}
"""Imports of a program that is run after a change of the contract."""
VECTOR_ENTRY = {("env.vector_entry", name) for name in ("numba", "env.engine.vector_env")}
"""Imports of `gymnasium.make_vec`, which tells what to install where they fail."""


def is_compiled(module: str) -> bool:
    return f"{module}.".startswith(tuple(f"{package}." for package in COMPILED))


@pytest.fixture(scope="session")
def light_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_light_python(tmp_path_factory.mktemp("light") / "venv")


def run(python: Path, *words: str | Path, folder: Path, **more: str) -> str:
    """What a program says that must go well."""
    done = subprocess.run(
        [str(python), *map(str, words)],
        cwd=folder,
        env=light_environment(**more),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules() -> list[str]:
    """All modules of the packages that the service is made of."""
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    )


IMPORT_ALL = """
import importlib, json, sys
names = json.loads(sys.argv[1])
failed = {}
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps([failed, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def test_every_module_but_the_compiled_ones_can_be_imported(
    light_python: Path, tmp_path: Path
) -> None:
    names = [name for name in modules() if not name.endswith("__main__")]
    failed, loaded = json.loads(
        run(light_python, "-c", IMPORT_ALL, json.dumps(names), folder=tmp_path)
    )
    assert not {name for name in failed if not is_compiled(name)}, failed
    assert {"env.engine.engine", "agents.compiled.rules"} <= set(failed)
    heavy = {
        "numba",
        "torch",
        "scipy",
        "pandas",
        "jinja2",
        "sklearn",
        "highspy",
        "onnx",
        "tensorboard",
    }
    assert not heavy & set(loaded)
    assert "training" not in loaded


def test_every_import_also_in_functions_is_of_the_base_dependencies() -> None:
    """Python looks into a function only when it is called, so this reads the source."""
    base = set(base_distributions())
    owners = {
        module: {canonicalize_name(name) for name in names}
        for module, names in packages_distributions().items()
    }
    own = {*PACKAGES, *sys.stdlib_module_names}
    found = set()
    for name in modules():
        if is_compiled(name):
            continue
        path = ROOT.joinpath(*name.split("."))
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            imported = []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported = [node.module or ""]
            tops = {each.partition(".")[0] for each in imported} - own
            found |= {(name, top) for top in tops if not owners.get(top, {top}) & base}
            found |= {(name, each) for each in imported if is_compiled(each)}
    assert found == DEVELOPERS_ONLY | VECTOR_ENTRY


def test_the_light_python_is_light(light_python: Path, tmp_path: Path) -> None:
    """The test itself can fail: what training needs is not there."""
    program = (
        "import importlib.util as u; print([n for n in "
        "('torch','scipy','pandas','jinja2','training','pytest') if u.find_spec(n)])"
    )
    assert run(light_python, "-c", program, folder=tmp_path) == "[]\n"


SERVE = """
import asyncio, sys
from pathlib import Path

from deploy.controller.app import running_controller
from deploy.controller.settings import Settings
from deploy.shadow_cost import estimate_in_background

JOBS, MODEL, LOG = 6, sys.argv[1], Path("events.txt")
settings = Settings(
    runner_type="simulated", port=0, http_port=0, store="sqlite:///store.db",
    event_log_file=LOG, scheduler=MODEL, mode="shadow", speed_up=60.0,
)


async def life() -> None:
    async with running_controller(settings) as controller, asyncio.timeout(200.0):
        assert controller.warnings == (), controller.warnings
        await controller.ready.wait()
        for i in range(JOBS):
            await controller.service.submit(f"bbb_{i}.mp4", f"out-{i}.mp4", 1000, "ultrafast")
        while controller.conductor.scheduler.cluster.completed < JOBS:
            await asyncio.sleep(0.05)
        await controller.conductor.flush()
        estimate = await estimate_in_background(LOG, MODEL, "grace-period", seeds=2)
        metrics = controller.conductor.metrics.exposition().decode()
        assert "dacirco_shadow_decisions_total{" in metrics
        print(estimate.requests, estimate.low <= estimate.ratio <= estimate.high)


asyncio.run(life())
"""


@pytest.mark.skipif(not MODEL.is_dir(), reason="needs the shipped policy")
def test_a_controller_in_shadow_mode_serves_and_estimates(
    light_python: Path, tmp_path: Path
) -> None:
    program = tmp_path / "serve.py"
    program.write_text(SERVE)
    assert run(light_python, program, MODEL, folder=tmp_path) == "6 True\n"


@pytest.mark.skipif(not MODEL.is_dir(), reason="needs the shipped policy")
def test_the_policy_decides_without_heavy_imports(light_python: Path, tmp_path: Path) -> None:
    program = """
import sys

import deploy.controller.app
from agents.loading import live_policy
from env.cluster import Cluster
from env.config import load_profile

policy, warnings = live_policy(sys.argv[1], clock=lambda: 0.0)
decision = policy.decide(Cluster(load_profile("openstack")))
assert (decision.source, warnings) == ("policy", ()), (decision, warnings)
print("matplotlib" in sys.modules)
"""
    assert run(light_python, "-c", program, MODEL, folder=tmp_path) == "False\n"


@pytest.mark.slow
def test_the_wheel_installs_every_command_and_what_it_reads(tmp_path: Path) -> None:
    """Built from a copy: what is not declared as package data is not there."""
    source = tmp_path / "source"
    shutil.copytree(
        ROOT,
        source,
        ignore=lambda folder, names: [
            name
            for name in names
            if name.startswith(".")
            or name in ("build", "models", "runs", "docs", "tests", "__pycache__")
            or name.endswith(".egg-info")
        ],
    )
    python = make_light_python(tmp_path / "venv", own=False)
    environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_NO_COMPILE": "1", "PIP_QUIET": "1"}

    def pip(*words: str | Path) -> None:
        command = [sys.executable, "-m", "pip", *map(str, words)]
        subprocess.run(command, cwd=tmp_path, check=True, env=environment)

    pip("wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source)
    (built,) = tmp_path.glob("*.whl")
    pip("--python", python, "install", "--no-deps", built)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for script in scripts:
        assert "usage:" in run(python.with_name(script), "--help", folder=tmp_path)
    reads = (
        "from env.scenario import load_split; from env.config import load_profile; "
        "from env.catalog import catalog_names, load_catalog; "
        "print(len(load_split('test')) > 10, load_profile('kubernetes').name, "
        "all(len(load_catalog(name)) for name in catalog_names()))"
    )
    assert run(python, "-c", reads, folder=tmp_path) == "True kubernetes True\n"


def test_nothing_in_deploy_imports_the_training() -> None:
    """Also not in a function that is called now and then."""
    forbidden = ("import torch", "from torch", "import training", "from training", "pickle")
    found = [
        f"{path}: {line.strip()}"
        for path in (ROOT / "deploy").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(forbidden) or "import pickle" in line
    ]
    assert found == []
