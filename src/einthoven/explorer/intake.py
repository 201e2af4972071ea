"""Where ECGs come from: shipped synthetic ones, and what a user uploads; no widget here.

One idea: an upload becomes a record or a sentence, and what a file does not say is stated by its user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from einthoven.corpora.synthetic import example_record
from einthoven.formats.uploads import Limits, Uploads, read_uploads
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record

__all__ = [
    "LIMITS",
    "SAMPLES",
    "Preview",
    "Sample",
    "may_be_stated",
    "preview_of",
    "read_again",
    "said_on_page",
    "sample_record",
    "usual_names",
]

LIMITS = Limits(max_bytes=64 << 20, max_files=20, max_duration_s=3600.0, seconds=20.0)
_PREVIEW_S = 4.0
_N_SIGNALS = (
    re.compile(r"lead names were stated for (\d+) columns"),
    re.compile(r"array of shape \((\d+), (\d+)\)"),
)
_COMMANDS = re.compile(r":? --\w+(?: [\w.]+)? (?:or \w+=(?:[\w.']+|\[\.\.\.\])|and --\w+)")
_ASKED = re.compile(r"\bstated?\b")
_MOST_SIGNALS = 32


@dataclass(frozen=True, slots=True)
class Sample:
    """A synthetic ECG that comes with the package: an SCP statement and the person who has it."""

    title: str
    code: str
    seed: int


# One of each superclass first; no patient's ECG is shipped.
SAMPLES = (
    Sample("Left bundle branch block (conduction disturbance)", "CLBBB", 1),
    Sample("Anteroseptal infarction (myocardial infarction)", "ASMI", 0),
    Sample("Left ventricular hypertrophy (hypertrophy)", "LVH", 0),
    Sample("T-wave changes (ST/T change)", "NDT", 1),
    Sample("Normal ECG", "NORM", 1),
    Sample("Inferior infarction (myocardial infarction)", "IMI", 1),
    Sample("Right bundle branch block (conduction disturbance)", "CRBBB", 0),
    Sample("Wolff-Parkinson-White pattern (conduction disturbance)", "WPW", 1),
    Sample("Atrial fibrillation", "AFIB", 0),
)


def sample_record(sample: Sample) -> Record:
    """Make a sample; it always is the same."""
    return example_record(sample.code, seed=sample.seed)


def read_again(files: Mapping[str, bytes], first: Uploads, name: str, stated: Mapping[str, Any]) -> Uploads:
    """Read one file of an upload as its user states it; the others stay as they were read.

    Args:
        files: of the upload, by name.
        first: how it was read without statements.
        name: of the file that is meant.
        stated: rate, unit, leads, age and sex as far as stated.

    Raises:
        RecordError: something impossible is stated.
    """
    again = read_uploads(files, stated=stated, limits=LIMITS)
    records, failed = dict(first.records), dict(first.failed)
    records.pop(name, None)
    failed.pop(name, None)
    if name in again.records:
        records[name] = again.records[name]
    elif name in again.failed:
        failed[name] = again.failed[name]
    return Uploads(records, failed)


def may_be_stated(why: str) -> bool:
    """Whether a reader's sentence asks for something that its user can state: rate, unit or names of leads.

    >>> may_be_stated("a.csv: the file is empty"), may_be_stated("a.csv: its sampling rate must be stated")
    (False, True)
    """
    return _ASKED.search(why) is not None


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """What the columns of a file look like before anybody has named them.

    Attributes:
        record: its beginning, leads called "column 1" and so on, brought to a common height, so not to scale.
        n_signals: how many there are.
    """

    record: Record
    n_signals: int


def preview_of(files: Mapping[str, bytes], name: str) -> Preview | None:
    """Show the signals of a file whose names, rate or unit nobody knows; None where it holds no signals at all."""
    # A rate that is made up must not contradict the file's own.
    return _preview(files, name, {"unit": "mV"}) or _preview(files, name, {"unit": "mV", "fs": 500.0})


def _preview(files: Mapping[str, bytes], name: str, stated: Mapping[str, Any]) -> Preview | None:
    first = read_uploads(files, stated={**stated, "leads": ("column 1",)}, limits=LIMITS)
    if name in first.records:
        return Preview(_levelled(first.records[name]), 1)
    n = _count(first.failed.get(name, ""))
    if n is None:
        return None
    names = tuple(f"column {k + 1}" for k in range(n))
    found = read_uploads(files, stated={**stated, "leads": names}, limits=LIMITS).records.get(name)
    return None if found is None else Preview(_levelled(found), n)


def _count(why: str) -> int | None:
    """Number of signals by what the reader says about one name that does not fit."""
    for pattern in _N_SIGNALS:
        if found := pattern.search(why):
            n = min(int(group) for group in found.groups())
            return n if 1 <= n <= _MOST_SIGNALS else None
    return None


def _levelled(record: Record) -> Record:
    """The beginning, each signal around zero, all scaled alike to the height of an ECG."""
    signal = record.signal[:, : int(_PREVIEW_S * record.fs)].astype(np.float64)
    signal -= np.nanmedian(signal, axis=1, keepdims=True)
    spans = np.nanpercentile(signal, 99.5, axis=1) - np.nanpercentile(signal, 0.5, axis=1)
    height = float(np.median(spans[spans > 0])) if (spans > 0).any() else 1.0
    return record.with_(signal=(signal * (1.2 / height)).astype(np.float32), notes=(), unit="normalised")


def said_on_page(why: str) -> str:
    """Leave out of a reader's sentence how to state something on the command line and in Python.

    >>> said_on_page("a.csv: state the rate: --fs 500 or fs=500 (10 rows)")
    'a.csv: state the rate (10 rows)'
    """
    return _COMMANDS.sub("", why)


def usual_names(n_signals: int) -> Sequence[str]:
    """What signals are most often called, in order: the twelve leads, as far as they go."""
    if n_signals == 1:
        return ("II",)
    if n_signals == 8:
        return ("I", "II", *TWELVE_LEADS[6:])
    return TWELVE_LEADS[:n_signals]
