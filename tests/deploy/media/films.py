"""Small films of the kinds that people really have, each made when a test first asks for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which

import imageio_ffmpeg
import pytest

WHEEL = Path(imageio_ffmpeg.get_ffmpeg_exe())
"""Of the package: it makes the films, as it is the same everywhere, and starts quickly."""
SYSTEM = which("ffmpeg")
FFMPEGS = [pytest.param(WHEEL, id="wheel")]
if SYSTEM is not None:
    FFMPEGS.append(pytest.param(Path(SYSTEM), id="system"))


PICTURE = "-f lavfi -i testsrc2=size=160x120:rate=24"
SOUND = "-f lavfi -i sine=frequency=440:sample_rate=44100"
H264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"


class Films:
    """The films of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made: dict[str, Path] = {}

    def __call__(self, name: str) -> Path:
        """The file of a film, or of something that is none."""
        if name not in self._made:
            path = self.folder / name
            recipe = _RECIPES[name]
            if isinstance(recipe, str):
                self._run(recipe, path)
            else:
                recipe(self, path)
            self._made[name] = path
        return self._made[name]

    def _run(self, arguments: str, path: Path) -> None:
        # "{NAME}" is another film.
        words = [
            str(self(word[1:-1])) if word.startswith("{") else word for word in arguments.split()
        ]
        command = [WHEEL, "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
        subprocess.run([*command, *words, path], check=True, stdin=subprocess.DEVNULL)


def _join(*parts: str) -> Callable[[Films, Path], None]:
    def make(films: Films, path: Path) -> None:
        path.write_bytes(b"".join(films(part).read_bytes() for part in parts))

    return make


def _cut(whole: str, share: float) -> Callable[[Films, Path], None]:
    def make(films: Films, path: Path) -> None:
        content = films(whole).read_bytes()
        path.write_bytes(content[: int(len(content) * share)])

    return make


def _damaged(whole: str) -> Callable[[Films, Path], None]:
    def make(films: Films, path: Path) -> None:
        content = bytearray(films(whole).read_bytes())
        middle = len(content) // 2
        content[middle : middle + 1500] = bytes(range(250)) * 6
        path.write_bytes(content)

    return make


def _damaged_sound(films: Films, path: Path) -> None:
    content = bytearray(films("a.ts").read_bytes())
    packets = range(0, len(content), 188)
    sound = [at for at in packets if int.from_bytes(content[at + 1 : at + 3]) & 0x1FFF == 0x101]
    middle = sound[len(sound) // 2]
    content[middle + 60 : middle + 160] = bytes(range(100))
    path.write_bytes(content)


def _lying(films: Films, path: Path) -> None:
    content = bytearray(films("plain.mp4").read_bytes())
    duration = content.index(b"mvhd") + 20
    content[duration : duration + 4] = (0xFFFFFF).to_bytes(4)
    path.write_bytes(content)


def _many_tracks(films: Films, path: Path) -> None:
    subtitles, chapters = films.folder / "s.srt", films.folder / "chapters.txt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:00,900\nhello\n\n")
    chapters.write_text(
        ";FFMETADATA1\n"
        + "".join(
            f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={5 * n}\nEND={5 * n + 5}\ntitle=Chapter {n}\n"
            for n in range(150)
        )
    )
    command: list[object] = [WHEEL, "-nostdin", "-loglevel", "error", "-y"]
    command += ["-i", films("plain.mp4"), "-i", subtitles, "-i", chapters, "-map_chapters", "2"]
    command += ["-map", "0:v", "-map", "0:a", *(["-map", "1:s"] * 32)]
    for number in range(32):
        command += [f"-metadata:s:s:{number}", "comment=" + "words that some writers add " * 20]
    subprocess.run([*map(str, command), "-c", "copy", "-c:s", "srt", str(path)], check=True)


def _long_subtitles(films: Films, path: Path) -> None:
    subtitles = films.folder / "long.srt"
    subtitles.write_text("1\n00:01:40,000 --> 00:01:59,000\nbye\n")
    command = [WHEEL, "-nostdin", "-loglevel", "error", "-y", "-i", films("plain.mp4")]
    command += ["-i", subtitles, "-map", "0", "-map", "1", "-c", "copy", "-c:s", "srt", path]
    subprocess.run([str(word) for word in command], check=True)


def _text(content: str) -> Callable[[Films, Path], None]:
    return lambda _, path: path.write_text(content) and None


_HDR = (
    "log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:max-cll=1000,400:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
)
_RECIPES: dict[str, str | Callable[[Films, Path], None]] = {
    "plain.mp4": f"{PICTURE} {SOUND} -t 1 {H264} -g 12 -c:a aac",
    "long.mp4": f"{PICTURE} {SOUND} -t 6 {H264} -g 12 -c:a aac",
    # Clocks that begin late, jump and wrap.
    "late.mkv": "-ss 4 -copyts -i {long.mp4} -c copy -copyts -avoid_negative_ts disabled",
    "late_hour.mp4": "-i {plain.mp4} -c copy -output_ts_offset 3600",
    "negative.mkv": "-i {plain.mp4} -c copy -output_ts_offset -1 -avoid_negative_ts disabled",
    "wrapped.ts": "-i {long.mp4} -c copy -output_ts_offset 95440",
    "a.ts": "-i {plain.mp4} -c copy",
    "b.ts": "-i {plain.mp4} -c copy -output_ts_offset 500",
    "forwards.ts": _join("a.ts", "b.ts"),
    "backwards.ts": _join("b.ts", "a.ts"),
    "large.ts": f"-f lavfi -i testsrc2=size=320x240:rate=24 {SOUND} -t 1 {H264} -c:a aac",
    "grows.ts": _join("a.ts", "large.ts"),
    # Sizes.
    "odd.mkv": "-f lavfi -i testsrc=size=161x121:rate=24 -t 1 -c:v ffv1 -pix_fmt yuv420p",
    "odd_mjpeg.mov": "-f lavfi -i testsrc=size=161x121:rate=24 -t 1 -c:v mjpeg -pix_fmt yuvj420p",
    "tiny.mkv": "-f lavfi -i testsrc=size=2x1:rate=24 -t 1 -c:v ffv1 -pix_fmt yuv444p",
    "turned.mp4": "-display_rotation 90 -i {plain.mp4} -c copy",
    "turned_odd.mp4": "-display_rotation 90 -i {odd_444.mp4} -c copy",
    "anamorphic.mp4": f"{PICTURE} -t 1 -vf setsar=64/45 {H264}",
    # Pixels.
    "odd_444.mp4": "-f lavfi -i testsrc=size=161x121:rate=24 -t 1 -c:v libx264 -pix_fmt yuv444p",
    "rgb.mov": f"{PICTURE} -t 1 -c:v png -pix_fmt rgb24",
    "alpha.mov": f"{PICTURE} -t 1 -c:v png -pix_fmt rgba",
    "grey.mkv": f"{PICTURE} -t 1 -c:v ffv1 -pix_fmt gray",
    "deep422.mkv": f"{PICTURE} -t 1 -c:v ffv1 -pix_fmt yuv422p12le",
    "prores4444.mov": f"{PICTURE} -t 1 -c:v prores_ks -pix_fmt yuva444p10le",
    "hdr10.mp4": f"{PICTURE} -t 1 -pix_fmt yuv420p10le -c:v libx265 -preset ultrafast "
    f"-x265-params {_HDR} -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc "
    "-color_range tv",
    "fields.ts": f"{PICTURE} -t 1 -vf setfield=tff -c:v mpeg2video -flags +ilme+ildct",
    # Several tracks.
    "cover.jpg": "-f lavfi -i color=red:size=101x101 -frames:v 1",
    "still_first.mkv": "-i {cover.jpg} -i {plain.mp4} -map 0:v -map 1:v -map 1:a -c copy",
    "mjpeg_film.mkv": f"{PICTURE} -t 1 -c:v mjpeg -pix_fmt yuvj420p",
    "still_before_mjpeg.mkv": "-i {cover.jpg} -i {mjpeg_film.mkv} -map 0:v -map 1:v -c copy "
    "-disposition:v:0 default",
    "cover_first.mp4": "-i {plain.mp4} -i {cover.jpg} -map 1 -map 0 -c copy "
    "-disposition:v:0 attached_pic",
    "second_default.mkv": f"{PICTURE} {SOUND} -t 1 -f lavfi -i sine=frequency=900 -t 1 -map 0 "
    f"-map 1 -map 2 {H264} -c:a aac -ac:a:1 2 -disposition:a:0 0 -disposition:a:1 default",
    "many_tracks.mkv": _many_tracks,
    "long_subtitles.mkv": _long_subtitles,
    # Rates and lengths.
    "slow.mp4": f"-f lavfi -i testsrc2=size=160x120:rate=0.2 -t 30 {H264}",
    "fast.mp4": f"-f lavfi -i testsrc2=size=160x120:rate=500 -t 0.2 {H264}",
    "one.mp4": f"{PICTURE} -frames:v 1 {H264}",
    "sound_longer.mp4": "-f lavfi -i testsrc2=size=160x120:rate=24:duration=1 "
    f"-f lavfi -i sine=duration=5 {H264} -c:a aac",
    "picture_late.mkv": "-itsoffset 2 -f lavfi -i testsrc2=size=160x120:rate=24:duration=1 "
    f"-f lavfi -i sine=duration=3 {H264} -c:a aac",
    "uneven.mkv": f"{PICTURE} -t 2 -vf select='not(mod(n\\,5))+gt(n\\,30)' -fps_mode vfr {H264}",
    "live.mkv": "-i {plain.mp4} -c copy -live 1 -f matroska",
    "fragments.mp4": "-i {plain.mp4} -c copy -movflags frag_keyframe+empty_moov",
    "edited.mp4": "-ss 1.3 -i {long.mp4} -c copy",
    "time_code.mkv": "-i {plain.mp4} -c copy -metadata timecode=junk",
    # Sound.
    "surround.mkv": f"{PICTURE} -f lavfi -i anullsrc=channel_layout=7.1 -t 1 {H264} -c:a flac",
    "three.mov": f"{PICTURE} -f lavfi -i aevalsrc=0.1|0.1|0.1 -t 1 {H264} -c:a pcm_s16le",
    "opus.mkv": f"{PICTURE} {SOUND} -t 1 {H264} -c:a libopus",
    "low_mp3.mkv": f"{PICTURE} {SOUND} -t 1 {H264} -c:a libmp3lame -ar 11025",
    # Containers.
    "x.avi": "-i {plain.mp4} -c:v mpeg4 -c:a libmp3lame",
    "aac.avi": "-i {plain.mp4} -c copy",
    "x.flv": "-i {plain.mp4} -c copy",
    "x.gif": f"{PICTURE} -t 1 -r 10",
    "x.wmv": "-i {plain.mp4} -c:v wmv2 -c:a wmav2",
    "x.mpg": "-i {plain.mp4} -c:v mpeg2video -c:a mp2",
    "x.ogv": f"{PICTURE} {SOUND} -t 1 -c:v libtheora -c:a libvorbis",
    "x.mxf": "-i {plain.mp4} -c:v mpeg2video -r 25 -c:a pcm_s16le -ar 48000",
    # Damaged.
    "damaged.mp4": _damaged("long.mp4"),
    "damaged.ts": _damaged("wrapped.ts"),
    "head_first.mp4": "-i {long.mp4} -c copy -movflags +faststart",
    "damaged_sound.ts": _damaged_sound,
    "lying.mp4": _lying,
    "cut.mp4": _cut("head_first.mp4", 0.6),
    "long.mkv": "-i {long.mp4} -c copy",
    "cut.mkv": _cut("long.mkv", 0.5),
    "long.flv": "-i {long.mp4} -c copy",
    "cut.flv": _cut("long.flv", 0.5),
    # Nothing to transcode.
    "sound_only.m4a": f"{SOUND} -t 1 -c:a aac",
    "text.mp4": _text("this is a text, not a film"),
    "empty.mp4": lambda _, path: path.touch(),
    "raw.264": "-i {plain.mp4} -an -c copy",
}
