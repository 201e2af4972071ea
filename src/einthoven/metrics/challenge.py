"""The scores of the PhysioNet/CinC Challenges 2020 and 2021, as their official scorers define them.

Equivalent diagnoses are merged first; a wrong diagnosis earns part of the credit where its treatment would be similar.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.metrics.decisions import Counts, check_decisions, confusion_counts, decision_metrics

__all__ = ["ChallengeTable", "challenge_beta", "challenge_score", "challenge_table", "merge_equivalent"]

NORMAL = "426783006"  # sinus rhythm
_BLOCK = 1 << 13  # records at a time: they stay in the cache

# The 2020 table lists these apart with equal weights; the 2021 table joins its pairs with "|".
_EQUIVALENT_2020 = (("713427006", "59118001"), ("284470004", "63593006"), ("427172004", "17338001"))


@dataclass(frozen=True, slots=True)
class ChallengeTable:
    """The scored classes, each a tuple of equivalent SNOMED CT codes, and the credit of predicting one for another.

    ``weights[j, k]`` is the credit for the truth j and the decision k, shape (classes, classes).
    """

    classes: tuple[tuple[str, ...], ...]
    weights: NDArray[np.float64]

    @property
    def normal(self) -> int:
        """Which class is sinus rhythm."""
        return next(k for k, codes in enumerate(self.classes) if NORMAL in codes)


@cache
def challenge_table(year: int) -> ChallengeTable:
    """Return the published table of 2020 (24 classes from 27 codes) or 2021 (26 classes from 30 codes)."""
    if year not in (2020, 2021):
        raise ValueError(f"there are challenge tables of 2020 and 2021, not {year}")
    text = files("einthoven.metrics").joinpath(f"tables/cinc{year}-weights.csv").read_text("utf-8")
    header, *rows = csv.reader(text.splitlines())
    names = [tuple(name.split("|")) for name in header[1:]]
    weights = np.array([[float(cell) for cell in row[1:]] for row in rows])
    if year == 2020:
        joined = {code: codes for codes in _EQUIVALENT_2020 for code in codes}
        names = [joined.get(name[0], name) for name in names]
    kept = [k for k, name in enumerate(names) if name not in names[:k]]
    weights = weights[np.ix_(kept, kept)]
    weights.setflags(write=False)  # the table is cached: nobody may change it for others
    return ChallengeTable(tuple(names[k] for k in kept), weights)


def merge_equivalent(
    targets: ArrayLike, decisions: ArrayLike, codes: Sequence[str], year: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Bring targets and decisions to the scored classes: equivalent ones joined, unscored ones dropped.

    Args:
        targets: shape (records, codes), 0, 1 or NaN (unknown).
        decisions: shape (records, codes), bool or 0 and 1.
        codes: SNOMED CT code of each column.
        year: 2020 or 2021.

    Returns:
        Both of shape (records, scored classes). A joined class is positive where any member is; otherwise unknown where
        any is. A scored class without a column is never present and never decided.

    Raises:
        ValueError: shapes differ, a code comes twice, or none is scored.
    """
    y, said = check_decisions(targets, decisions)
    if len(codes) != y.shape[1] or len(set(codes)) < len(codes):
        raise ValueError(f"{y.shape[1]} columns need as many different SNOMED CT codes, got {len(codes)}")
    table = challenge_table(year)
    columns = [[k for k, code in enumerate(codes) if str(code) in names] for names in table.classes]
    if not any(columns):
        raise ValueError(f"none of the codes {', '.join(map(str, codes))} is scored in {year}; name SNOMED CT codes")
    merged = np.zeros((len(y), len(columns)))
    decided = np.zeros(merged.shape, bool)
    for k, members in enumerate(columns):
        if len(members) == 1:
            merged[:, k], decided[:, k] = y[:, members[0]], said[:, members[0]]
        elif members:
            part = y[:, members]
            merged[:, k] = np.where((part == 1).any(axis=1), 1, part.max(axis=1))  # max is NaN where any is unknown
            decided[:, k] = said[:, members].any(axis=1)
    return merged, decided


def challenge_score(targets: ArrayLike, decisions: ArrayLike, codes: Sequence[str], year: int = 2021) -> float:
    r"""The normalised challenge score: 1 if every decision is right, 0 for always sinus rhythm.

    With truths :math:`j` and decisions :math:`k` of a record of which :math:`n` are in either set, :math:`A_{jk}` sums
    :math:`1/\max(n, 1)`; :math:`s = \sum W_{jk} A_{jk}`; the score is
    :math:`(s - s_{normal}) / (s_{perfect} - s_{normal})`, and 0 where perfect and normal score alike (Perez Alday et
    al. 2020; Reyna et al. 2021; ``evaluate_model.py`` of the challenge). A diagnosis whose target is unknown is left
    out of its record, decided or not.

    Args:
        targets: shape (records, codes), 0, 1 or NaN (unknown).
        decisions: shape (records, codes), bool or 0 and 1.
        codes: SNOMED CT code of each column; unscored ones are ignored.
        year: whose classes and weights, 2020 or 2021.

    Raises:
        ValueError: see ``merge_equivalent``.
    """
    y, said = merge_equivalent(targets, decisions, codes, year)
    table = challenge_table(year)
    known, true = ~np.isnan(y), y == 1
    inactive = np.zeros_like(said)
    inactive[:, table.normal] = True
    observed, perfect, normal = (_credit(true, d & known, table.weights) for d in (said, true, inactive))
    return (observed - normal) / (perfect - normal) if perfect != normal else 0.0


def _credit(true: NDArray[np.bool_], said: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    together = np.zeros(weights.shape)
    for first in range(0, len(true), _BLOCK):
        t, d = (part[first : first + _BLOCK].astype(np.float64) for part in (true, said))
        either = np.maximum(t, d).sum(axis=1)
        together += (t / np.maximum(either, 1)[:, None]).T @ d
    return float((weights * together).sum())


def challenge_beta(
    targets: ArrayLike, decisions: ArrayLike, codes: Sequence[str], year: int = 2020, beta: float = 2.0
) -> tuple[float, float]:
    """Macro F-beta and G-beta of the 2020 challenge: each record counts one over its number of diagnoses.

    Arguments and errors as in ``challenge_score``. Classes that are neither present nor decided are left out.
    """
    y, said = merge_equivalent(targets, decisions, codes, year)
    weights = 1.0 / np.maximum((y == 1).sum(axis=1), 1)
    counts: Counts = confusion_counts(y, said, weights)
    rates = decision_metrics(counts, beta)
    defined = counts.tp + counts.fp + counts.fn > 0
    if not defined.any():
        return float("nan"), float("nan")
    return float(rates["f_beta"][defined].mean()), float(rates["g_beta"][defined].mean())
