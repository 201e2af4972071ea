"""The experts' delineation of LUDB, brought to one reference per beat: the median over leads of every point."""

from pathlib import Path

import numpy as np

from einthoven.formats.wfdb_annotations import read_annotations
from einthoven.leads import TWELVE_LEADS

# Points of a beat: P onset, P, P end, QRS onset, R, QRS end, T onset, T, T end. Samples at 500 Hz.
_WAVES = {"p": 0, "N": 3, "t": 6}
_SAME_BEAT = 75  # samples
INTERVALS = {"p_ms": (0, 2), "pr_ms": (0, 3), "qrs_ms": (3, 5), "qt_ms": (3, 8)}


def _marks(folder: Path, record: int, lead: str) -> dict[str, np.ndarray]:
    """Onset, peak and end of every wave of a lead; NaN where none is marked."""
    notes = read_annotations(folder / "data" / f"{record}.{lead.lower()}", lead.lower())
    samples, symbols = [np.nan, *notes.samples, np.nan], ["", *notes.symbols, ""]
    found: dict[str, list[tuple[float, float, float]]] = {wave: [] for wave in _WAVES}
    for k, symbol in enumerate(symbols):
        if symbol in found:
            on = samples[k - 1] if symbols[k - 1] == "(" else np.nan
            off = samples[k + 1] if symbols[k + 1] == ")" else np.nan
            found[symbol].append((on, samples[k], off))
    return {wave: np.array(marks, float).reshape(-1, 3) for wave, marks in found.items()}


def _of_beat(marks: np.ndarray, low: float, high: float, last: bool) -> np.ndarray | None:
    inside = marks[(marks[:, 1] > low) & (marks[:, 1] < high)]
    return inside[-1 if last else 0] if len(inside) else None


def beats_of(folder: Path, record: int, leads: tuple[str, ...] = TWELVE_LEADS) -> np.ndarray:
    """Reference points, shape (beats, 9); a wave counts where more than half of the leads have it."""
    per_lead = [_marks(folder, record, lead) for lead in leads]
    peaks = np.sort(np.concatenate([marks["N"][:, 1] for marks in per_lead]))
    groups = np.split(peaks, np.flatnonzero(np.diff(peaks) > _SAME_BEAT) + 1)
    need = len(leads) // 2 + 1
    centres = [np.median(group) for group in groups if len(group) >= need]
    beats = np.full((len(centres), 9), np.nan)
    for row, (centre, previous, following) in enumerate(
        zip(centres, [-np.inf, *centres[:-1]], [*centres[1:], np.inf], strict=True)
    ):
        bounds = {
            "p": (max(previous + 50, centre - 250), centre, True),
            "N": (centre - _SAME_BEAT, centre + _SAME_BEAT, False),
            "t": (centre, min(following, centre + 350), False),
        }
        for wave, column in _WAVES.items():
            found = [of for marks in per_lead if (of := _of_beat(marks[wave], *bounds[wave])) is not None]
            if len(found) >= need:
                points = np.array(found)
                marked = np.isfinite(points).any(axis=0)
                beats[row, column : column + 3][marked] = np.nanmedian(points[:, marked], axis=0)
    return beats


def intervals_of(beats: np.ndarray) -> dict[str, float]:
    """Median over beats of each interval in ms, NaN where no beat has it."""
    lengths = {name: (beats[:, end] - beats[:, begin]) * 2.0 for name, (begin, end) in INTERVALS.items()}
    return {name: float(np.nanmedian(ms)) if np.isfinite(ms).any() else np.nan for name, ms in lengths.items()}
