"""A second model on the same ECG: where both agree, and where the finding hangs on the model."""

from __future__ import annotations

import streamlit as st

from einthoven.bundle import Bundle, Finding, Prediction
from einthoven.evaluation.finding_words import share_of, title_of, verdict_of
from einthoven.evaluation.wording import ABSENT, counted, in_words
from einthoven.explorer.choose_ecg import Taken
from einthoven.explorer.choose_model import Chosen, choose_model
from einthoven.explorer.frame import note, put, section
from einthoven.explorer.markup import folded, headline
from einthoven.explorer.models import judge

__all__ = ["agreement", "show_second", "side_by_side"]


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
        rows, first = side_by_side(prediction, theirs, chosen.bundle, other.bundle)
        columns = ("Class", "In words", names[0], "threshold", "said", names[1], "threshold", "said")
        caption = "Probabilities, thresholds and decisions side by side, what is reported first"
        put(folded(columns, rows, caption, words=2, first=first))


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
    any_of = "it" if len(shared) == 1 else "any of them"
    said = "; ".join(parts) or f"neither reports {any_of}, which is not the finding of a normal ECG"
    n_alone = len(known[0] ^ known[1])
    more = f" {counted(n_alone, 'class')} {'is' if n_alone == 1 else 'are'} known to one of them only."
    return f"Of {counted(len(shared), 'class')} that both know: {said}.{more if n_alone else ''}"


def side_by_side(
    one: Prediction, other: Prediction, first: Bundle, second: Bundle
) -> tuple[list[tuple[str, ...]], int]:
    """Rows of the table, and how many of them tell something.

    These are the classes that a model reports, or else the three likeliest; then come those that both know, and then
    the others, the likeliest first.

    Args:
        one: what the first model says.
        other: what the second says.
        first: the first model.
        second: the second one.
    """
    ours = {finding.name: finding for finding in one.findings}
    theirs = {finding.name: finding for finding in other.findings}
    both = {name: list(filter(None, (ours.get(name), theirs.get(name)))) for name in (*ours, *theirs)}
    likely = {name: max(finding.probability for finding in some) for name, some in both.items()}
    loud = [name for name, some in both.items() if any(finding.present for finding in some)]
    names = sorted(both, key=lambda name: (name not in loud, name not in loud and len(both[name]) == 1, -likely[name]))
    rows: list[tuple[str, ...]] = [
        (name, title_of(both[name][0]), *_cells(ours.get(name), first), *_cells(theirs.get(name), second))
        for name in names
    ]
    return rows, len(loud) or 3


def _cells(finding: Finding | None, bundle: Bundle) -> tuple[str, str, str]:
    if finding is None:
        return ABSENT, ABSENT, "not known to it"
    threshold = ABSENT if finding.threshold is None else share_of(finding.threshold)
    return share_of(finding.probability), threshold, verdict_of(finding, bundle).word
