"""Divisions that are drawn: k folds, parts by shares, nested training parts; one engine stratifies them all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError
from einthoven.splits.files import Roles
from einthoven.splits.methods import Division, Members, register_method, usual_roles
from einthoven.splits.stratify import source_columns, stratified_folds

__all__: list[str] = []

_THREE = (0.8, 0.1, 0.1)


@register_method("kfold")
def _kfold(members: Members, *, folds: int = 5, seed: int = 0, ungrouped: bool = False) -> Division:
    """Equal folds (k of them) with every label in proportion and patients whole."""
    return _rotated(members, members.labels, folds, seed, ungrouped)


@register_method("source-kfold")
def _source_kfold(members: Members, *, folds: int = 5, seed: int = 0, ungrouped: bool = False) -> Division:
    """Equal folds (k of them) with every label, and labels that go together, in proportion within each source."""
    return _rotated(members, source_columns(members.labels, members.source), folds, seed, ungrouped)


@register_method("shuffle")
def _shuffle(
    members: Members, *, shares: tuple[float, ...] = _THREE, seed: int = 0, ungrouped: bool = False
) -> Division:
    """Training, validation and test part by shares, with every label in proportion and patients whole."""
    groups, grouping = _groups(members, ungrouped)
    return _by_shares(members, shares, groups, grouping, seed)


@register_method("random-beats")
def _random_beats(members: Members, *, shares: tuple[float, ...] = _THREE, seed: int = 0) -> Division:
    """The leaky protocol of beat classifiers: parts by shares with patients torn apart, marked as leaking."""
    division = _by_shares(members, shares, None, "nothing: each record or beat alone", seed)
    return Division(division.fold, division.names, division.roles, division.grouping, division.shares, _LEAKS)


_LEAKS = (
    "records are divided at random, so that the same patients are in training and test folds; the figures say nothing "
    "about patients that the model has not seen"
)


@register_method("nested")
def _nested(
    members: Members, *, shares: tuple[float, ...] = (0.5, 0.25, 0.125), seed: int = 0, ungrouped: bool = False
) -> Division:
    """Training parts of growing size, each within the next: fold 1, folds 1-2, and so on to all of the training part.

    ``shares`` are the sizes of the parts. Validation and test are those of the split that is divided further; where
    the corpus has no folds, a tenth each.
    """
    sizes = [*sorted(shares), 1.0]
    steps = np.diff([0.0, *sizes])
    if not (steps > 0).all():
        raise DatasetError(f"sizes {', '.join(f'{s:g}' for s in shares)}: each must be between 0 and 1, and only once")
    groups, grouping = _groups(members, ungrouped)
    fold, due = _nested_folds(members, steps, groups, seed)
    n = len(steps)
    names = {k + 1: f"training, adds up to {size:g} of it" for k, size in enumerate(sizes)}
    names |= {n + 1: "validation", n + 2: "test"}
    used = {f for f in fold if f is not None}
    roles = tuple(
        Roles(f"train-{size:g}", tuple(range(1, k + 2)), (n + 1,), (n + 2,) if n + 2 in used else ())
        for k, size in enumerate(sizes)
    )
    return Division(fold, {f: names[f] for f in sorted(used)}, roles, grouping, due)


def _nested_folds(
    members: Members, steps: NDArray[np.float64], groups: Sequence[str], seed: int
) -> tuple[list[int | None], tuple[float, ...]]:
    n, base = len(steps), members.roles
    if base is None:
        due = (*(_THREE[0] * steps), *_THREE[1:])
        return [int(f) for f in stratified_folds(members.labels, groups, due, seed)], due
    train = np.array([row for row, f in enumerate(members.fold) if f in base.train], np.int64)
    inner = stratified_folds(members.labels[train], [groups[row] for row in train], tuple(steps), seed)
    fold: list[int | None] = [
        n + 1 if f in base.validation else n + 2 if f in base.test else None for f in members.fold
    ]
    for row, f in zip(train.tolist(), inner.tolist(), strict=True):
        fold[row] = f
    return fold, tuple(steps)


def _rotated(members: Members, columns: NDArray[np.floating], n: int, seed: int, ungrouped: bool) -> Division:
    groups, grouping = _groups(members, ungrouped)
    fold = stratified_folds(columns, groups, n, seed)
    numbers = list(range(1, n + 1))
    turns = [(k, k % n + 1) for k in numbers]
    roles = [Roles(f"fold-{t}", tuple(k for k in numbers if k not in (t, v)), (v,), (t,)) for t, v in turns]
    enough = tuple(roles) if n > 2 else usual_roles(numbers)
    return Division(fold.tolist(), {k: f"fold {k}" for k in numbers}, enough, grouping, (1 / n,) * n)


def _by_shares(
    members: Members, shares: tuple[float, ...], groups: Sequence[str] | None, grouping: str, seed: int
) -> Division:
    if len(shares) not in (2, 3):
        raise DatasetError(
            f"{len(shares)} shares: give two (training, validation) or three (training, validation, test)"
        )
    fold = stratified_folds(members.labels, groups, shares, seed)
    names = dict(enumerate(("training", "validation", "test")[: len(shares)], start=1))
    return Division(fold.tolist(), names, usual_roles(list(names)), grouping, tuple(shares))


def _groups(members: Members, ungrouped: bool) -> tuple[list[str], str]:
    """Return what each record belongs to: its patient, or itself where that is unknown and ``ungrouped`` allows it."""
    unknown = sum(patient is None for patient in members.patient_id)
    if unknown and not ungrouped:
        raise DatasetError(
            f"{unknown:,} of {len(members.patient_id):,} records have no patient id, so patients cannot be kept whole; "
            "--ungrouped takes each such record for a patient of its own, and then nothing proves that no patient "
            "crosses"
        )
    groups = [f"row {row}" if p is None else f"patient {p}" for row, p in enumerate(members.patient_id)]
    if not unknown:
        return groups, "patients"
    known = unknown < len(groups)
    return groups, f"{'patients; ' if known else ''}{unknown:,} records of unknown patient each alone"
