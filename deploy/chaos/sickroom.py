"""Workers that fall sick: their ffmpeg is a script that does as the worker's illness says."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Final

import psutil

from deploy.managers.tagged import variables_of

WORKER_VARIABLE: Final = "TCWORKER_ID"

_SCRIPT: Final = """#!/bin/sh
# The ffmpeg of a campaign: the real one, unless the worker that starts it is sick.
illness=$(cat {sickroom}/"${{{variable}:-nobody}}" 2>/dev/null) || exec {ffmpeg} "$@"
case $illness in
missing-library)
    echo "ffmpeg: error while loading shared libraries: libx265.so: cannot open" >&2
    exit 127 ;;
no-space)
    echo "av_interleaved_write_frame(): No space left on device" >&2
    exit 228 ;;
half-a-file)
    {ffmpeg} "$@"
    code=$?
    for last; do :; done
    file=${{last#file:}}
    case ${{file##*/}} in output*) truncate -s $(($(wc -c <"$file") / 2)) "$file" ;; esac
    exit $code ;;
esac
"""


class Illness(StrEnum):
    """What is wrong with a worker."""

    MISSING_LIBRARY = "missing-library"
    NO_SPACE = "no-space"
    HALF_A_FILE = "half-a-file"


class Sickroom:
    """Who is sick, and the ffmpeg that knows.

    Args:
        folder: for the script and the names of the sick; made.
        ffmpeg: the real one.
    """

    def __init__(self, folder: Path, ffmpeg: Path) -> None:
        self._sick = folder / "sick"
        self._sick.mkdir(parents=True)
        self.ffmpeg = folder / "ffmpeg"
        """For `deploy.media`'s variable that names the ffmpeg to use."""
        script = _SCRIPT.format(
            sickroom=shlex.quote(str(self._sick)),
            ffmpeg=shlex.quote(str(ffmpeg)),
            variable=WORKER_VARIABLE,
        )
        self.ffmpeg.write_text(script, encoding="ascii")
        self.ffmpeg.chmod(0o755)

    def infect(self, worker: psutil.Process, rng: Random) -> Illness | None:
        """Make a healthy worker sick until it ends; none if it is sick already or gone."""
        worker_id = variables_of(worker).get(WORKER_VARIABLE, "")
        note = self._sick / worker_id
        if not worker_id or note.exists():
            return None
        illness = rng.choice(list(Illness))
        note.write_text(illness, encoding="ascii")
        return illness
