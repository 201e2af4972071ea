"""The ways to divide records into folds, each a function under a name.

A method says what its folds are and how they are used; whether patients cross is checked once, for all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError, nearest
from einthoven.splits.files import Roles
from einthoven.splits.leaks import crossing_patients

__all__ = [
    "Division",
    "Members",
    "check_crossing",
    "list_methods",
    "make_division",
    "method_options",
    "own_roles",
    "register_method",
    "usual_roles",
]


@dataclass(frozen=True, slots=True)
class Members:
    """What a method may look at: facts of each record, in order.

    Attributes:
        record_id: of each record.
        patient_id: None where the source does not tell.
        source: hospital or corpus.
        labels: 0, 1 or NaN, shape (records, classes).
        fold: of the split that is restated or divided further: the corpus' own, unless another is named.
        roles: how that split is used.
        shared_patients: patients that the published split has in two folds.
    """

    record_id: Sequence[str]
    patient_id: Sequence[str | None]
    source: Sequence[str]
    labels: NDArray[np.floating]
    fold: Sequence[int | None]
    roles: Roles | None = None
    shared_patients: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Division:
    """What a method made.

    Attributes:
        fold: of each record, None for one that is left out.
        names: what each fold is.
        roles: how the folds are used.
        grouping: what was kept together, in words.
        shares: due share of the folds from 1 on, where the method has an aim.
        leaks: why it leaks by design, if it does.
        shared_patients: as in ``Members``, with those that the method itself knows of.
    """

    fold: list[int | None]
    names: Mapping[int, str]
    roles: tuple[Roles, ...]
    grouping: str
    shares: tuple[float, ...] | None = None
    leaks: str | None = None
    shared_patients: Mapping[str, str] = field(default_factory=dict)


Method = Callable[..., Division]
_METHODS: dict[str, Method] = {}


def register_method(name: str) -> Callable[[Method], Method]:
    """Make a function of ``Members`` and keyword options available under a name."""

    def keep(method: Method) -> Method:
        _METHODS[name] = method
        return method

    return keep


def list_methods() -> dict[str, str]:
    """Names of the methods and what each does."""
    return {name: (method.__doc__ or "").split("\n")[0] for name, method in _METHODS.items()}


def method_options(name: str) -> dict[str, object]:
    """Names of the options that a method takes, and their defaults.

    Raises:
        DatasetError: no such method.
    """
    if name not in _METHODS:
        raise DatasetError(
            f"unknown method {name!r}{nearest(name, _METHODS)}; methods are {', '.join(sorted(_METHODS))}"
        )
    options = list(inspect.signature(_METHODS[name]).parameters.values())[1:]
    return {option.name: option.default for option in options}


def make_division(name: str, members: Members, **options: object) -> Division:
    """Divide records by a method.

    Args:
        name: one of ``list_methods()``.
        members: the records.
        options: of the method, see ``method_options``.

    Raises:
        DatasetError: unknown method or option, patients unknown or crossing, or a method that does not fit the records.
    """
    known = method_options(name)
    if unknown := [option for option in options if option not in known]:
        allowed = ", ".join(f"--{option}" for option in known)
        raise DatasetError(
            f"the method {name} has no option --{unknown[0]}; " + (f"it takes {allowed}" if known else "it takes none")
        )
    division = _METHODS[name](members, **options)
    check_crossing(members, division)
    return division


def check_crossing(members: Members, division: Division) -> None:
    """Refuse a division that puts a patient in two folds, unless it leaks by design or was published so.

    Raises:
        DatasetError: a patient is in two folds.
    """
    if division.leaks:
        return
    crossing = crossing_patients(members.patient_id, division.fold)
    for patient in {**members.shared_patients, **division.shared_patients}:
        crossing.pop(patient, None)
    if crossing:
        patient, folds = next(iter(crossing.items()))
        raise DatasetError(
            f"{len(crossing):,} patients would be in two folds, for example {patient} in folds "
            f"{' and '.join(map(str, folds))}: they would leak; only the method random-beats makes such a split, and "
            "says so"
        )


_VALIDATION, _TEST = 9, 10  # of PTB-XL, and of the corpora here that follow it


def own_roles(folds: Sequence[int]) -> tuple[Roles, ...]:
    """How a corpus' own folds are used: where the published test fold is elsewhere, no other takes its place."""
    if _VALIDATION in folds and _TEST not in folds:
        return (Roles("all", tuple(f for f in folds if f != _VALIDATION), (_VALIDATION,)),)
    return usual_roles(folds)


def usual_roles(folds: Sequence[int]) -> tuple[Roles, ...]:
    """The last fold tests, the one before it validates; of two folds the second validates; one fold has no use."""
    if len(folds) < 2:
        return ()
    if len(folds) == 2:
        return (Roles("all", (folds[0],), (folds[1],)),)
    return (Roles("all", tuple(folds[:-2]), (folds[-2],), (folds[-1],)),)
