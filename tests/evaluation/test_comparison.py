import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from einthoven.errors import DatasetError
from einthoven.evaluation.comparison import align, compare_predictions, verdict
from einthoven.evaluation.predictions import Predictions, write_predictions
from einthoven.workflow import compare


def _models(skills=(2.0, 2.0), n=240, seed=0, patients=True, shared=0.0):
    """Predictions of models of given skill on the same records, two records a patient."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 2)) < (0.4, 0.25)).astype(float)
    common = rng.normal(0, 1, y.shape)
    ids = [str(k // 2) if patients else None for k in range(n)]
    models = {}
    for name, skill in zip("ABCDEFGH", skills, strict=False):
        noise = np.sqrt(shared) * common + np.sqrt(1 - shared) * rng.normal(0, 1, y.shape)
        p = 1 / (1 + np.exp(-(skill * y - 1 + noise)))
        models[name] = Predictions(("X", "Y"), y, p, [f"r{k}" for k in range(n)], ids, ["s"] * n, [9] * n)
    return models


def _starts(models):
    return {name: [0] * len(each.record_id) for name, each in models.items()}


def _write(folder, models):
    for name, each in models.items():
        write_predictions(folder / f"{name}.parquet", each)
    return [str(folder / f"{name}.parquet") for name in models]


def test_identical_models_cannot_be_told_apart():
    models = _models()
    models["B"] = models["A"]
    (pair,) = compare_predictions(models, n_resamples=200)["pairs"]
    assert verdict(pair) == "the data cannot tell A from B: 0.0000 [0.0000, 0.0000]"
    assert (pair["p"], pair["p_adjusted"], pair["better"]) == (1, 1, None)
    assert all(row["better"] is None and row["p"] == 1 for row in pair["per_class"])


def test_a_clearly_better_model_is_said_to_be_better_in_either_order():
    models = _models((2.5, 0.8))
    found = compare_predictions(models, n_resamples=300)
    (pair,) = found["pairs"]
    expected = roc_auc_score(models["A"].targets, models["A"].probabilities) - roc_auc_score(
        models["B"].targets, models["B"].probabilities
    )
    assert pair["difference"]["value"] == pytest.approx(expected, abs=1e-12)
    assert verdict(pair).startswith(f"A is better than B by {expected:.4f} [")
    (turned,) = compare_predictions(dict(reversed(models.items())), n_resamples=300)["pairs"]
    assert verdict(turned) == verdict(pair)
    assert [row["better"] for row in pair["per_class"]] == ["A", "A"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_every_pair_is_compared_and_corrected():
    found = compare_predictions(_models((2.5, 2.3, 1.0)), n_resamples=300)
    assert [(pair["a"], pair["b"]) for pair in found["pairs"]] == [("A", "B"), ("A", "C"), ("B", "C")]
    assert [pair["better"] for pair in found["pairs"]] == [None, "A", "B"]
    assert all(pair["p_adjusted"] >= pair["p"] for pair in found["pairs"])
    assert found["pairs"][1]["p_adjusted"] == pytest.approx(3 * found["pairs"][1]["p"])
    assert found["correction"] == "Holm: over 3 macro and over 6 class-wise comparisons"
    assert (found["n_records"], found["n_patients"], found["interval"]["n_units"]) == (240, 120, 120)


def _share_of_false_findings(n_studies, **how):
    better = 0
    for seed in range(n_studies):
        (pair,) = compare_predictions(_models(seed=seed, **how), n_resamples=200, seed=seed)["pairs"]
        better += pair["better"] is not None
    return better / n_studies


def test_equal_models_are_rarely_said_to_differ():
    """5 % of 200 studies, give or take two standard errors."""
    assert 0.015 <= _share_of_false_findings(200, n=160, shared=0.5) <= 0.085


@pytest.mark.slow
def test_the_false_positive_rate_is_five_percent():
    assert 0.035 <= _share_of_false_findings(2000, n=240, shared=0.5) <= 0.065


def test_only_named_classes_are_compared_and_undefined_ones_said():
    models = _models()
    found = compare_predictions(models, ["Y"], n_resamples=120)
    assert found["classes"] == ["Y"]
    assert found["models"][0]["macro_auroc"]["value"] == pytest.approx(
        roc_auc_score(models["A"].targets[:, 1], models["A"].probabilities[:, 1]), abs=1e-12
    )
    for each in models.values():
        each.targets[:, 0] = 0
    found = compare_predictions(models, n_resamples=120)
    assert (found["classes"], found["undefined"]) == (["Y"], ["X"])
    with pytest.raises(DatasetError, match="no class has both a positive and a negative"):
        compare_predictions(models, ["X"])
    with pytest.raises(DatasetError, match="no class 'Z'; classes are X, Y"):
        compare_predictions(models, ["Z"])


def test_classes_too_rare_to_resample_are_refused():
    n = 40
    y = np.eye(n)
    ids = [str(k) for k in range(n)]
    each = Predictions(tuple(ids), y, np.random.default_rng(0).random((n, n)), ids, ids, ["s"] * n, [1] * n)
    with pytest.raises(DatasetError, match="only 0 of .* resamples keep .* compare fewer classes with --class"):
        compare_predictions({"A": each, "B": each}, n_resamples=100)


def test_rows_and_classes_are_matched_whatever_their_order():
    models = _models((2.5, 0.8))
    b = models["B"]
    order = np.random.default_rng(1).permutation(len(b.record_id))
    shuffled = Predictions(
        ("Y", "X"),
        b.targets[order][:, ::-1],
        b.probabilities[order][:, ::-1],
        *([getattr(b, fact)[k] for k in order] for fact in ("record_id", "patient_id", "source", "fold")),
    )
    again = align(models | {"B": shuffled}, _starts(models))
    np.testing.assert_array_equal(again["B"].probabilities, b.probabilities)
    assert (again["B"].classes, again["B"].record_id) == (b.classes, b.record_id)
    assert compare_predictions(again, n_resamples=120) == compare_predictions(models, n_resamples=120)


def test_parts_of_a_record_are_matched_by_their_start():
    models = {name: replace(each, record_id=["r"] * 240) for name, each in _models((2.5, 0.8)).items()}
    starts = {"A": list(range(240)), "B": list(range(240))}
    np.testing.assert_array_equal(align(models, starts)["B"].probabilities, models["B"].probabilities)
    with pytest.raises(DatasetError, match="A: a record_id with the same start comes twice"):
        align(models, _starts(models))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"record_id": [f"r{k + 1}" for k in range(240)]}, r"records differ: 1 only in A \(r0\); 1 only in B \(r240\)"),
        ({"classes": ("X", "Z")}, r"classes differ: 1 only in A \(Y\); 1 only in B \(Z\)"),
        ({"targets": np.ones((240, 2))}, "records have other targets in B than in A, such as r"),
        ({"patient_id": [str(k) for k in range(240)]}, "239 records have another patient in B than in A, such as r1"),
        ({"probabilities": np.full((240, 2), np.nan)}, "B: 240 rows have a score that is NaN"),
    ],
)
def test_predictions_that_do_not_fit_are_named(change, message):
    models = _models()
    models["B"] = replace(models["B"], **change)
    with pytest.raises(DatasetError, match=message):
        align(models, _starts(models))


def test_unknown_targets_are_left_out_and_unknown_patients_stand_for_themselves():
    models = _models((2.5, 0.8), patients=False)
    y = models["A"].targets
    y[:50, 0] = np.nan
    found = compare_predictions(align(models, _starts(models)), n_resamples=120)
    assert (found["n_patients"], found["interval"]["unit"]) == (None, "record")
    area = roc_auc_score(y[50:, 0], models["A"].probabilities[50:, 0])
    other = roc_auc_score(y[50:, 0], models["B"].probabilities[50:, 0])
    assert found["pairs"][0]["per_class"][0]["difference"]["value"] == pytest.approx(area - other, abs=1e-12)


def test_run_folders_and_files_are_read(tmp_path):
    models = _models((2.5, 0.8))
    for name, each in models.items():
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name / "predictions-validation.parquet", each)
    folders = compare([tmp_path / "A", tmp_path / "B"], n_resamples=120)
    files = compare([tmp_path / f"{name}/predictions-validation.parquet" for name in "AB"], n_resamples=120)
    assert folders["pairs"][0]["difference"] == files["pairs"][0]["difference"]
    with pytest.raises(DatasetError, match=r"A: no predictions on the test split \(there are: validation\); make them"):
        compare([tmp_path / "A", tmp_path / "B"], split="test")
    with pytest.raises(DatasetError, match="C: no such run folder or predictions file"):
        compare([tmp_path / "A", tmp_path / "C"])
    with pytest.raises(DatasetError, match="named twice"):
        compare([tmp_path / "A", tmp_path / "A"])
    with pytest.raises(DatasetError, match="a comparison needs two models or more, got 1"):
        compare([tmp_path / "A"])


def _command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "einthoven.cli", "compare", *arguments], capture_output=True, text=True
    )


def test_the_command_answers_in_words_and_as_json(tmp_path):
    good, poor, same = _write(tmp_path, _models((2.5, 0.8, 2.5)))
    done = _command(good, poor, same)
    assert done.returncode == 0, done.stderr
    assert f"{good} is better than {poor} by 0." in done.stdout
    assert f"the data cannot tell {good} from {same}: " in done.stdout
    assert "1,000 paired resamples by patient (redraw until" in done.stdout
    assert "DeLong, paired, clustered by patient; Holm: over 3 macro and over 6 class-wise" in done.stdout
    found = json.loads(_command(good, poor, "--class", "Y", "--json").stdout)
    assert (found["classes"], found["pairs"][0]["better"]) == (["Y"], good)


def test_the_command_refuses_with_one_sentence(tmp_path):
    done = _command(*_write(tmp_path, _models((2.5,))))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == "error: a comparison needs two models or more, got 1"
