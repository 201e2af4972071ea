"""GE MUSE XML: the layout of restecg.dtd with known samples, a real file, every named error."""

import base64
import zlib

import numpy as np
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given, settings

from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.leads import TWELVE_LEADS

STORED = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
COUNTS = np.random.default_rng(5).integers(-300, 300, (8, 60)).astype("<i2")


def lead(name, counts, **changes):
    data = counts.astype("<i2").tobytes()
    fields = {
        "LeadByteCountTotal": len(data),
        "LeadTimeOffset": 0,
        "LeadSampleCountTotal": len(counts),
        "LeadAmplitudeUnitsPerBit": "4.88",
        "LeadAmplitudeUnits": "MICROVOLTS",
        "LeadID": name,
        "LeadOffsetFirstSample": 0,
        "FirstSampleBaseline": 0,
        "LeadSampleSize": 2,
        "LeadOff": "FALSE",
        "LeadDataCRC32": zlib.crc32(data),
        "WaveFormData": "\n" + base64.encodebytes(data).decode(),
    } | changes
    inner = "".join(f"<{tag}>{value}</{tag}>" for tag, value in fields.items() if value is not None)
    return f"<LeadData>{inner}</LeadData>"


def waveform(kind="Rhythm", leads=None, base="500", exponent="0"):
    stored = "".join(lead(name, row) for name, row in zip(STORED, COUNTS, strict=True)) if leads is None else leads
    return (
        f"<Waveform><WaveformType>{kind}</WaveformType><SampleBase>{base}</SampleBase>"
        f"<SampleExponent>{exponent}</SampleExponent>{stored}</Waveform>"
    )


DEMOGRAPHICS = (
    "<PatientID>P 7</PatientID><PatientAge>40</PatientAge><AgeUnits>YEARS</AgeUnits>"
    "<DateofBirth>06-10-1980</DateofBirth><Gender>MALE</Gender>"
)
DIAGNOSIS = """<Diagnosis><Modality>RESTING</Modality>
<DiagnosisStatement><StmtText>Sinus rhythm</StmtText></DiagnosisStatement>
<DiagnosisStatement><StmtFlag>ENDSLINE</StmtFlag><StmtText>with 1st degree
 A-V block</StmtText></DiagnosisStatement>
<DiagnosisStatement><StmtFlag>USERINSERT</StmtFlag><StmtText>Confirmed</StmtText></DiagnosisStatement>
</Diagnosis>"""


def muse(*waveforms, demographics=DEMOGRAPHICS, diagnosis=DIAGNOSIS):
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG>'
        f"<PatientDemographics>{demographics}</PatientDemographics>"
        "<TestDemographics><AcquisitionDate>09-22-2020</AcquisitionDate></TestDemographics>"
        f"{diagnosis}{''.join(waveforms or [waveform()])}</RestingECG>"
    ).encode("latin-1")


def read(content, **stated):
    return read_record(MemoryFiles("ecg.xml", {"ecg.xml": content}), **stated)


def changed(**changes):
    """A record whose lead I is changed."""
    stored = lead("I", COUNTS[0], **changes) + lead("II", COUNTS[1])
    return muse(waveform(leads=stored))


def test_eight_stored_leads_become_twelve():
    record = read(muse())
    assert record.leads == TWELVE_LEADS
    assert (record.fs, record.record_id, record.patient_id, record.age, record.sex) == (500.0, "ecg", "P 7", 40, "male")
    assert record.interpretation == ("Sinus rhythm with 1st degree A-V block", "Confirmed")
    assert record.notes == ("III, aVR, aVL, aVF were derived from I and II.",)
    rows = dict(zip(record.leads, record.signal, strict=True))
    for name, counts in zip(STORED, COUNTS, strict=True):
        np.testing.assert_allclose(rows[name], counts * 0.00488, rtol=1e-6, atol=1e-9)
    one, two = rows["I"], rows["II"]
    expected = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    for name, values in expected.items():
        np.testing.assert_allclose(rows[name], values, atol=1e-6)


def test_a_path_reads_as_an_upload_does(tmp_path):
    (tmp_path / "ecg.xml").write_bytes(muse())
    np.testing.assert_array_equal(read_record(tmp_path / "ecg.xml").signal, read(muse()).signal)
    assert "GE MUSE XML" in {reader.name for reader in list_formats()}


def test_the_rhythm_goes_before_the_median_and_the_median_before_nothing():
    median = waveform("Median", leads=lead("II", COUNTS[1, :20]))
    both = read(muse(median, waveform()))
    assert both.n_samples == 60
    alone = read(muse(median))
    assert alone.leads == ("II",)
    assert alone.notes == ("The file has no rhythm; its median beat was read.",)
    assert "The first of 2 rhythm waveforms was read." in read(muse(waveform(), waveform())).notes


def test_stored_limb_leads_are_kept_and_only_missing_ones_derived():
    stored = "".join(lead(name, COUNTS[k]) for k, name in enumerate(("II", "I", "III", "V1", "V3R")))
    record = read(muse(waveform(leads=stored)))
    assert record.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V3R")
    np.testing.assert_allclose(record.signal[2], COUNTS[2] * 0.00488, rtol=1e-6)
    assert record.notes == ("aVR, aVL, aVF were derived from I and II.",)
    full = "".join(lead(name, COUNTS[k]) for k, name in enumerate(TWELVE_LEADS[:8]))
    assert read(muse(waveform(leads=full))).notes == ()
    one_missing = "".join(lead(name, COUNTS[k]) for k, name in enumerate(TWELVE_LEADS[:5]))
    assert read(muse(waveform(leads=one_missing))).notes == ("aVF was derived from I and II.",)


@pytest.mark.parametrize(("base", "exponent", "fs"), [("500", "0", 500), ("5", "2", 500), ("2500", "-1", 250)])
def test_the_rate_is_base_times_ten_to_the_exponent(base, exponent, fs):
    assert read(muse(waveform(base=base, exponent=exponent))).fs == fs


@pytest.mark.parametrize(("unit", "factor"), [("MICROVOLTS", 1e-3), ("MILLIVOLTS", 1), ("NANOVOLT", 1e-6)])
def test_units_are_obeyed(unit, factor):
    record = read(changed(LeadAmplitudeUnits=unit, LeadAmplitudeUnitsPerBit="2"))
    np.testing.assert_allclose(record.signal[0], COUNTS[0] * 2 * factor, rtol=1e-6)


def test_what_is_stated_goes_before_what_the_file_says():
    stored = lead("X9", COUNTS[0], LeadAmplitudeUnits="") + lead("", COUNTS[1])
    record = read(muse(waveform(leads=stored)), fs=500, unit="mV", leads=["V1", "V2"])
    assert (record.fs, record.leads) == (500.0, ("V1", "V2"))
    np.testing.assert_allclose(record.signal, COUNTS[:2] * 4.88, rtol=1e-6)
    with pytest.raises(RecordError, match="the file says 500 Hz, but 250 Hz was stated"):
        read(muse(), fs=250)
    assert read(muse(), unit="normalised").unit == "normalised"


@pytest.mark.parametrize(
    ("demographics", "age", "sex"),
    [
        ("", None, None),
        ("<PatientAge>6</PatientAge><AgeUnits>MONTHS</AgeUnits><Gender>FEMALE</Gender>", 0.5, "female"),
        ("<DateofBirth>09-23-1980</DateofBirth><Gender>UNKNOWN</Gender>", 39, None),
        ("<PatientAge>999</PatientAge>", None, None),
    ],
)
def test_patient_facts_are_read_or_left_out(demographics, age, sex):
    record = read(muse(demographics=demographics))
    assert (record.age, record.sex, record.patient_id) == (age, sex, None)
    assert any("The age '999'" in note for note in record.notes) == ("999" in demographics)


def test_the_original_diagnosis_is_read_for_want_of_a_confirmed_one():
    original = DIAGNOSIS.replace("Diagnosis>", "OriginalDiagnosis>", 1).replace("</Diagnosis>", "</OriginalDiagnosis>")
    assert read(muse(diagnosis=original)).interpretation[0].startswith("Sinus rhythm")
    assert read(muse(diagnosis="<Diagnosis/>" + original)).interpretation[0].startswith("Sinus rhythm")
    assert read(muse(diagnosis="")).interpretation == ()


def test_what_a_lead_says_of_itself_is_noted():
    notes = read(changed(LeadOff="TRUE", LeadTimeOffset="4", FirstSampleBaseline="7")).notes
    assert "The device marks lead I as off; its samples were kept." in notes
    assert "Lead I has a LeadTimeOffset of 4, which was not applied." in notes
    assert "Lead I has a FirstSampleBaseline of 7, which was not applied." in notes


def test_a_checksum_that_fits_no_lead_is_a_note_and_one_that_fits_some_an_error():
    none = lead("I", COUNTS[0], LeadDataCRC32=1) + lead("II", COUNTS[1], LeadDataCRC32=2)
    assert "LeadDataCRC32 fits no lead" in read(muse(waveform(leads=none))).notes[0]
    assert read(changed(LeadDataCRC32=None)).notes == ("III, aVR, aVL, aVF were derived from I and II.",)
    with pytest.raises(RecordError, match="LeadDataCRC32 does not fit the samples of I; copy the file again"):
        read(changed(LeadDataCRC32=1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<RestingECG/>", r"ecg\.xml: has no waveform of type Rhythm or Median \(its types: none at all\)"),
        (muse(waveform("Other")), r"its types: other"),
        (muse(waveform(leads="")), "its waveform has no leads"),
        (muse(waveform(base="")), "gives no sampling rate; state it"),
        (muse(waveform(base="abc")), "gives no sampling rate"),
        (muse(waveform(exponent="x")), "gives no sampling rate"),
        (muse(waveform(exponent="99")), "gives no sampling rate"),
        (muse(waveform(base="0")), "a sampling rate of 0 Hz"),
        (changed(LeadSampleSize=4), "lead I: has samples of 4 bytes"),
        (changed(LeadSampleCountTotal=59), "lead I: LeadSampleCountTotal says 59, the samples make 60"),
        (changed(LeadSampleCountTotal="x"), "LeadSampleCountTotal says x"),
        (changed(LeadByteCountTotal=10**12), "LeadByteCountTotal says 1000000000000, the samples make 120"),
        (changed(WaveFormData="????"), "lead I: its samples are not valid Base64"),
        (changed(WaveFormData="AAAA"), "has 3 bytes of samples, which are no whole samples"),
        (changed(WaveFormData=""), "has 0 bytes of samples"),
        (changed(WaveFormData=None), "has 0 bytes of samples"),
        (changed(LeadAmplitudeUnitsPerBit=None), "gives no LeadAmplitudeUnitsPerBit above zero"),
        (changed(LeadAmplitudeUnitsPerBit="-4.88"), "gives no LeadAmplitudeUnitsPerBit above zero"),
        (changed(LeadAmplitudeUnitsPerBit="1e300"), "lead I: has values too large"),
        (changed(LeadAmplitudeUnits="PASCAL"), "lead I: gives the unit 'PASCAL', which is no voltage; state it"),
        (changed(LeadAmplitudeUnits=None), "lead I: gives no unit; state it"),
        (changed(LeadID="II"), "several signals are called II; state the names"),
        (changed(LeadID=None), "has a lead without LeadID; state the names of its 2 leads"),
        (
            muse(waveform(leads=lead("I", COUNTS[0]) + lead("II", COUNTS[1, :9]))),
            r"different numbers of samples \(I 60, II 9\)",
        ),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(content, message):
    with pytest.raises(RecordError, match=message):
        read(content)


def test_leads_of_different_length_are_refused_with_stated_names_too():
    stored = lead("I", COUNTS[0]) + lead("II", COUNTS[1, :9])
    with pytest.raises(RecordError, match="different numbers of samples"):
        read(muse(waveform(leads=stored)), leads=["I", "II"])


SMALL = muse(waveform(leads=lead("I", COUNTS[0, :12]) + lead("II", COUNTS[1, :12])))


@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(changes):
    assert_record_or_error(MemoryFiles("ecg.xml", {"ecg.xml": damaged(SMALL, changes)}))


@pytest.fixture(scope="module")
def real_file(real_data):
    return real_data / "formats/muse_perottelab/MUSE_20200923_093504_79000_example.xml"


@pytest.mark.real
def test_a_real_file_is_read_with_physiologic_amplitudes(real_file):
    record = read_record(real_file)
    assert (record.leads, record.fs, record.n_samples) == (TWELVE_LEADS, 500.0, 5000)
    assert (record.age, record.sex) == (40.0, "male")
    assert record.interpretation[:2] == (
        "Sinus bradycardia with sinus arrhythmia with 1st degree A-V block",
        "Otherwise normal ECG",
    )
    spans = np.ptp(record.signal, axis=1)
    assert spans.min() > 0.1
    assert spans.max() < 5
    # The device's own measurement: the R wave of lead I in the median beat is 0.556 mV high.
    assert np.percentile(record.signal[0], 99.9) == pytest.approx(0.556, abs=0.1)


@pytest.mark.real
def test_a_real_file_damaged_in_its_samples_is_refused_by_its_checksum(real_file):
    content = real_file.read_bytes()
    at = content.rindex(b"<WaveFormData>") + 500
    flipped = content[:at] + (b"A" if content[at : at + 1] != b"A" else b"B") + content[at + 1 :]
    with pytest.raises(RecordError, match="LeadDataCRC32 does not fit the samples of V6"):
        read(flipped)


@pytest.mark.real
def test_a_damaged_real_file_gives_a_record_or_an_error(real_file):
    content = real_file.read_bytes()

    @given(changes=damage)
    @settings(QUICK, max_examples=40)
    def check(changes):
        assert_record_or_error(MemoryFiles("ecg.xml", {"ecg.xml": damaged(content, changes)}))

    check()
