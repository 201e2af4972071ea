"""Which model judges: ranked runs, shipped bundles, a path of one's own; and what computes it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from einthoven.bundle import Bundle, backends_of
from einthoven.evaluation.wording import cohort, counted, estimate
from einthoven.explorer.frame import note, put, section
from einthoven.explorer.markup import facts, notes
from einthoven.explorer.models import open_bundle
from einthoven.explorer.settings import current
from einthoven.workflow.choosing import Choice, find_choices

__all__ = ["Chosen", "choose_model"]

_PATH = Choice("path", "A folder that I name", "")
_AUTO = "auto"
_BACKEND_WORDS = {"onnx": "ONNX Runtime", "torch": "PyTorch"}


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A loaded model and what computes it."""

    bundle: Bundle
    backend: str


def choose_model(key: str, *, title: str = "Model", topic: str | None = "model", start: int = 0) -> Chosen | None:
    """Draw the choice and load what is chosen; None where nothing is.

    Args:
        key: of the widgets, so that a page can have two.
        title: of the section; none where empty.
        topic: of its help.
        start: which choice is preselected.

    Raises:
        EinthovenError: the chosen model cannot be loaded.
    """
    if title:
        section(title, topic)
    found = find_choices(current().runs, current().model)
    every = {choice.key: choice for choice in (*found.every, _PATH)}
    picked = st.selectbox(
        "Model",
        list(every),
        index=min(start, len(every) - 1),
        format_func=lambda each: every[each].title if each in every else each,
        key=f"model {key}",
    )
    choice = every[picked]
    where = choice.where
    if choice is _PATH:
        where = st.text_input("Folder of a bundle or a run", key=f"path {key}").strip()
        if not where:
            note("Name the folder of a bundle or a run on this computer.")
            return None
    if choice.remark:
        note(choice.remark, "open")
    loaded = _with_backend(open_bundle(where), where, key)
    put(facts(_about(loaded.bundle)) + notes(found.problems, "Runs that cannot be chosen"))
    return loaded


def _with_backend(bundle: Bundle, where: str, key: str) -> Chosen:
    """What computes the model, where there is a choice."""
    known = list(backends_of(bundle.about))
    backend = known[0]
    if len(known) > 1:
        backend = st.selectbox(
            "Computed by", known, format_func=lambda name: _BACKEND_WORDS.get(name, name), key=f"backend {key}"
        )
    return Chosen(bundle if backend == known[0] else open_bundle(where, backend), backend)


def _about(bundle: Bundle) -> dict[str, str]:
    about, spec = bundle.about, bundle.spec
    origin, network = about["provenance"], about["network"]
    rows = {
        "Network": f"{network.get('name', 'ensemble')}, {network['n_parameters']:,} parameters",
        "Reads": f"{counted(len(spec.leads), 'lead')} at {spec.fs:g} Hz, windows of {bundle.window / spec.fs:g} s",
        "Classes": _classes(bundle),
        "Trained on": f"{origin['dataset']}: {cohort(origin)}",
    }
    for split in ("test", "validation"):
        judged = about.get("metrics", {}).get(split, {})
        if "macro" in judged:
            rows[f"AUROC ({split})"] = estimate(judged["macro"]["auroc"])
            break
    if bundle.facts:
        rows["Uses too"] = ", ".join(bundle.facts[:6]) + (" ..." if len(bundle.facts) > 6 else "")
    return rows


def _classes(bundle: Bundle) -> str:
    names = ", ".join(bundle.classes[:8])
    return names if len(bundle.classes) <= 8 else f"{names} and {len(bundle.classes) - 8} more"
