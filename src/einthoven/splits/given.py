"""Divisions that are given: by the corpus, by its sources, or by a publication; at most a validation part is drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from einthoven.corpora.mitdb import DS1, DS2, PACED, SHARED_PATIENTS
from einthoven.errors import DatasetError, nearest
from einthoven.splits.files import Roles
from einthoven.splits.methods import Division, Members, own_roles, register_method
from einthoven.splits.stratify import stratified_folds

__all__: list[str] = []

_SAME_PERSON = ("201", "202")
_NUMBER = re.compile(r"(?<!\d)(1\d\d|2\d\d)(?!\d)")
_VALIDATION_SHARE = 0.2  # of the records of DS1


@register_method("leave-one-source-out")
def _leave_one_source_out(members: Members, *, validation: str = "next") -> Division:
    """One fold per source; each source is the test once.

    ``validation`` is the source that chooses the epoch: ``"next"`` after the test, ``"each"`` of the others in turn,
    or a name.
    """
    names = sorted(set(members.source))
    if len(names) < 2:
        raise DatasetError(f"all records are of one source ({names[0]}); leaving one out leaves none")
    if validation not in ("next", "each", *names):
        raise DatasetError(
            f"unknown validation source {validation!r}{nearest(validation, [*names, 'next', 'each'])}; say next, each, "
            f"or one of {', '.join(names)}"
        )
    numbers = range(1, len(names) + 1)
    roles = []
    for test in numbers if len(names) > 2 else ():
        for held in _validators(names, test, validation):
            name = f"test-{names[test - 1]}" + (f"-validation-{names[held - 1]}" if validation == "each" else "")
            rest = tuple(k for k in numbers if k not in (test, held))
            roles.append(Roles(name, rest, (held,), (test,)))
    index = {name: k for k, name in zip(numbers, names, strict=True)}
    fold: list[int | None] = [index[source] for source in members.source]
    return Division(fold, dict(zip(numbers, names, strict=True)), tuple(roles), "sources")


def _validators(names: Sequence[str], test: int, validation: str) -> list[int]:
    if validation == "next":
        return [test % len(names) + 1]
    held = range(1, len(names) + 1) if validation == "each" else [names.index(validation) + 1]
    return [k for k in held if k != test]


@register_method("official")
def _official(members: Members) -> Division:
    """The corpus' own folds, restated as a split."""
    folds = sorted({f for f in members.fold if f is not None})
    if not folds:
        raise DatasetError("this corpus has no folds of its own; choose another method")
    return Division(list(members.fold), {f: f"fold {f}" for f in folds}, own_roles(folds), "as published")


@register_method("inter-patient")
def _inter_patient(members: Members, *, seed: int = 0) -> Division:
    """MIT-BIH's DS1 (cut into training and validation by whole records) and DS2 as the test.

    De Chazal et al. 2004, see ``einthoven.corpora.mitdb``; the four records with paced beats are left out.
    """
    number = [_record_number(name) for name in members.record_id]
    first = np.array([row for row, k in enumerate(number) if k in DS1], np.int64)
    if len({number[row] for row in first}) < 2 or not any(k in DS2 for k in number):
        raise DatasetError("the inter-patient division needs at least two records of DS1 and one of DS2")
    inner = stratified_folds(
        members.labels[first],
        [number[row] for row in first],
        (1 - _VALIDATION_SHARE, _VALIDATION_SHARE),
        seed,
    )
    fold: list[int | None] = [3 if k in DS2 else None for k in number]
    for row, f in zip(first.tolist(), inner.tolist(), strict=True):
        fold[row] = f
    people = [
        {p for p, k in zip(members.patient_id, number, strict=True) if k == same and p is not None}
        for same in _SAME_PERSON
    ]
    shared = dict.fromkeys(sorted(people[0] & people[1]), SHARED_PATIENTS["201"])
    names = {1: "DS1, training", 2: "DS1, validation", 3: "DS2"}
    roles = (Roles("ds1-ds2", (1,), (2,), (3,)),)
    return Division(fold, names, roles, "records of DS1 and DS2", shared_patients=shared)


def _record_number(name: str) -> str:
    found = next((number for number in _NUMBER.findall(name) if number in (*DS1, *DS2, *PACED)), None)
    if found is None:
        raise DatasetError(
            f"record {name!r} has no MIT-BIH record number (100 to 234) in its name; the inter-patient division is of "
            "the MIT-BIH arrhythmia records only"
        )
    return str(found)
