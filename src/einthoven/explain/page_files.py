"""``explain.html`` of files: findings in words, the ECG to zoom, what moved each, and checks of this very record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from einthoven.bundle import Finding
from einthoven.evaluation.finding_words import headline_of, rest_of, word_of
from einthoven.evaluation.report_parts import drawing
from einthoven.evaluation.wording import ABSENT, counted, decimal
from einthoven.explain.catalogue import LOGIT, METHODS
from einthoven.explain.explanation import Explanation
from einthoven.explain.page import render_page, verdict_views
from einthoven.explain.verdicts import record_verdicts
from einthoven.explain.wording import (
    beats_sentence,
    below_half_sentence,
    sample_unit,
    sum_sentence,
)
from einthoven.labels import NORMAL_CLASSES
from einthoven.plots.attributions import lead_bars_figure
from einthoven.plots.interactive import viewer_assets, viewer_fragment

__all__ = ["Gains", "write_files_page"]

_MANY = 12  # classes in sight
Gains = Mapping[str, Mapping[str, float]]  # of each class, as ``Faithfulness.gains``


def write_files_page(
    path: Path,
    explained: Mapping[str, Explanation],
    gains: Mapping[str, Gains],
    failed: Mapping[str, str],
) -> None:
    """Write one page on all files of a call.

    Args:
        path: of the page.
        explained: by name of the file; at least one.
        gains: deletion and insertion of each file and class.
        failed: reasons by name of the file.

    Raises:
        EinthovenError: the page cannot be written.
    """
    first = next(iter(explained.values()))
    method = METHODS[first.method]
    render_page(
        path,
        "page_files.html.j2",
        title=f"What moved {first.bundle}",
        assets=Markup(viewer_assets()),
        method={
            "name": first.method,
            "words": method.words,
            "meaning": method.meaning,
            "compared_with": first.compared_with,
            "unit": method.unit,
        },
        files=[_file(k, name, found, gains[name]) for k, (name, found) in enumerate(explained.items())],
        failed=dict(failed),
        n_files=counted(len(explained), "file"),
    )


def _file(number: int, name: str, found: Explanation, gains: Gains) -> dict[str, Any]:
    overlays = {each: found.of(each) for each in found.classes}
    viewer = viewer_fragment(
        found.record.with_(notes=()),
        overlays=overlays,
        overlay_unit=sample_unit(found),
        shown=found.classes[0],
        normal=NORMAL_CLASSES,
        title=f"{name}: interactive ECG",
    )
    return {
        "id": f"file-{number + 1}",
        "name": name,
        "findings": headline_of(found.prediction),
        **_decisions(found),
        "flags": [flag.text for flag in found.prediction.flags],
        "viewer": Markup(viewer),
        "unit": sample_unit(found),
        "classes": [_class(found, each) for each in found.classes],
        "beats": beats_sentence(found) if METHODS[found.method].by_time else "",
        "checks": verdict_views(record_verdicts(found, gains)),
        "notes": list(found.notes),
    }


def _decisions(found: Explanation) -> dict[str, Any]:
    """The table of classes; of many those that are neither reported nor explained fold away, the likeliest first."""
    findings = found.prediction.findings
    if len(findings) <= _MANY:
        return {"decisions": [_decision(each) for each in findings], "quiet": [], "quiet_words": ""}
    ordered = sorted(findings, key=lambda each: -each.probability)
    quiet = [each for each in ordered if not each.present and each.name not in found.classes]
    return {
        "decisions": [_decision(each) for each in ordered if each not in quiet],
        "quiet": [_decision(each) for each in quiet],
        "quiet_words": rest_of(quiet),
    }


def _decision(finding: Finding) -> dict[str, str]:
    return {
        "class": finding.name,
        "description": finding.description,
        "verdict": word_of(finding),
        "probability": decimal(finding.probability, 2),
        "threshold": ABSENT if finding.threshold is None else decimal(finding.threshold, 2),
    }


def _class(found: Explanation, name: str) -> dict[str, Any]:
    k, method, finding = found.classes.index(name), METHODS[found.method], found.finding(name)
    checked = found.qrs_check(name)
    bars = ""
    if method.by_lead and method.unit == LOGIT:
        values = found.contributions[k].tolist()
        figure = lead_bars_figure(
            found.record.leads, {"": values}, {"": np.full(len(values), np.nan).tolist()}, label="log-odds",
            normal=("",) if name in NORMAL_CLASSES else (), signed=True,
        )  # fmt: skip
        bars = drawing(figure, f"What each lead added to {name}, in log-odds")
    return {
        "name": name,
        "description": finding.description or name,
        "verdict": word_of(finding),
        "probability": decimal(finding.probability, 2),
        "sum": sum_sentence(found, name),
        "odd": below_half_sentence(found, name),
        "bars": bars,
        "waves": [
            {
                "wave": share.wave,
                "positive": decimal(100 * share.positive, 0),
                "time": decimal(100 * share.time, 0),
                "ratio": decimal(share.ratio, 1),
            }
            for share in found.wave_shares(name)
        ],
        "rest": found.rest_warning(name),
        "qrs": checked["sentence"] if checked else "",
        "facts": [f"{fact} added {values[k]:+.2f} log-odds" for fact, values in found.facts.items()],
    }
