"""What feeding and augmenting cost: a whole training step against the same step on one ready batch.

usage: python benchmarks/train_step.py DATASET [STEPS=30]

The steps take turns, so that both meet the same state of the machine; medians and their ratio are printed.
"""

from __future__ import annotations

import statistics
import sys
import time

from _timing import report
from einthoven.dataset import open_dataset
from einthoven.training.device import make_engine
from einthoven.training.loop import Trainer
from einthoven.training.recipe import parse_recipe
from einthoven.workflow import select_for
from einthoven.workflow.problem import make_problem

_RECIPE = """
name: step
data: {{dataset: {dataset}}}
training:
  ema: 0.99
  augment:
  - {{name: scale, p: 0.5}}
  - {{name: noise, p: 0.5}}
  - {{name: shift, p: 0.5}}
  - {{name: lead_dropout, p: 0.5}}
"""


def main(path: str, n_steps: int) -> None:
    dataset, recipe = open_dataset(path), parse_recipe(_RECIPE.format(dataset=path))
    selected = select_for(recipe, dataset)
    trainer = Trainer(recipe, make_problem(recipe, selected), make_engine())
    trainer.model.train()
    batches = trainer.feed.epoch(0)
    ready = next(batches)
    times: dict[str, list[float]] = {"whole step": [], "step on a ready batch": []}
    for k in range(n_steps + 3):
        for name, found in times.items():
            began = time.perf_counter()
            float(trainer.train_step(next(batches) if name == "whole step" else ready))
            if k >= 3:
                found.append(time.perf_counter() - began)
    whole, bare = (statistics.median(found) for found in times.values())
    ratios = statistics.median(a / b for a, b in zip(*times.values(), strict=True))
    report(
        "train_step",
        {
            "engine": trainer.engine.describe(),
            "whole step, ms": whole * 1e3,
            "step on a ready batch, ms": bare * 1e3,
            "median of paired ratios": ratios,
        },
    )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 30)
