"""SPH: 25,770 twelve-lead ECGs of 10 to 60 s from Shandong Provincial Hospital, with AHA statements and patients.

Liu et al. 2022, "A large-scale multi-label 12-lead electrocardiogram database with standardized diagnostic
statements", Scientific Data 9:272. One idea: the table lists the records; a file that it does not list is only named.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from einthoven.corpora._registry import Corpus, Entry, register_corpus
from einthoven.corpora.codes import describe_codes
from einthoven.corpora.listing import Listing, read_listing
from einthoven.errors import DatasetError

__all__ = ["open_sph"]

_ATTRIBUTION = (
    "SPH, Liu, Chen, Chen, Zhang, Li, Bian, Shu and Wang 2022, Scientific Data 9:272, "
    "https://doi.org/10.6084/m9.figshare.c.5779802.v1"
)
_COLUMNS = {"path": "ECG_ID", "id": "ECG_ID", "patient": "Patient_ID", "age": "Age", "sex": "Sex"}
_CODES, _LENGTH = "AHA_Code", "N"
_STATEMENT = re.compile(r"\d{1,3}(?:\+\d{1,3})*", re.ASCII)  # a statement and its modifiers, as 60+310
_FS = 500.0
_MOST_NAMED = 5


@register_corpus("sph")
def open_sph(root: Path, *, missing: str = "refuse") -> Corpus:
    """SPH: 25,770 ECGs of 24,666 patients of Shandong Provincial Hospital, AHA statements.

    Args:
        root: the folder with ``metadata.csv``; the ``.h5`` files lie in ``records`` or anywhere else below it.
        missing: ``refuse``, or ``skip`` rows whose file does not exist.

    Raises:
        DatasetError: with file, line and column, whatever in the table cannot be right; rows without a file.
    """
    if missing not in ("refuse", "skip"):
        raise DatasetError(f"missing={missing}: choose refuse or skip")
    path = root / "metadata.csv"
    if not path.is_file():
        raise DatasetError(f"{root}: no metadata.csv; name the folder of SPH that holds it")
    listing = read_listing(path, _COLUMNS)
    if absent := [name for name in (_CODES, _LENGTH) if name not in listing.columns]:
        raise DatasetError(f"{path}: no column {', '.join(absent)}; it has {', '.join(listing.columns)}")
    files = _files(root)
    names = _names(listing)
    notes = [*_without_file(root, names, files, missing), *_without_row(names, files)]
    entries = [_entry(listing, row, name, files[name]) for row, name in enumerate(names) if name in files]
    counts = Counter(code for entry in entries for code in entry.statements)
    table, unlisted = describe_codes("aha", counts, "AHA statement")
    return Corpus("sph", entries, "aha", table, _ATTRIBUTION, notes=(*notes, *unlisted))


def _files(root: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for folder, inner, names in os.walk(root):
        inner.sort()
        for name in sorted(names):
            if not name.endswith(".h5") or name.startswith("."):
                continue
            path = Path(folder, name)
            if path.stem in files:
                raise DatasetError(
                    f"{root}: {path.stem} lies in {files[path.stem].parent} and in {path.parent}; remove one"
                )
            files[path.stem] = path
    return files


def _names(listing: Listing) -> list[str]:
    names = [(listing.text(row, "path") or "").removesuffix(".h5") for row in range(len(listing.rows))]
    for row, name in enumerate(names):
        if not name:
            raise DatasetError(f"{listing.where(row, _COLUMNS['path'])}: names no record")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DatasetError(f"{listing.path}: {len(twice):,} ECG_ID occur more than once, for example {twice[0]}")
    return names


def _without_file(root: Path, names: Sequence[str], files: dict[str, Path], missing: str) -> list[str]:
    absent = [name for name in names if name not in files]
    if not absent:
        return []
    text = f"{len(absent):,} of {len(names):,} rows have no .h5 file: {_some(absent)}"
    packed = root / "records.tar.gz"
    if not files and packed.is_file():
        raise DatasetError(f"{root}: {text}; unpack them with  tar -xf {packed}")
    if missing == "refuse" or not files:
        raise DatasetError(f"{root}: {text}; download them again, or leave them out with --set missing=skip")
    return [f"{text}; they were left out"]


def _without_row(names: Sequence[str], files: dict[str, Path]) -> list[str]:
    extra = sorted(files.keys() - set(names))
    if not extra:
        return []
    return [f"{len(extra):,} .h5 files have no row in metadata.csv and were left out: {_some(extra)}"]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", ..." if len(names) > _MOST_NAMED else "")


def _entry(listing: Listing, row: int, name: str, path: Path) -> Entry:
    age = listing.number(row, "age")
    fs = listing.number(row, "fs") or _FS
    length = listing.rows[row][_LENGTH]
    if not length.isdecimal() or not int(length):
        raise DatasetError(f"{listing.where(row, _LENGTH)}: {length!r} is no number of samples")
    return Entry(
        record_id=name,
        path=path,
        patient_id=listing.text(row, "patient"),
        age=age if age is None or age >= 0 else None,
        sex=listing.sex(row),
        source="SPH",
        statements=dict.fromkeys(_statements(listing, row)),
        duration_s=int(length) / fs,
        stated_fs=fs,
    )


def _statements(listing: Listing, row: int) -> list[str]:
    codes = [code.strip() for code in listing.rows[row][_CODES].split(";") if code.strip()]
    if odd := [code for code in codes if not _STATEMENT.fullmatch(code)]:
        raise DatasetError(
            f"{listing.where(row, _CODES)}: {odd[0]!r} is no AHA statement; they are numbers as 22;60+310"
        )
    return codes
