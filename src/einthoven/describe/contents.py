"""Everything that is said about a dataset, in one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from einthoven.audit import Duplicates
from einthoven.dataset import Dataset
from einthoven.describe.label_statistics import LabelStatistics
from einthoven.describe.signal_statistics import SignalStatistics

__all__ = ["Contents", "dataset_contents"]

_BINS = 12


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dataset holds.

    Attributes:
        facts: form and size, see ``dataset_contents``.
        labels: of its records.
        signals: what they lack.
        duplicates: groups of equal and pairs of near-equal signals; None where nobody searched.
    """

    facts: Mapping[str, Any]
    labels: LabelStatistics
    signals: SignalStatistics
    duplicates: Mapping[str, int] | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "facts": dict(self.facts),
            "labels": self.labels.to_dict(),
            "signals": self.signals.to_dict(),
            "duplicates": None if self.duplicates is None else dict(self.duplicates),
        }


def dataset_contents(
    dataset: Dataset, labels: LabelStatistics, signals: SignalStatistics, duplicates: Duplicates | None
) -> Contents:
    """Put figures together with the form and size of the dataset.

    Args:
        dataset: that they are about.
        labels: its labels.
        signals: its signals.
        duplicates: as found by ``audit.find_duplicates``; None where nobody searched.
    """
    table = dataset.records
    seconds = table.length / dataset.spec.fs
    known = {patient for patient in table.patient_id if patient}
    unnamed = sum(not patient for patient in table.patient_id)
    facts = {
        "name": dataset.name,
        "folder": dataset.path.resolve().name,
        "attribution": dataset.attribution,
        "label_system": dataset.label_system,
        "complete_labels": dataset.complete_labels,
        "records": len(dataset),
        "patients": None if unnamed else len(known),
        "known_patients": len(known),
        "records_of_unknown_patient": unnamed,
        "leads": list(dataset.spec.leads),
        "fs": dataset.spec.fs,
        "band_hz": dataset.spec.band_hz,
        "notch_hz": dataset.spec.notch_hz,
        "unit": dataset.spec.unit,
        "step_uv": dataset.step_uv,
        "hours": float(seconds.sum()) / 3600,
        "length_s": _lengths(seconds),
        "listing_sha256": dataset.listing_sha256,
    }
    counts = None
    if duplicates is not None:
        counts = {
            "groups of equal signals": len(duplicates.exact),
            "records in them": sum(map(len, duplicates.exact)),
            "pairs equal up to gain and offset": len(duplicates.near),
            "flat records, compared with none": duplicates.n_flat,
            "records too short to compare": duplicates.n_short,
        }
    return Contents(facts, labels, signals, counts)


def _lengths(seconds: np.ndarray[Any, np.dtype[np.floating[Any]]]) -> dict[str, Any]:
    if not len(seconds):
        return {"least": None, "median": None, "most": None, "edges": [], "counts": []}
    counts, edges = np.histogram(seconds, _BINS)
    return {
        "least": float(seconds.min()),
        "median": float(np.median(seconds)),
        "most": float(seconds.max()),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }
