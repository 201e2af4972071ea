"""Is this signal fit to be judged? Faults by name, each a refusal or a warning.

Bounds are generous: they catch what no heart makes (a wrong unit, a loose electrode), not a poor recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_DURATION_S", "Flag", "check_signal"]

MIN_DURATION_S = 2.0
# Peak-to-peak of a lead within the record, 1st to 99th percentile, median over leads: 0.3 to 3.5 mV in all of PTB-XL.
MIN_RANGE_MV, LOW_RANGE_MV = 0.05, 0.25
MAX_RANGE_MV, HIGH_RANGE_MV = 15.0, 5.0
FLAT_MV = 0.002
MAX_FLAT_LEADS = 2
# Median of a lead: below 0.3 mV in 99 % of PTB-XL. Networks see the offset, so a large one decides the answer.
MAX_OFFSET_MV, HIGH_OFFSET_MV = 5.0, 1.0
MAX_MISSING = 0.2


@dataclass(frozen=True, slots=True)
class Flag:
    """One fault: a short code, a sentence, and whether a prediction is refused because of it."""

    code: str
    text: str
    refuse: bool


def check_signal(x: NDArray[np.float32], fs: float, leads: tuple[str, ...]) -> list[Flag]:
    """Name what is wrong with a signal in millivolts.

    Args:
        x: shape (leads, samples), mV, NaN where nothing was recorded.
        fs: rate in Hz.
        leads: names of the rows.
    """
    flags = []
    duration = x.shape[1] / fs
    if duration < MIN_DURATION_S:
        text = f"the signal lasts {duration:.2f} s, at least {MIN_DURATION_S:g} s are needed"
        return [Flag("too_short", text, True)]
    recorded = np.isfinite(x)
    missing = 1 - recorded.mean(axis=1)
    empty = [lead for lead, m in zip(leads, missing, strict=True) if m == 1]
    partly = [lead for lead, m in zip(leads, missing, strict=True) if MAX_MISSING < m < 1]
    if empty:
        flags.append(Flag("missing_leads", f"nothing was recorded in {', '.join(empty)}", True))
    if partly:
        text = f"more than {MAX_MISSING:.0%} of the samples are missing (NaN) in {', '.join(partly)}"
        flags.append(Flag("missing_samples", text, True))
    elif missing.any() and not empty:
        flags.append(Flag("missing_samples", f"{1 - recorded.mean():.2%} of the samples are missing (NaN)", False))
    return flags + _check_amplitude(x, leads, missing)


def _check_amplitude(x: NDArray[np.float32], leads: tuple[str, ...], missing: NDArray[np.float64]) -> list[Flag]:
    present = missing < 1
    if not present.any():
        return []
    # A percentile per lead without the spikes of a disturbed contact.
    low, middle, high = _low_middle_high(x[present])
    spread = np.full(len(leads), np.nan)
    spread[present] = high - low
    flat = [lead for lead, s in zip(leads, spread, strict=True) if s < FLAT_MV]
    if spread[present].max() == 0:
        return [Flag("flat", "every lead is flat", True)]
    alive = spread[spread >= FLAT_MV]
    typical = median(alive.tolist()) if len(alive) else float(spread[present].max())
    if typical > MAX_RANGE_MV or typical < MIN_RANGE_MV:
        hint = "microvolts read as millivolts" if typical > MAX_RANGE_MV else "volts read as millivolts"
        text = f"amplitudes of {typical:.3g} mV are not an ECG's ({MIN_RANGE_MV} to {MAX_RANGE_MV:g} mV): {hint}?"
        return [Flag("wrong_unit", text, True)]
    flags = []
    if flat:
        flags.append(Flag("flat_leads", f"flat in {', '.join(flat)}", len(flat) > MAX_FLAT_LEADS))
    wild = [lead for lead, s in zip(leads, spread, strict=True) if s > MAX_RANGE_MV]
    if wild:
        text = f"amplitudes above {MAX_RANGE_MV:g} mV in {', '.join(wild)}"
        flags.append(Flag("amplitude", text, len(wild) > MAX_FLAT_LEADS))
    elif not LOW_RANGE_MV <= typical <= HIGH_RANGE_MV:
        text = (
            f"amplitudes of {typical:.3g} mV are unusual ({LOW_RANGE_MV} to {HIGH_RANGE_MV:g} mV): is the unit right?"
        )
        flags.append(Flag("amplitude", text, False))
    return flags + _check_offset(np.abs(middle), [lead for lead, there in zip(leads, present, strict=True) if there])


def _low_middle_high(x: NDArray[np.float32]) -> list[NDArray[np.floating]]:
    """1st percentile, median and 99th percentile of each row, NaN left out; sorting once serves them all."""
    ordered, row = np.sort(x, axis=1), np.arange(len(x))  # NaN comes last
    last = (~np.isnan(x)).sum(axis=1) - 1

    def percentile(share: float) -> NDArray[np.float64]:
        place = share * last
        before = place.astype(np.int64)
        value, after = ordered[row, before], ordered[row, np.minimum(before + 1, last)]
        return np.asarray(value + (after - value) * (place - before))

    return [percentile(0.01), (ordered[row, last // 2] + ordered[row, (last + 1) // 2]) / 2, percentile(0.99)]


def _check_offset(offset: NDArray[np.floating], leads: list[str]) -> list[Flag]:
    high = [lead for lead, value in zip(leads, offset, strict=True) if value > HIGH_OFFSET_MV]
    if not high:
        return []
    text = (
        f"the baseline lies up to {offset.max():.3g} mV from zero in {', '.join(high)}: remove the electrodes' offset"
    )
    return [Flag("offset", text, bool(offset.max() > MAX_OFFSET_MV))]
