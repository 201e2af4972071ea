"""The training loop: one-cycle AdamW on random crops, validated every epoch, resumable to the last digit.

Every random draw of an epoch follows from the recipe's seed and the epoch's number, so a run that was killed repeats
the epoch it lost and ends with the numbers of an undisturbed one.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from einthoven.augment import Chain, Step
from einthoven.errors import EinthovenError
from einthoven.metrics import auroc
from einthoven.models import Classifier, Scaling, create_model
from einthoven.models.weights import save_weights
from einthoven.signals import aggregate, window_starts
from einthoven.training.batches import SignalStore, epoch_batches, fit_scaling
from einthoven.training.checkpoints import load_checkpoint, save_checkpoint
from einthoven.training.device import Engine
from einthoven.training.ema import MovingAverage
from einthoven.training.losses import loss_of, probabilities_of
from einthoven.training.problem import Problem
from einthoven.training.recipe import Recipe
from einthoven.training.runs import Run

__all__ = ["Reporter", "Trainer", "predict_rows"]

_EVALUATION_BATCH = 512
CRITERIA = {"auroc": 1, "accuracy": 1, "loss": -1}  # sign: larger is better


class Silence:
    """Nobody is told how training goes."""

    def step(self, epoch: int, step: int, n_steps: int, loss: float) -> None:
        """Say nothing."""

    def epoch(self, row: dict[str, float]) -> None:
        """Say nothing."""


class Reporter(Protocol):
    """Who is told how training goes."""

    def step(self, epoch: int, step: int, n_steps: int, loss: float) -> None:
        """Called now and then within an epoch."""

    def epoch(self, row: dict[str, float]) -> None:
        """Called after each epoch with its row of the history."""


class Trainer:
    """Network, average, optimiser and schedule of one run.

    Args:
        recipe: what to do.
        problem: on what.
        engine: where.
    """

    def __init__(self, recipe: Recipe, problem: Problem, engine: Engine) -> None:
        self.recipe, self.problem, self.engine = recipe, problem, engine
        options, fs = recipe.training, problem.dataset.spec.fs
        torch.manual_seed(recipe.seed)
        scaling = Scaling(*fit_scaling(problem.dataset, problem.train, recipe.model.scaling))
        n_leads, n_classes = len(problem.dataset.spec.leads), problem.targets.shape[1]
        network = create_model(recipe.model.name, n_leads, n_classes, **recipe.model.options)
        self.model = Classifier(scaling, network).to(engine.device)
        self.average = MovingAverage(self.model, options.ema) if options.ema else None
        self.crop = max(1, round(recipe.data.crop_s * fs))
        self.window = max(1, round((recipe.evaluation.window_s or recipe.data.crop_s) * fs))
        self.store = SignalStore(problem.dataset, engine.device, recipe.data.residence)
        self.chain = Chain([Step(s.name, s.p, s.parameters) for s in options.augment])
        self.n_steps = max(1, len(problem.train) // options.batch_size)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=options.lr, weight_decay=options.weight_decay, fused=True
        )
        total = options.epochs * self.n_steps
        # A warm-up of one step has no length in torch's schedule, which then divides by zero.
        warmup = options.warmup if total * options.warmup > 1.5 else min(0.9, 2.5 / total)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, options.lr, total_steps=total, pct_start=warmup
        )
        self.scaler = torch.amp.GradScaler(engine.device.type, enabled=engine.precision == "fp16")
        self.history: list[dict[str, float]] = []
        self.rows = torch.from_numpy(problem.train).to(engine.device)
        self.targets = torch.from_numpy(problem.targets[problem.train]).to(engine.device)

    @property
    def judged(self) -> Classifier:
        """The network that is validated and shipped: the averaged one where the recipe asks for it."""
        return self.average.module if self.average else self.model  # type: ignore[return-value]

    def fit(self, run: Run, reporter: Reporter | None = None) -> None:
        """Train until the last epoch or until early stopping, checkpointing every epoch."""
        reporter = reporter or Silence()
        if run.checkpoint.is_file():
            self.load_state(load_checkpoint(run.checkpoint))
        events = SummaryWriter(str(run.path / "tensorboard"), purge_step=len(self.history) + 1)
        while len(self.history) < self.recipe.training.epochs and not self._stalled():
            began = time.perf_counter()
            loss = self._train_epoch(len(self.history), reporter)
            trained = time.perf_counter() - began
            row: dict[str, float] = {"epoch": len(self.history) + 1, "train_loss": loss, **self._validate()}
            row |= {"lr": float(self.schedule.get_last_lr()[0]), "train_seconds": trained}
            row["seconds"] = time.perf_counter() - began
            self.history.append(row)
            for criterion in self._improved():
                save_weights(run.best(criterion), self.judged)
            save_checkpoint(run.checkpoint, self.state())
            run.write_history(self.history)
            for name, value in row.items():
                events.add_scalar(name, value, row["epoch"])
            reporter.epoch(row)
        events.close()

    def train_step(self, x: Tensor, y: Tensor, generator: torch.Generator, step: int) -> Tensor:
        """One optimiser step on a batch; returns its loss."""
        options = self.recipe.training
        x = self.chain(x, generator)
        with self.engine.autocast():
            logits = self.model(x)
        loss = loss_of(logits, y, self.problem.kind, options.label_smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        if options.clip_norm:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), options.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        if self.average:
            self.average.update(self.model, step)
        return loss.detach()

    def _train_epoch(self, epoch: int, reporter: Reporter) -> float:
        self.model.train()
        seed = int(np.random.SeedSequence([self.recipe.seed, epoch]).generate_state(1, np.uint64)[0] >> 1)
        torch.manual_seed(seed)  # dropout
        order = torch.Generator().manual_seed(seed)
        varied = torch.Generator(self.engine.device).manual_seed(seed + 1)
        total = torch.zeros((), device=self.engine.device)
        batches = epoch_batches(self.store, self.rows, self.crop, self.recipe.training.batch_size, order)
        for k, (chosen, x) in enumerate(batches):
            total += self.train_step(x, self.targets[chosen], varied, epoch * self.n_steps + k + 1)
            if k % 10 == 9 or k + 1 == self.n_steps:
                reporter.step(epoch + 1, k + 1, self.n_steps, float(total) / (k + 1))
        mean = float(total) / self.n_steps
        if not np.isfinite(mean):
            raise EinthovenError(
                f"the loss became {mean} in epoch {epoch + 1}; lower training.lr or set training.clip_norm; "
                "the checkpoint of the epoch before is kept"
            )
        return mean

    def _validate(self) -> dict[str, float]:
        rows, kind = self.problem.validation, self.problem.kind
        # Windows side by side are enough to choose an epoch; the final judgement lets them overlap.
        how = self.recipe.evaluation.aggregate
        p = predict_rows(self.judged, self.store, rows, self.window, self.window, how, kind, self.engine)
        y = self.problem.targets[rows]
        per_class = auroc(y, p)
        q = np.clip(p, 1e-7, 1 - 1e-7)
        if kind == "multiclass":
            loss, accuracy = -np.log(q[y == 1]).mean(), (p.argmax(axis=1) == y.argmax(axis=1)).mean()
        else:
            loss = -np.where(y == 1, np.log(q), np.log(1 - q)).mean()
            accuracy = ((p >= 0.5) == (y == 1)).mean()
        return {
            "validation_loss": float(loss),
            "validation_auroc": float(np.nanmean(per_class)),
            "validation_accuracy": float(accuracy),
        }

    def _scores(self, criterion: str) -> list[float]:
        return [CRITERIA[criterion] * row[f"validation_{criterion}"] for row in self.history]

    def best_epoch(self, criterion: str) -> int:
        """Number, from 1, of the epoch that is best by a criterion."""
        return int(np.argmax(self._scores(criterion))) + 1

    def _improved(self) -> list[str]:
        """Criteria by which the newest epoch is the best so far."""
        return [c for c in CRITERIA if (s := self._scores(c))[-1] > max(s[:-1], default=-np.inf)]

    def _stalled(self) -> bool:
        patience, scores = self.recipe.training.early_stopping, self._scores("auroc")
        return patience is not None and len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])

    def _stateful(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule}
        parts["scaler"] = self.scaler
        if self.average:
            parts["average"] = self.average.module
        return parts

    def state(self) -> dict[str, Any]:
        """Everything that the next epoch depends on."""
        return {"history": self.history, **{name: part.state_dict() for name, part in self._stateful().items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from what ``state`` returned."""
        self.history = list(state["history"])
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])


@torch.inference_mode()
def predict_rows(
    model: torch.nn.Module,
    store: SignalStore,
    rows: NDArray[np.int64],
    window: int,
    stride: int,
    how: str,
    kind: str,
    engine: Engine,
) -> NDArray[np.float64]:
    """Probabilities of records, shape (rows, classes): mean or maximum over windows of each."""
    starts = [window_starts(int(n), window, stride) for n in store.dataset.records.length[rows]]
    first = np.concatenate([[0], np.cumsum([len(s) for s in starts])])
    owner = torch.from_numpy(np.repeat(rows, np.diff(first))).to(store.device)
    start = torch.from_numpy(np.concatenate(starts)).to(store.device)
    model.eval()
    parts = []
    for k in range(0, len(owner), _EVALUATION_BATCH):
        x = store.gather(owner[k : k + _EVALUATION_BATCH], start[k : k + _EVALUATION_BATCH], window)
        with engine.autocast():
            logits = model(x)
        parts.append(probabilities_of(logits, kind).cpu().numpy())
    return aggregate(np.concatenate(parts), first[:-1], how)
