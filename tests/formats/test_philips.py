"""Philips SierraECG XML: an XLI encoder and its decoder, both versions' layouts, a real file and its twin.

There is no public file of version 1.03: its fixtures follow the published schema, SierraECGSchema_1_03.xsd.
"""

import base64
import struct

import numpy as np
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given, settings
from hypothesis import strategies as st

from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.formats.philips_xli import decode_xli, restore_limb_leads
from einthoven.leads import TWELVE_LEADS


def lzw_pack(data):
    """Welch's compressor, codes of 10 bits, a full table stays."""
    table = {bytes([value]): value for value in range(256)}
    codes, word = [], b""
    for value in data:
        longer = word + bytes([value])
        if longer in table:
            word = longer
            continue
        codes.append(table[word])
        if len(table) < 1023:
            table[longer] = len(table)
        word = bytes([value])
    bits = "".join(f"{code:010b}" for code in [*codes, *([table[word]] if word else []), 1023])
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[k : k + 8], 2) for k in range(0, len(bits), 8))


def xli_chunk(samples):
    x = np.asarray(samples, np.int64)
    bends = 2 * x[1:-1] - x[:-2] - x[2:]
    stored = np.concatenate([x[:2], bends[1:] + 64, [64]])[: len(x)].astype(">i2")
    halves = stored.view(np.uint8).reshape(-1, 2).T.tobytes()  # all high bytes, then all low bytes
    packed = lzw_pack(halves)
    return struct.pack("<IHh", len(packed), 256, int(bends[0]) if len(bends) else 0) + packed


def as_stored(leads):
    """Limb leads become what their derivation from I and II misses."""
    one, two, three = leads["I"], leads["II"], leads.get("III", leads["II"] - leads["I"])
    derived = {"III": two - one, "aVR": -((one + two) // 2), "aVL": (one - three) // 2, "aVF": (two + three) // 2}
    return {name: derived[name] - x if name in derived else x for name, x in leads.items()}


def ecg(n_samples=200, n_leads=12, seed=2):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.integers(-6, 7, (n_leads, n_samples)), axis=1)


COUNTS = ecg()


def xli(counts=COUNTS, labels=TWELVE_LEADS):
    stored = (
        as_stored(dict(zip(labels, counts, strict=True))) if "I" in labels else dict(zip(labels, counts, strict=True))
    )
    return base64.encodebytes(b"".join(xli_chunk(x) for x in stored.values())).decode()


def plain_base64(counts=COUNTS):
    return base64.encodebytes(counts.astype("<i2").tobytes()).decode()


PATIENT = '<patientid>P 7</patientid><age defaultage="50"><dateofbirth>1976-01-01</dateofbirth></age><sex>Female</sex>'
INTERPRETATION = """<interpretation><mdsignatureline>Dr X</mdsignatureline>
<severity code="ON" id="2">- OTHERWISE NORMAL ECG -</severity>
<statement><leftstatement>SINUS BRADYCARDIA</leftstatement><rightstatement>V-rate&lt;60</rightstatement></statement>
<statement><leftstatement> NO PREVIOUS </leftstatement><rightstatement> </rightstatement></statement></interpretation>"""


def document(waveforms, characteristics, version, patient=PATIENT, encoding="utf-16"):
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\n'
        '<restingecgdata xmlns="http://www3.medical.philips.com" status="Confirmed">'
        f"<documentinfo><documenttype>PhilipsECG</documenttype><documentversion>{version}</documentversion>"
        f'</documentinfo><dataacquisition date="2008-12-23"><signalcharacteristics>{characteristics}'
        f"</signalcharacteristics></dataacquisition><patient><generalpatientdata>{patient}</generalpatientdata></patient>"
        f"<interpretations>{INTERPRETATION}</interpretations><waveforms>{waveforms}</waveforms></restingecgdata>"
    ).encode(encoding)


def v104(data=None, version="1.04", patient=PATIENT, characteristics=None, **attributes):
    fields = {
        "dataencoding": "Base64",
        "compression": "XLI",
        "numberofleads": "12",
        "leadlabels": " ".join(TWELVE_LEADS),
        "durationperchannel": "400",
        "samplespersecond": "500",
        "resolution": "5",
        "signaloffset": "0",
        "signalsigned": "True",
        "bitspersample": "16",
    } | attributes
    listed = " ".join(f'{key}="{value}"' for key, value in fields.items() if value is not None)
    if characteristics is None:
        characteristics = "<samplingrate>500</samplingrate><resolution>5.0</resolution>"
    body = f"<parsedwaveforms {listed}>{xli() if data is None else data}</parsedwaveforms>"
    return document(body, characteristics, version, patient)


def v103(data, encoding="Base64", compressed="False", kind="STD-12", duration="400"):
    characteristics = (
        "<samplingrate>500</samplingrate><signalresolution>2.5</signalresolution>"
        f"<acquisitiontype>{kind}</acquisitiontype><bitspersample>16</bitspersample>"
        "<signaloffset>0</signaloffset><signalsigned>True</signalsigned>"
    )
    body = (
        f'<parsedwaveforms compressflag="{compressed}" compressmethod="XLI" dataencoding="{encoding}" '
        f'durationperchannel="{duration}" nbitspersample="16">{data}</parsedwaveforms>'
    )
    years = PATIENT.replace("<dateofbirth>1976-01-01</dateofbirth>", "<months>6</months>")
    return document(body, characteristics, "1.03", years, "utf-8")


def read(content, **stated):
    return read_record(MemoryFiles("ecg.xml", {"ecg.xml": content}), **stated)


@given(
    samples=st.lists(st.integers(-3000, 3000), min_size=2, max_size=300),
    steps=st.sampled_from([1, 2, 50]),
)
@settings(QUICK, max_examples=60)
def test_xli_decodes_to_what_was_encoded(samples, steps):
    signal = np.repeat(np.array(samples), steps)
    (decoded,) = decode_xli(xli_chunk(signal), 1, len(signal), "e")
    np.testing.assert_array_equal(decoded, signal)


def test_a_full_table_of_codes_stays_as_it_is():
    signal = ecg(20_000, 1)[0]
    (decoded,) = decode_xli(xli_chunk(signal), 1, len(signal), "e")
    np.testing.assert_array_equal(decoded, signal)


def test_only_the_wanted_leads_of_sixteen_are_decompressed():
    data = b"".join(xli_chunk(x) for x in COUNTS) + b"\xff" * 9
    np.testing.assert_array_equal(decode_xli(data, 12, 200, "e"), COUNTS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "e: the XLI data hold 0 leads of 1; copy the file again"),
        (xli_chunk(range(9))[:-1], r"e: lead 1 of the XLI data is cut: \d+ of \d+ bytes"),
        (struct.pack("<IHh", 2**32 - 1, 0, 0) + b"abc", "lead 1 of the XLI data is cut: 3 of 4294967295 bytes"),
        (struct.pack("<IHh", 2, 0, 0) + b"\x48\x00", "lead 1 of the XLI data is damaged: code 288 is not in the table"),
        (struct.pack("<IHh", 0, 0, 0), "lead 1 of the XLI data has 0 samples; two are the least"),
        (xli_chunk(np.zeros(5001)), "lead 1 of the XLI data decompresses to more than the 5000 samples"),
    ],
)
def test_damaged_xli_is_refused(data, message):
    with pytest.raises(RecordError, match=message):
        decode_xli(data, 1, 5000, "e")


def test_xli_that_leaves_16_bits_is_refused():
    chunk = bytearray(xli_chunk(np.zeros(500)))
    chunk[6:8] = struct.pack("<h", -300)
    with pytest.raises(RecordError, match="its samples leave the range of 16 bits"):
        decode_xli(bytes(chunk), 1, 500, "e")


def test_an_odd_number_of_bytes_gets_one_more_as_in_the_published_decoders():
    chunk = struct.pack("<IHh", 0, 0, 0) + lzw_pack(b"\0\0\0\1\2")
    chunk = struct.pack("<I", len(chunk) - 8) + chunk[4:]
    assert decode_xli(chunk, 1, 9, "e")[0][:2].tolist() == [1, 2]


def test_xli_of_a_bomb_is_stopped_at_its_bound():
    """Codes that name ever longer runs of zeros: a megabyte of them would be hundreds."""
    packed = lzw_pack(b"\0" * 3_000_000)
    data = struct.pack("<IHh", len(packed), 0, 0) + packed
    content = v104(base64.b64encode(data * 12).decode())
    assert_record_or_error(MemoryFiles("e.xml", {"e.xml": content}))
    with pytest.raises(RecordError, match="decompresses to more than the 1000000 samples"):
        read(content)


def test_limb_leads_are_restored_from_what_their_derivation_misses():
    leads = dict(zip(TWELVE_LEADS, COUNTS, strict=True))
    stored = as_stored(leads)
    restore_limb_leads(stored, "e")
    for name in TWELVE_LEADS:
        np.testing.assert_array_equal(stored[name], leads[name])
    with pytest.raises(RecordError, match="III, aVR cannot be restored without I and II"):
        restore_limb_leads({"III": COUNTS[0], "aVR": COUNTS[1]}, "e")


def test_version_104_is_read_with_what_is_known_of_the_patient():
    record = read(v104())
    assert (record.leads, record.fs, record.record_id, record.patient_id) == (TWELVE_LEADS, 500.0, "ecg", "P 7")
    assert (record.age, record.sex, record.notes) == (32.0, "female", ())
    assert record.interpretation == ("SINUS BRADYCARDIA V-rate<60", "NO PREVIOUS", "OTHERWISE NORMAL ECG")
    np.testing.assert_allclose(record.signal, COUNTS * 0.005, rtol=1e-6, atol=1e-9)


def test_a_path_reads_as_an_upload_does(tmp_path):
    (tmp_path / "ecg.xml").write_bytes(v104())
    np.testing.assert_array_equal(read_record(tmp_path / "ecg.xml").signal, read(v104()).signal)
    assert "Philips SierraECG XML" in {reader.name for reader in list_formats()}


@pytest.mark.parametrize("compression", [None, "", "Uncompressed"])
def test_uncompressed_base64_of_104_holds_the_leads_themselves(compression):
    record = read(v104(plain_base64(), compression=compression))
    np.testing.assert_allclose(record.signal, COUNTS * 0.005, rtol=1e-6, atol=1e-9)


def test_version_103_from_the_specification_is_read_in_every_encoding():
    text = " \n".join(" ".join(map(str, row)) for row in COUNTS)
    for content in (
        v103(text, "Plain"),
        v103(plain_base64()),
        v103(xli(), compressed="True"),
        v103(plain_base64(), kind="10-WIRE"),
        v103(plain_base64(), duration="x"),
    ):
        record = read(content)
        assert (record.leads, record.fs, record.age, record.notes) == (TWELVE_LEADS, 500.0, 0.5, ())
        np.testing.assert_allclose(record.signal, COUNTS * 0.0025, rtol=1e-6, atol=1e-9)


def test_acquisitions_other_than_standard_from_the_specification_need_their_leads_stated():
    content = v103(plain_base64(COUNTS[:3]), kind="EASI")
    with pytest.raises(
        RecordError, match="names no leads, and the acquisition type 'EASI' tells none; state the leads"
    ):
        read(content)
    assert read(content, leads=["V1", "V2", "V3"]).leads == ("V1", "V2", "V3")


def test_unnamed_channels_behind_the_leads_are_left_out_with_a_note():
    record = read(v103(plain_base64(ecg(200, 16))))
    assert record.signal.shape == (12, 200)
    assert record.notes == ("4 channels without a name were left out.",)


def test_other_leads_and_orders_keep_their_names():
    labels = ("II", "I", "V3R", "C2", "aVF")
    record = read(v104(xli(COUNTS[:5], labels), numberofleads="5", leadlabels=" ".join(labels)))
    assert record.leads == ("II", "I", "V3R", "V2", "aVF")
    np.testing.assert_allclose(record.signal, COUNTS[:5] * 0.005, rtol=1e-6, atol=1e-9)
    chest = read(v104(xli(COUNTS[:2], ("V1", "V2")), numberofleads=None, leadlabels="V1 V2"))
    assert chest.leads == ("V1", "V2")


def test_the_calibration_pulse_behind_the_ecg_is_left_out_with_a_note():
    pulse = np.tile(np.r_[np.zeros(20), np.full(60, 200), np.zeros(20)].astype(int), (12, 1))
    counts = np.concatenate([COUNTS, pulse], axis=1)
    counts[0, 199] += 1  # the last sample in which leads differ
    record = read(v104(xli(counts), durationperchannel="600"))
    assert record.n_samples == 200
    assert record.notes == ("The last 0.2 s, a calibration pulse in all leads, were left out.",)


@pytest.mark.parametrize("tail", [np.zeros((12, 100), int), np.full((12, 20), 200), np.full((12, 900), 200)])
def test_other_ends_are_kept(tail):
    counts = np.concatenate([COUNTS, tail], axis=1)
    record = read(v104(xli(counts), durationperchannel=str(2 * counts.shape[1])))
    assert record.n_samples == counts.shape[1]
    flat = np.full((12, 200), 100)
    assert read(v104(xli(flat))).n_samples == 200


def test_what_is_odd_but_readable_is_noted():
    assert read(v104(version="1.05")).notes == (
        "Version '1.05' is none of 1.03, 1.04, 1.04.01, 1.04.02; the file was read as one of these.",
    )
    longer = read(v104(durationperchannel="1000"))
    assert longer.notes == ("The file declares 500 samples per lead and has 200, which were read.",)
    assert longer.n_samples == 200


def test_what_is_stated_goes_before_what_the_file_says():
    record = read(v104(), fs=500, unit="mV", leads=[f"V{k}" for k in range(1, 10)] + ["I", "II", "III"])
    assert (record.fs, record.leads[9]) == (500.0, "I")
    np.testing.assert_allclose(record.signal, COUNTS * 5, rtol=1e-6)
    with pytest.raises(RecordError, match="the file says 500 Hz, but 250 Hz was stated"):
        read(v104(), fs=250)
    assert read(v104(), unit="normalised").unit == "normalised"


@pytest.mark.parametrize(
    ("patient", "age", "sex"),
    [
        ("", None, None),
        ("<age defaultage='50'/><sex>Unknown</sex>", None, None),
        ("<age><years>71</years></age><sex>Male</sex>", 71, "male"),
        ("<age><weeks>0</weeks></age>", 0, None),
        ("<age><years>900</years></age>", None, None),
        ("<age><dateofbirth/></age>", None, None),
    ],
)
def test_patient_facts_are_read_or_left_out(patient, age, sex):
    record = read(v104(patient=patient))
    assert (record.age, record.sex, record.patient_id) == (age, sex, None)
    assert any("The age '900 years'" in note for note in record.notes) == ("900" in patient)


EMPTY = ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (document("", "", "1.04"), r"ecg\.xml: has no parsedwaveforms, so no signal"),
        (v104(samplespersecond=None, characteristics=EMPTY), "gives no sampling rate"),
        (v104(samplespersecond="250"), "gives different values of samplespersecond or samplingrate: 250, 500"),
        (v104(samplespersecond="-1", characteristics=EMPTY), "declares -0.4 samples per lead; 1 to 1000000"),
        (v104(resolution=None, characteristics=EMPTY), "gives no resolution above zero"),
        (v104(resolution="0", characteristics=EMPTY), "gives no resolution above zero"),
        (v104(resolution="1e300", characteristics=EMPTY), "has values too large"),
        (v104(durationperchannel="1e12"), "declares 5e.11 samples per lead; 1 to 1000000 can be read"),
        (v104(bitspersample="24"), "has bitspersample '24'; only '16' can be read"),
        (v104(signaloffset="2048"), "has signaloffset '2048'; only '0' can be read"),
        (v104(signalsigned="False"), "has signalsigned 'False'; only 'True' can be read"),
        (v104(compression="ZIP"), "is compressed by 'ZIP'; only XLI is known"),
        (v104(dataencoding="Hex"), "in the encoding 'Hex'; Plain and Base64 can be read"),
        (v104(dataencoding="Plain"), "says that plain text is compressed"),
        (v104("1 x", dataencoding="Plain", compression=None), "its samples are not all numbers"),
        (v104("1.5 2", dataencoding="Plain", compression=None), "not all integers of at most 24 bits"),
        (v104("1e9 2", dataencoding="Plain", compression=None), "not all integers of at most 24 bits"),
        (v104("1 2", dataencoding="Plain", compression=None), "has 2 samples, not 12 leads of 200"),
        (v104("", dataencoding="Plain", compression=None), "has 0 samples, not 12 leads of 200"),
        (v104("", compression=None, durationperchannel=None), "has 0 samples, not 12 leads"),
        (v104("AAAA", compression=None, durationperchannel=None), "has 3 bytes of samples"),
        (v104("A?=="), "its samples are not valid Base64"),
        (v104(""), "the XLI data hold 0 leads of 12"),
        (v104(numberofleads="13"), "names 12 leads and says they are 13"),
        (v104(numberofleads="x"), "names 12 leads and says they are x"),
        (v104(leadlabels=None), "names no leads, and the acquisition type '' tells none"),
        (v104(leadlabels="I II II " + " ".join(TWELVE_LEADS[3:])), "several signals are called II; state the names"),
        (v104(leadlabels="I II III -aVR " + " ".join(TWELVE_LEADS[4:])), "lead -aVR is stored inverted"),
        (v104(leadlabels="I V7 " + " ".join(TWELVE_LEADS[2:])), "cannot be restored without I and II"),
        (
            v104(base64.b64encode(xli_chunk(COUNTS[0]) + xli_chunk(COUNTS[1, :90])).decode(), numberofleads="2"),
            r"decompress to different numbers of samples \(I 200, II 90\)",
        ),
        (v104()[:3000], "the XML ends too early"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(content, message):
    with pytest.raises(RecordError, match=message):
        read(content)


SMALL = {
    "104": v104(xli(COUNTS[:3, :30], TWELVE_LEADS[:3]), numberofleads="3", durationperchannel="60"),
    "103": v103(plain_base64(COUNTS[:, :8]), duration="16"),
    "plain": v103(" ".join(map(str, COUNTS[:, :8].ravel())), "Plain", duration="16"),
}


@pytest.mark.parametrize("kind", SMALL)
@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(kind, changes):
    assert_record_or_error(MemoryFiles("ecg.xml", {"ecg.xml": damaged(SMALL[kind], changes)}))


@given(changes=damage)
@QUICK
def test_damaged_xli_in_whole_xml_gives_a_record_or_an_error(changes):
    data = b"".join(xli_chunk(x) for x in COUNTS[:2, :60])
    content = v104(base64.b64encode(damaged(data, changes)).decode(), numberofleads="2")
    assert_record_or_error(MemoryFiles("ecg.xml", {"ecg.xml": content}))


@pytest.fixture(scope="module")
def samples(real_data):
    return real_data / "formats/philips_sierra/1_04"


ORIGINAL, CONVERTED = "ad4d3d80-d165_1-04_orig.xml", "ad4d3d80-d165_1-04_converted.xml"


@pytest.mark.real
def test_a_real_file_is_read_and_its_limb_leads_obey_einthoven_and_goldberger(samples):
    record = read_record(samples / ORIGINAL)
    assert (record.leads, record.fs, record.n_samples) == (TWELVE_LEADS, 500.0, 5300)
    assert (record.patient_id, record.age, record.sex) == ("9999", 32.0, "female")
    assert record.interpretation[0] == "SINUS BRADYCARDIA V-rate<60"
    assert record.notes == ("The last 0.4 s, a calibration pulse in all leads, were left out.",)
    rows = dict(zip(record.leads, record.signal, strict=True))
    one, two = rows["I"], rows["II"]
    derived = {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    for name, values in derived.items():
        assert np.abs(rows[name] - values).max() < 0.011, name  # two steps of 5 uV


@pytest.mark.real
def test_the_real_file_and_its_annotated_ecg_twin_agree(samples):
    """The maker's converter filtered the twin (60 Hz), so leads differ by up to four steps of 5 uV."""
    ours, twin = read_record(samples / ORIGINAL), read_record(samples / CONVERTED)
    assert (ours.leads, ours.fs, ours.age, ours.sex) == (twin.leads, twin.fs, twin.age, twin.sex)
    difference = ours.signal - twin.signal[:, : ours.n_samples]
    assert np.abs(difference).max() <= 0.0201
    assert difference.std(axis=1).max() < 0.006


@pytest.mark.real
def test_the_real_file_decodes_as_the_sierraecg_package_does(samples):
    sierraecg = pytest.importorskip("sierraecg")
    record = read_record(samples / ORIGINAL)
    theirs = sierraecg.read_file(str(samples / ORIGINAL))
    assert tuple(lead.label for lead in theirs.leads) == record.leads
    expected = np.array([lead.samples[: record.n_samples] for lead in theirs.leads])
    np.testing.assert_array_equal(np.round(record.signal / 0.005).astype(int), expected)


@pytest.mark.real
def test_a_damaged_real_file_gives_a_record_or_an_error(samples):
    content = (samples / ORIGINAL).read_bytes()

    @given(changes=damage)
    @settings(QUICK, max_examples=40)
    def check(changes):
        assert_record_or_error(MemoryFiles("ecg.xml", {"ecg.xml": damaged(content, changes)}))

    check()
