import shutil
from collections import Counter

import numpy as np
import pytest

from einthoven.corpora import list_corpora, open_corpus
from einthoven.errors import DatasetError
from einthoven.labels import make_task

# Published counts of PTB-XL 1.0.3, folds 1-9.
SUPERCLASSES = {"NORM": 8551, "MI": 4919, "STTC": 4714, "CD": 4402, "HYP": 2387}
SIZES = {"all": 71, "diagnostic": 44, "subdiagnostic": 23, "superdiagnostic": 5, "form": 19, "rhythm": 12}


@pytest.mark.real
def test_ptb_xl_has_the_published_labels_folds_and_patients(real_data):
    corpus = open_corpus("ptb-xl", real_data / "ptb-xl")
    assert len(corpus.entries) == 19601
    folds = Counter(entry.fold for entry in corpus.entries)
    assert [folds[k] for k in range(1, 10)] == [2175, 2181, 2192, 2174, 2174, 2173, 2176, 2173, 2183]
    for name, size in SIZES.items():
        assert len(make_task(name, corpus.label_table).classes) == size
    task = make_task("superdiagnostic", corpus.label_table)
    targets = task.targets([entry.statements for entry in corpus.entries])
    assert dict(zip(task.classes, targets.sum(axis=0).astype(int).tolist(), strict=True)) == SUPERCLASSES
    assert int((targets.sum(axis=1) == 0).sum()) == 371
    assert max(entry.age for entry in corpus.entries if entry.age is not None) == 90
    owners = {}
    for entry in corpus.entries:
        assert owners.setdefault(entry.patient_id, entry.fold) == entry.fold
    assert Counter(entry.sex for entry in corpus.entries).keys() == {"male", "female"}


def test_the_synthetic_corpus_reads_as_ptb_xl(corpus_folder):
    corpus = open_corpus("ptb-xl", corpus_folder)
    assert len(corpus.entries) == 240
    assert {entry.fold for entry in corpus.entries} == set(range(1, 11))
    assert {entry.source for entry in corpus.entries} != {"PTB-XL"}
    assert "synthetic" in corpus.attribution.lower()


def test_a_folder_without_the_table_says_so(tmp_path):
    with pytest.raises(DatasetError, match=r"no ptbxl_database.csv; this is not a PTB-XL folder"):
        open_corpus("ptb-xl", tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        open_corpus("ptb-xl", tmp_path / "absent")
    with pytest.raises(DatasetError, match=r"unknown corpus 'ptbxl' \(did you mean 'ptb-xl'\?\)"):
        open_corpus("ptbxl", tmp_path)
    assert "ptb-xl" in list_corpora()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ecg_id,", "ecg,", "no column ecg_id"),
        ("{'", "{", "line 2: cannot be read"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(corpus_folder, tmp_path, old, new, message):
    shutil.copy(corpus_folder / "scp_statements.csv", tmp_path)
    text = (corpus_folder / "ptbxl_database.csv").read_text().replace(old, new, 1)
    (tmp_path / "ptbxl_database.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        open_corpus("ptb-xl", tmp_path)


def test_an_unpublished_rate_is_refused(corpus_folder):
    with pytest.raises(DatasetError, match="published at 100 and 500 Hz, not at 250 Hz"):
        open_corpus("ptb-xl", corpus_folder, fs=250)


def test_an_unknown_statement_is_named(corpus_folder, tmp_path):
    rows = (corpus_folder / "scp_statements.csv").read_text().splitlines()
    (tmp_path / "scp_statements.csv").write_text("\n".join(row for row in rows if not row.startswith("NORM,")))
    shutil.copy(corpus_folder / "ptbxl_database.csv", tmp_path)
    with pytest.raises(DatasetError, match="statement NORM is not in scp_statements.csv"):
        open_corpus("ptb-xl", tmp_path)


def test_likelihoods_are_numbers(corpus_folder):
    values = [v for e in open_corpus("ptb-xl", corpus_folder).entries for v in e.statements.values()]
    assert np.isfinite(values).all()
    assert 0 <= min(values) <= max(values) <= 100


def test_the_published_rate_follows_from_the_wanted_one(corpus_folder):
    for wanted, read in ((None, 100), (50, 100), (100, 100), (250, 500), (1000, 500)):
        folder = open_corpus("ptb-xl", corpus_folder, wanted_fs=wanted).entries[0].path.relative_to(corpus_folder)
        assert str(folder).startswith(f"records{read}/")
    opened = open_corpus("ptb-xl", corpus_folder, fs="100", wanted_fs=250)
    assert opened.entries[0].path.is_relative_to(corpus_folder / "records100")
