"""The command lines and the environment of the embedded service's programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from deploy.embedded.data_folder import DataFolder
from deploy.embedded.settings import LOOPBACK, EmbeddedSettings, find_policy

CONTROLLER_MODULE: Final = "deploy.controller.command"
REST_MODULE: Final = "deploy.rest.command"
SERVICE_VARIABLE: Final = "DACIRCO_SERVICE"
"""Carried by every process of an embedded service, its workers too: the path of its data folder."""

BOOT_PATIENCE_S: Final = 60.0
"""A local worker that has not registered after this time never will."""

_ROOT: Final = Path(__file__).resolve().parents[2]


def environment(data: DataFolder) -> dict[str, str]:
    """Our own environment with the service's mark; its programs find this package anywhere."""
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        SERVICE_VARIABLE: str(data.path),
    }


def controller_command(settings: EmbeddedSettings, data: DataFolder) -> list[str]:
    """How the controller is started."""
    options: dict[str, object] = {
        "--runner-type": "process",
        "--ip-address": LOOPBACK,
        "--port": settings.grpc_port,
        "--http-port": settings.http_port,
        "--scheduler": find_policy(settings.scheduler),
        "--fallback": settings.fallback,
        "--profile": settings.profile,
        "--catalog": settings.catalog,
        "--store": data.store_url,
        "--storage": data.storage_url,
        "--workers-folder": data.workers,
        "--max-attempts": settings.max_attempts,
        "--boot-timeout": BOOT_PATIENCE_S + settings.boot_delay_s,
    }
    optional = {
        "--preference": settings.preference,
        "--cores": settings.cores,
        "--max-workers": settings.max_workers,
        "--boot-delay": settings.boot_delay_s or None,
    }
    options |= {option: value for option, value in optional.items() if value is not None}
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", CONTROLLER_MODULE, *words]


def rest_command(settings: EmbeddedSettings) -> list[str]:
    """How the Job API is started."""
    options = {
        "--host": LOOPBACK,
        "--port": settings.rest_port,
        "--grpc-server": LOOPBACK,
        "--grpc-port": settings.grpc_port,
    }
    words = [str(word) for option in options.items() for word in option]
    return [sys.executable, "-m", REST_MODULE, *words]
