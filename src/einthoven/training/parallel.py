"""Several devices of one machine train one network: a process each, which share every batch.

This process starts them, passes on what the first of them reports, and ends them all as soon as one dies.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import distributed, multiprocessing

from einthoven.dataset import open_dataset
from einthoven.errors import EinthovenError, RecipeError
from einthoven.training.checkpoints import load_checkpoint
from einthoven.training.device import Engine
from einthoven.training.loop import Reporter, Trainer
from einthoven.training.problem import Problem
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run

__all__ = ["LONGEST_WAIT", "Fit", "Work", "fit", "train_rank", "work_of"]

LONGEST_WAIT = timedelta(minutes=30)  # of one process for the others, as while the first validates
_GRACE_S = 3.0  # after the first sign of trouble, for the others to say what it is
_PROBLEM = ("kind", "classes", "targets", "train", "validation", "facts", "fact_names")  # the teacher cannot travel


class Fit(Protocol):
    """What trains a network on as many devices as its recipe wants: ``fit`` here, or that of a cluster."""

    def __call__(self, trainer: Trainer, run: Run, reporter: Reporter | None = None) -> None:
        """See ``fit``."""


def fit(trainer: Trainer, run: Run, reporter: Reporter | None = None) -> None:
    """Train as ``Trainer.fit`` does, on as many devices as the recipe wants; the trainer has the outcome.

    Args:
        trainer: of the whole problem, on one device.
        run: the run's folder, locked by this process.
        reporter: told how training goes.

    Raises:
        RecipeError: this machine has too few GPUs.
        EinthovenError: as ``Trainer.fit``; or a process died, and the last checkpoint is whole.
    """
    n = trainer.recipe.training.devices
    if n == 1:
        trainer.fit(run, reporter)
        return
    if trainer.engine.device.type == "cuda" and n > torch.cuda.device_count():
        raise RecipeError(f"training.devices is {n}, but this machine has {torch.cuda.device_count()} usable GPUs")
    with tempfile.TemporaryDirectory() as folder:
        _Team(work_of(trainer, run), Path(folder) / "meeting", reporter).run()
    trainer.load_state(load_checkpoint(run.checkpoint), str(run.checkpoint))


@dataclass(frozen=True, slots=True)
class Work:
    """What a process has to know: plain values and arrays, from which it makes the rest for itself."""

    recipe: str
    dataset: Path
    problem: dict[str, Any]
    engine: Engine
    n_ranks: int
    max_batches: int | None
    run: Path


def work_of(trainer: Trainer, run: Run) -> Work:
    """What other processes have to know in order to train as this trainer would."""
    problem, recipe = trainer.problem, trainer.recipe
    return Work(
        recipe=recipe.to_yaml(),
        dataset=problem.dataset.path.resolve(),
        problem={name: getattr(problem, name) for name in _PROBLEM},
        engine=trainer.engine,
        n_ranks=recipe.training.devices,
        max_batches=trainer.max_batches,
        run=run.path.resolve(),
    )


class _Team:
    """The processes of one training.

    Args:
        work: what they do.
        meeting: a file that is not there yet, by which they find each other.
        reporter: told what the first of them tells.
    """

    def __init__(self, work: Work, meeting: Path, reporter: Reporter | None) -> None:
        self._work, self._meeting, self._reporter = work, meeting, reporter
        self._errors: list[str] = []
        self._crashes: list[str] = []
        self._ended: list[str] = []

    def run(self) -> None:
        """Start all, wait for all.

        Raises:
            EinthovenError: one of them met one, or died.
            RuntimeError: one of them met another error, which is a defect.
        """
        context = multiprocessing.get_context("spawn")
        processes: dict[Connection, Any] = {}
        try:
            for rank in range(self._work.n_ranks):
                ear, mouth = context.Pipe(duplex=False)
                process = context.Process(target=_process, args=(self._work, self._meeting, rank, mouth), daemon=True)
                process.start()
                mouth.close()  # so that the pipe ends with the process
                processes[ear] = process
            self._listen(dict(processes))
        finally:
            for process in processes.values():
                process.kill()
                process.join()
        self._judge()

    def _listen(self, talking: dict[Connection, Any]) -> None:
        """Hear all until they end; after the first sign of trouble only as long as it takes to learn the cause."""
        until = None
        while talking and (until is None or time.monotonic() < until):
            for ear in wait(list(talking), None if until is None else max(0.0, until - time.monotonic())):
                assert isinstance(ear, Connection)
                try:
                    self._hear(*ear.recv())
                except EOFError:
                    self._see_off(talking.pop(ear))
            if until is None and (self._errors or self._crashes or self._ended):
                until = time.monotonic() + _GRACE_S

    def _hear(self, kind: str, said: tuple[Any, ...]) -> None:
        if kind == "error":
            self._errors += said
        elif kind == "crash":
            self._crashes += said
        elif self._reporter:
            getattr(self._reporter, kind)(*said)

    def _see_off(self, process: Any) -> None:
        process.join()
        if process.exitcode < 0:
            self._ended.append(f"was ended by signal {-process.exitcode}")
        elif process.exitcode > 0 and not (self._errors or self._crashes):
            self._ended.append(f"ended with code {process.exitcode}")

    def _judge(self) -> None:
        """Raise what went wrong; a killed process is the cause of crashes elsewhere."""
        if self._errors:
            raise EinthovenError(self._errors[0])
        if self._ended:
            raise EinthovenError(
                f"one of the {self._work.n_ranks} processes that trained {self._ended[0]}, so the others were ended "
                "too; the checkpoint of the last whole epoch is kept, and the same command goes on from there"
            )
        if self._crashes:
            raise RuntimeError(self._crashes[0])


class _Mouth:
    """A reporter whose words go to the process that started this one."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def step(self, epoch: int, step: int, n_steps: int, loss: float) -> None:
        self._pipe.send(("step", (epoch, step, n_steps, loss)))

    def epoch(self, row: dict[str, float]) -> None:
        self._pipe.send(("epoch", (row,)))


def _process(work: Work, meeting: Path, rank: int, pipe: Connection) -> None:
    """One of the processes: ends with 0, or says what is wrong and ends with 1."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one hears Ctrl-C, and ends all
    if Path("/sys/class/net/lo").exists():
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # one machine needs no network, nor a name in it
    try:
        _work_as(work, meeting, rank, _Mouth(pipe) if rank == 0 else None)
        return
    except EinthovenError as error:
        pipe.send(("error", (str(error),)))
    except Exception:  # whatever it is, the parent must hear of it instead of waiting
        pipe.send(("crash", (f"process {rank + 1} of {work.n_ranks}: {traceback.format_exc()}",)))
    os._exit(1)  # the others may be gone, and an orderly end would wait for them


def _work_as(work: Work, meeting: Path, rank: int, reporter: Reporter | None) -> None:
    engine = work.engine.of_rank(rank, work.n_ranks)
    cuda = engine.device.type == "cuda"
    if cuda:
        torch.cuda.set_device(engine.device)
    torch.set_num_threads(engine.threads)  # before the group's own threads begin
    distributed.init_process_group(
        "nccl" if cuda else "gloo",
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=work.n_ranks,
        timeout=LONGEST_WAIT,
    )
    train_rank(work, engine, reporter)
    distributed.destroy_process_group()


def train_rank(work: Work, engine: Engine, reporter: Reporter | None) -> None:
    """Train in one of the processes that share each batch, which have met; from the run's last checkpoint on.

    Args:
        work: what all do.
        engine: where this one computes; see ``Engine.of_rank``.
        reporter: told how training goes.
    """
    torch.set_num_threads(engine.threads)
    if engine.device.type == "cuda":
        torch.backends.cudnn.deterministic = True
    problem = Problem(open_dataset(work.dataset), **work.problem)
    Trainer(parse_recipe(work.recipe), problem, engine, work.max_batches).fit(Run(work.run), reporter)
