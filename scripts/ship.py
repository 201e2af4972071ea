"""Make a model that comes with the package of a run: its name, weights in 16 bits, judged with robustness and novelty.

usage: python scripts/ship.py MODEL NAME DATASET [FORM ...]

MODEL is a run, a bundle or the name of a shipped one, which is made again. Its decisions stay as they are; weights are
rounded to 16 bits before the graph is exported and anything is judged, so figures and graph are those of what is
shipped. Each FORM (int8 ...) is exported beside and proven. Fold 9 of PTB-XL takes some minutes for each model.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from einthoven.bundle import PRETRAINED, Bundle, load_bundle
from einthoven.bundling import add_novelty, save_bundle, update_bundle
from einthoven.evaluation.card import model_card
from einthoven.files import sha256_of
from einthoven.models.weights import build_classifier, load_weights, save_weights
from einthoven.workflow import evaluate
from einthoven.workflow.evaluate import portable_metrics
from einthoven.workflow.exporting import export
from einthoven.workflow.extras import Extras


def ship(source: Bundle, name: str, dataset: str, forms: Sequence[str]) -> Path:
    """Make the folder of a shipped model, and return it."""
    with tempfile.TemporaryDirectory() as work:
        bundle = rounded(source, name, Path(work) / name)
        judged = evaluate(
            bundle.path,
            dataset,
            split="validation",
            out=Path(work) / "judged",
            extras=Extras(robustness=True, novelty=bundle.novelty is not None),
            announce=print,
        )
        metrics = portable_metrics({"validation": judged.judgement})
        update_bundle(bundle, {"metrics": metrics}, model_card(bundle.about, list(metrics.values())))
        if forms:
            export(bundle.path, forms, dataset, ids=False, announce=print)
        shutil.rmtree(PRETRAINED / name, ignore_errors=True)
        return Path(shutil.copytree(bundle.path, PRETRAINED / name))


def rounded(source: Bundle, name: str, folder: Path) -> Bundle:
    """A copy of a bundle under another name whose weights are numbers of 16 bits, in its graph too."""
    model = build_classifier(source.about["network"]).eval()
    load_weights(source.path / "model.safetensors", model)
    model.half().float()
    made = save_bundle(folder, model, without_files(source, name))
    if source.novelty is not None:
        made = add_novelty(made, source.novelty)
    weights = folder / "model.safetensors"
    save_weights(weights, model.half())
    return update_bundle(made, {"files": {**made.about["files"], weights.name: sha256_of(weights)}})


def without_files(source: Bundle, name: str) -> dict[str, object]:
    """What ``bundle.json`` says of the model itself, its recipe under the name of the dataset alone."""
    of_files = ("format_version", "files", "novelty", "metrics", "artefacts", "sha256")
    about = {key: value for key, value in source.about.items() if key not in of_files}
    recipe = yaml.safe_load(about["provenance"]["recipe"])
    recipe["name"], recipe["data"]["dataset"] = name, about["provenance"]["dataset"]
    recipe = yaml.safe_dump(recipe, sort_keys=False)
    return about | {"name": name, "provenance": {**about["provenance"], "recipe": recipe}}


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    model, name, dataset, *forms = sys.argv[1:]
    print(ship(load_bundle(model, backend="torch"), name, dataset, forms))
