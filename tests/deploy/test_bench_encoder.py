"""The encoder bench: what it measures, that it goes on where it stopped, and what it fits."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deploy.bench_encoder.__main__ import main
from deploy.bench_encoder.clips import BenchError
from deploy.bench_encoder.fit import MIN_ROWS, BenchFit, fit_rows
from deploy.bench_encoder.grid import SIZES, Grid, clip_seconds
from deploy.bench_encoder.rows import Row, append_row, key, read_rows
from deploy.bench_encoder.scenes import FPS, SCENES, pictures
from deploy.bench_encoder.section import section_text
from deploy.media.probe import probe
from env.config import TranscodeTiming, UploadTiming, load_profile
from env.timing import FULL_HD_MEGAPIXELS

BASE = load_profile("openstack").timing
TRUTH = TranscodeTiming(
    intercept=0.6,
    duration_exponent=0.9,
    pixels_exponent=0.8,
    fast_factor=2.2,
    source_mbps_exponent=BASE.transcode.source_mbps_exponent,
    parallel_exponent=0.5,
    parallel_slope=0.07,
    bitrate_exponent=0.35,
    floor_kbps=900.0,
    floor_pixels_exponent=1.1,
    floor_fast_factor=1.5,
)
OVERHEAD = 0.1
CORES_BUSY = 1.05
LEAST_KBPS = 200.0


def synthetic_rows(
    grid: Grid, *, noise: float = 0.02, others_cores: float = 0.0, seed: int = 0
) -> list[Row]:
    """Rows that follow `TRUTH` in wall time, made without the code under test."""
    rng = np.random.default_rng(seed)
    rows = []
    for cell in grid.cells():
        width, height = SIZES[cell.lines]
        pixels = width * height / 1e6 / FULL_HD_MEGAPIXELS
        fast = cell.speed == "fast"
        floor = 900.0 * pixels**1.1 * (1.5 if fast else 1.0)
        source_mbps = 4.0 * math.sqrt(pixels)
        one = (
            math.exp(0.6 + noise * rng.standard_normal())
            * cell.seconds**0.9
            * pixels**0.8
            * source_mbps**TRUTH.source_mbps_exponent
            * (2.2 if fast else 1.0)
            * max(1.0, cell.kbps / floor) ** 0.35
            * (1.1 if cell.scene == SCENES[0].name else 1 / 1.1)
        )
        wall = one / cell.threads ** (0.5 + 0.07 * math.log(pixels))
        cpu = one * CORES_BUSY * cell.threads**OVERHEAD
        # Neighbours lengthen the wall's time, and hardly the processor's.
        wall *= 1.0 + 2.0 * others_cores * rng.random()
        least = LEAST_KBPS * pixels**0.9 * (1.4 if fast else 1.0)
        least *= min(1.0, cell.seconds * FPS / 250) ** -0.6
        rows.append(
            Row(
                *(cell.scene, cell.lines, cell.seconds, cell.speed, cell.kbps, cell.threads),
                repeat=cell.repeat,
                wall_s=wall,
                cpu_s=cpu,
                output_kbps=max(cell.kbps, least),
                source_mbps=source_mbps,
                others_cores=others_cores,
                cores=4,
                machine="imaginary",
                encoder="ffmpeg 0",
                begun="2026-01-01T00:00:00+00:00",
            )
        )
    return rows


WIDE = Grid(bitrates=(4, 500, 1500, 4000, 8000), threads=(1, 2, 4), repeats=2)


@pytest.fixture(scope="module")
def wide() -> tuple[list[Row], BenchFit]:
    rows = synthetic_rows(WIDE)
    return rows, fit_rows(rows, BASE.transcode, BASE.upload)


def test_known_laws_come_back_within_their_errors(wide: tuple[list[Row], BenchFit]) -> None:
    _, fit = wide
    for name in (
        "intercept",
        "duration_exponent",
        "pixels_exponent",
        "fast_factor",
        "bitrate_exponent",
        "floor_kbps",
        "floor_pixels_exponent",
        "floor_fast_factor",
    ):
        figure, truth = fit.transcode[name], getattr(TRUTH, name)
        assert not figure.held, name
        assert abs(figure.value - truth) <= 4 * figure.error, name
    assert fit.transcode["bitrate_exponent"].error < 0.01
    # Wall time by threads: what more cores do, less what the threads cost. 2160 lines on 4
    # vCPUs and 360 lines on 1 are all told from 480 rows.
    slope = fit.transcode["parallel_slope"]
    assert slope.value == pytest.approx(0.07, abs=4 * slope.error + 1e-6)
    assert fit.transcode["parallel_exponent"].value == pytest.approx(0.5, abs=0.02)
    assert fit.cores_busy.value == pytest.approx(CORES_BUSY, rel=0.01)
    assert fit.upload["least_kbps"].value == pytest.approx(LEAST_KBPS, rel=0.03)
    assert fit.upload["least_pixels_exponent"].value == pytest.approx(0.9, abs=0.03)
    assert fit.upload["least_fast_factor"].value == pytest.approx(1.4, rel=0.03)


def test_neighbours_spoil_the_wall_times_and_not_the_law_of_the_bitrate() -> None:
    rows = synthetic_rows(WIDE, others_cores=0.7)
    fit = fit_rows(rows, BASE.transcode, BASE.upload)
    assert fit.quiet_rows == 0
    assert fit.transcode["parallel_exponent"].held
    assert fit.transcode["parallel_exponent"].value == BASE.transcode.parallel_exponent
    exponent = fit.transcode["bitrate_exponent"]
    assert abs(exponent.value - 0.35) <= 4 * exponent.error
    assert "other programs disturbed" in fit.notes[0]


@pytest.mark.parametrize(
    ("grid", "held"),
    [
        (
            replace(WIDE, bitrates=(2000,)),
            {"bitrate_exponent", "floor_kbps", "floor_pixels_exponent", "floor_fast_factor"},
        ),
        (replace(WIDE, speeds=("fast",)), {"fast_factor", "floor_fast_factor"}),
        (replace(WIDE, lines=(720,)), {"pixels_exponent", "floor_pixels_exponent"}),
        (replace(WIDE, threads=(1,)), {"parallel_exponent", "parallel_slope"}),
    ],
)
def test_what_the_rows_do_not_show_is_held_and_said_to_be(grid: Grid, held: set[str]) -> None:
    fit = fit_rows(synthetic_rows(grid), BASE.transcode, BASE.upload)
    always = {"source_mbps_exponent", "sigma"}
    found = {name for name, figure in fit.transcode.items() if figure.held}
    assert held <= found
    assert found - always - held <= {"parallel_slope", "pixels_curvature"}  # nor does one size
    for name in held:
        assert fit.transcode[name].value == pytest.approx(getattr(BASE.transcode, name)), name


def test_the_tables_can_be_pasted_into_a_profile(wide: tuple[list[Row], BenchFit]) -> None:
    rows, fit = wide
    text = section_text(fit, rows, BASE.transcode, BASE.upload)
    timing = tomllib.loads(text)["timing"]
    law, upload = TranscodeTiming(**timing["transcode"]), UploadTiming(**timing["upload"])
    assert law.bitrate_exponent == pytest.approx(0.35, abs=0.02)
    assert law.typical_source_mbps == BASE.transcode.typical_source_mbps
    assert upload.per_megabyte_s == BASE.upload.per_megabyte_s
    assert upload.least_kbps == pytest.approx(LEAST_KBPS, rel=0.03)
    assert "# fitted +- " in text
    assert "# held at the base profile's" in text


def test_too_few_rows_are_refused() -> None:
    rows = synthetic_rows(WIDE)[: MIN_ROWS - 1]
    with pytest.raises(BenchError, match="11 rows are too few to fit a law"):
        fit_rows(rows, BASE.transcode, BASE.upload)


# -- the grid ---------------------------------------------------------------------------


def test_each_repetition_visits_all_cells_in_an_order_of_its_own() -> None:
    grid = Grid(repeats=2)
    cells = grid.cells()
    half = len(cells) // 2
    kinds = [
        [replace(cell, repeat=0, seconds=0.0) for cell in part]
        for part in (
            cells[:half],
            cells[half:],
        )
    ]
    assert len(set(kinds[0])) == half == 4 * 2 * 4 * 2
    assert set(kinds[0]) == set(kinds[1])
    assert kinds[0] != kinds[1]
    # No length goes with one kind of cell alone.
    for attribute in ("lines", "speed", "kbps", "scene"):
        for value in {getattr(cell, attribute) for cell in cells}:
            lengths = [
                c.seconds / clip_seconds(c.lines, 1.0)
                for c in cells
                if getattr(c, attribute) == value
            ]
            assert np.mean(lengths) == pytest.approx(0.75, abs=0.02)


# -- the pictures -----------------------------------------------------------------------


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_pictures_have_natural_detail_and_move(scene: object) -> None:
    width, height = 320, 180
    frames = list(pictures(scene, width, height, 13, seed=3))  # type: ignore[arg-type]
    assert all(len(frame) == width * height * 3 // 2 for frame in frames)
    luma = [
        np.frombuffer(frame[: width * height], np.uint8).reshape(height, width).astype(float)
        for frame in frames
    ]
    # Half a second moves the picture, a single picture only a little: it can be followed.
    near, far = (float(np.abs(luma[0] - luma[n]).mean()) for n in (1, 12))
    assert 0.3 < near < 0.6 * far
    # Neighbours are alike, as in photographs and not as in noise.
    assert np.corrcoef(luma[0][:, :-1].ravel(), luma[0][:, 1:].ravel())[0, 1] > 0.9
    # The spectrum of the amplitude falls about as 1/frequency.
    power = np.abs(np.fft.rfft2(luma[0] - luma[0].mean())) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    low, high = (power[(frequency > a) & (frequency < 1.3 * a)].mean() for a in (0.02, 0.1))
    assert -1.8 < 0.5 * math.log(high / low) / math.log(5) < -0.8


def test_the_same_seed_gives_the_same_pictures() -> None:
    one, two, other = (b"".join(pictures(SCENES[1], 160, 92, 3, seed=seed)) for seed in (1, 1, 2))
    assert one == two != other


# -- rows -------------------------------------------------------------------------------


def test_rows_read_back_as_they_were_written(tmp_path: Path) -> None:
    rows = synthetic_rows(Grid(repeats=1))[:5]
    for row in rows:
        append_row(tmp_path / "rows.csv", row)
    assert read_rows(tmp_path / "rows.csv") == rows
    assert read_rows(tmp_path / "none.csv") == []


def test_a_row_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = synthetic_rows(Grid(repeats=1))[:3]
    for row in rows[:2]:
        append_row(path, row)
    path.write_bytes(path.read_bytes()[:-20])
    assert read_rows(path) == rows[:1]
    append_row(path, rows[2])
    assert read_rows(path) == [rows[0], rows[2]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("0.", "x."), r"line 2: .*'x\..*' is not a number"),
        ((",360,", ",361,"), "line 2: no picture of 361 lines"),
        (("scene,", "sight,"), "line 1: not the columns of measured rows"),
        ((",ultrafast,", ",slow,"), "line 2: no picture of 360 lines or no speed 'slow'"),
        ((",imaginary,", ",im"), "line 2: 15 columns instead of 16"),
    ],
)
def test_a_wrong_file_of_rows_is_told_by_its_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    path = tmp_path / "rows.csv"
    row = next(
        row
        for row in synthetic_rows(Grid(repeats=1))
        if (row.lines, row.speed) == (360, "ultrafast")
    )
    append_row(path, replace(row, others_cores=0.5, wall_s=0.25))
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(BenchError, match=message):
        read_rows(path)


# -- as a user runs it ------------------------------------------------------------------

TINY = ["--sizes", "360", "--lengths", "0.03", "0.06", "--bitrates", "4", "500", "8000"]


def test_a_tiny_grid_from_end_to_end_and_on_where_it_stopped(tmp_path: Path) -> None:
    out = tmp_path / "bench"
    command = [sys.executable, "-m", "deploy.bench_encoder", "--out", str(out), *TINY]
    command += ["--threads", "1", "--repeats", "1"]
    first = subprocess.run(
        [*command, "--minutes", "5"], capture_output=True, text=True, check=False
    )
    assert first.returncode == 0, first.stderr
    rows = read_rows(out / "rows.csv")
    grid = Grid(lines=(360,), lengths=(0.03, 0.06), bitrates=(4, 500, 8000), repeats=1)
    assert {row.cell for row in rows} == {key(cell) for cell in grid.cells()}
    for row in rows:
        assert row.cpu_s > 0.05
        assert row.wall_s > 0.05
        assert row.encoder.startswith("ffmpeg")
    # The encoder writes what is asked where it can, and not the 4 kbit/s that it cannot.
    low = [row.output_kbps for row in rows if row.kbps == 4]
    high = [row.output_kbps for row in rows if row.kbps == 8000]
    assert min(low) > 3 * 4
    assert np.median(high) > 5 * np.median(low)
    law = tomllib.loads((out / "transcode.toml").read_text())["timing"]["transcode"]
    assert TranscodeTiming(**law).duration_exponent > 0
    assert (out / "encoder.png").read_bytes().startswith(b"\x89PNG")
    assert str(out / "transcode.toml") in first.stdout.replace("\n", "")
    clip = next((out / "clips").glob("*.mp4"))
    assert probe(clip).picture.width == 640

    lines = (out / "rows.csv").read_text().splitlines(keepends=True)
    (out / "rows.csv").write_text("".join(lines[:-1]) + lines[-1][:10])
    assert main(command[3:]) == 0
    again = read_rows(out / "rows.csv")
    assert again[:-1] == rows[:-1]
    assert again[-1].cell == rows[-1].cell


def test_rows_of_several_files_are_fitted_without_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = synthetic_rows(replace(WIDE, repeats=1))
    for row in rows:
        append_row(tmp_path / f"{row.threads}.csv", row)
    files = [str(tmp_path / f"{threads}.csv") for threads in (1, 2, 4)]
    out = tmp_path / "out"
    assert main(["--out", str(out), "--minutes", "0", "--with", *files]) == 0
    printed = capsys.readouterr().out
    assert "240 transcodes with 1, 2, 4 threads" in printed
    law = TranscodeTiming(
        **tomllib.loads((out / "transcode.toml").read_text())["timing"]["transcode"]
    )
    assert law.parallel_exponent == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threads", "4096"], "--threads 4096: this machine has"),
        (["--sizes", "361"], "invalid choice: 361"),
        (["--minutes", "soon"], "'soon' is not a number of minutes"),
        (["--minutes", "0"], "0 rows are too few to fit a law"),
        (["--minutes", "0", "--with", "gone.csv"], "gone.csv holds no measured rows"),
        (["--base", "opnstack"], "did you mean 'openstack'"),
        (["--bitrates", "2000000"], "'2000000' is more than 1000000 kbit/s"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert main(["--out", str(tmp_path / "out"), *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_rows_of_another_machine_are_not_mixed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append_row(tmp_path / "rows.csv", synthetic_rows(Grid(repeats=1))[0])
    assert main(["--out", str(tmp_path), "--minutes", "1"]) == 2
    assert "measured on another machine (imaginary): give another --out" in capsys.readouterr().err


def test_csv_has_the_columns_that_the_documentation_names(tmp_path: Path) -> None:
    append_row(tmp_path / "rows.csv", synthetic_rows(Grid(repeats=1))[0])
    with (tmp_path / "rows.csv").open() as file:
        assert {"wall_s", "cpu_s", "output_kbps", "threads", "kbps"} <= set(next(csv.reader(file)))
