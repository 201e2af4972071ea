"""Does augmentation help? ecg-multilabel-classifier's study in small: one operation at a time, on little training data.

usage: python benchmarks/augmentation_study.py DATASET [--frac 0.2] [--epochs 10] [--seeds 0,1] [--runs runs/study]

PTB-XL superclasses, a share of the patients of folds 1-8, judged on fold 9; xresnet1d18 in place of their SE-ResNet-18,
which costs ten times as much. Their parameters; each operation is applied to every sample, as theirs is, or to half of
them where the table says p 0.5. The difference from no augmentation is paired: the same resamples of patients for both,
averaged over seeds; its interval covers the choice of patients, not that of seeds, so both are printed.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from _timing import report
from einthoven import workflow
from einthoven.cli.progress import TrainingBar, console
from einthoven.errors import EinthovenError
from einthoven.evaluation.predictions import Predictions, read_predictions
from einthoven.metrics import macro_auroc_draws, paired_difference, resampling_weights
from einthoven.training.recipe import Recipe, parse_recipe
from einthoven.training.runs import latest_finished

STEPS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "multiply_triangle": [{"name": "multiply_triangle", "parameters": {"scale": 4}}],
    "multiply_triangle-p0.5": [{"name": "multiply_triangle", "p": 0.5, "parameters": {"scale": 4}}],
    "multiply_linear": [{"name": "multiply_linear", "parameters": {"scale": 2.5}}],
    "multiply_sine": [{"name": "multiply_sine"}],
    "stretch": [{"name": "stretch"}],
    "roll": [{"name": "roll"}],
    "equal_segments": [{"name": "equal_segments"}],
    "notch": [{"name": "notch"}],
    "noise": [{"name": "noise"}],
    "default": [{"name": "default"}],
}


def recipe_of(name: str, seed: int, options: argparse.Namespace) -> Recipe:
    recipe = parse_recipe(
        f"""
name: augmentation-{name}-s{seed}
seed: {seed}
data: {{dataset: {options.dataset}, sample_frac: {options.frac}}}
model: {{name: xresnet1d18}}
training: {{epochs: {options.epochs}, batch_size: 64, lr: 5e-3, weight_decay: 0.05, ema: 0.99}}
evaluation: {{n_resamples: 100}}
""",
        overrides=[f"training.augment={STEPS[name]}", f"training.threads={options.threads}"],
    )
    return recipe


def predictions_of(recipe: Recipe, runs: Path) -> Predictions:
    """Train unless that was done, and return the predictions of fold 9."""
    try:
        run = latest_finished(runs, recipe.name)
    except EinthovenError:
        with TrainingBar(recipe.training.epochs) as reporter:
            run = workflow.train(recipe, runs, reporter=reporter, announce=console.print)
    return read_predictions(run.path / "predictions-validation.parquet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--frac", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--runs", type=Path, default=Path("runs/study"))
    options = parser.parse_args()
    seeds, names = list(map(int, options.seeds.split(","))), options.only.split(",")
    found = {
        (name, seed): predictions_of(recipe_of(name, seed, options), options.runs) for seed in seeds for name in names
    }
    first = found[names[0], seeds[0]]
    weights, _, _ = resampling_weights(first.targets, first.groups, 1000, seed=0)
    draws = {key: macro_auroc_draws(each.targets, each.probabilities, weights) for key, each in found.items()}
    figures: dict[str, float | int | str] = {
        "share of patients": options.frac, "epochs": options.epochs, "seeds": options.seeds
    }  # fmt: skip
    for name in names:
        figures[f"{name}, AUROC"] = statistics.mean(float(draws[name, seed][0]) for seed in seeds)
        if name == "none":
            continue
        each = [draws[name, seed] - draws["none", seed] for seed in seeds]
        apart = paired_difference(np.mean(each, axis=0), np.zeros_like(each[0]))
        figures[f"{name}, difference"] = f"{apart.value:+.4f} [{apart.low:+.4f}, {apart.high:+.4f}]"
        figures[f"{name}, difference of each seed"] = ", ".join(f"{float(d[0]):+.4f}" for d in each)
    report("augmentation_study", figures)


if __name__ == "__main__":
    main()
