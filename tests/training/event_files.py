"""Writes tables of runs as the controller's event logs and as their CSV exports."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from env.event_log import EVENT_KEYS, EventCode
from tests.training.synthetic_runs import VIDEOS

START = 1_760_000_000.0


def write_catalog(path: Path) -> Path:
    """A catalog of the videos of the synthetic runs."""
    header = ("video", "duration_s", "width", "height", "size_bytes")
    pd.DataFrame(VIDEOS, columns=header).to_csv(path, index=False)
    return path


def iso(moment: float) -> str:
    """A moment as ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat()


def write_event_log(
    path: Path,
    tasks: pd.DataFrame,
    workers: pd.DataFrame,
    write_time: Callable[[float], str] = repr,
    *,
    sizes: bool = False,
) -> Path:
    """The events of one run, in order of time; with the sizes of the results if asked."""
    events: list[dict[str, str]] = []

    def add(moment: float, code: str, **keys: str) -> None:
        if pd.notna(moment):
            text = write_time(START + moment)
            events.append({"time": text, "code": code, "description": code, **keys})

    if "bitrate_unit" in tasks:  # as our controller records it
        started = dict.fromkeys(EVENT_KEYS[EventCode.CONTROLLER_STARTED], "")
        add(-1.0, "EV26", **started, bitrate_unit=str(tasks["bitrate_unit"].iloc[0]))
    for row in workers.to_dict("records"):
        name = {"name": str(row["worker"]), "worker_id": str(row["worker"])}
        add(row["t_created"], "EV2", **name)
        size = {"node": str(row["node"]), "cpus": str(row["vcpus"]), "memory": "2048"}
        add(row["t_available"], "EV11", **name, **size)
        add(row["t_stopped"], "EV8", **name)
    for row in tasks.to_dict("records"):
        request = {"request_id": str(row["request"])}
        ask = {"input_video": row["video"], "bitrate": str(row["bitrate"]), "speed": row["speed"]}
        add(row["t_received"], "EV1", **request, **ask)
        task = {"worker_id": str(row["worker"]), "task_id": f"task-{row['request']}"}
        for code, column in (
            ("EV3", "t_assigned"),
            ("EV4", "t_dwnld_start"),
            ("EV5", "t_tc_start"),
            ("EV6", "t_upld_start"),
            ("EV7", "t_completed"),
        ):
            size = {"output_size": str(row["written_bytes"])} if code == "EV7" and sizes else {}
            add(row[column], code, **request, **task, **size)
        add(row.get("t_failed", float("nan")), "EV9", **task, error_message="no space left")
    events.sort(key=lambda event: event["time"])
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path


def write_exports(folder: Path, prefix: str, tasks: pd.DataFrame, workers: pd.DataFrame) -> Path:
    """The two CSV exports of one run; returns the path of the one with requests."""

    def moments(table: pd.DataFrame, names: dict[str, str]) -> dict[str, pd.Series]:
        return {new: START + table[old] for new, old in names.items()}

    pd.DataFrame(
        {
            "worker_id": workers["worker"],
            "name": workers["worker"],
            "node": workers["node"],
            "cpus": workers["vcpus"],
            "memory": 2048,
            **moments(
                workers,
                {
                    "time_registered": "t_available",
                    "time_created": "t_created",
                    "time_destroyed": "t_stopped",
                },
            ),
        }
    ).to_csv(folder / f"{prefix}-workers.csv", index=False)
    path = folder / f"{prefix}-ok-requests.csv"
    pd.DataFrame(
        {
            "request_id": tasks["request"],
            "input_video": tasks["video"],
            "bitrate": tasks["bitrate"],
            "speed": tasks["speed"],
            "worker_id": tasks["worker"],
            "task_id": tasks["request"],
            **moments(
                tasks,
                {
                    "time_received": "t_received",
                    "time_assigned": "t_assigned",
                    "time_started": "t_dwnld_start",
                    "time_file_downloaded": "t_tc_start",
                    "time_transcoding_done": "t_upld_start",
                    "time_file_uploaded": "t_completed",
                },
            ),
        }
    ).to_csv(path, index=False)
    return path
