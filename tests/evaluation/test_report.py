"""The report is checked as a reader would: parsed, then compared with what was handed in."""

import copy
import functools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from einthoven.errors import EinthovenError
from einthoven.evaluation.report import write_report
from einthoven.metrics.fmax import fmax
from einthoven.metrics.ranking import auprc, auroc

SUPERCLASSES = {
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
    "MI": "myocardial infarction",
    "NORM": "normal ECG",
    "STTC": "ST/T change",
}
PREVALENCE = {"CD": 0.23, "HYP": 0.12, "MI": 0.25, "NORM": 0.45, "STTC": 0.24}
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Tables, links and text of a page; refuses tags that do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.rows, self.links, self.ids, self.tags = [], [], [], [], []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, self.open[-1] if self.open else None))
        self.links += [(tag, value) for name, value in attributes if name in ("src", "href", "xlink:href", "action")]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += f" {data}"

    def cells(self, first: str) -> list[str]:
        """Words of every row whose first cell begins with a class name."""
        found = [row for row in self.rows if row and row[0].split()[:1] == [first]]
        return [" ".join(" ".join(row).split()) for row in found]


def interval(value, width, drawn=True):
    value = float(value)
    return {
        "value": value,
        "low": max(0.0, value - width) if drawn else None,
        "high": min(1.0, value + width / 2) if drawn else None,
    }


def decisions(y, p, threshold):
    yes = p >= threshold
    tp, fp = float((yes & (y == 1)).sum()), float((yes & (y == 0)).sum())
    fn, tn = float((~yes & (y == 1)).sum()), float((~yes & (y == 0)).sum())

    def share(part, whole):
        return part / whole if whole else None

    rates = {"sensitivity": share(tp, tp + fn), "specificity": share(tn, tn + fp)}
    rates |= {"ppv": share(tp, tp + fp), "npv": share(tn, tn + fn), "f1": share(2 * tp, 2 * tp + fp + fn)}
    return rates


def make_scores(prevalence, n, seed):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, len(prevalence))) < prevalence).astype(np.float64)
    hardness = rng.uniform(1.4, 3.2, len(prevalence))
    return y, 1 / (1 + np.exp(-(hardness * (y - 0.5) + rng.normal(size=y.shape) - 1.0)))


def judge(split, fold, classes, descriptions, pair, *, drawn=True, caution=()):
    y, p = pair
    rank, precision = auroc(y, p), auprc(y, p)
    best, at = fmax(y, p)
    rows, undefined = [], []
    for k, name in enumerate(classes):
        positives, negatives = int((y[:, k] == 1).sum()), int((y[:, k] == 0).sum())
        width = 0.3 / np.sqrt(max(positives, 1))
        known = positives > 0 and negatives > 0
        if not known:
            undefined.append({"class": name, "reason": "no positive record"})
        rows.append(
            {"class": name, "positives": positives, "negatives": negatives, "threshold": 0.2137 + 0.001 * k}
            | {"auroc": interval(rank[k], width, drawn) if known else None}
            | {"auprc": interval(precision[k], 2 * width, drawn) if known else None}
            | decisions(y[:, k], p[:, k], 0.2137 + 0.001 * k)
        )
    macro = {"auroc": np.nanmean(rank), "auprc": np.nanmean(precision), "fmax": best}
    units = int(len(y) * 0.88)
    return {
        "split": split,
        "dataset": {"name": "PTB-XL 1.0.3", "attribution": ATTRIBUTION},
        "folds": [fold],
        "n_records": len(y),
        "n_patients": units,
        "n_unlabelled": 37,
        "kind": "multilabel",
        "classes": list(classes),
        "descriptions": descriptions,
        "macro": {key: interval(value, 0.006, drawn) for key, value in macro.items()},
        "fmax_threshold": at,
        "per_class": rows,
        "undefined": undefined,
        "interval": {
            "method": "percentile bootstrap",
            "level": 0.95,
            "n_resamples": 1000,
            "n_drawn": 1024,
            "unit": "patient",
            "n_units": units,
            "absent_classes": "redraw until every class has a positive and a negative",
            "seed": 0,
        }
        if drawn
        else None,
        "decisions": "Each threshold is the one with the highest F1 on the validation split, judged there by 5-fold "
        "cross-fitting over patients.",
        "caution": list(caution),
    }


ATTRIBUTION = (
    "Wagner, Strodthoff, Bousseljot, Samek, Schaeffter: PTB-XL, a large publicly available electrocardiography dataset "
    "(version 1.0.3), PhysioNet 2022, https://doi.org/10.13026/kfzx-aw45. Licence: CC BY 4.0 "
    "(https://creativecommons.org/licenses/by/4.0/)."
)
CAUTION = "The checkpoint was chosen on this split, so its figures are optimistic."
RECIPE = """data: {dataset: ptbxl100, task: superdiagnostic, folds: {train: 1-8, validation: 9, test: 10}}
model: {name: xresnet1d101}
train: {epochs: 20, batch_size: 128, lr: 0.01, window_s: 2.5}
seed: 0
"""


def make_history(n=20):
    rng = np.random.default_rng(5)
    return [
        {
            "epoch": e,
            "train_loss": 0.22 + 0.3 / e,
            "validation_loss": 0.27 + 0.2 / e + 0.0006 * (e - 9) ** 2 * (e > 9),
            "validation_auroc": 0.932 - 0.1 / e - 0.00005 * (e - 14) ** 2 + 0.002 * float(rng.random()),
            "validation_accuracy": 0.885 - 0.08 / e,
            "lr": 0.01 * (1 + np.cos(np.pi * e / n)) / 2,
            "seconds": 41.26,
        }
        for e in range(1, n + 1)
    ]


def make_context():
    return {
        "model": {"name": "xresnet1d101", "n_parameters": 1867653, "input": "12 leads, 100 Hz, windows of 2.5 s"},
        "trained_on": {
            "name": "PTB-XL 1.0.3",
            "attribution": ATTRIBUTION,
            "n_records": 17084,
            "n_patients": 15046,
            "folds": [1, 2, 3, 4, 5, 6, 7, 8],
        },
        "recipe": RECIPE,
        "environment": {"einthoven": "0.1.0", "python": "3.11.9", "torch": "2.8.0", "device": "cpu, 2 threads"},
        "commands": ["einthoven prepare ptbxl --rate 100 --out data/ptbxl100", "einthoven train recipes/super.yaml"],
        "timing": {"training_s": 4125.2, "evaluation_s": 12.34},
        "bundle": "bundle",
    }


@pytest.fixture
def five():
    return copy.deepcopy(five_classes())


@pytest.fixture
def many():
    return copy.deepcopy(seventy_one_classes())


@functools.cache
def five_classes():
    pairs = {
        "validation": make_scores(list(PREVALENCE.values()), 2146, 1),
        "test": make_scores(list(PREVALENCE.values()), 2158, 2),
    }
    judgements = [
        judge("validation", 9, SUPERCLASSES, SUPERCLASSES, pairs["validation"], caution=[CAUTION]),
        judge("test", 10, SUPERCLASSES, SUPERCLASSES, pairs["test"]),
    ]
    return {
        "title": "xresnet1d101 on PTB-XL, superdiagnostic task",
        "judgements": judgements,
        "scores": pairs,
        "history": make_history(),
        "context": make_context(),
    }


@functools.cache
def seventy_one_classes():
    classes = [f"C{k:02d}" for k in range(69)] + ["_AVB", "LAFB/LPFB"]
    words = {name: f"statement number {k} of the label table" for k, name in enumerate(classes)}
    prevalence = 0.4 * np.arange(1, 72) ** -1.3
    pairs = {"validation": make_scores(prevalence, 2183, 3), "test": make_scores(prevalence, 2198, 4)}
    pairs["test"][0][:, [50, 60]] = 0
    judgements = [judge(s, f, classes, words, pairs[s]) for s, f in (("validation", 9), ("test", 10))]
    return {
        "title": "All 71 statements of PTB-XL",
        "judgements": judgements,
        "scores": pairs,
        "history": make_history(50),
        "context": make_context(),
    }


def render(tmp_path, case) -> tuple[Page, str]:
    path = tmp_path / "run" / "report.html"
    write_report(path, **case)
    text = path.read_text(encoding="utf-8")
    return Page(text), text


def shown(figure):
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def four_counts(row):
    """Found, missed, falsely reported and rightly silent, from the rates; a class without positives has none found."""
    found = round((row["sensitivity"] or 0) * row["positives"])
    silent = round((row["specificity"] or 0) * row["negatives"])
    return [f"{n:,}" for n in (found, row["positives"] - found, row["negatives"] - silent, silent)]


def test_the_headline_is_the_test_split_with_interval_records_and_patients(tmp_path, five):
    page, _ = render(tmp_path, five)
    test = five["judgements"][1]
    patients = f"{test['n_patients']:,}"
    headline = (
        f"Macro AUROC {shown(test['macro']['auroc'])} on 2,158 records of {patients} patients never seen in training"
    )
    assert headline in page.text
    assert f"{100 * test['macro']['auroc']['value']:.1f} % of such pairs" in page.text


@pytest.mark.parametrize("case", ["five", "many"])
def test_every_figure_of_every_class_is_the_one_handed_in(tmp_path, case, request):
    case = request.getfixturevalue(case)
    page, _ = render(tmp_path, case)
    assert len(case["judgements"]) == 2
    for j, judgement in enumerate(case["judgements"]):
        for row in judgement["per_class"]:
            name, known = row["class"], row["positives"] + row["negatives"]
            figures, decided, counted = page.cells(name)[3 * j : 3 * j + 3]
            share = f"{100 * row['positives'] / known:.1f} %"
            parts = [name, judgement["descriptions"][name], f"{row['positives']:,}", share]
            parts += [shown(row[key]) if row[key] else "–" for key in ("auroc", "auprc")]
            assert figures == " ".join(parts)
            rates = [row[key] for key in ("sensitivity", "specificity", "ppv", "npv")]
            rates = ["–" if rate is None else f"{100 * rate:.1f}" for rate in rates]
            f1 = "–" if row["f1"] is None else f"{row['f1']:.3f}"
            assert decided == " ".join([name, f"{row['threshold']:.3f}", *rates, f1])
            assert counted == " ".join([name, *four_counts(row), "–", "–", "–", "–", "–"])


def test_the_table_of_splits_has_the_macro_figures_of_each(tmp_path, five):
    page, _ = render(tmp_path, five)
    both = five["judgements"]
    for judgement in both:
        who = f"{judgement['n_records']:,} records of {judgement['n_patients']:,} patients"
        figures = [shown(judgement["macro"][key]) for key in ("auroc", "auprc", "fmax")]
        assert page.cells(judgement["split"].capitalize()) == [
            " ".join([judgement["split"].capitalize(), who, *figures])
        ]
    for judgement in both:
        assert f"at threshold {judgement['fmax_threshold']:.2f}" in page.text
        assert "Another 37 were left out for carrying no label of this task" in page.text


def test_the_chosen_epoch_and_the_numbers_of_all_epochs_are_shown(tmp_path, five):
    page, _ = render(tmp_path, five)
    best = max(five["history"], key=lambda row: row["validation_auroc"])["epoch"]
    assert f"Dotted line: epoch {best}, the one with the highest validation AUROC" in page.text
    for row in five["history"]:
        keys = ("train_loss", "validation_loss", "validation_auroc", "validation_accuracy")
        figures = [f"{row[key]:.4f}" for key in keys]
        assert page.cells(str(row["epoch"])) == [" ".join([str(row["epoch"]), *figures, f"{row['lr']:.3g}", "41.3"])]
    five["context"]["chosen_epoch"] = 3
    assert "Dotted line: epoch 3, whose weights were chosen" in render(tmp_path, five)[0].text


def test_what_the_interval_rests_on_is_said(tmp_path, five):
    page, _ = render(tmp_path, five)
    units = f"{five['judgements'][0]['interval']['n_units']:,}"
    assert f"95 % percentile bootstrap: 1,000 resamples of {units} patients with replacement" in page.text
    assert "redraw until every class has a positive and a negative (1,024 drawn). Seed 0." in page.text


def test_cautions_recipe_commands_and_limits_are_on_the_page(tmp_path, five):
    page, _ = render(tmp_path, five)
    assert CAUTION in page.text
    assert re.sub(r"\s+", " ", RECIPE).strip() in page.text
    assert "einthoven train recipes/super.yaml" in page.text
    assert "not a medical device" in page.text
    for part in ("1,867,653", "17,084 records of 15,046 patients", "1 to 8", "1 h 08 min", "12.3 s", "cpu, 2 threads"):
        assert part in page.text


def test_undefined_classes_are_named_with_their_reason_and_counted(tmp_path, many):
    page, _ = render(tmp_path, many)
    names = [entry["class"] for entry in many["judgements"][1]["undefined"]]
    assert {"C50", "C60"} <= set(names)
    assert f"{len(names)} of 71 classes have no figure here" in page.text
    assert f"no positive record: {', '.join(names)}" in page.text


def test_an_empty_split_gets_a_plain_sentence(tmp_path, five):
    five["judgements"][1] = {"split": "test", "n_records": 0, "reason": "no records in fold 10"}
    page, _ = render(tmp_path, five)
    assert "The test split was not judged: no records in fold 10." in page.text
    assert "(validation split: PTB-XL 1.0.3, fold 9)" in page.text


def test_a_split_with_records_but_no_class_to_judge_gets_a_plain_sentence_too(tmp_path, five):
    reason = "no class has both a positive and a negative record"
    five["judgements"][1] = {"split": "test", "n_records": 12, "reason": reason}
    assert f"The test split was not judged: {reason}." in render(tmp_path, five)[0].text


def test_the_training_split_never_makes_the_headline_when_another_was_judged(tmp_path, five):
    train = {**five["judgements"][1], "split": "train", "folds": [1]}
    five["judgements"] = [train, five["judgements"][0]]
    assert "(validation split: PTB-XL 1.0.3, fold 9)" in render(tmp_path, five)[0].text


def test_without_any_judged_split_the_page_says_so(tmp_path, five):
    five["judgements"] = [{"split": "test", "n_records": 0, "reason": "no records in fold 10"}]
    assert "No split was judged, so there is no figure to report." in render(tmp_path, five)[0].text


def test_without_intervals_no_bracket_is_shown(tmp_path, five):
    five["judgements"] = [judge("test", 10, SUPERCLASSES, SUPERCLASSES, five["scores"]["test"], drawn=False)]
    page, text = render(tmp_path, five)
    assert "[" not in page.text.replace("[data", "")
    assert 'class="whisker"' not in text
    assert "No interval was drawn for this split" in page.text
    assert f"Macro AUROC {five['judgements'][0]['macro']['auroc']['value']:.3f} on 2,158 records" in page.text


def test_a_bundle_judged_without_training_history_has_no_training_section(tmp_path, five):
    five["history"], five["context"], five["scores"] = [], {}, {}
    five["judgements"][1] |= {"n_patients": None, "folds": []}
    page, _ = render(tmp_path, five)
    assert "Training, epoch by epoch" not in page.text
    assert "on 2,158 records (patients unknown) (test split: PTB-XL 1.0.3)" in page.text
    assert "No curves: the scores of this split were not kept." in page.text


def test_records_the_model_was_trained_on_are_not_called_unseen(tmp_path, five):
    five["context"]["trained_on"]["folds"] = [9, 10]
    page, _ = render(tmp_path, five)
    assert "never seen" not in page.text
    assert "that it was trained on, so the figure is not evidence" in page.text
    five["context"]["trained_on"]["name"] = "SPH"
    assert "from another data set than it was trained on (SPH)" in render(tmp_path, five)[0].text


def test_multiclass_without_thresholds_has_no_threshold_column(tmp_path, five):
    for judgement in five["judgements"]:
        judgement["kind"] = "multiclass"
        for row in judgement["per_class"]:
            row["threshold"] = None
    page, _ = render(tmp_path, five)
    assert "Exactly one of the 5 classes is true of a record" in page.text
    header = next(row for row in page.rows if "Sensitivity" in " ".join(row))
    assert [cell.strip() for cell in header] == ["Class", "Sensitivity", "Specificity", "PPV", "NPV", "F1"]


def test_hostile_names_stay_text(tmp_path, five):
    evil = "<script>alert('$x_1$')</script>\"&amp;"
    rename = {"MI": evil}
    for judgement in five["judgements"]:
        judgement["classes"] = [rename.get(c, c) for c in judgement["classes"]]
        judgement["descriptions"] = {**SUPERCLASSES, evil: "</td><img src=x onerror=alert(1)>"}
        for row in judgement["per_class"]:
            row["class"] = rename.get(row["class"], row["class"])
    five["title"] = "</title><script>alert(2)</script>"
    five["context"]["recipe"] = "</code></pre><script>alert(3)</script>"
    five["judgements"][0]["dataset"]["attribution"] = (
        '<a href="javascript:alert(4)">https://evil.example/"onclick="x</a>'
    )
    page, text = render(tmp_path, five)
    assert evil in page.text
    assert not {"script", "img"} & {tag for tag, _ in page.tags}
    assert "<script" not in text
    assert not any("javascript" in link for _, link in page.links)


def test_nothing_is_fetched_and_only_the_attribution_links_out(tmp_path, five):
    page, text = render(tmp_path, five)
    outward = [(tag, link) for tag, link in page.links if not link.startswith("#")]
    assert set(outward) == {
        ("a", "https://doi.org/10.13026/kfzx-aw45"),
        ("a", "https://creativecommons.org/licenses/by/4.0/"),
    }
    assert not re.search(r"@import|url\((?!#)|<link|<script|<iframe", text)


@pytest.mark.parametrize("case", ["five", "many"])
def test_ids_are_unique_and_every_inner_link_leads_to_one(tmp_path, case, request):
    page, text = render(tmp_path, request.getfixturevalue(case))
    assert len(page.ids) == len(set(page.ids))
    inner = {link[1:] for _, link in page.links if link.startswith("#")} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert inner <= set(page.ids)


def test_tables_have_captions_and_drawings_have_names(tmp_path, five):
    page, text = render(tmp_path, five)
    assert sum(tag == "table" for tag, _ in page.tags) == sum(tag == "caption" for tag, _ in page.tags) == 8
    drawings = re.findall(r"<svg[^>]*>", text)
    assert all('aria-hidden="true"' in svg or re.search(r'role="img" aria-label="[^"]+"', svg) for svg in drawings)


def test_seventy_one_classes_stay_small(tmp_path, many):
    _, text = render(tmp_path, many)
    assert len(text.encode()) < 3_000_000


def test_the_same_input_gives_the_same_page(tmp_path, five):
    assert render(tmp_path, five)[1] == render(tmp_path, five)[1]


def test_scores_of_another_shape_are_refused_and_no_page_is_left(tmp_path, five):
    targets, probabilities = five["scores"]["test"]
    five["scores"]["test"] = (targets[:, :4], probabilities[:, :4])
    with pytest.raises(ValueError, match="5 class names for 4 columns"):
        render(tmp_path, five)
    assert not (tmp_path / "run").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path, five):
    (tmp_path / "run" / "report.html").mkdir(parents=True)
    with pytest.raises(EinthovenError, match=r"cannot write .*report\.html"):
        render(tmp_path, five)


def contrast(one: str, other: str) -> float:
    def luminance(colour):
        channels = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    high, low = sorted([luminance(one), luminance(other)], reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_and_curves_contrast_enough_in_light_and_dark(tmp_path, five):
    from einthoven.plots.curves import PALETTE

    _, text = render(tmp_path, five)
    light, dark = (text.split(":root {", 2)[k].split("}", 1)[0] for k in (1, 2))
    light_colours = {f"fig-{name}": colour for name, colour in PALETTE.items()}
    for block, known in ((light, light_colours), (dark, {})):
        colours = known | dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block.replace("#fff;", "#ffffff;")))
        for ground in ("paper", "panel"):
            assert all(contrast(colours[c], colours[ground]) >= 4.5 for c in ("ink", "muted", "accent", "mark"))
        series = [colour for name, colour in colours.items() if name.startswith("fig-series")]
        assert len(series) == 8
        assert min(contrast(colour, colours["paper"]) for colour in series) >= 3
