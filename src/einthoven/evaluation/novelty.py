"""What does the detector of unlike records see, and what does it miss? Foreign and faulty signals against real ones.

One idea: each impostor is made of a held-out record, so that known and unknown differ in nothing but the fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle
from einthoven.dataset import Dataset
from einthoven.decisions import Novelty, fit_novelty
from einthoven.errors import ConformError, DatasetError
from einthoven.evaluation.batches import dataset_features, signal_batches
from einthoven.metrics import auroc
from einthoven.signals import PERTURBATIONS, check_signal, feature_parts, perturb, record_features
from einthoven.signals.foreign import FOREIGN, foreign_signals
from einthoven.signals.perturb import Level
from einthoven.spec import SignalSpec

__all__ = ["FAULTS", "fit_dataset_novelty", "judge_novelty"]

Array = NDArray[np.float64]
Signal = NDArray[np.float32]
# From signals (records, leads, samples), rate, leads and a key per record to as many foreign or faulty ones.
Make = Callable[[Signal, float, tuple[str, ...], list[int]], Signal]

# Faults that a detector should see; each is one of ``PERTURBATIONS``.
FAULTS: tuple[tuple[str, Level], ...] = (
    ("white_noise", 0.0),
    ("white_noise", 12.0),
    ("muscle", 0.0),
    ("muscle", 6.0),
    ("electrode_motion", 0.0),
    ("baseline_wander", 1.0),
    *(("lead_reversal", level) for level in PERTURBATIONS["lead_reversal"].levels),
    ("polarity", "all"),
    ("missing_leads", "V2"),
    ("device_filter", "0.5-25"),
    ("gain", 0.5),
    ("gain", 2.0),
    ("gain", 10.0),
    ("gain", 1000.0),
    ("gain", 0.001),
)
_POOR = 0.5  # share seen below which a kind counts as poorly detected


def fit_dataset_novelty(
    dataset: Dataset, training: NDArray[np.int64], validation: NDArray[np.int64], *, most: int = 20_000, seed: int = 0
) -> Novelty:
    """Fit a detector to prepared records.

    Args:
        dataset: of the records.
        training: rows that the network is trained on.
        validation: rows that set the threshold.
        most: of more training rows so many are used, chosen by the seed.
        seed: of the choice.
    """
    if len(training) > most:
        training = np.sort(np.random.default_rng(seed).choice(training, most, replace=False))
    parts = feature_parts(dataset.spec.leads)
    return fit_novelty(dataset_features(dataset, training), dataset_features(dataset, validation), parts)


def judge_novelty(
    bundle: Bundle,
    dataset: Dataset,
    rows: NDArray[np.int64],
    targets: NDArray[np.float32],
    *,
    n_records: int | None = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Judge a bundle's detector on records, and on foreign and faulty signals made of them.

    Args:
        bundle: with a detector.
        dataset: prepared with the bundle's own signal specification.
        rows: records that the network was not trained on; the false alarms among validation records are as stated by
            construction, those among test records are measured.
        targets: shape (rows, classes of the bundle), 0, 1 or NaN (unknown): false alarms are told for the records of
            each class too, for rare hearts are flagged more often than common ones.
        n_records: make the foreign signals of so many records, chosen by the seed; None takes all.
        seed: of choice and noise.
        progress: called with judged kinds and their number.

    Returns:
        Plain values for JSON.

    Raises:
        DatasetError: the bundle has no detector, the signals have another form, or there are no records.
    """
    began = time.perf_counter()
    if bundle.novelty is None:
        raise DatasetError(f"{bundle.name} has no detector of unlike records; train it again to make one")
    if dataset.spec != bundle.spec or not len(rows):
        raise DatasetError(f"{dataset.path}: no records in the form that {bundle.name} needs; prepare it so")
    own = bundle.novelty.score(dataset_features(dataset, rows))
    alarms = own > bundle.novelty.threshold
    chosen = rows
    if n_records is not None and n_records < len(rows):
        chosen = np.sort(np.random.default_rng(seed).choice(rows, n_records, replace=False))
    kinds = _kinds(seed)
    judged, skipped = [], []
    for k, (about, make) in enumerate(kinds):
        try:
            judged.append(about | _judge_kind(bundle.novelty, dataset, chosen, own, make))
        except ConformError as error:
            skipped.append({"name": about["name"], "reason": str(error)})
        if progress:
            progress(k + 1, len(kinds))
    return {
        "n_records": len(rows),
        "n_made": len(chosen),
        "threshold": bundle.novelty.threshold,
        "false_alarms": {
            "stated": bundle.novelty.false_alarms,
            "here": float(alarms.mean()),
            "per_class": {
                name: float(alarms[targets[:, k] == 1].mean()) if (targets[:, k] == 1).any() else None
                for k, name in enumerate(bundle.classes)
            },
        },
        "kinds": judged,
        "poorly_detected": [row["title"] for row in judged if row["seen"] < _POOR],
        "skipped": skipped,
        "seconds": time.perf_counter() - began,
    }


def _kinds(seed: int) -> list[tuple[dict[str, Any], Make]]:
    def foreign(name: str) -> Make:
        return lambda x, fs, leads, keys: foreign_signals(x, fs, name, seed=seed, keys=keys)

    def faulty(name: str, level: Level) -> Make:
        return lambda x, fs, leads, keys: perturb(x, fs, leads, name, level, seed=seed, keys=keys)

    kinds = [
        ({"name": each.name, "title": each.title, "group": "foreign"}, foreign(each.name)) for each in FOREIGN.values()
    ]
    for name, level in FAULTS:
        fault = PERTURBATIONS[name]
        title = f"{fault.title} {fault.label(level)}"
        kinds.append(({"name": f"{name} {level}", "title": title, "group": "fault"}, faulty(name, level)))
    return kinds


def _judge_kind(
    novelty: Novelty,
    dataset: Dataset,
    rows: NDArray[np.int64],
    own: Array,
    make: Make,
) -> dict[str, Any]:
    spec = dataset.spec
    scores, refused = np.empty(len(rows)), np.zeros(len(rows), bool)
    for at, x in signal_batches(dataset, rows):
        made = make(x, spec.fs, spec.leads, rows[at].tolist())
        features = record_features(made, spec.fs, spec.leads)
        scores[at], refused[at] = novelty.score(features), _refused(spec, list(made))
    truth = np.concatenate([np.zeros(len(own)), np.ones(len(scores))])
    area = float(auroc(truth[:, None], np.concatenate([own, scores])[:, None])[0])
    return {"auroc": area, **_shares(novelty, scores, refused)}


def _refused(spec: SignalSpec, signals: Sequence[Signal]) -> NDArray[np.bool_]:
    return np.array([any(flag.refuse for flag in check_signal(each, spec.fs, spec.leads)) for each in signals])


def _shares(novelty: Novelty, scores: Array, refused: NDArray[np.bool_]) -> Mapping[str, float]:
    flagged = scores > novelty.threshold
    return {
        "flagged": float(flagged.mean()),
        "refused": float(refused.mean()),
        "seen": float((flagged | refused).mean()),
    }
