"""EDF, EDF+, BDF and BDF+: the European data format and its 24-bit sister, of Holters and sleep laboratories.

One idea: once the header is verified the samples are one array, looked at in place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.edf_header import EdfHeader, EdfSignal, parse_edf_header, straight_line
from einthoven.formats.edf_leads import choose_signals
from einthoven.formats.files import Files, stem
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.stated import agreed_rate, agreed_scale, distinct, millivolts, unit_of
from einthoven.record import Record

__all__ = ["read_edf"]

_BDF = b"\xffBIOSEMI"
_EDF = b"0       "
_ONSET = re.compile(rb"([+-]\d{1,12}(?:\.\d{0,12})?)(?:\x15[\d.]*)?\x14")
_STAMP = re.compile(rb"[^\0]+")
_MOST_TEXTS, _LONGEST_TEXT = 200, 500
# Gaps take memory and no bytes: beyond this many times the recording they are implausible.
_LONGEST_GAPS = 16
_FREE_SAMPLES = 2**20


def _sniff(files: Files) -> bool:
    head = files.head()
    return head.startswith((_EDF, _BDF)) and head[184:192].strip().isdigit()


@register_reader("EDF", (".edf", ".bdf", ".rec"), "EDF, EDF+, BDF and BDF+ of Holters, monitors, sleep studies", _sniff)
def read_edf(files: Files, options: ReadOptions) -> Record:
    """Read the ECG signals of an EDF or BDF file; gaps of an interrupted recording (EDF+D) are NaN.

    Raises:
        RecordError: damaged, without an ECG, or of units or rates that leave open what is meant.
    """
    name, content = files.name, files.read()
    header = parse_edf_header(content, name)
    signals, leads, notes = choose_signals(header, options, name)
    found = signals[0].n_samples / header.record_s
    fs, rate_notes = agreed_rate(found, options, name)
    lines = []
    for signal in signals:
        gain, offset = straight_line(signal, header.width, name)
        lines.append((gain / agreed_scale(signal.unit, options, f"{name}: {signal.label}"), offset))
    values, texts, gap_notes = _read(content, header, signals, lines, name)
    return Record(
        signal=millivolts(values, name),
        fs=fs,
        leads=distinct(leads, name),
        record_id=stem(name),
        patient_id=header.patient_id,
        age=header.age,
        sex=header.sex,
        interpretation=texts,
        unit=unit_of(signals[0].unit, options),
        notes=(*header.notes, *notes, *gap_notes, *rate_notes),
    )


def _read(
    content: bytes, header: EdfHeader, signals: Sequence[EdfSignal], lines: list[tuple[float, float]], name: str
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...]]:
    """Millivolts of shape (signals, samples), texts of the annotations, and notes."""
    width, n_records = header.width, header.n_records
    stored = np.frombuffer(content, np.uint8, n_records * header.record_samples * width, header.n_bytes)
    # (data records, bytes of one): each signal is a block of columns.
    table = stored.reshape(n_records, header.record_samples * width)
    values = np.empty((len(signals), n_records * signals[0].n_samples), np.float32)
    with np.errstate(over="ignore"):  # infinite values are told later
        for k, (gain, offset) in enumerate(lines):
            values[k] = (_digital(_block(table, signals[k], width), width) - offset) * gain
    annotations = [_block(table, signal, width) for signal in header.signals if signal.is_annotation]
    texts, notes = _texts(annotations)
    if not header.discontinuous:
        return values, texts, notes
    onsets = _onsets(annotations, n_records, name)
    placed, gap_notes = _placed(values, onsets, header.record_s, signals[0].n_samples, name)
    return placed, texts, (*notes, *gap_notes)


def _block(table: NDArray[np.uint8], signal: EdfSignal, width: int) -> NDArray[np.uint8]:
    return table[:, signal.first * width : (signal.first + signal.n_samples) * width]


def _digital(block: NDArray[np.uint8], width: int) -> NDArray[np.float64]:
    if width == 2:
        return np.ascontiguousarray(block).view("<i2").reshape(-1).astype(np.float64)
    # Three bytes go to the upper three of four, so that the shift back spreads their sign.
    padded = np.zeros((block.size // 3, 4), np.uint8)
    padded[:, 1:] = block.reshape(-1, 3)
    return (padded.view("<i4").reshape(-1) >> 8).astype(np.float64)


def _texts(annotations: list[NDArray[np.uint8]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The different texts in order; times and durations are left out."""
    found: dict[str, None] = {}
    for block in annotations:
        for stamp in _STAMP.findall(block.tobytes()):
            # Onset, duration and texts are each closed by byte 20; one without texts only keeps time.
            for part in stamp.split(b"\x14")[1:]:
                if part:
                    found[part.decode("utf-8", "replace")[:_LONGEST_TEXT].strip()] = None
    texts = tuple(text for text in found if text)
    if len(texts) > _MOST_TEXTS:
        return texts[:_MOST_TEXTS], (f"{len(texts) - _MOST_TEXTS} annotations more were left out.",)
    return texts, ()


def _onsets(annotations: list[NDArray[np.uint8]], n_records: int, name: str) -> NDArray[np.float64]:
    """Seconds at which each data record begins: the first annotation of each says."""
    if not annotations:
        raise RecordError(f"{name}: an interrupted recording (EDF+D) without annotations, so its gaps are unknown")
    onsets = np.empty(n_records)
    for k, row in enumerate(annotations[0]):
        found = _ONSET.match(row.tobytes())
        if found is None:
            raise RecordError(f"{name}: data record {k + 1} of an interrupted recording (EDF+D) does not say its time")
        onsets[k] = float(found[1])
    return onsets


def _placed(
    values: NDArray[np.float32], onsets: NDArray[np.float64], record_s: float, n_samples: int, name: str
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Put data records where they belong in time; what lies between is NaN."""
    starts = np.rint((onsets - onsets[0]) * (n_samples / record_s)).astype(np.int64)
    gaps = np.diff(starts) - n_samples
    # Times are rounded, a sample more or less is none.
    back = np.flatnonzero(gaps < -1)
    if back.size:
        raise RecordError(
            f"{name}: data record {back[0] + 2} begins at {onsets[back[0] + 1]:g} s, before the one ahead of it ends"
        )
    gaps[gaps <= 1] = 0
    total = values.shape[1] + int(gaps.sum())
    if total > max(_FREE_SAMPLES, _LONGEST_GAPS * values.shape[1]):
        raise RecordError(
            f"{name}: {values.shape[1]} samples are spread over {total}; the gaps are too long for one record: split it"
        )
    if not gaps.any():
        return values, ()
    placed = np.full((values.shape[0], total), np.nan, np.float32)
    starts = np.concatenate([[0], np.cumsum(gaps + n_samples)])
    columns = (starts[:, None] + np.arange(n_samples)).reshape(-1)
    placed[:, columns] = values
    seconds = gaps.sum() * record_s / n_samples
    return placed, (f"The recording was interrupted {np.count_nonzero(gaps)} times; {seconds:g} s of gaps are NaN.",)
