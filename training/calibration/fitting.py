"""A whole profile from measured runs: every table fitted, or kept and marked so."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from env.config import Profile, TranscodeTiming
from training.calibration.bitrate_unit import check_units
from training.calibration.boot_law import BootFit, BootSample, boot_sample, fit_boot
from training.calibration.cross_validation import CrossValidation, cross_validate
from training.calibration.estimates import SectionFit
from training.calibration.fault_rates import fit_faults
from training.calibration.observations import Observations
from training.calibration.sections import (
    boot_section,
    contention_section,
    kept_section,
    transcode_section,
)
from training.calibration.transcode_law import (
    BITRATE_KEYS,
    LEVEL_ALONE,
    ONE_VCPU_KEYS,
    SHAPE_KEYS,
    TranscodeFit,
    TranscodeSample,
    fit_transcode,
    transcode_sample,
)
from training.calibration.transfer_law import (
    TransferSample,
    download_sample,
    fit_transfer,
    fit_upload,
    upload_sample,
)

UNSEEN_STOP: Final = "no run shows when resources were free again"
UNSEEN_USAGE: Final = "no run records the CPU and RAM in use"
_ROUNDS: Final = 10


@dataclass(frozen=True)
class Calibration:
    """All that a calibration found.

    Attributes:
        base: the profile whose figures are kept where the data show none.
        observations: what it was fitted to.
        sections: the fits, one for each table of the profile.
        transcode: the law of transcoding.
        sample: the transcodes that it was fitted to.
        validation: its predictions of runs left out.
        boot: the law of booting.
        boots: the boots that it was fitted to.
        download, upload: the transfers.
    """

    base: Profile
    observations: Observations
    sections: list[SectionFit]
    transcode: TranscodeFit
    sample: TranscodeSample
    validation: CrossValidation
    boot: BootFit
    boots: BootSample
    download: TransferSample
    upload: TransferSample

    def section(self, name: str) -> SectionFit:
        """The fit of one table, e.g. ``timing.boot``."""
        return next(section for section in self.sections if section.section == name)


def calibrate(
    observations: Observations,
    base: Profile,
    *,
    one_vcpu: TranscodeTiming | None = None,
    shape: Profile | None = None,
) -> Calibration:
    """Fit all tables of timing and faults.

    Args:
        observations: measured runs.
        base: priors; its nodes' cores set the scale of the contention's knee.
        one_vcpu: the law of one vCPU to hold fixed, when no run had a worker of one
            vCPU: what several vCPUs gain is then measured against it.
        shape: a profile whose laws of the video, of several vCPUs and of the crowd are held,
            for runs whose workers were all of one size of several vCPUs. Fitted are the level
            and what a quota of CPU costs (see `training.calibration.crowding`). Not with
            `one_vcpu`.

    Raises:
        CalibrationError: there are too few observations, or they deny the unit in which
            their bitrates are read.
    """
    cores = float(np.median([node.cores for node in base.cluster.nodes]))
    law, contention = base.timing.transcode, base.timing.contention
    fixed: tuple[str, ...] = ()
    if one_vcpu is not None:
        fixed = ONE_VCPU_KEYS
        law = replace(
            law,
            typical_source_mbps=one_vcpu.typical_source_mbps,
            **{key: getattr(one_vcpu, key) for key in (*ONE_VCPU_KEYS, *BITRATE_KEYS)},
        )
    if shape is not None:
        fixed = (*SHAPE_KEYS, LEVEL_ALONE)
        law = replace(shape.timing.transcode, intercept=law.intercept)
        contention = shape.timing.contention
    for _ in range(_ROUNDS):  # the load of several vCPUs depends on what is being fitted
        sample = transcode_sample(observations, law, contention)
        fit = fit_transcode(sample, law, contention, cores, fixed=fixed)
        change = abs(fit.law.parallel_exponent - law.parallel_exponent)
        change += abs(fit.law.parallel_slope - law.parallel_slope)
        law = replace(
            law,
            parallel_exponent=fit.law.parallel_exponent,
            parallel_slope=fit.law.parallel_slope,
        )
        if change < 1e-3:
            break
    check_units(sample, fit.regression.residuals, fit.law, law.bitrate_exponent)
    no_boots = transcode_sample(observations, law, replace(contention, boot_load=0.0))
    without_boots = fit_transcode(no_boots, law, contention, cores, fixed=fixed)
    validation = cross_validate(sample, law, contention, cores, fixed=fixed)
    boots = boot_sample(observations, fit.law, contention)
    boot = fit_boot(boots, base.timing.boot, cores)
    download = download_sample(observations)
    upload = upload_sample(observations, base.timing.upload)
    return Calibration(
        base=base,
        observations=observations,
        sections=[
            boot_section(boot, boots, base.timing.boot),
            fit_transfer("timing.download", download, base.timing.download),
            transcode_section(fit, sample, validation, fixed),
            fit_upload(upload, base.timing.upload),
            contention_section(fit, sample, without_boots, held=shape is not None),
            kept_section("timing.stop", base.timing.stop, UNSEEN_STOP),
            kept_section("timing.usage", base.timing.usage, UNSEEN_USAGE),
            fit_faults(observations, base.faults),
        ],
        transcode=fit,
        sample=sample,
        validation=validation,
        boot=boot,
        boots=boots,
        download=download,
        upload=upload,
    )
