"""What Streamlit runs for each visit: the frame, and the page that was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import streamlit as st

from einthoven.explorer.frame import dress, sentences

# Streamlit puts the folder of its script among those of packages, where a module of ours could hide somebody else's.
sys.path[:] = [path for path in sys.path if Path(path) != Path(__file__).parent]

# A file of our own: an icon that is named would be fetched from elsewhere.
_ICON = Path(__file__).with_name("icon.svg")


def _page(name: str) -> Callable[[], None]:
    """A page that is imported when it is shown, so that the first one is there at once."""

    def show() -> None:
        with sentences("the page"):
            import_module(f"einthoven.explorer.page_{name}").show()

    return show


st.set_page_config(page_title="Einthoven Explorer", page_icon=_ICON, layout="wide")
chosen = st.navigation(
    [
        st.Page(_page("ecg"), title="Read an ECG", icon=":material/cardiology:", url_path="ecg", default=True),
        st.Page(_page("runs"), title="Runs", icon=":material/monitoring:", url_path="runs"),
        st.Page(_page("datasets"), title="Datasets", icon=":material/dataset:", url_path="datasets"),
    ],
    position="top",
)
dress()
chosen.run()
