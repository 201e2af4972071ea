"""Does the cost grow as the work grows? Prepare, one epoch, prediction and judgement of ever larger archives.

usage: python benchmarks/scale.py FOLDER [--records 2000 20000] [--residence map stream ...] [--keep]
       python benchmarks/scale.py FOLDER --stores          what feeding costs, on the largest dataset kept there
       python benchmarks/scale.py FOLDER --draw            the table and the plot of results that are there

FOLDER gets, for each size, an archive in PTB-XL's layout (records of 10 s, 12 leads, 100 Hz: a few hundred computed
ECGs, each shifted, scaled and given noise of its own), its prepared dataset and a run; all but the archive are removed
after each stage unless --keep. Every stage is a process of its own. Memory is the peak of the sum over it and its
children: of what is private to them (anonymous pages), and of all that is resident, which counts the page cache of
mapped files too. Time is of the processor, summed over processes, beside that of the clock, which on a shared machine
measures the neighbours. Results: benchmarks/results/scale.json, a table, docs/images/scale.png.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_BASES = 300
_CHUNK = 1000
_LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
_RECIPE = """
name: scale
data: {{dataset: {dataset}, residence: {residence}}}
model: {{name: map583_resnet1d_10}}
training: {{epochs: 1, batch_size: 128, threads: {threads}, precision: fp32}}
evaluation: {{n_resamples: 200, stride_s: 2.5}}
"""

RESULTS = Path(__file__).parent / "results" / "scale.json"

# Making the archive


def make_archive(folder: Path, n_records: int) -> Path:
    """Write an archive once; one that is there already is taken as it is."""
    root = folder / f"archive-{n_records}"
    if (root / "done").is_file():
        return root
    from einthoven.corpora.synthetic import synthesize_records, write_synthetic_corpus

    shutil.rmtree(root, ignore_errors=True)
    write_synthetic_corpus(root, _BASES)  # for its table of statements
    shutil.rmtree(root / "records100")
    made = synthesize_records(_BASES)
    base = np.rint(made.signals.transpose(0, 2, 1) * 1000).astype(np.int16)  # (record, sample, lead)
    codes = [repr({code: float(p) for code, p in one.visit.codes.items()}) for one in made.recordings]
    with (root / "ptbxl_database.csv").open("w") as table:
        table.write("ecg_id,patient_id,age,sex,scp_codes,source,strat_fold,filename_lr,filename_hr\n")
        for first in range(0, n_records, _CHUNK):
            for ecg_id, which, steps in _jittered(base, first, min(_CHUNK, n_records - first)):
                stem = f"records100/{ecg_id // _CHUNK:05d}/{ecg_id:07d}_lr"
                _write_record(root / stem, steps)
                patient = (ecg_id + 1) // 2
                facts = f'{20 + patient % 70},{patient % 2},"{codes[which]}",synthetic,{patient % 10 + 1}'
                table.write(f"{ecg_id},{patient},{facts},{stem},\n")
    (root / "done").touch()
    return root


def _jittered(base: np.ndarray, first: int, n: int) -> Iterator[tuple[int, int, np.ndarray]]:
    draw = np.random.default_rng([1, first])
    noise = draw.normal(0, 15, (n_noise := 32, *base.shape[1:])).astype(np.float32)
    for k in range(n):
        which, shift, gain = int(draw.integers(len(base))), int(draw.integers(1000)), np.float32(draw.uniform(0.8, 1.2))
        steps = np.roll(base[which], shift, axis=0) * gain + noise[draw.integers(n_noise)]
        yield first + k + 1, which, np.clip(steps, -32767, 32767).astype("<i2")


def _write_record(stem: Path, steps: np.ndarray) -> None:
    if not stem.parent.is_dir():
        stem.parent.mkdir(parents=True)
    sums = steps.sum(axis=0, dtype=np.int64) % 65536
    lines = [f"{stem.name} 12 100 {len(steps)}"]
    for lead, value, total in zip(_LEADS, steps[0].tolist(), sums.tolist(), strict=True):
        lines.append(f"{stem.name}.dat 16 1000.0(0)/mV 16 0 {value} {total} 0 {lead}")
    Path(f"{stem}.hea").write_text("\n".join(lines) + "\n")
    Path(f"{stem}.dat").write_bytes(steps.tobytes())


# The stages, each in a process of its own


def stage_prepare(archive: Path, work: Path, options: Any) -> int:
    from einthoven.corpora import open_corpus
    from einthoven.preparation import prepare

    corpus = open_corpus("ptb-xl", archive)
    return len(prepare(corpus, work / "dataset", corpus.spec, workers=options.threads))


def stage_open(archive: Path, work: Path, options: Any) -> int:
    from einthoven.dataset import open_dataset

    return len(open_dataset(work / "dataset"))


def stage_train(archive: Path, work: Path, options: Any) -> int:
    from einthoven.dataset import open_dataset
    from einthoven.training.device import make_engine
    from einthoven.training.loop import Trainer
    from einthoven.training.recipe import parse_recipe
    from einthoven.training.runs import begin_run
    from einthoven.workflow.problem import make_problem
    from einthoven.workflow.selection import select_for
    from einthoven.workflow.train import _bundle

    text = _RECIPE.format(dataset=work / "dataset", residence=options.residence, threads=options.threads)
    recipe = parse_recipe(text)
    selected = select_for(recipe, open_dataset(work / "dataset"))
    engine = make_engine("cpu", "fp32", options.threads)
    trainer = Trainer(recipe, make_problem(recipe, selected), engine)
    run = begin_run(work / "runs", recipe)
    trainer.fit(run)
    _bundle(run, recipe, trainer, selected, engine.describe())
    return len(selected.rows["train"]) + len(selected.rows["validation"])


def stage_predict(archive: Path, work: Path, options: Any) -> int:
    from einthoven.bundle import load_bundle
    from einthoven.dataset import open_dataset
    from einthoven.evaluation.predictions import predict_dataset, write_predictions
    from einthoven.workflow.selection import select_for_bundle

    dataset, bundle = open_dataset(work / "dataset"), load_bundle(work / "runs/scale/001/bundle")
    selected = select_for_bundle(bundle, dataset)
    rows = np.flatnonzero(np.isfinite(selected.targets).all(axis=1))
    write_predictions(work / "all.parquet", predict_dataset(bundle, dataset, rows, selected.targets[rows]))
    return len(rows)


def stage_evaluate(archive: Path, work: Path, options: Any) -> int:
    from einthoven.workflow import evaluate

    run = work / "runs/scale/001"
    (run / "report.html").touch()  # judged like a finished run
    return int(evaluate(run, split="test").judgement["n_records"])


STAGES = {
    "prepare": stage_prepare,
    "open": stage_open,
    "train": stage_train,
    "predict": stage_predict,
    "evaluate": stage_evaluate,
}

# Measuring


class Watch(threading.Thread):
    """Samples the memory of a process and its children until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self.private, self.resident = pid, 0.0, 0.0
        self.start()

    def run(self) -> None:
        """Look every twentieth of a second."""
        import psutil

        try:
            top = psutil.Process(self._pid)
            while top.is_running() and top.status() != psutil.STATUS_ZOMBIE:
                found = [_memory(each.pid) for each in [top, *top.children(recursive=True)]]
                self.private = max(self.private, sum(anon for anon, _ in found))
                self.resident = max(self.resident, sum(rss for _, rss in found))
                time.sleep(0.05)
        except psutil.NoSuchProcess:
            return


def _memory(pid: int) -> tuple[float, float]:
    """MB of anonymous and of all resident pages."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0, 0.0
    found = {
        line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith("Rss") or "VmRSS" in line
    }
    return int(found.get("RssAnon", 0)) / 1024, int(found.get("VmRSS", 0)) / 1024


def measure(stage: str, archive: Path, work: Path, options: argparse.Namespace, residence: str) -> dict[str, Any]:
    """Run one stage in a process of its own."""
    with tempfile.NamedTemporaryFile("r") as told:
        command = [sys.executable, __file__, str(archive), "--stage", stage, "--work", str(work), "--told", told.name]
        command += ["--residence", residence, "--threads", str(options.threads)]
        process = subprocess.Popen(command)
        watch = Watch(process.pid)
        code = process.wait()
        watch.join()
        if code:
            sys.exit(f"{stage} of {archive} failed")
        said = json.loads(Path(told.name).read_text())
    return {
        "stage": stage,
        "residence": residence if stage == "train" else "",
        **said,
        "records/s": said["records"] / said["seconds"],
        "private MB": watch.private,
        "resident MB": watch.resident,
    }


def run_stage(options: argparse.Namespace) -> None:
    """In the process of a stage: do it, and say how many records took how long, imports not counted."""
    import importlib

    for module in ("einthoven.preparation", "einthoven.workflow.train", "einthoven.training.loop"):
        importlib.import_module(module)
    options.residence = options.residence[0]
    began, cpu = time.perf_counter(), os.times()
    n = STAGES[options.stage](options.folder, options.work, options)
    used = os.times()
    busy = sum(used[:4]) - sum(cpu[:4])
    said = {"records": n, "seconds": time.perf_counter() - began, "cpu seconds": busy}
    Path(options.told).write_text(json.dumps(said))


def main(options: argparse.Namespace) -> None:
    rows = []
    for n in options.records:
        began = time.perf_counter()
        archive, work = make_archive(options.folder, n), options.folder / f"work-{n}"
        print(f"{n:,} records: archive after {time.perf_counter() - began:.0f} s", flush=True)
        shutil.rmtree(work, ignore_errors=True)
        for stage in STAGES:
            for residence in options.residence if stage == "train" else [""]:
                if stage == "train":
                    shutil.rmtree(work / "runs", ignore_errors=True)
                rows.append({"archive": n} | measure(stage, archive, work, options, residence or "map"))
                print(json.dumps(rows[-1]), flush=True)
                keep({"scale": rows})
        if not options.keep:
            shutil.rmtree(work)
    draw()


def keep(found: dict[str, Any]) -> None:
    """Add to the results that are there."""
    import platform

    from _timing import _processor

    known = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    machine = {"processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    RESULTS.write_text(json.dumps({**known, "machine": machine, **found}, indent=1) + "\n")


def stores(folder: Path, batch: int = 128) -> None:
    """Samples per processor second of each store alone, and of one training step of the small model."""
    import torch

    from einthoven.dataset import open_dataset
    from einthoven.training.batches import SignalStore, epoch_batches
    from einthoven.training.device import make_engine
    from einthoven.training.loop import Trainer
    from einthoven.training.recipe import parse_recipe
    from einthoven.workflow.problem import make_problem
    from einthoven.workflow.selection import select_for

    whole = [each.parent for each in folder.glob("work-*/dataset/dataset.json")]
    path = max(whole, key=lambda each: int(each.parent.name.split("-")[1]))
    dataset, found = open_dataset(path), {}
    rows = torch.arange(len(dataset))
    for residence in ("device", "map", "stream"):
        store, done = SignalStore(dataset, torch.device("cpu"), residence), 0
        for turn in range(2):  # whole epochs, the first to warm up: a stream reads before its first batch
            cpu, began, done = time.process_time(), time.perf_counter(), 0
            for chosen, _ in epoch_batches(store, rows, 250, batch, torch.Generator().manual_seed(turn)):
                done += len(chosen)
        found[f"{residence} store"] = done / (time.process_time() - cpu)
        print(residence, done / (time.perf_counter() - began), "samples/s by the clock")
    recipe = parse_recipe(_RECIPE.format(dataset=path, residence="map", threads=1))
    trainer = Trainer(recipe, make_problem(recipe, select_for(recipe, dataset)), make_engine("cpu", "fp32", 1))
    trainer.model.train()
    ready = next(trainer.feed.epoch(0))
    trainer.train_step(ready)
    cpu = time.process_time()
    for _ in range(5):
        trainer.train_step(ready)
    found["training step"] = 5 * batch / (time.process_time() - cpu)
    for name, rate in found.items():
        print(f"{name:<14} {rate:>9,.0f} samples/processor second")
    keep({"stores": {"records": len(dataset), **found}})


def draw() -> None:
    """Print the table, and draw it."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = json.loads(RESULTS.read_text())["scale"]
    print("| stage | records | processor s | records / processor s | clock s | private MB | resident MB |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in sorted(rows, key=lambda row: list(STAGES).index(row["stage"])):
        name = f"{row['stage']} ({row['residence']})" if row["residence"] else row["stage"]
        print(
            f"| {name} | {row['records']:,} of {row['archive']:,} | {row['cpu seconds']:.1f} | "
            f"{row['records'] / row['cpu seconds']:,.0f} | {row['seconds']:.0f} | {row['private MB']:.0f} | "
            f"{row['resident MB']:.0f} |"
        )
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for k, stage in enumerate(STAGES):
        of = sorted((row for row in rows if row["stage"] == stage), key=lambda row: row["archive"])
        how = {"color": f"C{k}", "label": {"train": "train an epoch"}.get(stage, stage)}
        left.plot([r["records"] for r in of], [r["cpu seconds"] for r in of], "o-", **how)
        right.plot([r["archive"] for r in of], [r["private MB"] for r in of], "o-", **how)
    left.set(xscale="log", yscale="log", xlabel="records worked on", ylabel="processor seconds", title="Time")
    right.set(xscale="log", xlabel="records of the archive", ylabel="private MB, all processes", title="Peak memory")
    right.set_ylim(0)
    for axes in (left, right):
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False)
    figure.savefig(Path(__file__).parents[1] / "docs" / "images" / "scale.png", dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--records", type=int, nargs="+", default=[2000, 20_000])
    parser.add_argument("--residence", nargs="+", default=["stream"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--stores", action="store_true")
    parser.add_argument("--draw", action="store_true")
    parser.add_argument("--stage", choices=STAGES)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--told")
    options = parser.parse_args()
    if options.stage:
        run_stage(options)
    elif options.stores:
        stores(options.folder)
    elif options.draw:
        draw()
    else:
        main(options)
