"""A second model on the same ECG: where both agree, and where the finding hangs on the model."""

from __future__ import annotations

import streamlit as st

from einthoven.bundle import Bundle, Finding, Prediction
from einthoven.evaluation.finding_words import share_of, verdict_of
from einthoven.evaluation.wording import ABSENT, decimal, in_words
from einthoven.explorer.choose_ecg import Taken
from einthoven.explorer.choose_model import Chosen, choose_model
from einthoven.explorer.frame import note, put, section
from einthoven.explorer.markup import headline, table
from einthoven.explorer.models import judge

__all__ = ["agreement", "show_second"]


def show_second(taken: Taken, chosen: Chosen, prediction: Prediction) -> None:
    """Draw the section; the second model is loaded when it is asked for.

    Raises:
        EinthovenError: the second model cannot be loaded.
    """
    section("A second model", "second")
    if not st.toggle("Compare with a second model", key="second asked"):
        return
    other = choose_model("second", title="", start=1)
    if other is None:
        return
    if (other.bundle.path, other.backend) == (chosen.bundle.path, chosen.backend):
        note("That is the same model; choose another one, or another way to compute it.")
        return
    theirs = judge(taken.record, other.bundle, other.backend, "second prediction")
    names = _names(chosen, other)
    put(headline(theirs))
    note(agreement(prediction, theirs, *names))
    if not theirs.refused:
        rows = _rows(prediction, theirs, chosen.bundle, other.bundle)
        columns = ("Class", names[0], "threshold", "said", names[1], "threshold", "said")
        put(table(columns, rows, "Probabilities, thresholds and decisions side by side"))


def _names(one: Chosen, other: Chosen) -> tuple[str, str]:
    if one.bundle.name != other.bundle.name:
        return one.bundle.name, other.bundle.name
    if one.backend != other.backend:
        return f"{one.bundle.name} ({one.backend})", f"{other.bundle.name} ({other.backend})"
    return f"{one.bundle.path.parent.name}: {one.bundle.name}", f"{other.bundle.path.parent.name}: {other.bundle.name}"


def agreement(one: Prediction, other: Prediction, name: str, other_name: str) -> str:
    """Say in words where the reports of two models agree; classes that one does not know are told apart.

    Args:
        one: what the first model says.
        other: what the second says.
        name: of the first model.
        other_name: of the second.
    """
    if other.refused:
        return f"{other_name} refuses this ECG, so there is nothing to compare."
    present = [{finding.name for finding in each.findings if finding.present} for each in (one, other)]
    known = [{finding.name for finding in each.findings} for each in (one, other)]
    shared = known[0] & known[1]
    if not shared:
        return f"{name} and {other_name} have no class in common."
    parts = []
    for words, some in (
        ("both report", present[0] & present[1]),
        (f"only {name} reports", (present[0] - present[1]) & shared),
        (f"only {other_name} reports", (present[1] - present[0]) & shared),
    ):
        if some:
            parts.append(f"{words} {in_words(sorted(some))}")
    said = "; ".join(parts) or "neither reports any of them, which is not the finding of a normal ECG"
    alone = known[0] ^ known[1]
    more = f" {len(alone)} classes are known to one of them only." if alone else ""
    return f"Of {len(shared)} classes that both know: {said}.{more}"


def _rows(one: Prediction, other: Prediction, first: Bundle, second: Bundle) -> list[tuple[str, ...]]:
    ours = {finding.name: finding for finding in one.findings}
    theirs = {finding.name: finding for finding in other.findings}
    names = dict.fromkeys([*ours, *theirs])
    return [(name, *_cells(ours.get(name), first), *_cells(theirs.get(name), second)) for name in names]


def _cells(finding: Finding | None, bundle: Bundle) -> tuple[str, str, str]:
    if finding is None:
        return ABSENT, ABSENT, "not known to it"
    return share_of(finding.probability), decimal(finding.threshold, 2), verdict_of(finding, bundle).word
