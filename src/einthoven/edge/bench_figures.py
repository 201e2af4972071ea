"""From times to figures: percentiles of calls, throughput, and ratios of ways that took turns.

One idea: a ratio is the median of the ratios of each round, in which both met the same machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from einthoven.bundle import Bundle

__all__ = ["Rounds", "figures_of", "file_bytes", "ratio", "stated_auroc"]

Json = dict[str, Any]
Rounds = Sequence[Sequence[float]]  # seconds of the calls of each round
_KEYS = ("window", "record", "batch")


def figures_of(times: Mapping[str, Rounds], batch: int) -> Json:
    """Latency of one window (p50 and p95 of all calls) and of a record in ms, and windows a second in batches.

    Args:
        times: of ``"window"``, ``"record"`` and ``"batch"``.
        batch: windows in a batch.

    >>> found = figures_of({"window": [[0.001, 0.003], [0.002]], "record": [[0.01]], "batch": [[0.5]]}, 64)
    >>> found["latency_ms"]["p50"], found["record_ms"], found["windows_per_s"]
    (2.0, 10.0, 128.0)
    """
    one, record, many = (np.concatenate([np.asarray(each) for each in times[key]]) for key in _KEYS)
    p50, p95 = 1e3 * np.quantile(one, [0.5, 0.95])
    return {
        "latency_ms": {"p50": float(p50), "p95": float(p95), "calls": len(one)},
        "record_ms": 1e3 * float(np.median(record)),
        "windows_per_s": batch / float(np.median(many)),
    }


def ratio(own: Rounds, reference: Rounds) -> Json:
    """How many times faster than a reference: median over the rounds, with the quartiles.

    >>> ratio([[1.0, 1.0], [2.0]], [[3.0], [4.0, 4.0]])
    {'value': 2.5, 'low': 2.25, 'high': 2.75}
    """
    each = [np.median(theirs) / np.median(ours) for ours, theirs in zip(own, reference, strict=True)]
    low, value, high = np.quantile(each, [0.25, 0.5, 0.75])
    return {"value": float(value), "low": float(low), "high": float(high)}


def file_bytes(bundle: Bundle, way: str) -> int:
    """Size of the files that a way computes."""
    own = {"torch": ["model.safetensors"], "compile": ["model.safetensors"], "onnx": ["model.onnx"]}
    own |= {name: entry["files"] for name, entry in bundle.about.get("artefacts", {}).items()}
    return sum((bundle.path / file).stat().st_size for file in own[way])


def stated_auroc(bundle: Bundle, way: str) -> Json | None:
    """Macro AUROC that the bundle, or the proof of an artefact, states, and of which split; None where none is stated.

    Where artefacts were proven, the split is theirs, so that all ways of a model are judged on the same records.
    """
    artefacts = bundle.about.get("artefacts", {})
    proofs = {name: entry["proof"] for name, entry in artefacts.items() if entry.get("proof")}
    if way in artefacts:
        macro = proofs[way]["macro_auroc"]["artefact"] if way in proofs else None
        return None if macro is None else {"value": macro, "split": proofs[way]["split"]}
    for proof in proofs.values():
        return {"value": proof["macro_auroc"]["reference"], "split": proof["split"]}
    metrics = bundle.about.get("metrics", {})
    for split in ("test", "validation"):
        if "macro" in metrics.get(split, {}):
            return {"value": metrics[split]["macro"]["auroc"]["value"], "split": split}
    return None
