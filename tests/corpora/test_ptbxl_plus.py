"""PTB-XL+ joined to PTB-XL, and PTB-XL at 500 Hz: from the specification, no file of either was at hand.

The tables are written as published: ``features/{12sl,ecgdeli,unig}_features.csv``; that of 12SL has ``ecg_id`` in its
middle and its rows in no order, that of the Glasgow program lacks a few records.
"""

import numpy as np
import pytest

from einthoven.corpora import open_corpus
from einthoven.corpora.synthetic import write_synthetic_corpus
from einthoven.errors import DatasetError
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec

N = 12


@pytest.fixture(scope="module")
def ptbxl(tmp_path_factory):
    """Twelve synthetic records at both published rates."""
    return write_synthetic_corpus(tmp_path_factory.mktemp("plus") / "ptb-xl", N, seed=3, fs=(100, 500))


@pytest.fixture
def plus(ptbxl, tmp_path):
    ids = [int(entry.record_id) for entry in open_corpus("ptb-xl", ptbxl).entries]
    tables = {
        "12sl": [
            "QRS_Dur_Global,ecg_id,HR__Global",
            *(f"{80 + k},{k},{60 + k / 4}" for k in reversed(ids)),
            "1,9999,1",
        ],
        "ecgdeli": ["ecg_id,P_Dur_I,Empty,Constant", *(f"{k},{k / 1000},,7" for k in ids)],
        "unig": ["ecg_id,R_Amp_V1", *(f"{k},{-k}" for k in ids[1:])],
    }
    (tmp_path / "features").mkdir()
    for name, lines in tables.items():
        write_table(tmp_path, name, *lines)
    return tmp_path


def write_table(folder, name, *lines):
    (folder / "features" / f"{name}_features.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")


def column(corpus, name):
    return corpus.features.values[:, corpus.features.names.index(name)]


def test_features_are_joined_by_ecg_id_under_the_name_of_their_program(ptbxl, plus):
    corpus = open_corpus("ptb-xl", ptbxl, features=str(plus))
    assert corpus.features.names == (
        "12sl:QRS_Dur_Global",
        "12sl:HR__Global",
        "ecgdeli:P_Dur_I",
        "ecgdeli:Empty",
        "ecgdeli:Constant",
        "unig:R_Amp_V1",
    )
    ids = np.array([int(entry.record_id) for entry in corpus.entries], np.float32)
    assert corpus.features.values.dtype == np.float32
    np.testing.assert_array_equal(column(corpus, "12sl:QRS_Dur_Global"), 80 + ids)
    np.testing.assert_array_equal(column(corpus, "12sl:HR__Global"), 60 + ids / 4)
    np.testing.assert_allclose(column(corpus, "ecgdeli:P_Dur_I"), ids / 1000, rtol=1e-6)
    np.testing.assert_array_equal(column(corpus, "unig:R_Amp_V1"), [np.nan, *-ids[1:]])
    assert np.isnan(column(corpus, "ecgdeli:Empty")).all()
    assert set(column(corpus, "ecgdeli:Constant")) == {7}
    assert corpus.notes == (
        "PTB-XL+ 12sl: 1 rows are of records that the corpus does not list",
        "PTB-XL+ unig: 1 of 12 records have no row, so their features are missing",
    )
    assert "PTB-XL+ 1.0.1" in corpus.attribution


def test_features_travel_into_the_dataset(ptbxl, plus, tmp_path):
    corpus = open_corpus("ptb-xl", ptbxl, features=str(plus / "features"), feature_sets="unig, 12SL")
    found = prepare(corpus, tmp_path / "d", SignalSpec(), workers=1).features()
    assert found.names == ("unig:R_Amp_V1", "12sl:QRS_Dur_Global", "12sl:HR__Global")
    np.testing.assert_array_equal(found.values, corpus.features.values)


def test_a_corpus_without_the_option_has_no_features(ptbxl):
    assert open_corpus("ptb-xl", ptbxl).features is None


def test_what_is_no_number_is_missing_or_dropped_and_counted(ptbxl, plus):
    ids = [entry.record_id for entry in open_corpus("ptb-xl", ptbxl).entries]
    cells = ["1.5,a,inf,true", "x,b,2,false", "NaN,c,1e39,true", *["2,d,3,true"] * (N - 3)]
    write_table(plus, "12sl", "ecg_id,Mixed,Text,Wide,Flag", *(f"{k},{c}" for k, c in zip(ids, cells, strict=True)))
    corpus = open_corpus("ptb-xl", ptbxl, features=str(plus), feature_sets="12sl")
    assert corpus.features.names == ("12sl:Mixed", "12sl:Wide", "12sl:Flag")
    np.testing.assert_array_equal(column(corpus, "12sl:Mixed")[:4], [1.5, np.nan, np.nan, 2])
    np.testing.assert_array_equal(column(corpus, "12sl:Wide")[:4], [np.nan, 2, np.nan, 3])
    np.testing.assert_array_equal(column(corpus, "12sl:Flag")[:4], [1, 0, 1, 1])
    assert corpus.notes == (
        "PTB-XL+ 12sl: 1 columns without a number were dropped: Text",
        "PTB-XL+ 12sl: 3 cells are no finite numbers and count as missing",
    )


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("ecg,A", "1,2"), "needs rows, one column ecg_id, and every other column name once"),
        (("ecg_id,A,A", "1,2,3"), "needs rows, one column ecg_id, and every other column name once"),
        (("ecg_id,A",), "needs rows, one column ecg_id"),
        (("ecg_id,A", "1,2", "1,3"), "1 rows have the ecg_id of another"),
        (("ecg_id,A", "one,2"), "its column ecg_id must hold whole numbers"),
        (("ecg_id,A", "1.5,2"), "its column ecg_id must hold whole numbers"),
        (("ecg_id,A", ",2"), "its column ecg_id must hold whole numbers"),
        (("ecg_id,A", "1,2,3"), "12sl_features.csv: cannot be read: .*download it again"),
        (("ecg_id,A", "1,text"), "has no column of numbers besides ecg_id"),
    ],
)
def test_a_damaged_table_is_named(ptbxl, plus, lines, message):
    write_table(plus, "12sl", *lines)
    with pytest.raises(DatasetError, match=message):
        open_corpus("ptb-xl", ptbxl, features=str(plus))


def test_an_absent_table_an_unknown_set_and_sets_without_a_folder_are_refused(ptbxl, plus):
    (plus / "features" / "unig_features.csv").unlink()
    with pytest.raises(DatasetError, match=r"unig_features.csv: no such file; .* --set feature_sets=12sl,ecgdeli"):
        open_corpus("ptb-xl", ptbxl, features=str(plus))
    assert len(open_corpus("ptb-xl", ptbxl, features=str(plus), feature_sets="12sl,ecgdeli").features.names) == 5
    with pytest.raises(DatasetError, match=r"has no set '12ls' \(did you mean '12sl'\?\); choose among 12sl, ecgdeli"):
        open_corpus("ptb-xl", ptbxl, features=str(plus), feature_sets="12ls")
    with pytest.raises(DatasetError, match="has no set ''"):
        open_corpus("ptb-xl", ptbxl, features=str(plus), feature_sets=",")
    with pytest.raises(DatasetError, match="say where they are with --set features=FOLDER"):
        open_corpus("ptb-xl", ptbxl, feature_sets="12sl")


def test_ptb_xl_at_500_hz_is_read_and_resampled(ptbxl, tmp_path):
    """From the specification: records500 and filename_hr."""
    slow = prepare(open_corpus("ptb-xl", ptbxl), tmp_path / "slow", SignalSpec(), workers=1)
    fast = open_corpus("ptb-xl", ptbxl, fs="500")
    assert {entry.path.parts[-3] for entry in fast.entries} == {"records500"}
    assert {entry.path.name[-3:] for entry in fast.entries} == {"_hr"}
    whole = prepare(fast, tmp_path / "fast", SignalSpec(fs=500), workers=1)
    assert set(whole.records.length) == {5000}
    again = prepare(fast, tmp_path / "again", SignalSpec(), workers=1)
    assert set(again.records.length) == {1000}
    for row in range(N):
        a, b = slow.signal(row)[:, 50:-50], again.signal(row)[:, 50:-50]
        # The writer's filter against aliases is another than ours: they differ where a QRS is steep.
        assert np.sqrt(np.mean((a - b) ** 2)) < 0.02
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.995
