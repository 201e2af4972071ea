"""SPH: AHA statements as published, patients, and every mismatch between table and files by name."""

import subprocess
import sys

import numpy as np
import pytest

from einthoven.corpora import open_corpus
from einthoven.errors import DatasetError, RecordError
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec

h5py = pytest.importorskip("h5py")

HEADER = "ECG_ID,AHA_Code,Patient_ID,Age,Sex,N,Date"
ROWS = (
    "A00001,22;23,S00001,55,M,5000,2020-03-04",
    "A00002,1,S00002,32,F,6000,2019-09-03",
    "A00003,60+310;50+346,S00001,56,M,5000,2020-07-16",
)


def write_h5(path, n, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    t = np.arange(n) / 500
    signal = np.sin(2 * np.pi * 1.5 * t) * np.linspace(0.1, 1, 12)[:, None]
    with h5py.File(path, "w") as file:
        file["ecg"] = signal.astype(np.float16)


def write_table(folder, *rows, header=HEADER):
    (folder / "metadata.csv").write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture
def sph(tmp_path):
    """The published layout: metadata.csv and records/A00001.h5 and so on."""
    folder = tmp_path / "sph"
    for name, n in (("A00001", 5000), ("A00002", 6000), ("A00003", 5000)):
        write_h5(folder / "records" / f"{name}.h5", n)
    write_table(folder, *ROWS)
    return folder


def test_the_published_layout_tells_statements_patients_and_lengths(sph):
    corpus = open_corpus("sph", sph)
    assert corpus.notes == () or all("AHA statement" in note for note in corpus.notes)
    assert [entry.record_id for entry in corpus.entries] == ["A00001", "A00002", "A00003"]
    assert [entry.patient_id for entry in corpus.entries] == ["S00001", "S00002", "S00001"]
    assert [entry.age for entry in corpus.entries] == [55, 32, 56]
    assert [entry.sex for entry in corpus.entries] == ["male", "female", "male"]
    assert [entry.duration_s for entry in corpus.entries] == [10, 12, 10]
    assert {entry.stated_fs for entry in corpus.entries} == {500}
    assert {entry.source for entry in corpus.entries} == {"SPH"}
    assert corpus.label_system == "aha"
    assert list(corpus.entries[2].statements) == ["60+310", "50+346"]
    assert {"22", "23", "1", "60+310", "50+346"} == set(corpus.label_table)
    assert "bradycardia" in corpus.label_table["22"].description


def test_the_records_become_a_dataset(sph, tmp_path):
    dataset = prepare(open_corpus("sph", sph), tmp_path / "d", SignalSpec(), workers=1)
    assert dataset.records.length.tolist() == [1000, 1200, 1000]
    expected = np.sin(2 * np.pi * 1.5 * np.arange(1000) / 100)
    np.testing.assert_allclose(dataset.signal(0)[11, 100:-100], expected[100:-100], atol=0.005)
    assert dataset.records.statements[2] == {"60+310": None, "50+346": None}


def test_files_beside_the_table_and_names_with_their_suffix_are_found(tmp_path):
    write_h5(tmp_path / "A00001.h5", 5000)
    write_table(tmp_path, "A00001.h5,22,S1,-1,M,5000,2020-03-04,500", header=f"{HEADER},fs")
    corpus = open_corpus("sph", tmp_path)
    assert [entry.record_id for entry in corpus.entries] == ["A00001"]
    assert corpus.entries[0].age is None


def test_a_statement_that_no_table_knows_keeps_its_number(sph):
    write_table(sph, ROWS[0].replace("22;23", "22;999"), *ROWS[1:])
    corpus = open_corpus("sph", sph)
    assert corpus.label_table["999"].description == "AHA statement 999"
    assert any("999 (1)" in note for note in corpus.notes)


def test_files_without_a_row_are_named_and_left_out(sph):
    write_table(sph, *ROWS[:2])
    corpus = open_corpus("sph", sph)
    assert len(corpus.entries) == 2
    assert corpus.notes[0] == "1 .h5 files have no row in metadata.csv and were left out: A00003"


def test_rows_without_a_file_are_refused_or_left_out_by_name(sph):
    (sph / "records" / "A00002.h5").unlink()
    with pytest.raises(DatasetError, match=r"1 of 3 rows have no .h5 file: A00002; download them again, or leave"):
        open_corpus("sph", sph)
    corpus = open_corpus("sph", sph, missing="skip")
    assert [entry.record_id for entry in corpus.entries] == ["A00001", "A00003"]
    assert corpus.notes[0] == "1 of 3 rows have no .h5 file: A00002; they were left out"


def test_an_archive_that_was_not_unpacked_is_said(tmp_path):
    write_table(tmp_path, *ROWS * 1)
    (tmp_path / "records.tar.gz").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"3 of 3 rows have no .h5 file.*unpack them with  tar -xf .*records.tar.gz"):
        open_corpus("sph", tmp_path)
    (tmp_path / "records.tar.gz").unlink()
    with pytest.raises(DatasetError, match=r"3 of 3 rows have no .h5 file.*download"):
        open_corpus("sph", tmp_path, missing="skip")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A00001,22,S1,55,M,5000,", None),
        ("A00001,,S1,55,M,5000,", None),
        ("A00001,AF,S1,55,M,5000,", "line 2, column 'AHA_Code': 'AF' is no AHA statement"),
        ("A00001,22+,S1,55,M,5000,", "line 2, column 'AHA_Code': '22[+]' is no AHA statement"),
        ("A00001,22,S1,55,M,,", "line 2, column 'N': '' is no number of samples"),
        ("A00001,22,S1,55,M,0,", "line 2, column 'N': '0' is no number of samples"),
        ("A00001,22,S1,old,M,5000,", "line 2, column 'Age': 'old' is not a number"),
        ("A00001,22,S1,55,X,5000,", "line 2, column 'Sex': 'X' is no sex"),
        (",22,S1,55,M,5000,", "line 2, column 'ECG_ID': names no record"),
    ],
)
def test_a_row_that_cannot_be_right_is_named_with_its_line(sph, row, message):
    write_table(sph, row)
    if message is None:
        assert len(open_corpus("sph", sph).entries) == 1
        return
    with pytest.raises(DatasetError, match=message):
        open_corpus("sph", sph)


def test_a_table_of_something_else_is_refused(sph, tmp_path):
    with pytest.raises(DatasetError, match=r"no metadata.csv; name the folder of SPH that holds it"):
        open_corpus("sph", tmp_path)
    with pytest.raises(DatasetError, match="missing=maybe: choose refuse or skip"):
        open_corpus("sph", sph, missing="maybe")
    write_table(sph, *ROWS, header=HEADER.replace("AHA_Code", "Code").replace(",N,", ",Length,"))
    with pytest.raises(DatasetError, match="no column AHA_Code, N; it has ECG_ID, Code"):
        open_corpus("sph", sph)
    write_table(sph, *ROWS, header=HEADER.replace("Patient_ID", "Person"))
    with pytest.raises(DatasetError, match="no column 'Patient_ID'"):
        open_corpus("sph", sph)
    write_table(sph, ROWS[0], ROWS[0])
    with pytest.raises(DatasetError, match="1 ECG_ID occur more than once, for example A00001"):
        open_corpus("sph", sph)
    write_table(sph, *ROWS)
    write_h5(sph / "again" / "A00001.h5", 5000)
    with pytest.raises(DatasetError, match="A00001 lies in .*again and in .*records; remove one"):
        open_corpus("sph", sph)


def test_a_damaged_file_stops_by_name(sph, tmp_path):
    (sph / "records" / "A00002.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(RecordError, match=r"A00002\.h5"):
        prepare(open_corpus("sph", sph), tmp_path / "d", SignalSpec(), workers=1)


@pytest.mark.real
def test_the_sample_has_nine_rows_and_ten_files(real_data, tmp_path):
    folder = real_data / "cinc2021" / "SPH"
    corpus = open_corpus("sph", folder)
    assert corpus.notes == ("1 .h5 files have no row in metadata.csv and were left out: SPH00005",)
    statements = {entry.record_id: list(entry.statements) for entry in corpus.entries}
    assert statements == {
        "SPH00001": ["22", "23"],
        "SPH00002": ["1"],
        "SPH00003": ["1"],
        "SPH00004": ["23"],
        "SPH00006": ["1"],
        "SPH00007": ["106"],
        "SPH00008": ["1"],
        "SPH00009": ["1"],
        "SPH00010": ["1"],
    }
    with h5py.File(folder / "SPH00001.h5") as file:
        assert (file["ecg"].dtype, file["ecg"].shape) == (np.float16, (12, 5000))
        first = np.asarray(file["ecg"], np.float32)
    dataset = prepare(corpus, tmp_path / "d", SignalSpec(fs=500), workers=1)
    assert dataset.records.length.tolist() == [round(entry.duration_s * 500) for entry in corpus.entries]
    # millivolts: stored to the nearest microvolt
    np.testing.assert_allclose(dataset.signal(0), first, atol=0.00051)
    assert 0.5 < np.abs(first).max() < 5


@pytest.mark.real
def test_the_command_prepares_the_sample(real_data, tmp_path):
    folder = real_data / "cinc2021" / "SPH"
    command = [sys.executable, "-m", "einthoven.cli", "prepare", "sph", str(folder), str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "note: 1 .h5 files have no row in metadata.csv and were left out: SPH00005" in done.stdout
    assert "9 records of 9 patients, 12 leads at 100 Hz" in done.stdout
