"""Bimodal compression of SCP-ECG: samples at full rate within protected zones, fewer outside.

One idea: a stored lead is a row of blocks, one sample wide in the zones and ``factor`` samples wide outside.
Standard: EN 1064 / ISO 11073-91064, clause 5.9 and annex C (interpolation and smoothing).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["block_starts", "expand", "protected_mask", "smooth"]


def protected_mask(zones: NDArray[np.int64], n_samples: int) -> NDArray[np.bool_]:
    """Mark the samples of a lead that lie in zones of shape (zones, 2), which may overlap or reach out of the lead."""
    edges = np.zeros(n_samples + 1, np.int64)
    inside = np.clip(zones, 0, n_samples)
    np.add.at(edges, inside[:, 0], 1)
    np.add.at(edges, inside[:, 1], -1)
    return np.cumsum(edges[:-1]) > 0


def block_starts(protected: NDArray[np.bool_], factor: int) -> NDArray[np.int64]:
    """Return the sample at which each stored value's block starts.

    Outside the zones as many blocks of ``factor`` samples as fit are stored, then what remains one by one.

    >>> block_starts(np.array([0, 0, 0, 0, 0, 1, 1, 0, 0], bool), 2).tolist()
    [0, 2, 4, 5, 6, 7]
    """
    n = len(protected)
    at = np.arange(n)
    changes = np.flatnonzero(np.diff(protected)) + 1
    run_starts, run_ends = np.concatenate([[0], changes]), np.concatenate([changes, [n]])
    run = np.searchsorted(run_starts, at, side="right") - 1
    within, length = at - run_starts[run], (run_ends - run_starts)[run]
    single = protected | (within >= length // factor * factor)
    return at[single | (within % factor == 0)]


def expand(values: NDArray[np.float64], starts: NDArray[np.int64], n_samples: int) -> NDArray[np.float64]:
    """Interpolate the blocks linearly to ``n_samples``.

    A value stands half a block after its start; before the first and after the last of a run of wide blocks it holds,
    so that what lies in the zones never leaks out.
    """
    widths = np.diff(np.append(starts, n_samples))
    wide = widths > 1
    begins = wide & ~np.concatenate([[False], wide[:-1]])
    ends = wide & ~np.concatenate([wide[1:], [False]])
    at = np.concatenate([starts + widths // 2 * wide, starts[begins], starts[ends] + widths[ends] - 1])
    anchors, first = np.unique(at, return_index=True)
    return np.interp(np.arange(n_samples), anchors, np.concatenate([values, values[begins], values[ends]])[first])


def smooth(signal: NDArray[np.float64], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace each sample that is not ``kept`` by the mean of itself and its neighbours; the first and last stay."""
    result = signal.copy()
    result[1:-1] = (signal[:-2] + signal[1:-1] + signal[2:]) / 3
    result[kept] = signal[kept]
    return result
