"""MIT-BIH Arrhythmia Database: one entry per annotated beat, in the inter-patient protocol of de Chazal et al. 2004.

Moody and Mark 2001, "The impact of the MIT-BIH Arrhythmia Database", IEEE Eng. Med. Biol. Mag. 20(3):45. A beat is a
part of its half-hour record, so one read serves all beats of a record, and its class is left to the task ``aami``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora._registry import Corpus, Entry, FeatureTable, register_corpus
from einthoven.errors import DatasetError, RecordError
from einthoven.formats import read_record
from einthoven.labels import load_system
from einthoven.leads import ANY_LEAD
from einthoven.record import Beats
from einthoven.spec import SignalSpec

__all__ = [
    "ATTRIBUTION",
    "DS1",
    "DS2",
    "PACED",
    "RR_FEATURES",
    "SHARED_PATIENTS",
    "AnnotatedRecord",
    "list_mitdb",
    "open_mitdb",
    "record_features",
    "rr_features",
    "used_symbols",
]

ATTRIBUTION = (
    "MIT-BIH Arrhythmia Database 1.0.0, Moody and Mark, PhysioNet, https://doi.org/10.13026/C2F305, "
    "Open Data Commons Attribution License 1.0"
)
# de Chazal, O'Dwyer and Reilly 2004, "Automatic classification of heartbeats using ECG morphology and heartbeat
# interval features", IEEE Trans. Biomed. Eng. 51:1196, table III.
DS1 = tuple(
    "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230".split()  # noqa: SIM905
)
DS2 = tuple(
    "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234".split()  # noqa: SIM905
)
PACED = ("102", "104", "107", "217")  # ANSI/AAMI EC57 leaves records with paced beats out
# A quarter of DS1's N, S and V (11,509, 204 and 1,035 beats), right bundle branch block and Q in both parts. Nine in
# ten fusion beats of DS1 are record 208's, which must be learnt from: 30 others remain to validate on.
_VALIDATION = ("101", "119", "124", "205", "220", "223")
_VALIDATION_FOLD, _TEST_FOLD = 9, 10
SHARED_PATIENTS = {
    "201": "records 201 and 202 are of one person; the published protocol has 201 in DS1 (training) and 202 in DS2 "
    "(test)"
}
RR_FEATURES = (
    "rr_previous_s",
    "rr_next_s",
    "rr_local_mean_s",
    "rr_record_mean_s",
    "rr_previous_to_next",
    "rr_previous_to_local",
    "rr_previous_to_record",
)
_LOCAL_INTERVALS = 10
_LONGEST_S = 30.0


@dataclass(frozen=True, slots=True)
class AnnotatedRecord:
    """What is known of a record before its beats are cut: its header and its beat annotations."""

    name: str
    path: Path
    leads: tuple[str, ...]
    fs: float
    n_samples: int
    age: float | None
    sex: str | None
    beats: Beats

    def entries(self, before_s: float | None, duration_s: float, lead: str | None = None) -> list[Entry]:
        """List the beats.

        Args:
            before_s: the part of a window that precedes the R peak, None for whole files.
            duration_s: of a window.
            lead: the one lead that is meant; None leaves the choice to the specification.
        """
        shared = {symbol: {symbol: None} for symbol in np.unique(self.beats.symbols).tolist()}
        return [
            Entry(
                record_id=f"{self.name}-{sample:06d}" if lead is None else f"{self.name}-{lead}-{sample:06d}",
                path=self.path,
                patient_id="201" if self.name == "202" else self.name,
                age=self.age,
                sex=self.sex,
                fold=_FOLDS.get(self.name),
                source="MIT-BIH",
                statements=shared[symbol],
                start_s=None if before_s is None else sample / self.fs - before_s,
                duration_s=duration_s,
                lead=lead,
            )
            for sample, symbol in zip(self.beats.samples.tolist(), self.beats.symbols.tolist(), strict=True)
        ]


@register_corpus("mitdb")
def open_mitdb(
    root: Path, *, before_s: float | str = 0.25, after_s: float | str = 0.5, paced: str = "exclude", lead: str = "MLII"
) -> Corpus:
    """MIT-BIH Arrhythmia Database, one entry per beat, with the DS1/DS2 protocol as its folds.

    Folds 1-8 are 16 records of DS1 to train on (two each), fold 9 its other 6 to validate on, fold 10 is DS2, the test
    set: what a recipe takes unless told otherwise. Beats nearer to an end of the record than the window reaches are
    kept; what was not recorded is missing there.

    Args:
        root: the folder with ``100.hea``, ``100.dat``, ``100.atr`` and so on.
        before_s: seconds before the R peak. The default reaches back over the P wave.
        after_s: seconds after it. The default is where de Chazal's T-wave samples end.
        paced: ``exclude`` the records 102, 104, 107 and 217 as ANSI/AAMI EC57 has it, or ``include`` them, in no fold.
        lead: the lead of the specification, or ``each``: every beat once per lead of its record, for a model that takes
            any single lead.

    Raises:
        DatasetError: no record of this database, a file that is missing or cannot be read, or a wrong option.
    """
    before, after = _seconds(before_s, "before_s"), _seconds(after_s, "after_s")
    if before + after <= 0:
        raise DatasetError("before_s and after_s are both 0: a beat's window needs a length")
    records, notes = list_mitdb(root, paced)
    leads = {record.name: record.leads if lead == "each" else (None,) for record in records}
    return Corpus(
        name="mitdb",
        entries=[entry for r in records for each in leads[r.name] for entry in r.entries(before, before + after, each)],
        label_system="mitbih",
        label_table=load_system("mitbih").table_for(used_symbols(records)),
        attribution=ATTRIBUTION,
        spec=SignalSpec(leads=(ANY_LEAD if lead == "each" else lead,), fs=360),
        features=FeatureTable(RR_FEATURES, record_features([r for r in records for _ in leads[r.name]])),
        shared_patients=SHARED_PATIENTS,
        before_r_s=before,
        notes=notes,
    )


def _seconds(value: float | str, option: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_S:
        raise DatasetError(f"{option}={value}: choose seconds from 0 to {_LONGEST_S:g}")
    return seconds


def list_mitdb(root: Path, paced: str) -> tuple[list[AnnotatedRecord], tuple[str, ...]]:
    """Read headers and annotations of the records that a folder has, and prove that their signals can be read.

    Args:
        root: the folder.
        paced: ``"exclude"`` or ``"include"`` the four records with paced beats.

    Returns:
        The records in the order of their numbers, and what is to be said about those left out or absent.

    Raises:
        DatasetError: as in ``open_mitdb``.
    """
    if paced not in ("exclude", "include"):
        raise DatasetError(f"paced={paced}: choose exclude or include")
    published = sorted((*DS1, *DS2, *PACED))
    there = [name for name in published if any((root / f"{name}.{kind}").is_file() for kind in ("hea", "dat", "atr"))]
    wanted = [name for name in there if paced == "include" or name not in PACED]
    if not wanted:
        raise DatasetError(
            f"{root}: no record of the MIT-BIH Arrhythmia Database (100.hea, 100.dat, 100.atr and so on); "
            "name the folder that holds them"
        )
    notes = []
    if left_out := [name for name in there if name not in wanted]:
        notes.append(
            f"records with paced beats left out: {', '.join(left_out)} (keep them with --set paced=include; "
            "102 and 104 have no MLII: add --skip-unreadable)"
        )
    if absent := [name for name in published if name not in there]:
        notes.append(f"{len(absent)} of the 48 published records are not in the folder: {', '.join(absent)}")
    return [_annotated(root, name) for name in wanted], tuple(notes)


def _annotated(root: Path, name: str) -> AnnotatedRecord:
    if absent := [f"{name}.{kind}" for kind in ("hea", "dat", "atr") if not (root / f"{name}.{kind}").is_file()]:
        raise DatasetError(f"{root}: record {name} lacks {', '.join(absent)}; download it again")
    path = root / f"{name}.hea"
    try:
        record = read_record(path, beats=True)
    except RecordError as error:
        raise DatasetError(f"{root}: record {name} cannot be read: {error}") from None
    beats = record.beats
    if beats is None or not len(beats.samples):
        raise DatasetError(f"{root / name}.atr: annotates no beat; download it again")
    if beats.samples[-1] >= record.n_samples:
        raise DatasetError(
            f"{root / name}.atr: annotates sample {beats.samples[-1]}, the record has {record.n_samples}; "
            "download record and annotations again"
        )
    return AnnotatedRecord(name, path, record.leads, record.fs, record.n_samples, record.age, record.sex, beats)


def used_symbols(records: Sequence[AnnotatedRecord]) -> list[str]:
    """Return the beat symbols that occur."""
    return sorted({symbol for record in records for symbol in np.unique(record.beats.symbols).tolist()})


def record_features(records: Sequence[AnnotatedRecord]) -> NDArray[np.float32]:
    """RR features of all beats in order, float32 of shape (beats, features)."""
    return np.concatenate([rr_features(record.beats.samples, record.fs) for record in records])


def rr_features(samples: NDArray[np.int64], fs: float) -> NDArray[np.float32]:
    """RR intervals around each beat of a record, as de Chazal et al. 2004 use them, and their ratios.

    The local mean is of the last ten intervals (fewer at the start), not of de Chazal's ten around the beat, so that it
    can be had while a record runs. ``rr_next_s``, ``rr_record_mean_s`` and the ratios to them look into the future.

    Args:
        samples: of the R peaks of all beats, ascending, shape (beats,).
        fs: rate in Hz.

    Returns:
        Shape (beats, ``RR_FEATURES``), seconds and ratios; NaN where there is no such interval.
    """
    t = samples / fs
    k = np.arange(len(t))
    first = np.maximum(k - _LOCAL_INTERVALS, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        previous, following = np.diff(t, prepend=np.nan), np.diff(t, append=np.nan)
        local = (t - t[first]) / (k - first)
        whole = np.full(len(t), (t[-1] - t[0]) / np.float64(len(t) - 1))
        columns = [previous, following, local, whole, previous / following, previous / local, previous / whole]
    features = np.stack(columns, axis=1).astype(np.float32)
    features[~np.isfinite(features)] = np.nan
    return features


def _fold_of() -> dict[str, int]:
    training = [name for name in DS1 if name not in _VALIDATION]
    folds = {name: 1 + k // 2 for k, name in enumerate(training)}
    return folds | dict.fromkeys(_VALIDATION, _VALIDATION_FOLD) | dict.fromkeys(DS2, _TEST_FOLD)


_FOLDS = _fold_of()
