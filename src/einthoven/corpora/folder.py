"""A folder of one's own: any mix of readable files, and a table that says what they are.

Everything that can be known without reading a signal is checked, and reported, before anything is written.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from einthoven.corpora._registry import Corpus, Entry, read_entries, register_corpus
from einthoven.corpora.listing import Listing, read_listing
from einthoven.errors import DatasetError, RecordError, nearest
from einthoven.labels import Statement, columns_system, load_system, system_names
from einthoven.record import Record

__all__ = ["open_folder", "read_listed"]

Statements = dict[str, float | None]
_OLDEST = 130  # years
_USUAL_TABLES = ("labels.csv", "records.csv", "index.csv", "metadata.csv")


@register_corpus("folder")
def open_folder(
    root: Path,
    *,
    table: str | None = None,
    path: str | None = None,
    labels: str | None = None,
    codes: str | None = None,
    system: str | None = None,
    id: str | None = None,
    patient: str | None = None,
    age: str | None = None,
    sex: str | None = None,
    fold: str | None = None,
    source: str | None = None,
    fs: str | None = None,
    unit: str | None = None,
    leads: str | None = None,
    missing: str = "refuse",
) -> Corpus:
    """Your own ECG files with a table of paths and labels.

    Args:
        root: the folder; paths in the table are relative to the table or to it.
        table: CSV with one row per record; by default the only CSV of the folder that has a column of paths.
        path: its column of file paths, where it has an unusual name.
        labels: label columns, comma-separated; by default every other column of 0, 1 and empty (unknown) cells.
        codes: column of codes instead, as ``164889003;59118001`` or ``{"NORM": 100}``.
        system: label system of the codes or label columns; by default the user's own, or ``snomed`` where all label
            columns are SNOMED CT codes.
        id: column of record names, where it has an unusual name; by default the path without its suffix.
        patient: column of patients, likewise.
        age: column of ages in years, likewise; where there is none, what the files themselves tell.
        sex: column of female and male, likewise.
        fold: column of folds, whole numbers, likewise.
        source: column of hospitals or corpora, likewise.
        fs: column of sampling rates, or one rate in Hz for all; files that state another are refused.
        unit: of files that state none.
        leads: names of the signals in the files' order, for files that state none.
        missing: ``refuse``, or ``skip`` rows whose file does not exist.

    Raises:
        DatasetError: with file, line and column, whatever in the table cannot be right.
    """
    chosen = {"path": path, "id": id, "patient": patient, "age": age, "sex": sex, "fold": fold, "source": source}
    rate = _rate(fs)
    if rate is None:
        chosen["fs"] = fs
    if missing not in ("refuse", "skip"):
        raise DatasetError(f"missing={missing}: choose refuse or skip")
    if system is not None and system not in system_names():
        raise DatasetError(f"unknown label system {system!r}{nearest(system, system_names())}; "
                           f"there are {', '.join(system_names())}")  # fmt: skip
    listing = _find_listing(root, table, chosen)
    label_columns, notes = ([], []) if codes else _label_columns(listing, labels)
    statements = _read_codes(listing, codes) if codes else _read_flags(listing, label_columns)
    name, meaning = _label_table(system, label_columns, statements, listing.path)
    kept, more = _existing(listing, root, missing)
    notes = [*notes, *more, *_absent_labels(label_columns, [statements[row] for row, _ in kept])]
    entries = [_entry(listing, row, file, statements[row], rate, unit, leads) for row, file in kept]
    _check_ids(listing, entries)
    return Corpus(
        name=root.resolve().name,
        entries=entries,
        label_system=name,
        label_table=meaning,
        read=read_listed,
        attribution=f"{root.resolve().name}: the user's own records, listed in {listing.path.name}",
        complete_labels=not codes,
        told_by_files=tuple(fact for fact in ("age", "sex") if fact not in listing.fact_columns),
        notes=tuple(notes),
    )


def read_listed(entries: Sequence[Entry]) -> Iterator[Record]:
    """Read the file of each entry.

    Raises:
        RecordError: a file cannot be read; what it does not tell can be stated in the table or with ``--set``.
    """
    try:
        yield from read_entries(entries)
    except RecordError as error:
        if not any(option in str(error) for option in ("--fs", "--unit", "--leads")):
            raise
        hint = "of a folder's files: --set fs=500, --set unit=mV, --set leads=I,II,V1, or a column fs in the table"
        raise RecordError(f"{error}; {hint}") from None


def _rate(fs: str | None) -> float | None:
    try:
        value = float(fs) if fs is not None else None
    except ValueError:
        return None  # the name of a column
    if value is not None and not 0 < value <= 100_000:
        raise DatasetError(f"fs={fs}: a sampling rate lies between 0 and 100,000 Hz")
    return value


def _find_listing(root: Path, table: str | None, chosen: Mapping[str, str | None]) -> Listing:
    if table is not None:
        given = Path(table)
        return read_listing(given if given.is_file() else root / given, chosen)
    found = [root / name for name in _USUAL_TABLES if (root / name).is_file()] or sorted(root.glob("*.csv"))
    if len(found) == 1:
        return read_listing(found[0], chosen)
    what = f"has {len(found)} tables ({', '.join(file.name for file in found[:4])})" if found else "has no CSV table"
    raise DatasetError(
        f"{root}: {what}; write one row per record with a column 'path' and a column of 0 and 1 per label, "
        "and name it with --set table=FILE"
    )


def _label_columns(listing: Listing, labels: str | None) -> tuple[list[str], list[str]]:
    others = [name for name in listing.columns if name not in listing.fact_columns.values()]
    if labels is not None:
        wanted = [name.strip() for name in labels.split(",") if name.strip()]
        for name in wanted:
            if name not in listing.columns:
                raise DatasetError(
                    f"{listing.path}: no column {name!r}{nearest(name, others)}; it has {', '.join(others)}"
                )
        return wanted, []
    found = [name for name in others if listing.looks_like_flags(name)]
    notes = []
    if unused := [name for name in others if name not in found]:
        notes.append(f"columns that are neither facts nor 0/1 labels were not used: {', '.join(unused)}")
    if not found:
        notes.append("no label columns were found: the dataset has no labels")
    return found, notes


def _read_flags(listing: Listing, columns: Sequence[str]) -> list[Statements]:
    statements: list[Statements] = []
    for row in range(len(listing.rows)):
        flags = {name: listing.flag(row, name) for name in columns}
        statements.append(
            {name: math.nan if flag is None else None for name, flag in flags.items() if flag is not False}
        )
    return statements


def _read_codes(listing: Listing, column: str) -> list[Statements]:
    if column not in listing.columns:
        known = ", ".join(listing.columns)
        raise DatasetError(f"{listing.path}: no column {column!r}{nearest(column, listing.columns)}; it has {known}")
    return [_codes(cells[column], listing.where(row, column)) for row, cells in enumerate(listing.rows)]


def _codes(cell: str, where: str) -> Statements:
    if cell.startswith("{"):
        try:
            return {str(code): float(value) for code, value in json.loads(cell.replace("'", '"')).items()}
        except (ValueError, TypeError):
            raise DatasetError(
                f'{where}: {cell!r} is not a mapping of codes to likelihoods, as {{"NORM": 100}}'
            ) from None
    for separator in ("|", ";"):
        cell = cell.replace(separator, ",")
    return {code.strip(): None for code in cell.split(",") if code.strip()}


def _label_table(
    system: str | None, columns: Sequence[str], statements: Sequence[Statements], path: Path
) -> tuple[str, Mapping[str, Statement]]:
    used = dict.fromkeys([*columns, *(code for found in statements for code in found)])
    if system is None and columns and all(name in load_system("snomed").table for name in columns):
        system = "snomed"
    if system is None:
        own = columns_system(list(used))
        return own.name, own.table
    try:
        return system, load_system(system).table_for(used)
    except DatasetError as error:
        raise DatasetError(f"{path}: {error}") from None


def _existing(listing: Listing, root: Path, missing: str) -> tuple[list[tuple[int, Path]], list[str]]:
    """Return the rows whose file exists, and what is to be said of the others."""
    kept, absent = [], []
    folders = list(dict.fromkeys((listing.path.parent, root)))
    for row in range(len(listing.rows)):
        name = listing.text(row, "path")
        file = _find(name.replace("\\", "/"), folders) if name else None
        if file is None:
            absent.append(name or f"(empty, line {listing.lines[row]})")
        else:
            kept.append((row, file))
    if not absent:
        return kept, []
    where = " or ".join(map(str, folders))
    text = f"{len(absent):,} of {len(listing.rows):,} files are not in {where}, for example {', '.join(absent[:3])}"
    if missing == "refuse" or not kept:
        raise DatasetError(f"{listing.path}: {text}; correct the table, or leave them out with --set missing=skip")
    return kept, [f"{text}; they were left out"]


def _find(name: str, folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        file = folder / name
        # WFDB records are named without their suffix.
        if file.is_file() or file.with_name(f"{file.name}.hea").is_file():
            return file
    return None


def _absent_labels(columns: Sequence[str], statements: Sequence[Statements]) -> list[str]:
    counts = Counter(code for found in statements for code, p in found.items() if p is None or p == p)
    never = [name for name in columns if not counts[name]]
    return [f"labels that never occur: {', '.join(never)}"] if never else []


def _entry(
    listing: Listing,
    row: int,
    file: Path,
    statements: Statements,
    rate: float | None,
    unit: str | None,
    leads: str | None,
) -> Entry:
    fold, age = listing.number(row, "fold"), listing.number(row, "age")
    if fold is not None and (fold < 0 or not fold.is_integer()):
        where = listing.where(row, listing.fact_columns["fold"])
        raise DatasetError(f"{where}: a fold is a whole number from 0, not {fold:g}")
    if age is not None and not 0 <= age <= _OLDEST:
        where = listing.where(row, listing.fact_columns["age"])
        raise DatasetError(f"{where}: an age lies between 0 and {_OLDEST} years, or is empty; got {age:g}")
    return Entry(
        record_id=listing.text(row, "id") or _name(listing.rows[row][listing.fact_columns["path"]]),
        path=file,
        patient_id=listing.text(row, "patient"),
        age=age,
        sex=listing.sex(row),
        fold=None if fold is None else int(fold),
        source=listing.text(row, "source") or "",
        statements=statements,
        stated_fs=rate if rate is not None else listing.number(row, "fs"),
        stated_unit=unit,
        stated_leads=tuple(leads.split(",")) if leads else None,
    )


def _name(path: str) -> str:
    return PurePath(os.path.normpath(path)).with_suffix("").as_posix().lstrip("/")


def _check_ids(listing: Listing, entries: Sequence[Entry]) -> None:
    first: dict[str, Path] = {}
    for entry in entries:
        if first.setdefault(entry.record_id, entry.path) is not entry.path:
            raise DatasetError(
                f"{listing.path}: two rows are called {entry.record_id!r}: {first[entry.record_id]} and {entry.path}; "
                "give records names of their own in a column, and name it with --set id=COLUMN"
            )
