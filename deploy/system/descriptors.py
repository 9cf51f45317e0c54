"""How many files and connections a process may have open."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

_ENOUGH: Final = 65_536


def raise_descriptor_limit() -> int:
    """Raise this process's limit of descriptors to what it may have, and return it.

    Shells often give 1024 of a hundred thousand that are allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft
