"""Is the synthetic corpus a corpus? Layout, determinism, folds and prevalences."""

import ast
import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from einthoven.corpora import open_corpus
from einthoven.corpora.synthetic import STATEMENTS, recordings, synthesize_records, write_synthetic_corpus
from einthoven.corpora.synthetic.pathologies import superclasses_of
from einthoven.errors import DatasetError
from einthoven.leads import TWELVE_LEADS

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic_corpus(tmp_path_factory.mktemp("synthetic") / "corpus", 40, seed=5, fs=(100, 500))


@pytest.fixture(scope="module")
def rows(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "ptbxl_database.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_one_row_per_record_with_python_dict_statements(rows: list[dict[str, str]]) -> None:
    assert [int(row["ecg_id"]) for row in rows] == list(range(1, 41))
    for row in rows:
        codes = ast.literal_eval(row["scp_codes"])
        assert codes
        assert set(codes) <= set(STATEMENTS)
        assert all(isinstance(v, float) and 0 <= v <= 100 for v in codes.values())
        assert row["sex"] in "01"
        assert row["report"]


@pytest.mark.parametrize(("fs", "column", "n_samples"), [(100, "filename_lr", 1000), (500, "filename_hr", 5000)])
def test_signals_have_size_and_checksum_of_their_headers(
    corpus: Path, rows: list[dict[str, str]], fs: int, column: str, n_samples: int
) -> None:
    for row in rows[:10]:
        stem = corpus / row[column]
        samples = np.frombuffer(stem.with_suffix(".dat").read_bytes(), "<i2").reshape(n_samples, 12)
        first, *leads = stem.with_suffix(".hea").read_text().splitlines()
        assert first == f"{stem.name} 12 {fs} {n_samples}"
        for k, line in enumerate(leads):
            file, fmt, gain, _bits, _zero, initial, checksum, _block, name = line.split()
            assert (file, fmt, gain, name) == (f"{stem.name}.dat", "16", "1000.0(0)/mV", TWELVE_LEADS[k].upper())
            assert int(initial) == samples[0, k]
            assert (int(checksum) - int(samples[:, k].sum())) % 65536 == 0


def test_wfdb_reads_what_was_computed(corpus: Path, rows: list[dict[str, str]]) -> None:
    wfdb = pytest.importorskip("wfdb")
    expected = synthesize_records(3, seed=5).signals[2]
    record = wfdb.rdrecord(str(corpus / rows[2]["filename_lr"]))
    np.testing.assert_allclose(record.p_signal.T, expected, atol=0.00051)


def test_the_ptbxl_reader_opens_it(corpus: Path) -> None:
    opened = open_corpus("ptb-xl", corpus)
    assert len(opened.entries) == 40
    assert opened.entries[0].sex in ("female", "male")
    assert opened.entries[0].source == "synthetic"
    assert "no patient" in opened.attribution


def test_the_statement_table_tells_the_superclass_of_every_diagnostic_statement(
    corpus: Path, rows: list[dict[str, str]]
) -> None:
    with (corpus / "scp_statements.csv").open(newline="") as file:
        table = {row[""]: row for row in csv.DictReader(file)}
    used = {code for row in rows for code in ast.literal_eval(row["scp_codes"])}
    assert set(table) == used
    for row in table.values():
        assert (row["diagnostic"] == "1.0") == bool(row["diagnostic_class"])
        assert "1.0" in (row["diagnostic"], row["form"], row["rhythm"])


@pytest.mark.real
def test_statements_are_those_of_ptbxl(real_data: Path) -> None:
    with (real_data / "ptb-xl" / "scp_statements.csv").open(newline="") as file:
        published = {row[""]: row for row in csv.DictReader(file)}
    for code, ours in STATEMENTS.items():
        theirs = published[code]
        assert ours.description == theirs["description"]
        assert (ours.superclass, ours.subclass) == (theirs["diagnostic_class"], theirs["diagnostic_subclass"])
        assert ours.kind.split() == [kind for kind in ("diagnostic", "form", "rhythm") if theirs[kind]]


def test_the_same_seed_gives_the_same_files(corpus: Path, tmp_path: Path) -> None:
    again = write_synthetic_corpus(tmp_path / "again", 40, seed=5, fs=(100, 500))
    files = sorted(path.relative_to(corpus) for path in corpus.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((corpus / file).read_bytes() == (again / file).read_bytes() for file in files)


def test_another_seed_gives_other_people() -> None:
    one, other = synthesize_records(2, seed=1), synthesize_records(2, seed=2)
    assert np.abs(one.signals - other.signals).max() > 0.2


def test_the_first_records_do_not_depend_on_how_many_follow() -> None:
    few, many = synthesize_records(7, seed=3), synthesize_records(20, seed=3)
    np.testing.assert_array_equal(few.signals, many.signals[:7])
    assert [(one.ecg_id, one.fold) for one in few.recordings] == [(o.ecg_id, o.fold) for o in many.recordings[:7]]


def test_a_patient_is_in_one_fold_and_keeps_sex_and_morphology() -> None:
    population = list(recordings(2000, seed=0))
    folds: dict[int, set[int]] = {}
    for one in population:
        folds.setdefault(one.patient.number, set()).add(one.fold)
    assert all(len(found) == 1 for found in folds.values())
    per_patient = Counter(Counter(one.patient.number for one in population).values())
    assert set(per_patient) == {1, 2, 3, 4}
    assert 0.82 < per_patient[1] / len(folds) < 0.94


def test_prevalences_are_those_of_a_hospital_and_even_over_folds() -> None:
    population = list(recordings(4000, seed=0))
    found = np.array([[name in superclasses_of(one.visit.codes) for name in SUPERCLASSES] for one in population])
    expected = np.array([0.44, 0.25, 0.24, 0.22, 0.12])  # PTB-XL
    np.testing.assert_allclose(found.mean(axis=0), expected, atol=0.04)
    fold = np.array([one.fold for one in population])
    for k in range(1, 11):
        assert 340 <= (fold == k).sum() <= 460
        np.testing.assert_allclose(found[fold == k].mean(axis=0), found.mean(axis=0), atol=0.055)
    assert (found.sum(axis=1) > 1).mean() > 0.12  # many have several


def test_the_old_are_sicker_than_the_young() -> None:
    population = list(recordings(3000, seed=1))
    normal = {old: [] for old in (False, True)}
    for one in population:
        if not 45 <= one.visit.age < 65:
            normal[one.visit.age >= 65].append("NORM" in one.visit.codes)
    assert np.mean(normal[False]) > np.mean(normal[True]) + 0.25


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DatasetError, match="exists and is not empty"):
        write_synthetic_corpus(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_synthetic_corpus(tmp_path / "new" / "corpus", 2, progress=lambda done, total: seen.append((done, total)))
    (tmp_path / "empty").mkdir()
    write_synthetic_corpus(tmp_path / "empty", 1)
    assert (tmp_path / "empty" / "ptbxl_database.csv").is_file()
    assert seen == [(1, 2), (2, 2)]


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthetic_corpus(tmp_path / "corpus", 3, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("n_records", "seed", "fs", "message"),
    [(0, 0, (100,), "at least 1"), (1, -1, (100,), "seeds from 0"), (1, 0, (250,), "not at 250"), (1, 0, (), "rate")],
)
def test_impossible_wishes_are_refused(
    tmp_path: Path, n_records: int, seed: int, fs: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        write_synthetic_corpus(tmp_path / "corpus", n_records, seed, fs)
    assert list(tmp_path.iterdir()) == []
