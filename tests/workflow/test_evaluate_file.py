import json
import os

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from einthoven.errors import DatasetError, EinthovenError, RecipeError
from einthoven.evaluation.predictions import Predictions, write_predictions
from einthoven.workflow import evaluate_file

CLASSES = ("A", "B", "C")


def _made_up(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < (0.4, 0.2, 0.1)).astype(float)
    return y, 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))


def _write(folder, y, p, name="mine", first=0, **columns):
    """The same predictions as CSV, Parquet and NumPy arrays."""
    ids = [str(first + k) for k in range(len(y))]
    folder.mkdir(exist_ok=True)
    head = ["record_id", *columns, *(f"y_{c}" for c in CLASSES), *(f"p_{c}" for c in CLASSES)]
    rows = zip(ids, *columns.values(), *np.where(np.isnan(y), None, y).T, *p.T, strict=True)
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
    (folder / f"{name}.csv").write_text("\n".join([",".join(head), *lines]) + "\n")
    known = Predictions(CLASSES, y, p, ids, [None] * len(y), [None] * len(y), [None] * len(y))
    write_predictions(folder / f"{name}.parquet", known)
    np.save(folder / f"{name}.npy", p)
    np.save(folder / f"{name}-y.npy", y)
    return folder / f"{name}.csv"


def _metrics(done):
    metrics = json.loads((done.folder / "metrics.json").read_text())
    (judgement,) = metrics.values()
    judgement.pop("seconds")
    return metrics


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return _write(tmp_path, *_made_up())


def test_a_file_is_judged_as_scikit_learn_judges_it_and_its_report_written(table, tmp_path):
    y, p = _made_up()
    done = evaluate_file(table, n_resamples=120)
    assert done.folder.resolve() == tmp_path / "evaluation-mine"
    macro = done.judgement["macro"]
    assert macro["auroc"]["value"] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    assert macro["auprc"]["value"] == pytest.approx(average_precision_score(y, p), abs=1e-12)
    for k, row in enumerate(done.judgement["per_class"]):
        assert row["auroc"]["value"] == pytest.approx(roc_auc_score(y[:, k], p[:, k]), abs=1e-12)
    assert done.judgement["decisions"].startswith("thresholds maximise each class's F1")
    assert done.judgement["decisions"].endswith("5-fold cross-fitting, grouped by record")
    names = {path.name for path in done.folder.rglob("*") if path.is_file()}
    assert names >= {"metrics.json", "report.html", "predictions-mine.parquet", "roc-pr-mine.png", "roc-pr-mine.svg"}
    report = (done.folder / "report.html").read_text()
    assert "Predictions of mine" in report
    assert "einthoven evaluate --predictions mine.csv" in report.replace(str(tmp_path) + "/", "")


def test_csv_parquet_and_arrays_give_the_same_metrics(tmp_path):
    y, p = _made_up()
    p = p.astype(np.float32).astype(np.float64)  # as our own Parquet keeps them
    y[5, 1] = np.nan
    _write(tmp_path, y, p)
    one = _metrics(evaluate_file(tmp_path / "mine.csv", out=tmp_path / "1", n_resamples=120))
    two = _metrics(evaluate_file(tmp_path / "mine.parquet", out=tmp_path / "2", n_resamples=120))
    array, truth = tmp_path / "mine.npy", tmp_path / "mine-y.npy"
    three = _metrics(evaluate_file(array, targets=truth, classes=CLASSES, out=tmp_path / "3", n_resamples=120))
    assert one == two == three
    assert one["mine"]["per_class"][1]["positives"] + one["mine"]["per_class"][1]["negatives"] == 299


def test_windows_of_a_record_are_judged_together_or_as_they_are(tmp_path):
    y, p = _made_up(100)
    twice = np.repeat(y, 2, axis=0), np.repeat(p, 2, axis=0)
    lines = [
        ",".join(map(str, (f"r{k // 2}", k % 2, *twice[0][k], *np.clip(twice[1][k] + (0.01, -0.01)[k % 2], 0, 1))))
        for k in range(200)
    ]
    head = ",".join(["record_id", "start", *(f"y_{c}" for c in CLASSES), *(f"p_{c}" for c in CLASSES)])
    (tmp_path / "w.csv").write_text("\n".join([head, *lines]))
    joined = {
        how: evaluate_file(tmp_path / "w.csv", aggregate=how, out=tmp_path / how, n_resamples=0)
        for how in ("mean", "max", "none")
    }
    assert [done.judgement["n_records"] for done in joined.values()] == [100, 100, 200]
    np.testing.assert_allclose(joined["mean"].predictions.probabilities, p, atol=0.01)
    expected = np.clip(p + 0.01, 0, 1)
    np.testing.assert_allclose(joined["max"].predictions.probabilities, expected, atol=1e-12)


def test_rule_and_calibration_are_those_asked_for(table, tmp_path):
    done = evaluate_file(table, thresholds="sensitivity:0.8", calibration="none", out=tmp_path / "o", n_resamples=0)
    assert "reach a sensitivity of 80%" in done.judgement["decisions"]
    assert done.judgement["calibration"]["method"] == "none"
    assert done.judgement["calibration"]["before"] == done.judgement["calibration"]["after"]
    assert all(row["sensitivity"] == pytest.approx(0.8, abs=0.15) for row in done.judgement["per_class"])


def test_classes_that_exclude_each_other_are_judged_so(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 200)
    z = rng.normal(0, 1, (200, 3)) + 2 * np.eye(3)[true]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    path = _write(tmp_path, np.eye(3)[true], p)
    done = evaluate_file(path, single_label=True, out=tmp_path / "o", n_resamples=0)
    assert done.judgement["kind"] == "multiclass"
    assert sum(map(sum, done.judgement["confusion"])) == 200
    right = sum(done.judgement["confusion"][k][k] for k in range(3))
    assert right == pytest.approx((p.argmax(axis=1) == true).sum(), abs=0)


def test_thresholds_come_from_another_file_and_are_not_cross_fitted(tmp_path):
    path = _write(tmp_path, *_made_up(), patient_id=[f"a{k}" for k in range(300)])
    other = _write(
        tmp_path, *_made_up(400, 1), "validation", first=1000, patient_id=["a7", *(f"b{k}" for k in range(399))]
    )
    done = evaluate_file(path, fit_on=other, out=tmp_path / "o", n_resamples=0)
    assert "fitted on the 400 records of validation.csv, none of which is judged here" in done.judgement["decisions"]
    assert any("of 1 of the patients" in sentence for sentence in done.judgement["caution"])
    fitted = evaluate_file(other, out=tmp_path / "v", n_resamples=0).judgement
    here = [row["threshold"] for row in done.judgement["per_class"]]
    assert here == [row["threshold"] for row in fitted["per_class"]]
    swapped = other.read_text().replace("y_A,y_B", "y_X,y_Y").replace("p_A,p_B", "p_X,p_Y")
    swapped = swapped.replace("_X", "_B").replace("_Y", "_A")
    (tmp_path / "swapped.csv").write_text(swapped)
    turned = evaluate_file(path, fit_on=tmp_path / "swapped.csv", out=tmp_path / "s", n_resamples=0).judgement
    assert [row["threshold"] for row in turned["per_class"]] == [here[1], here[0], here[2]]


def test_thresholds_are_not_fitted_on_what_is_judged(table, tmp_path):
    with pytest.raises(DatasetError, match="thresholds from the same split: 300 records are in both files, such as 0"):
        evaluate_file(table, fit_on=table)
    one = _write(tmp_path, *_made_up(50, 3), "one", first=299)
    with pytest.raises(DatasetError, match="thresholds from the same split: 1 records are in both files, such as 299"):
        evaluate_file(table, fit_on=one)
    array, truth = tmp_path / "mine.npy", tmp_path / "mine-y.npy"
    with pytest.raises(DatasetError, match="thresholds from the same split: the files are equal"):
        evaluate_file(array, targets=truth, fit_on=array, fit_on_targets=truth)
    other, its_truth = tmp_path / "one.npy", tmp_path / "one-y.npy"
    evaluate_file(array, targets=truth, fit_on=other, fit_on_targets=its_truth, n_resamples=0)


def test_a_class_without_positives_is_undefined_and_the_others_are_judged(tmp_path):
    y, p = _made_up()
    y[:, 1] = 0
    judgement = evaluate_file(_write(tmp_path, y, p), out=tmp_path / "o", n_resamples=120).judgement
    assert judgement["undefined"] == [{"class": "B", "reason": "no positive record"}]
    assert judgement["macro"]["auroc"]["value"] == pytest.approx(roc_auc_score(y[:, [0, 2]], p[:, [0, 2]]), abs=1e-12)
    assert any("over the 2 of 3 classes" in sentence for sentence in judgement["caution"])
    y[:] = 0
    judgement = evaluate_file(_write(tmp_path, y, p), out=tmp_path / "o", n_resamples=120).judgement
    assert judgement["reason"] == "no class has both a positive and a negative record"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"aggregate": "median"}, RecipeError, "unknown aggregation 'median'"),
        ({"calibration": "plat"}, RecipeError, r"unknown calibration 'plat' \(did you mean 'platt'\?\)"),
        ({"thresholds": "f2"}, RecipeError, "unknown threshold rule 'f2'"),
        ({"thresholds": "challenge:2021"}, RecipeError, "no class has the name of a SNOMED CT code"),
    ],
)
def test_unknown_wishes_are_named(table, options, error, message):
    with pytest.raises(error, match=message):
        evaluate_file(table, **options)


def test_thresholds_of_other_classes_are_refused(table, tmp_path):
    (tmp_path / "other.csv").write_text("record_id,y_A,p_A\nx,1,0.5\n")
    with pytest.raises(DatasetError, match="fitted on other classes; only one of the files has B, C"):
        evaluate_file(table, fit_on=tmp_path / "other.csv")


def test_a_folder_with_the_judgement_of_something_else_is_not_overwritten(table, tmp_path):
    other = _write(tmp_path, *_made_up(50), "other")
    evaluate_file(table, out=tmp_path / "o", n_resamples=0)
    evaluate_file(table, out=tmp_path / "o", n_resamples=0)
    with pytest.raises(EinthovenError, match="holds the judgement of something else .mine of mine"):
        evaluate_file(other, out=tmp_path / "o")
    (tmp_path / "run").mkdir()
    held = {"test": {"judged": {"weights": "w", "dataset": "d"}, "dataset": {"name": "mine"}}}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(held))
    with pytest.raises(EinthovenError, match="name another folder with --out"):
        evaluate_file(table, out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == held


def test_two_judgements_into_one_folder_do_not_meet(table, tmp_path):
    from einthoven.workflow.writing import locked

    with (
        locked(tmp_path / "o"),
        pytest.raises(EinthovenError, match="another process is judging into this folder; wait for it"),
    ):
        evaluate_file(table, out=tmp_path / "o", n_resamples=0)
    assert os.listdir(tmp_path / "o") == [".evaluate.lock"]
    evaluate_file(table, out=tmp_path / "o", n_resamples=0)


def test_a_runs_predictions_keep_the_name_of_their_split(tmp_path):
    path = _write(tmp_path, *_made_up(), "predictions-validation").with_suffix(".parquet")
    done = evaluate_file(path, out=tmp_path / "o", n_resamples=0)
    assert done.judgement["split"] == "validation"
    assert (tmp_path / "o" / "predictions-validation.parquet").is_file()


def test_rows_of_one_record_are_resampled_together(tmp_path):
    lines = [f"r{k // 3},{k % 3},{k % 2},{(k * 7 % 30) / 30}" for k in range(90)]
    (tmp_path / "b.csv").write_text("\n".join(["record_id,start,y_A,p_A", *lines]))
    judgement = evaluate_file(tmp_path / "b.csv", aggregate="none", out=tmp_path / "o", n_resamples=120).judgement
    assert (judgement["n_records"], judgement["interval"]["n_units"], judgement["interval"]["unit"]) == (
        90,
        30,
        "record",
    )
    assert judgement["decisions"].endswith("grouped by record")
    again = evaluate_file(tmp_path / "o" / "predictions-b.parquet", aggregate="none", out=tmp_path / "p", n_resamples=0)
    assert again.predictions.start == [k % 3 for k in range(90)]
