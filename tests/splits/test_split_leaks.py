import numpy as np
import pytest

from einthoven.errors import DatasetError
from einthoven.splits import check_no_leak, rows_of_folds


def test_rows_follow_their_folds():
    assert rows_of_folds([1, 2, None, 1], [1]).tolist() == [0, 3]
    assert rows_of_folds([1, 2], []).tolist() == []


def test_a_patient_in_two_splits_is_named():
    splits = {"train": np.array([0, 1]), "validation": np.array([2])}
    with pytest.raises(DatasetError, match="patient b is in both train and validation"):
        check_no_leak(["a", "b", "b"], splits)
    assert check_no_leak(["a", "b", None], splits) == 1


def test_overlapping_folds_are_refused():
    with pytest.raises(DatasetError, match="share records"):
        check_no_leak(["a", "b"], {"train": np.array([0]), "test": np.array([0])})
