"""The file beside an event log that tells with which parameters the controller was started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pydantic import SecretBytes, SecretStr

from env.log_parts import CONFIG_ENDING
from env.textfile import write_atomically

_SECRET_NAME: Final = re.compile(
    r"secret|passw|token|credential|private|(access|api)[-_]?key", re.IGNORECASE
)
_USER_OF_URL: Final = re.compile(r"(?<=://)[^/?#\s]*@")
_SECRET_OF_URL: Final = re.compile(
    r"([?&;][^=&;\s]*(?:secret|passw|token|key|credential)[^=&;\s]*=)[^&;#\s]*", re.IGNORECASE
)


def config_path(log: Path) -> Path:
    """``tc-events-01.config.txt`` for ``tc-events-01.txt``."""
    return log.with_suffix(CONFIG_ENDING)


def write_config(log: Path, parameters: Mapping[str, object]) -> Path:
    """Write the parameters beside an event log, one ``name = value`` a line; return the path.

    Secrets are left out: values of pydantic's secret types, parameters whose names tell that
    they are one (``minio_secret_key``), and what a URL carries before its ``@`` or in a query
    parameter with such a name.

    Raises:
        ScenarioError: the file cannot be written.
    """
    lines = [
        f"{name} = {_public(value)}\n"
        for name, value in parameters.items()
        if not (_SECRET_NAME.search(name) or isinstance(value, SecretStr | SecretBytes))
    ]
    path = config_path(log)
    write_atomically(path, "".join(lines))
    return path


def _public(value: object) -> str:
    text = " ".join(str(value).splitlines())
    return _SECRET_OF_URL.sub(r"\1...", _USER_OF_URL.sub("...@", text))
