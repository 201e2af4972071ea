"""Records that look alike to a model: itself first, one of each patient, from the folds that were asked for."""

import numpy as np
import pytest

from einthoven.bundle import load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError
from einthoven.explorer.show_similar import labels_of, rows_to_search
from einthoven.workflow.similar import build_index, embed

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("ptbxl-superdiagnostic", threads=1)


@pytest.fixture(scope="module")
def dataset(dataset_folder):
    return open_dataset(dataset_folder)


@pytest.fixture(scope="module")
def index(bundle, dataset):
    seen = []
    found = build_index(bundle, dataset, range(120), lambda done, whole: seen.append((done, whole)))
    assert seen[-1] == (120, 120)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    return found


def test_a_record_of_the_dataset_finds_itself_first(index, bundle, dataset):
    for row in (0, 57):
        record = dataset.record(row)
        found = index.nearest(embed(bundle, record), 3)
        assert found[0].row == row
        assert found[0].cosine == pytest.approx(1, abs=1e-5)
        assert [each.cosine for each in found] == sorted((each.cosine for each in found), reverse=True)


def test_each_neighbour_is_of_another_patient(index, bundle, dataset):
    patients = [dataset.records.patient_id[each.row] for each in index.nearest(embed(bundle, dataset.record(5)), 20)]
    assert len(patients) == 20 == len(set(patients))


def test_a_batch_of_records_gives_the_embeddings_of_each_alone(index, bundle, dataset):
    alone = embed(bundle, dataset.record(33))
    assert np.allclose(alone / np.linalg.norm(alone), index.vectors[33], atol=1e-5)


def test_what_is_alike_shares_its_labels_more_often_than_chance(index, bundle, dataset):
    """The embedding says something: nearest records share the class NORM far more often than any two do."""
    normal = np.array(["NORM" in dataset.records.statements[row] for row in range(120)])
    same = []
    for row in range(0, 120, 3):
        found = index.nearest(index.vectors[row], 2)[1]
        same.append(normal[found.row] == normal[row])
    chance = normal.mean() ** 2 + (1 - normal.mean()) ** 2
    assert np.mean(same) > chance + 0.15


def test_rows_come_from_the_training_folds_and_the_draw_is_always_the_same(bundle, dataset):
    folds = bundle.about["provenance"]["folds"]
    rows = rows_to_search(dataset, folds, True, None)
    assert {dataset.records.fold[row] for row in rows} <= set(folds["train"])
    assert 0 < len(rows) < len(dataset)
    assert len(rows_to_search(dataset, folds, False, None)) == len(dataset)
    drawn = rows_to_search(dataset, folds, False, 50)
    assert len(drawn) == 50
    assert np.array_equal(drawn, rows_to_search(dataset, folds, False, 50))


def test_a_dataset_in_another_form_and_an_empty_choice_are_refused(bundle, dataset):
    from dataclasses import replace

    with pytest.raises(DatasetError, match="no record to compare with"):
        build_index(bundle, dataset, [])
    with pytest.raises(DatasetError, match="prepare it in that form"):
        build_index(bundle, replace(dataset, spec=replace(dataset.spec, fs=500.0)), [0])


def test_labels_are_told_in_words_and_unknown_ones_are_not(dataset):
    from dataclasses import replace

    records = replace(dataset.records, statements=[{"NORM": 100.0, "SR": float("nan"), "ZZZ": None}, {}])
    some = replace(dataset, records=records)
    assert labels_of(some, 0) == "normal ECG, ZZZ"
    assert labels_of(some, 1) == "none"
