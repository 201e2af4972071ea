"""From scores to findings: calibration, thresholds, conformal sets and contradictions, fitted on validation records."""

from einthoven.decisions.calibration import CALIBRATIONS, Calibration, fit_calibration
from einthoven.decisions.conformal import Conformal, fit_conformal
from einthoven.decisions.pipeline import Decided, Decisions, Plan, cross_fit, fit_decisions, patient_folds
from einthoven.decisions.thresholds import Rule, fit_thresholds, parse_rule

__all__ = [
    "CALIBRATIONS",
    "Calibration",
    "Conformal",
    "Decided",
    "Decisions",
    "Plan",
    "Rule",
    "cross_fit",
    "fit_calibration",
    "fit_conformal",
    "fit_decisions",
    "fit_thresholds",
    "parse_rule",
    "patient_folds",
]
