import pytest

from einthoven.errors import DatasetError
from einthoven.splits import Roles, SplitAbout, read_about, read_split, write_about, write_split

ABOUT = SplitAbout(
    method="kfold",
    seed=1,
    arguments={"folds": 2},
    grouping="patients",
    fold_names={1: "fold 1", 2: "fold 2"},
    roles=(Roles("all", (1,), (2,)),),
    counts=({"fold": 1, "records": 2},),
    shared_patients={"p": "published so"},
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "splits" / "mine.csv"
    write_split(path, ["a", "b", "c"], [1, None, 2])
    return path


def test_a_split_is_read_back(path):
    assert path.read_text().splitlines() == ["record_id,fold", "a,1", "c,2"]
    assert read_split(path, ["c", "b", "a"]) == [2, None, 1]


def test_its_companion_is_read_back(path):
    assert read_about(path) is None
    write_about(path, ABOUT)
    assert read_about(path) == ABOUT


def test_a_companion_does_not_speak_for_altered_folds(path):
    write_about(path, ABOUT)
    write_split(path, ["a", "b"], [1, 2])
    with pytest.raises(DatasetError, match=r"was altered after mine\.json was written"):
        read_about(path)


def test_a_damaged_companion_is_refused(path):
    companion = path.with_suffix(".json")
    companion.write_text("{}")
    with pytest.raises(DatasetError, match=r"mine\.json: not the companion of a split: 'csv_sha256'"):
        read_about(path)
    write_about(path, ABOUT)
    companion.write_text(companion.read_text().replace('"seed"', '"sead"'))
    with pytest.raises(DatasetError, match="not the companion of a split"):
        read_about(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("record_id,fold\na,1\na,2\n", "line 3: record a occurs twice"),
        ("record_id,fold\na,one\n", "a whole number"),
        ("name,fold\na,1\n", "needs the columns record_id and fold"),
        ("record_id,fold\nz,1\n", "names 1 records that are not there, for example z"),
    ],
)
def test_damaged_splits_are_refused(path, text, message):
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_split(path, ["a", "b", "c"])
