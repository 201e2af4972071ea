"""SCP-ECG: what an encoder by the standard writes comes back, and nothing else passes."""

import dataclasses
import struct
import time
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given
from hypothesis import strategies as st
from scp_writer import DEFAULT, OWN, SWITCHING, Scp, beat_signal, crc, ecg, tag, write_scp

from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.formats.scp_bimodal import block_starts, expand, protected_mask, smooth
from einthoven.formats.scp_huffman import DEFAULT_TABLE, huffman_decode
from einthoven.formats.scp_leads import lead_name

TABLES = {"raw": None, "default": DEFAULT, "own": OWN, "switching": SWITCHING}
MILLIVOLT = 2500e-6


def read(file, **stated):
    content = file if isinstance(file, bytes) else write_scp(file)
    return read_record(MemoryFiles("e.scp", {"e.scp": content}), **stated)


def compressed(**changes):
    """Three beats of which two were subtracted, in a file with protected zones."""
    signal = ecg(beats=())
    beat = beat_signal(8, 400, 151)
    qrs = ((0, 150, 300, 549), (0, 550, 700, 949), (1, 1000, 1150, 1399))
    for _, start, _, _ in qrs:
        signal[:, start - 1 : start + 399] += beat
    zones = tuple((fiducial - 39, fiducial + 40) for _, _, fiducial, _ in qrs)
    file = Scp(signal, beat=beat, fiducial=151, qrs=qrs, protected=zones, subtract=True, tables=DEFAULT, differences=2)
    return dataclasses.replace(file, **changes)


def poked(content, at, fmt, *values):
    data = bytearray(content)
    struct.pack_into(fmt, data, at, *values)
    return bytes(data)


def pointer(content, number):
    """Where the pointer to a section is, and where the section."""
    at = 22 + 10 * number
    return at, struct.unpack_from("<I", content, at + 6)[0] - 1


# Signals


@pytest.mark.parametrize("differences", [0, 1, 2])
@pytest.mark.parametrize("kind", TABLES)
def test_every_encoding_comes_back_exactly(kind, differences):
    signal = ecg()
    record = read(Scp(signal, tables=TABLES[kind], differences=differences))
    np.testing.assert_allclose(record.signal, signal * MILLIVOLT, rtol=1e-6)
    assert record.fs == 500
    assert record.leads == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    assert record.record_id == "e"


@pytest.mark.parametrize("kind", TABLES)
def test_amplitudes_of_all_16_bits_come_back(kind):
    signal = np.array([[-32768, 32767, 0, 8, -8, 9, -9, 127, -128, 128, -129, 1, -1] * 3])
    record = read(Scp(signal, codes=(2,), tables=TABLES[kind], nanovolts=1000))
    np.testing.assert_allclose(record.signal, signal * 1e-3, rtol=1e-6)


def test_differences_may_wrap_around_16_bits():
    signal = np.array([[-32768, 32767, -30000, 30000]])
    np.testing.assert_allclose(read(Scp(signal, codes=(2,), differences=2)).signal, signal * MILLIVOLT, rtol=1e-6)


def test_the_worked_example_of_the_standard_decodes():
    # EN 1064 annex C.2.7: second differences by the default table; the F5 printed there is F1 in its own bits.
    content = bytes.fromhex("FF837FE0E6F1536559B65B964B9600")
    expected = [
        13,
        14,
        15,
        14,
        16,
        18,
        19,
        20,
        22,
        22,
        23,
        23,
        23,
        22,
        22,
        20,
        17,
        15,
        12,
        8,
        6,
        3,
        1,
        0,
        -2,
        -2,
        -3,
        -3,
    ]
    found = huffman_decode(content, (DEFAULT_TABLE,), 28).values
    signal = [int(found[0]), int(found[1])]
    for value in found[2:]:
        signal.append(int(value) + 2 * signal[-1] - signal[-2])
    assert signal == expected


@pytest.mark.parametrize("kind", TABLES)
def test_subtracted_reference_beats_are_added_again(kind):
    file = compressed(tables=TABLES[kind])
    np.testing.assert_allclose(read(file).signal, file.signal * MILLIVOLT, rtol=1e-6, atol=1e-7)


def test_reference_beat_and_residual_may_have_different_units():
    file = compressed()
    halved = dataclasses.replace(file, beat=file.beat * 2, signal=file.signal - file.signal)
    record = read(dataclasses.replace(halved, beat_nanovolts=1250, nanovolts=2500))
    zone = record.signal[:, 149:549]
    # The residual is minus twice the beat in units of 2500 nV, the beat added again is in units of 1250.
    np.testing.assert_allclose(zone, (file.beat * -2 * 2500 + file.beat * 2 * 1250) * 1e-6, atol=1e-6)


def test_a_zone_beyond_the_reference_beat_or_the_recording_is_clipped():
    file = compressed(qrs=((0, 1, 100, 549), (0, 1300, 1400, 1900)), protected=())
    np.testing.assert_allclose(read(file).signal, file.signal * MILLIVOLT, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("factor", [2, 4, 5])
@pytest.mark.parametrize("kind", ["raw", "default"])
def test_bimodal_compression_is_exact_in_the_zones_and_close_outside(kind, factor, subtract):
    file = compressed(bimodal=True, factor=factor, subtract=subtract, tables=TABLES[kind])
    record = read(file)
    error = record.signal - file.signal * MILLIVOLT
    for start, end in file.protected:
        assert np.abs(error[:, start - 1 : end]).max() < 1e-6
    # P and T waves of 0.1 to 0.2 mV: half a block of delay and the smoothing cost a few units of 2.5 uV.
    assert np.abs(error).max() < 0.012
    assert np.sqrt(np.mean(error**2)) < 0.003
    assert np.abs(np.diff(error, axis=1)).max() < 0.012  # no step at the borders of the zones
    assert record.fs == 500
    assert f"stored every {factor} samples as one outside the QRS" in " ".join(record.notes)


def test_a_residual_at_a_lower_rate_without_zones_is_interpolated():
    file = compressed(factor=4)
    record = read(file)
    assert record.fs == 500
    assert record.n_samples == 1500
    error = record.signal - file.signal * MILLIVOLT
    assert np.abs(error[:, 149:949]).max() < 0.012


def test_the_bimodal_flag_without_the_numbers_for_it_is_told():
    file = Scp(ecg(), bimodal=True)
    record = read(file)
    np.testing.assert_allclose(record.signal, file.signal * MILLIVOLT, rtol=1e-6)
    assert "The file says that its rate varies" in " ".join(record.notes)


def test_a_rhythm_coarser_than_an_unsubtracted_reference_beat_keeps_its_rate():
    file = Scp(ecg(), interval_us=2000, beat=beat_signal(8, 800, 300), beat_interval_us=1000)
    record = read(file)
    assert record.fs == 500
    np.testing.assert_allclose(record.signal, file.signal * MILLIVOLT, rtol=1e-6)
    # The same with section 3 counting at the rate of the reference beat.
    content = write_scp(file)
    _, start = pointer(content, 3)
    for lead in range(8):
        content = poked(content, start + 18 + 9 * lead, "<II", 1, 3000)
    again = read(content)
    assert again.fs == 500
    np.testing.assert_array_equal(again.signal, record.signal)


def naive_expansion(values, runs, factor):
    """Annex C, sample by sample; ``runs`` are (protected, length)."""
    out, values = [], list(values)
    for protected, length in runs:
        n_blocks = 0 if protected else length // factor
        blocks, values = values[:n_blocks], values[n_blocks:]
        if blocks:
            out += [blocks[0]] * (factor // 2)
            for a, b in pairwise(blocks):
                out += [a + (b - a) * k / factor for k in range(factor)]
            out += [blocks[-1]] * (factor - factor // 2)
        rest = length - n_blocks * factor
        out += values[:rest]
        values = values[rest:]
    return out


@given(runs=st.lists(st.integers(1, 30), min_size=1, max_size=6), factor=st.integers(2, 6), protected=st.booleans())
@QUICK
def test_interpolation_is_that_of_the_standard_for_any_zones(runs, factor, protected):
    kinds = [(protected ^ bool(k % 2), length) for k, length in enumerate(runs)]
    mask = np.concatenate([np.full(length, kind) for kind, length in kinds])
    starts = block_starts(mask, factor)
    values = np.random.default_rng(len(mask)).normal(size=len(starts))
    found = expand(values, starts, len(mask))
    np.testing.assert_allclose(found, naive_expansion(values, kinds, factor), atol=1e-12)


def test_smoothing_takes_the_mean_of_three_and_spares_what_is_kept():
    signal = np.array([0.0, 3, 0, 9, 0, 0])
    found = smooth(signal, np.array([0, 0, 0, 1, 0, 0], bool))
    np.testing.assert_allclose(found, [0, 1, 4, 9, 3, 0])


def test_zones_may_overlap_and_reach_out_of_the_lead():
    zones = np.array([[-5, 2], [1, 3], [7, 20], [30, 40]])
    assert protected_mask(zones, 9).tolist() == [True, True, True, False, False, False, False, True, True]


def test_leads_recorded_one_after_the_other_have_no_values_elsewhere():
    signal = ecg(n_leads=2, n_samples=100, beats=(50,))
    record = read(Scp(signal, codes=(1, 2), starts=(1, 101)))
    assert record.n_samples == 200
    assert np.isnan(record.signal[0, 100:]).all()
    np.testing.assert_allclose(record.signal[1, 100:], signal[1] * MILLIVOLT, rtol=1e-6)
    assert any("not recorded over the same time" in note for note in record.notes)


def test_sample_numbers_may_start_at_zero():
    file = compressed()
    moved = dataclasses.replace(file, starts=(0,) * 8, qrs=tuple((k, a - 1, f - 1, b - 1) for k, a, f, b in file.qrs))
    np.testing.assert_allclose(read(moved).signal, file.signal * MILLIVOLT, rtol=1e-6, atol=1e-7)


# Leads


LEADS = {1: "I", 3: "V1", 8: "V6", 11: "V3R", 14: "V6R", 16: "vx", 24: "fI", 30: "fH", 31: "I-cal", 45: "V7R-cal"}
LEADS |= {46: "X-cal", 60: "fH-cal", 61: "III", 64: "aVF", 65: "inverted aVR", 66: "V8", 70: "Nehb D", 72: "Nehb J"}
LEADS |= {73: "defibrillator", 78: "A4", 79: "V8-cal", 85: "Nehb J-cal", 92: "MCL1", 97: "MCL6", 102: "CC4"}
LEADS |= {103: "CC6", 110: "CM6", 111: "III-cal", 121: "CM7", 130: "AB4", 131: "EASI-ES", 134: "EASI-S"}
LEADS |= {147: "RL", 146: "lead code 146"}


@pytest.mark.parametrize(
    ("code", "name"),
    LEADS.items(),
)
def test_lead_codes_are_those_of_the_standard(code, name):
    assert lead_name(code) == name


def test_leads_that_follow_from_others_are_told_not_made():
    record = read(Scp(ecg()))
    assert "III, aVR, aVL, aVF are not stored; two others determine them." in record.notes


def test_leads_of_one_name_and_without_name_are_told_apart():
    record = read(Scp(ecg(n_leads=3), codes=(2, 2, 0), flags=0))
    assert record.leads == ("II", "II (2)", "unspecified lead 3")
    assert any("Lead 2 has the name of another" in note for note in record.notes)
    assert any("does not say that its leads were recorded simultaneously" in note for note in record.notes)


# Patient and words


def patient(**tags):
    device = struct.pack("<3HBB6sBBBBB", 0, 0, 0, 0, 8, b"ECG-9\0", 20, 160, 3, 0, 1) + bytes(20)
    fields = {"id": (2, b"P-7\0"), "birth": (5, struct.pack("<HBB", 1953, 8, 8)), "sex": (8, b"\x02")}
    fields |= {"date": (25, struct.pack("<HBB", 2002, 8, 7)), "device": (14, device)} | tags
    return b"".join(tag(*value) for value in fields.values() if value)


def test_patient_facts_are_read():
    record = read(Scp(ecg(), patient=patient(institution=(16, "Nemocnice Brno-Židenice\0".encode("iso8859_2")))))
    assert (record.patient_id, record.age, record.sex) == ("P-7", 48.0, "female")
    assert record.source == "Nemocnice Brno-Židenice"
    assert "The recording device calls itself ECG-9." in record.notes


@pytest.mark.parametrize(
    ("value", "age"),
    [
        ((71, 1), 71.0),
        ((18, 2), 1.5),
        ((3, 3), 0.0575),
        ((2, 4), 0.0055),
        ((12, 5), 0.0014),
        ((0, 1), 48.0),
        ((5, 9), 48.0),
    ],
)
def test_a_stated_age_goes_before_the_date_of_birth(value, age):
    record = read(Scp(ecg(), patient=patient(age=(4, struct.pack("<HB", *value)))))
    assert record.age == pytest.approx(age, abs=1e-4)


def test_texts_are_read_in_the_character_set_of_the_device():
    device = bytes(8) + b"X\0\0\0\0\0" + bytes([20, 160, 0x07, 0, 1]) + bytes(20)
    wide = "Ж-1\0".encode("utf-16-le")
    assert read(Scp(ecg(), patient=patient(id=(2, wide), device=(14, device)))).patient_id == "Ж-1"


def test_unknown_facts_are_absent():
    record = read(Scp(ecg(), patient=patient(id=None, birth=(5, bytes(4)), sex=(8, b"\x09"), device=(14, b""))))
    assert (record.patient_id, record.age, record.sex) == (None, None, None)


def test_an_impossible_age_is_told():
    record = read(Scp(ecg(), patient=patient(age=(4, struct.pack("<HB", 900, 1)))))
    assert record.age is None
    assert "An age of 900 years was left out." in record.notes


def test_patient_data_that_end_early_cost_only_themselves():
    record = read(Scp(ecg(), patient=tag(2, b"P-8\0") + b"\x08\xff\x00\x01"))
    assert record.patient_id == "P-8"
    assert any("end within a field" in note for note in record.notes)


def statements(*texts):
    head = struct.pack("<BHBBBBBB", 1, 2020, 1, 2, 3, 4, 5, len(texts))
    return head + b"".join(struct.pack("<BH", k, len(text)) + text for k, text in enumerate(texts, 1))


def test_statements_in_words_and_codes_are_read_once():
    extra = {
        8: statements(b"Sinus rhythm\0", b"Normal ECG\0"),
        11: statements(b"\x01NORM\0SR\0", b"\x02Normal ECG\0", b"\x03A AND B\0"),
    }
    assert read(Scp(ecg(), extra=extra)).interpretation == ("Sinus rhythm", "Normal ECG", "NORM SR")


def test_statements_cut_off_are_told():
    record = read(Scp(ecg(), extra={8: statements(b"Sinus rhythm\0", b"Normal ECG\0")[:-6]}))
    assert record.interpretation == ("Sinus rhythm",)
    assert "The statements of section 8 are cut off." in record.notes


# Frame


def test_the_reader_is_registered_and_sniffs_by_content():
    (reader,) = [reader for reader in list_formats() if reader.name == "SCP-ECG"]
    content = write_scp(Scp(ecg()))
    assert reader.sniff(MemoryFiles("x", {"x": content}))
    assert reader.sniff(MemoryFiles("x", {"x": write_scp(Scp(ecg(), magic=bytes(6)))}))
    for other in (b"", b"SCPECG", content[:20], bytes(100), content[1:], b"\xff" * 64):
        assert not reader.sniff(MemoryFiles("x", {"x": other}))


def test_a_path_reads_like_an_upload(tmp_path):
    (tmp_path / "e.scp").write_bytes(write_scp(Scp(ecg())))
    np.testing.assert_array_equal(read_record(tmp_path / "e.scp").signal, read(Scp(ecg())).signal)


def test_sections_may_lie_in_any_order():
    file = compressed(order=(6, 3, 5, 1, 4, 2))
    np.testing.assert_allclose(read(file).signal, file.signal * MILLIVOLT, rtol=1e-6, atol=1e-7)


def test_the_checksum_is_the_one_of_the_standard():
    # The published check value of CRC-CCITT with initial value 0xFFFF.
    assert crc(b"123456789") == 0x29B1


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("right", None),
        ("swapped", None),
        ("zero", "absent or not those of the standard"),
        ("wrong", "absent or not those of the standard"),
    ],
)
def test_a_checksum_alone_costs_no_ecg(kind, told):
    record = read(Scp(ecg(), tables=DEFAULT, checksums=kind))
    np.testing.assert_allclose(record.signal, ecg() * MILLIVOLT, rtol=1e-6)
    found = [note for note in record.notes if "checksum" in note]
    assert found == ([] if told is None else [f"The record's checksums are {told}; damage would go unseen."])


def test_one_wrong_checksum_among_right_ones_is_told_by_section():
    content = write_scp(Scp(ecg()))
    _, start = pointer(content, 6)
    assert (
        "The checksum of the record, section 6 is absent or wrong; what is in them may be damaged."
        in read(poked(content, start, "<H", 0x1234)).notes
    )


def test_a_wrong_checksum_of_the_whole_is_told_alone():
    content = poked(write_scp(Scp(ecg())), 0, "<H", 0x1234)
    assert "The checksum of the record is absent or wrong." in read(content).notes


def test_a_wrong_checksum_of_a_section_is_told_alone():
    content = poked(write_scp(Scp(ecg())), pointer(write_scp(Scp(ecg())), 1)[1], "<H", 0)
    content = struct.pack("<H", crc(content[2:])) + content[2:]
    assert "The checksum of section 1 is absent or wrong." in read(content).notes


def test_huffman_damage_under_a_wrong_checksum_is_an_error():
    content = write_scp(Scp(ecg(), tables=DEFAULT))
    _, start = pointer(content, 6)
    with pytest.raises(RecordError, match=r"lead I should have 1500 samples in section 6, \d+ can be decoded"):
        read(poked(content, start + 16 + 22, "<3I", 0, 0, 0))


def test_the_same_without_any_right_checksum_is_the_carelessness_of_a_writer():
    content = write_scp(Scp(ecg(), checksums="wrong"))
    notes = read(grown(content, pointer(content, 3)[1], 1510)).notes
    assert "The last 10 of 1510 stored samples of lead I are missing." in notes


def test_a_few_missing_samples_are_told_and_have_no_values():
    content = write_scp(Scp(ecg()))
    record = read(grown(content, pointer(content, 3)[1], 1510))
    assert record.n_samples == 1510
    assert np.isnan(record.signal[:, 1500:]).all()
    assert "The last 10 of 1510 stored samples of lead I are missing." in record.notes


def grown(content, start, end):
    """The same with other ends of the leads."""
    for lead in range(8):
        content = poked(content, start + 18 + 9 * lead + 4, "<I", end)
    return content


def test_more_samples_than_announced_are_told():
    content = write_scp(Scp(ecg()))
    record = read(grown(content, pointer(content, 3)[1], 1400))
    assert record.n_samples == 1400
    assert "Lead I has 200 bytes more than its samples need." in record.notes


def test_a_bad_pointer_to_words_costs_only_the_words():
    content = write_scp(Scp(ecg(), extra={8: statements(b"Sinus rhythm\0")}))
    record = read(poked(content, pointer(content, 8)[0] + 2, "<I", 10**6))
    assert record.interpretation == ()
    assert any(
        note.startswith("Section 8 was left out: section 8 is said to be 1000000 bytes") for note in record.notes
    )


@pytest.mark.parametrize("length", [19, 999])
def test_lengths_that_differ_and_a_wrong_record_length_are_told(length):
    content = write_scp(Scp(ecg())) + b"tail"
    notes = read(poked(content, pointer(content, 1)[1] + 4, "<I", length)).notes
    assert any("lengths that header and pointer give differ (section 1)" in note for note in notes)
    assert any(f"the file has {len(content)}" in note for note in notes)


def test_what_the_user_states_goes_first():
    record = read(Scp(ecg()), fs=500, unit="uV", leads=["V1", "V2", "V3", "V4", "V5", "V6", "V7", "V8"])
    assert record.fs == 500
    with pytest.raises(RecordError, match="the file says 500 Hz, but 250 Hz was stated"):
        read(Scp(ecg()), fs=250)
    assert record.leads[-1] == "V8"
    # A writer that gave its unit of amplitude in microvolts.
    np.testing.assert_allclose(record.signal, ecg() * 2.5, rtol=1e-6)
    with pytest.raises(RecordError, match="2 lead names were stated for 8 leads"):
        read(Scp(ecg()), leads=["I", "II"])


# Errors


def changed(number, offset, fmt, *values, file=None):
    """A file with some bytes of a section's data changed."""
    content = write_scp(file or compressed())
    return poked(content, pointer(content, number)[1] + 16 + offset, fmt, *values)


def without(number, **options):
    return write_scp(compressed(extra={number: None}, **options))


def table(*rows):
    return struct.pack("<HH", 1, len(rows)) + b"".join(struct.pack("<BBBhI", *row) for row in rows)


ERRORS = {
    "no_scp": (lambda: b"no SCP at all" * 9, "is not SCP-ECG: section 0 is not where"),
    "section_0_cut": (lambda: write_scp(Scp(ecg()))[:100], "section 0 calls itself 136 bytes long in a file of 100"),
    "cut": (lambda: write_scp(Scp(ecg()))[:-100], r"section 6 is said to be \d+ bytes at byte \d+, outside"),
    "short_section": (lambda: poked(write_scp(Scp(ecg())), 54, "<I", 9), "section 3 is said to be 9 bytes"),
    "at_zero": (lambda: poked(write_scp(Scp(ecg())), 58, "<I", 0), "bytes at byte 0, outside"),
    "wrong_id": (lambda: changed(3, -14, "<H", 5), "bytes that call themselves section 5"),
    "twice": (lambda: poked(write_scp(compressed()), 62, "<H", 3), "two pointers to a section 3"),
    "no_section_3": (lambda: without(3), "section 3, which holds the leads, is missing; there are sections 0, 1, 2, 4"),
    "no_section_4": (lambda: without(4), "section 4, which holds where the reference beat was subtracted, is missing"),
    "no_section_5": (lambda: without(5), "section 5, which holds the subtracted reference beat, is missing"),
    "no_section_6": (lambda: without(6), "section 6, which holds the rhythm, is missing"),
    "no_leads": (lambda: changed(3, 0, "<B", 0), "section 3 announces 0 leads"),
    "too_many_leads": (lambda: changed(3, 0, "<B", 200), "section 3 announces 200 leads in 74 bytes"),
    "backwards": (lambda: changed(3, 2, "<II", 9, 3), "lead 1 of section 3 ends at sample 3, before it starts"),
    "endless": (lambda: changed(3, 2, "<II", 1, 2**32 - 1), "section 3 spreads 8 leads over 4294967295 samples"),
    "long_lead": (
        lambda: changed(3, 2, "<II", 1, 2_000_001, file=Scp(ecg(1))),
        "section 3 spreads 1 leads over 2000001",
    ),
    "short_4": (lambda: write_scp(compressed(extra={4: b"\0\0"})), "section 4 has 2 bytes of data"),
    "many_qrs": (lambda: changed(4, 4, "<H", 900), "section 4 announces 900 QRS complexes, too many"),
    "zero_interval": (lambda: changed(6, 2, "<H", 0), "section 6 gives a sampling interval of 0"),
    "zero_unit": (lambda: changed(6, 0, "<H", 0), "section 6 gives an amplitude unit of 0 nV"),
    "encoding": (lambda: changed(6, 4, "<B", 3), "section 6 has encoding 3"),
    "short_6": (
        lambda: write_scp(compressed(extra={6: bytes(8)})),
        "section 6 has 8 bytes of data, too few for 8 leads",
    ),
    "long_streams": (lambda: changed(6, 6, "<H", 65535), "the leads of section 6 need"),
    "no_multiple": (
        lambda: changed(5, 2, "<H", 1500),
        "2000 us is no multiple of the subtracted reference beat's 1500",
    ),
    "coarse_beat": (lambda: changed(5, 2, "<H", 4000), "no multiple of the subtracted reference beat's 4000 us"),
    "no_beat": (lambda: changed(4, 0, "<H", 0), r"the reference beat should have 0 samples \(0 ms\)"),
    "long_beat": (lambda: changed(4, 0, "<H", 60000), "the reference beat should have 30000 samples"),
    "many_zones": (
        lambda: write_scp(compressed(qrs=((0, 150, 300, 549),) * 9, protected=())),
        "section 4 subtracts the reference beat from zones longer than the recording",
    ),
    "few_samples": (lambda: changed(3, 6, "<I", 4000), r"lead I should have 4000 samples in section 6, \d+ can"),
    "bimodal_unknown": (
        lambda: write_scp(Scp(ecg(), bimodal=True, factor=4, extra={})),
        "lead I should have 1500 samples in section 6, 375 can be decoded",
    ),
    "fast": (lambda: changed(6, 2, "<H", 1, file=Scp(ecg())), "sampling rate of 1e\\+06 Hz"),
    "tables_cut": (lambda: write_scp(compressed(extra={2: b"\x05\0\x09\0"})), "ends within Huffman table 1 of 5"),
    "empty_table": (lambda: write_scp(compressed(extra={2: b"\x01\0\0\0"})), "or the table is empty"),
    "no_bits": (lambda: write_scp(compressed(extra={2: table((0, 0, 1, 0, 0))})), "a code of 0 bits, 0 with what"),
    "alike": (
        lambda: write_scp(compressed(extra={2: table((1, 1, 1, 0, 0), (2, 2, 1, 1, 2))})),
        "Huffman table 1 of section 2 cannot be used: two of its codes begin alike",
    ),
    "switch": (lambda: write_scp(compressed(extra={2: table((1, 1, 0, 7, 0))})), "it switches to table 7 of 1"),
    "no_code": (
        lambda: write_scp(compressed(extra={2: table((9, 9, 1, 0, 0))})),
        "lead I should have 1500 samples in section 6",
    ),
    "many_tables": (lambda: write_scp(compressed(extra={2: struct.pack("<H", 33)})), "33 Huffman tables; up to 32"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_what_cannot_be_read_is_refused_by_name(kind):
    content, message = ERRORS[kind]
    with pytest.raises(RecordError, match=rf"^e\.scp: .*{message}"):
        read(content())


def test_a_file_without_coding_in_section_2_is_read_as_numbers():
    record = read(Scp(ecg(), extra={2: b"\0\0"}))
    np.testing.assert_allclose(record.signal, ecg() * MILLIVOLT, rtol=1e-6)


# Damage


@cache
def small(kind):
    signal, beat = ecg(n_leads=3, n_samples=200, beats=(60, 140)), beat_signal(3, 60, 31)
    file = Scp(
        signal, codes=(1, 2, 3), tables=DEFAULT, differences=2, patient=patient(), extra={8: statements(b"SR\0")}
    )
    if kind != "plain":
        qrs, zones = ((0, 35, 60, 80), (0, 110, 140, 160)), ((51, 70), (131, 150))
        file = dataclasses.replace(
            file, beat=beat, fiducial=31, qrs=qrs, protected=zones, subtract=True, bimodal=True, factor=4
        )
    return write_scp(dataclasses.replace(file, tables={"raw": None, "own": SWITCHING}.get(kind, DEFAULT)))


@pytest.mark.parametrize("kind", ["plain", "raw", "default", "own"])
@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(kind, changes):
    assert_record_or_error(MemoryFiles("e.scp", {"e.scp": damaged(small(kind), changes)}))


@given(at=st.integers(0, 400), value=st.sampled_from([0, 1, 255, 65535, 2**31, 2**32 - 1]))
@QUICK
def test_extreme_numbers_give_a_record_or_an_error(at, value):
    content = bytearray(small("default"))
    content[at : at + 4] = struct.pack("<I", value)
    assert_record_or_error(MemoryFiles("e.scp", {"e.scp": bytes(content)}))


# The real file


@pytest.fixture
def example(real_data):
    return real_data / "formats" / "scp_rigacci" / "Example.scp"


@pytest.mark.real
def test_the_real_file_is_an_ecg(example):
    record = read_record(example)
    assert record.leads == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "aVR", "aVL", "aVF")
    assert (record.fs, record.duration_s) == (500, 10)
    assert (record.patient_id, record.age, record.sex) == ("SBJ-123", 49.0, "male")
    assert record.notes == ("The recording device calls itself ELI250.",)
    heights = np.ptp(record.signal, axis=1)
    assert ((heights > 0.3) & (heights < 4)).all()
    assert np.abs(np.diff(record.signal, axis=1)).max() < 0.35  # no step within 2 ms


@pytest.mark.real
def test_the_real_file_obeys_einthoven_and_goldberger(example):
    record = read_record(example)
    lead = dict(zip(record.leads, record.signal, strict=True))
    np.testing.assert_allclose(lead["II"] - lead["I"], lead["III"], atol=0.006)
    np.testing.assert_allclose((lead["I"] + lead["II"]) / -2, lead["aVR"], atol=0.006)
    np.testing.assert_allclose(lead["I"] - lead["II"] / 2, lead["aVL"], atol=0.006)
    np.testing.assert_allclose(lead["II"] - lead["I"] / 2, lead["aVF"], atol=0.006)


@pytest.mark.real
def test_the_qrs_complexes_of_the_real_file_are_aligned_across_leads(example):
    record = read_record(example)
    steep = np.abs(np.diff(record.signal, axis=1))
    power = np.convolve(steep.sum(axis=0), np.ones(40), "same")
    peaks = [k for k in range(200, 4800) if power[k] == power[k - 100 : k + 100].max() > 0.4 * power.max()]
    assert 8 <= len(peaks) <= 14
    inside = np.zeros(steep.shape[1], bool)
    for peak in peaks:
        inside[peak - 40 : peak + 40] = True
    # Muscle noise has steep samples too, but in every lead most of the slope is in the same 160 ms.
    ratio = steep[:, inside].mean(axis=1) / steep[:, ~inside].mean(axis=1)
    assert ratio.min() > 2.5


@pytest.mark.real
@pytest.mark.parametrize("factor", [1, 4])
def test_the_real_signals_survive_the_highest_compression(example, factor):
    signal = np.round(read_record(example).signal[:8] / MILLIVOLT).astype(int)
    power = np.convolve(np.abs(np.diff(signal, axis=1)).sum(axis=0), np.ones(40), "same")
    peaks = [k for k in range(300, 4600) if power[k] == power[k - 150 : k + 150].max() > 0.4 * power.max()]
    beat = np.round(np.median([signal[:, k - 150 : k + 250] for k in peaks], axis=0)).astype(int)
    qrs = tuple((0, k - 149, k + 1, k + 250) for k in peaks)
    zones = tuple((k - 60, k + 61) for k in peaks)
    file = Scp(signal, beat=beat, fiducial=151, qrs=qrs, protected=zones, subtract=True, tables=DEFAULT, differences=2)
    error = read(dataclasses.replace(file, bimodal=factor > 1, factor=factor)).signal - signal * MILLIVOLT
    for start, end in zones:
        assert np.abs(error[:, start - 1 : end]).max() < 1e-6
    if factor == 1:
        assert np.abs(error).max() < 1e-6
    # What is lost is muscle noise above 60 Hz, and height of the last complex, which was given no zone.
    assert np.sqrt(np.mean(error**2, axis=1)).max() < 0.01


@pytest.mark.real
def test_a_real_file_of_ten_seconds_is_read_in_half_a_second(example):
    content = example.read_bytes()
    began = time.process_time()
    read(content)
    assert time.process_time() - began < 0.5
