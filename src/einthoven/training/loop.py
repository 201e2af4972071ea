"""The training loop: batches of random crops, validated every epoch, resumable to the last digit.

Every random draw of an epoch follows from the recipe's seed and the epoch's number, so a run that was killed repeats
the epoch it lost and ends with the numbers of an undisturbed one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from einthoven.errors import EinthovenError
from einthoven.models import Classifier
from einthoven.models.weights import save_weights
from einthoven.training.averaging import MovingAverage, WeightMean, refresh_batch_norm
from einthoven.training.checkpoints import check_network, load_checkpoint, save_checkpoint
from einthoven.training.device import Engine, check_devices
from einthoven.training.feeding import Batch, Feed
from einthoven.training.logs import EpochLog, open_log, write_epoch_predictions
from einthoven.training.losses import lesson_loss, make_loss
from einthoven.training.network import make_model
from einthoven.training.optimizers import make_optimizer
from einthoven.training.problem import Problem
from einthoven.training.quantisation import FakeQuantisation
from einthoven.training.ranks import from_first, mean_over_ranks, shared, syncing
from einthoven.training.recipe import Recipe
from einthoven.training.runs import CRITERIA, Run, best_epoch
from einthoven.training.schedules import Schedule, averages_from
from einthoven.training.targets import check_targets, class_weights
from einthoven.training.validation import predict_rows, spread_rows, validation_figures
from einthoven.training.watching import LossWatch

__all__ = ["CRITERIA", "Reporter", "Trainer"]

_REPORTED = 10  # batches between two reports


class Silence:
    """Nobody is told how training goes."""

    def step(self, epoch: int, step: int, n_steps: int, loss: float) -> None:
        """Say nothing."""

    def epoch(self, row: dict[str, float]) -> None:
        """Say nothing."""


class Reporter(Protocol):
    """Who is told how training goes."""

    def step(self, epoch: int, step: int, n_steps: int, loss: float) -> None:
        """Called now and then within an epoch, with batches done and their number."""

    def epoch(self, row: dict[str, float]) -> None:
        """Called after each epoch with its row of the history."""


class Trainer:
    """Network, average, optimiser and schedule of one run.

    Args:
        recipe: what to do.
        problem: on what.
        engine: where; ``parallel.fit`` trains on several devices.
        max_batches: of an epoch at most, and as many of validation records: tries everything, finds nothing.

    Raises:
        RecipeError: a model, augmentation, loss or device that cannot be, or parts that do not fit each other.
        DatasetError: training targets that say nothing of a class.
        MissingExtraError: an optimiser whose package is not there.
    """

    def __init__(self, recipe: Recipe, problem: Problem, engine: Engine, max_batches: int | None = None) -> None:
        self.recipe, self.problem, self.engine, self.max_batches = recipe, problem, engine, max_batches
        options, fs, device = recipe.training, problem.dataset.spec.fs, engine.device
        check_devices(options, problem, engine)
        check_targets(problem)
        self.model = make_model(recipe, problem).to(device)
        self.shared = shared(self.model, engine)  # its gradients are those of all processes
        self.forward = torch.compile(self.shared) if options.compile else self.shared
        self.teacher = None if problem.teacher is None else problem.teacher.to(device).eval().requires_grad_(False)
        self.feed = Feed(recipe, problem, engine, max_batches)
        self.store = self.feed.store
        self.window = max(1, round((recipe.evaluation.window_s or recipe.data.crop_s) * fs))
        self.validation = problem.validation
        if max_batches:
            self.validation = spread_rows(problem.validation, problem.targets, max_batches * options.batch_size)
        targets = problem.targets[problem.train]
        weights = class_weights(options.class_weights, targets, problem.classes, options.importance)
        self.loss = make_loss(options, problem.kind, None if weights is None else weights.to(device))
        self.optimizer = make_optimizer(self.model, options)
        self.schedule = Schedule(self.optimizer, options, -(-self.feed.n_batches // options.accumulate))
        self.scaler = torch.amp.GradScaler(device.type, enabled=engine.precision == "fp16")
        self.average = MovingAverage(self.model, options.ema) if options.ema else None
        self.mean = WeightMean(self.model) if options.swa else None
        self.fakes = FakeQuantisation(self.model, self._example()) if options.quantize else None
        self.history: list[dict[str, float]] = []

    @property
    def judged(self) -> Classifier:
        """The network that is validated and shipped: the averaged one where the recipe asks for it and it has begun."""
        if self.mean and self.mean.n:
            return self.mean.module  # type: ignore[return-value]
        return self.average.module if self.average else self.model  # type: ignore[return-value]

    def _example(self) -> tuple[Tensor, ...]:
        n, device = len(self.problem.dataset.spec.leads), self.engine.device
        x = torch.zeros(2, n, self.window, device=device)
        return (x,) if self.feed.facts is None else (x, self.feed.facts[:1].expand(2, -1))

    def _faked(self, model: Classifier, *, learning: bool = False) -> AbstractContextManager[None]:
        """Round the weights and signals of a network while it is called, where the recipe asks for it."""
        return self.fakes.worn(model, learning=learning) if self.fakes else nullcontext()

    def fit(self, run: Run, reporter: Reporter | None = None) -> None:
        """Train until the last epoch or until early stopping, checkpointing every epoch.

        Raises:
            EinthovenError: the loss is no number, the checkpoint is another network's, or a log cannot be written.
        """
        assert self.engine.n_ranks == self.recipe.training.devices, "several devices are for parallel.fit"
        if run.checkpoint.is_file():
            self.load_state(load_checkpoint(run.checkpoint), str(run.checkpoint))
        with ExitStack() as stack:
            log = stack.enter_context(open_log(run, self.recipe, self.history)) if self.engine.rank == 0 else None
            while len(self.history) < self.recipe.training.epochs and not self._stalled():
                self._epoch(run, log, reporter or Silence())

    def _epoch(self, run: Run, log: EpochLog | None, reporter: Reporter) -> None:
        """Train and validate; of several processes only the first has a log, validates and writes."""
        epoch, began = len(self.history), time.perf_counter()
        loss = self._train(epoch, reporter)
        if self.mean and epoch >= averages_from(self.recipe.training):
            self.mean.update(self.model)
        if self.mean and self.mean.n and log:
            with self.engine.autocast():
                refresh_batch_norm(self.mean.module, (batch.inputs for batch in self.feed.epoch(epoch, whole=True)))
        trained = time.perf_counter() - began
        figures, probabilities = self._validate() if log else (dict.fromkeys(map(_named, CRITERIA), 0.0), None)
        row = {"epoch": epoch + 1, "train_loss": loss, **from_first(figures, self.engine)}
        self.schedule.end_epoch(row["validation_loss"])
        row |= {"lr": self.schedule.rate, "train_seconds": trained}
        row["seconds"] = time.perf_counter() - began
        self.history.append(row)
        if log and probabilities is not None:
            self._keep(run, probabilities)
            log.write(row)
            reporter.epoch(row)

    def _train(self, epoch: int, reporter: Reporter) -> float:
        """Train for one epoch; returns the mean loss over all processes."""
        self.model.train()
        n, size = self.feed.n_batches, self.recipe.training.accumulate
        watch = LossWatch(self.engine.device, epoch + 1, self._record_ids)
        for k, batch in enumerate(self.feed.epoch(epoch)):
            done = k + 1
            loss = self.train_step(batch, parts=min(size, n - k // size * size), last=done % size == 0 or done == n)
            watch.add(loss, batch.chosen)
            if done % _REPORTED == 0 or done == n:
                reporter.step(epoch + 1, done, n, watch.mean())
        return float(mean_over_ranks(watch.total, self.engine)) / n

    def train_step(self, batch: Batch, parts: int = 1, last: bool = True) -> Tensor:
        """Learn from a batch; returns its loss.

        Args:
            batch: what the network sees and shall answer.
            parts: batches that make one optimiser step.
            last: whether this is the last of them, and the step is made.
        """
        with syncing(self.shared, last):
            with self._faked(self.model, learning=True), self.engine.autocast():
                logits = self.forward(*batch.inputs)
            loss = self.loss(logits, batch.targets)
            if self.teacher is not None:
                loss = self._taught(loss, logits, batch)
            self.scaler.scale(loss / parts if parts > 1 else loss).backward()  # type: ignore[no-untyped-call]
        if last:
            self._step()
        return loss.detach()

    def _taught(self, loss: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        how = self.recipe.training.distill
        assert how is not None
        assert self.teacher is not None
        with torch.no_grad(), self.engine.autocast():
            taught = self.teacher(*batch.inputs)
        lesson = lesson_loss(logits.float(), taught.float(), self.problem.kind, how.temperature)
        return (1 - how.weight) * loss + how.weight * lesson

    def _step(self) -> None:
        if (norm := self.recipe.training.clip_norm) is not None:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        if self.average:
            self.average.update(self.model, self.schedule.n)

    def _validate(self) -> tuple[dict[str, float], NDArray[np.float64]]:
        # Windows side by side are enough to choose an epoch; the final judgement lets them overlap.
        rows, kind, how = self.validation, self.problem.kind, self.recipe.evaluation.aggregate
        with self._faked(self.judged):
            p = predict_rows(self.judged, self.store, rows, self.window, how, kind, self.engine, self.feed.facts)
        if not np.isfinite(p).all():
            raise EinthovenError(
                f"the network's answers are no numbers after epoch {len(self.history) + 1}; lower training.lr or set "
                "training.clip_norm; the checkpoint of the epoch before is kept"
            )
        return validation_figures(self.problem.targets[rows], p, kind), p

    def _keep(self, run: Run, probabilities: NDArray[np.float64]) -> None:
        """Write what the newest epoch leaves, the last checkpoint at last: it says that the rest is there."""
        options, number, folder = self.recipe.training, len(self.history), run.checkpoint.parent
        improved = [criterion for criterion in CRITERIA if self.best_epoch(criterion) == number]
        for criterion in improved:
            save_weights(run.best(criterion), self.judged)
        if options.predictions_every and number % options.predictions_every == 0:
            records, rows = self.problem.dataset.records.record_id, self.validation
            path, targets = run.path / "predictions" / f"epoch-{number:03d}.parquet", self.problem.targets[rows]
            names = [records[row] for row in rows]
            write_epoch_predictions(path, names, self.problem.classes, targets, probabilities)
        if self.recipe.evaluation.select in improved:
            save_checkpoint(folder / "best.pt", self.state())
        if options.keep_every and number % options.keep_every == 0:
            save_checkpoint(folder / f"epoch-{number:03d}.pt", self.state())
        save_checkpoint(run.checkpoint, self.state())
        run.write_history(self.history)

    def _record_ids(self, chosen: Sequence[int]) -> list[str]:
        return [self.problem.dataset.records.record_id[row] for row in self.problem.train[list(chosen)]]

    def best_epoch(self, criterion: str) -> int:
        """Number, from 1, of the epoch that is best by a criterion; the first where none has it."""
        return best_epoch(self.history, criterion) or 1

    def _stalled(self) -> bool:
        patience, done = self.recipe.training.early_stopping, len(self.history)
        return patience is not None and done > 0 and done - self.best_epoch("auroc") >= patience

    def _stateful(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        parts["scaler"] = self.scaler
        if self.average or (self.mean and self.mean.n):
            parts["average"] = self.judged
        if self.fakes:
            parts["quantisation"] = self.fakes
        return parts

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        state = {"history": self.history, **{name: part.state_dict() for name, part in self._stateful().items()}}
        return {**state, "averaged": self.mean.n} if self.mean else state

    def load_state(self, state: dict[str, Any], name: str = "the state") -> None:
        """Continue from what ``state`` returned.

        Raises:
            EinthovenError: it is of another network, recipe or version.
        """
        try:
            check_network(state["model"], self.model, name)
            self.history = list(state["history"])
            if self.mean:
                self.mean.n = state["averaged"]
            for key, part in self._stateful().items():
                part.load_state_dict(state[key])
        except (KeyError, ValueError) as error:
            raise EinthovenError(
                f"{name} is of another recipe or version of this program ({error}); begin again with --version new"
            ) from error


def _named(criterion: str) -> str:
    return f"validation_{criterion}"
