"""MATLAB files of versions 4, 5 and 7.3: values as scipy reads them, the precedence of WFDB, and every refusal."""

import io
import struct
import sys
import zlib

import h5py
import numpy as np
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given
from scipy.io import loadmat, savemat

from einthoven.errors import MissingExtraError, RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.formats.matlab_values import version_4_variables, version_5_variables
from einthoven.leads import TWELVE_LEADS

SIGNAL = np.random.default_rng(9).normal(size=(12, 50))
STATED = {"fs": 500, "unit": "mV"}


def mat(variables, **options):
    stream = io.BytesIO()
    savemat(stream, variables, **options)
    return stream.getvalue()


def mat73(**variables):
    """As MATLAB writes version 7.3: HDF5 after a header of text, axes reversed, text as numbers."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", userblock_size=512) as file:
        for key, value in variables.items():
            if isinstance(value, str):
                file[key] = np.frombuffer(value.encode("utf-16-le"), np.uint16)[:, None]
                file[key].attrs["MATLAB_class"] = np.bytes_("char")
            else:
                file[key] = np.atleast_2d(value).T
                file[key].attrs["MATLAB_class"] = np.bytes_("double")
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM"
    return text.ljust(512, b"\0") + stream.getvalue()[512:]


def read(content, **stated):
    return read_record(MemoryFiles("r.mat", {"r.mat": content}), **stated)


def cells(*texts):
    return np.array(texts, dtype=object)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "i4", "u2", "u1"])
@pytest.mark.parametrize("options", [{"format": "4"}, {}, {"do_compression": True}], ids=["4", "5", "5z"])
def test_values_are_those_of_scipy(dtype, options):
    counts = (SIGNAL * 40).astype(dtype) if dtype[0] != "u" else np.arange(600).reshape(12, 50).astype(dtype)
    content = mat({"ecg": counts, "fs": 250.0, "unit": "uV"}, **options)
    record = read(content)
    np.testing.assert_allclose(record.signal, loadmat(io.BytesIO(content))["ecg"] / 1000, rtol=1e-6)
    np.testing.assert_allclose(record.signal, counts / 1000, rtol=1e-6)
    assert (record.fs, record.leads, record.unit) == (250.0, TWELVE_LEADS, "mV")


def test_a_path_reads_as_an_upload_does(tmp_path):
    savemat(tmp_path / "r.mat", {"x": SIGNAL.T})
    np.testing.assert_array_equal(read_record(tmp_path / "r.mat", **STATED).signal, SIGNAL.astype(np.float32))
    assert "MATLAB" in {reader.name for reader in list_formats()}


@pytest.mark.parametrize(
    "leads", [cells("V1", "avr"), np.array(["V1 ", "avr"]), "V1 avr"], ids=["cell", "rows", "text"]
)
@pytest.mark.parametrize("compressed", [False, True])
def test_facts_beside_the_matrix_are_read(leads, compressed):
    variables = {"sig": SIGNAL[:2], "Fs": 360, "units": "mV", "leads": leads, "age": 51.0, "sex": "M", "gain": 200.0}
    record = read(mat(variables, do_compression=compressed))
    assert (record.fs, record.leads, record.age, record.sex) == (360.0, ("V1", "aVR"), 51.0, "male")


def test_facts_in_a_structure_go_before_those_around_it():
    record = read(mat({"rec": {"ecg": SIGNAL, "fs": 250.0, "unit": "mV"}, "fs": 100.0}))
    assert record.fs == 250.0
    np.testing.assert_array_equal(record.signal, SIGNAL.astype(np.float32))


def test_the_layout_of_cpsc_2018_needs_no_statements():
    record = read(mat({"ECG": {"sex": "Female", "age": 74.0, "data": SIGNAL}}, do_compression=True))
    np.testing.assert_array_equal(record.signal, SIGNAL.astype(np.float32))
    assert (record.fs, record.unit, record.sex, record.age) == (500.0, "mV", "female", 74.0)
    assert record.notes[0].startswith("The file has the layout of CPSC 2018")


def test_version_7_3_is_hdf5():
    record = read(mat73(val=SIGNAL, fs=500.0, unit="uV", age=33.0))
    np.testing.assert_allclose(record.signal, SIGNAL / 1000, rtol=1e-6)
    assert (record.fs, record.age, record.leads) == (500.0, 33.0, TWELVE_LEADS)


def test_version_7_3_needs_h5py(monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"r\.mat: reading HDF5 needs .* 'einthoven\[formats\]'"):
        read(CONTENTS["7.3"])


def wfdb_pair():
    counts = (SIGNAL * 1000).astype("<i2")
    head = struct.pack("<5i", 30, 12, 50, 0, 4) + b"val\0"
    sums = counts.sum(axis=1, dtype=np.int16)
    lines = [f"r.mat 16+24 1000(0)/mV 16 0 {counts[k, 0]} {sums[k]} 0 {lead}" for k, lead in enumerate(TWELVE_LEADS)]
    return {"r.mat": head + counts.T.tobytes(), "r.hea": "\n".join(["r 12 400 50", *lines]).encode()}, counts


def test_beside_a_wfdb_header_it_is_that_record():
    files, counts = wfdb_pair()
    for name in ("r.mat", "r.hea"):
        record = read_record(MemoryFiles(name, files))
        assert record.fs == 400.0
        np.testing.assert_allclose(record.signal, counts / 1000, rtol=1e-6)


def test_the_signal_file_of_a_challenge_record_alone_asks_for_its_header():
    files, counts = wfdb_pair()
    with pytest.raises(
        RecordError, match=r"signal file of a CinC challenge record: put its WFDB header r\.hea beside it"
    ):
        read(files["r.mat"])
    np.testing.assert_allclose(read(files["r.mat"], fs=400, unit="uV").signal, counts / 1000, rtol=1e-6)


def test_a_header_of_another_record_does_not_claim_it():
    files, _ = wfdb_pair()
    content = mat({"ecg": SIGNAL, "fs": 250.0, "unit": "mV"})
    record = read_record(MemoryFiles("x.mat", {"x.mat": content, "r.hea": files["r.hea"]}))
    assert record.fs == 250.0


def test_big_endian_files_are_read():
    head = struct.pack(">5i", 1000, 12, 50, 0, 4) + b"ecg\0"
    values = version_4_variables(head + SIGNAL.astype(">f8").tobytes(order="F"), "r.mat")["ecg"]
    np.testing.assert_array_equal(values, SIGNAL)

    def element(kind, data):
        return struct.pack(">2I", kind, len(data)) + data.ljust(-(-len(data) // 8) * 8, b"\0")

    parts = element(6, struct.pack(">2I", 6, 0)) + element(5, struct.pack(">2i", 12, 50)) + element(1, b"ecg")
    matrix = element(14, parts + element(9, SIGNAL.astype(">f8").tobytes(order="F")))
    content = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + matrix
    np.testing.assert_array_equal(version_5_variables(content, "r.mat")["ecg"], SIGNAL)
    np.testing.assert_array_equal(read(content, **STATED).signal, SIGNAL.astype(np.float32))


def test_complex_sparse_and_nested_variables_are_stepped_over():
    from scipy.sparse import eye

    deep = {"a": {"b": {"c": {"d": SIGNAL}}}}
    variables = {
        "ecg": SIGNAL,
        "z": SIGNAL * 1j,
        "s": eye(4, format="csc"),
        "q": deep,
        "many": cells(1.0, 2.0),
        "e": [],
    }
    record = read(mat(variables), **STATED)
    np.testing.assert_array_equal(record.signal, SIGNAL.astype(np.float32))
    content = mat({"ecg": SIGNAL, "z": SIGNAL * 1j, "t": "text"}, format="4")
    assert set(version_4_variables(content, "r.mat")) == {"ecg", "t"}


def test_text_in_any_encoding_of_the_format_is_read():
    # 4 is unsigned 16-bit, which MATLAB itself writes; scipy writes 16, UTF-8.
    for kind, data in ((4, "uV".encode("utf-16-le")), (17, "uV".encode("utf-16-le")), (18, "uV".encode("utf-32-le"))):
        tag = struct.pack("<2I", kind, len(data)) if len(data) > 4 else struct.pack("<2H", kind, len(data))
        element = (tag + data).ljust(8 if len(data) <= 4 else 16, b"\0")
        plain = mat({"ecg": SIGNAL, "fs": 250.0, "unit": "uV"})
        start = plain.index(struct.pack("<2H", 16, 2) + b"uV")
        at_unit = plain.rindex(struct.pack("<I", 14), 0, start)
        size = int.from_bytes(plain[at_unit + 4 : at_unit + 8], "little") + len(element) - 8
        content = (
            plain[: at_unit + 4] + struct.pack("<I", size) + plain[at_unit + 8 : start] + element + plain[start + 8 :]
        )
        np.testing.assert_allclose(read(content).signal, SIGNAL / 1000, rtol=1e-6)


def test_facts_that_are_empty_are_none():
    assert read(mat({"ecg": SIGNAL, "fs": 250.0, "unit": "mV", "age": [], "Units": np.zeros((0, 3))})).age is None


def test_several_matrices_are_named():
    with pytest.raises(RecordError, match=r"several arrays may be the ECG \(a \(12, 50\), b \(12, 50\)\)"):
        read(mat({"a": SIGNAL, "b": SIGNAL}))
    assert read(mat({"ecg": SIGNAL, "b": SIGNAL}), **STATED).notes[0] == "The array 'ecg' was read; left out: b."


def test_unit_and_rate_must_be_told():
    with pytest.raises(RecordError, match="the file gives no unit"):
        read(mat({"ecg": SIGNAL, "fs": 250.0}))
    with pytest.raises(RecordError, match="the file gives no sampling rate"):
        read(mat({"ecg": SIGNAL, "unit": "mV"}))
    with pytest.raises(RecordError, match="fs has 2 values where one describes the signal"):
        read(mat({"ecg": SIGNAL, "fs": [250.0, 500.0]}))


def bomb():
    """Forty megabytes of zeros in forty kilobytes."""
    inner = struct.pack("<2I", 14, 40 * 2**20) + bytes(40 * 2**20)
    packed = zlib.compress(inner, 9)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<2I", 15, len(packed)) + packed


def test_a_variable_that_unpacks_without_measure_is_refused():
    with pytest.raises(RecordError, match=r"compressed variable unpacks to more than 16777216 bytes"):
        read(bomb())


def at(content, where, data):
    return content[:where] + data + content[where + len(data) :]


PLAIN = mat({"ecg": SIGNAL})
STRUCT = mat({"ECG": {"sex": "M", "data": SIGNAL}})
PACKED = mat({"ecg": SIGNAL}, do_compression=True)
OLD = mat({"ecg": SIGNAL}, format="4")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (at(PLAIN, 132, struct.pack("<I", 10**9)), r"an element of 1000000000 bytes stands where \d+ are left"),
        (
            at(PLAIN, 160, struct.pack("<2i", 12, 5000)),
            r"ecg: the shape \(12, 5000\) asks for 480000 bytes, it has 4800",
        ),
        (at(PLAIN, 160, struct.pack("<2i", -12, 50)), r"the variable 'ecg' has the shape \(-12, 50\)"),
        (at(PLAIN, 176, struct.pack("<I", 99)), r"ecg: its values are of the unknown type 99"),
        (PLAIN[:-8], r"an element of \d+ bytes stands where"),
        (PACKED[:140] + bytes(8) + PACKED[148:], r"a compressed variable is damaged"),
        (at(PACKED[:-8], 132, struct.pack("<I", len(PACKED) - 144)), r"a compressed variable is cut short"),
        (STRUCT.replace(struct.pack("<2hi", 5, 4, 5), struct.pack("<2hi", 5, 4, 0)), r"field names of a structure are"),
        (STRUCT[:132] + struct.pack("<I", 72) + STRUCT[136:208], r"the field 'sex' of a structure is missing"),
        (at(OLD, 4, struct.pack("<i", 10**6)), r"a matrix of 1000000 x 50 values ends at byte \d+, the file has 4824"),
        (OLD + b"123", r"at byte 4824 no matrix of MATLAB version 4 follows"),
        (b"text that is no MATLAB", r"needs its WFDB header r\.hea beside it"),
        (mat({"t": "text"}), r"no array is one ECG"),
    ],
)
def test_damage_is_named(content, message):
    with pytest.raises(RecordError, match=message):
        read(content, **STATED)


def test_damaged_text_is_named():
    content = mat({"ecg": SIGNAL, "unit": "µV"}).replace("µ".encode(), b"\xb5\xff")
    with pytest.raises(RecordError, match="unit: its text is damaged"):
        read(content)


def test_other_content_given_to_the_reader_itself_is_refused():
    reader = next(reader for reader in list_formats() if reader.name == "MATLAB")
    with pytest.raises(RecordError, match="begins like no MATLAB file of version 4, 5, 6, 7 or 7.3"):
        reader.read(MemoryFiles("r.mat", {"r.mat": b"text"}), None)


CONTENTS = {
    "4": mat({"ecg": SIGNAL, "fs": 500.0, "unit": "mV"}, format="4"),
    "5": mat({"ECG": {"sex": "M", "age": 4.0, "data": SIGNAL, "leads": cells(*TWELVE_LEADS)}}),
    "5z": mat({"ecg": SIGNAL, "fs": 500.0, "unit": "mV"}, do_compression=True),
    "7.3": mat73(val=SIGNAL, fs=500.0, unit="uV"),
}


@pytest.mark.parametrize("kind", CONTENTS)
@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(kind, changes):
    content = CONTENTS[kind]
    assert_record_or_error(MemoryFiles("r.mat", {"r.mat": damaged(content, changes)}), **STATED)
    assert_record_or_error(MemoryFiles("r.mat", {"r.mat": damaged(content[:400], changes) + content[400:]}))
