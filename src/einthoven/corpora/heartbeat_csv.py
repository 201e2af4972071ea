"""The published tables of heartbeats: 187 samples and a label a row, MIT-BIH in five classes and PTB in two.

Kachuee, Fazeli and Sarrafzadeh 2018, "ECG Heartbeat Classification: A Deep Transferable Representation", IEEE ICHI; the
files of Kaggle's "ECG Heartbeat Categorization Dataset". No row tells whose beat it is: see ``heartbeats`` for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora._registry import Corpus, Entry, FeatureTable, register_corpus
from einthoven.corpora.heartbeats import BEAT_FS, BEAT_SAMPLES
from einthoven.errors import DatasetError, RecordError
from einthoven.labels import load_system
from einthoven.leads import canonical_lead
from einthoven.record import Record
from einthoven.spec import SignalSpec

__all__ = ["open_heartbeat_csv", "read_rows", "read_table"]

_ATTRIBUTION = (
    "ECG Heartbeat Categorization Dataset, Kachuee, Fazeli and Sarrafzadeh 2018, from the MIT-BIH Arrhythmia Database "
    "and the PTB Diagnostic ECG Database (PhysioNet, ODC-By 1.0)"
)


class _Table(NamedTuple):
    source: str
    codes: Mapping[int, str]  # of the labels in the last column
    folds: tuple[int, ...]


_AAMI = dict(enumerate("NSVFQ"))
_TABLES = {
    "mitbih_train.csv": _Table("MIT-BIH", _AAMI, tuple(range(1, 10))),
    "mitbih_test.csv": _Table("MIT-BIH", _AAMI, (10,)),
    "ptbdb_normal.csv": _Table("PTB", {0: "normal"}, tuple(range(1, 11))),
    "ptbdb_abnormal.csv": _Table("PTB", {1: "abnormal"}, tuple(range(1, 11))),
}
_LEAKY = (
    "patients are unknown in these files and stand on both sides of any division of the rows, the published one too: "
    "results are those of known patients, far better than on new ones; the corpus 'heartbeats' cuts the MIT-BIH beats "
    "with their patients"
)


@register_corpus("heartbeat-csv")
def open_heartbeat_csv(root: Path, *, lead: str = "MLII") -> Corpus:
    """Kaggle's heartbeat tables (mitbih_train.csv, mitbih_test.csv, ptbdb_normal.csv, ptbdb_abnormal.csv).

    Rows of ``mitbih_test.csv`` are fold 10; those of ``mitbih_train.csv`` are dealt to folds 1-9, those of the PTB
    files to folds 1-10, class by class in the files' order. Task ``aami`` sees the MIT-BIH rows, task ``ptbdb`` the
    others. The zeros that fill a row up at its end are kept as missing, which networks see as 0; the feature
    ``beat_length_s`` is what comes before them.

    Args:
        root: the folder with any of the four files.
        lead: name to give the one lead; the authors call it lead II in both databases.

    Raises:
        DatasetError: none of the files, or a row that is not as published (file and line are named).
    """
    paths = [root / name for name in _TABLES if (root / name).is_file()]
    if not paths:
        raise DatasetError(f"{root}: none of {', '.join(_TABLES)} is there; name the folder that holds them")
    lead = canonical_lead(lead)
    entries, lengths, empty = [], [], 0
    for path in paths:
        signals, labels = read_table(path)
        entries += _entries(path, labels)
        lengths.append(_lengths(signals))
        empty += int((lengths[-1] == 0).sum())
    notes = (_LEAKY, *([f"{empty:,} rows hold nothing but zeros"] if empty else []))
    used = {code for entry in entries for code in entry.statements}
    system = "aami" if used & set(_AAMI.values()) else "ptbdb"
    tables = [load_system(name).table for name in ("aami", "ptbdb")]
    return Corpus(
        name="heartbeat-csv",
        entries=entries,
        label_system=system,
        label_table={code: meaning for table in tables for code, meaning in table.items() if code in used},
        attribution=_ATTRIBUTION,
        spec=SignalSpec(leads=(lead,), fs=BEAT_FS, unit="normalised"),
        read=partial(read_rows, lead=lead),
        features=FeatureTable(("beat_length_s",), (np.concatenate(lengths)[:, None] / BEAT_FS).astype(np.float32)),
        notes=notes,
    )


def _entries(path: Path, labels: NDArray[np.int64]) -> list[Entry]:
    table = _TABLES[path.name]
    fold = np.zeros(len(labels), np.int64)
    for label in table.codes:
        rows = np.flatnonzero(labels == label)
        fold[rows] = np.array(table.folds)[np.arange(len(rows)) % len(table.folds)]
    statements: dict[int, dict[str, float | None]] = {label: {code: None} for label, code in table.codes.items()}
    return [
        Entry(
            record_id=f"{path.stem}-{line:06d}",
            path=path,
            fold=k,
            source=table.source,
            statements=statements[label],
            duration_s=BEAT_SAMPLES / BEAT_FS,
        )
        for line, (label, k) in enumerate(zip(labels.tolist(), fold.tolist(), strict=True), start=1)
    ]


def read_table(path: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read one of the published files.

    Returns:
        Signals of shape (rows, ``BEAT_SAMPLES``) on the published scale, and labels of shape (rows,).

    Raises:
        DatasetError: with file and line, whatever is not as published.
    """
    import pyarrow as pa
    from pyarrow import csv

    names = [f"f{k}" for k in range(BEAT_SAMPLES + 1)]
    try:
        table = csv.read_csv(
            path,
            read_options=csv.ReadOptions(autogenerate_column_names=True, use_threads=False, block_size=1 << 24),
            parse_options=csv.ParseOptions(ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float32()), null_values=[]),
        )
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read: {error}") from None
    except pa.ArrowInvalid as error:
        raise DatasetError(_first_fault(path) or f"{path}: cannot be read: {error}") from None
    if table.num_columns != len(names):
        raise DatasetError(_first_fault(path) or f"{path}: has {table.num_columns} columns, not {len(names)}")
    values = np.empty((table.num_rows, len(names)), np.float32)
    for k, column in enumerate(table.columns):
        values[:, k] = column.to_numpy()
    _check(path, values)
    return values[:, :-1], values[:, -1].astype(np.int64)


def _first_fault(path: Path) -> str | None:
    """Name the first line that does not hold 188 numbers: slower than reading, for files known to be bad."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line, text in enumerate(file, start=1):
            cells = text.rstrip("\r\n").split(",")
            if len(cells) != BEAT_SAMPLES + 1:
                return (
                    f"{path}, line {line}: has {len(cells)} columns; the published files have {BEAT_SAMPLES} samples "
                    "and a label, without a header"
                )
            for column, cell in enumerate(cells, start=1):
                try:
                    float(cell)
                except ValueError:
                    return f"{path}, line {line}, column {column}: {cell[:40]!r} is not a number"
    return None


def _check(path: Path, values: NDArray[np.float32]) -> None:
    signals, labels, known = values[:, :-1], values[:, -1], list(_TABLES[path.name].codes)
    # written so that NaN fails as well
    outside = ~((signals >= 0) & (signals <= 1)).all(axis=1)
    if outside.any():
        raise DatasetError(
            f"{path}, line {outside.argmax() + 1}: has samples outside 0 to 1, the scale of the published files; "
            "use the corpus 'folder' for signals of another scale"
        )
    strange = ~np.isin(labels, known)
    if strange.any():
        line = int(strange.argmax())
        raise DatasetError(
            f"{path}, line {line + 1}: the label {labels[line]:g} is none of {', '.join(map(str, known))}"
        )


def _lengths(signals: NDArray[np.float32]) -> NDArray[np.int64]:
    """Samples before the zeros that fill a row up, shape (rows,)."""
    held = signals != 0
    return np.where(held.any(axis=1), BEAT_SAMPLES - held[:, ::-1].argmax(axis=1), 0)


def read_rows(entries: Sequence[Entry], lead: str) -> Iterator[Record]:
    """Read the rows of entries, each file once.

    Raises:
        RecordError: a file is no longer what was listed.
    """
    for path, group in groupby(entries, lambda entry: entry.path):
        try:
            signals, _ = read_table(path)
        except DatasetError as error:
            raise RecordError(str(error)) from None
        signals[np.arange(BEAT_SAMPLES) >= _lengths(signals)[:, None]] = np.nan
        for entry in group:
            line = int(entry.record_id.rpartition("-")[2])
            if line > len(signals):
                raise RecordError(f"{path}: line {line} has vanished since the file was listed")
            yield Record(
                signal=signals[None, line - 1],
                fs=BEAT_FS,
                leads=(lead,),
                record_id=entry.record_id,
                source=entry.source,
                unit="normalised",
            )
