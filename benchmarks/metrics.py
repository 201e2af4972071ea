"""Every point metric of 1,000,000 records x 26 classes: seconds and memory, and the ratio to scikit-learn on a subset.

usage: python benchmarks/metrics.py [RECORDS=1000000] [RECORDS_OF_THE_PEER=50000]

The peer computes per-class and micro AUROC and average precision, Brier and log-loss, and per-class confusion, F1 and
MCC; it is compared with ours of the same, on the same subset.
"""

from __future__ import annotations

import resource
import sys
import time
from functools import partial

import numpy as np
from sklearn import metrics as peer

from _timing import median_seconds, report
from einthoven import metrics
from einthoven.metrics.challenge import challenge_table


def main(n: int, n_peer: int) -> None:
    codes = [names[0] for names in challenge_table(2021).classes]
    rng = np.random.default_rng(0)
    prevalence = np.geomspace(0.002, 0.4, len(codes))
    y = (rng.random((n, len(codes))) < prevalence).astype(np.float64)
    p = rng.normal(2 * y - 2, 1)
    np.negative(p, out=p)
    np.exp(p, out=p)
    p += 1
    np.reciprocal(p, out=p)
    began = time.perf_counter()
    parts = everything(y, p, codes)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    y, p = y[:n_peer], p[:n_peer]
    ours = median_seconds(partial(same, y, p), 3)
    theirs = median_seconds(partial(scikit_learn, y, p), 1)
    report(
        "metrics",
        {
            "records": n,
            "all point metrics, s (one run)": seconds,
            "peak memory of the process, GB": peak,
            **{f"  {name}, s": spent for name, spent in parts.items()},
            "records of the peer": n_peer,
            "ours, the same figures, s (median of 3)": ours,
            "scikit-learn, s": theirs,
            "scikit-learn / ours": theirs / ours,
        },
    )


def everything(y: np.ndarray, p: np.ndarray, codes: list[str]) -> dict[str, float]:
    """All point metrics; returns the seconds of each part."""
    spent = {}

    def timed(name, work):
        began = time.perf_counter()
        found = work()
        spent[name] = time.perf_counter() - began
        return found

    def curves():
        per_class = metrics.curve_metrics(y, p)
        return [metrics.average_classes(v, y, how) for v in per_class.values() for how in ("macro", "weighted")]

    said = p >= 0.5
    timed("curves per class", curves)
    timed("curves, micro", lambda: metrics.curve_metrics(y.reshape(-1, 1), p.reshape(-1, 1)))
    timed("Fmax", lambda: metrics.fmax(y, p))
    timed(
        "Brier, log-loss, ECE", lambda: [f(y, p) for f in (metrics.brier, metrics.log_loss, metrics.calibration_error)]
    )
    timed("decisions", lambda: metrics.decision_metrics(metrics.confusion_counts(y, said)))
    timed("threshold sweep", lambda: metrics.threshold_sweep(y, p))
    timed("challenge 2020, 2021", lambda: [metrics.challenge_score(y, said, codes, year) for year in (2020, 2021)])
    timed("F2, G2", lambda: metrics.challenge_beta(y, said, codes))
    return spent


def same(y: np.ndarray, p: np.ndarray) -> None:
    metrics.auroc(y, p), metrics.auprc(y, p)
    metrics.averaged(metrics.auroc, y, p, "micro"), metrics.averaged(metrics.auprc, y, p, "micro")
    metrics.brier(y, p), metrics.log_loss(y, p)
    metrics.decision_metrics(metrics.confusion_counts(y, p >= 0.5))


def scikit_learn(y: np.ndarray, p: np.ndarray) -> None:
    for average in (None, "micro"):
        peer.roc_auc_score(y, p, average=average)
        peer.average_precision_score(y, p, average=average)
    for k in range(y.shape[1]):
        peer.brier_score_loss(y[:, k], p[:, k])
        peer.log_loss(y[:, k], p[:, k])
        peer.confusion_matrix(y[:, k], p[:, k] >= 0.5)
        peer.f1_score(y[:, k], p[:, k] >= 0.5)
        peer.matthews_corrcoef(y[:, k], p[:, k] >= 0.5)


if __name__ == "__main__":
    main(*(int(sys.argv[k]) if len(sys.argv) > k else n for k, n in ((1, 1_000_000), (2, 50_000))))
