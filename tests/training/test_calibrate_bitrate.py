"""The bitrate that clients ask for: its unit, its exponent, and data that deny the unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from env.catalog import Catalog, load_catalog
from env.config import Profile, load_profile
from tests.training.event_files import write_catalog, write_event_log
from tests.training.synthetic_runs import Truth, synthetic_tables
from training.calibrate import main
from training.calibration.bitrate_unit import to_kbps
from training.calibration.errors import CalibrationError
from training.calibration.fitting import Calibration, calibrate
from training.calibration.observations import Observations, tidy
from training.calibration.sources import read_observations
from training.calibration.transfer_law import upload_sample
from training.validate import main as validate
from training.validation.measured_run import measured_runs

GROWS = Truth(bitrate_exponent=0.35)
FLAT = Truth()
TABLES = {"grows": synthetic_tables(GROWS), "flat": synthetic_tables(FLAT)}


def observe(kind: str, unit: str) -> Observations:
    """Runs without the sizes of results, which tell the unit at once."""
    tasks, workers = TABLES[kind]
    return to_kbps(tidy(tasks, workers), unit)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def base() -> Profile:
    """The shipped profile with the floor of the synthetic runs."""
    shipped = load_profile("openstack")
    law = replace(
        shipped.timing.transcode,
        bitrate_exponent=0.2,
        floor_kbps=GROWS.floor_kbps,
        floor_pixels_exponent=1.0,
        floor_fast_factor=1.0,
    )
    return replace(shipped, timing=replace(shipped.timing, transcode=law))


@pytest.fixture(scope="module")
def grows(base: Profile) -> Calibration:
    return calibrate(observe("grows", "kbit"), base)


@pytest.mark.parametrize(
    ("recorded", "option", "kbps"),
    [
        ("", "auto", 3.0),  # the existing system
        ("bit", "auto", 3.0),
        ("kbit", "auto", 3000.0),
        (" Kbit ", "auto", 3000.0),
        ("kbit", "bit", 3.0),
        ("", "kbit", 3000.0),
    ],
)
def test_the_option_decides_else_the_record_else_bits(
    recorded: str, option: str, kbps: float
) -> None:
    tasks, workers = TABLES["flat"]
    tasks = tasks.iloc[:2].assign(bitrate=[3000.0, np.nan], bitrate_unit=recorded)
    found = to_kbps(tidy(tasks, workers), option)  # type: ignore[arg-type]
    asked, unknown = found.tasks["bitrate"]
    assert asked == kbps
    assert np.isnan(unknown) == (kbps == 3000.0)  # what does not matter need not be known
    assert set(found.tasks["bitrate_unit"]) == {"bit" if kbps == 3.0 else "kbit"}


def test_a_unit_that_is_none_is_refused_with_its_run() -> None:
    tasks, workers = TABLES["flat"]
    with pytest.raises(CalibrationError, match="run run00: bitrate_unit 'mbit' is neither"):
        to_kbps(tidy(tasks.assign(bitrate_unit="Mbit"), workers), "auto")


def test_the_exponent_is_recovered_where_bitrates_vary_above_the_floor(
    grows: Calibration,
) -> None:
    exponent = grows.section("timing.transcode").estimates["bitrate_exponent"]
    assert exponent.origin == "fitted"
    assert exponent.standard_error is not None
    assert exponent.standard_error < 0.02
    assert abs(exponent.value - 0.35) <= 4 * exponent.standard_error
    assert grows.transcode.law.bitrate_exponent == exponent.value
    assert grows.validation.mape < 5.0
    floor = grows.section("timing.transcode").estimates["floor_kbps"]
    assert (floor.origin, floor.value) == ("prior", 1000.0)
    assert "encoder bench" in floor.note


def test_at_the_floor_the_exponent_is_a_prior_with_its_reason(base: Profile) -> None:
    found = calibrate(observe("flat", "bit"), base).section("timing.transcode")
    exponent = found.estimates["bitrate_exponent"]
    assert (exponent.origin, exponent.value) == ("prior", 0.2)
    assert "read the asked bitrate as bit/s" in exponent.note
    intercept = found.estimates["intercept"]
    assert intercept.standard_error is not None
    assert abs(intercept.value - FLAT.intercept) <= 4 * intercept.standard_error
    assert found.quality["bitrates_read_as"] == "bit/s"


def test_bitrates_below_the_floor_show_no_exponent(base: Profile) -> None:
    tasks, workers = TABLES["flat"]
    low = tasks.assign(bitrate=40.0)
    found = calibrate(to_kbps(tidy(low, workers), "kbit"), base)
    exponent = found.section("timing.transcode").estimates["bitrate_exponent"]
    assert (exponent.origin, exponent.value) == ("prior", 0.2)
    assert "do not vary enough above the floor" in exponent.note


@pytest.mark.parametrize(
    ("kind", "wrong", "right"), [("grows", "bit", "kbit"), ("flat", "kbit", "bit")]
)
def test_times_that_deny_the_unit_are_an_error_that_says_what_to_pass(
    kind: str, wrong: str, right: str, base: Profile
) -> None:
    with pytest.raises(CalibrationError, match=f"power .*: pass --bitrate-unit {right}"):
        calibrate(observe(kind, wrong), base)
    calibrate(observe(kind, right), base)


def test_sizes_of_results_that_deny_the_unit_are_an_error(base: Profile) -> None:
    tasks, workers = TABLES["grows"]
    whole = tidy(tasks.assign(output_bytes=tasks["written_bytes"]), workers)
    with pytest.raises(CalibrationError, match=r"hold 1\.000 times .*: pass --bitrate-unit kbit"):
        calibrate(to_kbps(whole, "bit"), base)
    tiny = tidy(tasks.assign(output_bytes=tasks["written_bytes"] / 50), workers)
    with pytest.raises(CalibrationError, match=r"hold 0\.020 times .*: pass --bitrate-unit bit"):
        calibrate(to_kbps(tiny, "kbit"), base)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of the existing system and one of ours, with times that grow with the bitrate."""
    folder = tmp_path_factory.mktemp("logs")
    write_catalog(folder / "videos.csv")
    tasks, workers = TABLES["grows"]
    old = folder / "tc-events-01.txt"
    write_event_log(old, tasks, workers)
    ours = folder / "tc-events-02.txt"
    write_event_log(ours, tasks.assign(bitrate_unit="kbit"), workers, sizes=True)
    return folder


def read(folder: Path, name: str, catalog: Catalog) -> Observations:
    return read_observations([folder / name], catalog)


def test_our_event_logs_record_the_unit_and_the_sizes_of_results(folder: Path) -> None:
    catalog = load_catalog(folder / "videos.csv")
    tasks, _ = TABLES["grows"]
    old = read(folder, "tc-events-01.txt", catalog)
    assert set(old.tasks["bitrate_unit"]) == {"bit"}
    assert old.tasks["bitrate"].max() <= 8.0
    assert old.tasks["output_bytes"].isna().all()
    ours = read(folder, "tc-events-02.txt", catalog)
    assert set(ours.tasks["bitrate_unit"]) == {"kbit"}
    assert sorted(ours.tasks["bitrate"]) == sorted(tasks["bitrate"])
    assert sorted(ours.tasks["output_bytes"]) == sorted(tasks["written_bytes"])


def test_uploads_are_as_large_as_what_was_written(folder: Path) -> None:
    catalog = load_catalog(folder / "videos.csv")
    law = replace(load_profile("openstack").timing.upload, least_kbps=300.0)
    tasks, _ = TABLES["grows"]
    ours = upload_sample(read(folder, "tc-events-02.txt", catalog), law)
    assert sorted(ours.megabytes) == pytest.approx(sorted(tasks["written_bytes"] / 1e6))
    old = upload_sample(read(folder, "tc-events-01.txt", catalog), law)
    pixels = tasks["width"] * tasks["height"] / (1920 * 1080)
    factor = np.where(tasks["speed"] == "fast", law.least_fast_factor, 1.0)
    least = 300.0 * pixels**law.least_pixels_exponent * factor
    assert sorted(old.megabytes) == pytest.approx(sorted(least * tasks["duration_s"] / 8000))
    unknown = upload_sample(read(folder, "tc-events-01.txt", catalog), replace(law, least_kbps=0.0))
    assert len(unknown.megabytes) == 0


def test_runs_of_the_existing_system_are_replayed_at_the_floor(folder: Path) -> None:
    catalog = load_catalog(folder / "videos.csv")
    (run,) = measured_runs(read(folder, "tc-events-01.txt", catalog))
    assert {request.bitrate_kbps for request in run.requests} <= set(range(1, 9))
    (ours,) = measured_runs(read(folder, "tc-events-02.txt", catalog))
    assert max(request.bitrate_kbps for request in ours.requests) > 7000


def test_the_commands_say_which_option_is_missing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, catalog = str(folder / "tc-events-01.txt"), str(folder / "videos.csv")
    out = tmp_path / "home.toml"
    assert main([log, "--catalog", catalog, "--out", str(out)]) == 2
    assert "pass --bitrate-unit kbit" in capsys.readouterr().err
    assert main([log, "--catalog", catalog, "--out", str(out), "--bitrate-unit", "kbit"]) == 0
    capsys.readouterr()
    judge = ["--event-log", log, "--catalog", catalog, "--profile", str(out)]
    assert validate(judge) == 2
    assert "pass --bitrate-unit kbit" in capsys.readouterr().err
    assert validate([*judge, "--bitrate-unit", "kbit"]) == 0
