"""How is a signal changed or judged? Resampling, filters, windows, quality, and ``conform``, which everything uses."""

from einthoven.signals.conform import conform, conform_signals
from einthoven.signals.perturb import PERTURBATIONS, perturb
from einthoven.signals.quality import MIN_DURATION_S, Flag, check_signal
from einthoven.signals.resample import resample
from einthoven.signals.statistics import feature_names, feature_parts, record_features
from einthoven.signals.windows import aggregate, window_starts, windows

__all__ = [
    "MIN_DURATION_S",
    "PERTURBATIONS",
    "Flag",
    "aggregate",
    "check_signal",
    "conform",
    "conform_signals",
    "feature_names",
    "feature_parts",
    "perturb",
    "record_features",
    "resample",
    "window_starts",
    "windows",
]
