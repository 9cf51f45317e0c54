from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.media.probe import probe
from deploy.media.render import RENDERED_FPS, render_command


def test_a_rendered_clip_is_as_asked_and_the_same_each_time(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        command = render_command(
            tmp_path / name, width=160, height=90, duration_s=0.5, bitrate_kbps=300, seed=seed
        )
        subprocess.run(command, check=True, capture_output=True)
    found = probe(tmp_path / "a")
    assert (found.video, found.width, found.height) == ("h264", 160, 90)
    assert found.picture is not None
    assert found.picture.frame_rate == RENDERED_FPS
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()
