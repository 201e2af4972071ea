"""Which models may be one ensemble, and what the ensemble's ``bundle.json`` says about them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from einthoven.bundle import Bundle, load_bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import DatasetError, RecipeError
from einthoven.training.runs import Run
from einthoven.workflow.checkpoints import dataset_of_run
from einthoven.workflow.finding import name_models

__all__ = ["Members", "load_members", "network_entry", "provenance_of"]


@dataclass(frozen=True, slots=True)
class Members:
    """Bundles that agree in all that one graph needs, by name, and the dataset whose validation records they share."""

    bundles: Mapping[str, Bundle]
    dataset: Dataset
    run: Run | None

    @property
    def first(self) -> Bundle:
        """The member whose plan, novelty and licence the ensemble has."""
        return next(iter(self.bundles.values()))


def load_members(places: Sequence[str | Path], dataset_path: str | Path | None) -> Members:
    """Load models and check that they can be one.

    Args:
        places: runs, bundles or pretrained names.
        dataset_path: the dataset that they were trained on; a run knows its own.

    Raises:
        RecipeError: fewer than two, one named twice, or two that differ in what they eat or say.
        DatasetError: no dataset named and no run among them, or not the one that they were trained on.
    """
    if len(places) < 2:
        raise RecipeError(f"an ensemble needs two models or more, got {len(places)}")
    names = name_models([str(place) for place in places])
    bundles = {name: load_bundle(place) for name, place in zip(names, places, strict=True)}
    weights: dict[str, str] = {}
    for name, bundle in bundles.items():
        if (twin := weights.setdefault(bundle.about["files"]["model.safetensors"], name)) != name:
            raise RecipeError(f"{name} and {twin} have the same weights; an ensemble needs different models")
    _check_agreement(bundles)
    runs = [_run_of(place) for place in places]
    run = next((found for found in runs if found), None)
    first = next(iter(bundles.values()))
    return Members(bundles, _dataset(run, first, dataset_path), run)


def _run_of(place: str | Path) -> Run | None:
    """The run that a member is, or lies in."""
    found = [path for path in (Path(place), Path(place).resolve().parent) if (path / "recipe.yaml").is_file()]
    return Run(found[0]) if found else None


def _dataset(run: Run | None, first: Bundle, path: str | Path | None) -> Dataset:
    if path is None and run is None:
        raise DatasetError("none of these models is a run, so name the prepared dataset that they were trained on")
    if path is None and run is not None:
        return dataset_of_run(run, first)
    dataset = open_dataset(str(path))
    if dataset.listing_sha256 != first.about["provenance"]["listing_sha256"]:
        raise DatasetError(
            f"{dataset.path}: not the dataset that these models were trained on; weights are learned on its validation "
            "records, which no member has seen in training"
        )
    return dataset


def _traits(bundle: Bundle) -> dict[str, Any]:
    """What members must agree in, by its name in a message."""
    spec, task, origin = bundle.spec, bundle.about["task"], bundle.about["provenance"]
    folds = origin["folds"]
    return {
        "leads": ", ".join(spec.leads),
        "sampling rate in Hz": spec.fs,
        "band in Hz": spec.band_hz,
        "notch in Hz": spec.notch_hz,
        "unit": spec.unit,
        "window in samples": bundle.window,
        "stride in samples": bundle.stride,
        "aggregation of windows": bundle.how,
        "kind": bundle.kind,
        "task": task["name"],
        "classes": ", ".join(bundle.classes),
        "least likelihood": task["min_likelihood"],
        "rule for unlabelled records": task["unlabelled"],
        "dataset": origin["dataset"],
        "listing of the dataset": origin["listing_sha256"],
        "split": folds.get("split"),
        "validation folds": folds["validation"],
        "test folds": folds["test"],
    }


def _check_agreement(bundles: Mapping[str, Bundle]) -> None:
    first_name, first = next(iter(bundles.items()))
    need = _traits(first)
    if first.how != "mean":
        raise RecipeError(
            f"{first_name} takes the {first.how} over windows; the members of an ensemble take the mean, because only "
            "then the mean of their answers is the answer of their mean"
        )
    for name, bundle in bundles.items():
        have = _traits(bundle)
        for trait, value in need.items():
            if have[trait] != value:
                raise RecipeError(
                    f"{name} and {first_name} differ in {trait}: {have[trait]} and {value}; the members of an ensemble "
                    "must agree"
                )


def network_entry(members: Members, weights: NDArray[np.float64]) -> tuple[dict[str, Any], list[str]]:
    """Return the ``network`` entry of the members that count, and the facts that any of them sees."""
    counted = [(bundle, w) for bundle, w in zip(members.bundles.values(), weights.tolist(), strict=True) if w > 0]
    facts = list(dict.fromkeys(name for bundle, _ in counted for name in bundle.facts))
    entries = [dict(bundle.about["network"]) for bundle, _ in counted]
    kinds = [entry["name"] for entry in entries]
    named = [f"{kinds.count(kind)} {kind}" if kinds.count(kind) > 1 else kind for kind in dict.fromkeys(kinds)]
    entry = {
        "name": f"weighted mean of {' + '.join(named)}",
        "ensemble": entries,
        "weights": [w for _, w in counted],
        "kind": members.first.kind,
        "columns": [[facts.index(name) for name in bundle.facts] for bundle, _ in counted],
        "n_leads": entries[0]["n_leads"],
        "n_classes": entries[0]["n_classes"],
        "n_parameters": sum(each["n_parameters"] for each in entries),
    }
    return entry | ({"n_facts": len(facts)} if facts else {}), facts


def provenance_of(members: Members, weights: NDArray[np.float64]) -> dict[str, Any]:
    """Return where an ensemble comes from: every member with its seed, the hashes of its files and its weight."""
    origins = [bundle.about["provenance"] for bundle in members.bundles.values()]
    told = [
        {
            "name": name,
            "weight": round(weight, 6),
            "seed": bundle.about["provenance"]["seed"],
            "chosen_epoch": bundle.about["provenance"]["chosen_epoch"],
            "network": bundle.about["network"]["name"],
            "n_parameters": bundle.about["network"]["n_parameters"],
            "files": dict(bundle.about["files"]),
        }
        for (name, bundle), weight in zip(members.bundles.items(), weights.tolist(), strict=True)
    ]
    recipes = [
        {**{key: row[key] for key in ("name", "weight", "seed")}, "recipe": yaml.safe_load(origin["recipe"])}
        for row, origin in zip(told, origins, strict=True)
    ]
    trained = sorted({fold for origin in origins for fold in origin["folds"]["train"]})
    patients = [origin["n_patients"] for origin in origins]
    return {
        **origins[0],
        "folds": {**origins[0]["folds"], "train": trained},
        "n_records": max(origin["n_records"] for origin in origins),
        "n_patients": None if None in patients else max(patients),
        "recipe": yaml.safe_dump({"ensemble": recipes}, sort_keys=False, allow_unicode=True),
        "seed": [row["seed"] for row in told],
        "chosen_epoch": [row["chosen_epoch"] for row in told],
        "epochs": [origin["epochs"] for origin in origins],
        "seconds": sum(origin["seconds"] for origin in origins),
        "engine": ", ".join(dict.fromkeys(origin["engine"] for origin in origins)),
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "members": told,
    }
