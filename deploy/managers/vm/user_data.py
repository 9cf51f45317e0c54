"""What a worker's VM is told at its first boot: a script that writes its environment file."""

from __future__ import annotations

import base64
import string
from collections.abc import Mapping
from typing import Final

from deploy.managers.base import ManagerError

ENVIRONMENT_FILE: Final = "/etc/dacirco/environment"
"""Where the worker image's service reads its environment."""

_END: Final = "DACIRCO_ENVIRONMENT"
_PLAIN: Final = frozenset(string.ascii_letters + string.digits + "_-.:/@+,=%")


def environment_line(name: str, value: str) -> str:
    """One line of an environment file, as systemd and a shell both read it.

    Raises:
        ManagerError: the value cannot stand in one line.
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ManagerError(f"{name} holds a control character: it cannot be given to a VM")
    if _PLAIN.issuperset(value):
        return f"{name}={value}"
    escaped = "".join("\\" + c if c in '"\\$`' else c for c in value)
    return f'{name}="{escaped}"'


def user_data(variables: Mapping[str, str]) -> str:
    """The bash script, encoded as Nova wants it (base64).

    Raises:
        ManagerError: see `environment_line`.
    """
    lines = [environment_line(name, value) for name, value in variables.items()]
    script = "\n".join(
        [
            "#!/bin/bash",
            "# Written by the DaCirco controller: tells this worker who it is.",
            "set -eu",
            "umask 077  # the file holds a secret",
            f"mkdir -p {ENVIRONMENT_FILE.rpartition('/')[0]}",
            # The end mark is quoted: the shell leaves the lines as they are.
            f"cat > {ENVIRONMENT_FILE} <<'{_END}'",
            *lines,
            _END,
            "",
        ]
    )
    return base64.b64encode(script.encode()).decode("ascii")
