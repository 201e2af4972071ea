import csv

import numpy as np
import pytest

from einthoven.errors import DatasetError
from einthoven.splits.tables import match_tables, read_names, record_stem, write_table


def table(path, *names):
    path.write_text("path,age,gender,fs,164889003\n" + "".join(f"{name},50,Male,500,1\n" for name in names))
    return path


@pytest.mark.parametrize(
    "name", ["HR00001", "data/ptb/HR00001.mat", r"C:\ecg\HR00001.h5", "HR00001_preprocessed.mat", "./HR00001.hea"]
)
def test_a_record_is_known_by_its_name_without_folder_and_ending(name):
    assert record_stem(name) == "HR00001"


def test_tables_become_folds_and_what_does_not_match_is_named(tmp_path):
    train = table(tmp_path / "train.csv", "/x/a.mat", "/x/b_preprocessed.mat", "/x/z.mat")
    test = table(tmp_path / "test.csv", "c.mat")
    found = match_tables([train, test], ["g1/a", "g1/b", "g1/c", "g1/d"])
    assert found.fold == [1, 1, 2, None]
    assert found.unmatched == ("z",)
    assert found.n_left_out == 1


def test_contradicting_tables_are_refused(tmp_path):
    train, test = table(tmp_path / "train.csv", "a.mat"), table(tmp_path / "test.csv", "other/a.mat")
    with pytest.raises(DatasetError, match=r"test\.csv: record a is in train\.csv too"):
        match_tables([train, test], ["a"])
    with pytest.raises(DatasetError, match=r"two records are called a: g1/a, g2/a"):
        match_tables([train], ["g1/a", "g2/a"])
    with pytest.raises(DatasetError, match=r"none of its records is in the dataset, whose names are like 'q'"):
        match_tables([train], ["q"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"file,age\na,1\n", "a split table has the column path; it has file, age"),
        (b"path,age\n", "a header and at least one row"),
        (b"path\na.mat\nb.mat\nx/a.mat\n", "record a occurs twice"),
        (b"path\n\xff\xfe\xff\n", "is not UTF-8 text; save it as 'CSV UTF-8'"),
    ],
)
def test_damaged_tables_are_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(DatasetError, match=message):
        read_names(tmp_path / "t.csv")


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv: cannot be read"):
        read_names(tmp_path / "none.csv")


def test_a_written_table_has_the_earlier_columns(tmp_path):
    path = tmp_path / "train.csv"
    labels = np.array([[1, 0], [np.nan, 1]])
    write_table(path, ["a.mat", "b.mat"], [61.5, None], ["female", None], ["1", "2"], labels)
    rows = list(csv.reader(path.open()))
    assert rows == [
        ["path", "age", "gender", "1", "2"],
        ["a.mat", "61.5", "Female", "1", "0"],
        ["b.mat", "-1", "Unknown", "", "1"],
    ]
    assert read_names(path) == ["a", "b"]
