"""Do the figures of a dataset equal what is counted by hand in a table of eight records?"""

import json
from pathlib import Path

import numpy as np
import pytest

from einthoven.dataset import MISSING, Dataset, RecordTable, Shard
from einthoven.describe import dataset_contents, label_statistics, signal_statistics
from einthoven.describe.label_statistics import age_figures
from einthoven.errors import DatasetError
from einthoven.labels import Statement, make_task
from einthoven.spec import SignalSpec

NAN = float("nan")
# record, patient, source, age, sex, fold, statements; A and B are codes of class X, C is class Y
TABLE = [
    ("r0", "p0", "here", 20.0, "female", 1, {"A": 100.0}),
    ("r1", "p0", "here", 40.0, "female", 1, {"A": 0.0, "B": 35.0}),
    ("r2", "p1", "there", 60.0, "male", 2, {"A": None, "C": 80.0}),
    ("r3", "p2", "there", 80.0, "male", 2, {"C": 50.0}),
    ("r4", "p2", "there", 90.0, "male", 2, {"C": 99.0}),
    ("r5", "p3", "here", None, None, None, {}),
    ("r6", "p4", "here", 50.0, None, 1, {"C": NAN}),
    ("r7", "p5", "here", 50.0, "female", 1, {"D": 100.0}),
]
LABELS = {
    "A": Statement("first", {"both": "X"}),
    "B": Statement("second", {"both": "X"}),
    "C": Statement("third", {"both": "Y"}),
    "D": Statement("of no class"),
}
FS, N = 100.0, 500


def dataset_of(folder: Path, rows: list[tuple], signal: np.ndarray) -> Dataset:
    """A dataset folder; ``signal`` is int16 of shape (records, samples, leads)."""
    (folder / "signals").mkdir(parents=True)
    np.save(folder / "signals" / "000.npy", signal.reshape(-1, signal.shape[2]))
    length = np.full(len(rows), signal.shape[1], np.int64)
    columns = [list(column) for column in zip(*rows, strict=True)]
    table = RecordTable(*columns, np.zeros(len(rows), np.int64), np.arange(len(rows)) * signal.shape[1], length)
    return Dataset(
        path=folder,
        name="by-hand",
        spec=SignalSpec(leads=("I", "II"), fs=FS),
        step_uv=1.0,
        label_system="hand",
        label_table=LABELS,
        attribution="made by hand",
        complete_labels=False,
        shared_patients={},
        listing_sha256="0" * 64,
        before_r_s=None,
        records=table,
        shards=(Shard("000.npy", int(length.sum()), ""),),
    )


def sines(n: int) -> np.ndarray:
    wave = 1000 * np.sin(2 * np.pi * np.arange(N) / 100)
    return np.repeat(np.stack([wave, wave / 2], axis=1)[None], n, axis=0).astype(np.int16)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return dataset_of(tmp_path / "ds", TABLE, sines(len(TABLE)))


def test_records_of_each_class_are_counted_with_what_is_alone_and_what_is_unknown(dataset: Dataset) -> None:
    found = label_statistics(dataset, make_task("both", LABELS))
    x, y = found.classes
    assert (x.name, x.records, x.alone, x.unknown, x.patients) == ("X", 3, 2, 0, 2)
    assert (y.name, y.records, y.alone, y.unknown, y.patients) == ("Y", 3, 2, 1, 2)
    assert (found.n_records, found.n_unlabelled) == (8, 3)
    assert found.per_record == {0: 3, 1: 4, 2: 1}
    assert found.combinations == {"none": 3, "X": 2, "Y": 2, "X + Y": 1}
    np.testing.assert_array_equal(found.together, [[3, 1], [1, 3]])


def test_age_sex_source_fold_and_likelihood_belong_to_the_class(dataset: Dataset) -> None:
    x, y = label_statistics(dataset, make_task("both", LABELS)).classes
    assert x.sex == {"female": 2, "male": 1, "unknown": 0}
    assert (x.age["known"], x.age["mean"], x.age["quantiles"][2]) == (3, 40.0, 40.0)
    assert x.age["groups"] == [0, 0, 1, 0, 1, 0, 1, 0, 0, 0]
    assert y.age["groups"] == [0, 0, 0, 0, 0, 0, 1, 0, 1, 1]
    assert x.sources == {"here": 2, "there": 1}
    assert y.folds == {"2": 3}
    assert x.codes == {"A": 3, "B": 1}
    assert x.likelihoods == {"not stated": 2, "below 50": 1, "50 to 79": 0, "80 to 99": 0, "100": 1}
    assert y.likelihoods == {"not stated": 0, "below 50": 0, "50 to 79": 1, "80 to 99": 2, "100": 0}


def test_all_records_have_the_same_figures_and_unknown_is_counted(dataset: Dataset) -> None:
    everyone = label_statistics(dataset, make_task("both", LABELS)).everyone
    assert (everyone.records, everyone.patients) == (8, 6)
    assert everyone.sex == {"female": 3, "male": 3, "unknown": 2}
    assert (everyone.age["known"], everyone.age["unknown"]) == (7, 1)
    assert everyone.folds == {"1": 4, "2": 3, "none": 1}
    assert sum(everyone.sources.values()) == 8


def test_the_figures_agree_with_the_targets_of_the_task(dataset: Dataset) -> None:
    task = make_task("all", LABELS)
    found = label_statistics(dataset, task)
    targets = task.targets(dataset.records.statements)
    np.testing.assert_array_equal([one.records for one in found.classes], (targets == 1).sum(axis=0))
    np.testing.assert_array_equal([one.unknown for one in found.classes], np.isnan(targets).sum(axis=0))


def test_ages_and_patients_that_nobody_knows_are_none(tmp_path: Path) -> None:
    rows = [("a", None, "", None, None, None, {"A": None}), ("b", None, "", None, None, None, {})]
    dataset = dataset_of(tmp_path / "ds", rows, sines(2))
    found = label_statistics(dataset, make_task("both", LABELS))
    assert found.classes[0].patients is None
    assert found.classes[0].age["quantiles"] is None
    facts = dataset_contents(dataset, found, signal_statistics(dataset), None).facts
    assert (facts["patients"], facts["records_of_unknown_patient"]) == (None, 2)


def test_ages_of_ninety_and_more_are_one_group() -> None:
    assert age_figures(np.array([0.0, 9.9, 10.0, 89.9, 90.0, 130.0, NAN]))["groups"] == [2, 1, 0, 0, 0, 0, 0, 0, 1, 2]


def test_missing_samples_leads_and_faults_are_found(tmp_path: Path) -> None:
    signal = sines(8)
    signal[0, :, 1] = MISSING  # a lead without anything
    signal[1, :50, 0] = MISSING  # a tenth of a lead
    signal[2] = 7  # flat
    found = signal_statistics(dataset_of(tmp_path / "ds", TABLE, signal), sampled=100)
    assert (found.n_checked, found.n_gaps, found.n_clean, found.n_refused) == (8, 2, 5, 2)
    assert found.missing == {"I": 50 / 4000, "II": 500 / 4000}
    assert found.without == {"I": 0, "II": 1}
    assert found.faults == {"missing_leads": 1, "missing_samples": 1, "flat": 1}
    assert found.examples["flat"] == "r2: every lead is flat"


def test_the_draw_is_that_of_the_seed_and_what_cannot_be_checked_is_said(tmp_path: Path) -> None:
    signal = sines(8)
    signal[:4] = 7
    dataset = dataset_of(tmp_path / "ds", TABLE, signal)
    for seed in (0, 0, 1, 2):
        rows = np.random.default_rng(seed).permutation(8)[:4]
        assert signal_statistics(dataset, 4, seed=seed).faults.get("flat", 0) == (rows < 4).sum()
    short = signal_statistics(dataset_of(tmp_path / "short", TABLE, sines(8)[:, :100]), 4)
    assert short.n_checked == 0
    assert "last 1 s at most" in short.unchecked
    assert signal_statistics(dataset, 0).unchecked == "no check was asked for"


def test_everything_is_json_without_nan(dataset: Dataset) -> None:
    labels = label_statistics(dataset, make_task("both", LABELS))
    found = dataset_contents(dataset, labels, signal_statistics(dataset), None).to_dict()
    back = json.loads(json.dumps(found, allow_nan=False))
    assert back["labels"]["together"] == [[3, 1], [1, 3]]
    assert back["facts"]["hours"] == pytest.approx(8 * 5 / 3600)


def test_a_split_that_is_not_there_is_refused(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="no split 'kfold'"):
        label_statistics(dataset, make_task("both", LABELS), "kfold")
