"""Where is the model most wrong? Its worst false alarms and misses per class, listed, and drawn on ECG paper.

One idea: how wrong is measured in log-odds beyond the threshold, the distance the model was from being right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import Dataset
from einthoven.decisions import Decided, Decisions, log_odds
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.wording import ABSENT, decimal
from einthoven.files import atomic_write
from einthoven.record import Record

__all__ = [
    "FALSE_ALARM",
    "MISS",
    "Mistake",
    "caption",
    "choose_mistakes",
    "draw_mistakes",
    "file_name",
    "worst_mistakes",
]

Array = NDArray[np.float64]

FALSE_ALARM, MISS = "false positive", "false negative"
_DPI = 120
_COLOURS = 16  # paper, grid, line, and what lies between them: more cost bytes and show nothing
_TINY = 1e-7


@dataclass(frozen=True, slots=True)
class Mistake:
    """One class of one record that was decided wrongly.

    Attributes:
        row: of the record in the predictions.
        kind: ``FALSE_ALARM`` or ``MISS``.
        probability: calibrated, of the class.
        threshold: of the class; in a multi-class model the probability of the likeliest other class.
        margin: how far the probability lies on the wrong side, in log-odds; below zero for a finding that was above
            its threshold but gave way to one that contradicts it, and where cross-fitting used another threshold.
        truth: classes that the record has.
        exclusive: whether the model is multi-class.
    """

    row: int
    record_id: str
    class_name: str
    kind: str
    probability: float
    threshold: float
    margin: float
    truth: tuple[str, ...]
    exclusive: bool


def worst_mistakes(predictions: Predictions, decided: Decided, decisions: Decisions, top: int = 50) -> list[Mistake]:
    """List the worst false alarms, then the worst misses, of each class; the most wrong first.

    Args:
        predictions: of a split; unknown targets are nobody's mistake.
        decided: about the same records.
        decisions: the fitted steps; a class without a threshold was not decided and has no mistakes.
        top: at most so many of either kind per class.
    """
    y, q = predictions.targets, decided.probabilities
    limits = _limits(q, decisions)
    beyond = log_odds(q) - log_odds(limits)
    found = []
    for k, name in enumerate(predictions.classes):
        for kind, true, sign in ((FALSE_ALARM, 0, 1), (MISS, 1, -1)):
            wrong = (y[:, k] == true) & (decided.present[:, k] != bool(true)) & ~np.isnan(limits[:, k])
            rows = np.flatnonzero(wrong)
            order = np.argsort(-sign * beyond[rows, k], kind="stable")
            found += [
                Mistake(
                    row, predictions.record_id[row], name, kind, float(q[row, k]), float(limits[row, k]),
                    float(sign * beyond[row, k]), _truth(predictions, row), decisions.kind == "multiclass",
                )
                for row in rows[order[:top]].tolist()
            ]  # fmt: skip
    return found


def _truth(predictions: Predictions, row: int) -> tuple[str, ...]:
    return tuple(c for c, y in zip(predictions.classes, predictions.targets[row], strict=True) if y == 1)


def _limits(q: Array, decisions: Decisions) -> Array:
    """What each probability had to reach, shape (records, classes); NaN for a class that is not decided."""
    if decisions.kind != "multiclass":
        return np.tile([np.nan if limit is None else limit for limit in decisions.thresholds], (len(q), 1))
    if q.shape[1] < 2:
        return np.full(q.shape, np.nan)
    first, second = np.sort(q, axis=1)[:, [-1, -2]].T
    return np.where(np.arange(q.shape[1]) == q.argmax(axis=1)[:, None], second[:, None], first[:, None])


def choose_mistakes(mistakes: Sequence[Mistake], predictions: Predictions, each: int = 2) -> list[Mistake]:
    """Choose the worst ``each`` of either kind per class, no patient twice within a class and kind.

    Args:
        mistakes: of ``worst_mistakes``.
        predictions: that they were found in.
        each: how many of either kind.
    """
    units = predictions.groups or predictions.record_id
    seen: dict[tuple[str, str], set[str]] = {}
    chosen = []
    for mistake in mistakes:
        patients = seen.setdefault((mistake.class_name, mistake.kind), set())
        if len(patients) < each and units[mistake.row] not in patients:
            patients.add(units[mistake.row])
            chosen.append(mistake)
    return chosen


def caption(mistake: Mistake, predictions: Predictions) -> str:
    """Say who was misjudged, and how, in one line."""
    return f"{_heading(mistake, predictions)} Truth: {', '.join(mistake.truth) or ABSENT}."


def _heading(mistake: Mistake, predictions: Predictions) -> str:
    facts = {name: values[mistake.row] for name, values in predictions.facts.items()}
    age = "age unknown" if facts.get("age") is None else f"{facts['age']:g} years"
    limit = "that of the likeliest other class" if mistake.exclusive else "threshold"
    return (
        f"{mistake.class_name}: {mistake.kind}. Probability {decimal(mistake.probability)}, {limit} "
        f"{decimal(mistake.threshold)}. Record {mistake.record_id}, {age}, {facts.get('sex') or 'sex unknown'}."
    )


def draw_mistakes(
    mistakes: Sequence[Mistake], predictions: Predictions, dataset: Dataset, rows: NDArray[np.int64], folder: Path
) -> list[dict[str, str]]:
    """Draw mistakes on ECG paper, one small PNG each, at most the first 10 s.

    Args:
        mistakes: of ``choose_mistakes``.
        predictions: that they were found in.
        dataset: that was judged.
        rows: of the dataset, one per prediction.
        folder: to write into; files are ``<class>-<fp or fn>-<1, 2 ...>.png``.

    Returns:
        ``file``, ``class``, ``kind`` and ``caption`` of each.
    """
    drawn: list[dict[str, str]] = []
    for mistake in mistakes:
        rank = 1 + sum((d["class"], d["kind"]) == (mistake.class_name, mistake.kind) for d in drawn)
        place = f"{file_name(mistake.class_name)}-{'fp' if mistake.kind == FALSE_ALARM else 'fn'}-{rank}.png"
        record = dataset.record(int(rows[mistake.row]))
        _save_strip(record, _heading(mistake, predictions), folder / place)
        words = caption(mistake, predictions)
        drawn.append({"file": place, "class": mistake.class_name, "kind": mistake.kind, "caption": words})
    return drawn


def file_name(name: str) -> str:
    """A class name as part of a file's name: letters, digits, ``+`` and ``_``."""
    return "".join(c if c.isalnum() or c in "+_" else "_" for c in name)


def _save_strip(record: Record, title: str, path: Path) -> None:
    """Write a PNG with a palette, a fifth of the size: as many strips as a page shows must stay small."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    from einthoven.plots.paper import draw_ecg

    figure = draw_ecg(record, title=title)
    figure.set_dpi(_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    with atomic_write(path) as temporary:
        picture.quantize(_COLOURS, dither=Image.Dither.NONE).save(temporary, "PNG", optimize=True, dpi=(_DPI, _DPI))
