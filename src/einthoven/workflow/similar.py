"""Which ECGs does a model see as alike? Records of a prepared dataset by the angle between embeddings.

One idea: an embedding is what the network's last layer sees, averaged over the windows of a record; what is near in it
is alike to the model, which need not be alike to a cardiologist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.dataset import Dataset
from einthoven.errors import BundleError, DatasetError
from einthoven.explain import open_model
from einthoven.explain.subject import Model
from einthoven.models.ensemble import WeightedMean
from einthoven.record import Record
from einthoven.signals import conform, windows

__all__ = ["Index", "Neighbour", "build_index", "embed"]

_AT_ONCE = 256  # windows
_RECORDS = 32  # read at a time
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A record of the dataset and the cosine of the angle between its embedding and the one asked for."""

    row: int
    cosine: float


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Embeddings of records of a dataset.

    Attributes:
        dataset: whose records they are.
        rows: of the dataset, shape (records,).
        vectors: of length 1, shape (records, features).
    """

    dataset: Dataset
    rows: NDArray[np.int64]
    vectors: Array

    def nearest(self, vector: Array, n: int = 5) -> list[Neighbour]:
        """Return the nearest records of different patients, nearest first; unknown patients count as different."""
        cosines = self.vectors @ (vector / max(float(np.linalg.norm(vector)), 1e-12))
        found: list[Neighbour] = []
        seen = set()
        for k in np.argsort(-cosines, kind="stable").tolist():
            row = int(self.rows[k])
            patient = self.dataset.records.patient_id[row] or f"row {row}"
            if patient not in seen:
                seen.add(patient)
                found.append(Neighbour(row, float(cosines[k])))
            if len(found) == n:
                break
        return found


def embed(bundle: Bundle, record: Record, model: Model | None = None) -> Array:
    """Return the embedding of a record, shape (features,); members of an ensemble stand one after the other.

    Args:
        bundle: the model.
        record: one ECG, which is conformed.
        model: its network, where it is at hand.

    Raises:
        ConformError: the record does not fit the model.
        BundleError: the bundle has no weights.
    """
    return _embed(bundle, model or open_model(bundle), [conform(record, bundle.spec).signal])[0]


def build_index(
    bundle: Bundle,
    dataset: Dataset,
    rows: Sequence[int] | NDArray[np.int64],
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Index:
    """Embed records of a dataset.

    Args:
        bundle: the model.
        dataset: prepared in the model's form.
        rows: which records.
        progress: called with records done and their number.

    Raises:
        DatasetError: no rows, or a dataset in another form than the model's.
        BundleError: the bundle has no weights.
    """
    if not len(rows):
        raise DatasetError(f"{dataset.path}: no record to compare with in the chosen folds")
    if dataset.spec != bundle.spec:
        raise DatasetError(
            f"{dataset.path}: prepared with {len(dataset.spec.leads)} leads at {dataset.spec.fs:g} Hz in another form "
            f"than {bundle.name} reads ({len(bundle.spec.leads)} at {bundle.spec.fs:g} Hz); prepare it in that form"
        )
    model, vectors = open_model(bundle), []
    for first in range(0, len(rows), _RECORDS):
        some = rows[first : first + _RECORDS]
        vectors += _embed(bundle, model, [dataset.signal(int(row)) for row in some])
        progress(first + len(some), len(rows))
    stacked = np.stack(vectors)
    stacked /= np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12)
    return Index(dataset, np.asarray(rows, np.int64), stacked)


def _embed(bundle: Bundle, model: Model, signals: Sequence[Array]) -> list[Array]:
    """Mean over the windows of each signal."""
    cuts = [windows(signal, bundle.window, bundle.stride)[0] for signal in signals]
    with torch.inference_mode():
        every = torch.from_numpy(np.concatenate(cuts))
        seen = torch.cat([_features(model, some) for some in torch.split(every, _AT_ONCE)])
        return [part.mean(dim=0).numpy() for part in torch.split(seen, [len(cut) for cut in cuts])]


def _features(model: Model, x: torch.Tensor) -> torch.Tensor:
    """What the last layer sees, shape (windows, features); facts beside the signal count as unknown."""
    if isinstance(model, WeightedMean):
        members = [member for member in model.members if isinstance(member, Model)]
        return torch.cat([_features(member, x) for member in members], dim=1)
    network = model.network
    found = network.forward_head(network.forward_features(model.scaling(x)), pre_logits=True)
    if found.ndim != 2:
        raise BundleError(f"the network gives features of shape {tuple(found.shape)}, not one vector for each window")
    return found
