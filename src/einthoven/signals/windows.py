"""Windows over a signal, with a mask of what was recorded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["aggregate", "window_starts", "windows"]


def window_starts(n_samples: int, length: int, stride: int) -> NDArray[np.int64]:
    """First sample of each window: every ``stride`` samples, and one flush with the end so that nothing is left out.

    A signal shorter than a window has one window, padded at its end.

    >>> window_starts(1000, 250, 125), window_starts(1100, 500, 500), window_starts(100, 250, 125)
    (array([  0, 125, 250, 375, 500, 625, 750]), array([  0, 500, 600]), array([0]))
    """
    last = max(0, n_samples - length)
    starts = np.arange(0, last + 1, stride, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def windows(
    x: NDArray[np.float32], length: int, stride: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Cut a signal into windows.

    Args:
        x: shape (leads, samples); NaN where nothing was recorded.
        length: samples per window.
        stride: samples from one window to the next.

    Returns:
        Windows of shape (windows, leads, length) with 0 where nothing was recorded, the mask of recorded samples of
        the same shape, and the first sample of each window.
    """
    starts = window_starts(x.shape[-1], length, stride)
    short = length - x.shape[-1]
    if short > 0:
        x = np.pad(x, [(0, 0), (0, short)], constant_values=np.nan)
    cut = np.stack([x[:, start : start + length] for start in starts])
    mask = np.isfinite(cut)
    return np.where(mask, cut, np.float32(0)), mask, starts


def aggregate(p: NDArray[np.floating], first: NDArray[np.int64], how: str) -> NDArray[np.float64]:
    """Summarise the probabilities of each record's windows.

    Args:
        p: shape (windows, classes), the windows of a record one after the other.
        first: position of each record's first window, ascending, shape (records,).
        how: ``"mean"`` or ``"max"``.

    Returns:
        Shape (records, classes).
    """
    p = np.asarray(p, dtype=np.float64)
    if how == "max":
        return np.asarray(np.maximum.reduceat(p, first, axis=0))
    counts = np.diff(np.append(first, len(p)))
    return np.asarray(np.add.reduceat(p, first, axis=0) / counts[:, None])
