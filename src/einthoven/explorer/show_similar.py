"""Which records of a prepared dataset look alike to the model, and what they are labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from einthoven.bundle import Prediction
from einthoven.dataset import Dataset
from einthoven.errors import MissingExtraError
from einthoven.evaluation.wording import ABSENT, counted
from einthoven.explorer.choose_ecg import Taken
from einthoven.explorer.choose_model import Chosen
from einthoven.explorer.frame import note, put, section
from einthoven.explorer.markup import table
from einthoven.explorer.memory import fingerprint_of, remembered
from einthoven.explorer.models import identity_of, network_of
from einthoven.explorer.prepared import dataset_folders, open_prepared
from einthoven.explorer.settings import current
from einthoven.explorer.show_paper import show_tracing

if TYPE_CHECKING:
    from einthoven.workflow.similar import Index, Neighbour

__all__ = ["rows_to_search", "show_similar"]

_TRAIN, _ALL = "training folds of the model", "every record"
_SIZES = {"500 records": 500, "2,000 records": 2000, "all of them": None}
_KEPT = 2  # indices in memory


def show_similar(taken: Taken, chosen: Chosen, prediction: Prediction) -> None:
    """Draw the section; nothing is searched before it is asked for.

    Raises:
        EinthovenError: the dataset is in another form than the model's, or packages are missing.
    """
    del prediction
    section("Similar ECGs", "similar")
    folders = dataset_folders(current().datasets)
    if not folders:
        note(f"No prepared dataset lies in {current().datasets}; make one with einthoven prepare, or name its folder.")
        return
    where, which, size = st.columns(3)
    folder = where.selectbox("Dataset", folders, format_func=lambda path: path.name, key="similar dataset")
    folds = which.selectbox("Search in", [_TRAIN, _ALL], key="similar folds")
    wanted = size.selectbox("How many, drawn by seed", list(_SIZES), key="similar size")
    dataset = open_prepared(folder)
    asked = (fingerprint_of(taken.record), identity_of(chosen.bundle), str(folder), folds, wanted)
    if st.button("Search", type="primary", key="similar ask"):
        st.session_state["similar asked"] = asked
    if st.session_state.get("similar asked") == asked:
        found = remembered("similar", asked, lambda: _search(taken, chosen, dataset, folds, _SIZES[wanted]))
        _show(dataset, found)


def _search(taken: Taken, chosen: Chosen, dataset: Dataset, folds: str, size: int | None) -> list[Neighbour]:
    network = network_of(chosen.bundle)
    try:
        from einthoven.workflow.similar import build_index, embed
    except ModuleNotFoundError:
        raise MissingExtraError("the search", "explain") from None
    kept, key = _indices(), (identity_of(chosen.bundle), str(dataset.path), dataset.listing_sha256, folds, size)
    if key not in kept:
        rows = rows_to_search(dataset, chosen.bundle.about["provenance"]["folds"], folds == _TRAIN, size)
        bar = st.progress(0.0, f"Describing {counted(len(rows), 'record')} with the model")
        while len(kept) >= _KEPT:
            kept.pop(next(iter(kept)))

        def progress(done: int, whole: int) -> None:
            bar.progress(done / whole, f"{done:,} of {counted(whole, 'record')} described")

        kept[key] = build_index(chosen.bundle, dataset, rows, progress)
        bar.empty()
    return kept[key].nearest(embed(chosen.bundle, taken.record, network))


@st.cache_resource
def _indices() -> dict[Any, Index]:
    """Indices of the process: they hold records of the dataset only, never an upload."""
    return {}


def rows_to_search(dataset: Dataset, folds: dict[str, Any], training: bool, size: int | None) -> np.ndarray[Any, Any]:
    """Rows of the folds that a model was trained on, or of all; of more than ``size`` a draw, always the same.

    Args:
        dataset: to search.
        folds: of the model's provenance: ``split`` and ``train``.
        training: whether only the training folds are meant.
        size: the most rows, or None.
    """
    rows = np.arange(len(dataset))
    if training:
        own = dataset.folds(folds.get("split"))
        rows = np.flatnonzero(np.isin([-1 if fold is None else fold for fold in own], folds["train"]))
    if size is not None and len(rows) > size:
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:size])
    return rows


def _show(dataset: Dataset, found: list[Neighbour]) -> None:
    records = dataset.records
    rows = [
        (
            records.record_id[each.row],
            labels_of(dataset, each.row),
            f"{each.cosine:.3f}",
            ABSENT if (age := records.age[each.row]) is None else f"{age:g}",
            records.sex[each.row] or ABSENT,
        )
        for each in found
    ]
    caption = f"Records of {dataset.name}, nearest first, each of another patient; labels are the dataset's"
    put(table(("Record", "Labels", "Cosine", "Age", "Sex"), rows, caption, words=2))
    names = {each.row: f"{records.record_id[each.row]} ({each.cosine:.3f})" for each in found}
    row = st.selectbox("Show", list(names), format_func=names.__getitem__, key="similar shown")

    show_tracing(dataset.record(row))


def labels_of(dataset: Dataset, row: int) -> str:
    """The statements of a record in words; a likelihood of NaN says that nobody looked."""
    stated = [code for code, likelihood in dataset.records.statements[row].items() if likelihood == likelihood]
    words = [dataset.label_table[code].description if code in dataset.label_table else code for code in stated]
    return ", ".join(words) or "none"
