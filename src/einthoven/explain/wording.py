"""An explanation in words: the finding, its sum, its strongest leads and waves, and what not to read into it.

Sentences come without a capital and a full stop, so that they can stand in a terminal, in JSON and on a page alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from einthoven.bundle import Finding, Prediction
from einthoven.explain.catalogue import LOGIT, METHODS
from einthoven.labels import NORMAL_CLASSES

if TYPE_CHECKING:
    from einthoven.explain.explanation import Explanation

__all__ = [
    "LEAST_QRS_RATIO",
    "QRS_CLASSES",
    "beats_sentence",
    "describe",
    "findings_sentence",
    "is_normal",
    "qrs_check",
    "rest_sentence",
    "sample_unit",
    "sum_sentence",
    "title_of",
    "verdict",
]

_STRONGEST = 3
# Disturbances of conduction within the ventricles: what a cardiologist measures lies in the QRS complex.
QRS_CLASSES = frozenset(
    ("CD", "CLBBB", "CRBBB", "ILBBB", "IRBBB", "LBBB", "RBBB", "IVCD", "LAFB", "LPFB", "LAFB/LPFB", "WPW")
)
LEAST_QRS_RATIO = 1.5


def is_normal(name: str) -> bool:
    """Whether a class is that of a normal ECG, a normal rhythm or a normal beat: never an abnormality."""
    return name in NORMAL_CLASSES


def verdict(finding: Finding) -> str:
    """The decision in words: a normal ECG is never called a finding, and no finding is never called normal."""
    if finding.present is None:
        return "not decided, for the model has no threshold for it"
    if finding.name == NORMAL_CLASSES[0]:
        return "looks normal" if finding.present else "not called normal"
    if is_normal(finding.name):
        return "seen" if finding.present else "not seen"
    if finding.overruled:
        return "not found, overruled by a stronger finding"
    return "found" if finding.present else "not found"


def title_of(explanation: Explanation, name: str) -> str:
    """One line: record, class in words, decision and probability."""
    finding = explanation.finding(name)
    record = explanation.record.record_id or "ECG"
    limit = "" if finding.threshold is None else f" (reported from {finding.threshold:.2f})"
    words = finding.description or name
    return f"{record}: {name}, {words}: {verdict(finding)}, probability {finding.probability:.2f}{limit}"


def findings_sentence(prediction: Prediction) -> str:
    """What the model says about the record as a whole."""
    present = [finding for finding in prediction.findings if finding.present]
    if found := [finding for finding in present if not is_normal(finding.name)]:
        return f"found: {_listed(found)}"
    if any(finding.name == NORMAL_CLASSES[0] for finding in present):
        return f"the model reports no abnormality and calls this {_listed(present)}"
    if present:
        return f"no abnormality was found, which is not the same as a normal ECG; seen: {_listed(present)}"
    return "nothing was found; that is not the same as a normal ECG"


def _listed(findings: Sequence[Finding]) -> str:
    return ", ".join(f"{each.description or each.name} (probability {each.probability:.2f})" for each in findings)


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


def beats_sentence(explanation: Explanation) -> str:
    """How many beats got waves and how many were left out."""
    waves = explanation.waves
    if waves is None:
        return "waves: none, for no beats are clear in this record or NeuroKit is not installed"
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
        met, said = None, f"whether what speaks for {name} lies in the QRS complex is not known: no waves were clear"
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

    What all values sum to, the three strongest leads by what they added, the waves by share of attribution over share
    of time, how many beats these stand on, and what each fact added.
    """
    method, k = METHODS[explanation.method], explanation.classes.index(name)
    lines = [title_of(explanation, name), sum_sentence(explanation, name)]
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
