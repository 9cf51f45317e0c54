"""How far ffmpeg is, from its ``-progress`` lines.

They are ``key=value``, in blocks that end with ``progress=``.
"""

from __future__ import annotations

from math import isfinite


class Progress:
    """Reads the lines.

    Attributes:
        done_s: playing time of what has been written, seconds.
        frames: pictures that have been written.
        speed: seconds of video a second; none while ffmpeg does not tell.
    """

    def __init__(self) -> None:
        self.done_s = 0.0
        self.frames = 0
        self.speed: float | None = None
        self._block: list[str] = []
        self._last_block: list[str] = []

    def line(self, line: str) -> bool:
        """Take in a line; whether it shows that ffmpeg has got on."""
        key, _, value = line.partition("=")
        value = value.strip()
        if key in ("frame", "total_size", "out_time_us"):
            self._block.append(value)
        if key == "frame" and value.isdecimal():
            self.frames = int(value)
        if key == "out_time_us" and value.lstrip("-").isdecimal():
            self.done_s = max(self.done_s, int(value) / 1e6)
        if key == "speed":
            self.speed = _speed(value)
        if key != "progress":
            return False
        moved = self._block != self._last_block
        self._block, self._last_block = [], self._block
        return moved


def _speed(value: str) -> float | None:
    """Of ``1.23x``; none of ``N/A``."""
    try:
        speed = float(value.removesuffix("x"))
    except ValueError:
        return None
    return speed if isfinite(speed) and speed >= 0 else None


def read_progress(output: str) -> Progress:
    """What all the lines together tell."""
    progress = Progress()
    for line in output.splitlines():
        progress.line(line)
    return progress
