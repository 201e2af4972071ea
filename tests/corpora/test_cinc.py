"""CinC challenges: every published layout, what headers tell, and every fault of a folder in one report.

The fixtures follow the published layout (WFDB headers of format 16+24, MATLAB version 4 matrices ``val``); no record of
INCART and none with a faulty header was at hand, so those tests are from the specification alone.
"""

import re
import struct
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from einthoven.corpora import list_corpora, open_corpus
from einthoven.corpora.cinc import record_source
from einthoven.dataset import gather_steps, open_dataset, to_millivolts
from einthoven.errors import DatasetError
from einthoven.leads import TWELVE_LEADS
from einthoven.preparation import prepare
from einthoven.signals import window_starts
from einthoven.spec import SignalSpec

NORMAL, FIBRILLATION = "426783006", "164889003"
UNLISTED = "999999999"
COUNTS = {
    "CPSC": 10,
    "CPSC-Extra": 10,
    "PTB": 10,
    "PTB-XL": 10,
    "Georgia": 10,
    "Chapman-Shaoxing": 10,
    "Ningbo": 10,
}


def write_record(folder, name, fs=500, n=1000, age="61", sex="Female", dx=NORMAL, signal=None, unit="mV"):
    """One record as the challenges publish it; ``signal`` in mV, shape (12, samples)."""
    folder.mkdir(parents=True, exist_ok=True)
    if signal is None:
        signal = np.sin(2 * np.pi * 2 * np.arange(n) / fs) * np.linspace(0.1, 1, 12)[:, None]
    steps = np.rint(signal * 1000).astype("<i2")
    sums = steps.sum(axis=1, dtype=np.int16)
    header = struct.pack("<5i", 30, *steps.shape, 0, 4) + b"val\0"
    (folder / f"{name}.mat").write_bytes(header + np.ascontiguousarray(steps.T).tobytes())
    lines = [f"{name} 12 {fs} {steps.shape[1]} 05-May-2020 14:50:55"]
    lines += [
        f"{name}.mat 16+24 1000/{unit} 16 0 {steps[k, 0]} {sums[k]} 0 {lead}" for k, lead in enumerate(TWELVE_LEADS)
    ]
    lines += [f"#Age: {age}", f"#Sex: {sex}", f"#Dx: {dx}", "#Rx: Unknown", "#Hx: Unknown", "#Sx: Unknown"]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")


def change_header(folder, name, old, new):
    path = folder / f"{name}.hea"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture
def challenge(tmp_path):
    """The published layout, one record per source."""
    training = tmp_path / "challenge" / "training"
    write_record(training / "cpsc_2018" / "g1", "A0001", n=3500, sex="Male", dx=FIBRILLATION)
    write_record(training / "cpsc_2018_extra" / "g1", "Q0001", n=4000)
    write_record(training / "st_petersburg_incart" / "g1", "I0001", fs=257, n=257 * 12, unit="mv")
    write_record(training / "ptb" / "g1", "S0001", fs=1000, n=11000, unit="mv")
    write_record(training / "ptb-xl" / "g1", "HR00001", n=5000)
    write_record(training / "georgia" / "g1", "E00001", n=2500, age="NaN")
    write_record(training / "chapman_shaoxing" / "g1", "JS00001", n=5000, dx=f"{FIBRILLATION},{NORMAL}")
    write_record(training / "ningbo" / "g1", "JS10647", n=5000)
    return tmp_path / "challenge"


def facts_of(corpus):
    return {entry.record_id: entry for entry in corpus.entries}


def test_the_published_layout_tells_source_length_and_patient_facts(challenge):
    corpus = open_corpus("cinc2021", challenge)
    entries = facts_of(corpus)
    assert {name: entry.source for name, entry in entries.items()} == {
        "A0001": "CPSC",
        "Q0001": "CPSC-Extra",
        "I0001": "INCART",
        "S0001": "PTB",
        "HR00001": "PTB-XL",
        "E00001": "Georgia",
        "JS00001": "Chapman-Shaoxing",
        "JS10647": "Ningbo",
    }
    assert [entries[name].duration_s for name in ("A0001", "I0001", "S0001", "E00001")] == [7, 12, 11, 5]
    assert (entries["A0001"].age, entries["A0001"].sex) == (61, "male")
    assert entries["JS00001"].statements == {FIBRILLATION: None, NORMAL: None}
    assert {entry.patient_id for entry in corpus.entries} == {entry.fold for entry in corpus.entries} == {None}
    assert corpus.label_system == "snomed"
    assert set(corpus.label_table) == {FIBRILLATION, NORMAL}
    assert "fibrillation" in corpus.label_table[FIBRILLATION].description
    assert corpus.notes == ("of 8 headers, 1 tell no age",)
    assert corpus.spec == SignalSpec(leads=TWELVE_LEADS, fs=100)
    assert {"cinc2020", "cinc2021"} <= set(list_corpora())


@pytest.mark.parametrize(
    ("folders", "name", "source"),
    [
        ((), "A0001", "CPSC"),
        ((), "Q3581", "CPSC-Extra"),
        ((), "I0075", "INCART"),
        ((), "S0549", "PTB"),
        ((), "HR21837", "PTB-XL"),
        ((), "E10344", "Georgia"),
        ((), "JS10646", "Chapman-Shaoxing"),
        ((), "JS10647", "Ningbo"),
        ((), "JS45551", "Ningbo"),
        (("PTB_PTBXL",), "HR00001", "PTB-XL"),
        (("WFDB_CPSC2018",), "x1", "CPSC"),
        (("WFDB_CPSC2018_2",), "x1", "CPSC-Extra"),
        (("Training_2",), "x1", "CPSC-Extra"),
        (("WFDB_StPetersburg",), "x1", "INCART"),
        (("WFDB_PTB",), "x1", "PTB"),
        (("WFDB_PTBXL",), "x1", "PTB-XL"),
        (("WFDB_Ga",), "x1", "Georgia"),
        (("WFDB_ChapmanShaoxing",), "x1", "Chapman-Shaoxing"),
        (("WFDB_Ningbo",), "x1", "Ningbo"),
        (("PhysioNetChallenge2020_Training_StPetersburg", "WFDB"), "x1", "INCART"),
        (("ptb-xl", "georgia", "g1"), "x1", "Georgia"),
        (("training",), "A00001", "unknown"),
        ((), "E0001", "unknown"),
        ((), "js00001", "unknown"),
    ],
)
def test_the_innermost_published_folder_decides_and_then_the_record_id(folders, name, source):
    assert record_source(folders, name) == source


def test_one_source_by_itself_is_known_by_its_own_folder(challenge):
    write_record(challenge / "training" / "georgia" / "g2", "mine")
    corpus = open_corpus("cinc2021", challenge / "training" / "georgia")
    assert [(entry.record_id, entry.source) for entry in corpus.entries] == [("E00001", "Georgia"), ("mine", "Georgia")]


def test_a_record_of_no_known_source_is_kept_and_named(tmp_path):
    write_record(tmp_path / "g1", "mine")
    corpus = open_corpus("cinc2021", tmp_path)
    assert corpus.entries[0].source == "unknown"
    assert "1 records have neither a folder nor a name of a known source and count as 'unknown'" in corpus.notes[0]
    assert corpus.notes[0].endswith("for example mine")


@pytest.mark.parametrize(
    ("age", "sex", "expected", "note"),
    [
        ("NaN", "Female", (None, "female"), "of 1 headers, 1 tell no age"),
        ("-1", "F", (None, "female"), "of 1 headers, 1 tell no age"),
        ("-5", "M", (None, "male"), "age '-5' (1)"),
        ("92+", "Male", (92.0, "male"), None),
        ("300", "Male", (90.0, "male"), None),
        ("0", "male", (0.0, "male"), None),
        ("61.5", "female", (61.5, "female"), None),
        ("old", "NaN", (None, None), "age 'old' (1)"),
        ("130", "Unknown", (None, None), "age '130' (1)"),
        ("50", "", (50.0, None), "of 1 headers, 1 tell no sex"),
        ("50", "2", (50.0, None), "sex '2' (1)"),
    ],
)
def test_age_and_sex_are_read_as_they_are_written(tmp_path, age, sex, expected, note):
    write_record(tmp_path, "A0001", age=age, sex=sex)
    corpus = open_corpus("cinc2021", tmp_path)
    assert (corpus.entries[0].age, corpus.entries[0].sex) == expected
    assert any(note in one for one in corpus.notes) if note else not corpus.notes


def test_codes_that_no_table_knows_keep_their_number_and_are_counted(tmp_path):
    write_record(tmp_path, "A0001", dx=f"{UNLISTED},{NORMAL}")
    write_record(tmp_path, "A0002", dx=UNLISTED)
    corpus = open_corpus("cinc2021", tmp_path)
    assert corpus.label_table[UNLISTED].description == f"SNOMED CT {UNLISTED}"
    assert corpus.entries[1].statements == {UNLISTED: None}
    assert corpus.notes == (f"1 codes are not in the table of SNOMED CT and keep their number as name: {UNLISTED} (2)",)


def test_many_unlisted_codes_are_not_all_spelt_out(tmp_path):
    write_record(tmp_path, "A0001", dx=",".join(str(900_000_000 + k) for k in range(14)))
    note = open_corpus("cinc2021", tmp_path).notes[0]
    assert note.startswith("14 codes are not in the table")
    assert note.endswith("900000011 (1) and 2 more")


def test_a_record_without_diagnosis_has_no_statements(tmp_path):
    write_record(tmp_path, "A0001", dx="Unknown")
    write_record(tmp_path, "A0002", dx="")
    corpus = open_corpus("cinc2021", tmp_path)
    assert [entry.statements for entry in corpus.entries] == [{}, {}]
    assert corpus.notes == ("of 2 headers, 2 tell no diagnosis",)


def test_all_faults_of_a_folder_come_in_one_report_before_anything_is_written(challenge):
    georgia = challenge / "training" / "georgia" / "g1"
    for k in range(2, 9):
        write_record(georgia, f"E0000{k}")
        (georgia / f"E0000{k}.mat").unlink()
    (challenge / "training" / "ningbo" / "g1" / "JS10647.hea").unlink()
    write_record(georgia, "E00010", dx="AF")
    write_record(georgia, "E00011")
    (georgia / "E00011.hea").write_text("")
    with pytest.raises(DatasetError) as caught:
        open_corpus("cinc2021", challenge)
    message = str(caught.value)
    assert "7 .hea without .mat (E00002, E00003, E00004, E00005, E00006, ...)" in message
    assert "1 .mat without .hea (JS10647)" in message
    assert "2 headers that cannot be used (E00010.hea: its Dx 'AF' is no SNOMED CT code (6 to 18 digits)" in message
    assert "E00011.hea: the header is empty" in message
    assert message.endswith("download these records again, or leave them out with --set missing=skip")
    corpus = open_corpus("cinc2021", challenge, missing="skip")
    assert len(corpus.entries) == 7
    assert corpus.notes[0].startswith("records left out: 7 .hea without .mat (E00002")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" 500 1000 05-May-2020 14:50:55", " 500", "A0001.hea: states no sampling rate or no number of samples"),
        (" 500 1000 05-May-2020 14:50:55", "", "A0001.hea: states no sampling rate or no number of samples"),
        ("A0001.mat", "A0002.mat", "A0001.hea: names A0002.mat for its signals, not A0001.mat"),
        ("A0001 12 500", "A0001 13 500", "A0001.hea: the header announces 13 signals but describes 12"),
        (f"#Dx: {NORMAL}", "#Dx: 12 345678", "A0001.hea: its Dx '12 345678' is no SNOMED CT code"),
        (f"#Dx: {NORMAL}", f"#Dx: {NORMAL}.0", f"A0001.hea: its Dx '{NORMAL}.0' is no SNOMED CT code"),
    ],
)
def test_a_faulty_header_is_named(tmp_path, old, new, message):
    write_record(tmp_path, "A0001")
    write_record(tmp_path, "A0003")
    change_header(tmp_path, "A0001", old, new)
    with pytest.raises(DatasetError, match=f"1 headers that cannot be used .{re.escape(message)}"):
        open_corpus("cinc2021", tmp_path)


def test_a_header_without_signals_and_one_that_is_a_folder_are_named(tmp_path):
    write_record(tmp_path, "A0001")
    write_record(tmp_path, "A0002")
    (tmp_path / "A0001.hea").write_text("A0001 0 500 1000\n")
    with pytest.raises(DatasetError, match=r"A0001.hea: names no file for its signals, not A0001.mat"):
        open_corpus("cinc2021", tmp_path)
    (tmp_path / "A0001.hea").unlink()
    (tmp_path / "A0001.hea").symlink_to(tmp_path / "gone")
    with pytest.raises(DatasetError, match=r"A0001.hea: cannot be read \(No such file"):
        open_corpus("cinc2021", tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"no .hea and .mat files in it or below it.*CinC challenges$"):
        open_corpus("cinc2021", tmp_path)
    (tmp_path / "A00001.h5").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"its .h5 files are read by the corpus sph"):
        open_corpus("cinc2021", tmp_path)
    (tmp_path / "100.hea").write_text("100 1 360 10\n100.dat 212\n")
    with pytest.raises(DatasetError, match=r"no record is complete: 1 .hea without .mat \(100\); download"):
        open_corpus("cinc2021", tmp_path, missing="skip")
    with pytest.raises(DatasetError, match="missing=ignore: choose refuse or skip"):
        open_corpus("cinc2021", tmp_path, missing="ignore")
    with pytest.raises(DatasetError, match="cinc2020: unknown option 'mising'"):
        open_corpus("cinc2020", tmp_path, mising="skip")


def test_one_name_for_two_records_is_refused_with_both_places(challenge):
    write_record(challenge / "again" / "g7", "A0001")
    with pytest.raises(DatasetError, match="1 record ids occur more than once") as caught:
        open_corpus("cinc2021", challenge)
    assert "(A0001 in again/g7 and training/cpsc_2018/g1)" in str(caught.value)


def test_files_of_sph_and_of_macos_are_no_records(challenge):
    (challenge / "sph").mkdir()
    (challenge / "sph" / "A00001.h5").write_bytes(b"")
    (challenge / "._A0009.hea").write_bytes(b"\0\5\x16\7")
    corpus = open_corpus("cinc2021", challenge)
    assert len(corpus.entries) == 8
    assert corpus.notes[0] == (
        "1 .h5 files are no records of the challenge and were left out; 'einthoven prepare sph' reads those of SPH"
    )


def test_links_to_folders_are_followed_once(challenge, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "georgia").symlink_to(challenge / "training" / "georgia")
    (linked / "circle").symlink_to(linked)
    assert [entry.source for entry in open_corpus("cinc2021", linked).entries] == ["Georgia"]


def test_the_challenge_of_2020_names_itself_and_what_it_did_not_have(challenge):
    corpus = open_corpus("cinc2020", challenge)
    assert corpus.name == "cinc2020"
    assert "Challenge 2020" in corpus.attribution
    assert "records of sources that joined in 2021 are listed too: Chapman-Shaoxing (1) and Ningbo (1)" in corpus.notes


def test_records_of_every_rate_are_kept_whole(challenge, tmp_path):
    corpus = open_corpus("cinc2021", challenge)
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    table = dataset.records
    lengths = dict(zip(table.record_id, table.length.tolist(), strict=True))
    assert lengths == {entry.record_id: round(entry.duration_s * 100) for entry in corpus.entries}
    for row, entry in enumerate(corpus.entries):
        seconds = np.arange(table.length[row]) / 100
        expected = np.sin(2 * np.pi * 2 * seconds) * np.linspace(0.1, 1, 12)[:, None]
        inner = slice(100, -100)  # the ends of a cut sine ring
        np.testing.assert_allclose(dataset.signal(row)[:, inner], expected[:, inner], atol=0.005, err_msg=str(entry))
    assert table.statements[table.record_id.index("A0001")] == {FIBRILLATION: None}
    assert set(table.patient_id) == set(table.fold) == {None}


def test_half_an_hour_of_incart_becomes_windows(tmp_path):
    """From the specification: I####, 257 Hz, 462,600 samples."""
    n = 462_600
    t = np.arange(n) / 257
    signal = np.sin(2 * np.pi * 1.2 * t) * np.linspace(0.1, 1, 12)[:, None]
    write_record(tmp_path / "st_petersburg_incart" / "g1", "I0001", fs=257, signal=signal, dx="284470004", unit="mv")
    corpus = open_corpus("cinc2021", tmp_path)
    assert corpus.entries[0].duration_s == 1800
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    assert dataset.records.source == ["INCART"]
    assert dataset.records.length.tolist() == [180_000]
    starts = window_starts(180_000, 1000, 1000)
    assert len(starts) == 180
    steps = gather_steps(dataset.open_shards(), dataset, np.zeros(180, np.int64), starts, 1000)
    cut = to_millivolts(steps, dataset.step_uv)
    assert cut.shape == (180, 12, 1000)
    expected = np.sin(2 * np.pi * 1.2 * np.arange(180_000) / 100)
    np.testing.assert_allclose(cut[1:-1, 11].reshape(-1), expected[1000:-1000], atol=0.003)


def test_the_command_prepares_a_challenge_folder(challenge, tmp_path):
    command = [sys.executable, "-m", "einthoven.cli", "prepare", "cinc2021", str(challenge), str(tmp_path / "d")]
    done = subprocess.run([*command, "--fs", "250", "--band", "0.5-50"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "note: of 8 headers, 1 tell no age" in done.stdout
    assert "8 records (patients unknown), 12 leads at 250 Hz" in done.stdout
    assert open_dataset(tmp_path / "d").spec.band_hz == (0.5, 50)
    (challenge / "training" / "ptb" / "g1" / "S0001.mat").unlink()
    command[-1] = str(tmp_path / "e")
    wrong = subprocess.run(command, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "1 .hea without .mat (S0001)" in wrong.stderr
    assert not (tmp_path / "e").exists()


@pytest.fixture(scope="module")
def sample(real_data):
    return real_data / "cinc2021"


@pytest.mark.real
def test_every_header_of_the_sample_is_listed_as_it_is_written(sample):
    corpus = open_corpus("cinc2021", sample)
    assert Counter(entry.source for entry in corpus.entries) == COUNTS
    for entry in corpus.entries:
        text = entry.path.read_text()
        fields = dict(re.findall(r"^#\s*(\w+):[ \t]*(.*?)[ \t]*$", text, re.MULTILINE))
        assert list(entry.statements) == fields["Dx"].split(",")
        assert entry.sex == fields["Sex"].lower()
        assert entry.age == (None if fields["Age"] == "NaN" else float(fields["Age"]))
        fs, n = (int(part) for part in text.split()[2:4])
        assert entry.duration_s == n / fs
    assert {round(entry.duration_s, 3) for entry in corpus.entries if entry.source == "PTB"} == {38.4, 115.174, 115.2}
    assert any(note.startswith("10 .h5 files are no records") for note in corpus.notes)


@pytest.mark.real
def test_the_sample_becomes_a_dataset_of_whole_records(sample, tmp_path):
    corpus = open_corpus("cinc2021", sample)
    dataset = prepare(corpus, tmp_path / "d", corpus.spec, workers=1)
    assert len(dataset) == 70
    for row, entry in enumerate(corpus.entries):
        assert abs(dataset.records.length[row] - entry.duration_s * 100) <= 1
        assert np.isfinite(dataset.signal(row)).all()
    assert dataset.records.statements == [dict(entry.statements) for entry in corpus.entries]
    assert dataset.label_system == "snomed"


@pytest.mark.real
def test_georgian_dates_in_words_do_not_matter(sample):
    written = [path.read_text().split()[4] for path in sample.glob("G12EC/*.hea")]
    assert all(re.fullmatch(r"\d\d-[A-Z][a-z]{2}-\d{4}", date) for date in written)
    assert len(open_corpus("cinc2021", sample / "G12EC").entries) == len(written) == 10
