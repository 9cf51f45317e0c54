from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.media.ffmpeg import (
    FFMPEG_VARIABLE,
    BadVideoError,
    FfmpegError,
    Ran,
    Steps,
    find_ffmpeg,
    find_ffprobe,
    last_words,
    run_steps,
    variable_rate,
)


@pytest.fixture
def fresh_search() -> Iterator[None]:
    find_ffmpeg.cache_clear()
    yield
    find_ffmpeg.cache_clear()


@pytest.mark.usefixtures("fresh_search")
class TestFinding:
    def test_the_named_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        link = tmp_path / "my-ffmpeg"
        link.symlink_to(find_ffmpeg())
        find_ffmpeg.cache_clear()
        monkeypatch.setenv(FFMPEG_VARIABLE, str(link))
        assert find_ffmpeg() == link

    @pytest.mark.parametrize("named", ["/does/not/exist", sys.executable])
    def test_a_named_one_that_cannot_encode(
        self, monkeypatch: pytest.MonkeyPatch, named: str
    ) -> None:
        monkeypatch.setenv(FFMPEG_VARIABLE, named)
        with pytest.raises(FfmpegError, match=FFMPEG_VARIABLE):
            find_ffmpeg()

    def test_one_on_the_path_without_the_encoder_is_passed_over(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        poor = tmp_path / "ffmpeg"
        poor.write_text("#!/bin/sh\necho libx264\n")
        poor.chmod(0o755)
        monkeypatch.delenv(FFMPEG_VARIABLE, raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_ffmpeg() != poor
        assert find_ffmpeg().exists()

    def test_one_on_the_path_with_the_encoder(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "ffmpeg").symlink_to(find_ffmpeg())
        find_ffmpeg.cache_clear()
        monkeypatch.delenv(FFMPEG_VARIABLE, raising=False)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert find_ffmpeg() == tmp_path / "ffmpeg"


def test_last_words_are_short_printable_and_without_paths() -> None:
    stderr = "first\n[in#0 @ 0x55d0] bad \x1b[31mfile /tmp/x/input\n" + "x" * 1000 + "\n"
    words = last_words(stderr, hide=[Path("/tmp/x")])
    assert len(words) == 300
    words = last_words(
        "a\n[in#0 @ 0x55d0] bad \x1b[31mfile /tmp/x/input\n\n", hide=[Path("/tmp/x")]
    )
    assert words == "a | bad ?[31mfile input"


def fake_ffmpeg(folder: Path, version: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\necho 'ffmpeg version {version} Copyright'; echo libx265\n")
    path.chmod(0o755)
    return path


@pytest.mark.usefixtures("fresh_search")
@pytest.mark.parametrize(
    ("version", "option"),
    [
        ("4.4.2-0ubuntu0.22.04.1", "-vsync"),
        ("5.0.1", "-vsync"),
        ("5.1.9-0+deb12u1", "-fps_mode"),
        ("n9.0.2-17-g2a571b6068", "-fps_mode"),
        ("N-109468-gd39b34123d", "-fps_mode"),
    ],
)
def test_the_option_for_uneven_clocks_goes_by_the_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, option: str
) -> None:
    monkeypatch.setenv(FFMPEG_VARIABLE, str(fake_ffmpeg(tmp_path, version)))
    variable_rate.cache_clear()
    assert variable_rate() == (option, "vfr")
    variable_rate.cache_clear()


@pytest.mark.usefixtures("fresh_search")
def test_only_the_ffprobe_of_the_same_build_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FFMPEG_VARIABLE, str(fake_ffmpeg(tmp_path, "7.1")))
    assert find_ffprobe() is None
    beside = tmp_path / "ffprobe"
    beside.touch(0o755)
    assert find_ffprobe() == beside


def echo(*words: str) -> Steps[Ran]:
    return (yield ["/bin/sh", "-c", *words])


def test_steps_are_told_how_a_program_ended() -> None:
    assert run_steps(echo("echo out; echo err >&2; exit 3")) == Ran(3, "out\n", "err\n")


def test_a_program_that_takes_too_long_is_ended() -> None:
    with pytest.raises(BadVideoError, match=r"0\.2 s"):
        run_steps(echo("exec sleep 600"), timeout_s=0.2)
