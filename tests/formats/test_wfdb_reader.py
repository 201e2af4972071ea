"""WFDB: records written by the wfdb package, lenient headers, and every contradiction."""

import struct
import sys

import numpy as np
import pytest
import wfdb

from einthoven.errors import MissingExtraError, RecordError
from einthoven.formats import LocalFiles, MemoryFiles, parse_header, read_record, read_wfdb_integers
from einthoven.leads import TWELVE_LEADS


def integers(n_samples=400, n_signals=12, low=-2000, high=2000, seed=0):
    return np.random.default_rng(seed).integers(low, high, (n_samples, n_signals))


def write_wfdb(folder, fmt="16", name="rec", digital=None, **changes):
    digital = integers() if digital is None else digital
    n = digital.shape[1]
    settings = {
        "fs": 500,
        "units": ["mV"] * n,
        "sig_name": list(TWELVE_LEADS[:n]),
        "fmt": [fmt] * n,
        "adc_gain": [200.0] * n,
        "baseline": [0] * n,
    }
    wfdb.wrsamp(name, d_signal=digital, write_dir=str(folder), **(settings | changes))
    return folder / name


def header_text(n=2, n_samples=4, extra="", signal="16 1000/mV 16 0 {first} {sum} 0 {lead}", digital=None, record=""):
    """A hand-written header that fits ``digital``."""
    lines = [record or f"r {n} 500 {n_samples}"]
    for k in range(n):
        column = digital[:, k]
        values = {"first": column[0], "sum": int(column.sum()), "lead": TWELVE_LEADS[k]}
        lines.append("r.dat " + signal.format(**values))
    return ("\n".join(lines) + "\n" + extra).encode()


SMALL = np.array([[1, -2], [3, 4], [5, 6], [-7, 1000]], "<i2")


def upload(header, data=None):
    return MemoryFiles("r.hea", {"r.hea": header, "r.dat": SMALL.tobytes() if data is None else data})


@pytest.mark.parametrize("fmt", ["16", "212", "24", "32", "80", "508", "516", "524"])
def test_records_written_by_wfdb_read_as_wfdb_reads_them(tmp_path, fmt):
    limit = {"80": 100, "508": 100}.get(fmt, 2000)
    path = write_wfdb(tmp_path, fmt, digital=integers(low=-limit, high=limit))
    record = read_record(path)
    expected = wfdb.rdrecord(str(path))
    np.testing.assert_allclose(record.signal, expected.p_signal.T, rtol=2e-7)
    assert (record.fs, record.leads, record.record_id) == (500.0, TWELVE_LEADS, "rec")
    assert record.notes == ()


def packed(fmt, values):
    """Bytes of the formats that the wfdb package cannot write, by signal(5)."""
    if fmt == "61":
        return values.astype(">i2").tobytes()
    if fmt == "160":
        return (values + 32768).astype("<u2").tobytes()
    a, b, c = (values.reshape(-1, 3).T & 0x3FF).astype("<u4")
    if fmt == "311":
        return (a | b << 10 | c << 20).astype("<u4").tobytes()
    words = np.stack([(c & 31) << 11 | a << 1, (c >> 5) << 11 | b << 1], axis=1)
    return words.astype("<u2").tobytes()


@pytest.mark.parametrize("fmt", ["61", "160", "310", "311"])
def test_formats_that_only_other_programs_write_are_read(fmt):
    values = integers(30, 1, -500, 500)
    text = f"r 1 500 30\nr.dat {fmt} 1000 16 0 {values[0, 0]} {values.sum()} 0 II\n".encode()
    np.testing.assert_allclose(read_record(upload(text, packed(fmt, values))).signal, values.T / 1000, rtol=1e-6)


@pytest.mark.parametrize("fmt", ["16", "24"])
def test_an_upload_reads_like_the_files_on_disk(tmp_path, fmt):
    path = write_wfdb(tmp_path, fmt)
    contents = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    record = read_record(MemoryFiles("rec.hea", contents))
    np.testing.assert_array_equal(record.signal, read_record(path).signal)


@pytest.mark.parametrize("name", ["rec", "rec.hea", "rec.dat"])
def test_a_record_is_found_by_its_name_its_header_or_its_signal_file(tmp_path, name):
    write_wfdb(tmp_path)
    assert read_record(tmp_path / name).record_id == "rec"
    assert read_record(str(tmp_path / name)).n_samples == 400


def test_a_header_is_recognised_by_content_whatever_its_suffix(tmp_path):
    write_wfdb(tmp_path)
    (tmp_path / "rec.hea").rename(tmp_path / "foo.txt")
    assert read_record(tmp_path / "foo.txt").leads == TWELVE_LEADS


@pytest.mark.parametrize(("fmt", "mark"), [("16", -32768), ("212", -2048)])
def test_stored_marks_for_invalid_samples_become_nan(tmp_path, fmt, mark):
    digital = integers()
    digital[7, 3] = mark
    path = write_wfdb(tmp_path, fmt, digital=digital)
    assert np.argwhere(np.isnan(read_record(path).signal)).tolist() == [[3, 7]]
    assert read_wfdb_integers(path).samples[7, 3] == mark


@pytest.mark.parametrize("n_samples", [5, 6])
def test_an_odd_number_of_212_values_is_read_to_the_last(tmp_path, n_samples):
    digital = integers(n_samples, 1)
    path = write_wfdb(tmp_path, "212", digital=digital)
    np.testing.assert_array_equal(read_wfdb_integers(path).samples, digital)


def test_signals_in_several_files_come_in_the_headers_order():
    digital = integers(50, 4)
    names = ["a.dat", "b.dat", "b.dat", "a.dat"]
    lines = ["rec 4 500 50"] + [
        f"{file} 16 200 16 0 {digital[0, k]} {digital[:, k].sum()} 0 {TWELVE_LEADS[k]}" for k, file in enumerate(names)
    ]
    contents = {
        "rec.hea": "\n".join(lines).encode(),
        "a.dat": digital[:, [0, 3]].astype("<i2").tobytes(),
        "b.dat": digital[:, [1, 2]].astype("<i2").tobytes(),
    }
    np.testing.assert_array_equal(read_wfdb_integers(MemoryFiles("rec", contents)).samples, digital)


def cinc(matrix_kind=30, rows=2, columns=4, comments=""):
    head = struct.pack("<5i", matrix_kind, rows, columns, 0, 4) + b"val\0"
    text = header_text(digital=SMALL, signal="16+24 1000/mv 16 0 {first} {sum} 0 {lead}", extra=comments)
    return MemoryFiles("r.mat", {"r.hea": text.replace(b"r.dat", b"r.mat"), "r.mat": head + SMALL.tobytes()})


def test_a_cinc_mat_file_is_read_through_its_header():
    record = read_record(cinc(comments="#Age: NaN\n#Sex: Female\n#Dx: 426783006,164889003\n"))
    np.testing.assert_allclose(record.signal, SMALL.T / 1000, rtol=2e-7)
    assert record.statements == {"426783006": None, "164889003": None}
    assert (record.label_system, record.age, record.sex) == ("snomed", None, "female")


def test_a_mat_file_of_another_shape_is_refused():
    with pytest.raises(RecordError, match=r"r\.mat: its MATLAB header is not .* 2 x 4 16-bit"):
        read_record(cinc(rows=4, columns=2))


@pytest.mark.parametrize(
    ("comments", "age", "sex"),
    [
        ("# 68 M 1960 2851 x1\n# Digoxin\n", 68.0, "male"),
        ("# -1 F 1960 2851 x1\n", None, "female"),
        ("#<age>: 51\n#<sex>: F\n", 51.0, "female"),
        ("#<age>: 51 #<sex>: F\n", 51.0, "female"),
        ("# age: 81\n# sex: male\n", 81.0, "male"),
        ("#Age: Unknown\n#Sex: Unknown\n", None, None),
        ("", None, None),
    ],
)
def test_patient_facts_are_read_from_the_comments_corpora_use(comments, age, sex):
    record = read_record(upload(header_text(digital=SMALL, extra=comments)))
    assert (record.age, record.sex, record.label_system) == (age, sex, None)
    assert record.notes == ()


def test_ages_and_diagnoses_that_are_none_are_noted():
    record = read_record(upload(header_text(digital=SMALL, extra="#Age: >89\n#Dx: 59118001,NORM\n")))
    assert record.age is None
    assert list(record.statements) == ["59118001"]
    assert [note.split(" ")[0] for note in record.notes] == ["The", "Diagnoses"]


@pytest.mark.parametrize(
    "record", ["r 2 500 4", "r 2 500 4 05-May-2020 14:50:55", "r 2 500 4 12:33:59 12/05/2020", "r 2 500/1.0(0) 4",
               "r 2 500", "r 2 500 0", "r 2 500.0 4", "  r   2\t500   4  "]
)  # fmt: skip
def test_record_lines_are_read_leniently(record):
    found = read_record(upload(header_text(digital=SMALL, record=record)))
    assert (found.fs, found.n_samples, found.record_id) == (500.0, 4, "r")


@pytest.mark.parametrize(
    ("fields", "gain", "baseline"),
    [
        ("16 1000.0(0)/mV 16 0 {first} {sum} 0 {lead}", 1000, 0),
        ("16 200 16 0 {first} {sum} 0 {lead}", 200, 0),
        ("16 0 16 0 {first} {sum} 0 {lead}", 200, 0),
        ("16 100 11 1024 {first} {sum} 0 {lead}", 100, 1024),
        ("16 100(-3)/mV 11 1024 {first} {sum} 0 {lead}", 100, -3),
        ("16 2(5)/uV 16 0 {first} {sum} 0 {lead}", 2000, 5),
        ("16 1e6/V 16 0 {first} {sum} 0 {lead}", 1000, 0),
        ("16 500", 500, 0),
        ("16", 200, 0),
        ("16 500 12 7", 500, 7),
    ],
)
def test_gain_baseline_and_unit_follow_the_header(fields, gain, baseline):
    record = read_record(upload(header_text(digital=SMALL, signal=fields)))
    np.testing.assert_allclose(record.signal, (SMALL.T - float(baseline)) / gain, rtol=3e-7)


def test_signals_without_or_with_equal_names_are_told_apart():
    record = read_record(upload(header_text(digital=SMALL, signal="16 500")))
    assert record.leads == ("signal 1", "signal 2")
    twice = read_record(upload(header_text(digital=SMALL, signal="16 500 16 0 {first} {sum} 0 ECG")))
    assert twice.leads == ("ECG", "ECG (2)")
    assert "name of another" in twice.notes[0]


def test_a_missing_rate_is_wfdbs_default_and_noted():
    record = read_record(upload(header_text(digital=SMALL, record="r 2")))
    assert record.fs == 250.0
    assert "250 Hz" in record.notes[0]


def test_what_the_user_states_replaces_what_the_header_says():
    record = read_record(upload(header_text(digital=SMALL)), fs=500, unit="uV", leads=["v5", "Lead II"])
    assert (record.fs, record.leads) == (500.0, ("V5", "II"))
    np.testing.assert_allclose(record.signal, SMALL.T / 1e6, rtol=3e-7)
    assert read_record(upload(header_text(digital=SMALL)), unit="normalised").unit == "normalised"


def test_a_stated_rate_that_contradicts_the_header_is_refused_and_helps_where_it_says_none():
    source = upload(header_text(digital=SMALL))
    with pytest.raises(RecordError) as refused:
        read_record(source, fs=100)
    assert str(refused.value) == (
        "r: the header says 500 Hz, but 100 Hz was stated; leave the stated rate away, or correct the header"
    )
    assert read_record(source, fs=497).fs == 500.0  # a person rounds
    silent = read_record(upload(header_text(digital=SMALL, record="r 2")), fs=500)
    assert (silent.fs, silent.notes) == (500.0, ())


def test_stated_leads_must_be_as_many_as_the_signals():
    with pytest.raises(RecordError, match="3 lead names were stated for 2 signals"):
        read_record(upload(header_text(digital=SMALL)), leads=["I", "II", "III"])


def test_signals_that_are_no_voltages_are_dropped_with_a_note():
    text = header_text(digital=SMALL).decode()
    second = text.replace("1000/mV 16 0 -2", "10/mmHg 16 0 -2").encode()
    record = read_record(upload(second))
    assert record.leads == ("I",)
    assert record.notes == ("Signals that are no voltages were left out: II [mmHg].",)
    with pytest.raises(RecordError, match="no signal is a voltage"):
        read_record(upload(text.replace("/mV", "/mmHg").encode()))


@pytest.mark.parametrize(("change", "found"), [(lambda d: d[:-1], 15), (lambda d: d + b"\0\0", 18)])
def test_a_signal_file_of_the_wrong_size_is_refused_with_both_sizes(change, found):
    with pytest.raises(RecordError, match=rf"r\.dat: the header asks for 16 bytes .*, the file has {found}"):
        read_record(upload(header_text(digital=SMALL), change(SMALL.tobytes())))


def test_a_missing_signal_file_is_named(tmp_path):
    (tmp_path / "r.hea").write_bytes(header_text(digital=SMALL))
    with pytest.raises(RecordError, match=r"r\.dat: this signal file, named by the header of r, is missing"):
        read_record(tmp_path / "r.hea")


@pytest.mark.parametrize("name", ["r.dat", "r.mat"])
def test_a_missing_header_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(range(256)))
    with pytest.raises(RecordError, match=r"needs its WFDB header r\.hea beside it"):
        read_record(tmp_path / name)


def test_a_header_cannot_reach_into_other_folders(tmp_path):
    (tmp_path / "secret.dat").write_bytes(SMALL.tobytes())
    (tmp_path / "sub").mkdir()
    text = header_text(digital=SMALL).replace(b"r.dat", b"../secret.dat")
    (tmp_path / "sub" / "r.hea").write_bytes(text)
    with pytest.raises(RecordError, match="not the name of a file beside it"):
        read_record(LocalFiles(tmp_path / "sub" / "r.hea"))


def test_a_wrong_initial_value_and_checksum_together_are_a_contradiction():
    data = SMALL.copy()
    data[0, 1] = 99
    with pytest.raises(RecordError, match=r"header contradicts the file: .* of II differ"):
        read_record(upload(header_text(digital=SMALL), data.tobytes()))


def test_a_wrong_checksum_alone_is_noted():
    data = SMALL.copy()
    data[2, 0] += 1
    record = read_record(upload(header_text(digital=SMALL), data.tobytes()))
    assert record.notes == ("The header's checksum differs from the file's in I.",)


def test_checksums_are_compared_modulo_16_bits():
    text = header_text(digital=SMALL, signal="16 1000 16 0 {first} {sum} 0 {lead}").decode()
    shifted = text.replace(f" {SMALL[:, 0].sum()} 0 I\n", f" {int(SMALL[:, 0].sum()) + 65536} 0 I\n")
    assert shifted != text
    assert read_record(upload(shifted.encode())).notes == ()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"", "the header is empty"),
        (b"r 300 500 4\n", "number of signals 300 lies outside 0 to 256"),
        (b"r 0 500 4\n", "the record has no signals"),
        (b"r two 500 4\n", "number of signals 'two' is not a whole number"),
        (b"r 2 500 4\nr.dat 16\n", "announces 2 signals but describes 1"),
        (b"r 1 500 4\nr.dat 16\nr.dat 16\n", "announces 1 signals but describes 2"),
        (b"r 1 -5 4\nr.dat 16\n", "sampling rate '-5' is implausible"),
        (b"r 1 fast 4\nr.dat 16\n", "sampling rate 'fast' is not a number"),
        (b"r 1 500 4\nr.dat x16\n", "signal format 'x16' is not of the form"),
        (b"r 1 500 4\nr.dat 16 1e-300\n", "gain '1e-300' is implausible"),
        (b"r 1 500 4\nr.dat 16 12-3\n", "gain '12-3' is not of the form"),
        (b"r 1 500 4\nr.dat 16 1000 16 x 1 2 0 I\n", "has text where numbers belong"),
        (b"r 1 500 4\nr.dat 99\n", "signal format 99 is unknown; known are 8, 16"),
        (b"r 1 500 99999999999999\nr.dat 16\n", "number of samples 99999999999999 lies outside"),
        (b"r 1 500 999999999999\nr.dat 16\n", "the header asks for 1999999999998 bytes"),
        (b"r 1 500 999999999999\nr.dat 24\n", "asks for 2999999999997 bytes"),
        (b"r 1 500 99999999\nr.dat 508\n", "are far more than its 16 bytes"),
        (b"r/1 1 500 99999999\n~ 99999999\n", "are far more than its 0 bytes"),
        (b"r 1 500 1000\nr.dat 24\n", "asks for 3000 bytes, the file has 16"),
        (b"r 1 500 4\nr.dat 24:99\n", "a skew of 99 samples is longer"),
    ],
)
def test_headers_that_make_no_sense_are_refused_in_one_sentence(header, message):
    with pytest.raises(RecordError, match=message):
        read_record(upload(header))


def test_mixed_formats_within_one_file_are_refused():
    text = b"r 2 500 4\nr.dat 16 1000\nr.dat 212 1000\n"
    with pytest.raises(RecordError, match="different formats or offsets"):
        read_record(upload(text))


def test_multi_segment_records_are_read_through_the_package(tmp_path):
    first, second = integers(40, 2, seed=1), integers(60, 2, seed=2)
    write_wfdb(tmp_path, name="a", digital=first)
    write_wfdb(tmp_path, name="b", digital=second)
    (tmp_path / "m.hea").write_text("m/2 2 500 100\na 40\nb 60\n")
    expected = np.concatenate([first, second]).T / 200
    np.testing.assert_allclose(read_record(tmp_path / "m").signal, expected, rtol=3e-7)
    contents = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    np.testing.assert_allclose(read_record(MemoryFiles("m", contents)).signal, expected, rtol=3e-7)


def test_signals_at_a_higher_rate_are_averaged_and_noted(tmp_path):
    data = np.array([1, 3, 5, 7, 9, 11, 13, 15], "<i2")
    text = b"r 1 250 4\nr.dat 16x2 1000 16 0 1 64 0 II\n"
    record = read_record(upload(text, data.tobytes()))
    np.testing.assert_allclose(record.signal, [[0.002, 0.006, 0.010, 0.014]], rtol=1e-6)
    assert "averaged" in record.notes[0]


def test_a_rare_format_without_the_package_names_the_extra(tmp_path, monkeypatch):
    path = write_wfdb(tmp_path, "24")
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(MissingExtraError, match=r"WFDB format 24 needs optional packages: .*einthoven\[wfdb\]"):
        read_record(path)


def test_the_integer_path_refuses_rare_formats(tmp_path):
    with pytest.raises(RecordError, match="only WFDB formats 16 and 212"):
        read_wfdb_integers(write_wfdb(tmp_path, "24"))


def test_a_header_parses_into_named_fields():
    header = parse_header(header_text(digital=SMALL, extra="# note"), "r.hea")
    assert header.signals[1]._asdict() == {
        "file_name": "r.dat", "fmt": 16, "samples_per_frame": 1, "skew": 0, "byte_offset": 0, "gain": 1000.0,
        "baseline": 0, "unit": "mV", "initial_value": -2, "checksum": 1008, "name": "II",
    }  # fmt: skip
    assert header.comments == ("note",)
