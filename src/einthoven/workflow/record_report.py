"""A record's findings on paper and as data: the ECG true to scale, and what a model says about it.

One idea: everything is made in memory, because what was uploaded must not reach the disk.
"""

from __future__ import annotations

import io
import json
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from einthoven.bundle import Bundle, Finding, Prediction
from einthoven.errors import EinthovenError
from einthoven.evaluation.finding_words import calibration_of, headline_of, share_of, title_of, verdict_of
from einthoven.plots.inline import PALETTE
from einthoven.plots.layout import STYLE
from einthoven.plots.paper import draw_ecg
from einthoven.record import Record

__all__ = ["NOT_A_DEVICE", "PICTURES", "findings_figure", "picture", "report_json", "report_pdf"]

NOT_A_DEVICE = "Not a medical device. For research and teaching; it must not decide about a patient."
PICTURES = ("png", "svg", "pdf")
_TONES = {"abnormal": "#a3261c", "normal": "#1a6640", "open": "#7a4b00", "refused": "#7a4b00", "nothing": "#7a4b00"}
_WIDTH, _LINE = 11.0, 0.21  # inches
_WRAP = 118  # characters of a line


def picture(record: Record, form: str) -> bytes:
    """Return the ECG on paper as a file's content.

    Args:
        record: one ECG; of long ones the first 10 s.
        form: one of ``PICTURES``.

    Raises:
        EinthovenError: another form.
    """
    if form not in PICTURES:
        raise EinthovenError(f"a picture is made as {', '.join(PICTURES)}, got {form!r}")
    buffer = io.BytesIO()
    unstated = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    with rc_context({"svg.hashsalt": "einthoven"}):
        draw_ecg(record).savefig(buffer, format=form, dpi=200, metadata=unstated)
    return buffer.getvalue()


def report_pdf(record: Record, prediction: Prediction, bundle: Bundle) -> bytes:
    """Return a PDF of two pages: the ECG true to scale, and the findings with their limits."""
    buffer = io.BytesIO()
    with PdfPages(buffer, metadata={"CreationDate": None, "Title": f"ECG {record.record_id}"}) as pages:
        pages.savefig(draw_ecg(record))
        pages.savefig(findings_figure(record, prediction, bundle))
    return buffer.getvalue()


def report_json(record: Record, prediction: Prediction, bundle: Bundle, file: str = "") -> str:
    """Return what was read and found as JSON; ``file`` is the name that it came by."""
    values: dict[str, Any] = {
        "note": NOT_A_DEVICE,
        "file": file or None,
        "record": {
            "record_id": record.record_id,
            "leads": list(record.leads),
            "fs_hz": record.fs,
            "duration_s": round(record.duration_s, 3),
            "unit": record.unit,
            "age": record.age,
            "sex": record.sex,
            "notes": list(record.notes),
        },
        "model": {
            "name": bundle.name,
            "files_sha256": dict(bundle.about["files"]),
            "calibration": calibration_of(bundle.about),
            "attribution": bundle.about["provenance"].get("attribution"),
        },
        "headline": headline_of(prediction)._asdict(),
        "prediction": prediction.to_dict(),
    }
    return json.dumps(values, indent=1, ensure_ascii=False)


@rc_context(STYLE)
def findings_figure(record: Record, prediction: Prediction, bundle: Bundle) -> Figure:
    """Draw what a model says about a record as a page: headline, a bar for each class with its threshold, notes."""
    words = _wrapped(_remarks(record, prediction, bundle))
    height = 2.1 + 0.52 * len(prediction.findings) + _LINE * len(words)
    figure = Figure(figsize=(_WIDTH, max(height, 4.0)))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, _WIDTH), ylim=(max(height, 4.0), 0))
    axes.axis("off")
    headline = headline_of(prediction)
    _text(axes, 0.5, 0.45, NOT_A_DEVICE, size=10, weight="bold", color="#a3261c")
    _text(axes, 0.5, 0.8, f"{record.record_id or 'ECG'}, judged by {bundle.name}", size=10)
    _text(axes, 0.5, 1.15, headline.text, size=14, weight="bold", color=_TONES[headline.tone])
    _text(axes, 0.5, 1.48, headline.more, size=9.5)
    y = 1.95
    for finding in prediction.findings:
        _bar(axes, y, finding, bundle)
        y += 0.52
    for line in words:
        _text(axes, 0.5, y + 0.1, line, size=9)
        y += _LINE
    return figure


def _bar(axes: Axes, y: float, finding: Finding, bundle: Bundle) -> None:
    verdict = verdict_of(finding, bundle)
    colour, left, width = _TONES.get(verdict.tone, PALETTE["muted"]), 3.6, 3.2
    _text(axes, 0.5, y, f"{title_of(finding)} ({finding.name})", size=10.5, weight="bold")
    axes.barh(y, width, 0.16, left=left, color=PALETTE["grid"])
    axes.barh(y, width * finding.probability, 0.16, left=left, color=colour)
    if finding.threshold is not None:
        axes.plot([left + width * finding.threshold] * 2, [y - 0.14, y + 0.14], color=PALETTE["ink"], linewidth=1.6)
    _text(axes, 6.95, y, share_of(finding.probability), size=10)
    _text(axes, 7.8, y, verdict.word, size=10, weight="bold", color=colour)
    _text(axes, 0.5, y + 0.2, verdict.more, size=8.5, color=PALETTE["muted"])


def _remarks(record: Record, prediction: Prediction, bundle: Bundle) -> list[str]:
    flags = [f"{'Refused' if flag.refuse else 'Caution'}: {flag.text}." for flag in prediction.flags]
    leads = f"{len(record.leads)} leads, {record.fs:g} Hz, {record.duration_s:.1f} s."
    return [
        "Bars show the probability, marks the threshold from which a class is reported.",
        *flags,
        f"What was read: {leads}",
        *dict.fromkeys(prediction.notes or record.notes),
        f"Probabilities: {calibration_of(bundle.about)}",
        "A class that is not reported is not excluded, and conditions outside this list are unknown to the model.",
    ]


def _wrapped(sentences: list[str]) -> list[str]:
    from textwrap import wrap

    return [line for text in sentences for line in wrap(text, _WRAP)]


def _text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x, y, text, va="center", parse_math=False, **style)
