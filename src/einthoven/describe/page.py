"""The page of a dataset: one file with tables that carry their bars, and ECGs to zoom and measure in.

Charts are tables with drawn cells and a little script, not a charting library: Plotly's script alone weighs 4.7 MB and
takes a second to start, while these are read out by a screen reader, printed and searched as they are. ECGs are those
of ``plots.interactive``, built when their class is chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

import einthoven.evaluation
from einthoven.describe.contents import Contents
from einthoven.describe.label_statistics import LabelStatistics
from einthoven.describe.page_rows import (
    bars,
    by_frequency,
    category,
    class_row,
    counted,
    group_table,
    likelihoods,
    person_row,
    share,
)
from einthoven.files import atomic_write
from einthoven.plots.interactive import viewer_assets
from einthoven.record import Record

__all__ = ["write_page"]

_FOLDER = Path(__file__).parent
_MOST_IN_MAP = 40
_FAULTS = {
    "too_short": "too short to be judged",
    "missing_leads": "nothing recorded in a lead",
    "missing_samples": "samples missing",
    "flat": "every lead flat",
    "flat_leads": "a lead flat",
    "wrong_unit": "amplitudes of another unit",
    "amplitude": "unusual amplitudes",
    "offset": "baseline far from zero",
}


def write_page(path: Path, contents: Contents, examples: Mapping[str, Sequence[Record]]) -> None:
    """Write the page as one HTML file that needs nothing else.

    Args:
        path: the file, whole or not at all.
        contents: what is shown.
        examples: records of each class.

    Raises:
        EinthovenError: the file cannot be written.
    """
    shared = Path(einthoven.evaluation.__file__).parent  # styles and macros of the report
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([_FOLDER, shared]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    labels = contents.labels
    page = environment.get_template("page.html.j2").render(
        title=f"What {contents.facts['name']} holds",
        facts=contents.facts,
        tiles=_tiles(contents),
        form=_form(contents.facts),
        labels=labels,
        rows=[class_row(one, labels) for one in by_frequency(labels)],
        heat=_heat(labels),
        per_record=bars({_number_of_classes(k): n for k, n in labels.per_record.items()}, labels.n_records),
        combinations=bars(labels.combinations, labels.n_records),
        people=[person_row(one) for one in (labels.everyone, *by_frequency(labels))],
        groups=[group_table(labels, kind) for kind in ("sources", "folds")],
        likelihoods=likelihoods(labels),
        lengths=_lengths(contents.facts["length_s"]),
        signals=contents.signals,
        faults=_faults(contents),
        missing=_missing(contents),
        duplicates=contents.duplicates,
        categories=[category(one, labels, examples.get(one.name, ())) for one in by_frequency(labels)],
        assets=Markup(viewer_assets()),
        script=Markup((_FOLDER / "page.js").read_text(encoding="utf-8")),
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _number_of_classes(k: int) -> str:
    return "none" if k == 0 else "1 class" if k == 1 else f"{k} classes"


def _tiles(contents: Contents) -> list[tuple[str, str, str]]:
    facts, labels = contents.facts, contents.labels
    age, sex = labels.everyone.age, labels.everyone.sex
    n = labels.n_records
    patients = counted(facts["patients"])
    some = f"of {facts['records_of_unknown_patient']:,} records not known" if facts["patients"] is None else ""
    if facts["patients"]:
        each = n / facts["patients"]
        some = f"{each:,.0f} records each" if each >= 10 else f"{each:.2f} records each"
    half = f"half between {age['quantiles'][1]:.0f} and {age['quantiles'][3]:.0f}" if age["quantiles"] else ""
    missing = f", {share(age['unknown'], n)} unknown" if age["quantiles"] and age["unknown"] else ""
    known = sex["female"] + sex["male"]
    return [
        ("Records", f"{n:,}", _hours(facts["hours"])),
        ("Patients", patients, some),
        ("Classes", f"{len(labels.classes):,}", f"{share(labels.n_unlabelled, n)} of records have none"),
        ("Median age", f"{age['quantiles'][2]:.0f}" if age["quantiles"] else "unknown", half + missing),
        ("Women", share(sex["female"], known) if known else "unknown", f"{share(sex['unknown'], n)} unknown"),
    ]


def _hours(hours: float) -> str:
    return f"{hours:,.1f} hours in all" if hours >= 1 else f"{60 * hours:,.1f} minutes in all"


def _form(facts: Mapping[str, Any]) -> dict[str, str]:
    band = facts["band_hz"]
    length = facts["length_s"]
    lengths = "no records"
    if length["least"] is not None:
        same = length["least"] == length["most"]
        lengths = f"{length['least']:g} s, all" if same else f"{length['least']:g} to {length['most']:g} s"
    return {
        "Leads": f"{len(facts['leads'])}: {', '.join(facts['leads'])}",
        "Rate": f"{facts['fs']:g} Hz",
        "Length": lengths,
        "Unit": f"{facts['unit']}, in steps of {facts['step_uv']:g} µV" if facts["unit"] == "mV" else facts["unit"],
        "Filter": ("none" if band is None else f"{band[0]:g} to {band[1]:g} Hz")
        + (f", without {facts['notch_hz']:g} Hz" if facts["notch_hz"] else ""),
        "Label system": facts["label_system"],
        "A record without a statement": "is a known negative"
        if facts["complete_labels"]
        else "is not known to be normal",
        "Data": facts["attribution"],
    }


def _heat(labels: LabelStatistics) -> dict[str, Any]:
    order = sorted(range(len(labels.classes)), key=lambda k: -labels.classes[k].records)[:_MOST_IN_MAP]
    together = labels.together
    return {
        "names": [labels.classes[k].name for k in order],
        "totals": [int(together[k, k]) for k in order],
        "rows": [[int(together[r, c]) for c in order] for r in order],
        "left_out": len(labels.classes) - len(order),
    }


def _lengths(length: Mapping[str, Any]) -> list[dict[str, Any]]:
    if length["least"] == length["most"]:
        return []
    names = [f"{a:.1f} to {b:.1f} s" for a, b in zip(length["edges"][:-1], length["edges"][1:], strict=True)]
    return bars(dict(zip(names, length["counts"], strict=True)), sum(length["counts"]))


def _faults(contents: Contents) -> list[dict[str, Any]]:
    signals = contents.signals
    rows = bars({"no fault": signals.n_clean, **signals.faults}, signals.n_checked)
    for row in rows:
        row["example"] = signals.examples.get(row["name"], "")
        row["name"] = _FAULTS.get(row["name"], row["name"])
    return rows


def _missing(contents: Contents) -> list[dict[str, Any]]:
    """Leads that lack something; empty where none does."""
    signals, n = contents.signals, contents.labels.n_records
    return [
        {"lead": lead, "share": share(part, 1), "without": f"{none:,}", "of": share(none, n)}
        for (lead, part), none in zip(signals.missing.items(), signals.without.values(), strict=True)
        if part
    ]
