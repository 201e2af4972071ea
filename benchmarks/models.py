"""The model zoo under one equal budget: PTB-XL superclasses, folds 1-8, judged on fold 9.

usage: python benchmarks/models.py DATASET [--models NAME,NAME] [--epochs 8] [--threads 2] [--runs runs/zoo]

Every network sees the same random 2.5 s crops in batches of 128 under AdamW and a one-cycle schedule; only the highest
rate differs by family, as said in the table below. A model that was trained before is not trained again. Time is that
of one training step, taken in turns with the first model's, so the ratio holds on a busy machine; seconds per epoch are
as they were while training.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from _timing import report
from einthoven import workflow
from einthoven.cli.progress import TrainingBar, console
from einthoven.errors import EinthovenError
from einthoven.files import read_json
from einthoven.models import create_model
from einthoven.training.device import make_engine
from einthoven.training.recipe import Recipe, parse_recipe
from einthoven.training.runs import latest_finished

# Name in the table, model, options, highest rate. Residual nets bear 1e-2; deep, recurrent and attention nets do not.
ZOO: tuple[tuple[str, str, dict[str, Any], float], ...] = (
    ("resnet1d_wang-half", "resnet1d_wang", {"stem_stride": 2}, 1e-2),
    ("xresnet1d18", "xresnet1d18", {}, 1e-2),
    ("ecgcnn_convnet", "ecgcnn_convnet", {}, 2e-3),
    ("ecgcnn_resnet", "ecgcnn_resnet", {}, 1e-2),
    ("map583_resnet1d_10", "map583_resnet1d_10", {}, 1e-2),
    ("map583_resnet1d_18", "map583_resnet1d_18", {}, 1e-2),
    ("map583_resnet1d_v2_10", "map583_resnet1d_v2_10", {}, 1e-2),
    ("net1d", "net1d", {}, 4e-3),
    ("convnext1d", "convnext1d", {}, 4e-3),
    ("xresnet1d50", "xresnet1d50", {}, 1e-2),
    ("ecgcnn_inception", "ecgcnn_inception", {}, 4e-3),
    ("s4d_small", "s4d_small", {}, 1e-2),
    ("fcn_wang", "fcn_wang", {}, 1e-2),
    ("xresnet1d101", "xresnet1d101", {}, 1e-2),
    ("resnet1d_wang", "resnet1d_wang", {}, 1e-2),
    ("vit1d", "vit1d", {}, 3e-3),
    ("cinc2020_se_resnet18", "cinc2020_se_resnet18", {}, 3e-3),
    ("heartreader_inception1d", "heartreader_inception1d", {}, 4e-3),
    ("inception1d", "inception1d", {}, 1e-2),
    ("lstm_bidir", "lstm_bidir", {}, 2e-3),
)
_REFERENCE = ZOO[0]


def recipe_of(entry: tuple[str, str, dict[str, Any], float], options: argparse.Namespace) -> Recipe:
    name, model, sizes, lr = entry
    text = f"""
name: zoo-{name}
data: {{dataset: {options.dataset}}}
model: {{name: {model}, options: {json.dumps(sizes)}}}
training: {{epochs: {options.epochs}, lr: {lr}, weight_decay: 0.05, ema: 0.99, threads: {options.threads}}}
"""
    return parse_recipe(text)


def step_seconds(names: list[tuple[str, dict[str, Any]]], threads: int, repeats: int = 9) -> dict[str, float]:
    """Median seconds of a training step of each model, and of the ratio to the reference, in turns."""
    engine = make_engine(threads=threads)
    x, y = torch.randn(128, 12, 250), torch.rand(128, 5).round()
    nets = {json.dumps([name, sizes]): create_model(name, 12, 5, **sizes).train() for name, sizes in names}
    times: dict[str, list[float]] = {key: [] for key in nets}
    for k in range(repeats + 1):
        for key, net in nets.items():
            began = time.perf_counter()
            with engine.autocast():
                logits = net(x)
            F.binary_cross_entropy_with_logits(logits.float(), y).backward()
            if k:
                times[key].append(time.perf_counter() - began)
    return {key: statistics.median(found) for key, found in times.items()}


def train(recipe: Recipe, runs: Path) -> dict[str, Any]:
    """Train unless that was done, and return what it reached."""
    try:
        run = latest_finished(runs, recipe.name)
    except EinthovenError:
        with TrainingBar(recipe.training.epochs) as reporter:
            run = workflow.train(recipe, runs, reporter=reporter, announce=console.print)
    auroc = read_json(run.path / "metrics.json", EinthovenError, "a run")["validation"]["macro"]["auroc"]
    rows = run.read_history()
    return {
        "AUROC": auroc["value"],
        "low": auroc["low"],
        "high": auroc["high"],
        "s per epoch": statistics.median(row["train_seconds"] for row in rows),
        "parameters": read_json(run.bundle / "bundle.json", EinthovenError, "a bundle")["network"]["n_parameters"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--models", default=",".join(entry[0] for entry in ZOO))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/zoo"))
    parser.add_argument("--no-steps", action="store_true", help="leave the time of a step out")
    options = parser.parse_args()
    wanted = options.models.split(",")
    chosen = [entry for entry in ZOO if entry[0] in wanted]
    found = {entry[0]: train(recipe_of(entry, options), options.runs) for entry in chosen}
    if not options.no_steps:
        steps = step_seconds([entry[1:3] for entry in chosen], options.threads)
        base = steps.get(json.dumps(list(_REFERENCE[1:3])), float("nan"))
        for name, model, sizes, _ in chosen:
            seconds = steps[json.dumps([model, sizes])]
            found[name] |= {"ms per step": 1e3 * seconds, f"step / {_REFERENCE[0]}": seconds / base}
    figures = {f"{name}, {key}": value for name, row in found.items() for key, value in row.items()}
    report("models", {"epochs": options.epochs, "threads": options.threads, **figures})


if __name__ == "__main__":
    main()
