"""What the signals lack: missing leads and samples of all records, and faults of a drawn part of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset import MISSING, Dataset
from einthoven.signals import MIN_DURATION_S, check_signal

__all__ = ["SignalStatistics", "signal_statistics"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SignalStatistics:
    """Figures of the signals.

    Attributes:
        missing: per lead the share of all samples that were not recorded.
        without: per lead the records in which nothing of it was recorded.
        n_gaps: records in which any sample is missing.
        n_checked: records whose quality was checked, drawn without replacement.
        seed: of the draw.
        n_clean: of them, those without any fault.
        n_refused: those that a model would refuse.
        faults: records by code of the fault, most first; a record can have several.
        unchecked: why nothing was checked; empty where something was.
        examples: of each fault, the first record in table order and what was said about it.
    """

    missing: Mapping[str, float]
    without: Mapping[str, int]
    n_gaps: int
    n_checked: int
    seed: int
    n_clean: int
    n_refused: int
    faults: Mapping[str, int]
    unchecked: str
    examples: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def signal_statistics(
    dataset: Dataset, sampled: int = 1000, seed: int = 0, progress: Progress = lambda *_: None
) -> SignalStatistics:
    """Count what is missing in every record, and check the quality of some.

    Args:
        dataset: whose signals are read.
        sampled: records to check, or all where there are fewer.
        seed: of the draw.
        progress: called with steps done and their number: a step for each record read or checked.
    """
    rows = np.sort(np.random.default_rng(seed).permutation(len(dataset))[:sampled])
    unchecked = _why_not(dataset, sampled)
    rows = rows[:0] if unchecked else rows
    steps = len(dataset) + len(rows)
    absent = _absent(dataset, lambda done: progress(done, steps))  # (records, leads)
    length = np.maximum(dataset.records.length, 1)[:, None]
    faults, examples, refused, clean = Counter[str](), dict[str, str](), 0, 0
    for k, row in enumerate(rows.tolist()):
        flags = check_signal(dataset.signal(row), dataset.spec.fs, dataset.spec.leads)
        refused += any(flag.refuse for flag in flags)
        clean += not flags
        for flag in flags:
            faults[flag.code] += 1
            examples.setdefault(flag.code, f"{dataset.records.record_id[row]}: {flag.text}")
        progress(len(dataset) + k + 1, steps)
    total = max(int(dataset.records.length.sum()), 1)
    leads = dataset.spec.leads
    return SignalStatistics(
        missing=dict(zip(leads, (absent.sum(axis=0) / total).tolist(), strict=True)),
        without=dict(zip(leads, (absent == length).sum(axis=0).tolist(), strict=True)),
        n_gaps=int(absent.any(axis=1).sum()),
        n_checked=len(rows),
        seed=seed,
        n_clean=clean,
        n_refused=refused,
        faults=dict(faults.most_common()),
        unchecked=unchecked,
        examples=examples,
    )


def _why_not(dataset: Dataset, sampled: int) -> str:
    if not sampled:
        return "no check was asked for"
    if dataset.spec.unit != "mV":
        return f"the signals are {dataset.spec.unit}, and the check is about millivolts"
    longest = float(dataset.records.length.max(initial=0)) / dataset.spec.fs
    if longest < MIN_DURATION_S:
        return f"the records last {longest:.2g} s at most, and the check needs {MIN_DURATION_S:g} s"
    return ""


def _absent(dataset: Dataset, progress: Callable[[int], None]) -> NDArray[np.int64]:
    """Missing samples of each record and lead."""
    table, shards = dataset.records, dataset.open_shards()
    absent = np.zeros((len(dataset), len(dataset.spec.leads)), np.int64)
    for row in range(len(dataset)):
        begin = table.offset[row]
        steps = shards[int(table.shard[row])][begin : begin + table.length[row]]
        if steps.min(initial=0) == MISSING:  # one quick pass: most records lack nothing
            absent[row] = (steps == MISSING).sum(axis=0)
        progress(row + 1)
    return absent
