"""Which training records show a quantiser the ranges of activations? Drawn by a seed, every class among them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.dataset import Dataset, gather_steps, to_millivolts
from einthoven.edge.formats import Calibration
from einthoven.errors import DatasetError
from einthoven.facts import facts_of_dataset

__all__ = ["about_calibration", "draw_calibration", "draw_rows"]


def draw_calibration(
    bundle: Bundle, dataset: Dataset, rows: NDArray[np.int64], targets: NDArray[np.float32], n: int, seed: int
) -> Calibration:
    """Cut one window at random out of each of ``n`` training records.

    Args:
        bundle: whose windows are wanted.
        dataset: prepared in its form.
        rows: of its training records.
        targets: shape (records of the dataset, classes).
        n: how many records; all where there are fewer.
        seed: of the draw.

    Raises:
        DatasetError: the dataset has another form than the bundle, a class has no training record, or ``n`` is less
            than the number of classes.
    """
    if dataset.spec != bundle.spec:
        have, need = dataset.spec.to_dict(), bundle.spec.to_dict()
        differ = "; ".join(f"{key} is {have[key]}, not {need[key]}" for key in need if have[key] != need[key])
        raise DatasetError(f"{dataset.path}: calibration records must be in the form of {bundle.name}: {differ}")
    rng = np.random.default_rng(seed)
    chosen = rows[draw_rows(targets[rows], bundle.classes, n, rng)]
    room = np.maximum(dataset.records.length[chosen] - bundle.window, 0)
    start = rng.integers(0, room + 1)
    steps = gather_steps(dataset.open_shards(), dataset, chosen, start, bundle.window)
    facts = facts_of_dataset(dataset, bundle.facts)[chosen] if bundle.facts else None
    record_ids = [dataset.records.record_id[row] for row in chosen.tolist()]
    return Calibration(record_ids, to_millivolts(steps, dataset.step_uv), facts)


def draw_rows(
    targets: NDArray[np.float32], classes: tuple[str, ...], n: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw rows without replacement, one positive of every class first, in ascending order.

    Raises:
        DatasetError: see ``draw_calibration``.
    """
    absent = [name for name, there in zip(classes, (targets == 1).any(axis=0), strict=True) if not there]
    if absent:
        raise DatasetError(
            f"no training record of class {', '.join(absent)} for calibration; its activations would be cut off, so "
            "use the dataset that the model was trained on"
        )
    if n < len(classes):
        raise DatasetError(
            f"{n} calibration records cannot show all {len(classes)} classes; use {len(classes)} or more"
        )
    chosen: list[int] = []
    for k in np.argsort((targets == 1).sum(axis=0)):  # the rarest class chooses first
        if not (targets[chosen, k] == 1).any():
            chosen.append(int(rng.choice(np.flatnonzero(targets[:, k] == 1))))
    rest = np.setdiff1d(np.arange(len(targets)), chosen)
    more = rng.choice(rest, min(max(0, n - len(chosen)), len(rest)), replace=False)
    return np.sort(np.concatenate([np.array(chosen, np.int64), more]))


def about_calibration(calibration: Calibration, ids: bool) -> dict[str, Any]:
    """Say which records they were: number, SHA-256 of their ids (a line each), and the ids themselves if wanted."""
    digest = hashlib.sha256("".join(f"{each}\n" for each in calibration.record_ids).encode()).hexdigest()
    about: dict[str, Any] = {"n": len(calibration.record_ids), "ids_sha256": digest}
    return {"records": list(calibration.record_ids), **about} if ids else about
