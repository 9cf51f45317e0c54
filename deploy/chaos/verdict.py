"""What a campaign has shown: every job ended once, as its file deserves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from deploy.chaos.clips import Clip
from deploy.chaos.victims import Victim
from deploy.embedded.data_folder import DataFolder
from deploy.media.ffmpeg import BadVideoError
from deploy.media.probe import probe
from deploy.store.records import JobState
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
        kills: processes killed, by kind.
        controller_lives: starts of the controller.
        unlogged: jobs that are complete though the log lacks their last line: the controller was
            killed between storing and logging it.
        faults: what must not be, in words; empty if all is well.
    """

    accepted: int
    jobs: int
    completed: int
    failed: int
    attempts: int
    kills: dict[str, int]
    controller_lives: int
    unlogged: int
    faults: tuple[str, ...]

    def lines(self) -> list[str]:
        """The verdict for people."""
        killed = ", ".join(f"{count} {name}" for name, count in sorted(self.kills.items()))
        ends = f"{self.completed} Completed, {self.failed} Error"
        effort = f"{self.attempts} attempts, {self.controller_lives} lives of the controller"
        return [
            f"{sum(self.kills.values())} kills: {killed}",
            f"{self.accepted} jobs answered 201, {self.jobs} in the store: {ends}",
            f"{effort}, {self.unlogged} completions stored but not logged",
            *(f"FAULT: {fault}" for fault in self.faults),
        ]


def judge(
    data: DataFolder, accepted: Mapping[str, Clip], processes_left: int, kills: Counter[Victim]
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
    faults = [f"job {job_id} was answered 201 and is lost" for job_id in set(accepted) - set(ids)]
    unlogged = 0
    for job_id, record in records.items():
        is_good = good[record.input_video]
        wanted = JobState.COMPLETED if is_good else JobState.ERROR
        if record.state is not wanted:
            faults.append(
                f"job {job_id} of the {'good' if is_good else 'bad'} file {record.input_video} "
                f"is {record.state}: {record.error_message}"
            )
        if uploads[job_id] > is_good:
            faults.append(f"job {job_id} was completed {uploads[job_id]} times")
        unlogged += is_good and not uploads[job_id]
    faults += _faults_of_outputs(data, good)
    if processes_left:
        faults.append(f"{processes_left} processes were left after the service had ended")
    states = Counter(record.state for record in records.values())
    return Verdict(
        accepted=len(accepted),
        jobs=len(records),
        completed=states[JobState.COMPLETED],
        failed=states[JobState.ERROR],
        attempts=sum(record.attempts for record in records.values()),
        kills={str(victim): count for victim, count in kills.items()},
        controller_lives=len(logs),
        unlogged=unlogged,
        faults=tuple(faults),
    )


def _faults_of_outputs(data: DataFolder, good: Mapping[str, bool]) -> list[str]:
    folder = data.storage / "output-videos"
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    wanted = {f"out-{name}" for name, is_good in good.items() if is_good}
    faults = [f"the result {name} is missing" for name in sorted(wanted - found)]
    faults += [f"there is a {name} that nobody should have" for name in sorted(found - wanted)]
    for name in sorted(wanted & found):
        try:
            if probe(folder / name).video != "hevc":
                faults.append(f"the result {name} is no HEVC video")
        except BadVideoError as error:
            faults.append(f"the result {name}: {error}")
    return faults
