"""Why the model says this: attributions behind the trace, by lead and by wave, with the checks in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from einthoven.bundle import Prediction
from einthoven.errors import MissingExtraError
from einthoven.evaluation.finding_words import is_normal, title_of
from einthoven.evaluation.wording import sentence
from einthoven.explorer.choose_ecg import Taken
from einthoven.explorer.choose_model import Chosen
from einthoven.explorer.frame import note, put, section
from einthoven.explorer.markup import bars_table, notes, table
from einthoven.explorer.memory import fingerprint_of, remembered
from einthoven.explorer.models import identity_of, network_of
from einthoven.explorer.show_paper import show_tracing

if TYPE_CHECKING:
    from einthoven.explain import Explanation
    from einthoven.explain.checks import Faithfulness

__all__ = ["Explained", "faithful_sentence", "show_why"]

_LONGEST_S = 120.0  # of more windows the gradients would take minutes


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """One class of one record: its explanation, and what happens when what it marks is taken away."""

    explanation: Explanation
    faithful: Faithfulness


def show_why(taken: Taken, chosen: Chosen, prediction: Prediction) -> None:
    """Draw the section; nothing is computed before it is asked for.

    Raises:
        EinthovenError: the method does not fit the network, its sum does not come out, or packages are missing.
    """
    section("Why does the model say this?", "why")
    from einthoven.explain.catalogue import METHODS

    if taken.record.duration_s > _LONGEST_S:
        note(f"A page explains recordings of up to {_LONGEST_S:g} s; for longer ones there is einthoven explain.")
        return
    left, right = st.columns(2)
    names = {finding.name: title_of(finding) for finding in prediction.findings}
    subject = (fingerprint_of(taken.record), identity_of(chosen.bundle))
    # Another ECG or model begins with its own findings: a class that was chosen for the last one was not found here.
    classes = left.multiselect(
        "Classes", list(names), default=_found(prediction), format_func=names.__getitem__, key=f"why classes {subject}"
    )
    method = right.selectbox("Method", list(METHODS), format_func=lambda key: METHODS[key].words, key="why method")
    fingerprint = (*subject, tuple(classes), method)
    if st.button("Explain", type="primary", key="why ask", disabled=not classes):
        st.session_state["why asked"] = fingerprint
    if not classes:
        note("Choose at least one class.")
    elif st.session_state.get("why asked") == fingerprint:
        _show(remembered("why", fingerprint, lambda: _explain(taken, chosen, classes, method)))
    else:
        note("It takes a few seconds for each class; what is explained is the network as it was trained.")


def _found(prediction: Prediction) -> list[str]:
    """The classes that were found, or the likeliest one where none was."""
    present = [finding.name for finding in prediction.findings if finding.present]
    return present[:3] or [max(prediction.findings, key=lambda finding: finding.probability).name]


def _explain(taken: Taken, chosen: Chosen, classes: list[str], method: str) -> dict[str, Explained]:
    bar = st.progress(0.0, "Loading the network")
    network = network_of(chosen.bundle)
    try:
        from einthoven.explain import open_subject
        from einthoven.explain.checks import faithfulness
        from einthoven.explain.explaining import explain_subject
    except ModuleNotFoundError:
        raise MissingExtraError("an explanation", "explain") from None
    subject, found = open_subject(chosen.bundle, taken.record, network), {}
    for k, name in enumerate(classes):
        bar.progress(2 * k / (2 * len(classes)), f"Explaining {name}")
        explanation = explain_subject(subject, method=method, classes=[name])
        bar.progress((2 * k + 1) / (2 * len(classes)), f"Checking the explanation of {name}")
        found[name] = Explained(explanation, faithfulness(subject, explanation.of(name), name))
    bar.empty()
    return found


def _show(found: dict[str, Explained]) -> None:
    from einthoven.explain.catalogue import METHODS, RELATIVE

    first, names = next(iter(found.values())).explanation, list(found)
    overlays = {name: each.explanation.of(name) for name, each in found.items()}
    unit = "relative" if METHODS[first.method].unit == RELATIVE else "log-odds per sample"
    show_tracing(first.record, overlays, names[0], unit)
    chosen = names[0]
    if len(names) > 1:
        chosen = st.segmented_control("In figures", names, default=names[0], required=True, key="why shown")
    _figures(found[chosen], chosen)


def _figures(each: Explained, name: str) -> None:
    from einthoven.explain.catalogue import METHODS
    from einthoven.explain.wording import describe

    found, method = each.explanation, METHODS[each.explanation.method]
    left, right = st.columns(2)
    with left:
        if method.by_lead:
            values = dict(zip(found.record.leads, found.contributions[0].tolist(), strict=True))
            against = "against a normal ECG" if is_normal(found.finding(name)) else f"against {name}"
            caption = f"What each lead added to {name}; below zero speaks {against}"
            put(bars_table(values, "+.2f", caption))
        else:
            note("This method tells moments apart, not leads.")
    with right:
        shares = found.wave_shares(name)
        if shares and np.isfinite(shares[0].positive):
            ranked = sorted(shares, key=lambda share: share.wave == "rest")
            rows = [(s.wave, f"{s.positive:.0%}", f"{s.time:.0%}", f"{s.ratio:.1f}") for s in ranked if s.time]
            columns = ("Wave", "of what speaks for it", "of the time", "ratio")
            put(table(columns, rows, "Where what speaks for it lies; a ratio of 1 is chance"))
    first, *rest = describe(found, name)
    del first  # it repeats the finding
    put(notes([faithful_sentence(each.faithful), *map(sentence, rest), *found.notes], "Checks and limits"))


def faithful_sentence(faithful: Faithfulness) -> str:
    """Say whether what is marked matters to this score more than chance does."""
    gains = faithful.gains
    deleted, inserted = gains["deletion over random"], gains["insertion over random"]
    said = (
        f"Taking away first what it marks lowers the log-odds by {deleted:.2f} more than a random order does, and "
        f"putting it back first raises them by {inserted:.2f} more"
    )
    if min(deleted, inserted) > 0:
        return f"{said}: on this ECG it marks what matters to the model."
    return f"{said}: on this ECG it is not better than chance in both, so do not rely on it."
