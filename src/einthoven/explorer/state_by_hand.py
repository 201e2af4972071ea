"""What a file does not say: its user states rate, unit, leads, age and sex, with the signals in sight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from einthoven.explorer.frame import note
from einthoven.explorer.intake import Preview, may_be_stated, preview_of, usual_names
from einthoven.explorer.memory import remembered
from einthoven.formats.uploads import Uploads
from einthoven.leads import TWELVE_LEADS

__all__ = ["state_by_hand"]

_UNITS = ("as the file says", "mV", "uV", "nV", "V", "normalised")
_SEXES = ("not stated", "female", "male")
_LEADS = (*TWELVE_LEADS, "V3R", "V4R", "V7", "V8", "V9", "vx", "vy", "vz")
_ACROSS = 4


def state_by_hand(
    files: Mapping[str, bytes], first: Uploads, name: str, identity: tuple[Any, ...]
) -> dict[str, Any] | None:
    """Draw the form; return what was stated of a file, None where nothing was.

    Args:
        files: of the upload.
        first: how they were read.
        name: of the file that is meant.
        identity: of the upload.
    """
    failed = name in first.failed
    preview = None
    if failed and may_be_stated(first.failed[name]):
        preview = remembered("preview", (identity, name), lambda: preview_of(files, name))
    if failed and preview is None:
        return None  # no signal is in it, so there is nothing to state
    key = f"stated {name}"
    title = "Say what the file does not" if failed else "Is something wrong? State it"
    with st.expander(title, expanded=failed):
        if preview is not None:
            _show(preview)
        with st.form(key, border=False):
            stated = _fields(name, preview)
            if st.form_submit_button("Read it so"):
                st.session_state[f"{key} kept"] = (identity, stated)
    kept = st.session_state.get(f"{key} kept")
    return kept[1] or None if kept and kept[0] == identity else None


def _show(preview: Preview) -> None:
    import io

    from einthoven.plots.paper import draw_ecg

    buffer = io.BytesIO()
    draw_ecg(preview.record, layout="12x1", title="Not to scale").savefig(buffer, dpi=80)
    words = f"The {preview.n_signals} signals of the file, in its order"
    st.image(buffer.getvalue(), caption=words, alt=words)


def _fields(name: str, preview: Preview | None) -> dict[str, Any]:
    fs, unit = st.columns(2)
    rate = fs.number_input("Rate in Hz", 0.0, 100_000.0, value=None, step=1.0, placeholder="as 500", key=f"fs {name}")
    scale = unit.selectbox("Unit", _UNITS, key=f"unit {name}")
    leads = _lead_fields(name, preview)
    age, sex = st.columns(2)
    years = age.number_input("Age in years", 0.0, 130.0, value=None, step=1.0, placeholder="unknown", key=f"age {name}")
    which = sex.selectbox("Sex", _SEXES, key=f"sex {name}")
    stated: dict[str, Any] = {"fs": rate or None, "leads": leads, "age": years}
    stated["unit"] = None if scale == _UNITS[0] else scale
    stated["sex"] = None if which == _SEXES[0] else which
    return {key: value for key, value in stated.items() if value is not None}


def _lead_fields(name: str, preview: Preview | None) -> tuple[str, ...] | None:
    """A list for each signal where their number is known, else one line of text."""
    if preview is None:
        text = st.text_input("Lead names in the file's order", placeholder="as I, II, V1", key=f"leads {name}")
        return tuple(part.strip() for part in text.split(",") if part.strip()) or None
    note("Which lead is each column? The usual order is filled in.")
    usual, chosen = usual_names(preview.n_signals), []
    for k in range(preview.n_signals):
        if k % _ACROSS == 0:
            places = st.columns(_ACROSS)
        index = _LEADS.index(usual[k]) if k < len(usual) else 0
        chosen.append(places[k % _ACROSS].selectbox(f"Column {k + 1}", _LEADS, index=index, key=f"lead {k} {name}"))
    return tuple(chosen)
