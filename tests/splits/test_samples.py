import csv

import numpy as np
import pytest

from einthoven.dataset import MISSING
from einthoven.errors import DatasetError
from einthoven.formats import read_record
from einthoven.workflow.samples import choose_samples, write_samples
from einthoven.workflow.splitting import usual_task

AF, SR, RBBB = "164889003", "426783006", "59118001"


def signals(scale):
    rng = np.random.default_rng(0)
    return np.stack([(rng.normal(0, 100, (250, 12)) * s).round() for s in scale]).astype(np.int16)


def test_a_record_of_one_class_near_the_median_comes_first(make_dataset):
    statements = [[AF], [AF], [AF], [AF, SR], [SR]]
    dataset = make_dataset(statements, signals=signals([1, 5, 2, 2, 1]))
    chosen = [sample.row for sample in choose_samples(dataset, usual_task(dataset), 4) if sample.class_name == AF]
    assert chosen[0] == 2
    assert chosen[-1] == 3


def test_patients_differ_and_the_choice_is_repeatable(make_dataset):
    dataset = make_dataset([[AF]] * 6, signals=signals([1] * 6), patient_id=["p", "p", "p", "q", "q", None])
    first = choose_samples(dataset, usual_task(dataset), 5)
    assert len(first) == 3
    assert {dataset.records.patient_id[sample.row] for sample in first} == {"p", "q", None}
    assert first == choose_samples(dataset, usual_task(dataset), 5)


def test_incomplete_and_flat_records_are_not_shown(make_dataset):
    made = signals([1, 1, 1])
    made[0, 3:5, 2] = MISSING
    made[1, :, 7] = 4
    dataset = make_dataset([[AF]] * 3, signals=made)
    assert [sample.row for sample in choose_samples(dataset, usual_task(dataset))] == [2]


def test_only_the_folds_asked_for_are_searched(make_dataset):
    dataset = make_dataset([[AF]] * 4, signals=signals([1] * 4), fold=[1, 2, 1, 2])
    assert {s.row for s in choose_samples(dataset, usual_task(dataset), folds=[2])} == {1, 3}
    with pytest.raises(DatasetError, match=r"no record in fold 7; folds are 1, 2"):
        choose_samples(dataset, usual_task(dataset), folds=[7])


def test_what_is_written_is_read_back_exactly(make_dataset, tmp_path):
    dataset = make_dataset([[AF, RBBB], [SR]], signals=signals([1, 2]), record_id=["a/1", "b"], age=[None, 70.0])
    task = usual_task(dataset)
    index = write_samples(dataset, choose_samples(dataset, task), task, tmp_path)
    rows = list(csv.DictReader(index.open()))
    assert [(row["file"], row["class"], row["classes"]) for row in rows] == [
        (f"{AF}/a-1.csv", AF, f"{AF};{RBBB}"),
        (f"{SR}/b.csv", SR, SR),
        (f"{RBBB}/a-1.csv", RBBB, f"{AF};{RBBB}"),
    ]
    assert (rows[0]["age"], rows[1]["age"]) == ("", "70.0")
    record = read_record(tmp_path / rows[1]["file"])
    assert record.fs == 100
    assert record.leads == dataset.spec.leads
    np.testing.assert_allclose(record.signal, dataset.signal(1), atol=1e-6)
