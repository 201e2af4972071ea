"""An explanation in words: the finding, its strongest leads and waves, and how sure the sums are."""

from __future__ import annotations

import numpy as np

from einthoven.explain.explanation import Explanation
from einthoven.explain.methods import LOGIT, METHODS

__all__ = ["NORMAL", "describe", "title_of"]

NORMAL = "NORM"
_STRONGEST = 3


def title_of(explanation: Explanation, name: str) -> str:
    """One line: record, class in words, probability and decision; a normal ECG is never called a finding."""
    finding = explanation.finding(name)
    record = explanation.record.record_id or "ECG"
    limit = "" if finding.threshold is None else f" (reported from {finding.threshold:.2f})"
    if finding.present:
        said = "looks normal" if name == NORMAL else "found"
    else:
        said = "not called normal" if name == NORMAL else "not found"
    words = finding.description or name
    return f"{record}: {name}, {words}: {said}, probability {finding.probability:.2f}{limit}"


def describe(explanation: Explanation, name: str) -> list[str]:
    """Sentences on one class, without a full stop.

    The three strongest leads by what they added, the waves by share of attribution over share of time.
    """
    method, k = METHODS[explanation.method], explanation.classes.index(name)
    lines = [title_of(explanation, name)]
    if method.by_lead and method.unit == LOGIT:
        added = explanation.contributions[k]
        strongest = np.argsort(-np.abs(added), kind="stable")[:_STRONGEST]
        each = ", ".join(f"{explanation.record.leads[i]} {added[i]:+.2f}" for i in strongest)
        whole = f", of {added.sum():+.2f} in all" if method.complete else ""
        lines.append(f"strongest leads: {each}{whole} (log-odds)")
    shares = [share for share in explanation.wave_shares(name) if share.time > 0 and np.isfinite(share.positive)]
    if shares:
        ranked = sorted(shares, key=lambda share: -share.ratio)[:_STRONGEST]
        each = ", ".join(f"{s.wave} {s.positive:.0%} in {s.time:.0%} of the time" for s in ranked)
        lines.append(f"what speaks for it lies in: {each}")
    elif method.by_time:
        lines.append("waves: none, for no beats are clear in this record or NeuroKit is not installed")
    for fact, values in explanation.facts.items():
        lines.append(f"{fact} added {values[k]:+.2f}")
    return lines
