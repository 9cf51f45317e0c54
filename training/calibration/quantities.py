"""The text that stands for a CPU count in event logs and their exports."""

from __future__ import annotations

import math


def parse_cpus(text: str) -> float:
    """CPUs of ``2``, ``0.5`` or Kubernetes' ``500m``.

    Raises:
        ValueError: the text is no count of CPUs above 0.
    """
    text = text.strip()
    cpus = float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    if not 0 < cpus < math.inf:
        raise ValueError(f"{text!r} is not a number of CPUs above 0")
    return cpus
