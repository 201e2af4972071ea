"""The ECG itself: to zoom and measure on the page, and to take away as a picture or a report."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from einthoven.bundle import Prediction
from einthoven.explorer.choose_ecg import Taken
from einthoven.explorer.choose_model import Chosen
from einthoven.explorer.frame import note, section
from einthoven.plots.interactive import interactive_ecg
from einthoven.record import Record

__all__ = ["show_downloads", "show_tracing"]

_HEIGHT = 640


def show_tracing(
    record: Record,
    overlays: Mapping[str, NDArray[np.float32]] | None = None,
    shown: str | None = None,
    unit: str = "log-odds per sample",
) -> None:
    """Draw a record to zoom and measure, with attributions behind the trace where there are some."""
    page = interactive_ecg(record, overlays=overlays, shown=shown, overlay_unit=unit)
    st.iframe(page, height=_HEIGHT)


def show_downloads(taken: Taken, chosen: Chosen, prediction: Prediction) -> None:
    """Offer the report and the picture; they are made when the button is pressed."""
    from einthoven.workflow.record_report import picture, report_json, report_pdf

    section("Take it away")
    record, bundle = taken.record, chosen.bundle
    offers: tuple[tuple[str, str, str, Callable[[], bytes]], ...] = (
        ("Report (PDF)", "-report.pdf", "application/pdf", lambda: report_pdf(record, prediction, bundle)),
        (
            "Report (JSON)",
            "-report.json",
            "application/json",
            lambda: report_json(record, prediction, bundle, taken.name).encode(),
        ),
        ("Picture (PNG)", ".png", "image/png", lambda: picture(record, "png")),
        ("Picture (SVG)", ".svg", "image/svg+xml", lambda: picture(record, "svg")),
    )
    for place, (label, ending, mime, make) in zip(st.columns(len(offers)), offers, strict=True):
        name = f"{_file_name(record)}{ending}"
        place.download_button(label, make, name, mime, on_click="ignore", width="stretch", key=f"take {ending}")
    note("The report says on its pages that it must not decide about a patient.")


def _file_name(record: Record) -> str:
    return re.sub(r"[^\w.-]+", "-", record.record_id).strip("-.") or "ecg"
