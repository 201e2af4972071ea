"""The model card that travels with a bundle: data, protocol, figures with intervals, limits (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from einthoven.evaluation.wording import cohort, decimal, estimate, fold_range

__all__ = ["model_card"]


def model_card(about: Mapping[str, Any], judgements: Sequence[Mapping[str, Any]]) -> str:
    """Write the card.

    Args:
        about: a bundle's ``bundle.json``.
        judgements: of the splits it was judged on.
    """
    task, spec, window = about["task"], about["spec"], about["window"]
    origin, network = about["provenance"], about["network"]
    folds = origin["folds"]
    parts = [
        f"# {about['name']}",
        "**Not a medical device.** For research and teaching; it must not decide about a patient.",
        f"A {network['name']} ({network['n_parameters']:,} parameters) that reads {len(spec['leads'])}-lead ECGs at "
        f"{spec['fs']:g} Hz in windows of {window['length'] / spec['fs']:g} s, every "
        f"{window['stride'] / spec['fs']:g} s, and reports the {window['aggregate']} over windows for "
        f"{len(task['classes'])} classes ({task['kind']}).",
        "## Use",
        f"```\neinthoven predict {about['name']} my-ecg.csv\n```",
        "## Data and licence",
        f"{origin['attribution']}\n\nTrained on {fold_range(folds['train'])} ({cohort(origin)}); "
        f"{fold_range(folds['validation'])} chose the epoch and fitted the "
        f"thresholds. The weights are under {about['licence']}.",
        *[_figures(judgement) for judgement in judgements],
        "## Thresholds",
        _thresholds(about["thresholds"]),
        "## Limits",
        _LIMITS,
        "## Made with",
        f"einthoven {origin['versions'].get('einthoven', '?')}, torch {origin['versions'].get('torch', '?')}, seed "
        f"{origin['seed']}, {origin['seconds']:.0f} s of training on {origin['engine']}. The recipe:\n\n"
        f"```yaml\n{origin['recipe'].strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


_LIMITS = (
    "* Judged on the corpus it was trained on: other hospitals, devices, populations and label habits will give other "
    "figures.\n"
    "* Probabilities are not calibrated; thresholds hold for the prevalence of the validation records.\n"
    "* A class that is not reported as present is not excluded. Rare or unlisted conditions are unknown to the model.\n"
    "* Intervals cover the sampling of patients, not the choice of seed, recipe or corpus."
)


def _figures(judgement: Mapping[str, Any]) -> str:
    title = f"## Figures on the {judgement['split']} split"
    if "macro" not in judgement:
        return f"{title}\n\nNot judged: {judgement['reason']}."
    macro, interval = judgement["macro"], judgement["interval"]
    lines = [
        title,
        f"{cohort(judgement)}; "
        f"{interval['level']:.0%} intervals from {interval['n_resamples']:,} resamples of {interval['unit']}s.",
        f"Macro AUROC {estimate(macro['auroc'])}, macro AUPRC {estimate(macro['auprc'])}, "
        f"Fmax {estimate(macro['fmax'])}.",
        *(f"*{sentence}*" for sentence in judgement["caution"]),
        "| class | positives | AUROC | AUPRC | sensitivity | specificity |\n|---|---|---|---|---|---|\n"
        + "\n".join(_row(row) for row in judgement["per_class"]),
        f"Decisions: {judgement['decisions']}.",
    ]
    return "\n\n".join(lines)


def _row(row: Mapping[str, Any]) -> str:
    cells = [row["class"], f"{row['positives']:,}", estimate(row["auroc"]), estimate(row["auprc"])]
    cells += [decimal(row[k]) for k in ("sensitivity", "specificity")]
    return f"| {' | '.join(cells)} |"


def _thresholds(thresholds: Mapping[str, Any]) -> str:
    values = ", ".join(f"{c} {'none' if t is None else decimal(t)}" for c, t in thresholds["values"].items())
    return f"Method {thresholds['method']}, fitted on the validation fold: {values}."
