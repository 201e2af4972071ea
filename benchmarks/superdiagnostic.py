"""The shipped recipe against a plain training loop: PTB-XL superclasses, folds 1-8, judged on fold 9.

usage: python benchmarks/superdiagnostic.py DATASET [--seeds 0,1,2] [--plain-seeds 0] [--runs runs]

The plain loop is what one writes first: the same resnet1d_wang, bf16 autocast, random 2.5 s crops stacked one by one,
batch 128, one mean and deviation, fused AdamW 1e-2 with one-cycle, 15 epochs, mean over windows every 1.25 s.
Its time is of training alone; the recipe's includes validation after every epoch.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from _timing import report
from einthoven import workflow
from einthoven.cli.progress import TrainingBar, console
from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import EinthovenError
from einthoven.files import read_json
from einthoven.metrics import auroc
from einthoven.models import create_model
from einthoven.training.recipe import load_recipe

RECIPE = Path(__file__).parents[1] / "recipes" / "ptbxl-superdiagnostic.yaml"
_EPOCHS, _BATCH, _WINDOW = 15, 128, 250


def plain_loop(dataset: Dataset, selected: workflow.Selected, seed: int) -> tuple[float, float]:
    """Seconds of training and fold-9 macro AUROC."""
    torch.manual_seed(seed)
    torch.set_num_threads(2)
    rng = np.random.default_rng(seed)
    train, valid = selected.rows["train"], selected.rows["validation"]
    x = torch.from_numpy(np.concatenate(dataset.open_shards()).reshape(-1, 1000, 12).transpose(0, 2, 1).copy())
    y = torch.from_numpy(selected.targets)
    mean, deviation = float(x[train].float().mean()), float(x[train].float().std())
    net = create_model("resnet1d_wang", 12, y.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2, weight_decay=1e-2, fused=True)
    steps = _EPOCHS * (len(train) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    began = time.perf_counter()
    for _ in range(_EPOCHS):
        order = rng.permutation(train)
        for i in range(0, len(order) - _BATCH + 1, _BATCH):
            rows, starts = order[i : i + _BATCH], rng.integers(0, 1001 - _WINDOW, _BATCH)
            crops = torch.stack([x[r, :, s : s + _WINDOW] for r, s in zip(rows, starts, strict=True)])
            with torch.autocast("cpu", torch.bfloat16):
                logits = net((crops.float() - mean) / deviation)
            loss = F.binary_cross_entropy_with_logits(logits.float(), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - began
    net.eval()
    parts = []
    with torch.inference_mode():
        for i in range(0, len(valid), 256):
            batch = (x[valid[i : i + 256]].float() - mean) / deviation
            parts.append(torch.stack([net(batch[..., s : s + _WINDOW]).sigmoid() for s in range(0, 751, 125)]).mean(0))
    return seconds, float(auroc(selected.targets[valid], torch.cat(parts).numpy()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--plain-seeds", default="0")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    options = parser.parse_args()
    seconds, scores, plain = [], [], []
    recipe = load_recipe(RECIPE, [f"data.dataset={options.dataset}"])
    dataset = open_dataset(options.dataset)
    selected = workflow.select_for(recipe, dataset)
    for seed in map(int, options.plain_seeds.split(",")):
        plain.append(plain_loop(dataset, selected, seed))
        console.print(f"plain loop, seed {seed}: {plain[-1][0]:.0f} s, AUROC {plain[-1][1]:.4f}")
    for seed in map(int, options.seeds.split(",")):
        with TrainingBar(recipe.training.epochs) as reporter:
            seeded = recipe.model_copy(update={"seed": seed})
            run = workflow.train(seeded, options.runs, version="new", reporter=reporter, announce=console.print)
        seconds.append(sum(row["seconds"] for row in run.read_history()))
        metrics = read_json(run.path / "metrics.json", EinthovenError, "a run")
        scores.append(metrics["validation"]["macro"]["auroc"]["value"])
        console.print(f"recipe, seed {seed}: {seconds[-1]:.0f} s, AUROC {scores[-1]:.4f}")
    plain_seconds = statistics.median(s for s, _ in plain)
    report(
        "superdiagnostic",
        {
            "recipe AUROC, mean": statistics.mean(scores),
            "recipe AUROC, each": ", ".join(f"{s:.4f}" for s in scores),
            "plain loop AUROC, each": ", ".join(f"{s:.4f}" for _, s in plain),
            "recipe, s (median, with validation)": statistics.median(seconds),
            "recipe, s, each": ", ".join(f"{s:.0f}" for s in seconds),
            "plain loop, s (median, without)": plain_seconds,
            "recipe / plain loop": statistics.median(seconds) / plain_seconds,
        },
    )


if __name__ == "__main__":
    main()
