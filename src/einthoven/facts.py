"""What a network may know about a record beside its signal: age, sex, measurements, columns of the corpus' own table.

A fact has a name, and is a number or NaN where nobody knows it: a fused model works on a bare ECG file too.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import Dataset
from einthoven.errors import MissingExtraError, RecipeError, nearest
from einthoven.record import Record

__all__ = ["facts_of_dataset", "facts_of_record", "resolve_facts"]

Array = NDArray[np.float32]

_SEXES = ("female", "male")  # one fact each, both NaN where the sex is unknown
_TABLES = ("measured", "features")


def resolve_facts(wanted: Sequence[str], dataset: Dataset) -> tuple[str, ...]:
    """Names of the facts that a recipe's ``data.facts`` mean.

    Args:
        wanted: ``age``, ``sex``, ``measured:GLOB`` (what ``einthoven measure`` finds in the signal) or
            ``features:GLOB`` (columns of the corpus' table, as PTB-XL+'s); a table's name alone means all of it.
        dataset: whose tables are meant.

    Raises:
        RecipeError: an unknown fact, or a pattern that matches no column.
        DatasetError: ``measured`` is wanted, but the dataset was not measured.
    """
    names: dict[str, None] = {}
    for fact in wanted:
        names |= dict.fromkeys(_resolve(fact, dataset))
    return tuple(names)


def _resolve(fact: str, dataset: Dataset) -> list[str]:
    kind, _, pattern = fact.partition(":")
    if fact == "age":
        return ["age"]
    if fact == "sex":
        return list(_SEXES)
    if kind not in _TABLES:
        known = ["age", "sex", *_TABLES]
        raise RecipeError(f"unknown fact {fact!r} in data.facts{nearest(kind, known)}; known are {', '.join(known)}")
    columns = list(_columns(dataset, kind))
    if not columns:
        raise RecipeError(f"data.facts has {fact!r}, but {dataset.path} has no table of features")
    found = [f"{kind}:{name}" for name in columns if fnmatchcase(name, pattern or "*")]
    if not found:
        raise RecipeError(f"data.facts: {fact!r} matches no column{nearest(pattern, columns)}; see docs, Features")
    return found


def _columns(dataset: Dataset, kind: str) -> dict[str, Array]:
    """Columns of a table of the dataset, by name; none where the corpus came without one."""
    if kind == "measured":
        from einthoven.features import read_measured

        table = read_measured(dataset)
    elif (found := dataset.features()) is None:
        return {}
    else:
        table = found
    return dict(zip(table.names, table.values.T, strict=True))


def facts_of_dataset(dataset: Dataset, names: Sequence[str]) -> Array:
    """Facts of every record of a dataset, float32 (records, names), NaN where unknown.

    A column that the corpus' table does not have is unknown for all.

    Raises:
        DatasetError: measurements are needed, but the dataset was not measured.
    """
    records = dataset.records
    tables = {kind: _columns(dataset, kind) for kind in _TABLES if any(name.startswith(f"{kind}:") for name in names)}
    facts = np.full((len(records), len(names)), np.nan, np.float32)
    for k, name in enumerate(names):
        kind, _, column = name.partition(":")
        if name == "age":
            facts[:, k] = [np.nan if age is None else age for age in records.age]
        elif name in _SEXES:
            facts[:, k] = [np.nan if sex is None else float(sex == name) for sex in records.sex]
        elif column in tables[kind]:
            facts[:, k] = tables[kind][column]
    facts[~np.isfinite(facts)] = np.nan
    return facts


def facts_of_record(record: Record, names: Sequence[str]) -> tuple[Array, list[str]]:
    """Facts of one record, float32 (names,), NaN where unknown, and why some are.

    Args:
        record: conformed to the model's specification, as the records of its training were when they were measured.
        names: see ``resolve_facts``.
    """
    facts: dict[str, float] = {}
    if record.age is not None:
        facts["age"] = record.age
    if record.sex is not None:
        facts |= {sex: float(record.sex == sex) for sex in _SEXES}
    why = []
    if any(name.startswith("measured:") for name in names):
        from einthoven.features import measure

        try:
            measured = measure(record.signal, record.fs, record.leads)
        except MissingExtraError as error:
            measured, why = {}, [str(error)]
        facts |= {f"measured:{name}": value for name, value in measured.items()}
    values = np.array([facts.get(name, np.nan) for name in names], np.float32)
    values[~np.isfinite(values)] = np.nan
    return values, why
