"""The page that reads an ECG: what was read, what a model says, the tracing, and why."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from einthoven.bundle import Prediction
from einthoven.explorer.choose_ecg import Taken, choose_ecg
from einthoven.explorer.choose_model import Chosen, choose_model
from einthoven.explorer.frame import card, put, section, sentences
from einthoven.explorer.markup import notes, record_facts
from einthoven.explorer.models import judge
from einthoven.explorer.show_findings import show_doubts, show_findings
from einthoven.explorer.show_paper import show_downloads, show_tracing
from einthoven.explorer.show_second import show_second
from einthoven.explorer.show_similar import show_similar
from einthoven.explorer.show_why import show_why

__all__ = ["show"]

Show = Callable[[Taken, Chosen, Prediction], None]
_PARTS: tuple[tuple[str, Show, str], ...] = (
    ("why", show_why, "the explanation"),
    ("similar", show_similar, "the search for similar ECGs"),
    ("second", show_second, "the comparison"),
    ("downloads", show_downloads, "the download"),
)


def show() -> None:
    """Draw the page."""
    section("Read an ECG", level=1)
    left, right = st.columns(2)
    taken: Taken | None = None
    chosen: Chosen | None = None
    with left, card("ecg"), sentences("reading the ECG"):
        taken = choose_ecg()
        if taken is not None:
            section("What was read", "read", level=3)
            put(record_facts(taken.record, taken.name) + notes(taken.record.notes))
    with right, card("model"), sentences("loading the model"):
        chosen = choose_model("first")
    if taken is None:
        return
    prediction = _judged(taken, chosen) if chosen is not None else None
    with card("tracing"), sentences("the tracing"):
        section("Tracing", "tracing")
        show_tracing(taken.record)
    if chosen is not None and prediction is not None and not prediction.refused:
        for key, show_it, what in _PARTS:
            with card(key):
                _part(show_it, taken, chosen, prediction, what)


def _judged(taken: Taken, chosen: Chosen) -> Prediction | None:
    prediction: Prediction | None = None
    left, right = st.columns([3, 2])
    with left, card("findings"), sentences("judging the ECG"):
        section("What the model says", "findings")
        prediction = judge(taken.record, chosen.bundle, chosen.backend)
        show_findings(prediction, chosen.bundle)
    if prediction is not None:
        with right, card("doubts"):
            section("How far to believe it")
            show_doubts(prediction, chosen.bundle, taken.record)
    return prediction


@st.fragment
def _part(show_it: Show, taken: Taken, chosen: Chosen, prediction: Prediction, what: str) -> None:
    """Draw a section that is computed again by itself; errors stay within it."""
    with sentences(what):
        show_it(taken, chosen, prediction)
