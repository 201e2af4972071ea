"""PTB-XL: 21,799 twelve-lead ECGs of 10 s with SCP-ECG statements, patients and official folds.

Wagner et al. 2020, "PTB-XL, a large publicly available electrocardiography dataset", Scientific Data 7:154.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from einthoven.corpora._registry import Corpus, Entry, register_corpus
from einthoven.corpora.ptbxl_plus import ATTRIBUTION as PLUS_ATTRIBUTION
from einthoven.corpora.ptbxl_plus import read_features
from einthoven.errors import DatasetError
from einthoven.labels import Statement, scp_statement

__all__ = ["open_ptbxl"]

_ATTRIBUTION = (
    "PTB-XL 1.0.3, Wagner, Strodthoff, Bousseljot, Samek and Schaeffter, PhysioNet, "
    "https://doi.org/10.13026/kfzx-aw45, CC BY 4.0"
)
_FILE_COLUMN = {100.0: "filename_lr", 500.0: "filename_hr"}
_OVER_89 = 300  # PTB-XL's age of everyone over 89, as the HIPAA safe harbour asks


@register_corpus("ptb-xl")
def open_ptbxl(
    root: Path,
    *,
    fs: float | str | None = None,
    wanted_fs: float | None = None,
    features: str | None = None,
    feature_sets: str | None = None,
) -> Corpus:
    """PTB-XL (also the synthetic corpus, which has its layout).

    Args:
        root: the folder with ``ptbxl_database.csv``, ``scp_statements.csv`` and ``records100`` or ``records500``.
        fs: 100 or 500 Hz; by default 100, and 500 where ``wanted_fs`` is higher than 100.
        wanted_fs: the rate that signals will be brought to.
        features: the folder of PTB-XL+, whose measurements are joined to the records.
        feature_sets: which of them: ``12sl``, ``ecgdeli`` and ``unig``, comma-separated; by default all three.

    Raises:
        DatasetError: a table is missing or has a row that cannot be read.
    """
    if feature_sets is not None and features is None:
        raise DatasetError("feature_sets chooses tables of PTB-XL+; say where they are with --set features=FOLDER")
    fs = _published_rate(fs, wanted_fs)
    rows = _read_table(root / "ptbxl_database.csv", ("ecg_id", "patient_id", "scp_codes", _FILE_COLUMN[fs]))
    table = _read_statements(root / "scp_statements.csv")
    attribution = _ATTRIBUTION
    if (licence := root / "ATTRIBUTION.txt").is_file():
        attribution = licence.read_text(encoding="utf-8").strip()
    entries = [_entry(root, row, _FILE_COLUMN[fs], number, table) for number, row in enumerate(rows, start=2)]
    # another corpus in this layout names itself in a column of its own
    name = "+".join(sorted({entry.source for entry in entries})).lower()
    corpus = Corpus(name, entries, "scp", table, attribution)
    return corpus if features is None else _with_features(corpus, Path(features), feature_sets)


def _with_features(corpus: Corpus, folder: Path, sets: str | None) -> Corpus:
    found, notes = read_features(folder, sets, [entry.record_id for entry in corpus.entries])
    attribution = f"{corpus.attribution}; {PLUS_ATTRIBUTION}"
    return replace(corpus, features=found, attribution=attribution, notes=(*corpus.notes, *notes))


def _published_rate(fs: float | str | None, wanted_fs: float | None) -> float:
    if fs is None:
        return min((rate for rate in _FILE_COLUMN if rate >= (wanted_fs or 0)), default=max(_FILE_COLUMN))
    if str(fs).replace(".0", "") not in ("100", "500"):
        raise DatasetError(f"PTB-XL is published at 100 and 500 Hz, not at {fs} Hz; use --fs to resample")
    return float(fs)


def _read_table(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    if not path.is_file():
        raise DatasetError(f"{path.parent}: no {path.name}; this is not a PTB-XL folder")
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        absent = [name for name in needed if name not in (reader.fieldnames or ())]
        if absent:
            raise DatasetError(f"{path}: no column {', '.join(absent)}; it has {', '.join(reader.fieldnames or ())}")
        return list(reader)


def _read_statements(path: Path) -> dict[str, Statement]:
    rows = _read_table(path, ("description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass"))
    table = {}
    for row in rows:
        code = next(iter(row.values()))  # the first column has no name
        table[code] = scp_statement(code, row)
    return table


def _number(text: str | None) -> float | None:
    value = float(text) if text else math.nan
    return None if math.isnan(value) else value


def _entry(root: Path, row: dict[str, str], column: str, number: int, table: Mapping[str, Statement]) -> Entry:
    try:
        statements = {str(k): float(v) for k, v in json.loads(row["scp_codes"].replace("'", '"')).items()}
        patient, age = _number(row["patient_id"]), _number(row.get("age"))
        fold, sex = _number(row.get("strat_fold")), _number(row.get("sex"))
    except (ValueError, AttributeError, TypeError) as error:
        raise DatasetError(f"{root / 'ptbxl_database.csv'}, line {number}: cannot be read: {error}") from None
    unknown = [code for code in statements if code not in table]
    if unknown:
        raise DatasetError(
            f"{root / 'ptbxl_database.csv'}, line {number}: statement {', '.join(unknown)} is not in scp_statements.csv"
        )
    return Entry(
        record_id=row["ecg_id"],
        path=root / row[column],
        patient_id=None if patient is None else str(int(patient)),
        age=90.0 if age == _OVER_89 else age,
        sex={0.0: "male", 1.0: "female"}.get(sex) if sex is not None else None,
        fold=None if fold is None else int(fold),
        source=row.get("source") or "PTB-XL",
        statements=statements,
    )
