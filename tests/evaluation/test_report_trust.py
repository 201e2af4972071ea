"""What a report says about belief and limits, against the judgement it was made from."""

import functools
import html
import json
import re

import numpy as np
import pytest
from PIL import Image

from einthoven.decisions import Plan, Rule
from einthoven.errors import EinthovenError
from einthoven.evaluation.judge import judge
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.report import write_report
from einthoven.evaluation.sources import cross_source_table, fold_summary
from einthoven.evaluation.subgroups import judge_subgroups
from einthoven.evaluation.wording import gap_sentence, in_words, loss_sentence, signed
from einthoven.workflow.deciding import decide_split

SECTIONS = (
    "calibration", "confusion", "conformal", "contradictions", "abstention", "subgroups", "robustness", "novelty",
    "worst_errors", "members",
)  # fmt: skip


def predictions(classes=("NORM", "MI", "CD"), n=600, seed=0, multiclass=False):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, len(classes))) < 0.3).astype(float)
    if multiclass:
        y = np.eye(len(classes))[rng.integers(0, len(classes), n)]
    p = 1 / (1 + np.exp(-rng.normal(2.5 * (y - 0.5), 1)))
    p = p / p.sum(axis=1, keepdims=True) if multiclass else p
    facts = {"sex": rng.choice(["female", "male"], n).tolist(), "age": rng.integers(20, 95, n).tolist()}
    ids, patients = [f"r{k}" for k in range(n)], [f"p{k // 2}" for k in range(n)]
    return Predictions(tuple(classes), y, p, ids, patients, ["s"] * n, [9] * n, facts)


def judged(data, kind="multilabel", calibration="platt", error=0.1, exclusions=None, split="validation"):
    plan = Plan(data.classes, kind, calibration, Rule("f1"), error, exclusions or {})
    found = decide_split(data, plan, None)
    values = judge(split, data, found.decided, found.decisions, how_decided=found.how, n_resamples=120)
    values |= {"dataset": {"name": "ptb-xl", "attribution": ""}, "folds": [9], "descriptions": {"MI": "infarction"}}
    return values, found


@functools.cache
def full():
    """A multi-label judgement with every section but the strips, as text, so that a test may change its own copy."""
    data = predictions()
    values, found = judged(data, exclusions={"NORM": ("MI", "CD")})
    values["subgroups"] = judge_subgroups(data, found.decided, found.decisions, n_resamples=120)
    values["robustness"], values["novelty"] = robustness(), novelty()
    return json.dumps(values)


def condition(name, title, level, loss, refused=0.0):
    return {
        "perturbation": name, "title": title, "level": level, "condition": f"{title} {level} dB", "auroc": 0.9 - loss,
        "difference": {"value": -loss, "low": -loss - 0.01, "high": -loss + 0.01, "p": 0.02}, "per_class": {},
        "refused": refused, "flagged": refused, "unlike_training": 0.1, "decided_otherwise": 0.375,
    }  # fmt: skip


def robustness():
    conditions = [
        condition("muscle", "muscle noise", 12, 0.004),
        condition("muscle", "muscle noise", 0, 0.0812),
        condition("gain", "gain", 10, 0.3, refused=0.98),
    ]
    clean = {"auroc": 0.9, "per_class": {}, "refused": 0.0, "flagged": 0.0, "unlike_training": 0.05}
    skipped = [{"perturbation": "polarity", "level": "V1", "reason": "no lead V1"}]
    return {
        "n_records": 250, "n_all": 600, "seed": 0, "interval": {}, "classes": ["MI"], "clean": clean,
        "conditions": conditions, "skipped": skipped,
    }  # fmt: skip


def novelty():
    shares = {"flagged": 0.41, "refused": 0.0, "seen": 0.41}
    kinds = [
        {"name": "white", "title": "white noise alone", "group": "foreign", "auroc": 0.991, **shares},
        {"name": "gain 10", "title": "gain x10", "group": "fault", "auroc": 0.62, **shares},
    ]
    return {
        "n_records": 600, "n_made": 100, "threshold": 1.0, "false_alarms": {"stated": 0.05, "here": 0.0473},
        "kinds": kinds, "poorly_detected": ["gain x10"], "skipped": [{"name": "polarity V1", "reason": "no lead V1"}],
    }  # fmt: skip


@pytest.fixture
def values():
    return json.loads(full())


def render(tmp_path, *judgements, context=None):
    path = tmp_path / "report.html"
    write_report(path, title="t", judgements=list(judgements), scores={}, history=[], context=context or {})
    page = path.read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!#)|<link|<script|<iframe|(?:src|href)=\"(?:https?:)?//", page)
    assert all(f'id="{target}"' in page for target in re.findall(r'href="#([^"]+)"', page))
    text = html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)))
    return page, re.sub(r"\s+", " ", text)


def shown(page):
    return {key for key in SECTIONS if f'<h3 id="split-validation-{key}"' in page}


def test_sections_are_there_where_the_judgement_has_them_and_not_elsewhere(tmp_path, values):
    page, _ = render(tmp_path, values)
    assert shown(page) == set(SECTIONS) - {"confusion", "worst_errors", "members"}
    older = [*SECTIONS, "averages"]
    page, text = render(tmp_path, {key: value for key, value in values.items() if key not in older})
    assert shown(page) == set()
    assert "Over all decisions together" not in text
    assert 'class="glance"' not in page


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_may_be_absent_alone(tmp_path, values, section):
    values.pop(section, None)
    page, _ = render(tmp_path, values)
    assert section not in shown(page)
    assert f"#split-validation-{section}" not in page


def test_the_averages_are_those_of_the_judgement(tmp_path, values):
    micro, weighted = values["averages"]["micro"], values["averages"]["weighted"]
    _, text = render(tmp_path, values)
    assert f"(micro): AUROC {micro['auroc']:.3f}, AUPRC {micro['auprc']:.3f}" in text
    assert f"AUROC {weighted['auroc']:.3f}, AUPRC {weighted['auprc']:.3f}. " in text


def test_calibration_before_and_after_and_classes_that_keep_their_scores_are_named(tmp_path, values):
    values["calibration"]["uncalibrated"] = ["CD"]
    page, text = render(tmp_path, values)
    before, after = values["calibration"]["before"], values["calibration"]["after"]
    for name, key in (("15 bins", "ece"), ("of the probability", "brier"), ("cost most", "log_loss")):
        assert f"{name} {before[key]:.4f} {after[key]:.4f}" in text
    assert f"{100 * after['ece']:.1f} percentage points ({100 * before['ece']:.1f} before calibration)" in text
    assert "1 of 3 classes keep the network’s own scores , for they have fewer than 10" in text
    assert page.count('aria-label="Reliability diagram') == 3


def test_a_report_without_calibration_says_so(tmp_path):
    _, text = render(tmp_path, judged(predictions(), calibration="none")[0])
    assert "No calibration was fitted: the probabilities are the network’s own scores." in text
    assert "Probabilities are the network’s own scores: they are not calibrated." in text
    assert "before calibration" not in text


def test_of_many_classes_the_most_frequent_are_drawn_and_tables_are_folded(tmp_path):
    data = predictions([f"C{k}" for k in range(15)], n=300)
    values, _ = judged(data)
    page, text = render(tmp_path, values)
    assert page.count('aria-label="Reliability diagram') == 12
    assert "The 12 most frequent classes." in text
    assert "Stated error rates of all 15 classes" in text
    assert "Counts for all 15 classes" in text


def test_the_stated_error_rate_is_shown_per_class_with_what_it_promises(tmp_path, values):
    _, text = render(tmp_path, values)
    ranked = sorted(
        zip(values["per_class"], values["conformal"]["per_class"], strict=True), key=lambda p: -p[0]["positives"]
    )
    rows = [
        [r["class"], *(f"{100 * s[k]:.1f}" for k in ("positives_covered", "negatives_covered", "undecided"))]
        for r, s in ranked
    ]
    assert " ".join(" ".join(row) for row in rows) in text
    assert "Answers with a stated error rate of 10 %" in text
    assert f"Here {100 * values['conformal']['covered']:.1f} % of all true answers" in text
    assert "fewer than 9 records" in text


def test_the_rule_for_contradictions_and_its_count_are_told(tmp_path, values):
    found = values["contradictions"]
    _, text = render(tmp_path, values)
    assert "NORM is not reported beside MI or CD." in text
    assert found["records"] > 0
    assert f"That was so in {found['records']} records" in text
    values["contradictions"] |= {"records": 0, "overruled": [0, 0, 0]}
    assert "That was never needed here." in render(tmp_path, values)[1]


@pytest.mark.parametrize(("risk", "words"), [([0.1, 0.2, 0.3], "lowers"), ([0.4, 0.3, 0.3], "does not lower")])
def test_the_gain_of_abstaining_is_one_sentence(tmp_path, values, risk, words):
    values["abstention"] = {"coverage": [0.5, 0.8, 1.0], "risk": risk, "area": 0.2}
    _, text = render(tmp_path, values)
    assert (
        f"Leaving the least certain 20 % to a human {words} the share of records with any wrong decision from 30.0 % "
        f"to {100 * risk[1]:.1f} %."
    ) in text


def test_a_confusion_matrix_is_shown_with_its_most_frequent_mistakes(tmp_path):
    values, _ = judged(predictions(multiclass=True), kind="multiclass")
    matrix, names = values["confusion"], values["classes"]
    page, text = render(tmp_path, values)
    for name, row in zip(names, matrix, strict=True):
        assert f"{name} {' '.join(map(str, row))} " in text
    n, i, j = max((matrix[i][j], -i, -j) for i in range(3) for j in range(3) if i != j)
    assert f"{names[-i]} taken for {names[-j]}: {n} records" in text
    assert "One temperature was fitted for all classes together" in text
    assert shown(page) >= {"confusion", "conformal", "abstention"}


def test_groups_are_shown_with_figures_differences_and_what_could_not_be_judged(tmp_path, values):
    _, text = render(tmp_path, values)
    sex, age = values["subgroups"]
    for row in sex["groups"]:
        auroc = row["macro"]["auroc"]
        assert f"{row['n_records']} {row['n_patients']} patients {auroc['value']:.3f}" in text
        assert f"{100 * row['macro']['sensitivity']['value']:.1f}" in text
        assert signed(row["difference"]) in text
    assert gap_sentence(sex) in text
    assert f"a gap of {age['gap']['value']:.3f}" in text
    values["subgroups"][0]["groups"][0] |= {"judged": False, "reason": "fewer than 30 records"}
    values["subgroups"][0]["groups"][1]["apart"] = True
    _, text = render(tmp_path, values)
    assert "not judged: fewer than 30 records" in text
    assert "differs from the other records" in text


@pytest.mark.parametrize(
    ("apart", "words"),
    [
        ([False, False], "No group differs from the other records by more than chance."),
        ([True, False], "Beyond chance, “a” differs from the other records."),
        ([True, True], "Beyond chance, “a” and “b” differ from the other records."),
        ([None, None], "a gap of 0.020."),
    ],
)
def test_a_gap_is_said_with_what_chance_allows(apart, words):
    groups = [{"group": name, "apart": each} for name, each in zip("ab", apart, strict=True)]
    gap = {"value": 0.02, "highest": "a", "lowest": "b"}
    assert gap_sentence({"gap": gap, "gap_classes": ["MI", "CD"], "groups": groups}).endswith(words)
    assert gap_sentence({"gap": None, "groups": groups}) == "Too few groups could be judged to compare them."


def test_faults_are_shown_with_their_worst_level_and_those_that_harm_unseen(tmp_path, values):
    page, text = render(tmp_path, values)
    assert "The same 250 of 600 records" in text
    assert "Muscle noise 12 dB, 0 dB −0.081 [−0.091, −0.071] 0 dB 0.0 37.5" in text
    assert "muscle noise 12 dB 0.896 −0.004 [−0.014, +0.006] 0.0 0.0 10.0 37.5" in text
    assert "Faults that harm unseen: muscle noise 0 dB (−0.081). They" in text
    assert "Not possible with these signals: polarity V1: no lead V1." in text
    assert page.count('class="dot lesser"') == 1
    worst = "The costliest: gain 10 dB (−0.300) and muscle noise 0 dB (−0.081)."
    assert f"Of 3 simulated recording faults, 1 cost less than 0.01 of macro AUROC. {worst}" in text
    assert "costliest" not in loss_sentence(values["robustness"]["conditions"][:1])


def test_faults_without_intervals_have_no_lines(tmp_path, values):
    for row in values["robustness"]["conditions"]:
        row["difference"] |= {"low": None, "high": None}
    page, text = render(tmp_path, values)
    assert "intervals of the paired difference" not in text
    assert "−0.081 0 dB" in text
    section = page.split('id="split-validation-robustness"')[1].split("<details>")[0]
    assert "whisker" not in section


def test_foreign_signals_are_shown_by_kind_and_the_missed_ones_named(tmp_path, values):
    _, text = render(tmp_path, values)
    assert "set to flag 5.0 % of ordinary records; here it flagged 4.7 % of 600 records" in text
    assert "white noise alone 0.991 41.0 0.0 41.0" in text
    assert "Poorly detected (fewer than half are seen): gain x10." in text


def test_the_worst_errors_are_put_into_the_page_and_a_lost_drawing_is_named(tmp_path, values):
    Image.new("RGB", (8, 4), "white").save(tmp_path / "strip.png")
    strip = {"file": "strip.png", "class": "MI", "kind": "false positive", "caption": 'MI: "r7" <b>'}
    values["worst_errors"] = [strip, {**strip, "kind": "false negative"}]
    page, text = render(tmp_path, values)
    assert page.count('src="data:image/png;base64,iVBOR') == 2
    assert 'alt="ECG. MI: &#34;r7&#34; &lt;b&gt;"' in page
    assert "MI, infarction: 1 false positive, 1 false negative" in text
    values["worst_errors"][0]["file"] = "lost.png"
    with pytest.raises(EinthovenError, match=r"cannot read the drawing .*lost\.png: No such file.*judge again"):
        render(tmp_path, values)


def test_of_many_drawings_the_worst_of_the_most_frequent_classes_are_put_into_the_page(tmp_path):
    values, _ = judged(predictions([f"C{k}" for k in range(14)], n=300))
    (tmp_path / "errors-validation").mkdir()
    Image.new("RGB", (8, 4), "white").save(tmp_path / "errors-validation" / "a.png")
    values["worst_errors"] = [
        {"file": "errors-validation/a.png", "class": name, "kind": kind, "caption": f"{name}: {kind} {rank}."}
        for name in values["classes"]
        for kind in ("false positive", "false negative")
        for rank in (1, 2)
    ]
    page, text = render(tmp_path, values)
    assert page.count("data:image/png") == 20
    frequent = [row["class"] for row in sorted(values["per_class"], key=lambda row: -row["positives"])]
    captions = re.findall(r'alt="ECG. ([^"]*)"', page)
    assert captions == [f"{name}: false {kind} 1." for name in frequent[:10] for kind in ("positive", "negative")]
    assert "36 more drawings lie beside this page in errors-validation." in text


def test_of_many_withdrawn_findings_the_most_frequent_are_named(tmp_path):
    names = [f"C{k}" for k in range(14)]
    values, _ = judged(predictions(names, n=300), exclusions={"C0": names[1:]})
    values["contradictions"] |= {"records": 99, "overruled": list(range(1, 15))}
    _, text = render(tmp_path, values)
    assert "withdrawn were C13 14, C12 13, C11 12," in text
    assert "C2 3 and 2 others less often." in text
    assert "C0 is not reported beside any of 13 classes" in text


def test_members_of_an_ensemble_are_listed(tmp_path, values):
    values["ensemble"] = {"members": [{"name": "resnet-001", "macro": values["macro"]}], "best": "resnet-001"}
    page, text = render(tmp_path, values)
    assert "members" in shown(page)
    assert f"resnet-001 {values['macro']['auroc']['value']:.3f} [" in text


def test_runs_stand_under_each_other_and_their_spread_is_told(tmp_path, values):
    other = judged(predictions(seed=5))[0]
    named = {"run-1": values, "run-2": other, "run-3": {"split": "test", "n_records": 0, "reason": "no records"}}
    context = {"runs": cross_source_table(named), "spread": fold_summary([values, other])}
    _, text = render(tmp_path, values, context=context)
    pair = [each["macro"]["auroc"]["value"] for each in (values, other)]
    assert f"run-2 600 records of 300 patients {pair[1]:.3f} [" in text
    assert "run-3 not judged: no records" in text
    assert f"Macro AUROC: mean {np.mean(pair):.4f} over 2, standard deviation {np.std(pair, ddof=1):.4f}" in text


def test_folds_beside_the_headline_are_folded_away(tmp_path, values):
    fold = {**values, "split": "validation-fold-9"}
    page, _ = render(tmp_path, values, fold)
    assert page.count("This part of a split in full") == 1
    assert "This part of a split in full" not in render(tmp_path, fold)[0]


def test_the_most_important_findings_are_named_at_the_top_with_links(tmp_path, values):
    page, text = render(tmp_path, values)
    top = page.split('class="glance"')[1].split("</ul>")[0]
    assert re.findall(r'href="#split-validation-(\w+)"', top) == [
        "calibration", "conformal", "abstention", "subgroups", "robustness"
    ]  # fmt: skip
    gaps = {column["column"]: column["gap"]["value"] for column in values["subgroups"]}
    widest = max(gaps, key=gaps.get)
    assert f"The widest gap between groups of patients is by {widest}: {gaps[widest]:.3f} of macro AUROC." in text
    for column in values["subgroups"]:
        column["gap"] = None
    assert "Groups of patients were too small to be compared." in render(tmp_path, values)[1]


def test_what_was_judged_is_told_by_its_sums(tmp_path, values):
    values["judged"] = {"weights": "00ab" * 16, "dataset": "77fe" * 16}
    _, text = render(tmp_path, values)
    assert f"Weights {'00ab' * 16}" in text
    assert f"Dataset {'77fe' * 16}" in text


def test_names_and_differences_in_words():
    assert [in_words([]), in_words(["a"]), in_words(["a", "b", "c"], "or")] == ["", "a", "a, b or c"]
    assert [signed(None), signed({"value": 0.00004, "low": None}), signed({"value": None})] == ["–", "0.000", "–"]
    assert signed({"value": 0.1, "low": -0.2, "high": 0.3}) == "+0.100 [−0.200, +0.300]"
