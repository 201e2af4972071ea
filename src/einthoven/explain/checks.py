"""Can an attribution be believed? Tests of it that need no expert.

One idea: an attribution must depend on what the network learned, and what it marks must matter to the score.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from einthoven.errors import EinthovenError
from einthoven.explain.background import synthetic_background
from einthoven.explain.catalogue import METHODS, Settings, method_named
from einthoven.explain.explaining import attribute, baselines_of
from einthoven.explain.methods import run_method
from einthoven.explain.subject import AT_ONCE, Model, RecordScore, Subject

__all__ = [
    "PARTS",
    "Faithfulness",
    "Stability",
    "faithfulness",
    "mean_interval",
    "randomisation",
    "randomised",
    "rank_correlation",
    "stability",
]

Array = NDArray[np.float64]

PARTS = ("head", "all")
_CELL_S = 0.1
_SHARES = np.linspace(0, 1, 11)
_N_RANDOM = 2
_NOISE_MV = 0.02


def randomised(model: Model, part: str = "all", seed: int = 0) -> Model:
    """Return a copy of a network whose weights are shuffled within each tensor: it has learned nothing.

    Args:
        model: the network.
        part: ``"head"``, the last linear layer only, or ``"all"``.
        seed: of the shuffling.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, got {part!r}")
    other = copy.deepcopy(model)
    linear = [layer for layer in other.modules() if isinstance(layer, nn.Linear)]
    shuffled: Sequence[nn.Module] = [linear[-1]] if part == "head" and linear else [other]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in shuffled:
            for weights in layer.parameters():
                order = torch.randperm(weights.numel(), generator=generator)
                weights.copy_(weights.flatten()[order].view_as(weights))
    return other


def randomisation(subject: Subject, method: str, name: str, settings: Settings | None = None) -> dict[str, float]:
    """Rank correlation of an attribution with that of randomised networks (Adebayo et al. 2018).

    A method that only shows where the signal is large gives the same picture for any weights, and correlates. The
    shuffled network's sum is not held to a tolerance.

    Args:
        subject: a record that is ready.
        method: one of ``METHODS``.
        name: the class.
        settings: of the method.

    Returns:
        For ``"head"`` and ``"all"`` the correlation of signed values, and as ``"absolute head"`` and ``"absolute all"``
        that of absolute ones; NaN where one of both does not vary.
    """
    chosen = method_named(method)
    settings = settings or Settings(steps=chosen.steps)
    k = subject.bundle.classes.index(name)
    baselines = baselines_of(subject, chosen, None, settings)
    own = run_method(chosen, subject, k, baselines, settings).numpy()
    found: dict[str, float] = {}
    for part in PARTS:
        other = RecordScore(
            randomised(subject.score.model, part, settings.seed),
            subject.bundle,
            subject.x.shape[1],
            subject.facts if subject.bundle.facts else None,
        )
        theirs = run_method(chosen, _with_score(subject, other), k, baselines, settings).numpy()
        found[part] = rank_correlation(own, theirs)
        found[f"absolute {part}"] = rank_correlation(np.abs(own), np.abs(theirs))
    return found


def _with_score(subject: Subject, score: RecordScore) -> Subject:
    return Subject(
        subject.bundle, subject.record, subject.x, subject.recorded, score.eval(), subject.facts, subject.prediction
    )


def rank_correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two arrays, ties at their mean rank; NaN where one does not vary.

    >>> round(rank_correlation(np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 40, 30])), 6)
    0.8
    """
    from scipy.stats import rankdata

    x, y = (rankdata(np.asarray(values).ravel()) for values in (a, b))
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Faithfulness:
    """What happens to the log-odds of a class as cells of 0.1 s of one lead are taken away, or put back.

    Attributes:
        deletion: area under the curve, most important cells deleted first; low is good.
        insertion: most important cells inserted first; high is good.
        random: of random order, the same for both.
        amplitude_deletion: most voltage deleted first, a rival that knows no network.
        amplitude_insertion: most voltage inserted first.
    """

    deletion: float
    insertion: float
    random: float
    amplitude_deletion: float
    amplitude_insertion: float

    @property
    def gains(self) -> dict[str, float]:
        """How much better than random order, and than order by voltage; above 0 is better, in log-odds."""
        return {
            "deletion over random": self.random - self.deletion,
            "insertion over random": self.insertion - self.random,
            "deletion over voltage": self.amplitude_deletion - self.deletion,
            "insertion over voltage": self.insertion - self.amplitude_insertion,
        }


def faithfulness(subject: Subject, attribution: NDArray[np.float32], name: str, seed: int = 0) -> Faithfulness:
    """Delete and insert (Petsiuk et al. 2018) in the order of an attribution, of voltage, and of chance.

    What is deleted becomes 0 mV. Cells of equal rank are taken in random order.

    Args:
        subject: the record.
        attribution: shape (leads, samples).
        name: the class.
        seed: of the random orders.
    """
    cells = _cells(subject)
    rng, k = np.random.default_rng(seed), subject.bundle.classes.index(name)
    n_cells = int(cells.max()) + 1
    found = {
        "own": _order(attribution, cells, rng),
        "voltage": _order(np.abs(subject.x.numpy()), cells, rng),
    }
    curves = {
        what: (_area(subject, k, cells, order, keep=False), _area(subject, k, cells, order, keep=True))
        for what, order in found.items()
    }
    chance = [_area(subject, k, cells, rng.permutation(n_cells), keep=True) for _ in range(_N_RANDOM)]
    return Faithfulness(*curves["own"], float(np.mean(chance)), *curves["voltage"])


def _cells(subject: Subject) -> NDArray[np.int64]:
    """Number of the cell of each sample, shape (leads, samples)."""
    n_leads, n_samples = subject.x.shape
    column = (np.arange(n_samples) / (subject.record.fs * _CELL_S)).astype(np.int64)
    return np.arange(n_leads)[:, None] * (column[-1] + 1) + column


def _order(values: NDArray[np.floating], cells: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    sums = np.bincount(cells.ravel(), np.asarray(values, np.float64).ravel())
    return np.lexsort((rng.random(len(sums)), -np.round(sums, 9)))


def _area(subject: Subject, k: int, cells: NDArray[np.int64], order: NDArray[np.int64], *, keep: bool) -> float:
    """Area under the log-odds against the share of cells, in order; ``keep`` says whether these are kept or deleted."""
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    first = rank[cells] < np.round(_SHARES * len(order))[:, None, None]  # (shares, leads, samples)
    kept = torch.from_numpy(first if keep else ~first)
    scores = _many(subject.score, torch.where(kept, subject.x, 0.0))[:, k].double().numpy()
    return float(np.trapezoid(scores, _SHARES))


def _many(score: RecordScore, records: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([score(some) for some in torch.split(records, max(1, AT_ONCE // score.n_windows))])


@dataclass(frozen=True, slots=True)
class Stability:
    """Importance of each lead over repeats.

    Attributes:
        leads: their names.
        values: share of each lead in the absolute attribution, shape (repeats, leads).
        varied: what differs from repeat to repeat.
    """

    leads: tuple[str, ...]
    values: Array
    varied: str

    def rows(self) -> list[dict[str, Any]]:
        """Mean, standard error of the mean and coefficient of variation of each lead."""
        mean, deviation = self.values.mean(axis=0), self.values.std(axis=0, ddof=1)
        sem = deviation / np.sqrt(len(self.values))
        cv = deviation / np.maximum(mean, 1e-12)
        columns = zip(self.leads, mean, sem, cv, strict=True)
        return [{"lead": lead, "mean": float(m), "sem": float(s), "cv": float(c)} for lead, m, s, c in columns]


def stability(
    subject: Subject, method: str, name: str, repeats: int = 8, settings: Settings | None = None
) -> Stability:
    """Repeat an explanation with other backgrounds, or with a little noise where a method has no background.

    The noise is white, of 0.02 mV: what a good recording has.

    Raises:
        EinthovenError: fewer than two repeats, or a method that does not tell leads apart.
    """
    chosen = method_named(method)
    if repeats < 2 or not chosen.by_lead:
        known = ", ".join(key for key, entry in METHODS.items() if entry.by_lead)
        raise EinthovenError(
            f"the stability of leads needs at least 2 repeats, got {repeats}, of a method that tells leads apart, got "
            f"{method}; such are {known}"
        )
    settings = settings or Settings(steps=chosen.steps)
    k, values = subject.bundle.classes.index(name), []
    for seed in range(settings.seed, settings.seed + repeats):
        given, one = None, subject
        if chosen.reference == "background":
            given = synthetic_background(subject.bundle, subject.x.shape[1], settings.n_background, 1000 + seed)
        else:
            one = _noisy(subject, seed)
        baselines = baselines_of(one, chosen, given, settings)
        with torch.no_grad():
            gain = float((one.score(one.x[None]) - _many(one.score, baselines).mean(dim=0))[0, k])
        size = attribute(one, chosen, k, baselines, settings, gain).abs().sum(dim=1).double().numpy()
        values.append(size / max(size.sum(), 1e-12))
    varied = "synthetic backgrounds" if chosen.reference == "background" else f"white noise of {_NOISE_MV:g} mV"
    return Stability(subject.record.leads, np.stack(values), varied)


def _noisy(subject: Subject, seed: int) -> Subject:
    noise = np.random.default_rng(seed).normal(0, _NOISE_MV, subject.x.shape).astype(np.float32)
    x = subject.x + torch.from_numpy(np.where(subject.recorded, noise, np.float32(0)))
    return Subject(
        subject.bundle, subject.record, x, subject.recorded, subject.score, subject.facts, subject.prediction
    )


def mean_interval(
    values: Sequence[float], seed: int = 0, n_resamples: int = 2000, level: float = 0.95
) -> dict[str, Any]:
    """Mean over records with its percentile interval; paired, because each value is a difference on one record.

    Returns:
        ``n``, ``mean``, ``low``, ``high``; the interval is None below 10 records.
    """
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    if not len(array):
        return {"n": 0, "mean": None, "low": None, "high": None}
    if len(array) < 10:
        return {"n": len(array), "mean": float(array.mean()), "low": None, "high": None}
    draws = np.random.default_rng(seed).integers(0, len(array), (n_resamples, len(array)))
    low, high = np.quantile(array[draws].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return {"n": len(array), "mean": float(array.mean()), "low": float(low), "high": float(high)}
