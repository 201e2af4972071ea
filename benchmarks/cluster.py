"""What Ray and a second process cost: prepare by tasks against processes, one training shared by two processes.

usage: python benchmarks/cluster.py prepare CORPUS_DIR [ROUNDS=3]
       python benchmarks/cluster.py shared DATASET [ROUNDS=3]

``prepare`` reads a corpus in PTB-XL's layout with as many processes as there are cores, and as tasks of a Ray cluster
on this machine, whose start and first call are not counted. ``shared`` trains one small network by one process with two
threads and by two processes with one thread each; records per second are of the epochs after the first. The two ways
take turns, so that both meet the same state of the machine; medians and the median of paired ratios are printed.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _timing import report
from einthoven.cluster import connect
from einthoven.corpora import open_corpus
from einthoven.dataset import open_dataset
from einthoven.preparation import prepare
from einthoven.processes import FanOut, as_finished
from einthoven.spec import SignalSpec
from einthoven.training import parallel
from einthoven.training.device import make_engine
from einthoven.training.loop import Trainer
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run
from einthoven.workflow import select_for
from einthoven.workflow.problem import make_problem

_RECIPE = """
name: shared
data: {{dataset: {dataset}}}
model: {{options: {{width: 32}}}}
training: {{epochs: 3, batch_size: 64, precision: fp32, threads: 2}}
"""
_BATCHES = 30  # of an epoch


def in_turns(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, act in ways.items():
            found[name].append(act())
    return found


def bench_prepare(root: Path, rounds: int) -> None:
    folder = Path(tempfile.mkdtemp())
    corpus = open_corpus("ptb-xl", root)

    def seconds(fan_out: FanOut) -> float:
        shutil.rmtree(folder / "dataset", ignore_errors=True)
        began = time.perf_counter()
        prepare(corpus, folder / "dataset", SignalSpec(), fan_out=fan_out)
        return time.perf_counter() - began

    with connect("local", print) as cluster:
        list(cluster.as_finished(abs, [(k,) for k in range(8)]))
        ways = {"processes": lambda: seconds(as_finished), "Ray": lambda: seconds(cluster.as_finished)}
        found = in_turns(ways, rounds)
    shutil.rmtree(folder)
    ratio = statistics.median(b / a for a, b in zip(*found.values(), strict=True))
    figures = {f"{name}, s": statistics.median(times) for name, times in found.items()}
    report("cluster-prepare", {"records": len(corpus.entries), **figures, "Ray / processes": ratio})


def bench_shared(path: Path, rounds: int) -> None:
    dataset, text = open_dataset(path), _RECIPE.format(dataset=path)

    def rate(devices: int) -> float:
        recipe = parse_recipe(text, overrides=[f"training.devices={devices}"])
        trainer = Trainer(
            recipe, make_problem(recipe, select_for(recipe, dataset)), make_engine("cpu", "fp32", 2), _BATCHES
        )
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "checkpoints").mkdir()
            parallel.fit(trainer, Run(Path(folder)))
        seconds = statistics.median(row["train_seconds"] for row in trainer.history[1:])
        return _BATCHES * recipe.training.batch_size / seconds

    found = in_turns({"one process, two threads": lambda: rate(1), "two processes": lambda: rate(2)}, rounds)
    figures = {f"{name}, records/s": statistics.median(rates) for name, rates in found.items()}
    ratio = statistics.median(b / a for a, b in zip(*found.values(), strict=True))
    report("cluster-shared", {**figures, "two processes / one": ratio})


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("prepare", "shared"):
        sys.exit(__doc__)
    bench = bench_prepare if sys.argv[1] == "prepare" else bench_shared
    bench(Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 3)
