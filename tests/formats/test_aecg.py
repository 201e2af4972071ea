"""HL7 annotated ECGs: sequences, units and times of the implementation guide, real files, every named error."""

import numpy as np
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given, settings

from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, list_formats, read_record
from einthoven.leads import TWELVE_LEADS

DIGITS = np.random.default_rng(7).integers(-300, 300, (12, 50))
COLUMNS = (TWELVE_LEADS[:3], TWELVE_LEADS[3:6], TWELVE_LEADS[6:9], TWELVE_LEADS[9:])


def clock(head="20021122091000.000", step="0.002", unit="s", kind="ABSOLUTE", head_unit=""):
    value_type = "GLIST_TS" if kind == "ABSOLUTE" else "GLIST_PQ"
    return (
        f'<component><sequence><code code="TIME_{kind}"/><value xsi:type="{value_type}">'
        f'<head value="{head}"{head_unit}/><increment value="{step}" unit="{unit}"/></value></sequence></component>'
    )


def lead(name, digits, scale="2.5", unit="uV", origin="0", code=None, value_type="SLIST_PQ"):
    code = f"MDC_ECG_LEAD_{name.upper()}" if code is None else code
    return (
        f'<component><sequence><code code="{code}" codeSystem="2.16.840.1.113883.6.24"/>'
        f'<value xsi:type="{value_type}"><origin value="{origin}" unit="{unit}"/><scale value="{scale}" unit="{unit}"/>'
        f"<digits>{' '.join(map(str, digits))}\n</digits></value></sequence></component>"
    )


def sequences(*parts):
    return f"<component><sequenceSet>{''.join(parts)}</sequenceSet></component>"


def series(*sets, code="RHYTHM", inner=""):
    return f'<component><series><code code="{code}"/>{"".join(sets)}{inner}</series></component>'


def twelve():
    return series(sequences(clock(), *(lead(name, DIGITS[k]) for k, name in enumerate(TWELVE_LEADS))))


SUBJECT = (
    '<id root="1.2" extension="SBJ-123"/><subjectDemographicPerson><administrativeGenderCode code="F"/>'
    '<birthTime value="19760101"/></subjectDemographicPerson>'
)


def aecg(*parts, subject=SUBJECT, extra=""):
    return (
        '<?xml version="1.0" encoding="UTF-8"?><!-- an ECG --><AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="Observation">'
        '<effectiveTime><center value="20021122091000"/></effectiveTime>'
        "<componentOf><timepointEvent><componentOf><subjectAssignment><subject><trialSubject>"
        f"{subject}</trialSubject></subject></subjectAssignment></componentOf></timepointEvent></componentOf>"
        f"{extra}{''.join(parts or [twelve()])}</AnnotatedECG>"
    ).encode()


def read(content, **stated):
    return read_record(MemoryFiles("ecg.xml", {"ecg.xml": content}), **stated)


def one(**changes):
    """A record of one lead whose sequence is changed."""
    return aecg(series(sequences(clock(), lead("II", DIGITS[0], **changes))))


def test_twelve_leads_are_read_with_what_is_known_of_the_subject():
    record = read(aecg())
    assert (record.leads, record.fs, record.record_id, record.unit) == (TWELVE_LEADS, 500.0, "ecg", "mV")
    assert (record.patient_id, record.age, record.sex, record.notes) == ("SBJ-123", 26.0, "female", ())
    np.testing.assert_allclose(record.signal, DIGITS * 0.0025, rtol=1e-6, atol=1e-9)


def test_a_path_reads_as_an_upload_does(tmp_path):
    (tmp_path / "ecg.xml").write_bytes(aecg())
    np.testing.assert_array_equal(read_record(tmp_path / "ecg.xml").signal, read(aecg()).signal)
    assert "HL7 aECG" in {reader.name for reader in list_formats()}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_encodings_do_not_matter(encoding):
    content = aecg().decode().replace("UTF-8", encoding.removesuffix("-sig")).encode(encoding)
    np.testing.assert_array_equal(read(content).signal, read(aecg()).signal)


@pytest.mark.parametrize(("unit", "per_mv"), [("uV", 1000), ("mV", 1), ("nV", 1e6), ("V", 0.001)])
def test_values_are_origin_plus_scaled_digits_in_the_stated_unit(unit, per_mv):
    record = read(one(scale="2.5", origin="-3", unit=unit))
    np.testing.assert_allclose(record.signal[0], (DIGITS[0] * 2.5 - 3) / per_mv, rtol=1e-6)


def test_an_origin_in_another_unit_is_converted():
    content = one(origin="1").replace(b'<origin value="1" unit="uV"/>', b'<origin value="1" unit="mV"/>')
    np.testing.assert_allclose(read(content).signal[0], DIGITS[0] * 0.0025 + 1, rtol=1e-5)
    with pytest.raises(RecordError, match="the units 'uV' and 'mmHg' are not both voltages"):
        read(content.replace(b'unit="mV"', b'unit="mmHg"'))


@pytest.mark.parametrize(
    ("step", "unit", "fs"),
    [("0.002", "s", 500), ("2", "ms", 500), ("2000", "us", 500), ("0.004", "s", 250), ("3.90625", "ms", 256)],
)
@pytest.mark.parametrize("kind", ["ABSOLUTE", "RELATIVE"])
def test_the_rate_is_one_over_the_increment(step, unit, fs, kind):
    head = "20021122091000" if kind == "ABSOLUTE" else "0"
    assert read(aecg(series(sequences(clock(head, step, unit, kind), lead("II", DIGITS[0]))))).fs == fs


@pytest.mark.parametrize(
    ("code", "name"),
    [("MDC_ECG_LEAD_AVR", "aVR"), ("MDC_ECG_LEAD_aVL", "aVL"), ("MDC_ECG_LEAD_V3R", "V3R"), ("MDC_ECG_LEAD_X", "vx")],
)
def test_lead_codes_become_canonical_names(code, name):
    assert read(one(code=code)).leads == (name,)


def test_integers_without_a_unit_need_it_stated():
    sequence = (
        '<component><sequence><code code="MDC_ECG_LEAD_II"/><value xsi:type="SLIST_INT">'
        '<origin value="10"/><scale value="2"/><digits>1 2 3</digits></value></sequence></component>'
    )
    content = aecg(series(sequences(clock(), sequence)))
    np.testing.assert_allclose(read(content, unit="uV").signal, [[0.012, 0.014, 0.016]], rtol=1e-6)
    with pytest.raises(RecordError, match="lead II: gives no unit; state it"):
        read(content)
    bare = content.replace(b'<origin value="10"/><scale value="2"/>', b"")
    np.testing.assert_allclose(read(bare, unit="mV").signal, [[1, 2, 3]])


def test_what_is_stated_goes_before_what_the_file_says():
    record = read(one(unit="mmHg"), unit="uV", fs=500, leads=["V1"])
    assert (record.fs, record.leads) == (500.0, ("V1",))
    with pytest.raises(RecordError, match="the file says 500 Hz, but 250 Hz was stated"):
        read(one(), fs=250)
    assert read(one(), unit="normalised").unit == "normalised"


BEAT = (
    '<derivation><derivedSeries><code code="REPRESENTATIVE_BEAT"/>'
    + sequences(clock("0", "2", "ms", "RELATIVE"), lead("V1", [1, 2, 3]))
    + "</derivedSeries></derivation>"
)


def test_the_rhythm_goes_before_the_beat_and_the_beat_before_nothing():
    rhythm = sequences(clock(), lead("II", DIGITS[0]))
    assert read(aecg(series(rhythm, inner=BEAT))).leads == ("II",)
    alone = read(aecg(series(inner=BEAT)))
    assert (alone.leads, alone.n_samples, alone.fs) == (("V1",), 3, 500.0)
    assert alone.notes == ("The file has no rhythm; its representative beat was read.",)
    first = series(sequences(clock(), lead("V1", [1, 2, 3])), code="REPRESENTATIVE_BEAT")
    assert read(aecg(first, series(rhythm))).leads == ("II",)


def columns(step_s=0.1, as_series=True):
    """Four columns of three leads, one after the other, as on paper."""
    sets = [
        sequences(clock(f"200211220910{k * step_s:06.3f}"), *(lead(x, DIGITS[TWELVE_LEADS.index(x)]) for x in names))
        for k, names in enumerate(COLUMNS)
    ]
    return [series(one_set) for one_set in sets] if as_series else [series(*sets)]


@pytest.mark.parametrize("as_series", [True, False])
def test_three_by_four_printouts_are_laid_out_by_their_time(as_series):
    record = read(aecg(*columns(as_series=as_series)))
    assert (record.leads, record.n_samples) == (TWELVE_LEADS, 200)
    for k in range(12):
        start = 50 * (k // 3)
        np.testing.assert_allclose(record.signal[k, start : start + 50], DIGITS[k] * 0.0025, rtol=1e-6, atol=1e-9)
        assert np.isnan(np.delete(record.signal[k], slice(start, start + 50))).all()
    assert record.notes == ("4 rhythm segments were laid out by their time; leads are NaN between them.",)


def test_a_rhythm_strip_over_the_columns_replaces_the_short_copy():
    strip = series(sequences(clock("20021122091000"), lead("II", range(200))))
    record = read(aecg(*columns(), strip))
    np.testing.assert_allclose(record.signal[1], np.arange(200) * 0.0025, rtol=1e-6)
    assert "Lead II is stored twice; the longer strip was kept." in record.notes


def test_segments_of_one_lead_follow_each_other_and_zones_count():
    sets = [
        sequences(clock(head), lead("II", DIGITS[k]))
        for k, head in enumerate(["20021122091000+0100", "20021122081000.100+0000"])
    ]
    record = read(aecg(series(*sets)))
    np.testing.assert_allclose(record.signal[0], DIGITS[:2].ravel() * 0.0025, rtol=1e-6, atol=1e-9)
    assert record.notes == ()


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (clock("20021122101000"), "they lie far apart in time"),
        (clock("20021122091000", "0.004"), "their sampling rates differ or are unknown"),
        (clock("someday"), "their times are unknown or of different clocks"),
        (clock("20029922091000"), "their times are unknown or of different clocks"),
        (clock("0", kind="RELATIVE"), "their times are unknown or of different clocks"),
        ("", "their sampling rates differ or are unknown"),
    ],
)
def test_series_without_a_common_time_leave_the_first_with_a_note(second, why):
    sets = [sequences(clock(), lead("II", DIGITS[0])), sequences(second, lead("V1", DIGITS[1]))]
    record = read(aecg(*map(series, sets)))
    assert record.leads == ("II",)
    assert record.notes == (f"The first of 2 rhythm segments was read: {why}.",)


def test_relative_times_in_other_units_are_laid_out_too():
    sets = [
        sequences(clock("0", kind="RELATIVE", head_unit=' unit="s"'), lead("II", DIGITS[0])),
        sequences(clock("100", kind="RELATIVE", head_unit=' unit="ms"'), lead("V1", DIGITS[1])),
    ]
    assert read(aecg(series(*sets))).n_samples == 100
    strange = sets[1].replace('unit="ms"/><incr', 'unit="moon"/><incr')
    assert "their times are unknown" in read(aecg(series(sets[0], strange))).notes[0]


def test_many_leads_far_from_each_other_do_not_fill_the_memory():
    sets = [sequences(clock(f"2002112209{k // 60:02d}{k % 60:02d}"), lead(f"Z{k}", range(3000))) for k in range(200)]
    content = aecg(series(*sets)).replace(b'value="0.002"', b'value="0.0005"')
    assert_record_or_error(MemoryFiles("ecg.xml", {"ecg.xml": content}))
    assert "far apart" in read(content).notes[0]


@pytest.mark.parametrize(
    ("extra", "age"),
    [
        ('<relatedObservation><code code="21612-7"/><value value="50" unit="a"/></relatedObservation>', 50),
        ('<relatedObservation><code code="30525-0"/><value value="6" unit="mo"/></relatedObservation>', 0.5),
        ('<relatedObservation><code code="21612-7"/><value unit="a"/></relatedObservation>', 26),
        ('<relatedObservation><code code="21612-7"/><value value="500" unit="a"/></relatedObservation>', None),
        ("", 26),
    ],
)
def test_the_reported_age_goes_before_the_birth(extra, age):
    record = read(aecg(extra=f"<controlVariable>{extra}</controlVariable>"))
    assert record.age == age
    assert any("age '500 a'" in note for note in record.notes) == ("500" in extra)


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("", (None, None, None)),
        ('<id root="1.2"/>', (None, None, None)),
        (
            "<subjectDemographicPerson><PatientID>77</PatientID><Age>31</Age>"
            '<administrativeGenderCode code="UN"/></subjectDemographicPerson>',
            ("77", 31, None),
        ),
    ],
)
def test_other_subjects_are_read_or_left_unknown(subject, expected):
    record = read(aecg(subject=subject))
    assert (record.patient_id, record.age, record.sex) == expected


def test_interpretations_are_read_once_each_and_measurements_are_not():
    def note(code, value):
        return f'<component><annotation><code code="{code}"/>{value}</annotation></component>'

    inner = "<subjectOf><annotationSet>" + "".join(
        [
            note("MDC_ECG_TIME_PD_QT", '<value xsi:type="PQ" value="400" unit="ms"/>'),
            note("MDC_ECG_INTERPRETATION_STATEMENT", '<value xsi:type="ST">Sinus \n rhythm</value>'),
            note("MDC_ECG_INTERPRETATION_STATEMENT", '<value xsi:type="ST">Sinus rhythm</value>'),
            note("MDC_ECG_INTERPRETATION_SUMMARY", '<value xsi:type="CE" code="x" displayName="Normal &amp; fine"/>'),
            note("MDC_ECG_INTERPRETATION_COMMENT", '<value xsi:type="ST"/>'),
        ]
    )
    content = aecg(series(sequences(clock(), lead("II", [1, 2])), inner=inner + "</annotationSet></subjectOf>"))
    assert read(content).interpretation == ("Sinus rhythm", "Normal & fine")


def test_sequences_without_code_or_value_are_passed_over():
    broken = '<component><sequence><code code="MDC_ECG_LEAD_I"/></sequence></component>'
    assert read(aecg(series(sequences(clock(), broken, lead("V2", [1, 2]))))).leads == ("V2",)


def test_what_is_no_lead_or_empty_is_left_out_with_a_note():
    other = lead("II", [1, 2], code="MDC_PRESS_BLD")
    record = read(aecg(series(sequences(clock(), other, lead("V1", []), lead("V2", [1, 2])))))
    assert record.leads == ("V2",)
    assert record.notes == (
        "Leads without samples were left out: V1.",
        "Sequences that are no ECG leads were left out: MDC_PRESS_BLD.",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (aecg(" "), r"ecg\.xml: the annotated ECG has no series, so no signal"),
        (aecg(series()), "its 1 series have no samples of any lead"),
        (aecg(series(sequences(clock(), lead("II", [])))), "no samples of any lead"),
        (aecg(series(sequences(clock()))), "no samples of any lead"),
        (aecg(series(sequences(lead("II", [1])))), "gives no sampling rate; state it"),
        (one().replace(b'<increment value="0.002" unit="s"/>', b""), "gives no sampling rate; state it"),
        (aecg(series(sequences(clock(step="0"), lead("II", [1])))), "the time increment '0' is not above zero"),
        (aecg(series(sequences(clock(step="x"), lead("II", [1])))), "the time increment 'x' is not above zero"),
        (aecg(series(sequences(clock(unit="h"), lead("II", [1])))), "the unit 'h'; s, ms and us can be read"),
        (aecg(series(sequences(clock(step="1e-9"), lead("II", [1])))), "a sampling rate of 1e"),
        (one(unit="mmHg"), "lead II: gives the unit 'mmHg', which is no voltage; state it"),
        (one(scale="x"), "lead II: the scale 'x' is not a number"),
        (one(origin=""), "lead II: the origin '' is not a number"),
        (one(scale="0"), "lead II: a scale of 0 leaves no signal"),
        (one(scale="1e200"), "lead II: has values too large"),
        (one().replace(b"<digits>", b"<digits>x "), "lead II: its digits are not all numbers"),
        (
            aecg(series(sequences(clock(), lead("II", [1]), lead("ii", [2])))),
            "leads repeat in one sequence set: II",
        ),
        (
            aecg(series(sequences(clock(), lead("II", [1, 2]))), series(sequences(clock(), lead("II", [3, 4])))),
            "lead II is stored twice for the same time",
        ),
        (
            aecg(series(sequences(clock(), lead("II", [1, 2]), lead("V1", [1])))),
            r"different numbers of samples \(II 2, V1 1\)",
        ),
        (
            aecg(series(sequences(lead("", [0, 2], code="TIME_RELATIVE", unit="ms"), lead("II", [1, 2])))),
            "its times are listed one by one; only regular sampling can be read",
        ),
        (aecg()[:5000], "the XML ends too early"),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(content, message):
    with pytest.raises(RecordError, match=message):
        read(content)


SMALL = aecg(
    series(sequences(clock(), lead("I", [1, 2, 3]), lead("II", [4, 5, 6])), inner=BEAT),
    series(sequences(clock("20021122091000.006"), lead("V1", [7, 8, 9]))),
)


@given(changes=damage)
@QUICK
def test_a_damaged_file_gives_a_record_or_an_error(changes):
    assert_record_or_error(MemoryFiles("ecg.xml", {"ecg.xml": damaged(SMALL, changes)}))


@pytest.fixture(scope="module")
def formats(real_data):
    return real_data / "formats"


@pytest.mark.real
def test_the_smallest_example_of_the_fda_is_read_and_the_empty_one_named(formats):
    record = read_record(formats / "hl7_aecg_FDA/examples/minimum_aecg.xml")
    assert (record.leads, record.fs, record.patient_id) == (("II",), 500.0, "SBJ-123")
    expected = np.array([-2, -2, -2, -2, -3, -4, -3, -5, -5, -4, -6, -9, -9]) * 0.0025
    np.testing.assert_allclose(record.signal[0], expected, rtol=1e-6)
    with pytest.raises(RecordError, match=r"empty\.xml: the annotated ECG has no series"):
        read_record(formats / "hl7_aecg_FDA/examples/empty.xml")


@pytest.mark.real
def test_a_monitors_file_is_read_with_physiologic_amplitudes(formats):
    record = read_record(formats / "hl7_aecg_LIRYC/hl7aecg_example.xml")
    assert (record.leads, record.fs, record.n_samples) == (TWELVE_LEADS, 100.0, 1000)
    assert record.patient_id is not None
    assert record.interpretation[0] == "Rythme sinusal avec ESA"
    spans = np.ptp(record.signal, axis=1)
    assert spans.min() > 0.1
    assert spans.max() < 5


@pytest.mark.real
def test_einthovens_law_holds_in_a_real_file(formats):
    record = read_record(formats / "philips_sierra/1_04/ad4d3d80-d165_1-04_converted.xml")
    one_, two, three = record.signal[:3, :5000]
    # Each lead was filtered and rounded to 5 uV for itself.
    assert np.abs(two - one_ - three).max() < 0.05


@pytest.mark.real
def test_a_damaged_real_file_gives_a_record_or_an_error(formats):
    content = (formats / "hl7_aecg_LIRYC/hl7aecg_example.xml").read_bytes()

    @given(changes=damage)
    @settings(QUICK, max_examples=60)
    def check(changes):
        assert_record_or_error(MemoryFiles("ecg.xml", {"ecg.xml": damaged(content, changes)}))

    check()
