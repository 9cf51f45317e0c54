"""Moving pictures with natural detail, made of nothing but random numbers.

No footage is shipped and none is downloaded. What makes pictures of the world hard or easy for an
encoder is imitated:

- detail at all scales: textures whose amplitude falls as 1/frequency^detail (about 1 in
  photographs), blurred near the finest scale as a lens does;
- motion that an encoder can follow, by fractions of a pixel: a camera that pans, and things with
  soft edges that move before the background on paths of their own, so that areas come into sight;
- light that changes slowly, and weak grain that changes with each picture.

Noise alone would exaggerate: nothing in it can be predicted, so all of it costs bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi, sin
from typing import Final

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

FPS: Final = 24
_MARGIN: Final = 0.15
"""Of the background beyond each edge of the picture, as a share of its size."""
_LENS: Final = 0.22
"""Frequency, in cycles per pixel, at which the lens has lost about two thirds of the contrast."""
_CONTRAST: Final = 38.0
_COLOUR: Final = 14.0
_GRAINS: Final = 4


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be seen.

    Attributes:
        name: of the scene.
        detail: exponent of the spectrum; less is finer detail.
        pan: how far the camera moves, as a share of the picture's height a second.
        things: how many things move before the background.
        speed: of the things, likewise.
        grain: standard deviation of the grain, in steps of 8 bits.
    """

    name: str
    detail: float
    pan: float
    things: int
    speed: float
    grain: float


SCENES: Final = (
    Scene("calm", detail=1.15, pan=0.03, things=2, speed=0.10, grain=1.0),
    Scene("lively", detail=1.0, pan=0.10, things=6, speed=0.30, grain=1.5),
)
"""Somebody who talks before a landscape, and a street or a match."""


@dataclass(frozen=True, slots=True)
class _Layer:
    luma: Plane
    blue: Plane
    red: Plane


@dataclass(frozen=True, slots=True)
class _Thing:
    layer: _Layer
    alpha: Plane
    alpha_small: Plane
    at: tuple[float, float]
    reach: tuple[float, float]
    phase: tuple[float, float]
    turns: tuple[float, float]


def pictures(scene: Scene, width: int, height: int, count: int, *, seed: int) -> Iterator[bytes]:
    """The pictures of a scene one after another, as raw yuv420p at `FPS` a second.

    The same arguments give the same bytes.

    Args:
        scene: what is to be seen.
        width: a multiple of 4, pixels.
        height: likewise.
        count: how many pictures.
        seed: of all that is drawn.
    """
    rng = np.random.default_rng([seed, width, height])
    margin = int(_MARGIN * height) // 2 * 2
    ground = _layer(rng, height + 2 * margin, width + 2 * margin, scene.detail)
    things = [_thing(rng, scene, width, height) for _ in range(scene.things)]
    grain = [
        (scene.grain * rng.standard_normal((height, width))).astype(np.float32)
        for _ in range(_GRAINS)
    ]
    turn = 2 * pi * rng.random(2)
    reach = min(margin - 2.0, scene.pan * height / 0.6)  # the mean speed of a sine of 4 s
    for number in range(count):
        t = number / FPS
        y = margin + reach * sin(2 * pi * t / 6.3 + turn[0])
        x = margin + reach * sin(2 * pi * t / 4.0 + turn[1])
        frame = _Layer(
            _shifted(ground.luma, y, x, height, width),
            _shifted(ground.blue, y / 2, x / 2, height // 2, width // 2),
            _shifted(ground.red, y / 2, x / 2, height // 2, width // 2),
        )
        for thing in things:
            _put(frame, thing, t)
        light = np.float32(1.0 + 0.04 * sin(2 * pi * t / 5.0 + turn[0]))
        luma = frame.luma * light
        luma += np.roll(
            grain[int(rng.integers(_GRAINS))], tuple(rng.integers(height, size=2)), (0, 1)
        )
        yield b"".join(_bytes(plane) for plane in (luma, frame.blue, frame.red))


def _texture(rng: np.random.Generator, height: int, width: int, detail: float) -> Plane:
    """A random texture with mean 0 and deviation 1."""
    down = np.fft.fftfreq(height)[:, None]
    across = np.fft.rfftfreq(width)[None, :]
    frequency = np.hypot(down, across)
    frequency[0, 0] = 1.0
    amplitude = frequency**-detail * np.exp(-((frequency / _LENS) ** 2))
    amplitude[0, 0] = 0.0
    phases = np.exp(2j * pi * rng.random(amplitude.shape))
    texture = np.fft.irfft2(amplitude * phases, s=(height, width))
    return np.asarray(texture / texture.std(), dtype=np.float32)


def _layer(rng: np.random.Generator, height: int, width: int, detail: float) -> _Layer:
    small = (height // 2, width // 2)
    middle = rng.uniform(90, 150)
    return _Layer(
        np.float32(middle) + np.float32(_CONTRAST) * _texture(rng, height, width, detail),
        np.float32(128) + np.float32(_COLOUR) * _texture(rng, *small, detail + 0.2),
        np.float32(128) + np.float32(_COLOUR) * _texture(rng, *small, detail + 0.2),
    )


def _thing(rng: np.random.Generator, scene: Scene, width: int, height: int) -> _Thing:
    h, w = (int(height * rng.uniform(0.15, 0.45)) // 4 * 4 for _ in range(2))
    down, across = np.mgrid[0:h, 0:w].astype(np.float32)
    distance = np.hypot(2 * down / h - 1, 2 * across / w - 1)
    edge = 3.0 / min(h, w)
    alpha = np.clip((1 - distance) / edge, 0, 1).astype(np.float32)
    room = np.array([height - h, width - w]) / 2.0
    reach = np.minimum(room - 4, height * 0.35) * rng.uniform(0.6, 1.0, 2)
    turns = scene.speed * height / (4 * np.maximum(reach, 1.0))  # four reaches a turn
    centre = room + (room - reach - 4) * rng.uniform(-1, 1, 2)
    phase = 2 * pi * rng.random(2)
    return _Thing(
        _layer(rng, h, w, scene.detail),
        alpha,
        alpha[::2, ::2].copy(),
        (float(centre[0]), float(centre[1])),
        (float(reach[0]), float(reach[1])),
        (float(phase[0]), float(phase[1])),
        (float(turns[0]), float(turns[1])),
    )


def _put(frame: _Layer, thing: _Thing, t: float) -> None:
    y, x = (
        at + reach * sin(2 * pi * turns * t + phase)
        for at, reach, phase, turns in zip(
            thing.at, thing.reach, thing.phase, thing.turns, strict=True
        )
    )
    _blend(frame.luma, thing.layer.luma, thing.alpha, y, x)
    _blend(frame.blue, thing.layer.blue, thing.alpha_small, y / 2, x / 2)
    _blend(frame.red, thing.layer.red, thing.alpha_small, y / 2, x / 2)


def _blend(plane: Plane, texture: Plane, alpha: Plane, y: float, x: float) -> None:
    # The thing is moved by the fraction within its own frame, the rest by whole pixels.
    top, left = int(y), int(x)
    h, w = alpha.shape[0] - 1, alpha.shape[1] - 1
    down, across = 1 - (y - top), 1 - (x - left)
    moved, cover = _shifted(texture, down, across, h, w), _shifted(alpha, down, across, h, w)
    part = plane[top + 1 : top + 1 + h, left + 1 : left + 1 + w]
    part += cover * (moved - part)


def _shifted(plane: Plane, y: float, x: float, height: int, width: int) -> Plane:
    """The part of a plane whose corner lies between pixels, by linear interpolation."""
    top, left = min(int(y), plane.shape[0] - height - 1), min(int(x), plane.shape[1] - width - 1)
    dy, dx = np.float32(y - top), np.float32(x - left)
    rows = plane[top : top + height + 1, left : left + width + 1]
    mixed = rows[:-1] + dy * (rows[1:] - rows[:-1])
    return np.asarray(mixed[:, :-1] + dx * (mixed[:, 1:] - mixed[:, :-1]), dtype=np.float32)


def _bytes(plane: Plane) -> bytes:
    return np.clip(np.rint(plane), 0, 255).astype(np.uint8).tobytes()
