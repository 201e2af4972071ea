"""From scores to findings: calibration, thresholds, conformal sets and contradictions, fitted on validation records."""

from einthoven.decisions.calibration import CALIBRATIONS, Calibration, fit_calibration, log_odds
from einthoven.decisions.conformal import Conformal, fit_conformal
from einthoven.decisions.novelty import Novelty, fit_novelty, load_novelty, save_novelty
from einthoven.decisions.pipeline import Decided, Decisions, Plan, cross_fit, fit_decisions, patient_folds
from einthoven.decisions.thresholds import Rule, fit_thresholds, parse_rule

__all__ = [
    "CALIBRATIONS",
    "Calibration",
    "Conformal",
    "Decided",
    "Decisions",
    "Novelty",
    "Plan",
    "Rule",
    "cross_fit",
    "fit_calibration",
    "fit_conformal",
    "fit_decisions",
    "fit_novelty",
    "fit_thresholds",
    "load_novelty",
    "log_odds",
    "parse_rule",
    "patient_folds",
    "save_novelty",
]
