"""The measured runs of the real system, where a checkout has them."""

from __future__ import annotations

from pathlib import Path

import pytest

from env.catalog import load_catalog
from env.config import load_profile
from training.calibration.fitting import Calibration, calibrate
from training.calibration.profile_text import unseen
from training.calibration.sources import read_observations

TRACES = Path(__file__).resolve().parents[3] / "shared" / "traces"

pytestmark = pytest.mark.skipif(not TRACES.is_dir(), reason="no measured runs beside the checkout")


@pytest.fixture(scope="module")
def openstack() -> Calibration:
    return calibrate(
        read_observations([TRACES], load_catalog()).only("vm"), load_profile("openstack")
    )


@pytest.fixture(scope="module")
def kubernetes(openstack: Calibration) -> Calibration:
    runs = read_observations([TRACES], load_catalog()).only("pod")
    return calibrate(runs, load_profile("kubernetes"), one_vcpu=openstack.transcode.law)


def test_openstack_predicts_runs_left_out(openstack: Calibration) -> None:
    validation = openstack.validation
    assert validation.scheme == "run"
    assert len(set(validation.group)) == 12
    assert len(validation.errors_percent) == 86
    assert validation.mape <= 9.0
    assert openstack.transcode.law.fast_factor == pytest.approx(2.3, abs=0.1)


def test_openstack_boots(openstack: Calibration) -> None:
    boot = openstack.section("timing.boot")
    assert boot.quality["warm_median_s"] == pytest.approx(16.7, abs=0.3)
    first = boot.estimates["first_on_node_s"]
    assert first.value == pytest.approx(53.1 - 16.7, abs=0.5)
    assert (first.n, first.standard_error) == (1, None)
    assert boot.value("crowd_knee_share") == pytest.approx(4 / 6)


def test_openstack_says_what_it_never_saw(openstack: Calibration) -> None:
    gaps = "\n".join(unseen(openstack))
    assert "s10.small (2 vCPU), s10.medium (4 vCPU)" in gaps
    assert "timing.stop.median_s" in gaps
    assert "timing.transcode.parallel_exponent" in gaps


def test_kubernetes_speed_up_is_measured_against_one_vcpu(kubernetes: Calibration) -> None:
    transcode = kubernetes.section("timing.transcode")
    alpha = transcode.estimates["parallel_exponent"]
    assert (alpha.origin, alpha.n) == ("fitted", 67)
    assert 4**alpha.value == pytest.approx(2.0, abs=0.15)
    # Three runs that differ by more than their laws explain: no promise below 30 %.
    assert kubernetes.validation.mape < 30.0
    contention = kubernetes.section("timing.contention").estimates["slope_per_core"]
    assert (contention.origin, contention.value) == ("bound", 0.0)
    assert any("waited for room" in note for note in kubernetes.section("timing.boot").notes)


def test_no_failure_was_seen(openstack: Calibration, kubernetes: Calibration) -> None:
    for calibration in (openstack, kubernetes):
        faults = calibration.section("faults")
        assert {estimate.value for estimate in faults.estimates.values()} == {0.0}
