"""Arrays as a corpus: what is wrong with them is said before anything is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.api.targets import Labels
from einthoven.corpora import Corpus, Entry, FeatureTable
from einthoven.errors import DatasetError, nearest
from einthoven.labels import columns_system
from einthoven.leads import TWELVE_LEADS, canonical_lead, is_known_lead
from einthoven.record import Record
from einthoven.spec import SignalSpec

__all__ = [
    "array_corpus",
    "check_facts",
    "check_leads",
    "check_signals",
    "fact_columns",
]

Array = NDArray[np.float32]

_UNITS = {"mV": 1.0, "uV": 1e-3, "V": 1e3}
_USUAL_MV = (0.02, 50.0)  # between these lies the usual peak of any ECG
_SEXES = ("female", "male")


def check_leads(leads: str | Sequence[str] | None, shape: tuple[int, ...]) -> tuple[str, ...]:
    """Canonical names of the rows of signals of a shape (records, leads, samples).

    Raises:
        DatasetError: none given, one that is unknown or comes twice, or another number of them.
    """
    if leads is None:
        raise DatasetError(
            f"which leads are the {shape[1]} rows of a record? give leads=, as leads='I,II,V1' or "
            "einthoven.leads.TWELVE_LEADS"
        )
    given = [name.strip() for name in leads.split(",")] if isinstance(leads, str) else list(leads)
    names = tuple(canonical_lead(str(name)) for name in given)
    for name in names:
        if not is_known_lead(name):
            raise DatasetError(
                f"unknown lead {name!r}{nearest(name, TWELVE_LEADS)}; the twelve are {', '.join(TWELVE_LEADS)}, and "
                "others need their published names, as MLII"
            )
    if twice := [name for k, name in enumerate(names) if name in names[:k]]:
        raise DatasetError(f"lead {twice[0]} is named twice")
    _check_rows(shape, len(names))
    return names


def _check_rows(shape: tuple[int, ...], n_leads: int) -> None:
    if shape[1] != n_leads:
        hint = "; X.transpose(0, 2, 1) puts them in place" if shape[2] == n_leads else ""
        raise DatasetError(f"X has {shape[1]} leads (shape {shape}), but {n_leads} are named{hint}")


def check_signals(X: ArrayLike, unit: str, n_leads: int | None = None) -> Array:
    """Signals in millivolts, float32 (records, leads, samples), NaN where nothing was recorded.

    Args:
        X: numbers in ``unit``, of that shape.
        unit: ``"mV"``, ``"uV"`` or ``"V"``.
        n_leads: how many leads there must be; None where any number will do.

    Raises:
        DatasetError: another shape, something that is no number, records without any, or by their look another unit.
    """
    if unit not in _UNITS:
        raise DatasetError(f"unknown unit {unit!r}{nearest(unit, _UNITS)}; units are {', '.join(_UNITS)}")
    try:
        x = np.asarray(X, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"X must be one array of numbers, shape (records, leads, samples): {error}; cut or pad (with NaN) records "
            "to one length"
        ) from None
    if x.ndim != 3 or 0 in x.shape:
        hint = "; add the axis of leads with X[:, None]" if x.ndim == 2 else ""
        raise DatasetError(f"X must have the shape (records, leads, samples), got {x.shape}{hint}")
    if n_leads is not None:
        _check_rows(x.shape, n_leads)
    _check_values(x)
    x = x if unit == "mV" else x * np.float32(_UNITS[unit])
    typical = float(np.median(np.nanmax(np.abs(x), axis=(1, 2))))
    if not _USUAL_MV[0] <= typical <= _USUAL_MV[1]:
        looks = "microvolts (unit='uV') or raw steps" if typical > _USUAL_MV[1] else "another unit, or flat"
        raise DatasetError(
            f"the typical record peaks at {typical:.3g} mV (X taken as {unit}), an ECG at about 1 mV: this looks like "
            f"{looks}"
        )
    return x


def _check_values(x: Array) -> None:
    if np.isinf(x).any():
        row = int(np.argmax(np.isinf(x).any(axis=(1, 2))))
        raise DatasetError(f"X[{row}] has infinite values; write NaN where nothing was recorded")
    nothing = np.flatnonzero(np.isnan(x).all(axis=(1, 2)))
    if len(nothing):
        raise DatasetError(f"{len(nothing):,} records are NaN throughout, the first is X[{nothing[0]}]; leave them out")


def check_facts(facts: Mapping[str, Any] | None, n_records: int) -> dict[str, list[Any]]:
    """Facts by name, None where unknown: ``age`` in years, ``sex`` as female or male, and any other numbers.

    Raises:
        DatasetError: another number of values, a sex that is neither, or something that is no number.
    """
    found: dict[str, list[Any]] = {}
    for name, values in dict(facts or {}).items():
        column = np.asarray(values, dtype=object).reshape(-1).tolist()
        if len(column) != n_records:
            raise DatasetError(f"facts[{name!r}] has {len(column):,} values for {n_records:,} records")
        column = [None if value is None or value != value else value for value in column]
        if name == "sex":
            if strange := [value for value in column if value not in (None, *_SEXES)]:
                raise DatasetError(f"facts['sex'] is female, male or None, got {strange[0]!r}")
            found[name] = column
            continue
        try:
            found[name] = [None if value is None else float(value) for value in column]
        except (TypeError, ValueError):
            raise DatasetError(f"facts[{name!r}] must be numbers, NaN or None where unknown") from None
    return found


def fact_columns(names: Sequence[str], facts: Mapping[str, list[Any]], n_records: int) -> Array:
    """Facts as a network sees them, float32 (records, names), NaN where unknown.

    Args:
        names: of the columns, as a bundle has them; see ``einthoven.facts``.
        facts: see ``check_facts``.
        n_records: rows.

    Raises:
        DatasetError: a fact that the model does not see.
    """
    known = ["sex" if name in _SEXES else name.removeprefix("features:") for name in names]
    if strange := [name for name in facts if name not in known]:
        sees = ", ".join(dict.fromkeys(known)) or "none"
        raise DatasetError(
            f"the model does not see the fact {strange[0]!r}{nearest(strange[0], known)}; it sees {sees}"
        )
    columns = np.full((n_records, len(names)), np.nan, np.float32)
    for k, (name, fact) in enumerate(zip(names, known, strict=True)):
        values = facts.get(fact, [])
        if name in _SEXES:
            values = [None if value is None else float(value == name) for value in values]
        columns[: len(values), k] = np.array(values, dtype=np.float64)
    return columns


def array_corpus(
    x: Array,
    labels: Labels,
    spec: SignalSpec,
    patients: Sequence[str | None],
    fold: Sequence[int],
    facts: Mapping[str, list[Any]],
) -> Corpus:
    """Present arrays as a corpus that ``prepare`` can write.

    Args:
        x: see ``check_signals``.
        labels: one row a record.
        spec: the form that ``x`` has.
        patients: of each record, None where unknown.
        fold: of each record.
        facts: see ``check_facts``.
    """
    rows = {f"{row:07d}": row for row in range(len(x))}
    nothing = [None] * len(x)
    ages, sexes = facts.get("age", nothing), facts.get("sex", nothing)
    entries = [
        Entry(
            record_id=name,
            path=Path(name),
            patient_id=patients[row],
            age=ages[row],
            sex=sexes[row],
            fold=fold[row],
            statements=_statements(labels, row),
            duration_s=x.shape[2] / spec.fs,
        )
        for name, row in rows.items()
    ]

    def read(wanted: Sequence[Entry]) -> Iterator[Record]:
        for entry in wanted:
            yield Record(x[rows[entry.record_id]], spec.fs, spec.leads, record_id=entry.record_id)

    system = columns_system(labels.names)
    return Corpus(
        name="arrays",
        entries=entries,
        label_system=system.name,
        label_table=system.table,
        attribution=f"arrays of the user's own, SHA-256 {hashlib.sha256(np.ascontiguousarray(x).data).hexdigest()}",
        spec=spec,
        read=read,
        features=_features(facts),
        complete_labels=True,
    )


def _statements(labels: Labels, row: int) -> dict[str, float | None]:
    pairs = zip(labels.names, labels.targets[row].tolist(), strict=True)
    return {name: None if value == 1 else float("nan") for name, value in pairs if value != 0}


def _features(facts: Mapping[str, list[Any]]) -> FeatureTable | None:
    others = {name: values for name, values in facts.items() if name not in ("age", "sex")}
    if not others:
        return None
    return FeatureTable(tuple(others), np.array(list(others.values()), dtype=np.float32).T)
