"""Subgroups against scikit-learn and a plain bootstrap, and what is said where nothing can be said."""

import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import recall_score, roc_auc_score

from einthoven.dataset import open_dataset
from einthoven.decisions import Calibration, Decisions
from einthoven.errors import DatasetError
from einthoven.evaluation.predictions import Predictions
from einthoven.evaluation.subgroups import age_band, judge_subgroups, quality_of


def _data(n=600, seed=0, gap=0.0, groups=("a", "b", "c"), per_patient=2):
    """Two classes; scores of the last group are less telling by ``gap``."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 2)) < (0.4, 0.25)).astype(float)
    group = np.array(groups)[rng.integers(0, len(groups), n)]
    strength = np.where(group == groups[-1], 2 - gap, 2)[:, None]
    p = 1 / (1 + np.exp(-rng.normal(strength * (y - 0.5), 1)))
    patients = [f"p{k // per_patient}" for k in range(n)]
    facts = {"device": group.tolist()}
    return Predictions(("A", "B"), y, p, [f"r{k}" for k in range(n)], patients, ["s"] * n, [9] * n, facts)


def _steps(classes=("A", "B"), thresholds=(0.5, 0.5), kind="multilabel"):
    nothing = (None,) * len(classes)
    return Decisions(classes, kind, Calibration("none", nothing), "f1", tuple(thresholds), None, {})


def _judge(data, steps=None, **options):
    steps = steps or _steps()
    return judge_subgroups(data, steps.decide(data.probabilities), steps, **{"n_resamples": 200, **options})


def _groups(column):
    return {row["group"]: row for row in column["groups"]}


def test_figures_of_a_group_are_those_of_its_records_alone():
    data = _data()
    (column,) = _judge(data, columns=["device"])
    assert json.loads(json.dumps(column, allow_nan=False)) == column
    for name, row in _groups(column).items():
        own = np.array(data.facts["device"]) == name
        y, p = data.targets[own], data.probabilities[own]
        assert row["n_records"] == own.sum()
        assert row["n_patients"] == len({data.patient_id[k] for k in np.flatnonzero(own)})
        assert row["n_classes"] == 2
        assert row["macro"]["auroc"]["value"] == pytest.approx(roc_auc_score(y, p), abs=1e-12)
        for k, figures in enumerate(row["per_class"]):
            said = p[:, k] >= 0.5
            assert (figures["positives"], figures["negatives"]) == ((y[:, k] == 1).sum(), (y[:, k] == 0).sum())
            assert figures["auroc"]["value"] == pytest.approx(roc_auc_score(y[:, k], p[:, k]), abs=1e-12)
            assert figures["sensitivity"]["value"] == pytest.approx(recall_score(y[:, k], said))
            assert figures["specificity"]["value"] == pytest.approx(recall_score(y[:, k], said, pos_label=0))
            assert figures["auroc"]["low"] < figures["auroc"]["value"] < figures["auroc"]["high"]
        others = roc_auc_score(data.targets[~own], data.probabilities[~own])
        assert row["difference"]["value"] == pytest.approx(roc_auc_score(y, p) - others, abs=1e-12)
        assert row["n_classes_compared"] == 2


def test_intervals_are_those_of_a_plain_bootstrap_by_patient():
    data = _data(gap=1.0)
    (column,) = _judge(data, columns=["device"], n_resamples=1000)
    row = _groups(column)["c"]
    own = np.array(data.facts["device"]) == "c"
    patient = np.array(data.patient_id)
    members = [np.flatnonzero(patient == each) for each in np.unique(patient)]
    rng = np.random.default_rng(5)
    draws = []
    for _ in range(200):
        rows = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        inside, outside = rows[own[rows]], rows[~own[rows]]
        y, p = data.targets, data.probabilities
        said = p[inside, 0] >= 0.5
        draws.append(
            (
                roc_auc_score(y[inside], p[inside]),
                roc_auc_score(y[inside], p[inside]) - roc_auc_score(y[outside], p[outside]),
                said[y[inside, 0] == 1].mean(),
            )
        )
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    found = (row["macro"]["auroc"], row["difference"], row["per_class"][0]["sensitivity"])
    np.testing.assert_allclose([f["low"] for f in found], low, atol=0.015)
    np.testing.assert_allclose([f["high"] for f in found], high, atol=0.015)


def test_a_gap_that_is_there_is_found_and_one_that_is_not_is_not():
    (column,) = _judge(_data(2000, gap=1.5), columns=["device"])
    rows = _groups(column)
    assert rows["c"]["apart"]
    assert rows["c"]["difference"]["high"] < 0
    assert column["gap"]["lowest"] == "c"
    values = column["gap"]["macro_auroc"]
    assert column["gap"]["value"] == pytest.approx(max(values.values()) - min(values.values()))
    assert column["gap"]["value"] == pytest.approx(values[column["gap"]["highest"]] - values["c"])
    assert column["gap_classes"] == ["A", "B"]
    assert "how common" in column["caution"]
    (column,) = _judge(_data(2000, gap=0), columns=["device"])
    assert not any(row["apart"] for row in column["groups"])


def test_p_values_are_corrected_over_all_columns_and_two_halves_are_one_test():
    data = _data(gap=0.8)
    halves = ["x" if k % 4 < 2 else "y" for k in range(600)]
    data = dataclasses.replace(data, facts={**data.facts, "half": halves})
    device, half = _judge(data, columns=["device", "half"])
    assert device["correction"] == half["correction"] == "Holm, over 4 comparisons"
    x, y = half["groups"]
    assert x["p"] == y["p"]
    assert x["p_adjusted"] == y["p_adjusted"]
    assert x["difference"]["value"] == -y["difference"]["value"]
    p = sorted([row["p"] for row in device["groups"]] + [x["p"]])
    lowest = min([row["p_adjusted"] for row in device["groups"]] + [x["p_adjusted"]])
    assert lowest == pytest.approx(min(1, 4 * p[0]))


def test_the_same_seed_gives_the_same_figures_and_no_resamples_give_no_intervals():
    data = _data()
    assert _judge(data, columns=["device"], seed=3) == _judge(data, columns=["device"], seed=3)
    assert _judge(data, columns=["device"], seed=3) != _judge(data, columns=["device"], seed=4)
    (column,) = _judge(data, columns=["device"], n_resamples=0)
    row = column["groups"][0]
    assert row["macro"]["auroc"]["low"] is None
    assert row["difference"]["low"] is None
    assert row["p"] is None
    assert row["apart"] is None
    assert column["interval"]["n_resamples"] == 0


def test_unknown_targets_are_left_out():
    data = _data()
    y = data.targets.copy()
    y[np.random.default_rng(1).random(y.shape) < 0.2] = np.nan
    (column,) = _judge(dataclasses.replace(data, targets=y), columns=["device"])
    own = np.array(data.facts["device"]) == "a"
    known = own & ~np.isnan(y[:, 1])
    row = _groups(column)["a"]["per_class"][1]
    assert row["positives"] + row["negatives"] == known.sum()
    assert row["auroc"]["value"] == pytest.approx(roc_auc_score(y[known, 1], data.probabilities[known, 1]), abs=1e-12)


def test_unknown_sex_and_age_are_groups_of_their_own_and_come_last():
    data, rng = _data(900), np.random.default_rng(2)
    age = [None if k % 9 == 0 else float(a) for k, a in enumerate(rng.integers(18, 91, 900))]
    sex = [(None, "female", "male", "female")[k % 4] for k in range(900)]
    sex_column, age_column = _judge(dataclasses.replace(data, facts={"age": age, "sex": sex}))
    assert [row["group"] for row in sex_column["groups"]] == ["female", "male", "unknown"]
    bands = [row["group"] for row in age_column["groups"]]
    assert bands == ["under 40", "40 to 59", "60 to 74", "75 and over", "unknown"]
    assert _groups(age_column)["unknown"]["n_records"] == 100
    assert _groups(sex_column)["unknown"]["judged"]


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, "under 40"),
        (39.9, "under 40"),
        (40, "40 to 59"),
        (60, "60 to 74"),
        (75, "75 and over"),
        (90, "75 and over"),
        (None, "unknown"),
        (float("nan"), "unknown"),
    ],
)
def test_ages_fall_into_bands(age, band):
    assert age_band(age) == band


def test_groups_that_are_too_small_are_named_and_not_judged():
    data = _data()
    device = ["tiny" if k < 20 else "one patient" if k < 80 else "rest" for k in range(600)]
    patients = ["p0" if each == "one patient" else p for each, p in zip(device, data.patient_id, strict=True)]
    data = dataclasses.replace(data, facts={"device": device}, patient_id=patients)
    (column,) = _judge(data, columns=["device"])
    rows = _groups(column)
    assert rows["tiny"]["reason"] == "fewer than 30 records"
    assert rows["one patient"]["reason"] == "no class has 10 positives and 10 negatives of 5 patients each"
    assert (rows["one patient"]["n_records"], rows["one patient"]["n_patients"]) == (60, 1)
    for name in ("tiny", "one patient"):
        assert not rows[name]["judged"]
        assert rows[name]["macro"]["auroc"] is None
        assert rows[name]["difference"] is None
        assert rows[name]["per_class"][0]["positives"] > 0
        assert rows[name]["per_class"][0]["auroc"] is None
    assert rows["rest"]["judged"]
    assert rows["rest"]["difference"] is None
    assert column["gap"] is None
    assert column["correction"] == "Holm, over 0 comparisons"


def test_a_class_that_is_rare_in_a_group_is_judged_in_the_others_only():
    data = _data()
    y = data.targets.copy()
    y[np.array(data.facts["device"]) == "c", 1] = 0
    (column,) = _judge(dataclasses.replace(data, targets=y), columns=["device"])
    rows = _groups(column)
    assert (rows["c"]["n_classes"], rows["a"]["n_classes"]) == (1, 2)
    assert rows["c"]["per_class"][1]["auroc"] is None
    assert rows["a"]["n_classes_compared"] == 2
    assert rows["c"]["n_classes_compared"] == 1
    assert column["gap_classes"] == ["A"]


def test_records_stand_for_themselves_where_patients_are_unknown():
    data = dataclasses.replace(_data(), patient_id=[None] * 600)
    (column,) = _judge(data, columns=["device"])
    assert column["interval"]["unit"] == "record"
    assert column["interval"]["n_units"] == 600
    assert column["groups"][0]["n_patients"] is None
    assert column["groups"][0]["judged"]


def test_a_class_without_a_threshold_has_no_sensitivity():
    data = _data()
    (column,) = _judge(data, _steps(thresholds=(0.5, None)), columns=["device"])
    for row in column["groups"]:
        first, second = row["per_class"]
        assert second["auroc"]
        assert second["sensitivity"] is None
        assert second["specificity"] is None
        assert row["macro"]["sensitivity"] == first["sensitivity"]
    multiclass = _steps(thresholds=(None, None), kind="multiclass")
    (column,) = _judge(data, multiclass, columns=["device"])
    assert column["groups"][0]["per_class"][1]["sensitivity"]["value"] > 0.5


def test_columns_of_one_group_are_left_out_unless_they_are_named():
    assert _judge(_data()) == []  # one source, and facts that are not among the usual
    (column,) = _judge(_data(), columns=["source"])
    assert [row["group"] for row in column["groups"]] == ["s"]
    assert column["gap"] is None


def test_columns_that_cannot_be_groups_are_refused():
    data = _data()
    with pytest.raises(
        DatasetError, match=r"no column 'devise' \(did you mean 'device'\?\); groups can be made by source, device"
    ):
        _judge(data, columns=["devise"])
    data = dataclasses.replace(data, facts={"height": list(range(600))})
    with pytest.raises(DatasetError, match="column 'height' has 600 different values; at most 30 groups"):
        _judge(data, columns=["height"])


def test_quality_is_what_check_signal_says(dataset_folder, tmp_path):
    import shutil

    folder = tmp_path / "dataset"
    shutil.copytree(dataset_folder, folder)
    dataset = open_dataset(folder)
    rows = np.array([5, 2, 7])
    assert quality_of(dataset, rows) == ["clean"] * 3
    shard = np.load(folder / "signals" / dataset.shards[0].file, mmap_mode="r+")
    first = dataset.records.offset[2]
    shard[first : first + dataset.records.length[2], 3] = 0  # a lead that was not attached
    shard.flush()
    assert quality_of(dataset, rows) == ["clean", "flagged", "clean"]
