"""The model card that travels with a bundle: data, protocol, figures with intervals, limits (Mitchell et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from einthoven.decisions import parse_rule
from einthoven.evaluation.wording import (
    CALIBRATION_WORDS,
    COLUMN_WORDS,
    cohort,
    decimal,
    estimate,
    fold_range,
    gap_sentence,
    in_words,
    key_label,
    loss_sentence,
    percent,
)

__all__ = ["model_card"]

Json = Mapping[str, Any]

_MANY = 12  # names in a sentence


def model_card(about: Json, judgements: Sequence[Json]) -> str:
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
        _use(about),
        "## Data and licence",
        f"{origin['attribution']}\n\nTrained on {fold_range(folds['train'])} ({cohort(origin)}); "
        f"{fold_range(folds['validation'])} chose the epoch and fitted the "
        f"decisions. The weights are under {about['licence']}.",
        *[_figures(judgement) for judgement in judgements],
        "## Decisions",
        _decisions(about),
        *_artefacts(about),
        "## Limits",
        _limits(about),
        "## Made with",
        f"einthoven {origin['versions'].get('einthoven', '?')}, torch {origin['versions'].get('torch', '?')}, seed "
        f"{_listed(origin['seed'])}, {origin['seconds']:.0f} s of training on {origin['engine']}. The recipe:\n\n"
        f"```yaml\n{origin['recipe'].strip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _use(about: Json) -> str:
    """Commands that work, with every form that computes."""
    forms = [name for name, each in about.get("artefacts", {}).items() if each["kind"]]
    verb, file = ("beats", "recording.hea") if about["provenance"].get("before_r_s") else ("predict", "my-ecg.csv")
    command = f"einthoven {verb} {about['name']} {file}"
    lines = "\n".join([command, *(f"{command} --backend {form}" for form in forms)])
    where = f"Write the folder of this card for `{about['name']}`, unless that is the name of a pretrained model here."
    return f"```\n{lines}\n```\n\n{where}"


def _listed(seed: int | list[int]) -> str:
    return ", ".join(map(str, seed)) if isinstance(seed, list) else str(seed)


def _figures(judgement: Json) -> str:
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
        *_trust(judgement),
    ]
    return "\n\n".join(lines)


def _row(row: Json) -> str:
    cells = [row["class"], f"{row['positives']:,}", estimate(row["auroc"]), estimate(row["auprc"])]
    cells += [decimal(row[k]) for k in ("sensitivity", "specificity")]
    return f"| {' | '.join(cells)} |"


def _trust(judgement: Json) -> list[str]:
    """What was judged beside the decisions, a paragraph each."""
    said = []
    if found := judgement.get("calibration"):
        said.append(
            f"Calibration error (mean over classes): {percent(found['after']['ece'])} percentage points"
            + (f", {percent(found['before']['ece'])} before calibration." if found["method"] != "none" else ".")
        )
    if found := judgement.get("conformal"):
        said.append(
            f"At a stated error rate of {100 * found['error']:g} %, {percent(found['covered'])} % of the true answers "
            "stayed among the possible ones."
        )
    if (found := judgement.get("contradictions")) and found["rules"]:
        said.append(f"Contradicting findings were settled in {found['records']:,} records.")
    for column in judgement.get("subgroups") or []:
        if column["gap"]:
            name = COLUMN_WORDS.get(column["column"], key_label(column["column"]))
            said.append(f"{name}: {gap_sentence(column)}")
    if (found := judgement.get("robustness")) and found["conditions"]:
        said.append(loss_sentence(found["conditions"]))
    if found := judgement.get("novelty"):
        poor = found["poorly_detected"]
        said.append(
            f"The detector of unlike records flags {percent(found['false_alarms']['here'])} % of these records. "
            + (f"Of foreign and faulty signals it sees fewer than half of: {in_words(poor)}." if poor else "")
        )
    return [text.strip() for text in said]


def _decisions(about: Json) -> str:
    """Every step from the network's score to a finding, in the order in which they are taken."""
    return "\n".join(f"* {step}" for step in (*_calibration(about), _thresholds(about), *_promises(about)))


def _calibration(about: Json) -> list[str]:
    found = about["calibration"]
    said = CALIBRATION_WORDS[found["method"]]
    if found["method"] in ("none", "softmax"):  # one map for all classes, or none
        return [said]
    if raw := [name for name, each in zip(about["task"]["classes"], found["maps"], strict=True) if each is None]:
        said += f" {len(raw)} of {len(found['maps'])} classes had too few cases and keep their scores: {_some(raw)}."
    return [said]


def _thresholds(about: Json) -> str:
    if about["task"]["kind"] == "multiclass":
        return "The likeliest class is chosen."
    thresholds = about["thresholds"]
    values = ", ".join(f"{c} {'none' if t is None else decimal(t)}" for c, t in thresholds["values"].items())
    return f"Thresholds {parse_rule(thresholds['method']).words}, fitted on the validation folds: {values}."


def _promises(about: Json) -> list[str]:
    stands = "the finding farther above its threshold, in log-odds, stands"
    excluded = {name: others for name, others in about["exclusions"].items() if others}
    said = [f"{name} is not reported beside {_some(others, 'or')}: {stands}." for name, others in excluded.items()]
    if found := about["conformal"]:
        said.append(
            "Answers with a stated error rate: for records drawn like the validation records, the true answer of a "
            f"class stays among “present” and “absent” in at least {100 * (1 - found['error']):g} % of those with it "
            "and of those without it. That is no statement about one patient, and not the share of answers that are "
            "right."
        )
    return said


def _artefacts(about: Json) -> list[str]:
    """What a smaller model was made from, and every exported form beside the trained network, as they were proven."""
    said = [_slimmed(about["slimmed"])] if "slimmed" in about else []
    proven = {name: each for name, each in about.get("artefacts", {}).items() if each["proof"]}
    if not proven:
        return said
    head = (
        "| form | kB | macro AUROC | difference | largest and median change of a probability | decisions changed |\n"
        "|---|---|---|---|---|---|\n"
    )
    rows = [_artefact(name, each) for name, each in proven.items()]
    splits = in_words(sorted({f"{each['proof']['split']} split" for each in proven.values()}))
    text = (
        f"Answers beside those of the trained network in PyTorch, on every record of the {splits}; intervals as above."
    )
    if used := [name for name, each in proven.items() if each["kind"]]:
        text += f" Use one with `--backend {'|'.join(used)}`."
    if record := proven.get("record"):
        made = record["made"]
        text += (
            f" `record` is no backend but a graph from {made['seconds']:g} s at {made['fs']:g} Hz (`{made['input']}`, "
            f"mV, leads {', '.join(about['spec']['leads'])}) to `{made['output']}`, compared with "
            f"{record['proof'].get('compared_with', 'the same seconds')}."
        )
    return [*said, "## Exported forms", text, head + "\n".join(rows)]


def _slimmed(found: Json) -> str:
    before, after = found["n_parameters"]
    macro, flips = found["proof"]["macro_auroc"], found["proof"]["flips"]
    return (
        f"Made from {found['from']} by training on: {before:,} parameters became {after:,}. On the "
        f"{found['proof']['split']} split its macro AUROC differs by {estimate(macro['difference'])}, and "
        f"{flips['decisions']:,} of {flips['of']:,} decisions do."
    )


def _artefact(name: str, entry: Json) -> str:
    proof = entry["proof"]
    macro, moved, flips = proof["macro_auroc"], proof["probability_difference"], proof["flips"]
    cells = [
        name,
        f"{entry['bytes'] / 1000:,.0f}",
        decimal(macro["artefact"], 4),
        estimate(macro["difference"]),
        f"{moved['largest']:.2g}, {moved['median']:.2g}",
        f"{flips['decisions']:,} of {flips['of']:,}",
    ]
    return f"| {' | '.join(cells)} |"


def _some(names: Sequence[str], joint: str = "and") -> str:
    """Names as a sentence lists them; of many, the first."""
    return (
        in_words(names, joint)
        if len(names) <= _MANY
        else f"{', '.join(names[:_MANY])} {joint} {len(names) - _MANY} more"
    )


def _limits(about: Json) -> str:
    calibrated = about["calibration"]["method"] != "none"
    believed = (
        "Probabilities are calibrated, and thresholds fitted, for the prevalence and the population of the validation "
        "records: elsewhere neither need hold."
        if calibrated
        else "Probabilities are not calibrated; thresholds hold for the prevalence of the validation records."
    )
    return "\n".join(
        f"* {limit}"
        for limit in (
            "Judged on the corpus it was trained on: other hospitals, devices, populations and label habits will give "
            "other figures.",
            believed,
            "A class that is not reported as present is not excluded. Rare or unlisted conditions are unknown to the "
            "model.",
            "Intervals cover the sampling of patients, not the choice of seed, recipe or corpus.",
        )
    )
