"""Quality of a signal: the order statistics that its faults are told by."""

import numpy as np
import pytest

from einthoven.leads import TWELVE_LEADS
from einthoven.signals import check_signal
from einthoven.signals.quality import _low_middle_high


@pytest.mark.parametrize("n", [200, 777, 1000])
@pytest.mark.parametrize("gap", [0, 1, 57])
def test_one_sort_gives_numpys_percentiles_and_median_whatever_is_missing(n, gap):
    x = np.random.default_rng(n + gap).normal(size=(12, n)).round(2).astype(np.float32)
    x[3, :gap] = np.nan
    low, middle, high = _low_middle_high(x)
    wanted_low, wanted_high = np.nanpercentile(x, [1, 99], axis=1)
    np.testing.assert_allclose(low, wanted_low, atol=1e-7)
    np.testing.assert_allclose(high, wanted_high, atol=1e-7)
    np.testing.assert_array_equal(middle, np.nanmedian(x, axis=1))


def test_an_offset_of_exactly_the_bound_is_none():
    x = np.random.default_rng(0).normal(0, 0.3, size=(12, 1000)).astype(np.float32)
    x[7] = np.where(np.arange(1000) % 2, 1.001, 0.999)  # median 1 mV
    assert "offset" not in {flag.code for flag in check_signal(x, 100.0, TWELVE_LEADS)}
    x[7] += np.float32(0.01)
    assert "offset" in {flag.code for flag in check_signal(x, 100.0, TWELVE_LEADS)}
