"""Pure functions of (targets, scores): NumPy in, NumPy out. Unknown targets are NaN and are left out."""

from einthoven.metrics.averages import average_classes, averaged
from einthoven.metrics.beats import AAMI_CLASSES, aami_summary, beat_metrics
from einthoven.metrics.bootstrap import Interval, Resampling, bootstrap_metrics, resampling_weights
from einthoven.metrics.calibration import brier, calibration_error, log_loss, reliability
from einthoven.metrics.challenge import challenge_beta, challenge_score
from einthoven.metrics.decisions import (
    Counts,
    confusion_counts,
    decision_metrics,
    multiclass_confusion,
    one_versus_rest,
)
from einthoven.metrics.delong import Difference, delong, delong_interval, delong_test
from einthoven.metrics.fmax import fmax
from einthoven.metrics.operating import (
    best_f1,
    curve_metrics,
    partial_auroc,
    sensitivity_at_specificity,
    threshold_sweep,
)
from einthoven.metrics.paired import holm, macro_auroc_draws, paired_difference
from einthoven.metrics.ranking import auprc, auroc, defined_classes

__all__ = [
    "AAMI_CLASSES",
    "Counts",
    "Difference",
    "Interval",
    "Resampling",
    "aami_summary",
    "auprc",
    "auroc",
    "average_classes",
    "averaged",
    "beat_metrics",
    "best_f1",
    "bootstrap_metrics",
    "brier",
    "calibration_error",
    "challenge_beta",
    "challenge_score",
    "confusion_counts",
    "curve_metrics",
    "decision_metrics",
    "defined_classes",
    "delong",
    "delong_interval",
    "delong_test",
    "fmax",
    "holm",
    "log_loss",
    "macro_auroc_draws",
    "multiclass_confusion",
    "one_versus_rest",
    "paired_difference",
    "partial_auroc",
    "reliability",
    "resampling_weights",
    "sensitivity_at_specificity",
    "threshold_sweep",
]
