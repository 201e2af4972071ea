"""A folder of one's own: found columns, faults by file, line and column, and nothing written before all is checked."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from einthoven.corpora import open_corpus
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, RecordError
from einthoven.leads import TWELVE_LEADS
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec

FS = 250


def write_csv(path, seed, fs=FS, leads=TWELVE_LEADS):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    t = np.arange(2 * fs) / fs
    x = np.sin(2 * np.pi * 5 * t)[:, None] * rng.uniform(0.5, 1, len(leads))
    rows = [",".join(["time", *leads]), *(",".join(f"{v:.4f}" for v in (a, *b)) for a, b in zip(t, x, strict=True))]
    path.write_text("\n".join(rows) + "\n")


def write_wfdb(path, seed, fs=500):
    digital = np.random.default_rng(seed).integers(-900, 900, (2 * fs, 12)).astype("<i2")
    lines = [f"{path.name} 12 {fs} {len(digital)}"]
    lines += [
        f"{path.name}.dat 16 1000(0)/mV 16 0 {digital[0, k]} {np.int16(digital[:, k].sum(dtype=np.int64) & 0xFFFF)} 0 {x}"
        for k, x in enumerate(TWELVE_LEADS)
    ]
    path.with_name(f"{path.name}.hea").write_text("\n".join(lines) + "\n")
    path.with_name(f"{path.name}.dat").write_bytes(digital.tobytes())


@pytest.fixture
def clinic(tmp_path):
    write_csv(tmp_path / "a" / "one.csv", 1)
    write_csv(tmp_path / "b" / "one.csv", 2)
    write_wfdb(tmp_path / "three", 3)
    write_table(tmp_path)
    return tmp_path


ROWS = (
    "path,patient,age,gender,fold,hospital,AF,pacemaker,remark",
    "a/one.csv,p1,63,F,1,north,1,0,routine",
    "b/one.csv,p1,-1,,1,north,0,,",
    "three,p2,41.5,male,2,south,,0,seen again",
)


def write_table(folder, *rows, name="labels.csv"):
    (folder / name).write_text("\n".join(rows or ROWS) + "\n")


def test_columns_are_found_by_their_usual_names(clinic):
    corpus = open_corpus("folder", clinic)
    assert [entry.record_id for entry in corpus.entries] == ["a/one", "b/one", "three"]
    assert [entry.patient_id for entry in corpus.entries] == ["p1", "p1", "p2"]
    assert [entry.age for entry in corpus.entries] == [63, None, 41.5]
    assert [entry.sex for entry in corpus.entries] == ["female", None, "male"]
    assert [entry.fold for entry in corpus.entries] == [1, 1, 2]
    assert [entry.source for entry in corpus.entries] == ["north", "north", "south"]
    assert corpus.complete_labels
    assert corpus.notes == (
        "columns that are neither facts nor 0/1 labels were not used: remark",
        "labels that never occur: pacemaker",
    )


def test_an_empty_label_is_unknown_and_a_zero_is_a_known_negative(clinic):
    first, second, third = (entry.statements for entry in open_corpus("folder", clinic).entries)
    assert first == {"AF": None}
    assert list(second) == ["pacemaker"]
    assert math.isnan(second["pacemaker"])
    assert list(third) == ["AF"]
    assert math.isnan(third["AF"])


def test_any_mix_of_files_becomes_a_dataset_with_unknown_targets(clinic, tmp_path):
    from einthoven.labels import make_task

    dataset = prepare(open_corpus("folder", clinic), tmp_path / "d", SignalSpec(), workers=1)
    assert len(dataset) == 3
    assert dataset.signal(2).shape == (12, 200)
    task = make_task("all", dataset.label_table)
    assert task.classes == ("AF", "pacemaker")
    np.testing.assert_array_equal(task.targets(dataset.records.statements), [[1, 0], [0, np.nan], [np.nan, 0]])


def test_a_column_of_codes_is_read_in_its_label_system(clinic):
    write_table(clinic, "file;dx", "a/one.csv;164889003,59118001", "b/one.csv;426783006", "three;")
    corpus = open_corpus("folder", clinic, codes="dx", system="snomed")
    assert corpus.entries[0].statements == {"164889003": None, "59118001": None}
    assert corpus.entries[2].statements == {}
    assert corpus.label_system == "snomed"
    assert "fibrillation" in corpus.label_table["164889003"].description
    assert not corpus.complete_labels


def test_likelihoods_of_scp_codes_are_kept(clinic):
    write_table(clinic, "path\tcodes", "three\t{'NORM': 80.0, 'SR': 0.0}")
    corpus = open_corpus("folder", clinic, codes="codes", system="scp")
    assert corpus.entries[0].statements == {"NORM": 80.0, "SR": 0.0}


def test_columns_of_snomed_codes_are_known_as_such(clinic):
    write_table(clinic, "path,age,gender,fs,426783006,164889003", "three,50,Male,500,1,0")
    corpus = open_corpus("folder", clinic)
    assert corpus.label_system == "snomed"
    assert corpus.entries[0].statements == {"426783006": None}
    assert corpus.entries[0].stated_fs == 500


def test_a_rate_that_the_file_contradicts_is_refused_by_name(clinic, tmp_path):
    write_table(clinic, "path,fs,AF", "three,250,1")
    with pytest.raises(
        RecordError, match=r"three: the header says 500 Hz, but 250 Hz was stated; leave the stated rate away"
    ):
        prepare(open_corpus("folder", clinic), tmp_path / "d", SignalSpec(), workers=1)


def test_a_rate_that_no_file_tells_is_stated_in_the_table(clinic, tmp_path):
    (clinic / "a" / "one.csv").write_text("\n".join([",".join(TWELVE_LEADS), *[",".join(["0.1"] * 12)] * 1000]))
    with pytest.raises(
        RecordError, match=r"must be stated: .*; of a folder's files: --set fs=500, .* or a column fs in the table"
    ):
        prepare(open_corpus("folder", clinic), tmp_path / "ds", SignalSpec(fs=100.0), workers=1)
    write_table(clinic, *(f"{row},{fs}" for row, fs in zip(ROWS, ("fs", "100", "", ""), strict=True)))
    dataset = prepare(open_corpus("folder", clinic), tmp_path / "ds", SignalSpec(fs=100.0), workers=1, overwrite=True)
    assert len(dataset) == 3


def test_age_and_sex_that_files_tell_are_used_where_the_table_has_no_such_column(clinic, tmp_path):
    header = clinic / "three.hea"
    header.write_text(header.read_text() + "#Age: 74\n#Sex: Female\n")
    write_table(clinic, "path,AF", "three,1", "a/one.csv,0")
    dataset = prepare(open_corpus("folder", clinic), tmp_path / "d", SignalSpec(), workers=1)
    assert (dataset.records.age, dataset.records.sex) == ([74, None], ["female", None])

    write_table(clinic, "path,AF", "three,1", "a/one.csv,0", "b/one.csv,0")
    grown = prepare(open_corpus("folder", clinic), tmp_path / "d", SignalSpec(), workers=1, append=True)
    assert grown.records.sex == ["female", None, None]

    write_table(clinic, "path,age,AF", "three,,1", "a/one.csv,50,0")
    listed = prepare(open_corpus("folder", clinic), tmp_path / "e", SignalSpec(), workers=1)
    assert listed.records.sex == ["female", None]
    assert listed.records.age == [None, 50]  # an empty cell says that nobody knows


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (("path,AF", "a/one.csv,1", "nowhere.csv,0"), {}, "1 of 2 files are not in .*, for example nowhere.csv"),
        (("path,AF", "a/one.csv,1", "b/one.csv,2"), {}, "line 3, column 'AF': a label is 0, 1 or empty"),
        (
            ("path,id,AF", "a/one.csv,x,1", "b/one.csv,x,0"),
            {},
            "two rows are called 'x': .* name it with --set id=COLUMN",
        ),
        (("path,age,AF", "three,old,1"), {}, "line 2, column 'age': 'old' is not a number"),
        (("path,sex,AF", "three,1,1"), {}, "line 2, column 'sex': '1' is no sex; write female, male or nothing"),
        (("path,fold,AF", "three,1.5,1"), {}, "line 2, column 'fold': a fold is a whole number from 0, not 1.5"),
        (("where,AF", "three,1"), {}, "no column names the files; call it 'path'"),
        (("path,AF", "three,1"), {"labels": "AFF"}, r"no column 'AFF' \(did you mean 'AF'\?\)"),
        (("path,AF", "three,1"), {"patient": "pid"}, "no column 'pid'; it has path, AF"),
        (("path,dx", "three,999"), {"codes": "dx", "system": "snomed"}, "labels.csv: .*999"),
        (("path,dx", "three,999"), {"codes": "dx", "system": "snowmed"}, r"unknown label system 'snowmed' \(did you"),
        (("path,dx", "three,{NORM}"), {"codes": "dx"}, "is not a mapping of codes to likelihoods"),
        (("path,AF", "three,1,2"), {}, "line 2: has 3 cells, the header has 2"),
        (("path,path", "three,1"), {}, "the first line must name every column once"),
        (("path,AF",), {}, "a header and at least one row are needed"),
        (("path,AF", "three,2", "a/one.csv,0", "b/one.csv,1"), {}, "line 2, column 'AF': a label is 0, 1 or empty"),
        (("path,AF,x", "three,1"), {}, "line 2: has 2 cells, the header has 3"),
        (("path,age,AF", "three,400,1"), {}, "column 'age': an age lies between 0 and 130 years"),
        (("path,fold,AF", "three,-2,1"), {}, "a fold is a whole number from 0, not -2"),
        (("path,AF,x", 'three,1,"a', 'b"', "", "a/one.csv,2,c", "b/one.csv,0,d"), {}, "line 5, column 'AF'"),
        (("path,AF", "three,1"), {"missing": "ignore"}, "missing=ignore: choose refuse or skip"),
        (("path,AF", "three,1"), {"fs": "0"}, "fs=0: a sampling rate lies between 0 and 100,000 Hz"),
        (("path,AF", "three,1"), {"colour": "red"}, "folder: unknown option 'colour'"),
    ],
)
def test_faults_name_file_line_and_column(clinic, rows, options, message):
    write_table(clinic, *rows)
    with pytest.raises(DatasetError, match=message):
        open_corpus("folder", clinic, **options)


def test_a_folder_without_or_with_several_tables_is_told_what_is_wanted(clinic):
    (clinic / "labels.csv").unlink()
    with pytest.raises(DatasetError, match="has no CSV table; write one row per record with a column 'path'"):
        open_corpus("folder", clinic)
    write_table(clinic, name="x.csv")
    write_table(clinic, name="y.csv")
    with pytest.raises(DatasetError, match=r"has 2 tables \(x.csv, y.csv\)"):
        open_corpus("folder", clinic)
    assert len(open_corpus("folder", clinic, table="y.csv").entries) == 3


def test_rows_without_a_file_may_be_left_out(clinic):
    write_table(clinic, "path,AF", "three,1", "gone,0")
    corpus = open_corpus("folder", clinic, missing="skip")
    assert len(corpus.entries) == 1
    assert corpus.notes == (f"1 of 2 files are not in {clinic}, for example gone; they were left out",)


def test_unreadable_files_stop_or_are_listed(clinic, tmp_path):
    (clinic / "b" / "one.csv").write_text("not,an\necg,file\n")
    with pytest.raises(RecordError, match=r"one\.csv"):
        prepare(open_corpus("folder", clinic), tmp_path / "d", SignalSpec(), workers=1)
    dataset = prepare(open_corpus("folder", clinic), tmp_path / "e", SignalSpec(), workers=1, skip_unreadable=True)
    assert dataset.records.record_id == ["a/one", "three"]
    assert dataset.signal(1).shape == (12, 200)
    assert (tmp_path / "e" / "skipped.csv").read_text().splitlines()[1].startswith("b/one,")
    assert json.loads((tmp_path / "e" / "dataset.json").read_text())["counts"]["skipped"] == 1


def test_a_folder_in_which_nothing_can_be_read_is_refused(clinic, tmp_path):
    write_table(clinic, "path,AF", "b/one.csv,1")
    (clinic / "b" / "one.csv").write_text("not,an\necg,file\n")
    with pytest.raises(DatasetError, match="no record could be read; the first:"):
        prepare(open_corpus("folder", clinic), tmp_path / "d", SignalSpec(), workers=1, skip_unreadable=True)


def test_the_command_prepares_a_folder_and_says_what_it_found(clinic, tmp_path):
    command = [sys.executable, "-m", "einthoven.cli", "prepare", "folder", str(clinic), str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "note: labels that never occur: pacemaker" in done.stdout
    assert "3 records of 2 patients, 12 leads at 100 Hz" in done.stdout
    assert len(open_dataset(tmp_path / "d")) == 3
    wrong = subprocess.run([*command, "--set", "tabel=x"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "unknown option 'tabel' (did you mean 'table'?)" in wrong.stderr


def test_tables_of_spreadsheets_are_understood(clinic):
    text = "Path;Age;Patient_ID;AF\r\na\\one.csv;63,5;p1;yes\r\nthree;;p2;no\r\n"
    for content in (text.encode("utf-8-sig"), text.encode("utf-16")):
        (clinic / "labels.csv").write_bytes(content)
        first, second = open_corpus("folder", clinic).entries
        assert (first.age, first.patient_id, first.statements) == (63.5, "p1", {"AF": None})
        assert (second.age, second.statements) == (None, {})
    (clinic / "labels.csv").write_bytes("path;AF\nthree;1\nä;0\n".encode("latin-1"))
    with pytest.raises(DatasetError, match="is not UTF-8 text; save it as 'CSV UTF-8'"):
        open_corpus("folder", clinic)


def test_paths_are_found_beside_the_table_or_in_the_folder(clinic, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("tables") / "t.csv"
    elsewhere.write_text("path,AF\nthree,1\n")
    assert open_corpus("folder", clinic, table=str(elsewhere)).entries[0].path == clinic / "three"


def test_a_column_that_is_mostly_numbers_is_no_label(clinic):
    write_table(clinic, "path,rate,AF", "three,72,1", "a/one.csv,0,0", "b/one.csv,80,1")
    corpus = open_corpus("folder", clinic)
    assert set(corpus.label_table) == {"AF"}
    assert "not used: rate" in corpus.notes[0]
