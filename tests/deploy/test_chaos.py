from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from deploy.chaos.campaign import Campaign, Plan
from deploy.chaos.clips import Clip, make_clips, write_catalog
from deploy.chaos.verdict import judge
from deploy.chaos.victims import Victim
from deploy.embedded.data_folder import DataFolder
from deploy.media.ffmpeg import BadVideoError
from deploy.media.probe import probe
from deploy.store.records import JobRecord, JobState
from deploy.store.store import Store
from env.catalog import load_catalog
from env.errors import DaCircoError


@pytest.mark.slow
def test_nothing_is_lost_however_its_parts_are_killed(tmp_path: Path) -> None:
    plan = Plan(jobs=8, bad_jobs=2, kills=5, seed=3, mean_gap_s=1.0)
    log: list[str] = []
    verdict = Campaign(plan, tmp_path / "data", log.append).run()
    print("\n".join([*log, *verdict.lines()]))
    assert verdict.faults == ()
    assert sum(verdict.kills.values()) == 5
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
    line = '{"time": "1.0", "code": "EV7", "description": "", "request_id": "strange"}\n'
    (tmp_path / "tc-events-01.txt").write_text(line)
    accepted = {"stuck": good, "strange": bad, "gone": good}
    verdict = judge(data, accepted, 1, Counter({Victim.WORKER: 2}))
    assert verdict.faults == (
        "job gone was answered 201 and is lost",
        "job stuck of the good file good.mp4 is Started: None",
        "job strange of the bad file bad.mp4 is Completed: None",
        "job strange was completed 1 times",
        "the result out-good.mp4 is missing",
        "there is a out-bad.mp4 that nobody should have",
        "1 processes were left after the service had ended",
    )
    assert any(line.startswith("FAULT: ") for line in verdict.lines())


@pytest.mark.parametrize(
    ("plan", "message"),
    [(Plan(kills=91), "too many"), (Plan(jobs=1, bad_jobs=2), "2 of 1 jobs cannot be bad")],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, plan: Plan, message: str) -> None:
    with pytest.raises(DaCircoError, match=message):
        Campaign(plan, tmp_path)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(DaCircoError, match="is not empty"):
        Campaign(Plan(), tmp_path)
