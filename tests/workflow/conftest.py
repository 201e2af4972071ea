from pathlib import Path

import pytest
import torch

from einthoven.dataset import open_dataset
from einthoven.models.weights import save_weights
from einthoven.training.device import make_engine
from einthoven.training.loop import Trainer
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run, open_run
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import select_for
from einthoven.workflow.train import _bundle

RECIPE = """
name: tiny
data: {{dataset: {dataset}, folds: {{train: [1, 2, 3, 4, 5], validation: [6, 7, 8, 9]}}}}
model: {{name: fcn_wang, options: {{width: 8}}}}
training: {{epochs: 6, batch_size: 8, precision: fp32, threads: 1}}
evaluation: {{n_resamples: 120}}
"""


def tiny_recipe(dataset: Path, *overrides: str):
    return parse_recipe(RECIPE.format(dataset=dataset), overrides=overrides)


def bundled_run(recipe, runs: Path, *, trained: bool = False) -> Run:
    """A run with its bundle, but neither judgement nor report; its network learned only where that is asked for."""
    torch.manual_seed(recipe.seed)
    selected = select_for(recipe, open_dataset(recipe.data.dataset))
    trainer = Trainer(recipe, make_problem(recipe, selected), make_engine("cpu", "fp32", 1))
    run, _ = open_run(runs, recipe)
    if trained:
        trainer.fit(run)
    else:
        trainer.history = [{"epoch": 1.0, "seconds": 0.0, "validation_auroc": 0.5}]
        run.best("auroc").parent.mkdir(parents=True)
        save_weights(run.best("auroc"), trainer.judged)
    _bundle(run, recipe, trainer, selected, "the CPU")
    return run


@pytest.fixture(scope="session")
def tiny():
    return tiny_recipe


@pytest.fixture(scope="session")
def bundled():
    return bundled_run
