"""NumPy arrays: exact values, axes told by the number of leads, and every refusal."""

import io
import struct
import zipfile

import numpy as np
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given

from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.leads import TWELVE_LEADS

SIGNAL = np.random.default_rng(7).normal(size=(12, 60)).astype(np.float32)
STATED = {"fs": 500, "unit": "mV"}


def npy(array, **options):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, **options)
    return stream.getvalue()


def npz(compressed=False, **arrays):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **arrays)
    return stream.getvalue()


def read(content, name="r.npy", **stated):
    return read_record(MemoryFiles(name, {name: content}), **stated)


def test_the_formats_are_listed():
    assert {"NumPy array", "NumPy archive"} <= {reader.name for reader in list_formats()}


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
def test_an_array_keeps_its_values(version, dtype):
    array = SIGNAL.astype(dtype)
    record = read(npy(array, version=version), **STATED)
    np.testing.assert_array_equal(record.signal, array.astype(np.float32))
    assert (record.leads, record.fs, record.unit, record.record_id) == (TWELVE_LEADS, 500.0, "mV", "r")
    assert "(leads, samples), by its 12 leads" in record.notes[1]


def test_a_path_reads_as_an_upload_does(tmp_path):
    np.save(tmp_path / "a.npy", SIGNAL)
    np.testing.assert_array_equal(read_record(tmp_path / "a.npy", **STATED).signal, SIGNAL)


@pytest.mark.parametrize("array", [SIGNAL.T, np.asfortranarray(SIGNAL.T), np.asfortranarray(SIGNAL), SIGNAL[None]])
def test_the_axes_are_told_by_the_number_of_leads(array):
    np.testing.assert_array_equal(read(npy(array), **STATED).signal, SIGNAL)


def test_integers_are_scaled_by_the_stated_unit():
    counts = np.arange(-600, 600, dtype=np.int16).reshape(12, 100)
    np.testing.assert_allclose(read(npy(counts), fs=500, unit="uV").signal, counts / 1000, rtol=1e-6)
    assert read(npy(counts), fs=500, unit="normalised").unit == "normalised"


def test_one_lead_alone_is_named():
    record = read(npy(SIGNAL[1]), leads=["II"], **STATED)
    np.testing.assert_array_equal(record.signal, SIGNAL[1:2])
    assert record.leads == ("II",)


def test_an_archive_tells_rate_unit_leads_and_patient():
    leads = np.array(["v1", "AVR"])
    content = npz(ecg=SIGNAL[:2] * 1000, fs=250.0, unit="uV", leads=leads, age=40, sex="F", patient_id="P1", qrs=[1, 2])
    record = read(content, "r.npz")
    np.testing.assert_allclose(record.signal, SIGNAL[:2], rtol=1e-6)
    assert (record.fs, record.leads, record.age, record.sex, record.patient_id) == (
        250.0,
        ("V1", "aVR"),
        40,
        "female",
        "P1",
    )


def test_a_compressed_archive_reads_alike():
    np.testing.assert_array_equal(read(npz(True, x=SIGNAL, fs=100, unit="mV"), "r.npz").signal, SIGNAL)


def test_a_statement_goes_before_the_archive():
    content = npz(ecg=SIGNAL, fs=250, unit="uV")
    np.testing.assert_array_equal(read(content, "r.npz", unit="mV").signal, SIGNAL)
    with pytest.raises(RecordError, match=r"r\.npz: the file says 250 Hz, but 500 Hz was stated"):
        read(content, "r.npz", fs=500)


def test_a_stated_rate_replaces_one_that_cannot_be():
    record = read(npz(ecg=SIGNAL, fs=0, unit="mV"), "r.npz", fs=500)
    assert record.fs == 500
    assert "The stated rate of 500 Hz replaces 0 Hz, which cannot be." in record.notes


def test_of_several_arrays_the_one_of_a_usual_name_is_read():
    record = read(npz(ecg=SIGNAL, spectrum=SIGNAL[:, :9], fs=500, unit="mV"), "r.npz")
    np.testing.assert_array_equal(record.signal, SIGNAL)
    assert record.notes[0] == "The array 'ecg' was read; left out: spectrum."


def test_objects_beside_the_signal_are_left_out():
    content = npz(ecg=SIGNAL, fs=500, unit="mV", meta=np.array([{"a": 1}], dtype=object))
    assert "Left out, for they hold Python objects: meta." in read(content, "r.npz").notes


def test_an_impossible_age_is_noted():
    record = read(npz(ecg=SIGNAL, age=400, **STATED), "r.npz")
    assert record.age is None
    assert "The age '400.0' is not a number of years and was left out." in record.notes
    assert read(npz(ecg=SIGNAL, age="61", **STATED), "r.npz").age == 61
    assert read(npz(ecg=SIGNAL, age=np.nan, **STATED), "r.npz").age is None


def test_nan_stays():
    array = SIGNAL.copy()
    array[3, 5:9] = np.nan
    np.testing.assert_array_equal(read(npy(array), **STATED).signal, array)


INFINITE = SIGNAL.copy()
INFINITE[0, 0] = np.inf


@pytest.mark.parametrize(
    ("array", "stated", "message"),
    [
        (SIGNAL, {"unit": "mV"}, r"r\.npy: the file gives no sampling rate; state it: --fs 500"),
        (SIGNAL, {"fs": 500}, r"r\.npy: the file gives no unit; state one of mV, uV, nV, V, normalised"),
        (SIGNAL[:3], STATED, r"without lead names only twelve leads can be told in an array of shape \(3, 60\)"),
        (SIGNAL, STATED | {"leads": ["I"]}, r"1 lead names do not fit an array of shape \(12, 60\)"),
        (SIGNAL[:2], STATED | {"leads": ["II", "ii"]}, r"several signals are called II; state the names of all 2"),
        (SIGNAL[:, :12], STATED, r"both axes are 12 long, so time cannot be told from leads"),
        (np.stack([SIGNAL] * 2), STATED, r"shape \(2, 12, 60\) is not one ECG"),
        (SIGNAL[:, :0], STATED, r"shape \(12, 0\) is not one ECG"),
        (INFINITE, STATED, r"infinite values, or some too large for millivolts"),
        (SIGNAL.astype(complex), STATED, r"holds type '<c16'; save an array of numbers"),
        (SIGNAL > 0, STATED, r"holds values of type bool, not numbers"),
    ],
)
def test_what_cannot_be_told_is_an_error(array, stated, message):
    with pytest.raises(RecordError, match=message):
        read(npy(array), **stated)


def test_objects_are_never_unpickled():
    with pytest.raises(RecordError, match="holds Python objects, which are never read"):
        read(npy(np.array([{}], dtype=object)), **STATED)
    with pytest.raises(RecordError, match="x: holds Python objects, which are never read"):
        read(npz(x=np.array([{}], dtype=object)), "r.npz", **STATED)


def test_a_header_that_promises_more_than_the_file_is_refused():
    content = npy(SIGNAL).replace(b"(12, 60)", b"(12, 99999999999)"[:8].ljust(8))
    with pytest.raises(RecordError, match="not that of a plain array"):
        read(content, **STATED)
    content = npy(SIGNAL).replace(b"(12, 60), }    ", b"(12, 600000), }")
    with pytest.raises(RecordError, match=r"promises 28800000 bytes \(shape \(12, 600000\) .*, the file has 2880"):
        read(content, **STATED)


def test_a_record_type_and_a_later_version_are_refused():
    with pytest.raises(RecordError, match="header is not that of a plain array"):
        read(npy(np.zeros(3, dtype=[("a", "f4")])), **STATED)
    with pytest.raises(RecordError, match="no NumPy array of format version 1, 2 or 3"):
        read(b"\x93NUMPY\x09\x00" + bytes(200), **STATED)
    with pytest.raises(RecordError, match="no NumPy array of format version"):
        read(b"text", "r.npy", **STATED)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"a": SIGNAL, "b": SIGNAL},
            r"several arrays may be the ECG \(a \(12, 60\), b \(12, 60\)\); call one of them 'ecg'",
        ),
        ({"ecg": SIGNAL, "signal": SIGNAL}, r"several arrays may be the ECG"),
        ({"fs": np.array(500)}, r"no array is one ECG .* \(found: fs of shape \(\)\)"),
        ({"ecg": SIGNAL, "fs": np.array([250, 500])}, r"several numbers \(\[250, 500\] \.\.\.\) stand where one"),
        ({"ecg": SIGNAL, "fs": "fast"}, r"the sampling rate 'fast' is no number; state it"),
        ({"ecg": SIGNAL, "fs": -1}, r"gives a sampling rate of -1 Hz; state the right one"),
        ({"ecg": SIGNAL, "fs": 500, "unit": "mmHg"}, r"gives the unit 'mmHg', which is no voltage; state one of"),
        ({"ecg": SIGNAL, "fs": 500, "unit": np.array(["mV", "uV"])}, r"leads are of different units \(mV, uV\)"),
        ({"ecg": SIGNAL, "leads": 12}, r"lead names are a number \(12\); state them"),
        ({"ecg": SIGNAL, "leads": np.array(["I"] * 65)}, r"65 values describe the signal; a rate"),
    ],
)
def test_what_an_archive_leaves_open_is_an_error(arrays, message):
    with pytest.raises(RecordError, match=message):
        read(npz(**arrays), "r.npz")


def test_leads_may_be_one_text():
    assert read(npz(ecg=SIGNAL[:3], leads="I, II; V1", **STATED), "r.npz").leads == ("I", "II", "V1")


def test_a_damaged_character_is_told():
    content = npz(ecg=SIGNAL, fs=500, unit="mV")
    content = content.replace("mV".encode("utf-32-le"), b"\xff\xff\xff\xffV\0\0\0")
    with pytest.raises(RecordError, match="the archive is damaged"):
        read(content, "r.npz")  # the checksum knows
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("ecg.npy", npy(SIGNAL))
        archive.writestr("unit.npy", npy(np.array("mV")).replace("mV".encode("utf-32-le"), b"\xff\xff\xff\xffV\0\0\0"))
    with pytest.raises(RecordError, match="a text beside the signal is damaged"):
        read(stream.getvalue(), "r.npz", fs=500)


def test_an_archive_that_unpacks_without_measure_is_refused():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("ecg.npy", "w") as member:
        member.write(npy(np.zeros((12, 0), np.float32)))
        for _ in range(40):
            member.write(bytes(2**20))
    with pytest.raises(RecordError, match=r"its \d+ bytes promise to unpack to 41943\d+, far more than an ECG takes"):
        read(stream.getvalue(), "r.npz")


def test_a_lie_about_the_unpacked_size_is_refused():
    content = bytearray(npz(True, ecg=np.zeros((12, 100_000), np.float32), fs=500, unit="mV"))
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"fs.npy"))
    first = content.index(b"PK\x01\x02")
    assert first < at
    struct.pack_into("<I", content, first + 24, 1000)
    with pytest.raises(RecordError, match="damaged|promises"):
        read(bytes(content), "r.npz")


def test_rare_compression_and_repeated_names_are_refused():
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("ecg.npy", npy(SIGNAL))
    with pytest.raises(RecordError, match=r"ecg\.npy is compressed in a way that NumPy does not use"):
        read(stream.getvalue(), "r.npz")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("ecg.npy", npy(SIGNAL))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("ecg.npy", npy(SIGNAL))
    with pytest.raises(RecordError, match="two arrays are called 'ecg'"):
        read(stream.getvalue(), "r.npz")


def test_a_cut_archive_is_refused():
    with pytest.raises(RecordError, match=r"the archive is damaged \(File is not a zip file\)"):
        read(npz(ecg=SIGNAL)[:-30], "r.npz")


CONTENTS = {
    "r.npy": npy(SIGNAL),
    "r.npz": npz(ecg=SIGNAL, fs=500, unit="mV", leads=np.array(TWELVE_LEADS)),
    "z.npz": npz(True, ecg=SIGNAL, fs=500, unit="mV"),
}


@pytest.mark.parametrize("name", CONTENTS)
@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(name, changes):
    content = damaged(CONTENTS[name], changes)
    assert_record_or_error(MemoryFiles(name, {name: content}), **STATED)
    assert_record_or_error(MemoryFiles(name, {name: damaged(CONTENTS[name][:160], changes) + CONTENTS[name][160:]}))
