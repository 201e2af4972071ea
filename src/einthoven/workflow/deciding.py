"""From a recipe or a bundle to the plan of its decisions, and from a plan to decisions about a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from einthoven.bundle import Bundle
from einthoven.decisions import Decided, Decisions, Plan, cross_fit, fit_decisions, parse_rule
from einthoven.evaluation.predictions import Predictions
from einthoven.labels import Task, exclusions_of
from einthoven.training.recipe import Evaluation
from einthoven.workflow.selection import Selected

__all__ = ["Judged", "decide_split", "plan_for", "plan_of"]


@dataclass(frozen=True, slots=True)
class Judged:
    """Decisions about a split: what was decided, by which steps, and where these come from in words."""

    decided: Decided
    decisions: Decisions
    how: str


def plan_for(evaluation: Evaluation, selected: Selected) -> Plan:
    """Return what a recipe wants to be fitted on its validation records."""
    values = {key: getattr(evaluation, key) for key in ("calibration", "thresholds", "conformal_error")}
    return _plan(values, selected.task, exclusions_of(selected.task, selected.dataset.label_table))


def plan_of(bundle: Bundle, selected: Selected) -> Plan:
    """Return what a bundle's steps were fitted by."""
    return _plan(bundle.about["plan"], selected.task, bundle.decisions.exclusions)


def _plan(values: Mapping[str, Any], task: Task, exclusions: Mapping[str, Any]) -> Plan:
    first = {name: code for code, name in reversed(list(task.class_of.items()))}
    return Plan(
        classes=task.classes,
        kind=task.kind,
        calibration=values["calibration"],
        rule=parse_rule(values["thresholds"]),
        error=values["conformal_error"],
        exclusions=exclusions,
        codes=tuple(first.get(name, name) for name in task.classes),
    )


def decide_split(predictions: Predictions, plan: Plan, fitted: Decisions | None) -> Judged:
    """Decide about the records of a split.

    Args:
        predictions: of the split.
        plan: what the steps are fitted by.
        fitted: steps that were fitted on other records; None fits them on these, and then judges by cross-fitting.
    """
    y, p = predictions.targets, predictions.probabilities
    if fitted is not None:
        chosen = "the likeliest class is chosen" if plan.kind == "multiclass" else "thresholds come with the bundle"
        return Judged(fitted.decide(p), fitted, chosen)
    decided = cross_fit(y, p, predictions.groups, plan)
    what = "the likeliest class is chosen" if plan.kind == "multiclass" else f"thresholds {plan.rule.words}"
    how = (
        f"{what}; calibration, thresholds and all that follows from them were fitted on this split and are judged by "
        f"5-fold cross-fitting, grouped by {predictions.unit}"
    )
    return Judged(decided, fit_decisions(y, p, plan), how)
