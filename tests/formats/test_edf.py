"""EDF, EDF+, BDF and BDF+: values as pyedflib reads them, leads by label, gaps, and every refusal."""

import datetime
import re

import numpy as np
import pyedflib
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given

from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.formats.edf_leads import lead_name

FS = 100
WAVES = np.random.default_rng(5).uniform(-1.5, 1.5, (8, 4 * FS))


def write(path, labels=("ECG I", "ECG II", "ECG V1"), *, units="mV", rates=FS, bdf=False, plus=True, notes=()):
    """A file of four seconds by pyedflib; ``units`` and ``rates`` for each label or for all."""
    kinds = {(False, False): 0, (False, True): 1, (True, False): 2, (True, True): 3}
    writer = pyedflib.EdfWriter(str(path), len(labels), kinds[bdf, plus])
    digital = 2 ** (23 if bdf else 15)
    units = [units] * len(labels) if isinstance(units, str) else units
    rates = [rates] * len(labels) if isinstance(rates, int) else rates
    for k, label in enumerate(labels):
        header = {
            "label": label,
            "dimension": units[k],
            "sample_frequency": rates[k],
            "transducer": "",
            "prefilter": "",
        }
        header |= {"physical_min": -2.0, "physical_max": 2.0, "digital_min": -digital, "digital_max": digital - 1}
        writer.setSignalHeader(k, header)
    if plus:
        writer.setPatientCode("P_17")
        writer.setSex(0)
        writer.setBirthdate(datetime.date(1950, 7, 2))
        writer.setStartdatetime(datetime.datetime(2020, 7, 1, 12, 0, 0))
    writer.writeSamples([WAVES[k][: 4 * rates[k]] for k in range(len(labels))])
    for onset, text in notes:
        writer.writeAnnotation(onset, -1, text)
    writer.close()
    return path


def physical(path, index):
    with pyedflib.EdfReader(str(path)) as reader:
        return reader.readSignal(index)


def changed(path, at, text):
    """The file's bytes with ASCII text written at an offset."""
    content = bytearray(path.read_bytes())
    content[at : at + len(text)] = text.encode("latin-1")
    return bytes(content)


def read(content, **stated):
    return read_record(MemoryFiles("r.edf", {"r.edf": content}), **stated)


def field(path, name, index=0):
    """Offset of a field of a signal's header."""
    n = int(path.read_bytes()[252:256])
    widths = {
        "label": 16,
        "transducer": 80,
        "unit": 8,
        "low": 8,
        "high": 8,
        "bottom": 8,
        "top": 8,
        "filter": 80,
        "n": 8,
    }
    at = 256
    for key, width in widths.items():
        if key == name:
            return at + index * width
        at += n * width
    raise KeyError(name)


@pytest.mark.parametrize("bdf", [False, True])
@pytest.mark.parametrize("plus", [False, True])
def test_values_are_those_of_pyedflib(tmp_path, bdf, plus):
    path = write(tmp_path / "r.edf", bdf=bdf, plus=plus)
    record = read_record(path)
    assert (record.leads, record.fs, record.unit) == (("I", "II", "V1"), 100.0, "mV")
    for k in range(3):
        np.testing.assert_allclose(record.signal[k], physical(path, k), rtol=0, atol=2e-7)
    np.testing.assert_allclose(record.signal, WAVES[:3], rtol=0, atol=6.2e-5)  # one digital step
    uploaded = read_record(MemoryFiles("r.edf", {"r.edf": path.read_bytes()}))
    np.testing.assert_array_equal(uploaded.signal, record.signal)
    assert uploaded.record_id == "r"


def test_the_format_is_listed():
    assert ".bdf" in {reader.name: reader for reader in list_formats()}["EDF"].suffixes


def test_a_reversed_physical_range_turns_the_signal(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG"])
    content = bytearray(changed(path, field(path, "low"), "2       "))
    content[field(path, "high") : field(path, "high") + 8] = b"-2      "
    turned, straight = read(bytes(content)).signal, read_record(path).signal
    np.testing.assert_allclose(turned, -straight, atol=1e-6)


@pytest.mark.parametrize(("unit", "factor"), [("uV", 1e-3), ("µV", 1e-3), ("V", 1e3), ("nV", 1e-6), ("mV", 1.0)])
def test_units_come_from_the_physical_dimension(tmp_path, unit, factor):
    path = write(tmp_path / "r.edf", ["ECG"])
    content = changed(path, field(path, "unit"), unit.ljust(8))
    np.testing.assert_allclose(read(content).signal[0], physical(path, 0) * factor, rtol=1e-6, atol=1e-9)


def test_a_missing_unit_must_be_stated(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG"], units="")
    with pytest.raises(RecordError, match=r"r\.edf: ECG: the file gives no unit; state one of mV, uV"):
        read_record(path)
    np.testing.assert_allclose(read_record(path, unit="uV").signal[0], physical(path, 0) / 1000, rtol=1e-6)
    assert read_record(path, unit="normalised").unit == "normalised"


def test_patient_facts_come_from_edf_plus(tmp_path):
    record = read_record(write(tmp_path / "r.edf"))
    assert (record.patient_id, record.sex, record.age) == ("P 17", "female", 69.0)
    plain = read_record(write(tmp_path / "p.edf", plus=False))
    assert (plain.patient_id, plain.sex, plain.age) == (None, None, None)


@pytest.mark.parametrize("patient", ["X X X X", "P1 X 31-FEB-1950 X", "P1 X 02-FOO-1950 X", "P1 X 02-JUL-2050 X", ""])
def test_unknown_or_impossible_birthdates_give_no_age(tmp_path, patient):
    assert read(changed(write(tmp_path / "r.edf"), 8, patient.ljust(80))).age is None


def test_annotations_become_the_interpretation(tmp_path):
    notes = [(0.5, "Sinus rhythm"), (1.5, "VES"), (2.5, "VES")]
    assert read_record(write(tmp_path / "r.edf", notes=notes)).interpretation == ("Sinus rhythm", "VES")


def test_too_many_annotations_are_cut_and_noted(tmp_path, monkeypatch):
    monkeypatch.setattr("einthoven.formats.edf._MOST_TEXTS", 2)
    record = read_record(write(tmp_path / "r.edf", notes=[(k, f"note {k}") for k in range(3)]))
    assert record.interpretation == ("note 0", "note 1")
    assert record.notes == ("1 annotations more were left out.",)


@pytest.mark.parametrize(
    ("label", "lead"),
    [
        ("EKG II", "II"),
        ("ECG aVR", "aVR"),
        ("V5", "V5"),
        ("ECG V2-Ref", "V2"),
        ("ECG1-ECG2", "ECG1-ECG2"),
        ("ekg", "ekg"),
    ],
)
def test_labels_become_lead_names(label, lead):
    assert lead_name(label) == lead


def test_signals_that_are_no_ecg_are_left_out_and_named(tmp_path):
    labels = ["EEG C3-A2", "C4", "EKG II", "ECG1-ECG2", "SpO2", "Resp", "ECG HR", "X"]
    path = write(tmp_path / "r.edf", labels, units=["uV", "uV", "mV", "mV", "%", "mV", "bpm", "g"])
    record = read_record(path)
    assert record.leads == ("II", "ECG1-ECG2")
    assert record.notes == ("Left out as no ECG: EEG C3-A2 [uV], C4 [uV], SpO2 [%], Resp [mV], ECG HR [bpm], X [g].",)


def test_chest_leads_called_c_are_leads_in_the_company_of_limb_leads(tmp_path):
    path = write(tmp_path / "r.edf", ["I", "II", *(f"C{k}" for k in range(1, 7))])
    assert read_record(path).leads == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    path = write(tmp_path / "x.edf", ["X", "Y", "Z"])
    assert read_record(path).leads == ("vx", "vy", "vz")


def test_without_a_known_label_voltages_keep_theirs(tmp_path):
    record = read_record(write(tmp_path / "r.edf", ["chan 1", "chan 2", "EMG"]))
    assert record.leads == ("chan 1", "chan 2")
    assert record.notes[0].startswith("No label names an ECG lead")


def test_no_ecg_at_all_is_refused(tmp_path):
    path = write(tmp_path / "r.edf", ["SpO2", "EEG Fp1"], units=["%", "uV"])
    with pytest.raises(RecordError, match=r"no signal is an ECG by its label and unit: SpO2 \[%\], EEG Fp1 \[uV\]"):
        read_record(path)


def test_signals_of_the_commonest_rate_are_kept(tmp_path):
    record = read_record(write(tmp_path / "r.edf", ["ECG I", "ECG II", "ECG V1"], rates=[100, 50, 100]))
    assert (record.leads, record.fs, record.n_samples) == (("I", "V1"), 100.0, 400)
    assert record.notes == ("Left out, not being sampled at 100 Hz: ECG II [mV].",)


def test_rates_that_tie_are_refused_until_one_is_stated(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG I", "ECG II"], rates=[100, 50])
    with pytest.raises(RecordError, match=r"different rates \(ECG I 100 Hz, ECG II 50 Hz\); state the one wanted"):
        read_record(path)
    assert read_record(path, fs=50).leads == ("II",)
    assert read_record(path, fs=100).leads == ("I",)


def test_a_stated_rate_that_no_signal_has_is_refused(tmp_path):
    with pytest.raises(RecordError, match="the file says 100 Hz, but 250 Hz was stated"):
        read_record(write(tmp_path / "r.edf"), fs=250)
    with pytest.raises(RecordError, match="the file says 100 Hz, but 250 Hz was stated"):
        read_record(write(tmp_path / "s.edf", ["ECG I", "ECG II"], rates=[100, 50]), fs=250)


def test_stated_leads_name_the_ecg_signals_or_all(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG 1", "ECG 2", "aux"])
    assert read_record(path, leads=["I", "V5"]).leads == ("I", "V5")
    assert read_record(path, leads=["I", "V5", "V6"]).leads == ("I", "V5", "V6")
    with pytest.raises(RecordError, match=r"1 lead names were stated for 2 ECG signals \(ECG 1 \[mV\], ECG 2 \[mV\]\)"):
        read_record(path, leads=["I"])


def test_leads_that_repeat_are_named(tmp_path):
    with pytest.raises(RecordError, match=r"several signals are called II; state the names of all 2 in order"):
        read_record(write(tmp_path / "r.edf", ["ECG II", "EKG II"]))


def interrupted(path, onsets):
    """The file as EDF+D, its data records (of one second) beginning at ``onsets``."""
    content = path.read_bytes().replace(b"EDF+C", b"EDF+D", 1)
    for k, onset in enumerate(onsets):
        content = content.replace(f"+{k}\x14\x14".encode(), f"+{onset}\x14\x14".encode().ljust(4, b"\0"), 1)
    return content


def test_gaps_of_an_interrupted_recording_are_nan(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG"])
    whole = read_record(path).signal
    record = read(interrupted(path, (0, 1, 5, 6)))
    assert record.n_samples == 700
    np.testing.assert_array_equal(record.signal[0, :200], whole[0, :200])
    assert np.isnan(record.signal[0, 200:500]).all()
    np.testing.assert_array_equal(record.signal[0, 500:], whole[0, 200:])
    assert record.notes[-1] == "The recording was interrupted 1 times; 3 s of gaps are NaN."
    np.testing.assert_array_equal(read(interrupted(path, (0, 1, 2, 3))).signal, whole)


def test_an_interrupted_recording_must_tell_its_times(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG"])
    with pytest.raises(RecordError, match="data record 3 begins at 1 s, before the one ahead of it ends"):
        read(interrupted(path, (0, 1, 1, 3)))
    with pytest.raises(
        RecordError, match=r"data record 2 of an interrupted recording \(EDF\+D\) does not say its time"
    ):
        read(path.read_bytes().replace(b"EDF+C", b"EDF+D", 1).replace(b"+1\x14", b"?1\x14"))
    content = write(tmp_path / "p.edf", ["ECG"], plus=False)
    with pytest.raises(RecordError, match=r"interrupted recording \(EDF\+D\) without annotations"):
        read(changed(content, 192, "EDF+D"))


def test_gaps_without_measure_are_refused(tmp_path):
    content = write(tmp_path / "r.edf", ["ECG"]).read_bytes().replace(b"EDF+C", b"EDF+D", 1)
    content = re.sub(rb"\+3\x14\x14\0{9}", b"+999999999\x14\x14\0", content)
    with pytest.raises(RecordError, match=r"400 samples are spread over 100000000000; the gaps are too long"):
        read(content)


def test_an_unclosed_recording_is_read_to_its_end(tmp_path):
    path = write(tmp_path / "r.edf")
    record = read(changed(path, 236, "-1      "))
    assert record.n_samples == 400
    assert record.notes[0].startswith("The recording was not closed")
    header = 256 * (1 + int(path.read_bytes()[252:256]))
    with pytest.raises(RecordError, match="not closed and holds no whole data record"):
        read(changed(path, 236, "-1      ")[: header + 10])


def test_bytes_after_the_last_record_are_noted(tmp_path):
    record = read(write(tmp_path / "r.edf").read_bytes() + b"12345")
    assert record.notes == ("The file has 5 bytes more than the header says; they were left out.",)


@pytest.mark.parametrize(
    ("where", "text", "message"),
    [
        (252, "x   ", r"number of signals is 'x', which is no whole number"),
        (252, "0   ", r"0 signals need a header of 256 bytes, it states 1280"),
        (252, "9999", r"9999 signals need a header"),
        (184, "512     ", r"4 signals need a header of 1280 bytes, it states 512"),
        (
            236,
            "99999999",
            r"promises 99999999 data records of \d+ bytes, the file has \d+ bytes of them; it is cut short",
        ),
        (236, "0       ", r"promises 0 data records"),
        (236, "4\x1c      ", r"number of data records is '4\\x1c', which is no whole number"),
        (236, "nan     ", r"number of data records is 'nan'"),
        (244, "0       ", r"a data record lasts 0 s, which must be 1e-05 or more"),
        (244, "-1      ", r"a data record lasts -1 s"),
        (244, "1e999   ", r"duration of a data record is '1e999', which is no number"),
        (244, "inf     ", r"duration of a data record is 'inf'"),
        ("n", "99999999", r"promises 4 data records of \d+ bytes"),
        ("n", "0       ", r"'ECG I' has 0 samples in each data record"),
        ("low", "2       ", r"ranges of 'ECG I' make no line: digital -32768 to 32767 .*, physical 2 to 2"),
        ("low", "x       ", r"physical range of 'ECG I' is 'x', which is no number"),
        ("low", "-1e300  ", r"infinite values, or some too large"),
        ("bottom", "32767   ", r"ranges of 'ECG I' make no line"),
        ("top", "32768   ", r"make no line: digital -32768 to 32768 \(within -32768 to 32767\)"),
    ],
)
def test_a_damaged_header_field_is_named(tmp_path, where, text, message):
    path = write(tmp_path / "r.edf")
    at = field(path, where) if isinstance(where, str) else where
    with pytest.raises(RecordError, match=message):
        read(changed(path, at, text))


def test_ranges_without_measure_are_refused(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG"])
    content = bytearray(changed(path, field(path, "low"), "1e308   "))
    content[field(path, "high") : field(path, "high") + 8] = b"-1e308  "
    with pytest.raises(RecordError, match=r"physical range of 'ECG', 1e\+308 to -1e\+308, is out of all measure"):
        read(bytes(content))


def test_a_rate_above_what_is_possible_must_be_stated(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG"])
    with pytest.raises(RecordError, match=r"gives a sampling rate of 1e\+06 Hz; state the right one"):
        read(changed(path, 244, "0.0001  "))


def test_a_cut_file_is_refused(tmp_path):
    content = write(tmp_path / "r.edf").read_bytes()
    with pytest.raises(RecordError, match="cut short or damaged"):
        read(content[:-1])
    with pytest.raises(RecordError, match="200 bytes are fewer than the shortest EDF header"):
        read(content[:200])


def test_a_broken_range_of_another_signal_does_no_harm(tmp_path):
    path = write(tmp_path / "r.edf", ["ECG", "SpO2"], units=["mV", "%"])
    assert read(changed(path, field(path, "low", 1), "2       ")).leads == ("ECG",)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edf")
    edf = write(folder / "r.edf", notes=[(0.5, "Sinus rhythm")]).read_bytes()
    return {
        "EDF+C": edf,
        "EDF+D": edf.replace(b"EDF+C", b"EDF+D"),
        "BDF": write(folder / "r.bdf", bdf=True).read_bytes(),
    }


@pytest.mark.parametrize("kind", ["EDF+C", "EDF+D", "BDF"])
@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(contents, kind, changes):
    content = damaged(contents[kind], changes)
    assert_record_or_error(MemoryFiles("r.edf", {"r.edf": content}))
    # Most of the file is samples, most of what can go wrong is in the header.
    header = damaged(contents[kind][:1280], changes) + contents[kind][1280:]
    assert_record_or_error(MemoryFiles("r.edf", {"r.edf": header}))


@pytest.mark.real
def test_real_files_equal_pyedflib(real_data):
    path = real_data / "formats" / "edf_pyedflib" / "test_subsecond.edf"
    record = read_record(path)
    np.testing.assert_allclose(record.signal[0], physical(path, 0) / 1000, rtol=0, atol=1e-6)
    assert (record.leads, record.fs, record.sex, record.age) == (("Fp1",), 128.0, "female", 22.0)
    assert record.interpretation == ("XLSpike", "Clip Note", "XLEvent")


@pytest.mark.real
def test_a_real_bdf_of_five_rates_equals_pyedflib(real_data):
    path = real_data / "formats" / "edf_pyedflib" / "test_generator_datarec_generator_2.bdf"
    for k, (fs, label) in enumerate(
        [(500, "sine 2.5Hz"), (400, "square 6.5Hz"), (250, "ramp 3.5Hz"), (487.5, "pink noise")]
    ):
        record = read_record(path, fs=fs)
        assert record.leads == (label,)
        np.testing.assert_allclose(record.signal[0], physical(path, k) / 1000, rtol=0, atol=1e-6)
