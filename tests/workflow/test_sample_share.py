"""``data.sample_frac``: a share of the training patients, nested, and only of those."""

from dataclasses import replace

import numpy as np
import pytest

from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError
from einthoven.training.recipe import parse_recipe
from einthoven.workflow.selection import _share, select_for
from einthoven.workflow.train import check_trainable


def recipe_of(dataset_folder, share, seed=0, **data):
    more = "".join(f", {key}: {value}" for key, value in data.items())
    return parse_recipe(f"name: x\nseed: {seed}\ndata: {{dataset: {dataset_folder}, sample_frac: {share}{more}}}\n")


def test_smaller_shares_are_within_larger_ones_and_hold_whole_patients(dataset_folder):
    dataset = open_dataset(dataset_folder)
    whole = select_for(recipe_of(dataset_folder, 1), dataset)
    patients = [dataset.records.patient_id[row] for row in whole.rows["train"]]
    larger = set(whole.rows["train"].tolist())
    for share in (0.75, 0.5, 0.1):
        selected = select_for(recipe_of(dataset_folder, share), dataset)
        rows = set(selected.rows["train"].tolist())
        assert rows < larger
        assert selected.n_patients("train") == round(share * len(set(patients)))
        drawn = {dataset.records.patient_id[row] for row in rows}
        assert rows == {row for row in whole.rows["train"].tolist() if dataset.records.patient_id[row] in drawn}
        for part in ("validation", "test"):
            np.testing.assert_array_equal(selected.rows[part], whole.rows[part])
        larger = rows


def test_the_seed_draws(dataset_folder):
    dataset = open_dataset(dataset_folder)
    rows = [select_for(recipe_of(dataset_folder, 0.5, seed), dataset).rows["train"].tolist() for seed in (0, 0, 1)]
    assert rows[0] == rows[1] != rows[2]


def test_records_of_unknown_patients_are_drawn_one_by_one():
    rows = np.arange(10, dtype=np.int64)
    assert len(_share(rows, [None] * 10, 0.5, 0)) == 5
    assert len(_share(rows, ["a"] * 10, 0.01, 0)) == 10  # one patient is the least there is
    mixed = _share(rows, ["a"] * 5 + [None] * 5, 0.5, 3)
    assert len(mixed) in (3, 7)


def test_classes_that_vanish_are_named(dataset_folder):
    dataset, recipe = open_dataset(dataset_folder), recipe_of(dataset_folder, 0.02)
    with pytest.raises(
        DatasetError, match=r"no training record of class HYP.*; choose a share above data.sample_frac 0.02"
    ):
        check_trainable(select_for(recipe, dataset), recipe)


def test_a_dataset_without_folds_is_told_how_to_make_some(dataset_folder):
    recipe = recipe_of(dataset_folder, 1)
    selected = select_for(recipe, open_dataset(dataset_folder))
    records = replace(selected.dataset.records, fold=[None] * len(selected.dataset))
    without = replace(
        selected, dataset=replace(selected.dataset, records=records), rows={"train": [], "validation": []}
    )
    with pytest.raises(DatasetError, match=r"no folds of its own: make some with  einthoven split .* --method kfold"):
        check_trainable(without, recipe)
