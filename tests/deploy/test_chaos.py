from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import psutil
import pytest

from deploy.chaos.campaign import Campaign
from deploy.chaos.clips import Clip, make_clips, write_catalog
from deploy.chaos.disks import disks_can_be_made, fill, free, small_disk
from deploy.chaos.plan import Plan
from deploy.chaos.sickroom import WORKER_VARIABLE, Illness, Sickroom
from deploy.chaos.verdict import judge
from deploy.embedded.data_folder import DataFolder
from deploy.media.ffmpeg import BadVideoError, find_ffmpeg
from deploy.media.probe import probe
from deploy.names import result_key
from deploy.store.records import JobRecord, JobState
from deploy.store.store import Store
from env.catalog import load_catalog
from env.errors import DaCircoError


@pytest.mark.slow
def test_nothing_is_lost_however_the_service_is_disturbed(tmp_path: Path) -> None:
    plan = Plan(jobs=8, bad_jobs=2, faults=6, seed=3, mean_gap_s=1.0, mean_length_s=1.0)
    log: list[str] = []
    verdict = Campaign(plan, tmp_path / "data", log.append).run()
    print("\n".join([*log, *verdict.lines()]))
    assert verdict.wrong == ()
    assert sum(verdict.faults.values()) == 6
    assert verdict.accepted == 8 <= verdict.jobs
    assert (verdict.completed, verdict.failed) >= (6, 2)


def test_clips_are_videos_or_none_as_they_say(tmp_path: Path) -> None:
    clips = make_clips(tmp_path, 2, 2, Random(1))
    assert Counter(clip.good for clip in clips) == {True: 2, False: 2}
    for clip in clips:
        if clip.good:
            assert probe(tmp_path / clip.name).video == "h264"
        else:
            with pytest.raises(BadVideoError):
                probe(tmp_path / clip.name)
    write_catalog(tmp_path / "clips.csv", clips)
    assert set(load_catalog(tmp_path / "clips.csv")) == {clip.name for clip in clips}


def test_a_verdict_finds_what_must_not_be(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    good, bad = Clip("good.mp4", good=True), Clip("bad.mp4", good=False)
    store = Store(data.store_url)
    for job_id, clip, state in (
        ("stuck", good, JobState.STARTED),
        ("strange", bad, JobState.COMPLETED),
    ):
        store.apply([JobRecord(job_id, clip.name, f"out-{clip.name}", 500, "fast", 0.0, state)])
    store.close()
    (data.storage / "output-videos").mkdir()
    (data.storage / "output-videos" / "out-bad.mp4").write_bytes(b"no video")
    result = data.storage / result_key("strange", "out-bad.mp4")
    result.parent.mkdir(parents=True)
    result.write_bytes(b"no video")
    line = '{"time": "1.0", "code": "EV7", "description": "", "request_id": "strange"}\n'
    (tmp_path / "tc-events-01.txt").write_text(line)
    accepted = {"stuck": good, "strange": bad, "gone": good}
    verdict = judge(data, accepted, 1, {"killed a worker": 2})
    *wrong, unplayable, left = verdict.wrong
    assert unplayable.startswith("the result job-results/strange/out-bad.mp4 cannot be opened")
    assert left == "1 processes were left after the service had ended"
    assert wrong == [
        "job gone was answered 201 and is lost",
        "job stuck of the good file good.mp4 is Started: None",
        "job strange of the bad file bad.mp4 is Completed: None",
        "job strange was completed 1 times",
        "the result out-good.mp4 is missing",
        "there is a out-bad.mp4 that nobody should have",
    ]
    assert any(line.startswith("WRONG: ") for line in verdict.lines())


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"jobs": 1, "bad_jobs": 2}, "2 of 1 jobs cannot be bad"),
        ({"faults": 1, "kinds": ()}, "1 faults of no kind"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(wanted: dict[str, object], message: str) -> None:
    with pytest.raises(DaCircoError, match=message):
        Plan(**wanted)  # type: ignore[arg-type]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(DaCircoError, match="is not empty"):
        Campaign(Plan(), tmp_path)


def test_a_disk_can_be_filled_to_the_last_byte_and_freed(tmp_path: Path) -> None:
    if not disks_can_be_made(tmp_path):
        pytest.skip("disks need a user who may mount them: root")
    with small_disk(tmp_path / "disk", 4):
        fill(tmp_path / "disk")
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "disk" / "file").write_bytes(b"more")
        free(tmp_path / "disk")
        (tmp_path / "disk" / "file").write_bytes(b"more")
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.parametrize("illness", Illness)
def test_only_the_ffmpeg_of_a_sick_worker_fails(tmp_path: Path, illness: Illness) -> None:
    sickroom = Sickroom(tmp_path / "sick room", find_ffmpeg())

    def render(worker_id: str) -> tuple[int, int]:
        """Exit code and size of what comes out."""
        out = tmp_path / "output.mp4"
        out.unlink(missing_ok=True)
        source = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=5:duration=1"]
        done = subprocess.run(
            [sickroom.ffmpeg, "-v", "error", "-y", *source, "-c:v", "libx264", f"file:{out}"],
            env={"PATH": os.environ["PATH"], WORKER_VARIABLE: worker_id},
            capture_output=True,
            check=False,
        )
        return done.returncode, out.stat().st_size if out.exists() else 0

    healthy = render("healthy")
    assert healthy[0] == 0 < healthy[1]
    with subprocess.Popen(
        [sys.executable, "-c", "print('here', flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={WORKER_VARIABLE: "sick"},
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        process = psutil.Process(worker.pid)
        found = [sickroom.infect(process, FixedChoice(illness)) for _ in range(2)]
        assert found == [illness, None]
        worker.communicate(b"\n")
    sick = render("sick")
    if illness is Illness.HALF_A_FILE:
        assert sick == (0, healthy[1] // 2)
    else:
        assert sick[0] != 0 == sick[1]
    assert render("healthy") == healthy


class FixedChoice(Random):
    """Draws what it was told."""

    def __init__(self, drawn: object) -> None:
        super().__init__()
        self._drawn = drawn

    def choice(self, seq: object) -> object:  # type: ignore[override]
        return self._drawn
