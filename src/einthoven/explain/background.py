"""What a record is compared with: ECGs of nobody, or of a dataset where that is asked for.

One idea: a background made from a seed need not be stored, fits every model, and gives no patient away.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.corpora.synthetic import synthesize_records
from einthoven.dataset import Dataset
from einthoven.errors import ConformError, DatasetError, EinthovenError
from einthoven.leads import TWELVE_LEADS
from einthoven.signals import MIN_DURATION_S, conform_signals
from einthoven.spec import SignalSpec

__all__ = ["dataset_background", "synthetic_background"]

Array = NDArray[np.float32]
_STRIP_S = 10


def synthetic_background(bundle: Bundle, n_samples: int, n: int = 16, seed: int = 0) -> Array:
    """ECGs of a synthetic hospital, the sick among them, in the form that a bundle sees.

    Records longer than 10 s are strips of several patients, one after the other.

    Args:
        bundle: the model.
        n_samples: per lead, at the model's rate.
        n: records.
        seed: which population; the same seed gives the same records.

    Returns:
        Shape (n, leads, n_samples), mV.

    Raises:
        EinthovenError: the model sees what no synthetic ECG has (other leads, another unit, single beats).
    """
    if bundle.about["provenance"].get("record_s", np.inf) < MIN_DURATION_S:
        raise EinthovenError(
            f"{bundle.name} judges single beats, and a synthetic background is of whole strips; use method ig, or name "
            "a dataset of beats as background"
        )
    if bundle.spec.unit != "mV":
        raise EinthovenError(
            f"{bundle.name} sees signals in unit {bundle.spec.unit!r}, and synthetic ECGs are in mV; use method ig, or "
            "name a dataset as background"
        )
    try:
        return _synthetic(bundle.spec, n_samples, n, seed)
    except ConformError as error:
        raise EinthovenError(
            f"no synthetic background for {bundle.name}: {error}; use method ig, or name a dataset as background"
        ) from None


@lru_cache(maxsize=8)
def _synthetic(spec: SignalSpec, n_samples: int, n: int, seed: int) -> Array:
    fs = 100 if spec.fs <= 100 and spec.band_hz is None and spec.notch_hz is None else 500
    strips = -(-n_samples // int(_STRIP_S * spec.fs))  # rounded up
    signals = synthesize_records(n * strips, seed, fs).signals
    whole = conform_signals(signals, TWELVE_LEADS, float(fs), spec)  # (n * strips, leads, samples of a strip)
    joined = whole.reshape(n, strips, *whole.shape[1:]).transpose(0, 2, 1, 3).reshape(n, whole.shape[1], -1)
    background = np.ascontiguousarray(joined[..., :n_samples])
    background.setflags(write=False)
    return background


def dataset_background(bundle: Bundle, dataset: Dataset, n_samples: int, n: int = 16, seed: int = 0) -> Array:
    """Records of a dataset's training folds, drawn by seed; real patients, so never a part of a bundle.

    Raises:
        DatasetError: another form of signals than the model's, or too few records that are long enough.
    """
    if dataset.spec != bundle.spec:
        raise DatasetError(f"{dataset.path}: its signals are not in the form that {bundle.name} needs; prepare it so")
    folds = set(bundle.about["provenance"]["folds"]["train"])
    fold, length = dataset.folds(bundle.about["provenance"]["folds"]["split"]), dataset.records.length
    fits = [row for row in range(len(dataset)) if fold[row] in folds and length[row] >= n_samples]
    if len(fits) < n:
        raise DatasetError(
            f"{dataset.path}: {len(fits)} training records of {n_samples / bundle.spec.fs:g} s or more, {n} are needed"
        )
    rows = np.random.default_rng(seed).choice(fits, n, replace=False)
    return np.stack([np.nan_to_num(dataset.signal(int(row))[:, :n_samples]) for row in rows])
