"""Segments of an annotated ECG put side by side in time, as the four columns of a 3x4 printout.

One idea: a lead is NaN while its segment is not recorded; what cannot share one time axis is left out with a note.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.aecg_sequences import Segment

__all__ = ["Strip", "lay_out"]

_MOST_VALUES = 20_000_000  # twelve leads at 1000 Hz for 27 minutes


class Strip(NamedTuple):
    """One signal: float32 millivolts (leads, samples), its rate in Hz where known, lead names and notes."""

    signal: NDArray[np.float32]
    fs: float | None
    leads: tuple[str, ...]
    notes: tuple[str, ...]


def lay_out(segments: list[Segment], name: str) -> Strip:
    """Put segments on one time axis; where they have none in common, the first is taken alone.

    Raises:
        RecordError: a lead is stored twice for the same time.
    """
    first = segments[0]
    if len(segments) == 1:
        return Strip(np.stack(list(first.leads.values())), first.fs, tuple(first.leads), ())
    offsets, why = _offsets(segments)
    if not offsets:
        note = f"The first of {len(segments)} rhythm segments was read: {why}."
        return Strip(np.stack(list(first.leads.values())), first.fs, tuple(first.leads), (note,))
    leads = {lead: k for k, lead in enumerate(dict.fromkeys(lead for s in segments for lead in s.leads))}
    n_samples = max(at + segment.n_samples for at, segment in zip(offsets, segments, strict=True))
    signal = np.full((len(leads), n_samples), np.nan, np.float32)
    notes = _fill(signal, leads, segments, offsets, name)
    if np.isnan(signal).any():
        notes.append(f"{len(segments)} rhythm segments were laid out by their time; leads are NaN between them.")
    return Strip(signal, first.fs, tuple(leads), tuple(notes))


def _offsets(segments: list[Segment]) -> tuple[list[int], str]:
    """Samples from the earliest start to each segment's, or none and the reason."""
    fs, clock = segments[0].fs, segments[0].clock
    if fs is None or any(segment.fs is None or abs(segment.fs - fs) > 1e-3 * fs for segment in segments):
        return [], "their sampling rates differ or are unknown"
    starts = [segment.start_s for segment in segments if segment.start_s is not None and segment.clock == clock]
    if len(starts) < len(segments):
        return [], "their times are unknown or of different clocks"
    offsets = [(start - min(starts)) * fs for start in starts]
    span = max(at + segment.n_samples for at, segment in zip(offsets, segments, strict=True))
    n_leads = len({lead for segment in segments for lead in segment.leads})
    # Recordings of another hour would make one of hours that is nearly all NaN.
    if span > 2 * sum(segment.n_samples for segment in segments) or n_leads * span > _MOST_VALUES:
        return [], "they lie far apart in time"
    return [round(at) for at in offsets], ""


def _fill(
    signal: NDArray[np.float32], leads: dict[str, int], segments: list[Segment], offsets: list[int], name: str
) -> list[str]:
    """Write the segments into the signal, the longest first, and say where a shorter copy was left out."""
    filled = np.zeros(signal.shape, bool)
    notes = []
    order = sorted(zip(offsets, segments, strict=True), key=lambda pair: -pair[1].n_samples)
    for at, segment in order:
        for lead, samples in segment.leads.items():
            row, part = leads[lead], slice(at, at + len(samples))
            if not filled[row, part].any():
                signal[row, part] = samples
                filled[row, part] = True
            elif filled[row, part].all() and len(samples) < filled[row].sum():
                notes.append(f"Lead {lead} is stored twice; the longer strip was kept.")
            else:
                raise RecordError(f"{name}: lead {lead} is stored twice for the same time")
    return notes
