"""What our front end and our controller tell each other beside the contract: in the metadata."""

from __future__ import annotations

from typing import Final

REASON_KEY: Final = "dacirco-reason"
"""Why a controller refused a job, in the trailing metadata.

Its values: ``not-found``, ``invalid``, ``storage`` (of jobs), ``overloaded``, ``conflict``.

The existing system's controller does not send it, and its front end does not read it.
"""

FRONT_END_KEY: Final = "dacirco-front-end"
STRICT: Final = "strict"
"""A front end that sends this with a job can tell its client why it was refused, and has nothing
stored then. Without it a job that cannot be done is stored, has an id, and ends in `Error`: the
existing system's front ends take a refusal for a job without an id, and its clients wait for ever.
"""
