"""The built wheel, installed into an empty environment, away from the checkout."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
import requests

from deploy.embedded.data_folder import DataFolder
from tests.deploy.light_install import light_environment

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "NOTICE")
PACKAGES = ("env", "agents", "training", "deploy")

pytestmark = pytest.mark.slow


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=light_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built in a copy, because a build leaves files beside its sources."""
    copy, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("built")
    for name in SOURCES:
        shutil.copyfile(ROOT / name, copy / name)
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copytree(ROOT / "models" / "dacirco", copy / "models" / "dacirco")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(built)]
    run([sys.executable, "-m", "pip", *build, str(copy)], copy)
    (found,) = built.glob("dacirco-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds the wheel; other packages are shared, to be quick."""
    folder = tmp_path_factory.mktemp("environment")
    run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder)
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    run([sys.executable, "-m", "pip", "--python", str(python), *install], folder)
    variables = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=variables))
    numpy = importlib.util.find_spec("numpy")
    assert numpy is not None
    assert numpy.origin is not None
    (site / "shared.pth").write_text(f"{Path(numpy.origin).parents[1]}\n", encoding="utf-8")
    return python


def test_the_packages_are_those_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    program = "import env, agents, deploy, training as t; print(env.__file__, t.__file__)"
    for path in run([str(installed), "-c", program], tmp_path).split():
        assert Path(path).is_relative_to(installed.parents[1])


def test_profiles_catalogs_scenarios_and_templates_are_inside(
    installed: Path, tmp_path: Path
) -> None:
    evaluate = [str(installed), "-m", "training.evaluate", "--scenario", "poisson-light"]
    evaluate += ["--policy", "models/dacirco", "--policy", "grace-period", "--seeds", "1"]
    table = run([*evaluate, "--report", "report"], tmp_path)
    assert "models/dacirco" in table
    assert (tmp_path / "report" / "index.html").is_file()


def test_the_service_starts_with_the_shipped_policy_and_ends(
    installed: Path, tmp_path: Path
) -> None:
    data, log = DataFolder(tmp_path / "data"), tmp_path / "log"
    command = [str(installed), "-m", "deploy.up", "--data", str(data.path)]
    for name in ("rest", "grpc", "http"):
        command += [f"--{name}-port", "0"]
    with log.open("wb") as output:
        service = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=light_environment(),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 180
        while not data.read_state():
            assert service.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        url = str(data.read_state()["rest_url"])
        assert requests.get(f"{url}/openapi.json", timeout=30).status_code == 200
        os.killpg(service.pid, signal.SIGINT)
        assert service.wait(60) == 0, log.read_text()
    finally:
        if service.poll() is None:
            os.killpg(service.pid, signal.SIGTERM)
            service.wait(60)
