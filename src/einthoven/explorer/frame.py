"""The frame of every page: its style, the notice that stays visible, headings with help, and errors as sentences."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from einthoven.errors import EinthovenError, MissingExtraError
from einthoven.explorer.plain_words import HELP

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["card", "draw", "dress", "note", "put", "section", "sentences"]

_LOG = logging.getLogger(__name__)
_STYLE = Path(__file__).with_name("explorer.css")
_NOTICE = (
    '<p class="ein-notice" role="note"><strong>Not a medical device.</strong> For research and teaching; it must not '
    "decide about a patient.</p>"
)


def dress() -> None:
    """Put style and notice onto the page."""
    st.html(f"<style>{_STYLE.read_text(encoding='utf-8')}</style>")
    st.html(_NOTICE)


def section(title: str, topic: str | None = None, level: int = 2) -> None:
    """Write a heading, and below it what it means, for those who open it."""
    more = ""
    if topic:
        question, answer = HELP[topic]
        more = f'<details class="ein-help"><summary>{question}</summary><p>{answer}</p></details>'
    st.html(f'<h{level} class="ein-heading">{title}</h{level}>{more}')


def card(key: str) -> DeltaGenerator:
    """A box for a section; its key must be unique on the page."""
    return st.container(border=True, key=f"card-{key}")


def put(html: str) -> None:
    """Write HTML of ``markup``, which may be nothing."""
    if html:
        st.html(html)


def draw(figure: Figure, words: str) -> None:
    """Show a figure; ``words`` say below it what it shows."""
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=180, facecolor="white")
    st.image(buffer.getvalue(), caption=words, alt=words, width="stretch")


def note(text: str, tone: str = "quiet") -> None:
    """Write one sentence in a tone: quiet, bad or open."""
    from html import escape

    role = ' role="alert"' if tone == "bad" else ""
    st.html(f'<p class="ein-note ein-{tone}"{role}>{escape(text)}</p>')


@contextmanager
def sentences(what: str) -> Iterator[None]:
    """Turn errors inside into a sentence on the page; the rest of the page goes on.

    Args:
        what: names the part, as "the explanation"; a defect of ours is reported with it, its traceback goes to the log.
    """
    try:
        yield
    except EinthovenError as error:
        note(str(error), "bad")
    except ModuleNotFoundError as error:
        note(str(MissingExtraError(f"{what} ({error.name})", "explore")), "bad")
    except Exception:  # a page must not show a traceback; the log has it
        _LOG.exception("defect in %s", what)
        note(f"Something went wrong inside {what}; that is a defect of this program, and its log says more.", "bad")
