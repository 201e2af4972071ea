"""Tables read back, against scikit-learn where they hold figures."""

import csv
import dataclasses

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from einthoven.decisions import Calibration, Decisions, Plan, Rule
from einthoven.errors import EinthovenError
from einthoven.evaluation.errors import worst_mistakes
from einthoven.evaluation.judge import empty_judgement, judge
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.subgroups import judge_subgroups
from einthoven.evaluation.tables import (
    confusion_rows,
    mistake_rows,
    per_class_rows,
    subgroup_rows,
    sweep_rows,
    write_csv,
)
from einthoven.workflow.deciding import decide_split
from einthoven.workflow.details import write_class_reports, write_mistakes, write_tables

PLAN = Plan(("A", "B"), "multilabel", "none", Rule("f1"), None, {})


def _data(n=400, seed=0, **facts):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 2)) < (0.4, 0.25)).astype(float)
    p = 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))
    ids = [str(k // 2) for k in range(n)]
    facts = facts or {
        "age": [40.0 + k % 50 for k in range(n)],
        "sex": [("female", "male", None)[k % 3] for k in range(n)],
    }
    return Predictions(("A", "B"), y, p, [f"r{k}" for k in range(n)], ids, ["s"] * n, [k % 2 for k in range(n)], facts)


def _judged(data, plan=PLAN):
    found = decide_split(data, plan, None)
    judgement = judge("validation", data, found.decided, found.decisions, how_decided=found.how, n_resamples=120)
    judgement["subgroups"] = judge_subgroups(data, found.decided, found.decisions, n_resamples=120)
    return judgement, found


def _read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_six_digits_blanks_for_what_is_unknown_and_columns_as_they_come(tmp_path):
    rows = [{"b": 1 / 3, "a": None, "c": 'x, "y"'}, {"b": float("nan"), "a": 1234567, "d": np.float64(1e-9)}]
    write_csv(tmp_path / "t.csv", rows)
    assert (tmp_path / "t.csv").read_text() == 'b,a,c,d\n0.333333,,"x, ""y""",\n,1234567,,1e-09\n'
    write_csv(tmp_path / "t.csv", [])
    assert (tmp_path / "t.csv").read_text() == ""
    (tmp_path / "file").write_text("")
    with pytest.raises(EinthovenError, match="cannot write"):
        write_csv(tmp_path / "file" / "t.csv", rows)


def test_figures_of_classes_come_back_with_their_intervals(tmp_path):
    judgement, _ = _judged(_data())
    metrics = {"validation": judgement, "test": empty_judgement("test", "no records")}
    write_csv(tmp_path / "t.csv", per_class_rows(metrics))
    rows = _read(tmp_path / "t.csv")
    assert [(row["split"], row["class"]) for row in rows] == [("validation", "A"), ("validation", "B")]
    for row, figures in zip(rows, judgement["per_class"], strict=True):
        for end, key in (("", "value"), ("_low", "low"), ("_high", "high")):
            assert float(row[f"auroc{end}"]) == pytest.approx(figures["auroc"][key], rel=1e-5)
        assert float(row["f1"]) == pytest.approx(figures["f1"], rel=1e-5)
        assert int(row["positives"]) == figures["positives"]


def test_an_undefined_figure_is_blank_and_keeps_its_columns(tmp_path):
    data = _data()
    y = data.targets.copy()
    y[:, 0] = np.nan
    judgement, _ = _judged(dataclasses.replace(data, targets=y))
    write_csv(tmp_path / "t.csv", per_class_rows({"validation": judgement}))
    undefined, known = _read(tmp_path / "t.csv")
    assert undefined["auroc"] == undefined["auroc_low"] == undefined["threshold"] == ""
    assert known["auroc_low"]
    assert list(undefined)[:7] == ["split", "class", "positives", "negatives", "auroc", "auroc_low", "auroc_high"]


def test_groups_come_back_with_their_totals_first(tmp_path):
    judgement, _ = _judged(_data())
    write_csv(tmp_path / "t.csv", subgroup_rows({"validation": judgement}))
    rows = _read(tmp_path / "t.csv")
    assert [row["class"] for row in rows[:3]] == ["(macro)", "A", "B"]
    for column in judgement["subgroups"]:
        for group in column["groups"]:
            macro, first, _ = (r for r in rows if (r["column"], r["group"]) == (column["column"], group["group"]))
            assert int(macro["records"]) == int(first["records"]) == group["n_records"]
            for row, figures in ((macro, group["macro"]), (first, group["per_class"][0])):
                if figures["specificity"] is None:
                    assert row["specificity"] == ""
                else:
                    assert float(row["specificity_low"]) == pytest.approx(figures["specificity"]["low"], rel=1e-5)
            if group["difference"]:
                assert float(macro["p_adjusted"]) == pytest.approx(group["p_adjusted"], rel=1e-5)
                assert float(macro["difference_from_rest"]) == pytest.approx(group["difference"]["value"], rel=1e-5)
            assert macro["reason"] == (group["reason"] or "")


def test_the_sweep_is_scikit_learns_at_every_threshold():
    data = _data()
    data.targets[:40, 1] = np.nan
    _, found = _judged(data)
    rows = sweep_rows(data, found.decided)
    assert len(rows) == 202
    assert [row["threshold"] for row in rows[:3]] == pytest.approx([0, 0.01, 0.02])
    for row in (rows[30], rows[101 + 40]):
        k = data.classes.index(row["class"])
        known = ~np.isnan(data.targets[:, k])
        y, said = data.targets[known, k], found.decided.probabilities[known, k] >= row["threshold"]
        assert row["precision"] == pytest.approx(precision_score(y, said))
        assert row["recall"] == pytest.approx(recall_score(y, said))
        assert row["f1"] == pytest.approx(f1_score(y, said))
        assert row["accuracy"] == pytest.approx(accuracy_score(y, said))
        assert row["specificity"] == pytest.approx(recall_score(y, said, pos_label=0))


def test_mistakes_come_with_who_they_are(tmp_path):
    data = _data()
    _, found = _judged(data)
    mistakes = worst_mistakes(data, found.decided, found.decisions)
    write_csv(tmp_path / "t.csv", mistake_rows(mistakes, data))
    rows = _read(tmp_path / "t.csv")
    assert list(rows[0]) == [
        *("class", "kind", "record_id", "patient_id", "source", "fold", "age", "sex"),
        *("probability", "threshold", "margin", "truth"),
    ]
    for row, mistake in zip(rows, mistakes, strict=True):
        k = int(row["record_id"][1:])
        assert (row["patient_id"], float(row["age"])) == (str(k // 2), data.facts["age"][k])
        assert row["sex"] == (data.facts["sex"][k] or "")
        assert float(row["margin"]) == pytest.approx(mistake.margin, rel=1e-5)


def test_the_confusion_matrix_has_the_truth_in_rows():
    judgement = {"classes": ["A", "B"], "confusion": [[5, 1], [2, 7]]}
    assert confusion_rows(judgement) == [{"truth": "A", "A": 5, "B": 1}, {"truth": "B", "A": 2, "B": 7}]


def test_every_table_and_drawing_of_a_split_is_written(tmp_path, dataset_folder):
    from einthoven.dataset import open_dataset

    data, dataset = _data(), open_dataset(dataset_folder)
    judgement, found = _judged(data)
    write_tables(tmp_path, judgement, data, found)
    names = {path.name for path in tmp_path.glob("*.csv")}
    assert names == {f"{table}-validation.csv" for table in ("threshold-sweep", "errors", "folds")}
    assert [row["fold"] for row in _read(tmp_path / "folds-validation.csv")] == ["0", "1"]
    (tmp_path / "errors-validation").mkdir()
    (tmp_path / "errors-validation" / "old.png").write_text("of an earlier judgement")
    drawn = write_mistakes(tmp_path, "validation", data, found, dataset, np.arange(400) % 240, each=1)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("errors-validation/*"))
    assert files == sorted(strip["file"] for strip in drawn)
    assert len(files) == 4
    written = write_class_reports(tmp_path, "validation", data, found)
    assert [path.name for path in written] == [f"validation-{c}.{kind}" for c in "AB" for kind in ("png", "svg")]
    assert all(path.is_file() for path in written)


def test_a_multi_class_split_has_its_confusion_matrix_and_an_empty_one_has_no_tables(tmp_path):
    data = _data()
    one = np.eye(2)[data.targets[:, 0].astype(int)]
    score = data.probabilities[:, :1]
    data = dataclasses.replace(data, targets=one, probabilities=np.hstack([1 - score, score]), fold=[9] * 400)
    judgement, found = _judged(data, dataclasses.replace(PLAN, kind="multiclass"))
    write_tables(tmp_path, judgement, data, found)
    rows = _read(tmp_path / "confusion-validation.csv")
    assert [[int(row[c]) for c in "AB"] for row in rows] == judgement["confusion"]
    assert not (tmp_path / "folds-validation.csv").exists()
    write_csv(tmp_path / "per-class.csv", per_class_rows({"test": empty_judgement("test", "no records")}))
    assert (tmp_path / "per-class.csv").read_text() == ""


def test_steps_without_thresholds_have_a_sweep_but_no_mistakes():
    data = _data()
    steps = Decisions(("A", "B"), "multilabel", Calibration("none", (None, None)), "f1", (None, None), None, {})
    decided = steps.decide(data.probabilities)
    assert worst_mistakes(data, decided, steps) == []
    assert len(sweep_rows(data, decided)) == 202
