from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from einthoven.errors import DatasetError
from einthoven.evaluation.prediction_files import read_rows
from einthoven.evaluation.predictions import Predictions, read_predictions, write_predictions

HEAD = "record_id,y_A,y_B,p_A,p_B\n"


def _csv(folder: Path, text: str, name: str = "p.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def _arrays(folder: Path, p, y) -> tuple[Path, Path]:
    np.save(folder / "p.npy", np.asarray(p))
    np.save(folder / "y.npy", np.asarray(y))
    return folder / "p.npy", folder / "y.npy"


def test_a_table_of_the_least_is_read_and_what_it_does_not_tell_is_none(tmp_path):
    read = read_predictions(_csv(tmp_path, HEAD + "007,1,,0.5,0.25\n008,0,1,1,0\n"))
    assert (read.classes, read.record_id) == (("A", "B"), ["007", "008"])
    np.testing.assert_array_equal(read.targets, [[1, np.nan], [0, 1]])
    np.testing.assert_array_equal(read.probabilities, [[0.5, 0.25], [1, 0]])
    assert (read.patient_id, read.source, read.fold, read.groups) == ([None] * 2, [None] * 2, [None] * 2, None)


def test_who_the_records_are_and_further_facts_are_read(tmp_path):
    text = "\ufeffrecord_id;p_A;y_A;patient_id;fold;age;sex;source\n1;0.5;1;017;9;61.5;female;x\n2;0.25;0;;;;;\n"
    read = read_predictions(_csv(tmp_path, text))
    assert (read.patient_id, read.fold, read.source) == (["017", None], [9, None], ["x", None])
    assert read.facts == {"age": [61.5, None], "sex": ["female", None]}
    assert read.groups == ["017", "record 2"]


def test_what_is_written_is_read_back_and_anyones_parquet_too(tmp_path):
    y, p = np.array([[1.0, np.nan], [0.0, 1.0]]), np.array([[0.5, 0.25], [1, 0]])
    ours = Predictions(("A", "B"), y, p, ["r0", "r1"], ["a", None], ["s", "s"], [9, None], {"age": [50.0, None]})
    write_predictions(tmp_path / "ours.parquet", ours)
    again = read_predictions(tmp_path / "ours.parquet")
    np.testing.assert_array_equal(again.targets, y)
    np.testing.assert_array_equal(again.probabilities, p)
    assert (again.patient_id, again.fold, again.facts) == (["a", None], [9, None], {"age": [50.0, None]})
    columns = {
        "record_id": [7, 8],
        "y_A": [True, None],
        "p_A": np.array([0.5, 0.25], np.float16),
        "patient_id": [1.0, np.nan],
    }
    pq.write_table(pa.table(columns), tmp_path / "theirs.parquet")
    theirs = read_predictions(tmp_path / "theirs.parquet")
    assert (theirs.record_id, theirs.patient_id) == (["7", "8"], ["1.0", None])
    np.testing.assert_array_equal(theirs.targets, [[1], [np.nan]])


def test_windows_are_joined_by_mean_or_max_in_the_order_of_the_records(tmp_path):
    text = "record_id,start,y_A,p_A,patient_id\nb,0,1,0.2,x\na,0,,0.5,\nb,500,1,0.6,x\n"
    path = _csv(tmp_path, text)
    joined = read_predictions(path, how="mean")
    assert (joined.record_id, joined.patient_id) == (["b", "a"], ["x", None])
    np.testing.assert_allclose(joined.probabilities, [[0.4], [0.5]])
    np.testing.assert_array_equal(joined.targets, [[1], [np.nan]])
    np.testing.assert_allclose(read_predictions(path, how="max").probabilities, [[0.6], [0.5]])
    assert read_predictions(path).record_id == ["b", "a", "b"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("b,0,1,0.2,x\nb,500,0,0.6,x\n", "windows of record b have different targets.*--aggregate none"),
        ("b,0,,0.2,x\nb,500,0,0.6,x\n", "windows of record b have different targets"),
        ("b,0,1,0.2,x\nb,500,1,0.6,y\n", "windows of record b have different patients"),
        ("b,0,1,0.2,x\nb,0,1,0.6,x\n", r"record b comes twice \(start 0\); windows of a record need a column start"),
    ],
)
def test_windows_that_are_not_one_record_are_named(tmp_path, rows, message):
    path = _csv(tmp_path, "record_id,start,y_A,p_A,patient_id\n" + rows)
    with pytest.raises(DatasetError, match=message):
        read_rows(path, how="mean")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        (HEAD, "the file is empty: no records"),
        (HEAD + "r0,1,0,0.5,0.5\nr1,1,0,0.5,1.5\n", "record r1, class B: is 1.5, no probability; scores must lie"),
        (HEAD + "r0,1,0,-0.5,-1\n", r"record r0, class A: is -0.5, no probability.*\(2 such in all\)"),
        (HEAD + "r0,1,0,0.5,nan\n", "record r0, class B: has no score"),
        (HEAD + "r0,1,0,0.5,\n", "record r0, class B: has no score"),
        (HEAD + "r0,1,2,0.5,0.5\n", "record r0, class B: has the target 2; targets are 0, 1 or empty"),
        (HEAD + "r0,1,0,0.5,0.5\nr0,1,0,0.5,0.5\n", "record r0 comes twice"),
        (HEAD + "r0,1,0,0.5,high\n", "cannot be read as predictions: .*high"),
        (HEAD + "r0,1,0,0.5\n", "cannot be read as predictions"),
        (HEAD + ",1,0,0.5,0.5\n", "row 1 has no record_id"),
        ("record_id,y_A\nr0,1\n", "no column p_<class>; these are not predictions"),
        ("record,y_A,p_A\nr0,1,0.5\n", "no column record_id; these are not predictions"),
        ("record_id,p_A\nr0,0.5\n", "no column y_A; name the table of targets"),
        (
            "record_id,y_A,y_B,p_A,p_C\nr0,1,1,0.5,0.5\n",
            r"predictions and targets of different records or classes \(1 classes without targets: C; 1 classes without predictions: B\)",
        ),
        ("record_id,y_A,p_A,p_A\nr0,1,0.5,0.5\n", "column p_A comes twice"),
        ("record_id,y_A,p_A,fold\nr0,1,0.5,nine\n", "fold must be a whole number, got 'nine'"),
        ("record_id,y_A,p_A,start\nr0,1,0.5,1.5\n", "start must be a whole number, got 1.5"),
    ],
)
def test_each_fault_of_a_table_is_named(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        read_rows(_csv(tmp_path, text))


def test_a_file_that_is_no_table_or_holds_text_is_named(tmp_path):
    (tmp_path / "p.parquet").write_bytes(b"PAR1 but not really")
    for path in (tmp_path / "p.parquet", tmp_path / "absent.csv"):
        with pytest.raises(DatasetError, match="cannot be read as predictions"):
            read_rows(path)
    (tmp_path / "latin.csv").write_bytes(b"record_id,y_A,p_A,na\xefve\nr0,1,0.5,x\n")
    with pytest.raises(DatasetError, match="cannot be read as predictions"):
        read_rows(tmp_path / "latin.csv")
    pq.write_table(pa.table({"record_id": ["r"], "y_A": [1], "p_A": ["high"]}), tmp_path / "t.parquet")
    with pytest.raises(DatasetError, match="column p_A holds string, not numbers"):
        read_rows(tmp_path / "t.parquet")


def test_targets_of_a_second_table_are_joined_by_record(tmp_path):
    path = _csv(tmp_path, "record_id,start,p_A,p_B,age\nr1,0,0.2,0.4,50\nr0,0,0.5,0.5,60\nr1,9,0.4,0.6,50\n")
    truth = _csv(tmp_path, "record_id,y_B,y_A,patient_id,sex,age\nr0,0,1,x,male,1\nr1,1,,y,female,2\n", "y.csv")
    read = read_predictions(path, truth, how="mean")
    assert (read.record_id, read.patient_id) == (["r1", "r0"], ["y", "x"])
    assert read.facts == {"age": [50, 60], "sex": ["female", "male"]}
    np.testing.assert_array_equal(read.targets, [[np.nan, 1], [1, 0]])
    np.testing.assert_allclose(read.probabilities, [[0.3, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (
            "record_id,y_A\nr0,1\nr9,1\n",
            "different records or classes .1 records without targets: r1; 1 records without predictions: r9",
        ),
        (
            "record_id,y_Z\nr0,1\nr1,1\n",
            "different records or classes .1 classes without targets: A; 1 classes without predictions: Z",
        ),
        ("record_id,y_A\nr0,1\nr1,1\nr1,1\n", "record r1 comes twice; targets are one row per record"),
        ("record_id,A\nr0,1\nr1,1\n", "no column y_<class>; these are not targets"),
        ("id,y_A\nr0,1\nr1,1\n", "no column record_id; these are not targets"),
    ],
)
def test_targets_that_do_not_fit_are_named(tmp_path, truth, message):
    path = _csv(tmp_path, "record_id,p_A\nr0,0.5\nr1,0.25\n")
    with pytest.raises(DatasetError, match=message):
        read_rows(path, _csv(tmp_path, truth, "y.csv"))


def test_targets_given_twice_and_classes_of_a_table_are_refused(tmp_path):
    path = _csv(tmp_path, HEAD + "r0,1,0,0.5,0.5\n")
    with pytest.raises(DatasetError, match=r"holds targets itself \(y_A, ...\); leave out"):
        read_rows(path, path)
    with pytest.raises(DatasetError, match="names are given for .npy files only"):
        read_rows(path, classes=["A", "B"])


def test_arrays_are_read_with_and_without_names(tmp_path):
    p, y = _arrays(tmp_path, [[0.5, 0.25], [1, 0]], [[1, np.nan], [0, 1]])
    read = read_predictions(p, y)
    assert (read.classes, read.record_id, read.groups) == (("C0", "C1"), ["0", "1"], None)
    np.testing.assert_array_equal(read.targets, [[1, np.nan], [0, 1]])
    assert read_predictions(p, y, ["A", "B"]).classes == ("A", "B")
    p, y = _arrays(tmp_path, np.array([0.5, 0.25], np.float32), np.array([True, False]))
    np.testing.assert_array_equal(read_predictions(p, y).targets, [[1], [0]])


@pytest.mark.parametrize(
    ("p", "y", "classes", "message"),
    [
        ([[0.5, 0.5]], [[1]], None, r"different records or classes \(scores of 1 records and 2 classes, targets of 1"),
        ([[0.5, 0.5]], [[1, 0]], ["A"], "2 columns need as many different classes, got A"),
        ([[0.5, 0.5]], [[1, 0]], ["A", "A"], "2 columns need as many different classes, got A, A"),
        ([[0.5, 2]], [[1, 0]], ["A", "B"], "record 0, class B: is 2, no probability"),
        ([[0.5, np.nan]], [[1, 0]], None, "record 0, class C1: has no score"),
        ([["a"]], [["b"]], None, "an array of numbers of shape"),
        (np.zeros((1, 2, 3)), [[1]], None, "an array of numbers of shape"),
        (np.zeros((0, 2)), np.zeros((0, 2)), None, "the file is empty"),
        (np.array([None]), [[1]], None, "cannot be read as an array of numbers"),
    ],
)
def test_each_fault_of_arrays_is_named(tmp_path, p, y, classes, message):
    with pytest.raises(DatasetError, match=message):
        read_rows(*_arrays(tmp_path, p, y), classes)


def test_arrays_without_targets_and_broken_ones_are_named(tmp_path):
    p, _ = _arrays(tmp_path, [[0.5]], [[1]])
    with pytest.raises(DatasetError, match="an array holds no targets; name those of the same records"):
        read_rows(p)
    (tmp_path / "y.npy").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match=r"y.npy: cannot be read as an array"):
        read_rows(p, tmp_path / "y.npy")
