"""From the input's pixels to those that players play: the filters before the encoder."""

from __future__ import annotations

import re
from typing import Final

from deploy.media.streams import VideoStream

SMALLEST: Final = 16
"""Width and height that libx265 takes at least, pixels."""
_DEEP: Final = re.compile(
    r"""(?x) ^p[024]1[026]                        # semi-planar: p010, p216, p412, ...
    | ^(y21[026] | xv(30|36|48) | v30x | x2(rgb|bgr)10 | nv20 | xyz12 | ayuv64 | ya16)
    | ^(rgb|bgr)(48|96) | ^(rgba|bgra)(64|128)
    | ^gray(9|1\d)
    | f(16|32)(le|be)?$                            # floating point
    | ^bayer_\w+16
    | p(9|1\d)(le|be)?$                            # planar: yuv420p10le, gbrap12be, ...
    | p(9|1\d)msb(le|be)?$"""
)
"""Formats of more than 8 bits."""
_RGB: Final = re.compile(
    r"^(rgb|bgr|0rgb|0bgr|argb|abgr|rgba|bgra|gbr|x2rgb|x2bgr|pal8|bayer|x?v?30?gbr)|^(mono)"
)
_ALPHA: Final = re.compile(r"^(yuva|rgba|bgra|argb|abgr|gbrap|ya8|ya16|yaf|vuya|ayuv|pal8)")


def output_format(pixel_format: str | None) -> str:
    """What all players of HEVC play: 4:2:0, in 10 bits where the input has more than 8."""
    deep = pixel_format is not None and _DEEP.search(pixel_format) is not None
    return "yuv420p10le" if deep else "yuv420p"


def has_alpha(pixel_format: str | None) -> bool:
    """Whether the pixels may be transparent: HEVC in mp4 cannot be."""
    return pixel_format is not None and _ALPHA.match(pixel_format) is not None


def filters(picture: VideoStream) -> str:
    """The filters for a film, in ffmpeg's words. They stand behind its rotation.

    Fields become frames; sizes become even and large enough by black pixels at the right and the
    bottom; colours keep their meaning and become limited in range, as players expect them.
    """
    chain = ["bwdif=mode=send_frame:deint=interlaced"] if picture.interlaced else []
    even = "max({0}\\,ceil({1}/2)*2)"
    width, height = even.format(SMALLEST, "iw"), even.format(SMALLEST, "ih")
    chain.append(f"pad=w={width}:h={height}")
    pixels = picture.pixel_format or ""
    form = f"format={output_format(pixels)}"
    if _RGB.match(pixels) or picture.matrix in ("gbr", "rgb"):
        chain += [
            f"scale=out_color_matrix=bt709:out_range=tv,{form}",
            "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
        ]
    elif picture.full_range or pixels.startswith(("yuvj", "gray", "ya")):
        chain += [f"scale=out_range=tv,{form}", "setparams=range=tv"]
    else:
        chain.append(form)
    return ",".join(chain)
