"""DICOM waveforms: 12-lead, general and ambulatory ECG objects.

One idea: of the multiplex groups the recorded rhythm is read, not the beat averaged from it.
Definitions: DICOM PS3.3, A.34 Waveform IODs and C.10.10 Waveform Annotation Module.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.arrays import SEX
from einthoven.formats.dicom_file import is_dicom, items, open_dicom, word
from einthoven.formats.dicom_waveform import Group, describe_group, read_group
from einthoven.formats.files import Files, stem
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.stated import agreed_rate, distinct, millivolts, unit_of
from einthoven.record import Record

__all__ = ["read_dicom"]

_AGE = re.compile(r"(\d{1,3})([DWMY])", re.ASCII)
_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_MOST_STATEMENTS, _LONGEST_STATEMENT = 200, 500
# Parts recorded one after the other make one record no longer than this many times the longest.
_LONGEST_SERIES = 16
_LONGEST_KIND = 40


@register_reader(
    "DICOM",
    (".dcm", ".dicom"),
    "DICOM 12-lead, general and ambulatory ECG waveforms",
    lambda files: is_dicom(files.head()),
)
def read_dicom(files: Files, options: ReadOptions) -> Record:
    """Read the ECG of a DICOM waveform object.

    Raises:
        RecordError: damaged, no waveform object, or without units that can be told.
        MissingExtraError: pydicom is absent.
    """
    name = files.name
    dataset = open_dicom(files.read(), name)
    described = [describe_group(item, options, name) for item in items(dataset, "WaveformSequence", name)]
    if not described:
        kind = word(dataset, "Modality", name) or word(dataset, "SOPClassUID", name) or "unknown"
        kind = "".join(c for c in kind if c.isprintable())[:_LONGEST_KIND]  # of a damaged file it may be anything
        raise RecordError(
            f"{name}: this DICOM object (kind {kind}) has no waveform; an ECG stored as a picture has none"
        )
    big_endian = getattr(dataset, "original_encoding", (None, None))[1] is False
    parts = _rhythm([group for group, _ in described], big_endian, options, name)
    groups = [part.group for part in parts]
    signal, leads, notes = _joined(parts, options, name)
    fs, _ = agreed_rate(groups[0].fs, options, name)  # of the others, as of median beats, nobody stated it
    left = [str(group) for group, _ in described if group not in groups]
    if left:
        notes += (f"Left out, beside {', '.join(map(str, groups))}: {', '.join(left[:16])}.",)
    return Record(
        signal=millivolts(signal, name),
        fs=fs,
        leads=distinct(leads, name),
        record_id=stem(name),
        patient_id=word(dataset, "PatientID", name) or None,
        age=_age(dataset, name),
        sex=_sex(dataset, name),
        interpretation=_statements(dataset, name),
        unit=unit_of("", options),
        notes=(*notes, *dict.fromkeys(note for _, more in described for note in more)),
    )


class _Part(NamedTuple):
    """A group with its signal of shape (channels, samples) in millivolts, lead names and notes."""

    group: Group
    signal: NDArray[np.float32]
    leads: tuple[str, ...]
    notes: tuple[str, ...]


def _rhythm(groups: list[Group], big_endian: bool, options: ReadOptions, name: str) -> list[_Part]:
    """The longest recorded group, and those of other leads recorded with it, such as four of three leads."""
    recorded = [group for group in groups if group.is_original] or groups
    order = sorted(recorded, key=lambda group: (-group.n_samples / group.fs, -group.n_channels))
    found: list[_Part] = []
    for group in order:
        if found and group.fs != found[0].group.fs:
            continue
        part = _Part(group, *read_group(group, big_endian, options, name))
        if not found and not part.leads:
            raise RecordError(
                f"{name}: no channel is a voltage; state the unit if one is. {' '.join(part.notes)}".strip()
            )
        if part.leads and not {lead for other in found for lead in other.leads} & set(part.leads):
            found.append(part)
    return sorted(found, key=lambda part: groups.index(part.group))


def _joined(
    parts: list[_Part], options: ReadOptions, name: str
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...]]:
    """Groups of different leads side by side, each at its time, NaN where a lead was not recorded."""
    leads = tuple(lead for part in parts for lead in part.leads)
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))
    if options.leads is not None:
        if len(options.leads) != len(leads):
            raise RecordError(f"{name}: {len(options.leads)} lead names were stated for {len(leads)} channels")
        leads = options.leads
    if len(parts) == 1:
        return parts[0].signal, leads, notes
    fs = parts[0].group.fs
    first = min(part.group.offset_s for part in parts)
    starts = [round((part.group.offset_s - first) * fs) for part in parts]
    total = max(start + part.signal.shape[1] for start, part in zip(starts, parts, strict=True))
    if total > _LONGEST_SERIES * max(part.signal.shape[1] for part in parts):
        raise RecordError(f"{name}: its groups of channels lie {total / fs:g} s apart, too long for one record")
    signal = np.full((len(leads), total), np.nan, np.float32)
    row = 0
    for start, part in zip(starts, parts, strict=True):
        signal[row : row + len(part.leads), start : start + part.signal.shape[1]] = part.signal
        row += len(part.leads)
    return (
        signal,
        leads,
        (*notes, f"{len(parts)} groups of channels were joined; a lead is NaN where it was not recorded."),
    )


def _age(dataset: Any, name: str) -> float | None:
    """Years: as stated, else whole years from birth to the recording."""
    found = _AGE.fullmatch(word(dataset, "PatientAge", name).upper())
    if found:
        return float(found[1]) * _YEARS[found[2]]
    born = _date(word(dataset, "PatientBirthDate", name))
    keywords = ("AcquisitionDateTime", "ContentDate", "StudyDate")
    taken = next((date for key in keywords if (date := _date(word(dataset, key, name)))), None)
    if born is None or taken is None or born > taken:
        return None
    return float(taken.year - born.year - ((taken.month, taken.day) < (born.month, born.day)))


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(text[:8], "%Y%m%d").date()
    except ValueError:  # absent, or no date
        return None


def _sex(dataset: Any, name: str) -> Literal["female", "male"] | None:
    return SEX.get(word(dataset, "PatientSex", name).lower())


def _statements(dataset: Any, name: str) -> tuple[str, ...]:
    """Annotations in words, as the device or a reader wrote them."""
    texts = (word(item, "UnformattedTextValue", name) for item in items(dataset, "WaveformAnnotationSequence", name))
    lines = dict.fromkeys(line.strip()[:_LONGEST_STATEMENT] for text in texts for line in text.splitlines())
    return tuple(line for line in lines if line)[:_MOST_STATEMENTS]
