"""Predictions for every record of a dataset, however many: block by block, among processes or the nodes of a cluster.

A block is written whole or not at all under a name that its number gives, so one that is done twice is stored once; a
rerun does what is missing.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, backends_of, load_bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import DatasetError, EinthovenError, RecipeError
from einthoven.evaluation.prediction_parts import manifest_of, part_of, plan_of_parts
from einthoven.evaluation.predictions import predict_dataset, write_predictions
from einthoven.facts import facts_of_dataset
from einthoven.files import read_json, sha256_of, write_json
from einthoven.processes import FanOut, as_finished
from einthoven.splits import rows_of_folds
from einthoven.workflow.selection import has_label, task_for_bundle

__all__ = ["BLOCK", "Predicted", "predict_all"]

BLOCK = 2048  # records of a part: some seconds of work, some megabytes at most
_SPAWNED: FanOut = partial(as_finished, start="spawn")  # runtimes have threads, which no fork survives
Announce = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Predicted:
    """Where predictions were written: how many records, in how many parts, how many of these by this call."""

    folder: Path
    n_records: int
    n_parts: int
    n_new: int


@dataclass(frozen=True, slots=True)
class _Source:
    """What a process opens for itself, and what it must find."""

    model: str
    backend: str
    threads: int | None
    dataset: Path
    folds: tuple[int, ...]
    plan: str


def predict_all(
    model: str | Path,
    dataset: Path,
    out: Path,
    *,
    backend: str = "auto",
    folds: Sequence[int] = (),
    workers: int | None = None,
    fan_out: FanOut | None = None,
    block: int = BLOCK,
    progress: Callable[[int, int], None] | None = None,
    announce: Announce = lambda _: None,
) -> Predicted:
    """Write a bundle's scores of every record of a dataset as a folder of Parquet parts; see ``prediction_parts``.

    Columns are those of ``write_predictions``: targets are the dataset's labels as the bundle's task sees them, and
    null where it has none.

    Args:
        model: a bundle folder, a run folder, or a pretrained name.
        dataset: a folder prepared with the bundle's signal specification.
        out: the folder to write; one that an interrupted call with the same arguments has left is continued.
        backend: see ``load_bundle``.
        folds: of the corpus' own split, whose records alone are predicted; all records by default.
        workers: processes, or calls at a time on a cluster.
        fan_out: how the work is divided; by default among processes of this machine.
        block: records of a part.
        progress: called with the records done and their number.
        announce: told in a sentence what happens.

    Raises:
        BundleError: see ``load_bundle``; or the bundle changes meanwhile.
        DatasetError: not in the form that the bundle needs, no records, or ``out`` holds something else.
        EinthovenError: another process writes there, or the disk is full; what is done stays.
    """
    source = _Source(_where(model), backend, None if workers == 1 else 1, dataset.absolute(), tuple(folds), "")
    opened = _Opened(source)
    plan = opened.plan | {"block": block}
    source, rows = replace(source, plan=_digest(opened.plan)), opened.rows
    if not len(rows):
        raise DatasetError(f"{dataset}: no records" + (f" in the folds {', '.join(map(str, folds))}" if folds else ""))
    if opened.why_unlabelled:
        announce(f"targets are unknown: {opened.why_unlabelled}")
    blocks = [(k, first, min(first + block, len(rows))) for k, first in enumerate(range(0, len(rows), block))]
    with _claimed(out, plan):
        listed = _listed(out)
        made = {k: about for k, a, b in blocks if (about := _made(part_of(out, k), b - a, listed))}
        jobs = [job for job in blocks if job[0] not in made]
        if made:
            announce(f"{out}: {len(made)} of {len(blocks)} parts are there already")
        _report(progress, made, len(rows))
        if jobs:
            manifest_of(out).unlink(missing_ok=True)
        work = partial(_write_part, source, out.absolute())
        for (k, *_), about in (fan_out or _SPAWNED)(work, jobs, workers):
            made[k] = about
            _report(progress, made, len(rows))
        for left in out.glob(".part-*.tmp"):  # of a worker that was killed
            left.unlink()
        write_json(manifest_of(out), {**plan, "parts": [made[k] for k, *_ in blocks]})
    return Predicted(out, len(rows), len(blocks), len(jobs))


class _Opened:
    """A bundle and a dataset, checked against each other.

    Attributes:
        rows: which records are predicted.
        plan: what tells these predictions from others.
        why_unlabelled: why the dataset has no targets; None where it has.
    """

    def __init__(self, source: _Source) -> None:
        self.bundle = load_bundle(source.model, backend=source.backend, threads=source.threads)
        self.dataset = open_dataset(source.dataset)
        folds = self.dataset.folds()
        self.rows = rows_of_folds(folds, source.folds) if source.folds else np.arange(len(self.dataset))
        self.why_unlabelled: str | None = None
        try:
            self._task = task_for_bundle(self.bundle, self.dataset)
        except (DatasetError, RecipeError) as error:
            self.why_unlabelled = str(error)
        self.plan = {
            "model": {"name": self.bundle.name, "sha256": _digest(_essence(self.bundle, source.backend))},
            "dataset": {"name": self.dataset.name, "sha256": _digest(_content(self.dataset))},
            "classes": list(self.bundle.classes),
            "folds": list(source.folds),
            "records": len(self.rows),
        }

    @cached_property
    def facts(self) -> NDArray[np.float32]:
        """What the bundle's network sees beside the signal, of every record: read once by each process."""
        return facts_of_dataset(self.dataset, self.bundle.facts)

    def targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Targets of records, shape (rows, classes); NaN where nobody looked."""
        if self.why_unlabelled:
            return np.full((len(rows), len(self.bundle.classes)), np.nan, np.float32)
        targets = self._task.targets([self.dataset.records.statements[row] for row in rows.tolist()])
        known = has_label(targets, self.dataset, self.bundle.about["task"].get("unlabelled", "auto"))
        return np.where(known[:, None], targets, np.float32(np.nan))


def _where(model: str | Path) -> str:
    """A name that means the same in another working folder."""
    return str(Path(model).absolute()) if Path(model).exists() else str(model)


def _essence(bundle: Bundle, backend: str) -> dict[str, Any]:
    """What scores follow from: the files that compute, and how signals are cut and joined."""
    known = backends_of(bundle.about)
    _, files = known[next(iter(known)) if backend == "auto" else backend]
    essence = {key: bundle.about.get(key) for key in ("spec", "window", "facts")}
    return essence | {"files": {name: bundle.about["files"][name] for name in files}, "classes": bundle.classes}


def _content(dataset: Dataset) -> list[str]:
    return [dataset.listing_sha256, *(shard.sha256 for shard in dataset.shards)]


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def _claimed(out: Path, plan: dict[str, Any]) -> Iterator[None]:
    """Make a folder ours while we write.

    Raises:
        DatasetError: it holds something else.
        EinthovenError: another process writes there.
    """
    known = plan_of_parts(out)
    if out.is_dir() and any(out.iterdir()) and not known.is_file():
        raise DatasetError(f"{out}: the folder is not empty and holds no predictions; name another one")
    out.mkdir(parents=True, exist_ok=True)
    with (out / "_lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EinthovenError(f"{out}: another process predicts into this folder; wait for it") from None
        if known.is_file():
            _check_same(out, read_json(known, DatasetError, "predictions"), plan)
        else:
            write_json(known, plan)
        yield


def _check_same(out: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if old.get(key) != value:
            raise DatasetError(
                f"{out}: holds predictions with another {key} ({_shown(old.get(key))}, not {_shown(value)}); name "
                "another folder"
            )


def _shown(value: Any) -> str:
    return f"{value['name']} {value['sha256'][:8]}" if isinstance(value, dict) else str(value)


def _listed(out: Path) -> dict[str, str]:
    """Checksums of parts by file, where all were there once."""
    path = manifest_of(out)
    parts = read_json(path, DatasetError, "predictions")["parts"] if path.is_file() else []
    return {part["file"]: part["sha256"] for part in parts}


def _made(path: Path, n: int, listed: Mapping[str, str]) -> dict[str, Any] | None:
    """What the manifest says of a part that is there and whole; None of one that is to be made."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        whole = path.is_file() and pq.read_metadata(path).num_rows == n
    except (OSError, pa.ArrowInvalid):
        return None
    if not whole or listed.get(path.name, digest := sha256_of(path)) != digest:
        return None
    return {"file": path.name, "rows": n, "sha256": digest}


def _report(progress: Callable[[int, int], None] | None, made: dict[int, dict[str, Any]], n: int) -> None:
    if progress:
        progress(sum(part["rows"] for part in made.values()), n)


_open_once = lru_cache(maxsize=1)(_Opened)  # a process does many blocks


def _write_part(source: _Source, out: Path, k: int, first: int, last: int) -> dict[str, Any]:
    """Predict one block and store it; returns what the manifest says of it."""
    opened = _open_once(source)
    if _digest(opened.plan) != source.plan:
        raise DatasetError(f"{source.model} or {source.dataset} is being changed; leave them alone while they are used")
    rows = opened.rows[first:last]
    path = part_of(out, k)
    found = predict_dataset(opened.bundle, opened.dataset, rows, opened.targets(rows), facts=opened.facts)
    write_predictions(path, found)
    return {"file": path.name, "rows": len(rows), "sha256": sha256_of(path)}
