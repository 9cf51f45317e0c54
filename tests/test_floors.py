"""The floors of the house: who may import whom, as `.importlinter` states it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("env", "agents", "training", "deploy")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    # `-P` and a path of its own: the packages of `folder`, not those of the checkout.
    program = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.argv = ['lint-imports', "
    program += "'--no-cache']; from importlinter.cli import lint_imports_command as lint; lint()"
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_every_import_goes_to_its_own_floor_or_down() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copied_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("house")
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    shutil.copyfile(ROOT / ".importlinter", folder / ".importlinter")
    return folder


@pytest.mark.parametrize(
    ("module", "imported", "broken"),
    [
        ("env/cluster.py", "agents.policy", "env <- agents <- training and deploy"),
        ("agents/policy.py", "training.settings", "env <- agents <- training and deploy"),
        ("deploy/scheduler.py", "training.settings", "env <- agents <- training and deploy"),
        ("training/settings.py", "deploy.scheduler", "env <- agents <- training and deploy"),
        ("agents/guard.py", "torch", "what only training needs"),
        ("deploy/scheduler.py", "numba", "needs no compiler"),
        ("deploy/managers/base.py", "deploy.controller.settings", "stands on the parts"),
        ("deploy/student_t.py", "deploy.shadow_cost", "No import circles"),
    ],
)
def test_an_import_that_runs_back_is_found(
    copied_house: Path, module: str, imported: str, broken: str
) -> None:
    file = copied_house / module
    whole = file.read_text(encoding="utf-8")
    # In a function: also an import that Python sees late runs back.
    file.write_text(f"{whole}\n\ndef late() -> None:\n    import {imported}\n", encoding="utf-8")
    try:
        done = lint_imports(copied_house)
    finally:
        file.write_text(whole, encoding="utf-8")
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(broken in line and "BROKEN" in line for line in done.stdout.splitlines()), (
        done.stdout
    )
