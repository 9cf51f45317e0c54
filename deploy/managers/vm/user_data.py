"""What a worker's VM is told at its first boot: a script that writes its environment file."""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Mapping
from typing import Final

from deploy.managers.base import ManagerError

ENVIRONMENT_FILE: Final = "/etc/dacirco/environment"
"""Where the worker image's service reads its environment."""

SERVICE_USER: Final = "ubuntu"
"""Whom the worker of the existing system's image runs as."""
_USER_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")

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


def user_data(variables: Mapping[str, str], service_user: str = SERVICE_USER) -> str:
    """The bash script, encoded as Nova wants it (base64).

    The environment file holds secrets: only root and the user whom the image's worker runs as can
    read it. In an image without such a user, systemd reads it as root for whoever it starts.

    Args:
        variables: the worker's environment.
        service_user: whom the image's worker runs as.

    Raises:
        ManagerError: see `environment_line`; or the user's name is none.
    """
    if not _USER_NAME.fullmatch(service_user):
        raise ManagerError(f"--os-service-user {service_user!r} is not the name of a user")
    lines = [environment_line(name, value) for name, value in variables.items()]
    written = f"{ENVIRONMENT_FILE}.new"
    script = "\n".join(
        [
            "#!/bin/bash",
            "# Written by the DaCirco controller: tells this worker who it is.",
            "set -eu",
            # Others must pass through the folder, the service user among them.
            f"install -d -m 755 {ENVIRONMENT_FILE.rpartition('/')[0]}",
            "umask 077  # the file holds secrets",
            # The end mark is quoted: the shell leaves the lines as they are.
            f"cat > {written} <<'{_END}'",
            *lines,
            _END,
            f"if id -u {service_user} > /dev/null 2>&1; then chown {service_user}: {written}; fi",
            # Whole from the first moment for whoever waits for it.
            f"mv -f {written} {ENVIRONMENT_FILE}",
            "",
        ]
    )
    return base64.b64encode(script.encode()).decode("ascii")
