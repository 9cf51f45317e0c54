"""``python -m deploy.grpc_api.generate``: the Python code of the interfaces, made anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from env.errors import DaCircoError

PROTOS: Final = (
    "deploy/grpc_api/dacirco.proto",
    "deploy/grpc_api/jobs.proto",
    "deploy/grpc_api/page.proto",
)
"""Relative to the repository's root: the generated imports follow from it."""


def generate(out: Path) -> None:
    """Write the messages, their types and the stubs below `out`.

    Raises:
        DaCircoError: the compiler refuses one of them.
    """
    from grpc_tools import protoc  # needed by developers only

    root = Path(__file__).parents[2]
    options = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    for proto in PROTOS:
        if protoc.main(["protoc", f"--proto_path={root}", *options, str(root / proto)]) != 0:
            raise DaCircoError(f"{proto} cannot be compiled: see above")


if __name__ == "__main__":
    generate(Path(__file__).parents[2])
    sys.exit(0)
