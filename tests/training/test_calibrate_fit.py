"""The laws come back from runs whose laws are known."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from math import log
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from env.config import FlavorConfig, Profile, load_profile
from tests.training.simulated_runs import draw_requests, simulated_tables
from tests.training.synthetic_runs import Truth, synthetic_tables
from training.calibration.bitrate_unit import to_kbps
from training.calibration.errors import CalibrationError
from training.calibration.fitting import Calibration, calibrate
from training.calibration.observations import Observations, combine, tidy
from training.calibration.plots import write_plots
from training.calibration.profile_text import fitted_profile, unseen
from training.validation.measured_world import Measured, MeasuredWorld

TRUTH = Truth()
ONE_VCPU = ("intercept", "duration_exponent", "pixels_exponent", "source_mbps_exponent")


def observe(truth: Truth = TRUTH, **options: object) -> Observations:
    return to_kbps(tidy(*synthetic_tables(truth, **options)), "kbit")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def base() -> Profile:
    """The shipped profile, but for a bitrate that costs nothing, as in the synthetic runs."""
    shipped = load_profile("openstack")
    law = replace(shipped.timing.transcode, bitrate_exponent=0.0)
    upload = replace(shipped.timing.upload, least_kbps=0.0)
    return replace(shipped, timing=replace(shipped.timing, transcode=law, upload=upload))


@pytest.fixture(scope="module")
def small(base: Profile) -> Calibration:
    """240 transcodes on workers of one vCPU, five on each of two nodes, six runs."""
    return calibrate(observe(), base)


@pytest.fixture(scope="module")
def mixed(base: Profile) -> Calibration:
    """288 transcodes on workers of 1, 2 and 4 vCPUs."""
    return calibrate(observe(vcpus=(1, 2, 4, 1), jobs_per_worker=6), base)


def within(calibration: Calibration, section: str, key: str, truth: float, errors: float) -> bool:
    """Whether an estimate lies within so many of its standard errors of the truth."""
    estimate = calibration.section(section).estimates[key]
    assert estimate.origin == "fitted"
    assert estimate.standard_error is not None
    return abs(estimate.value - truth) <= errors * estimate.standard_error


# Fixed seeds; 4 standard errors would be exceeded by 1 in 16 000 figures of an unbiased fit.
@pytest.mark.parametrize("key", ONE_VCPU)
def test_one_vcpu_law_is_recovered(small: Calibration, key: str) -> None:
    assert within(small, "timing.transcode", key, getattr(TRUTH, key), 4)


@pytest.mark.parametrize("key", [*ONE_VCPU, "fast_factor", "parallel_exponent", "parallel_slope"])
def test_law_of_several_vcpus_is_recovered(mixed: Calibration, key: str) -> None:
    assert within(mixed, "timing.transcode", key, getattr(TRUTH, key), 4)


def test_standard_errors_are_small_enough_to_be_of_use(mixed: Calibration) -> None:
    errors = {
        key: estimate.standard_error
        for key, estimate in mixed.section("timing.transcode").estimates.items()
    }
    for key in ("duration_exponent", "pixels_exponent", "parallel_exponent", "parallel_slope"):
        error = errors[key]
        assert error is not None
        assert error < 0.01


def test_contention_is_recovered(small: Calibration) -> None:
    assert small.section("timing.contention").value("knee_share") == TRUTH.knee / 6
    assert within(small, "timing.contention", "slope_per_core", TRUTH.slope_per_core, 4)
    assert small.transcode.knee.as_good == [TRUTH.knee]
    gain = small.section("timing.contention").quality["aic_gain_of_counting_boots"]
    assert isinstance(gain, float)
    assert gain > 10


def test_spreads_are_recovered(small: Calibration) -> None:
    for section, sigma in (
        ("timing.transcode", TRUTH.sigma),
        ("timing.download", TRUTH.download[2]),
        ("timing.upload", TRUTH.upload[2]),
    ):
        assert small.section(section).value("sigma") == pytest.approx(sigma, rel=0.15)


def test_transfers_are_recovered(small: Calibration) -> None:
    for name, law in (("download", TRUTH.download), ("upload", TRUTH.upload)):
        assert within(small, f"timing.{name}", "base_s", law[0], 4)
        assert within(small, f"timing.{name}", "per_megabyte_s", law[1], 4)


def test_boot_is_recovered_with_the_delay_of_the_order(small: Calibration) -> None:
    section = small.section("timing.boot")
    assert section.quality["warm_median_s"] == pytest.approx(TRUTH.boot_s, rel=0.03)
    assert section.quality["order_delay_s"] == pytest.approx(0.5, abs=1e-6)
    assert section.value("median_s") == pytest.approx(TRUTH.boot_s + 0.5, rel=0.03)
    assert section.value("sigma") == pytest.approx(TRUTH.boot_sigma, rel=0.35)
    assert section.value("first_on_node_s") == pytest.approx(TRUTH.copy_s, rel=0.05)
    assert section.estimates["first_on_node_s"].n == 2


def test_cross_validation_error_is_that_of_the_noise(small: Calibration) -> None:
    # The mean absolute value of a normal variable is sigma * sqrt(2 / pi).
    expected = 100 * TRUTH.sigma * np.sqrt(2 / np.pi)
    assert small.validation.scheme == "run"
    assert small.validation.mape == pytest.approx(expected, rel=0.15)
    assert len(small.validation.errors_percent) == len(small.sample)


def test_cross_validation_of_one_run_leaves_tenths_out(base: Profile) -> None:
    result = calibrate(observe(runs=1, jobs_per_worker=8), base).validation
    assert result.scheme == "tenth of the transcodes"
    assert np.isfinite(result.predicted_s).all()


def test_what_does_not_vary_keeps_the_prior(small: Calibration, base: Profile) -> None:
    prior = base.timing.transcode
    for key in ("parallel_exponent", "parallel_slope"):
        estimate = small.section("timing.transcode").estimates[key]
        assert estimate.origin == "prior"
        assert estimate.standard_error is None
        assert estimate.value == getattr(prior, key)
    gaps = " ".join(unseen(small))
    assert "flavors never measured: s10.small (2 vCPU), s10.medium (4 vCPU)" in gaps
    assert "parallel_exponent: every transcode ran on 1 vCPU" in gaps


def test_one_speed_keeps_the_prior_of_the_other(base: Profile) -> None:
    result = calibrate(observe(speeds=("ultrafast",)), base)
    estimate = result.section("timing.transcode").estimates["fast_factor"]
    assert (estimate.origin, estimate.value) == ("prior", base.timing.transcode.fast_factor)
    assert within(result, "timing.transcode", "intercept", TRUTH.intercept, 4)


def test_unknown_file_sizes_keep_the_prior_of_their_effect(base: Profile) -> None:
    flat = replace(TRUTH, source_mbps_exponent=0.0)
    tasks, workers = synthetic_tables(flat)
    result = calibrate(to_kbps(tidy(tasks.drop(columns="size_bytes"), workers), "kbit"), base)
    prior = base.timing.transcode
    for key in ("source_mbps_exponent", "typical_source_mbps"):
        estimate = result.section("timing.transcode").estimates[key]
        assert (estimate.origin, estimate.value) == ("prior", getattr(prior, key))
    # The constant effect that the prior claims is taken out of the intercept.
    shift = prior.source_mbps_exponent * log(prior.typical_source_mbps)
    assert within(result, "timing.transcode", "intercept", flat.intercept - shift, 4)
    assert result.section("timing.download").estimates["base_s"].origin == "prior"


def test_transcodes_alone_on_their_node_show_no_contention(base: Profile) -> None:
    result = calibrate(observe(vcpus=(1,), nodes=4), base)
    for key in ("knee_share", "slope_per_core"):
        estimate = result.section("timing.contention").estimates[key]
        assert (estimate.origin, estimate.value) == (
            "prior",
            getattr(base.timing.contention, key),
        )


def test_a_crowd_that_speeds_up_is_held_at_no_effect(base: Profile) -> None:
    result = calibrate(observe(replace(TRUTH, slope_per_core=-0.1)), base)
    estimate = result.section("timing.contention").estimates["slope_per_core"]
    assert (estimate.origin, estimate.value) == ("bound", 0.0)


def test_several_vcpus_are_measured_against_a_given_law_of_one(base: Profile) -> None:
    observations = observe(vcpus=(4,), nodes=4, jobs_per_worker=8)
    law = replace(
        base.timing.transcode,
        pixels_curvature=0.0,
        **{key: getattr(TRUTH, key) for key in (*ONE_VCPU, "fast_factor")},
    )
    result = calibrate(observations, base, one_vcpu=law)
    assert within(result, "timing.transcode", "parallel_exponent", TRUTH.parallel_exponent, 4)
    assert within(result, "timing.transcode", "parallel_slope", TRUTH.parallel_slope, 4)
    assert result.section("timing.transcode").estimates["intercept"].origin == "prior"
    assert result.transcode.law.fast_factor == TRUTH.fast_factor
    without = calibrate(observations, base)
    assert without.section("timing.transcode").estimates["parallel_exponent"].origin == "prior"


def test_the_level_and_what_a_quota_costs_are_fitted_to_the_shape_of_another_profile() -> None:
    shape = load_profile("openstack")
    law = shape.timing.transcode
    slower = replace(law, intercept=law.intercept + log(1.2), sigma=0.05)
    pods = replace(
        shape,
        cluster=replace(shape.cluster, flavors=(FlavorConfig("pod", 4, 1.4),), vcpu_overcommit=4.0),
        timing=replace(shape.timing, transcode=slower),
        image_cached=True,
    )
    world = partial(MeasuredWorld, measured=Measured(throttle=2.0, limits={0: 4.0}))
    requests = [replace(one, bitrate_kbps=1) for one in draw_requests(3, 150, gap_s=9.0)]
    policy = "grace-period:flavor=pod,max_workers=5,max_idle_time=10"
    tasks, workers = simulated_tables(pods, requests, seed=2, policy=policy, world=world)
    runs = tidy(tasks.assign(bitrate_unit="bit"), workers)
    result = calibrate(runs, shape, shape=shape)
    assert within(result, "timing.transcode", "intercept", slower.intercept, 4)
    quality = result.section("timing.transcode").quality
    throttle, error = quality["throttle"], quality["throttle_standard_error"]
    assert isinstance(throttle, float)
    assert isinstance(error, float)
    assert error < 0.1
    assert abs(throttle - 2.0) <= 4 * error
    assert result.transcode.law.sigma == pytest.approx(0.05, rel=0.4)
    for section, key in (
        ("timing.transcode", "pixels_exponent"),
        ("timing.transcode", "parallel_exponent"),
        ("timing.contention", "slope_per_core"),
    ):
        estimate = result.section(section).estimates[key]
        table = getattr(shape.timing, section.partition(".")[2])
        assert (estimate.origin, estimate.value) == ("prior", getattr(table, key))
    # Without it the throttled transcodes look like scatter.
    plain = calibrate(runs, shape, one_vcpu=law)
    assert plain.transcode.law.sigma > 3 * result.transcode.law.sigma


def test_a_stray_job_hardly_moves_the_law(small: Calibration, base: Profile) -> None:
    tasks, workers = synthetic_tables(TRUTH)
    last = tasks.groupby(["run", "worker"])["t_upld_start"].idxmax().iloc[:3]
    tasks.loc[last, ["t_upld_start", "t_completed"]] += 300.0
    result = calibrate(to_kbps(tidy(tasks, workers), "kbit"), base)
    assert result.transcode.law.sigma > 2 * small.transcode.law.sigma
    for key in ONE_VCPU:
        assert within(result, "timing.transcode", key, getattr(TRUTH, key), 4)


def test_the_profile_predicts_what_was_measured(mixed: Calibration) -> None:
    ratio = mixed.section("timing.transcode").quality["predicted_over_measured_total"]
    assert ratio == pytest.approx(1.0, abs=0.02)
    profile = fitted_profile(mixed, "home")
    assert profile.name == "home"
    assert profile.timing.transcode.parallel_exponent == pytest.approx(
        mixed.transcode.law.parallel_exponent, rel=1e-4
    )


def test_faults_are_counted(base: Profile) -> None:
    tasks, workers = synthetic_tables(TRUTH)
    tasks.loc[[3, 40, 90], "status"] = "error"
    lost = tasks.loc[[11]].assign(worker="gone", status="unfinished", t_upld_start=np.nan)
    extra = pd.DataFrame(
        {
            "run": "run00",
            "runner": "vm",
            "node": "node0",
            "worker": ["gone", "never"],
            "vcpus": 1,
            "t_created": 0.0,
            "t_available": [15.0, np.nan],
            "t_stopped": [60.0, np.nan],
        }
    )
    tasks = pd.concat([tasks, lost.assign(t_assigned=1.0)], ignore_index=True)
    faults = calibrate(
        to_kbps(tidy(tasks, pd.concat([workers, extra], ignore_index=True)), "kbit"), base
    ).section("faults")
    assert faults.value("transcode_error") == pytest.approx(3 / 240)
    assert faults.value("spawn_failure") == pytest.approx(1 / 62)
    hours = faults.quality["worker_hours"]
    assert isinstance(hours, float)
    assert faults.value("worker_loss_per_hour") == pytest.approx(1 / hours)


def test_no_failure_is_reported_with_its_upper_limit(small: Calibration) -> None:
    faults = small.section("faults")
    assert faults.value("transcode_error") == 0.0
    assert faults.estimates["transcode_error"].standard_error is None
    # 1 - 0.05 ** (1 / n): the exact form of the rule of three.
    assert faults.quality["transcode_error_upper_95"] == pytest.approx(1 - 0.05 ** (1 / 240))
    hours = faults.quality["worker_hours"]
    assert isinstance(hours, float)
    assert faults.quality["worker_loss_per_hour_upper_95"] == pytest.approx(-log(0.05) / hours)


def test_too_little_is_refused(base: Profile) -> None:
    with pytest.raises(CalibrationError, match="10 finished transcodes"):
        calibrate(observe(runs=1, jobs_per_worker=1), base)


@pytest.mark.parametrize("runs", [1, 2])
def test_too_few_boots_keep_the_prior(base: Profile, tmp_path: Path, runs: int) -> None:
    # Two nodes with one worker each; in the first run their boots copy the image.
    result = calibrate(observe(runs=runs, vcpus=(1,), jobs_per_worker=9), base)
    estimates = result.section("timing.boot").estimates
    assert {estimate.origin for estimate in estimates.values()} == {"prior"}
    assert fitted_profile(result, "home").timing.boot == base.timing.boot
    assert any("warm boots were seen, too few to fit" in gap for gap in unseen(result))
    assert len(write_plots(result, tmp_path)) == 4


def test_a_run_given_twice_is_refused() -> None:
    observations = observe(runs=1)
    with pytest.raises(CalibrationError, match="'run00' is given twice"):
        combine([observations, observations])
