"""Whether measured runs deny the unit in which their bitrates are read, judged by a profile."""

from __future__ import annotations

import numpy as np

from env.config import Profile
from training.calibration.bitrate_unit import check_units
from training.calibration.observations import Observations
from training.calibration.transcode_law import expected_s, transcode_sample
from training.validation.provenance import throttle_of


def check_profile_units(observations: Observations, profile: Profile) -> None:
    """See to it that they do not.

    Raises:
        CalibrationError: they do; the message says which option to pass.
    """
    law, contention = profile.timing.transcode, profile.timing.contention
    sample = transcode_sample(observations, law, contention, least=0)
    cores = float(np.median([node.cores for node in profile.cluster.nodes]))
    expected = expected_s(sample, law, contention, cores, throttle_of(profile))
    check_units(sample, np.log(sample.seconds / expected), law, law.bitrate_exponent)
