"""Why a controller refused a job, told beside the contract's reply: in the trailing metadata."""

from __future__ import annotations

from typing import Final

REASON_KEY: Final = "dacirco-reason"
"""Its values: ``not-found``, ``invalid``, ``storage``, ``overloaded``.

The existing system's controller does not send it, and its front end does not read it.
"""
