"""How many patients of each kind does a fold hold? A greedy division, then moves and swaps.

A kind is a row of counts (of labels, records, ...) that several patients share; the patients of a kind are
interchangeable, so that a division is a small table of kinds and folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ROUNDING", "TOLERANCE", "allot", "improve"]

TOLERANCE = 0.01  # of a label's count in a fold; below 100 of them, one record
_ROUNDS = 80  # of moves and swaps; most inputs are done earlier
_PATIENCE = 4  # rounds without any gain; swaps are drawn anew in each
_CANDIDATES = 96  # of moves tried per round, and of swap partners on either side
_REWEIGHTINGS = 6  # searches, each from where the last one ended
_EMPHASIS = 3.0  # factor of a weight per search
ROUNDING = 1e-9  # smaller differences are those of arithmetic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _due(kinds: Floats, n: Ints, shares: Floats) -> Floats:
    """Counts that each fold should have, shape (columns, folds)."""
    return np.outer(n @ kinds, shares)


def allot(kinds: Floats, n: Ints, shares: Floats, rng: np.random.Generator) -> Ints:
    """Give each fold its whole share of every kind, then the rest one by one, the rarest label first."""
    due = _due(kinds, n, shares)
    held = np.floor(n[:, None] * shares + ROUNDING).astype(np.int64)
    excess = kinds.T @ held - due
    weight = 1 / np.maximum(due, ROUNDING)  # what counts is the part of its due that a fold still lacks
    total = n @ kinds
    rarest = np.where(kinds > 0, total, np.inf).min(axis=1)
    rest = np.repeat(np.arange(len(n)), n - held.sum(axis=1))
    order = np.lexsort((rng.random(len(rest)), -kinds[rest].sum(axis=1), rarest[rest]))
    for k in rest[order]:
        x = kinds[k]
        fold = int(np.argmin((x * x) @ weight + 2 * x @ (weight * excess)))
        held[k, fold] += 1
        excess[:, fold] += x
    return held


def improve(kinds: Floats, held: Ints, shares: Floats, rng: np.random.Generator) -> Ints:
    """Improve a division of kinds among folds; labels that stay beyond what is tolerated weigh more each time."""
    due = _due(kinds, held.sum(axis=1), shares)
    limit = np.maximum(1, TOLERANCE * due)
    weight = limit**-2.0
    possible = (kinds.max(axis=0)[:, None] <= due + limit).any(axis=1, keepdims=True)  # no patient has too many
    best, fewest = held, np.inf
    for _ in range(_REWEIGHTINGS):
        state = _State(kinds, held.copy(), weight, kinds.T @ held - due, (kinds * kinds) @ weight)
        state.descend(rng)
        beyond = (np.abs(state.excess) > limit + ROUNDING) & possible
        if beyond.sum() < fewest:
            best, fewest = state.held, beyond.sum()
        if not fewest:
            break
        held, weight = state.held, np.where(beyond, _EMPHASIS * weight, weight)
    _fill_empty(best)
    return best


def _fill_empty(held: Ints) -> None:
    for fold in np.flatnonzero(held.sum(axis=0) == 0):
        donor = int(held.sum(axis=0).argmax())
        kind = int(held[:, donor].argmax())
        held[kind, donor] -= 1
        held[kind, fold] += 1


@dataclass(slots=True)
class _State:
    """A division of kinds among folds: what each holds, and how far each column is from its due."""

    kinds: Floats
    held: Ints
    weight: Floats
    excess: Floats
    own: Floats  # weighted square of a kind in each fold

    def costs(self, folds: list[int]) -> tuple[Floats, Floats]:
        """Change of the objective when one of a kind leaves a fold, and when one enters it; (kinds, folds)."""
        pull = 2 * self.kinds @ (self.weight[:, folds] * self.excess[:, folds])
        own = self.own[:, folds]
        return np.where(self.held[:, folds] > 0, own - pull, np.inf), own + pull

    def apply(self, change: Floats, a: int, b: int) -> bool:
        """Move counts from fold a to b if that is a gain now."""
        both = self.weight[:, a] + self.weight[:, b]
        pull = self.weight[:, b] * self.excess[:, b] - self.weight[:, a] * self.excess[:, a]
        if float(change @ (both * change + 2 * pull)) > -ROUNDING:
            return False
        self.excess[:, a] -= change
        self.excess[:, b] += change
        return True

    def descend(self, rng: np.random.Generator) -> None:
        """Move and swap while the sum of squared deviations, in units of what is tolerated, gets smaller."""
        idle = 0
        for _ in range(_ROUNDS):
            gained = self.move() | self.swap(rng)
            idle = 0 if gained else idle + 1
            if idle == _PATIENCE:
                return

    def move(self) -> bool:
        """Try the most promising moves of one patient."""
        leave, enter = self.costs(list(range(self.held.shape[1])))
        source, sink = leave.argmin(axis=1), enter.argmin(axis=1)
        rows = np.arange(len(leave))
        gain = np.where(source == sink, np.inf, leave[rows, source] + enter[rows, sink])
        gained = False
        for k in np.argsort(gain, kind="stable")[:_CANDIDATES]:
            if gain[k] > -ROUNDING:
                break
            a, b = int(source[k]), int(sink[k])
            if self.apply(self.kinds[k], a, b):
                self.held[k, a] -= 1
                self.held[k, b] += 1
                gained = True
        return gained

    def swap(self, rng: np.random.Generator) -> bool:
        """Try exchanges between every two folds, among patients cheap to move and some drawn ones."""
        gained = False
        n_folds = self.held.shape[1]
        for a in range(n_folds):
            for b in range(a + 1, n_folds):
                gained |= self._swap_between(a, b, rng)
        return gained

    def _swap_between(self, a: int, b: int, rng: np.random.Generator) -> bool:
        leave, enter = self.costs([a, b])
        ahead, homeward = leave[:, 0] + enter[:, 1], leave[:, 1] + enter[:, 0]
        worst = int((self.weight[:, [a, b]] * self.excess[:, [a, b]] ** 2).sum(axis=1).argmax())
        there, back = (self._candidates(cost, worst, rng) for cost in (ahead, homeward))
        both = self.weight[:, a] + self.weight[:, b]
        change = ahead[there][:, None] + homeward[back]
        change -= 2 * (self.kinds[there] * both) @ self.kinds[back].T
        gained = False
        for pair in np.argsort(change, axis=None, kind="stable")[:_CANDIDATES]:
            i, j = (int(index) for index in np.unravel_index(pair, change.shape))
            if change[i, j] > -ROUNDING:
                break
            k, m = there[i], back[j]
            if self.held[k, a] and self.held[m, b] and self.apply(self.kinds[k] - self.kinds[m], a, b):
                self.held[[k, m], [a, b]] -= 1
                self.held[[k, m], [b, a]] += 1
                gained = True
        return gained

    def _candidates(self, cost: Floats, worst: int, rng: np.random.Generator) -> Ints:
        """Return kinds that are cheap to move, some that have the worst label, and some drawn from all."""
        possible = np.flatnonzero(np.isfinite(cost))
        if len(possible) <= 3 * _CANDIDATES:
            return possible
        cheap = possible[np.argpartition(cost[possible], _CANDIDATES)[:_CANDIDATES]]
        having = possible[self.kinds[possible, worst] > 0]
        having = rng.choice(having, min(len(having), _CANDIDATES), replace=False)
        return np.unique(np.concatenate([cheap, having, rng.choice(possible, _CANDIDATES, replace=False)]))
