"""What can be measured on one ECG: one call from a signal to about a hundred numbers.

One idea: NaN says that something could not be measured; nothing is filled in here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.features.beats import clean, find_beats, representative_beat
from einthoven.features.values import PER_LEAD, WHOLE, amplitudes, axes, intervals, rhythm, voltages
from einthoven.features.waves import delineate

__all__ = ["measure", "measured_names"]


def measured_names(leads: Sequence[str]) -> tuple[str, ...]:
    """Names of what is measured, in the order of ``measure``.

    >>> measured_names(("II",))[-2:]
    ('t_mv_II', 'rs_share_II')
    """
    return (*WHOLE, *(f"{name}_{lead}" for name in PER_LEAD for lead in leads))


def measure(signal: NDArray[np.float32], fs: float, leads: Sequence[str]) -> dict[str, float]:
    """Measure an ECG: heart rate, intervals, axes, amplitudes.

    The R peaks are found once on all leads; times are read on the median of the beats of the most frequent shape,
    amplitudes on the same median in each lead. See ``docs/features.md`` for definitions and accuracy.

    Args:
        signal: shape (leads, samples), mV, NaN where nothing was recorded.
        fs: rate in Hz.
        leads: canonical names of the rows.

    Returns:
        A value for each of ``measured_names(leads)``; NaN where it could not be measured.

    Raises:
        MissingExtraError: NeuroKit is not installed.
        ValueError: the signal has not one row per lead.
    """
    if signal.ndim != 2 or len(signal) != len(leads):
        raise ValueError(f"the signal must have one row for each of {len(leads)} leads, got the shape {signal.shape}")
    numbers = _measured(signal, fs, leads)
    return {name: float(numbers.get(name, np.nan)) for name in measured_names(leads)}


def _measured(signal: NDArray[np.float32], fs: float, leads: Sequence[str]) -> dict[str, float]:
    recording = clean(signal, fs)
    if recording is None:
        return {}
    peaks = find_beats(recording)
    if not len(peaks):
        return {}
    beat, alike = representative_beat(recording, peaks)
    numbers = rhythm(peaks, alike, recording.recorded)
    waves = None if beat is None else delineate(beat)
    if beat is None or waves is None:
        return numbers
    names = [leads[row] for row in recording.rows]
    numbers |= intervals(waves, numbers.get("rate_bpm", np.nan)) | axes(beat, waves, names)
    numbers |= amplitudes(beat, waves, names)
    return numbers | voltages(numbers)
