"""DICOM waveforms: values as pydicom gives them, the rhythm among its groups, and every refusal."""

import io
import struct
import sys
import zlib

import numpy as np
import pydicom
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    TwelveLeadECGWaveformStorage,
)

from einthoven.errors import MissingExtraError, RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.leads import TWELVE_LEADS

NUMBERS = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)
COUNTS = np.random.default_rng(13).integers(-2000, 2000, (12, 80)).astype(np.int16)


def code(value, scheme="MDC", meaning="meaning"):
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def channel(source, unit="uV", sensitivity=1.25, **more):
    item = Dataset()
    if source is not None:
        item.ChannelSourceSequence = [source]
    if sensitivity is not None:
        item.ChannelSensitivity = sensitivity
        item.ChannelSensitivityUnitsSequence = [code(unit, "UCUM")]
        item.ChannelSensitivityCorrectionFactor = 1
        item.ChannelBaseline = 0
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return item


def group(counts=COUNTS, channels=None, fs=500, label="RHYTHM", kind="SS", **more):
    """A multiplex group of (channels, samples)."""
    item = Dataset()
    item.WaveformOriginality = "ORIGINAL"
    item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = counts.shape
    item.SamplingFrequency = fs
    item.MultiplexGroupLabel = label
    item.WaveformBitsAllocated = 8 * counts.dtype.itemsize
    item.WaveformSampleInterpretation = kind
    names = NUMBERS[: len(counts)]
    item.ChannelDefinitionSequence = [channel(code(f"2:{n}")) for n in names] if channels is None else channels
    item.WaveformData = counts.T.tobytes()
    item["WaveformData"].VR = "OB" if counts.dtype.itemsize == 1 else "OW"
    for keyword, value in more.items():
        setattr(item, keyword, value)
    return item


def dicom(*groups, syntax=ExplicitVRLittleEndian, preamble=True, **more):
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = TwelveLeadECGWaveformStorage, "1.2.3"
    dataset.Modality, dataset.PatientID, dataset.PatientSex, dataset.PatientAge = "ECG", "P9", "F", "042Y"
    if groups:
        dataset.WaveformSequence = list(groups)
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    stream = io.BytesIO()
    if not preamble:
        pydicom.dcmwrite(stream, dataset, implicit_vr=syntax.is_implicit_VR, little_endian=True)
        return stream.getvalue()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID, dataset.file_meta.MediaStorageSOPInstanceUID = (
        dataset.SOPClassUID,
        "1.2.3",
    )
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def read(content, **stated):
    return read_record(MemoryFiles("r.dcm", {"r.dcm": content}), **stated)


@pytest.mark.parametrize(
    ("syntax", "preamble"),
    [
        (ExplicitVRLittleEndian, True),
        (ExplicitVRLittleEndian, False),
        (ImplicitVRLittleEndian, True),
        (ImplicitVRLittleEndian, False),
        (DeflatedExplicitVRLittleEndian, True),
    ],
)
def test_values_are_those_of_pydicom(syntax, preamble):
    content = dicom(group(), syntax=syntax, preamble=preamble)
    record = read(content)
    expected = pydicom.dcmread(io.BytesIO(content), force=True).waveform_array(0).T / 1000
    np.testing.assert_allclose(record.signal, expected, rtol=1e-6)
    np.testing.assert_allclose(record.signal, COUNTS * 1.25e-3, rtol=1e-6)
    assert (record.leads, record.fs, record.record_id) == (TWELVE_LEADS, 500.0, "r")
    assert (record.patient_id, record.sex, record.age, record.notes) == ("P9", "female", 42.0, ())


def test_a_path_reads_as_an_upload_does(tmp_path):
    (tmp_path / "r").write_bytes(dicom(group()))
    np.testing.assert_array_equal(read_record(tmp_path / "r").signal, read(dicom(group())).signal)
    assert ".dcm" in {reader.name: reader for reader in list_formats()}["DICOM"].suffixes


def test_big_endian_files_are_read():
    content = dicom(group(COUNTS.astype(">i2")), syntax=ExplicitVRBigEndian)
    np.testing.assert_allclose(read(content).signal, COUNTS * 1.25e-3, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("SB", "i1"), ("UB", "u1"), ("SS", "i2"), ("US", "u2"), ("SL", "i4"), ("UL", "u4")]
)
def test_samples_of_every_kind_are_read(kind, dtype):
    counts = np.arange(24).reshape(12, 2).astype(dtype)
    np.testing.assert_allclose(read(dicom(group(counts, kind=kind))).signal, counts * 1.25e-3, rtol=1e-6)


def test_sensitivity_correction_and_baseline_are_applied():
    more = {"ChannelSensitivityCorrectionFactor": 2, "ChannelBaseline": 0.5}
    record = read(dicom(group(COUNTS[:1], [channel(code("2:2"), "mV", 0.01, **more)])))
    np.testing.assert_allclose(record.signal[0], COUNTS[0] * 0.02 + 0.5, rtol=1e-6)


def test_padding_becomes_nan():
    counts = COUNTS.copy()
    counts[2, 70:] = -32768
    item = group(counts)
    item.add_new("WaveformPaddingValue", "OW", struct.pack("<h", -32768))
    signal = read(dicom(item)).signal
    assert np.isnan(signal[2, 70:]).all()
    assert np.isnan(signal).sum() == 10
    item = group(counts)
    item.add_new("WaveformPaddingValue", "SS", -32768)
    assert np.isnan(read(dicom(item)).signal).sum() == 10
    item = group(COUNTS.astype(np.int32), kind="SL")
    item.add_new("WaveformPaddingValue", "OW", b"\0\0")
    with pytest.raises(RecordError, match="the element WaveformPaddingValue is .*, which is no sample"):
        read(dicom(item))


@pytest.mark.parametrize(
    ("source", "lead"),
    [
        (code("2:61"), "III"),
        (code("5.6.3-9-62", "SCPECG"), "aVR"),
        (code("MDC_ECG_LEAD_AVL"), "aVL"),
        (code("999", meaning="Lead aVF (Goldberger)"), "aVF"),
        (code("2:12"), "V4R"),
        (code("2:18"), "vz"),
        (code("2:66"), "V8"),
        (code("2:500", meaning="Odd"), "Odd"),
        (None, "channel 1"),
    ],
)
def test_leads_are_known_by_code_or_name(source, lead):
    assert read(dicom(group(COUNTS[:1], [channel(source)]))).leads == (lead,)


def test_the_label_of_a_channel_names_it_where_no_code_does():
    assert read(dicom(group(COUNTS[:1], [channel(None, ChannelLabel="Lead V3")]))).leads == ("V3",)


def test_the_rhythm_is_chosen_before_the_median_beat():
    beat = group(COUNTS[:, :30], fs=500, label="MEDIAN BEAT", WaveformOriginality="DERIVED")
    for groups in ((group(), beat), (beat, group())):
        record = read(dicom(*groups))
        assert record.n_samples == 80
        assert record.notes == ("Left out, beside RHYTHM (12 channels, 0.16 s): MEDIAN BEAT (12 channels, 0.06 s).",)
    assert read(dicom(beat)).n_samples == 30


def test_recorded_groups_of_the_same_leads_or_of_another_rate_are_left_out():
    again, other = group(COUNTS[:, :30], label="AGAIN"), group(COUNTS[:, :30], fs=250, label="SLOW")
    record = read(dicom(group(), again, other))
    assert record.n_samples == 80
    assert record.notes == (
        "Left out, beside RHYTHM (12 channels, 0.16 s): AGAIN (12 channels, 0.06 s), SLOW (12 channels, 0.12 s).",
    )


def test_of_several_values_the_first_counts():
    assert read(dicom(group(), PatientID=["P1", "P2"])).patient_id == "P1"


def test_groups_of_other_leads_are_joined_at_their_time():
    parts = []
    for k in range(4):
        channels = [channel(code(f"2:{n}")) for n in NUMBERS[3 * k : 3 * k + 3]]
        parts.append(group(COUNTS[3 * k : 3 * k + 3, :20], channels, MultiplexGroupTimeOffset=k * 40))
    record = read(dicom(*parts))
    assert (record.leads, record.n_samples) == (TWELVE_LEADS, 80)
    for k in range(4):
        np.testing.assert_allclose(record.signal[3 * k, 20 * k : 20 * k + 20], COUNTS[3 * k, :20] * 1.25e-3, rtol=1e-6)
        assert np.isnan(record.signal[3 * k]).sum() == 60
    assert record.notes == ("4 groups of channels were joined; a lead is NaN where it was not recorded.",)
    parts[3].MultiplexGroupTimeOffset = 10**7
    with pytest.raises(RecordError, match=r"its groups of channels lie 10000 s apart, too long for one record"):
        read(dicom(*parts))


def test_channels_that_are_no_voltage_are_left_out():
    channels = [channel(code("2:1")), channel(code("9", meaning="Pressure"), "mm[Hg]")]
    record = read(dicom(group(COUNTS[:2], channels)))
    assert (record.leads, record.notes) == (
        ("I",),
        ("Channels that are no voltages were left out: Pressure [mm[Hg]].",),
    )
    with pytest.raises(RecordError, match=r"no channel is a voltage; state the unit .* Pressure \[mm\[Hg\]\]"):
        read(dicom(group(COUNTS[:1], channels[1:])))


def test_a_missing_unit_must_be_stated():
    item = group(COUNTS[:1], [channel(code("2:1"), sensitivity=None)])
    with pytest.raises(RecordError, match=r"r\.dcm: I: the file gives no unit; state one of"):
        read(dicom(item))
    np.testing.assert_allclose(read(dicom(item), unit="uV").signal, COUNTS[:1] / 1000, rtol=1e-6)


def test_what_is_stated_goes_before_the_file():
    record = read(
        dicom(group()), fs=500, leads=[f"V{k}" for k in range(1, 7)] + ["I", "II", "III", "aVR", "aVL", "aVF"]
    )
    assert (record.fs, record.leads[0]) == (500.0, "V1")
    with pytest.raises(RecordError, match="1 lead names were stated for 12 channels"):
        read(dicom(group()), leads=["I"])


def test_a_stated_rate_must_be_that_of_the_rhythm_whatever_the_others_have():
    beat = group(COUNTS[:, :30], fs=1000, label="MEDIAN BEAT", WaveformOriginality="DERIVED")
    assert read(dicom(group(), beat), fs=500).fs == 500
    with pytest.raises(RecordError, match=r"r\.dcm: the file says 500 Hz, but 1000 Hz was stated; leave the stated"):
        read(dicom(group(), beat), fs=1000)


@pytest.mark.parametrize(
    ("facts", "age"),
    [
        ({"PatientAge": "006M"}, 0.5),
        ({"PatientAge": ""}, None),
        ({"PatientAge": "", "PatientBirthDate": "19700615", "StudyDate": "20200614"}, 49.0),
        ({"PatientAge": "", "PatientBirthDate": "19700615", "AcquisitionDateTime": "20200615101010"}, 50.0),
        ({"PatientAge": "", "PatientBirthDate": "20300615", "StudyDate": "20200614"}, None),
    ],
)
def test_the_age_is_stated_or_follows_from_dates(facts, age):
    assert read(dicom(group(), **facts)).age == age


def test_annotations_in_words_become_the_interpretation():
    items = []
    for words in ("Sinus rhythm\r\nNormal ECG", "Sinus rhythm", ""):
        item = Dataset()
        item.UnformattedTextValue = words
        item.ReferencedWaveformChannels = [1, 0]
        items.append(item)
    number = Dataset()
    number.NumericValue = "75"
    record = read(dicom(group(), WaveformAnnotationSequence=[*items, number]))
    assert record.interpretation == ("Sinus rhythm", "Normal ECG")


def test_leads_that_repeat_are_named():
    with pytest.raises(RecordError, match="several signals are called II; state the names of all 2"):
        read(dicom(group(COUNTS[:2], [channel(code("2:2")), channel(code("5.6.3-9-2"))])))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"NumberOfWaveformSamples": 10**9},
            r"the waveform promises 24000000000 bytes of samples and has 1920; it is cut",
        ),
        ({"NumberOfWaveformSamples": 0}, r"the element NumberOfWaveformSamples is 0\.0, which must be a whole number"),
        ({"NumberOfWaveformChannels": None}, r"the element NumberOfWaveformChannels is None"),
        ({"NumberOfWaveformChannels": 999}, r"a waveform of 999 channels is no ECG"),
        ({"NumberOfWaveformChannels": 6}, r"12 channels are defined for 6 in the waveform"),
        ({"SamplingFrequency": None}, r"the file gives no sampling rate; state it"),
        ({"SamplingFrequency": 0}, r"the file gives a sampling rate of 0 Hz"),
        ({"WaveformSampleInterpretation": "MB"}, r"samples of 16 bits MB are not read; read are 8 bits SB"),
        ({"WaveformBitsAllocated": 64}, r"samples of 64 bits SS are not read"),
        ({"MultiplexGroupTimeOffset": "1e40"}, r"the element MultiplexGroupTimeOffset is '1e40', which is no number"),
    ],
)
def test_a_damaged_group_is_told(more, message):
    with pytest.raises(RecordError, match=message):
        read(dicom(group(**more)))


def test_a_picture_or_an_element_of_another_kind_is_refused():
    with pytest.raises(RecordError, match=r"this DICOM object \(kind OT\) has no waveform; an ECG stored as a picture"):
        read(dicom(Modality="OT"))
    with pytest.raises(RecordError, match="the element WaveformSequence is no sequence"):
        read(dicom(group()).replace(b"\x00\x54\x00\x01SQ", b"\x00\x54\x00\x01UT"))


def test_an_element_that_cannot_be_converted_is_named():
    content = dicom(group()).replace(b"DS\x06\x00500.0 ", b"DS\x06\x00fiver ")
    with pytest.raises(RecordError, match="the element SamplingFrequency is 'fiver', which is no number"):
        read(content)
    content = dicom(group()).replace(b"\x3a\x00\x05\x00US", b"\x3a\x00\x05\x00UL")
    with pytest.raises(RecordError, match="the element NumberOfWaveformChannels is damaged"):
        read(content)


def test_a_deflated_data_set_without_measure_is_refused():
    content = dicom(group(), syntax=DeflatedExplicitVRLittleEndian)
    length = int.from_bytes(content[140:144], "little")
    meta = content[: 144 + length]

    def deflated(data):
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return meta + packer.compress(data) + packer.flush()

    with pytest.raises(RecordError, match=r"its \d+ bytes unpack to more than 16777216, far more than an ECG takes"):
        read(deflated(bytes(40 * 2**20)))
    with pytest.raises(RecordError, match="the deflated data set is damaged"):
        read(meta + b"\xff" * 50)
    with pytest.raises(RecordError, match="the file meta information is damaged"):
        read(content.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x10\x00LO"))


def test_damage_beyond_pydicom_is_its_complaint():
    with pytest.raises(RecordError, match=r"r\.dcm: (the pydicom package cannot read it|this DICOM object)"):
        read(dicom(group())[:400])


def test_without_pydicom_the_extra_is_named(monkeypatch):
    content = dicom(group())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"r\.dcm: reading DICOM needs .* 'einthoven\[formats\]'"):
        read(content)


CONTENTS = {
    "explicit": dicom(group(COUNTS[:3, :20])),
    "implicit": dicom(group(COUNTS[:3, :20]), syntax=ImplicitVRLittleEndian, preamble=False),
    "deflated": dicom(group(COUNTS[:3, :20]), syntax=DeflatedExplicitVRLittleEndian),
}


@pytest.mark.parametrize("kind", CONTENTS)
@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(kind, changes):
    assert_record_or_error(MemoryFiles("r.dcm", {"r.dcm": damaged(CONTENTS[kind], changes)}))


@pytest.mark.real
def test_the_real_file_equals_pydicom(real_data):
    path = real_data / "formats" / "dicom_marcodebe" / "anonymous_ecg.dcm"
    record = read_record(path)
    np.testing.assert_allclose(record.signal, pydicom.dcmread(path).waveform_array(0).T / 1000, rtol=1e-6)
    assert (record.leads, record.fs, record.duration_s) == (TWELVE_LEADS, 1000.0, 10.0)
    assert (record.patient_id, record.sex, record.age) == ("642341", "female", 42.0)
    assert record.interpretation == ("RITMO SINUSALE", "ECG NORMALE")
    assert record.notes == ("Left out, beside RHYTHM (12 channels, 10 s): MEDIAN BEAT (12 channels, 1.2 s).",)
