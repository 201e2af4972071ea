"""1,000 class-preserving patient resamples of AUROC, AUPRC and Fmax, 2,203 records x 71 classes, against scikit-learn.

usage: python benchmarks/bootstrap.py [RESAMPLES_OF_THE_LOOP=10]

The peer is a loop of ``roc_auc_score`` and ``average_precision_score`` over the same resamples, scaled to 1,000; it
does not compute Fmax. Prevalences are spread as in PTB-XL's 71 statements, down to three positives.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from _timing import median_seconds, report
from einthoven.metrics import bootstrap_metrics, resampling_weights


def main(n_loop: int) -> None:
    rng = np.random.default_rng(0)
    prevalence = np.geomspace(3 / 2203, 0.44, 71)
    y = (rng.random((2203, 71)) < prevalence).astype(float)
    y[:3] = 1
    p = 1 / (1 + np.exp(-rng.normal(2 * y - 2, 1)))
    patients = rng.integers(0, 1900, 2203)
    seconds = median_seconds(lambda: bootstrap_metrics(y, p, patients), 5)
    weights, _, _ = resampling_weights(y, patients, n_loop, 0)
    began = time.perf_counter()
    for k in range(n_loop):
        roc_auc_score(y, p, average=None, sample_weight=weights[:, k])
        average_precision_score(y, p, average=None, sample_weight=weights[:, k])
    loop = (time.perf_counter() - began) * 1000 / n_loop
    report(
        "bootstrap",
        {"ours, s (median of 5)": seconds, "scikit-learn loop, s": loop, "loop / ours": loop / seconds},
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
