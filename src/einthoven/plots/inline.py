"""Figures for a page and for files: SVG that follows the page's fonts and colours, and atomic PNG and SVG.

matplotlib names its colours; the page decides what they are, so one drawing serves light and dark.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from html import escape
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from einthoven.errors import EinthovenError
from einthoven.files import atomic_write

__all__ = ["PALETTE", "figure_svg", "save_figure"]

# On white; each has a contrast of at least 3:1 there. ``figure_svg`` turns them into CSS variables, so that a page can
# choose other ones for its dark form.
PALETTE = {
    "ink": "#1b2027",
    "muted": "#5a6472",
    "faint": "#b9c0ca",
    "grid": "#e4e7ec",
    "series-1": "#1c5fa8",
    "series-2": "#c24a17",
    "series-3": "#1a7a5b",
    "series-4": "#86479f",
    "series-5": "#936600",
    "series-6": "#0f7590",
    "series-7": "#b32d63",
    "series-8": "#4d5766",
}


def figure_svg(fig: Figure, label: str = "") -> str:
    """Return a figure as an ``<svg>`` element to put into a page.

    Text stays text in the page's own font; colours of ``PALETTE`` become ``var(--fig-NAME, #colour)``; ids are unique
    to the drawing, so several can share a page. The same figure gives the same characters.

    Args:
        fig: the figure; its background is left out.
        label: what a screen reader says.
    """
    text = _svg_bytes(fig, transparent=True).decode()
    view = text.split('viewBox="', 1)[1].split('"', 1)[0]
    # matplotlib's style element would apply to the whole page.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*", " ", text.split("<svg", 1)[1].split(">", 1)[1])
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    prefix = hashlib.sha256(text.encode()).hexdigest()[:8]
    body = re.sub(r"<[^>]*>", lambda tag: _tidy_tag(tag[0], used, prefix), text)
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="{view}" style="stroke-linejoin:round" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{body.strip()}'
    )


def _tidy_tag(tag: str, used: set[str], prefix: str) -> str:
    """Two decimals, colours as variables, no font of its own, ids only where used; text between tags is untouched."""
    tag = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), tag)
    tag = re.sub(r"font-family: [^;\"]*;? ?", "", tag)
    tag = re.sub(r' id="([^"]*)"', lambda m: f' id="{prefix}{m[1]}"' if m[1] in used else "", tag)
    tag = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", tag)
    for name, colour in PALETTE.items():
        tag = tag.replace(colour, f"var(--fig-{name}, {colour})")
    return tag


def _svg_bytes(fig: Figure, *, transparent: bool) -> bytes:
    buffer = io.BytesIO()
    unstated = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": "einthoven", "svg.fonttype": "none"}):
        fig.savefig(buffer, format="svg", metadata=unstated, transparent=transparent)
    return buffer.getvalue()


def save_figure(fig: Figure, path: Path) -> None:
    """Write a figure as PNG (200 dots per inch), SVG or PDF, by the ending of ``path``; whole or not at all.

    Raises:
        EinthovenError: another ending, or the file cannot be written.
    """
    writers: dict[str, Callable[[Path], object]] = {
        ".png": lambda file: fig.savefig(file, format="png", dpi=200, metadata={"Software": None}),
        ".svg": lambda file: file.write_bytes(_svg_bytes(fig, transparent=False)),
        ".pdf": lambda file: fig.savefig(file, format="pdf", metadata={"CreationDate": None}),
    }
    if path.suffix not in writers:
        raise EinthovenError(f"a figure is written as .png, .svg or .pdf, got {path.name!r}")
    with atomic_write(path) as temporary:
        writers[path.suffix](temporary)
