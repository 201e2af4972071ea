"""Pure functions of (targets, scores): NumPy in, NumPy out. Unknown targets are NaN and are left out."""

from einthoven.metrics.bootstrap import Interval, Resampling, bootstrap_metrics, resampling_weights
from einthoven.metrics.fmax import fmax
from einthoven.metrics.ranking import auprc, auroc, defined_classes

__all__ = [
    "Interval",
    "Resampling",
    "auprc",
    "auroc",
    "bootstrap_metrics",
    "defined_classes",
    "fmax",
    "resampling_weights",
]
