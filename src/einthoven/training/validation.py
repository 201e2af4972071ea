"""How good is an epoch? The network on the validation records, and its figures there."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from einthoven.metrics import auroc, defined_classes
from einthoven.signals import aggregate, window_starts
from einthoven.training.batches import SignalStore
from einthoven.training.device import Engine
from einthoven.training.losses import probabilities_of

__all__ = ["predict_rows", "spread_rows", "validation_figures"]

_BATCH = 512
_RECORDS = 4096  # whose windows are listed at a time

Array = NDArray[np.float64]


@torch.inference_mode()
def predict_rows(
    model: torch.nn.Module,
    store: SignalStore,
    rows: NDArray[np.int64],
    window: int,
    how: str,
    kind: str,
    engine: Engine,
    facts: torch.Tensor | None = None,
) -> Array:
    """Probabilities of records, shape (rows, classes): mean or maximum over windows side by side.

    Args:
        model: called with signals, and with facts where there are any.
        store: the signals.
        rows: which records.
        window: samples.
        how: ``"mean"`` or ``"max"``.
        kind: ``"multilabel"`` or ``"multiclass"``.
        engine: where.
        facts: of all records of the store, shape (records, facts), on the device.
    """
    model.eval()
    # In the order of the files, so that each is read once.
    along = np.argsort(rows, kind="stable")
    found: Array | None = None
    for k in range(0, len(rows), _RECORDS):
        at = along[k : k + _RECORDS]
        part = _predict_block(model, store, rows[at], window, how, kind, engine, facts)
        found = np.empty((len(rows), part.shape[1])) if found is None else found
        found[at] = part
    assert found is not None, "no records to predict"
    return found


def _predict_block(
    model: torch.nn.Module,
    store: SignalStore,
    rows: NDArray[np.int64],
    window: int,
    how: str,
    kind: str,
    engine: Engine,
    facts: torch.Tensor | None,
) -> Array:
    starts = [window_starts(int(n), window, window) for n in store.dataset.records.length[rows]]
    first = np.concatenate([[0], np.cumsum([len(s) for s in starts])])
    owner = torch.from_numpy(np.repeat(rows, np.diff(first))).to(store.device)
    start = torch.from_numpy(np.concatenate(starts)).to(store.device)
    parts = []
    for k in range(0, len(owner), _BATCH):
        records = owner[k : k + _BATCH]
        x = store.gather(records, start[k : k + _BATCH], window)
        with engine.autocast():
            logits = model(x) if facts is None else model(x, facts[records])
        parts.append(probabilities_of(logits, kind).cpu().numpy())
    return aggregate(np.concatenate(parts), first[:-1], how)


def validation_figures(y: NDArray[np.float32], p: Array, kind: str) -> dict[str, float]:
    """Cross-entropy, macro AUROC (NaN where no class has one) and accuracy of probabilities; unknown targets left out.

    Whatever loss is trained with, the loss here is the cross-entropy of probabilities, so that runs compare.
    """
    q, known = np.clip(p, 1e-7, 1 - 1e-7), ~np.isnan(y)
    if kind == "multiclass":
        loss = -np.log(q[y == 1]).mean()
        rows = known.all(axis=1)
        accuracy = (p[rows].argmax(axis=1) == y[rows].argmax(axis=1)).mean()
    else:
        loss = -np.where(y == 1, np.log(q), np.log(1 - q))[known].mean()
        accuracy = ((p >= 0.5) == (y == 1))[known].mean()
    per_class = auroc(y, p)
    macro = np.nanmean(per_class) if np.isfinite(per_class).any() else np.nan
    return {"validation_loss": float(loss), "validation_auroc": float(macro), "validation_accuracy": float(accuracy)}


def spread_rows(rows: NDArray[np.int64], targets: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """At most ``n`` of the rows, evenly spread; two are exchanged where otherwise no class had an AUROC.

    Args:
        rows: of ``targets``.
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        n: at least 2.
    """
    if len(rows) <= n:
        return rows
    chosen = rows[np.linspace(0, len(rows) - 1, n).round().astype(np.int64)]
    if not defined_classes(targets[chosen]).any() and (defined := defined_classes(targets[rows])).any():
        y = targets[rows][:, np.argmax(defined)]
        chosen[:2] = rows[[np.argmax(y == 0), np.argmax(y == 1)]]
    return chosen
