"""Findings with a stated error rate: for each class present, absent, or not to be told apart at that rate.

Label-conditional (Mondrian) split conformal prediction (Vovk 2012; Sadinle et al. 2019), one class at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Conformal", "fit_conformal"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Conformal:
    """Per class the bounds within which a record may be positive, and negative.

    A record that is drawn like the fitting ones keeps its true answer in the set with probability at least
    ``1 - error``, among the positives of a class and among its negatives alike. A set is never empty: where a
    probability is unusual for both answers, both stay, which can only raise the coverage.

    Attributes:
        error: the rate promised.
        lowest_positive: the set holds "present" from this probability on; shape (classes,).
        highest_negative: the set holds "absent" up to this probability; shape (classes,).
    """

    error: float
    lowest_positive: tuple[float, ...]
    highest_negative: tuple[float, ...]

    def sets(self, p: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return whether "present" and "absent" are in each set, both of shape (records, classes)."""
        present, absent = p >= np.array(self.lowest_positive), p <= np.array(self.highest_negative)
        empty = ~present & ~absent
        return np.asarray(present | empty), np.asarray(absent | empty)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "error": self.error,
            "lowest_positive": list(self.lowest_positive),
            "highest_negative": list(self.highest_negative),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Conformal:
        """Rebuild what ``to_dict`` wrote."""
        return cls(values["error"], tuple(values["lowest_positive"]), tuple(values["highest_negative"]))


def fit_conformal(y: Array, p: Array, error: float) -> Conformal:
    """Fit the bounds of each class.

    Args:
        y: targets, shape (records, classes), 0, 1 or NaN (unknown, left out).
        p: probabilities, shape (records, classes).
        error: rate of true answers that may be missing from their sets, between 0 and 1.

    Too few cases for the rate (fewer than ``1 / error - 1``) put the answer into every set: nothing is promised that
    the data cannot keep.
    """
    lowest = [_bound(1 - p[y[:, k] == 1, k], error) for k in range(y.shape[1])]
    highest = [_bound(p[y[:, k] == 0, k], error) for k in range(y.shape[1])]
    return Conformal(error, tuple(1 - bound for bound in lowest), tuple(highest))


def _bound(strangeness: Array, error: float) -> float:
    """The ``ceil((n + 1) (1 - error))``-th smallest value; 1, which every score stays below, where there is none."""
    rank = int(np.ceil((len(strangeness) + 1) * (1 - error) - 1e-9))
    return float(np.partition(strangeness, rank - 1)[rank - 1]) if 0 < rank <= len(strangeness) else 1.0
