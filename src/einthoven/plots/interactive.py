"""An ECG to zoom, measure and question: one HTML document that needs nothing else.

One idea: the page carries the samples, not pictures of them, and draws only what is seen; so calipers read the record
itself, and half an hour is as quick as ten seconds.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Collection, Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.files import atomic_write
from einthoven.labels import NORMAL_CLASSES
from einthoven.plots.explanation import full_colour
from einthoven.plots.lead_places import Layout, layout_of
from einthoven.plots.sheet_text import heading, statement_words
from einthoven.record import Record

__all__ = ["interactive_ecg", "save_interactive", "viewer_assets", "viewer_fragment"]

_FOLDER = Path(__file__).parent / "ecg_viewer"
# In the order in which they build on each other.
_SCRIPTS = (
    "elements",
    "data",
    "colours",
    "calipers",
    "plan",
    "view",
    "draw",
    "figure",
    "gestures",
    "stage",
    "controls",
)
_MISSING = -32768
_LARGEST = 32767
_FINEST = 0.001  # mV per step: a microvolt
_LEVELS = 2000  # of an attribution, from 0 to its greatest value


def interactive_ecg(
    record: Record,
    *,
    title: str | None = None,
    height: int | None = None,
    note: str = "Not a medical device.",
    **figure: Any,
) -> str:
    """Return a record as an interactive figure: a whole HTML document without any reference to elsewhere.

    It zooms (wheel, pinch, buttons, keys) and pans, changes layout, speed and gain, enlarges or hides leads, and has
    calipers that read ms, mV and beats per minute. It serves as a file and as the ``srcdoc`` of a frame.

    Args:
        record: of any leads and length.
        title: replaces the first line, which tells who and how.
        height: of the drawing in CSS pixels; by default the figure fills the window, or is as high as its sheet on a
            narrow screen; a frame that does not scroll should state it.
        note: stands below.
        figure: overlays, layout and the like, as of ``viewer_fragment``.

    Raises:
        RecordError: as ``viewer_fragment``.
    """
    who = title or _who(record)
    codes = ", ".join(statement_words(record))
    below = " ".join([*record.notes, note])
    viewer = viewer_fragment(record, title=who, height=height or 0, **figure)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(who)}</title>\n'
        f"<style>\n{_read('page.css')}</style>\n{viewer_assets()}\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(who)}</h1>\n{f'<p>{escape(codes)}</p>' if codes else ''}\n{viewer}\n"
        f'<p class="ecg-aside">{escape(below)}</p>\n</main>\n</body>\n</html>\n'
    )


def viewer_fragment(
    record: Record,
    *,
    overlays: Mapping[str, NDArray[np.floating]] | None = None,
    overlay_unit: str = "log-odds per sample",
    shown: str | None = None,
    normal: Collection[str] = NORMAL_CLASSES,
    layout: Layout | None = None,
    title: str | None = None,
    height: int | None = None,
) -> str:
    """Return the figure as an element for a page that has ``viewer_assets`` once; several can share the page.

    Args:
        record: of any leads and length.
        overlays: attributions by name of the class, each of the signal's shape (leads, samples); above 0 speaks for the
            class, below 0 against. They are drawn as colour behind the trace, one at a time.
        overlay_unit: of their values.
        shown: the overlay that is seen first; none by default.
        normal: overlays whose class is no abnormality; what speaks for them is green.
        layout: that is seen first; by default ``3x4+1`` for ten seconds of twelve leads on a wide screen, else
            ``12x1``.
        title: names the figure for a screen reader.
        height: of the drawing in CSS pixels; by default as high as the sheet is at the figure's width; 0 leaves it to
            the page's styles.

    Raises:
        RecordError: an empty record, a layout that the leads do not allow, or an overlay of another shape.
    """
    if not record.n_samples or not record.leads:
        raise RecordError(f"{record.record_id or 'record'}: has no samples to draw")
    given = dict(overlays or {})
    if shown is not None and shown not in given:
        raise RecordError(f"no overlay {shown!r} to show; there are {', '.join(given) or 'none'}")
    steps, step = _steps(record.signal)
    carried = {
        "title": title or _who(record),
        "fs": record.fs,
        "unit": "mV" if record.unit == "mV" else "unit",
        "leads": record.leads,
        "layout": layout and layout_of(record, layout),
        "step": step,
        "signal": _packed(steps),
        "overlays": [_overlay(record, name, values, name in normal) for name, values in given.items()],
        "overlayUnit": overlay_unit,
        "shown": None if shown is None else list(given).index(shown),
    }
    text = json.dumps(carried, separators=(",", ":")).replace("<", "\\u003c")  # no end of the script within it
    form = ' natural=""' if height is None else f' style="--ecg-height:{height:d}px"' if height else ""
    return f'<ecg-viewer{form}><script type="application/json">{text}</script></ecg-viewer>'


def viewer_assets() -> str:
    """Return style and script of the figure, to stand once in a page."""
    return f'<style>\n{_read("viewer.css")}</style>\n<script type="module">\n{_script()}</script>'


def save_interactive(record: Record, path: str | Path, **options: Any) -> None:
    """Write ``interactive_ecg`` (same options) to a file, whole or not at all.

    Raises:
        RecordError: the name does not end in .html, or what ``interactive_ecg`` raises.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise RecordError(f"an interactive ECG is a page; {path.name!r} must end in .html")
    text = interactive_ecg(record, **options)
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _who(record: Record) -> str:
    return heading(record).replace("   ", " \u00b7 ")


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _script() -> str:
    """The modules in one script, each in a function of its own as browsers keep them apart."""
    return "".join(_module(name, _read(f"{name}.js")) for name in (*_SCRIPTS, "main"))


def _module(name: str, text: str) -> str:
    text = re.sub(r'^import (\{[^}]*\}) from "\./(\w+)\.js";', r"const \1 = ecg_\2;", text, flags=re.MULTILINE)
    exported = re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", text, flags=re.MULTILINE)
    text = re.sub(r"^export ", "", text, flags=re.MULTILINE)
    return f"const ecg_{name} = (() => {{\n{text}return {{ {', '.join(exported)} }};\n}})();\n"


def _steps(signal: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """Signal in int16 steps of a microvolt, or of more where it is too large for that; what is missing has a code."""
    known = np.isfinite(signal)
    largest = float(np.abs(signal[known]).max()) if known.any() else 0.0
    step = max(_FINEST, largest / _LARGEST)
    steps = np.rint(np.where(known, signal, 0.0) / step)
    return np.where(known, steps, _MISSING).astype(np.int16), step


def _packed(steps: NDArray[np.int16]) -> str:
    """Differences in time, which are small, deflated; they wrap around as the reader's sums do."""
    first = np.diff(steps, axis=1, prepend=np.zeros((len(steps), 1), np.int16))
    return base64.b64encode(zlib.compress(first.astype("<i2").tobytes(), 9)).decode()


def _overlay(record: Record, name: str, values: NDArray[np.floating], normal: bool) -> dict[str, Any]:
    values = np.asarray(values, np.float64)
    if values.shape != record.signal.shape:
        raise RecordError(f"overlay {name!r} has shape {values.shape}, the record {record.signal.shape}")
    if not np.isfinite(values).all():
        raise RecordError(f"overlay {name!r} has values that are no numbers")
    largest = max(float(np.abs(values).max()), 1e-12)
    return {
        "name": name,
        "normal": normal,
        "step": largest / _LEVELS,
        "full": full_colour(values, record.fs),
        "data": _packed(np.rint(values / largest * _LEVELS).astype(np.int16)),
    }
