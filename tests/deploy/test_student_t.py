from __future__ import annotations

import pytest
from scipy.stats import t

from deploy.student_t import t_quantile


@pytest.mark.parametrize("degrees", [*range(1, 41), 99, 100, 1000])
def test_the_quantiles_are_those_of_scipy(degrees: int) -> None:
    for probability in (0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9995):
        expected = float(t.ppf(probability, degrees))
        assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize(("probability", "degrees"), [(0.4, 3), (1.0, 3), (0.975, 0)])
def test_what_is_out_of_range_is_refused(probability: float, degrees: int) -> None:
    with pytest.raises(ValueError, match=r"not in|give 1"):
        t_quantile(probability, degrees)
