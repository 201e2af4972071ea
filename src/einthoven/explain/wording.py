"""An explanation in words: the finding, its sum, its strongest leads and waves, and what not to read into it.

Sentences come without a capital and a full stop, so that they can stand in a terminal, in JSON and on a page alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from einthoven.evaluation.finding_words import word_of
from einthoven.explain.catalogue import LOGIT, METHODS

if TYPE_CHECKING:
    from einthoven.explain.explanation import Explanation

__all__ = [
    "LEAST_QRS_RATIO",
    "QRS_CLASSES",
    "beats_sentence",
    "below_half_sentence",
    "describe",
    "qrs_check",
    "rest_sentence",
    "sample_unit",
    "sum_sentence",
    "title_of",
]

_STRONGEST = 3
# Disturbances of conduction within the ventricles: what a cardiologist measures lies in the QRS complex.
QRS_CLASSES = frozenset(
    ("CD", "CLBBB", "CRBBB", "ILBBB", "IRBBB", "LBBB", "RBBB", "IVCD", "LAFB", "LPFB", "LAFB/LPFB", "WPW")
)
LEAST_QRS_RATIO = 1.5


def title_of(explanation: Explanation, name: str) -> str:
    """One line: record, class in words, decision and probability."""
    finding = explanation.finding(name)
    record = explanation.record.record_id or "ECG"
    limit = "" if finding.threshold is None else f" (reported from {finding.threshold:.2f})"
    words = finding.description or name
    return f"{record}: {name}, {words}: {word_of(finding).lower()}, probability {finding.probability:.2f}{limit}"


def sample_unit(explanation: Explanation) -> str:
    """Unit of a single value: what colours and overlays show."""
    if METHODS[explanation.method].unit != LOGIT:
        return "relative to the strongest moment"
    return f"log-odds per sample of {1000 / explanation.record.fs:g} ms"


def sum_sentence(explanation: Explanation, name: str) -> str:
    """What all values of one class sum to, and what difference of scores that explains."""
    k, method = explanation.classes.index(name), METHODS[explanation.method]
    score = explanation.scores[k]
    if method.complete:
        gained = score - explanation.reference[k]
        return (
            f"all values sum to {explanation.attribution[k].sum(dtype=np.float64):+.2f} log-odds: from "
            f"{explanation.reference[k]:+.2f} of {explanation.compared_with} to {score:+.2f} of this record, a "
            f"difference of {gained:+.2f} (off by {abs(explanation.gap[k]):.3f})"
        )
    if method.unit == LOGIT:
        total = explanation.attribution[k].sum(dtype=np.float64)
        return f"single losses sum to {total:+.2f}, the score is {score:+.2f} log-odds; this method promises no sum"
    return f"values are relative, from 0 to 1, and sum to nothing; the score is {score:+.2f} log-odds"


def below_half_sentence(explanation: Explanation, name: str) -> str:
    """Why a class with a score below 0 is present all the same; empty where there is nothing to wonder at."""
    finding, score = explanation.finding(name), explanation.scores[explanation.classes.index(name)]
    if not finding.present or score >= 0:
        return ""
    why = "it is the likeliest class"
    if finding.threshold is not None:
        why = f"it is reported from a probability of {finding.threshold:.2f}"
    return f"a score below 0 log-odds is a probability below 0.5; {name} is present all the same, for {why}"


def beats_sentence(explanation: Explanation) -> str:
    """How many beats got waves and how many were left out."""
    waves = explanation.waves
    if waves is None:
        return f"waves: none, for {explanation.why_no_waves}"
    n, out = len(waves.peaks), waves.n_left_out
    said = f"waves were delineated in {n - out} of {n} beats"
    if out:
        said += f"; {out} of another shape {'was' if out == 1 else 'were'} left out and count as rest"
    if waves.absent:
        said += f"; no clear {' and no clear '.join(waves.absent)}, which counts as rest"
    return said


def rest_sentence(share: float) -> str:
    """A warning where most of what speaks for a class lies outside all waves; empty where it does not.

    >>> rest_sentence(0.3)
    ''
    """
    if not share > 0.5:
        return ""
    return (
        f"{share:.0%} of what speaks for it, more than a half, lies outside P, QRS and ST-T: between the waves, in "
        "beats that were left out, or in noise; the shares of the waves say little here"
    )


def qrs_check(name: str, ratio: float | None, others: Sequence[str] = ()) -> dict[str, Any] | None:
    """Does what speaks for a conduction disturbance lie in the QRS complex? None for classes of which nobody asks it.

    Args:
        name: the class.
        ratio: share of what speaks for it inside the QRS complex, over the share of time; None where unknown.
        others: other classes of the same split that reach the limit too, with their figure.

    Returns:
        ``ratio``, ``least``, ``met`` (None where unknown) and ``sentence``.
    """
    if name not in QRS_CLASSES:
        return None
    known = ratio is not None and np.isfinite(ratio)
    asked = f"the {LEAST_QRS_RATIO:g} that is asked of a conduction disturbance"
    if not known or ratio is None:
        met, said = None, f"whether what speaks for {name} lies in the QRS complex is not known, for no waves are"
    elif ratio >= LEAST_QRS_RATIO:
        also = f" ({', '.join(others)} in the same split)" if others else ""
        met, said = True, (
            f"what speaks for {name} lies in the QRS complex {ratio:.1f} times as much as its share of time, above "
            f"{asked}; attributions of other classes lie there too{also}, for it is the largest wave: the figure "
            "shows that the model does not read noise, not that it reads conduction"
        )  # fmt: skip
    else:
        met, said = False, (
            f"what speaks for {name} lies in the QRS complex only {ratio:.1f} times as much as its share of time, "
            f"below {asked}: the model did not read it where a cardiologist does"
        )  # fmt: skip
    return {"ratio": round(float(ratio), 6) if known and ratio is not None else None, "least": LEAST_QRS_RATIO,
            "met": met, "sentence": said}  # fmt: skip


def describe(explanation: Explanation, name: str) -> list[str]:
    """Sentences on one class, without a full stop.

    What all values sum to, what is odd about that, the three strongest leads by what they added, the waves by share of
    attribution over share of time, how many beats these stand on, and what each fact added.
    """
    method, k = METHODS[explanation.method], explanation.classes.index(name)
    lines = [title_of(explanation, name), sum_sentence(explanation, name)]
    lines += filter(None, [below_half_sentence(explanation, name)])
    if method.by_lead and method.unit == LOGIT:
        added = explanation.contributions[k]
        strongest = np.argsort(-np.abs(added), kind="stable")[:_STRONGEST]
        each = ", ".join(f"{explanation.record.leads[i]} {added[i]:+.2f}" for i in strongest)
        lines.append(f"strongest leads: {each} (log-odds)")
    if method.by_time:
        lines += _wave_lines(explanation, name)
    for fact, values in explanation.facts.items():
        lines.append(f"{fact} added {values[k]:+.2f}")
    return lines


def _wave_lines(explanation: Explanation, name: str) -> list[str]:
    shares = [share for share in explanation.wave_shares(name) if share.time > 0 and np.isfinite(share.positive)]
    lines = []
    if shares:
        ranked = sorted(shares, key=lambda share: -share.ratio)
        each = ", ".join(f"{s.wave} {s.positive:.0%} in {s.time:.0%} of the time" for s in ranked)
        lines.append(f"what speaks for it lies in: {each}")
    lines.append(beats_sentence(explanation))
    checked = explanation.qrs_check(name)
    return [*lines, *filter(None, [explanation.rest_warning(name), checked and checked["sentence"]])]
