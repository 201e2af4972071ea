"""Heartbeats of 187 samples as Kachuee, Fazeli and Sarrafzadeh 2018 cut them, from MIT-BIH records with their patients.

"ECG Heartbeat Classification: A Deep Transferable Representation", IEEE ICHI 2018, section III.A. One idea: the form of
the published table (``heartbeat-csv``), but with annotated R peaks and an honest split, which the table has lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora._registry import Corpus, Entry, FeatureTable, register_corpus
from einthoven.corpora.mitdb import (
    ATTRIBUTION,
    RR_FEATURES,
    SHARED_PATIENTS,
    AnnotatedRecord,
    list_mitdb,
    record_features,
    used_symbols,
)
from einthoven.errors import DatasetError, RecordError
from einthoven.formats import read_record
from einthoven.labels import load_system
from einthoven.leads import canonical_lead
from einthoven.record import Record
from einthoven.signals.resample import resample, resampled_length
from einthoven.spec import SignalSpec

__all__ = ["BEAT_FS", "BEAT_SAMPLES", "cut_heartbeats", "heartbeat_lengths", "open_heartbeats", "read_heartbeats"]

BEAT_FS = 125.0
BEAT_SAMPLES = 187
_WINDOW_S = 10
_PERIODS = 1.2  # length of a beat in nominal periods
_Ints = NDArray[np.int64]


@register_corpus("heartbeats")
def open_heartbeats(root: Path, *, lead: str = "MLII", paced: str = "exclude") -> Corpus:
    """MIT-BIH heartbeats of 187 samples at 125 Hz, scaled to 0-1, rebuilt from the records; folds as in ``mitdb``.

    As published: the record is brought to 125 Hz and taken in windows of 10 s; each is scaled to 0-1; a beat begins at
    its R peak and lasts 1.2 times the window's median RR interval, at most 187 samples, what is left of them being
    padding. Three things are ours, where the paper is silent or loses beats. R peaks are the annotated ones, so that
    every beat has its own label, instead of maxima above 0.9 of the window's range, which misses low beats. A beat goes
    on beyond its window's end, in its window's scale, held within 0-1. A window with one beat takes the record's median
    interval. Padding is kept as missing, which networks see as 0.

    Args:
        root: the folder of the MIT-BIH Arrhythmia Database.
        lead: the lead to cut.
        paced: ``exclude`` or ``include`` records 102, 104, 107 and 217, see ``mitdb``.

    Raises:
        DatasetError: as in ``mitdb``, or a record without the lead.
    """
    lead = canonical_lead(lead)
    records, notes = list_mitdb(root, paced)
    for record in records:
        if lead not in record.leads:
            raise DatasetError(
                f"{record.path}: record {record.name} has no lead {lead}; it has {', '.join(record.leads)}; choose "
                "another with --set lead=NAME, or take its files away"
            )
    lengths = np.concatenate([_lengths_of(record) for record in records]) / BEAT_FS
    return Corpus(
        name="heartbeats",
        entries=[entry for record in records for entry in record.entries(None, BEAT_SAMPLES / BEAT_FS)],
        label_system="mitbih",
        label_table=load_system("mitbih").table_for(used_symbols(records)),
        attribution=f"{ATTRIBUTION}; beats cut after Kachuee, Fazeli and Sarrafzadeh 2018",
        spec=SignalSpec(leads=(lead,), fs=BEAT_FS, unit="normalised"),
        read=partial(read_heartbeats, lead=lead),
        features=FeatureTable(
            ("beat_length_s", *RR_FEATURES),
            np.column_stack([lengths.astype(np.float32), record_features(records)]),
        ),
        shared_patients=SHARED_PATIENTS,
        notes=notes,
    )


def read_heartbeats(entries: Sequence[Entry], lead: str) -> Iterator[Record]:
    """Cut the beats of entries, reading each record once.

    Raises:
        RecordError: a record cannot be read.
    """
    for path, group in groupby(entries, lambda entry: entry.path):
        whole = read_record(path, beats=True)
        if whole.beats is None:
            raise RecordError(f"{path}: its annotations have vanished since they were listed")
        signal = whole.signal[[whole.leads.index(lead)]]
        beats = cut_heartbeats(resample(signal, whole.fs, BEAT_FS)[0], whole.beats.samples, whole.fs)
        row = {sample: k for k, sample in enumerate(whole.beats.samples.tolist())}
        plain = replace(whole, signal=signal[:, :0], fs=BEAT_FS, leads=(lead,), unit="normalised", beats=None)
        for entry in group:
            sample = int(entry.record_id.rpartition("-")[2])
            yield plain.with_(signal=beats[row[sample]][None], record_id=entry.record_id)


def cut_heartbeats(signal: NDArray[np.float32], samples: _Ints, fs: float) -> NDArray[np.float32]:
    """Cut and scale the beats of one record.

    Args:
        signal: one lead at ``BEAT_FS``, shape (time,), finite.
        samples: of the R peaks, ascending, at ``fs``, shape (beats,).
        fs: rate of ``samples`` in Hz.

    Returns:
        float32 in 0-1, shape (beats, ``BEAT_SAMPLES``), NaN where there is padding.
    """
    starts = np.rint(samples * (BEAT_FS / fs)).astype(np.int64)
    lengths = heartbeat_lengths(samples, fs, len(signal))
    width = round(_WINDOW_S * BEAT_FS)
    edges = np.arange(0, len(signal), width)
    low, high = np.minimum.reduceat(signal, edges), np.maximum.reduceat(signal, edges)
    window = np.minimum(starts // width, len(edges) - 1)
    within = np.arange(BEAT_SAMPLES)
    beats = signal[np.minimum(starts[:, None] + within, len(signal) - 1)]
    span = np.where(high > low, high - low, 1)  # a flat window is 0 throughout
    beats = np.clip((beats - low[window, None]) / span[window, None], 0, 1)
    beats[within >= lengths[:, None]] = np.nan
    return np.asarray(beats, dtype=np.float32)


def heartbeat_lengths(samples: _Ints, fs: float, n_samples: int) -> _Ints:
    """Samples of each beat at ``BEAT_FS``, padding left out, shape (beats,).

    Args:
        samples: of the R peaks, ascending, at ``fs``.
        fs: rate of ``samples`` in Hz.
        n_samples: of the record at ``BEAT_FS``.
    """
    t = samples / fs
    window = (t // _WINDOW_S).astype(np.int64)
    period = np.full(len(t), np.median(np.diff(t)) if len(t) > 1 else np.inf)
    for members in np.split(np.arange(len(t)), np.flatnonzero(np.diff(window)) + 1):
        if len(members) > 1:
            period[members] = np.median(np.diff(t[members]))
    longest = np.minimum(BEAT_SAMPLES, n_samples - np.rint(samples * (BEAT_FS / fs)))
    return np.asarray(np.minimum(np.rint(_PERIODS * BEAT_FS * period), longest), dtype=np.int64)


def _lengths_of(record: AnnotatedRecord) -> _Ints:
    n_samples = resampled_length(record.n_samples, record.fs, BEAT_FS)
    return heartbeat_lengths(record.beats.samples, record.fs, n_samples)
