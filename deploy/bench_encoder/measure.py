"""One transcode with the worker's own command, and what it took."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from deploy.bench_encoder.clips import BenchError, clip
from deploy.bench_encoder.grid import Cell
from deploy.bench_encoder.rows import Row
from deploy.launcher import bound_to_us
from deploy.media.command import transcode_command
from deploy.media.ffmpeg import find_ffmpeg, last_words
from deploy.media.probe import probe
from deploy.worker.cpus import usable_cpus

_TICKS = os.sysconf("SC_CLK_TCK")


def measure(cell: Cell, clips: Path) -> Row:
    """Transcode a cell's clip once.

    Args:
        cell: what to measure.
        clips: folder of the clips.

    Raises:
        BenchError: the clip cannot be made, or ffmpeg fails.
    """
    source = clip(clips, cell.scene, cell.lines, cell.seconds)
    begun = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="dacirco-bench-") as folder:
        target = Path(folder) / "out.mp4"
        command = transcode_command(
            source,
            target,
            probe(source),
            bitrate_bps=1000 * cell.kbps,
            speed=cell.speed,
            cpus=cell.threads,
        )
        busy, start = _busy_s(), time.monotonic()
        cpu_s = _run(bound_to_us(command), source)
        wall_s, busy = time.monotonic() - start, _busy_s() - busy
        written = target.stat().st_size
    return Row(
        scene=cell.scene,
        lines=cell.lines,
        seconds=cell.seconds,
        speed=cell.speed,
        kbps=cell.kbps,
        threads=cell.threads,
        repeat=cell.repeat,
        wall_s=round(wall_s, 4),
        cpu_s=round(cpu_s, 4),
        output_kbps=round(written * 8e-3 / cell.seconds, 2),
        source_mbps=round(source.stat().st_size * 8e-6 / cell.seconds, 4),
        others_cores=round(max(0.0, (busy - cpu_s) / wall_s), 3),
        cores=usable_cpus(),
        machine=machine(),
        encoder=_encoder(),
        begun=begun.isoformat(timespec="seconds"),
    )


@cache
def machine() -> str:
    """The processor and the system."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found: dict[str, str] = {}
    for line in lines:
        word, _, value = line.partition(":")
        found.setdefault(word.strip(), value.strip())
    name = found.get("model name", name)
    family = f" family {found['cpu family']}" if "cpu family" in found else ""
    return f"{name}{family} {platform.system()}".replace(",", " ")


@cache
def _encoder() -> str:
    answer = subprocess.run(
        [str(find_ffmpeg()), "-version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    words = answer.stdout.split()
    return f"ffmpeg {words[2]}" if len(words) > 2 else "ffmpeg"


def _run(command: list[str], source: Path) -> float:
    """Run a command to its end; returns the seconds of processor time that it took."""
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=words
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        if process.returncode != 0:
            words.seek(0)
            said = last_words(words.read().decode(errors="replace"), hide=[source.parent])
            raise BenchError(f"ffmpeg failed with code {process.returncode}: {said}")
    return usage.ru_utime + usage.ru_stime


def _busy_s() -> float:
    """Processor time that was used, or taken away by the host, since the machine's start."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, soft, steal = map(int, line.split()[1:9])
    return (user + nice + system + irq + soft + steal) / _TICKS
