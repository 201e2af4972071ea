"""Two processes on the CPU share every batch; each test starts them anew, which takes a while."""

import multiprocessing
import os
import signal
from dataclasses import replace

import pytest
import torch

from einthoven.dataset import open_dataset
from einthoven.errors import EinthovenError, RecipeError
from einthoven.training import parallel
from einthoven.training.checkpoints import load_checkpoint
from einthoven.training.device import make_engine
from einthoven.training.loop import Trainer
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import select_for

_RECIPE = """
name: shared
data: {{dataset: {dataset}, crop_s: 1.0, facts: [age, sex]}}
model: {{name: s4d_small, options: {{width: 8, depth: 1, dropout: 0.0}}}}
training:
  {{epochs: 2, batch_size: 16, accumulate: 2, clip_norm: 1.0, precision: fp32, threads: 1, fact_dropout: 0, ema: 0.9}}
"""


@pytest.fixture
def trainer_of(dataset_folder):
    def make(*overrides, **changes):
        recipe = parse_recipe(_RECIPE.format(dataset=dataset_folder), overrides=overrides)
        problem = make_problem(recipe, select_for(recipe, open_dataset(dataset_folder)))
        return Trainer(recipe, replace(problem, **changes), make_engine("cpu", "fp32", 1), max_batches=5)

    return make


class Listener:
    def __init__(self, on_epoch=lambda row: None):
        self.rows, self.steps, self._on_epoch = [], [], on_epoch

    def step(self, epoch, step, n_steps, loss):
        self.steps.append((epoch, step, n_steps))

    def epoch(self, row):
        self.rows.append(row)
        self._on_epoch(row)


def _run(path):
    (path / "checkpoints").mkdir(parents=True)
    return Run(path)


@pytest.mark.slow
def test_two_processes_train_as_one_does(trainer_of, tmp_path):
    alone, together, listener = trainer_of(), trainer_of("training.devices=2"), Listener()
    parallel.fit(alone, _run(tmp_path / "alone"))
    parallel.fit(together, _run(tmp_path / "together"), listener)
    assert [row["epoch"] for row in listener.rows] == [1, 2]
    assert listener.steps == [(1, 5, 5), (2, 5, 5)]
    for one, two in zip(alone.history, together.history, strict=True):
        for key in ("train_loss", "validation_loss", "validation_auroc", "lr"):
            assert two[key] == pytest.approx(one[key], rel=1e-3), key
    for name, weight in alone.model.state_dict().items():
        torch.testing.assert_close(together.model.state_dict()[name], weight, rtol=1e-2, atol=2e-4)
    assert {path.name for path in (tmp_path / "together" / "checkpoints").iterdir()} >= {"last.pt", "best.pt"}


@pytest.mark.slow
def test_a_dead_process_ends_the_training_with_a_sentence(trainer_of, tmp_path):
    def kill_one(row):
        os.kill(multiprocessing.active_children()[-1].pid, signal.SIGKILL)

    trainer, run = trainer_of("training.devices=2", "training.epochs=50"), _run(tmp_path / "run")
    with pytest.raises(
        EinthovenError, match="one of the 2 processes that trained was ended by signal 9, so the others"
    ):
        parallel.fit(trainer, run, Listener(kill_one))
    assert not multiprocessing.active_children()
    assert load_checkpoint(run.checkpoint)["history"]


@pytest.mark.slow
def test_an_error_in_a_process_is_heard_as_it_is(trainer_of, tmp_path):
    trainer = trainer_of("training.devices=2", "training.lr=1e30", "training.clip_norm=null", "training.optimizer=sgd")
    with pytest.raises(EinthovenError, match=r"(the loss became (nan|inf) in|answers are no numbers after) epoch"):
        parallel.fit(trainer, _run(tmp_path / "run"))
    assert not multiprocessing.active_children()


def test_a_teacher_is_for_one_device(trainer_of):
    with pytest.raises(RecipeError, match="training.distill works on one device only"):
        trainer_of("training.devices=2", teacher=torch.nn.Identity())
