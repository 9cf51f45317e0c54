"""The signature of a webhook: who receives one can check that it is ours, and not an old one."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Final

SIGNATURE_HEADER: Final = "DaCirco-Signature"
EVENT_HEADER: Final = "DaCirco-Event"
"""The event's id: the same at each try."""
TOLERANCE_S: Final = 300.0


def sign(secret: bytes, body: bytes, moment: int) -> str:
    """The header's value: the moment, and HMAC-SHA256 over ``MOMENT.BODY`` in hexadecimal."""
    digest = hmac.new(secret, f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def verify(
    secret: bytes,
    header: str,
    body: bytes,
    *,
    now: float | None = None,
    tolerance_s: float = TOLERANCE_S,
) -> bool:
    """Whether a webhook that was received is ours and fresh; for receivers in Python.

    Args:
        secret: the operator's, as in ``--webhook-secret-file``, without white space around it.
        header: the value of `SIGNATURE_HEADER`.
        body: as it was received, byte for byte.
        now: seconds since the epoch; default: the clock's.
        tolerance_s: how old or early it may be.
    """
    told = dict(part.partition("=")[::2] for part in header.split(","))
    moment = told.get("t", "")
    if not (moment.isascii() and moment.isdigit() and len(moment) < 12):
        return False
    age = (time.time() if now is None else now) - int(moment)
    expected = sign(secret, body, int(moment))
    given = f"t={moment},v1={told.get('v1', '')}"
    return abs(age) <= tolerance_s and hmac.compare_digest(given.encode(), expected.encode())
