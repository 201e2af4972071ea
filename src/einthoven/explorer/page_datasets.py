"""The page over prepared datasets: what is in them, and who has which label."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from einthoven.dataset import Dataset
from einthoven.describe.label_statistics import LabelStatistics, label_statistics
from einthoven.errors import EinthovenError
from einthoven.evaluation.wording import cohort, counted, fold_range
from einthoven.explorer.frame import card, note, put, section, sentences
from einthoven.explorer.label_tables import age_table, class_table, people_table, source_table, together_table
from einthoven.explorer.markup import bars_table, facts
from einthoven.explorer.prepared import dataset_folders, open_prepared, tasks_of
from einthoven.explorer.settings import current
from einthoven.labels import make_task

__all__ = ["show"]


def show() -> None:
    """Draw the page."""
    section("Datasets", "dataset", level=1)
    folders = dataset_folders(current().datasets)
    if not folders:
        note(f"No prepared dataset lies in {current().datasets}; make one with einthoven prepare, or name its folder.")
        return
    with sentences("the dataset"):
        with card("dataset"):
            section("What is in it")
            folder = st.selectbox("Dataset", folders, format_func=lambda path: path.name, key="dataset")
            dataset = open_prepared(folder)
            put(facts(_about(dataset)))
        with card("labels"):
            _labels(folder, dataset)


def _about(dataset: Dataset) -> dict[str, str]:
    table, spec = dataset.records, dataset.spec
    patients = set(table.patient_id)
    seconds = table.length / spec.fs
    folds = sorted({fold for fold in table.fold if fold is not None})
    lengths = (
        f"{seconds.min():.1f} s" if seconds.min() == seconds.max() else f"{seconds.min():.1f} to {seconds.max():.1f} s"
    )
    band = "as recorded" if spec.band_hz is None else f"{spec.band_hz[0]:g} to {spec.band_hz[1]:g} Hz"
    return {
        "Name": dataset.name,
        "Records": cohort({"n_records": len(dataset), "n_patients": None if None in patients else len(patients)}),
        "Signals": f"{counted(len(spec.leads), 'lead')} at {spec.fs:g} Hz, {spec.unit}, {lengths}, band {band}",
        "Labels": f"{dataset.label_system}, {len(dataset.label_table)} codes",
        "Folds": fold_range(folds) or "none",
        "Source": dataset.attribution,
    }


def _labels(folder: Path, dataset: Dataset) -> None:
    section("Who has which label")
    known = tasks_of(dataset)
    if not known:
        raise EinthovenError(f"{folder}: its labels fit no task, so there are no classes to count")
    name = st.selectbox("Seen as", known, key=f"task {folder}", help="A task says which codes are one class.")
    found = _counted(str(folder), dataset.listing_sha256, name, dataset)
    if found.n_unlabelled:
        note(f"{counted(found.n_unlabelled, 'record')} of {found.n_records:,} have no class of this task.", "open")
    put(class_table(found))
    section("Which go together", level=3)
    put(together_table(found))
    section("Age and sex by label", level=3)
    put(people_table(found))
    names = [each.name for each in found.classes]
    chosen = st.selectbox("Ages of", ["all records", *names], key=f"ages {folder} {name}")
    one = next((each for each in found.classes if each.name == chosen), found.everyone)
    put(age_table(one))
    section("Sources", level=3)
    put(source_table(found))
    section("Codes", level=3)
    codes = {
        f"{code} {dataset.label_table[code].description}" if code in dataset.label_table else code: float(n)
        for code, n in list(one.codes.items())[:15]
    }
    put(bars_table(codes, ",.0f", f"Statements behind {one.name}, the most frequent", counts=True))


@st.cache_data(max_entries=8, show_spinner="Counting labels")
def _counted(folder: str, listing: str, task: str, _dataset: Dataset) -> LabelStatistics:
    del folder, listing
    return label_statistics(_dataset, make_task(task, _dataset.label_table))
