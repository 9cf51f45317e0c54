"""What a campaign has shown: every job ended once, as its file deserves."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.chaos.clips import Clip
from deploy.embedded.data_folder import DataFolder
from deploy.media.ffmpeg import BadVideoError, find_ffmpeg
from deploy.media.probe import probe
from deploy.names import result_key
from deploy.store.records import JobRecord, JobState
from deploy.store.store import Store
from env.event_log import EventCode, read_events
from env.log_parts import logs_in


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts, and what is wrong.

    Attributes:
        accepted: jobs that were answered 201.
        jobs: all in the store; more than `accepted` where an answer was lost on its way.
        completed, failed: how they ended.
        attempts: workers that were given them, all together.
        faults: what was done to the service, by kind.
        controller_lives: starts of the controller.
        unlogged: jobs that are complete though the log lacks their last line: the controller was
            killed between storing and logging it.
        wrong: what must not be, in words; empty if all is well.
    """

    accepted: int
    jobs: int
    completed: int
    failed: int
    attempts: int
    faults: dict[str, int]
    controller_lives: int
    unlogged: int
    wrong: tuple[str, ...]

    def lines(self) -> list[str]:
        """The verdict for people."""
        done = "; ".join(f"{name}: {count}" for name, count in sorted(self.faults.items()))
        ends = f"{self.completed} Completed, {self.failed} Error"
        effort = f"{self.attempts} attempts, {self.controller_lives} lives of the controller"
        return [
            f"{sum(self.faults.values())} faults: {done}",
            f"{self.accepted} jobs answered 201, {self.jobs} in the store: {ends}",
            f"{effort}, {self.unlogged} completions stored but not logged",
            *(f"WRONG: {line}" for line in self.wrong),
        ]


def judge(
    data: DataFolder, accepted: Mapping[str, Clip], processes_left: int, faults: Mapping[str, int]
) -> Verdict:
    """Compare what clients were promised with what a stopped service has left behind."""
    store = Store(data.store_url)
    try:
        ids = store.job_ids()
        records = {job_id: record for job_id in ids if (record := store.job(job_id))}
    finally:
        store.close()
    logs = logs_in(data.path)
    uploads = Counter(
        event["request_id"]
        for log in logs
        for _, event in read_events(log)
        if event["code"] == EventCode.FILE_UPLOADED
    )
    good = {clip.name: clip.good for clip in accepted.values()}
    wrong = [f"job {job_id} was answered 201 and is lost" for job_id in set(accepted) - set(ids)]
    unlogged = 0
    for job_id, record in records.items():
        is_good = good[record.input_video]
        wanted = JobState.COMPLETED if is_good else JobState.ERROR
        if record.state is not wanted:
            wrong.append(
                f"job {job_id} of the {'good' if is_good else 'bad'} file {record.input_video} "
                f"is {record.state}: {record.error_message}"
            )
        if uploads[job_id] > is_good:
            wrong.append(f"job {job_id} was completed {uploads[job_id]} times")
        unlogged += is_good and not uploads[job_id]
    wrong += _wrong_results(data, good, records.values())
    if processes_left:
        wrong.append(f"{processes_left} processes were left after the service had ended")
    states = Counter(record.state for record in records.values())
    return Verdict(
        accepted=len(accepted),
        jobs=len(records),
        completed=states[JobState.COMPLETED],
        failed=states[JobState.ERROR],
        attempts=sum(record.attempts for record in records.values()),
        faults=dict(faults),
        controller_lives=len(logs),
        unlogged=unlogged,
        wrong=tuple(wrong),
    )


def _wrong_results(
    data: DataFolder, good: Mapping[str, bool], records: Iterable[JobRecord]
) -> list[str]:
    folder = data.storage / "output-videos"
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    wanted = {f"out-{name}" for name, is_good in good.items() if is_good}
    wrong = [f"the result {name} is missing" for name in sorted(wanted - found)]
    wrong += [f"there is a {name} that nobody should have" for name in sorted(found - wanted)]
    results = {f"output-videos/{name}" for name in wanted & found}
    results |= {
        result_key(record.request_id, record.output_video)
        for record in records
        if record.state is JobState.COMPLETED
    }
    for key in sorted(results):
        if (why := _unplayable(data.storage / key)) is not None:
            wrong.append(f"the result {key} {why}")
    return wrong


def _unplayable(path: Path) -> str | None:
    """Why a result cannot be played to its end, none if it can."""
    try:
        if probe(path).video != "hevc":
            return "is no HEVC video"
    except BadVideoError as error:
        return f"cannot be opened: {error}"
    # Every frame is decoded: a file that opens may still break off.
    done = subprocess.run(
        [find_ffmpeg(), "-nostdin", "-v", "error", "-xerror", "-i", path, "-f", "null", "-"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stderr:
        return f"cannot be played to its end: {' '.join(done.stderr.split())[:200]}"
    return None
