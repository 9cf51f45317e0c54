"""What a client may wish for a job beside video, bitrate and speed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from deploy.controller.admission import RejectedError
from deploy.job_bounds import LABEL_NAME, LAST_TIME, MOST_KEY, MOST_LABEL_VALUE, MOST_LABELS
from deploy.urgency import NORMAL, PRIORITIES

_LABEL_NAME: Final = re.compile(LABEL_NAME, re.ASCII)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a job has besides.

    Attributes:
        idempotency_key: a job that was submitted with it before is the one; empty: none.
        labels: names and values by which jobs are found.
        priority: see `deploy.urgency`.
        deadline: when it should be complete, seconds since the epoch.
        webhook: a URL that is told when it has ended; empty: none.
    """

    idempotency_key: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: str = NORMAL
    deadline: float | None = None
    webhook: str = ""

    def check(self, now: float) -> None:
        """See that they can be had.

        Args:
            now: seconds since the epoch.

        Raises:
            RejectedError: names the one that cannot.
        """
        key = self.idempotency_key
        if len(key) > MOST_KEY or not (key.isascii() and (key.isprintable() or not key)):
            raise RejectedError(
                "invalid", f"an Idempotency-Key has up to {MOST_KEY} printable ASCII characters"
            )
        check_labels(self.labels)
        if self.priority not in PRIORITIES:
            raise RejectedError(
                "invalid", f"priority {self.priority[:40]!a} is not {', '.join(PRIORITIES)}"
            )
        if self.deadline is not None and not now < self.deadline < LAST_TIME:
            raise RejectedError("invalid", "the deadline has passed, or is no time")

    @property
    def key_hash(self) -> str | None:
        """The key as it is stored; none if there is none."""
        key = self.idempotency_key
        return hashlib.sha256(key.encode()).hexdigest() if key else None

    def fingerprint(self, video: str, output: str, bitrate: int, speed: str) -> str:
        """Tells two requests with the same key apart."""
        asked = [video, output, bitrate, speed, sorted(self.labels.items())]
        asked += [self.priority, self.deadline, self.webhook]
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def check_labels(labels: Mapping[str, str]) -> None:
    """See that labels can be stored.

    Raises:
        RejectedError: names what is wrong.
    """
    if len(labels) > MOST_LABELS:
        raise RejectedError("invalid", f"{len(labels)} labels are too many: at most {MOST_LABELS}")
    for name, value in labels.items():
        if _LABEL_NAME.fullmatch(name) is None:
            raise RejectedError(
                "invalid",
                f"label name {name[:80]!a} is not 1 to 63 letters, digits and ._/- that begin and "
                "end with a letter or digit",
            )
        if len(value) > MOST_LABEL_VALUE or not (value.isprintable()):
            raise RejectedError(
                "invalid",
                f"the value of label {name} is longer than {MOST_LABEL_VALUE} characters or has "
                "some that cannot be printed",
            )
