"""What is measured: the cells of the grid and the order in which they are visited."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deploy.bench_encoder.scenes import FPS, SCENES
from env.jobs import SPEEDS, Speed

SIZES: Final = {
    360: (640, 360),
    540: (960, 540),
    720: (1280, 720),
    1080: (1920, 1080),
    1440: (2560, 1440),
    2160: (3840, 2160),
}
"""Width and height by the number of lines, pixels."""
DEFAULT_SIZES: Final = (360, 720, 1080, 2160)
FLOOR_KBPS: Final = 4
"""So little that the encoder writes the coarsest picture that it can."""
DEFAULT_BITRATES: Final = (FLOOR_KBPS, 500, 2000, 8000)
DEFAULT_LENGTHS: Final = (1.0, 0.5)
_WORK: Final = 4.0
"""Length times megapixels of a clip of length 1: about as much work for each size."""
_SHORTEST_S: Final = 1.0
_LONGEST_S: Final = 12.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One transcode to measure.

    Attributes:
        scene: name of one of `deploy.bench_encoder.scenes.SCENES`.
        lines: height of the picture, a key of `SIZES`.
        seconds: length of the clip.
        speed: preset of the encoder.
        kbps: asked bitrate, kbit/s.
        threads: of the encoder.
        repeat: how many times it was measured before.
    """

    scene: str
    lines: int
    seconds: float
    speed: Speed
    kbps: int
    threads: int
    repeat: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The cells: every combination of these.

    Attributes:
        lines: heights of the picture.
        speeds: presets.
        bitrates: asked, kbit/s.
        threads: of the encoder.
        scenes: names of scenes.
        lengths: of the clips, relative to the length that a size has by default; each
            combination of the others takes one of them in turn.
        repeats: how often each cell is measured.
    """

    lines: Sequence[int] = DEFAULT_SIZES
    speeds: Sequence[Speed] = SPEEDS
    bitrates: Sequence[int] = DEFAULT_BITRATES
    threads: Sequence[int] = (1,)
    scenes: Sequence[str] = tuple(scene.name for scene in SCENES)
    lengths: Sequence[float] = DEFAULT_LENGTHS
    repeats: int = 2

    def cells(self) -> list[Cell]:
        """All cells, one repetition after another, each in a random order of its own.

        So a disturbance of the machine meets all kinds of cells alike, and what is cut off
        after some minutes still covers the grid.
        """
        cells: list[Cell] = []
        for repeat in range(self.repeats):
            one = [
                # In turn, so that no length goes with one kind of cell.
                self._cell(places, repeat, self.lengths[(sum(places) + repeat) % len(self.lengths)])
                for places in itertools.product(
                    *map(
                        range,
                        map(
                            len,
                            (self.scenes, self.lines, self.speeds, self.bitrates, self.threads),
                        ),
                    )
                )
            ]
            random.Random(repeat).shuffle(one)
            cells += one
        return cells

    def _cell(self, places: tuple[int, ...], repeat: int, length: float) -> Cell:
        scene, lines, speed, kbps, threads = places
        return Cell(
            scene=self.scenes[scene],
            lines=self.lines[lines],
            seconds=clip_seconds(self.lines[lines], length),
            speed=self.speeds[speed],
            kbps=self.bitrates[kbps],
            threads=self.threads[threads],
            repeat=repeat,
        )


def clip_seconds(lines: int, length: float) -> float:
    """Playing time of a clip, a whole number of pictures, seconds.

    Args:
        lines: height of the picture.
        length: relative to the default of this height.
    """
    width, height = SIZES[lines]
    seconds = min(_LONGEST_S, max(_SHORTEST_S, _WORK / (width * height / 1e6)))
    return max(2, round(seconds * length * FPS)) / FPS
