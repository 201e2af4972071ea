"""A split on disk: ``NAME.csv`` of record and fold, and beside it ``NAME.json`` that says how it was made.

Training needs the CSV only. The companion may excuse what would be refused, so it holds the checksum of its CSV.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from einthoven.errors import DatasetError
from einthoven.files import atomic_write, read_json, sha256_of, write_json

__all__ = ["Roles", "SplitAbout", "read_about", "read_split", "write_about", "write_split"]


@dataclass(frozen=True, slots=True)
class Roles:
    """One way to use a split: which folds train, choose the epoch, and judge."""

    name: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SplitAbout:
    """What the companion of a split says.

    Attributes:
        method: that made it.
        seed: of the method's draws; None where it draws nothing.
        arguments: of the method, as plain values.
        grouping: what is kept together, in words.
        fold_names: what each fold is.
        roles: ways to use it.
        shares: due share of the folds from 1 on, where the method has an aim.
        leaks: why it leaks by design; None where it must not.
        shared_patients: patients that a published division has in two folds, and what is said about them.
        counts: of each fold, in the order of ``fold_names``.
        listing_sha256: of the dataset it was made for.
    """

    method: str
    seed: int | None
    arguments: Mapping[str, Any]
    grouping: str
    fold_names: Mapping[int, str]
    roles: tuple[Roles, ...]
    shares: tuple[float, ...] | None = None
    leaks: str | None = None
    shared_patients: Mapping[str, str] = field(default_factory=dict)
    counts: tuple[Mapping[str, Any], ...] = ()
    listing_sha256: str = ""


def read_split(path: Path, record_ids: Sequence[str]) -> list[int | None]:
    """Return the fold of each record; None for one that the split leaves out.

    Raises:
        DatasetError: the file cannot be read, has other columns, or names records that are not there, or one twice.
    """
    folds: dict[str, int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                name = row["record_id"]
                if name in folds:
                    raise DatasetError(f"{path}, line {line}: record {name} occurs twice")
                folds[name] = int(row["fold"])
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DatasetError(f"{path}: a split needs the columns record_id and fold (a whole number): {error}") from None
    if unknown := folds.keys() - set(record_ids):
        raise DatasetError(f"{path}: names {len(unknown):,} records that are not there, for example {min(unknown)}")
    return [folds.get(name) for name in record_ids]


def write_split(path: Path, record_ids: Sequence[str], fold: Sequence[int | None]) -> None:
    """Write what ``read_split`` reads; records without a fold are left out."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["record_id", "fold"])
        writer.writerows((name, f) for name, f in zip(record_ids, fold, strict=True) if f is not None)


def write_about(path: Path, about: SplitAbout) -> None:
    """Write the companion of the split at ``path`` (the CSV)."""
    write_json(path.with_suffix(".json"), {**asdict(about), "csv_sha256": sha256_of(path)})


def read_about(path: Path) -> SplitAbout | None:
    """Read the companion of the split at ``path`` (the CSV); None where it has none.

    Raises:
        DatasetError: it cannot be read, or the CSV is not the one that it was written for.
    """
    companion = path.with_suffix(".json")
    if not companion.is_file():
        return None
    about = read_json(companion, DatasetError, "a folder of splits")
    try:
        if about.pop("csv_sha256") != sha256_of(path):
            raise DatasetError(
                f"{path}: was altered after {companion.name} was written; make the split again, or delete "
                f"{companion.name} where the change is meant"
            )
        about["roles"] = tuple(Roles(**{k: _tuple(v) for k, v in roles.items()}) for roles in about["roles"])
        about["fold_names"] = {int(fold): name for fold, name in about["fold_names"].items()}
        about |= {key: _tuple(about[key]) for key in ("shares", "counts")}
        return SplitAbout(**about)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DatasetError(f"{companion}: not the companion of a split: {error}; make the split again") from None


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
