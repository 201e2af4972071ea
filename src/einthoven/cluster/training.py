"""One network trained by workers on several nodes: Ray Train brings them together, and again when one has died.

What each worker does is ``training.parallel.train_rank``, as in the processes of one machine; checkpoints are the run
folder's own, so a restart goes on from the last whole epoch with the numbers of an undisturbed run.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from einthoven.cluster.hosting import listening
from einthoven.cluster.tasks import Cluster, Place, enter
from einthoven.errors import EinthovenError
from einthoven.training.checkpoints import load_checkpoint
from einthoven.training.device import Engine, make_engine
from einthoven.training.loop import Reporter, Trainer
from einthoven.training.parallel import LONGEST_WAIT, Work, train_rank, work_of
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run

__all__ = ["fit_on"]

_RESTARTS = 10


@dataclass(frozen=True, slots=True)
class _Task:
    """What each worker has to know."""

    work: Work
    place: Place
    tell: Callable[..., Any]


class _Mouth:
    """A reporter whose words go to the driver."""

    def __init__(self, tell: Callable[..., Any]) -> None:
        self._tell = tell

    def step(self, epoch: int, step: int, n_steps: int, loss: float) -> None:
        self._tell("step", epoch, step, n_steps, loss)

    def epoch(self, row: dict[str, float]) -> None:
        self._tell("epoch", row)


class _Ear:
    """What the driver hears: words for its reporter, and the first error of the work itself."""

    def __init__(self, reporter: Reporter | None) -> None:
        self._reporter, self.error = reporter, ""

    def __call__(self, kind: str, *said: Any) -> None:
        if kind == "error":
            self.error = self.error or said[0]
        elif self._reporter:
            getattr(self._reporter, kind)(*said)


def fit_on(cluster: Cluster, trainer: Trainer, run: Run, reporter: Reporter | None = None) -> None:
    """Train as ``parallel.fit`` does, with the devices of a cluster; workers that die are replaced.

    Args:
        cluster: where.
        trainer: of the whole problem, on one device of this machine.
        run: the run's folder, which every node sees, locked by this process.
        reporter: told how training goes.

    Raises:
        EinthovenError: as ``Trainer.fit``; the cluster is too small, or workers died again and again.
    """
    n = trainer.recipe.training.devices
    if n == 1:
        trainer.fit(run, reporter)
        return
    options = trainer.recipe.training
    gpu, threads = options.device != "cpu" and cluster.total("GPU") >= n, max(1, (options.threads or n) // n)
    _check_room(cluster, n, gpu, threads)
    work = replace(work_of(trainer, run), engine=replace(trainer.engine, threads=n * threads))
    ear = _Ear(reporter)
    with listening(ear) as tell:
        failure = _train(_Task(work, cluster.place(), tell), n, gpu, threads)
    if ear.error:
        raise EinthovenError(ear.error)
    if failure:
        raise EinthovenError(
            f"the workers of the training died {_RESTARTS + 1} times ({failure}); the checkpoint of the last whole "
            "epoch is kept, and the same command goes on from there"
        )
    trainer.load_state(load_checkpoint(run.checkpoint), str(run.checkpoint))


def _check_room(cluster: Cluster, n: int, gpu: bool, threads: int) -> None:
    kind, each = ("GPU", 1) if gpu else ("CPU", threads)
    if cluster.total(kind) < n * each:
        raise EinthovenError(
            f"training.devices {n} needs {n * each} {kind}s, and the cluster has {cluster.total(kind):g}; lower "
            "training.devices or training.threads, or add nodes"
        )


def _train(task: _Task, n: int, gpu: bool, threads: int) -> str:
    """Let Ray Train run the workers; returns why they died in the end, or an empty string."""
    os.environ.setdefault("RAY_TRAIN_METRICS_ENABLED", "0")
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.CRITICAL)  # what matters is said by us
    aside = _aside(task.work)
    shutil.rmtree(aside, ignore_errors=True)  # of a driver that was killed
    aside.mkdir()
    backend = TorchConfig(backend="nccl" if gpu else "gloo", timeout_s=int(LONGEST_WAIT.total_seconds()))
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"task": task},
        torch_config=backend,
        scaling_config=ScalingConfig(
            num_workers=n, use_gpu=gpu, resources_per_worker={"CPU": threads, **({"GPU": 1} if gpu else {})}
        ),
        run_config=RunConfig(
            name="train", storage_path=str(aside), failure_config=FailureConfig(max_failures=_RESTARTS)
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        return " ".join(str(error).split())[:200]
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return ""


def _worker(config: dict[str, Any]) -> None:
    """One of the workers; an error of the work itself is told, and not repeated with the same outcome."""
    from ray import train

    task: _Task = config["task"]
    enter(task.place)
    said = _aside(task.work) / "error"
    if said.exists():
        return
    context = train.get_context()
    rank, n = context.get_world_rank(), context.get_world_size()
    engine = _engine(task.work, rank, n)
    try:
        train_rank(task.work, engine, _Mouth(task.tell) if rank == 0 else None)
    except EinthovenError as error:
        task.tell("error", str(error))
        said.touch()  # the others wait for this worker: Ray starts all anew, and they see this
        raise


def _aside(work: Work) -> Path:
    """Ray Train's own folder, which goes when training ends."""
    return work.run / ".ray"


def _engine(work: Work, rank: int, n: int) -> Engine:
    """Where a worker computes: on the GPU that Ray gave it, or with its share of the threads."""
    from ray.train.torch import get_device

    device = get_device()
    if device.type == "cpu":
        return replace(work.engine, device=device).of_rank(rank, n)
    options = parse_recipe(work.recipe).training
    wanted = make_engine("cuda", options.precision, work.engine.threads)  # the driver may have no GPU
    return replace(wanted.of_rank(rank, n), device=device)
