"""Folds that hold every label in proportion while patients stay whole.

Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, "On the stratification of multi-label data"), with
patients instead of records as the units, then moves and swaps of patients while the squared deviations shrink.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError
from einthoven.splits.search import ROUNDING, TOLERANCE, allot, improve

__all__ = ["Deviation", "deviations", "fold_shares", "source_columns", "stratified_folds"]

_PAIRS = 40  # most frequent pairs of labels that are kept per source
_PAIR_SHARE = 0.01  # of a source's records that a pair must have to be kept

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Deviation:
    """The fold that is farthest from its due for one label.

    Attributes:
        fold: its number, from 1.
        count: records with the label there.
        due: share of the fold times all records with the label.
        limit: what is tolerated: 1 % of ``due``, at least one record.
        largest_group: most records with the label that one patient has.
        room: the most that any fold may hold.
    """

    fold: int
    count: int
    due: float
    limit: float
    largest_group: int
    room: float

    @property
    def size(self) -> float:
        """Records too many (above 0) or too few."""
        return self.count - self.due

    @property
    def within(self) -> bool:
        """Whether it is tolerated."""
        return abs(self.size) <= self.limit + ROUNDING

    @property
    def forced(self) -> bool:
        """Whether one patient has so many that no division of patients stays within the limit."""
        return self.largest_group > self.room


def fold_shares(folds: int | Sequence[float]) -> Floats:
    """Return the share of each fold: equal ones for a number of folds.

    Raises:
        DatasetError: fewer than two folds, or shares that are not positive or do not sum to 1.
    """
    shares = np.full(max(folds, 0), 1 / max(folds, 1)) if isinstance(folds, int) else np.array(folds, np.float64)
    if len(shares) < 2:
        raise DatasetError(f"{len(shares)} fold makes no split; at least two are needed")
    if not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        said = ", ".join(f"{share:g}" for share in shares)
        raise DatasetError(f"shares {said} sum to {shares.sum():g}; each must be above 0, and together they must be 1")
    return shares / shares.sum()


def stratified_folds(
    labels: NDArray[np.floating], groups: Sequence[str] | None, folds: int | Sequence[float], seed: int = 0
) -> Ints:
    """Divide records into folds in which every label, and the numbers of records and patients, has its share.

    Args:
        labels: shape (records, classes): 0, 1, or NaN where unknown; unknowns are divided evenly too.
        groups: patient of each record; None where every record stands alone.
        folds: how many equal ones, or the share of each.
        seed: of every draw; the same seed gives the same folds.

    Returns:
        The fold of each record, from 1, shape (records,).

    Raises:
        DatasetError: labels of other values, more folds than patients, or shares that do not sum to 1.
    """
    shares, rng = fold_shares(folds), np.random.default_rng(seed)
    units = _units(np.asarray(labels), groups)
    counts = _counts(_columns(np.asarray(labels)), units)
    counts = np.hstack([counts, np.ones_like(counts[:, :1])])  # patients are divided evenly too
    if len(counts) < len(shares):
        unit = "records" if groups is None else "patients"
        raise DatasetError(f"{len(shares)} folds of {len(counts)} {unit}: a fold would be empty; ask for fewer folds")
    # Patients with equal counts are interchangeable: what is searched is how many of each kind a fold holds.
    kinds, kind, n = np.unique(counts, axis=0, return_inverse=True, return_counts=True)
    held = allot(kinds.astype(np.float64), n, shares, rng)
    held = improve(kinds.astype(np.float64), held, shares, rng)
    return _deal(kind.reshape(-1), held, rng)[units]


def source_columns(labels: NDArray[np.floating], sources: Sequence[str]) -> Floats:
    """Return labels by which folds keep prevalence and co-occurrence within each source.

    Args:
        labels: shape (records, classes), as in ``stratified_folds``.
        sources: of each record.

    Returns:
        The labels themselves, then for each source its records, its labels and its frequent pairs of labels.
    """
    labels, source = np.asarray(labels, np.float64), np.asarray(sources)
    positive = labels == 1
    parts = [labels]
    for name in np.unique(source):
        inside = source == name
        here = positive & inside[:, None]
        together = np.triu(here.T.astype(np.float64) @ here, k=1)
        frequent = np.argsort(-together, axis=None, kind="stable")[:_PAIRS]
        first, second = np.unravel_index(frequent, together.shape)
        kept = together[first, second] >= max(1, _PAIR_SHARE * inside.sum())
        parts += [inside[:, None], here[:, here.any(axis=0)], here[:, first[kept]] & here[:, second[kept]]]
    return np.hstack(parts)


def deviations(
    labels: NDArray[np.floating], groups: Sequence[str] | None, fold: Ints, shares: Floats
) -> list[Deviation]:
    """Return the worst fold of each label, shape of ``labels`` as in ``stratified_folds``."""
    positive = (np.asarray(labels) == 1).astype(np.int64)
    largest = _counts(positive, _units(positive, groups)).max(axis=0, initial=0)
    counts = np.stack([positive[fold == f + 1].sum(axis=0) for f in range(len(shares))])
    due = shares[:, None] * counts.sum(axis=0)
    limit = np.maximum(1, TOLERANCE * due)
    room = (due + limit).max(axis=0)
    worst = (np.abs(counts - due) / limit).argmax(axis=0)
    return [
        Deviation(int(f) + 1, int(counts[f, k]), float(due[f, k]), float(limit[f, k]), int(largest[k]), float(room[k]))
        for k, f in enumerate(worst)
    ]


def _units(labels: NDArray[np.generic], groups: Sequence[str] | None) -> Ints:
    if groups is None:
        return np.arange(len(labels))
    index: dict[str, int] = {}
    return np.array([index.setdefault(group, len(index)) for group in groups], np.int64)


def _columns(labels: NDArray[np.floating]) -> Ints:
    """Return what is counted: each label, where it is unknown, and the record itself."""
    unknown = np.isnan(labels)
    if not (unknown | (labels == 0) | (labels == 1)).all():
        row, column = np.argwhere(~(unknown | (labels == 0) | (labels == 1)))[0]
        raise DatasetError(
            f"label column {column}, record {row}: {labels[row, column]:g} is not 0, 1 or NaN (for unknown)"
        )
    whole = np.ones((len(labels), 1), bool)
    return np.hstack([labels == 1, unknown[:, unknown.any(axis=0)], whole]).astype(np.int64)


def _counts(columns: Ints, units: Ints) -> Ints:
    """Sum the columns over each unit, shape (units, columns)."""
    summed = np.zeros((int(units.max(initial=-1)) + 1, columns.shape[1]), np.int64)
    np.add.at(summed, units, columns)
    return summed


def _deal(kind: Ints, held: Ints, rng: np.random.Generator) -> Ints:
    """Draw which patients of each kind go to which fold, from 1."""
    drawn = np.lexsort((rng.random(len(kind)), kind))
    folds = np.tile(np.arange(1, held.shape[1] + 1), len(held))
    fold = np.empty(len(kind), np.int64)
    fold[drawn] = np.repeat(folds, held.ravel())
    return fold
