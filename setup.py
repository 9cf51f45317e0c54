"""What pyproject.toml cannot say: the shipped policy goes into the wheel, inside `agents`."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = Path("models") / "dacirco"


class BuildWithPolicy(build_py):
    """Copies the policy beside the packages; an editable installation finds the checkout's."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode and SHIPPED.is_dir():  # the worker's image has no policy
            target = Path(self.build_lib, "agents", SHIPPED)
            shutil.copytree(SHIPPED, target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithPolicy})
