"""Text tables: every way to write one, and every error with its row and column."""

import time

import numpy as np
import pytest

from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, read_record
from einthoven.leads import TWELVE_LEADS


def ecg_like(n_rows=600, n_leads=12, seed=0):
    """Spikes of one millivolt on noise, rounded as tables are."""
    signal = np.random.default_rng(seed).normal(0, 0.05, (n_rows, n_leads))
    signal[::100] += 1.0
    return np.round(signal, 4)


def text_of(values, separator=",", header=None, decimal=".", fmt="%.4f", end="\n"):
    rows = [separator.join(fmt % value for value in row).replace(".", decimal) for row in values]
    return (end.join(([separator.join(header)] if header else []) + rows) + end).encode()


def read(content, name="ecg.csv", **stated):
    return read_record(MemoryFiles(name, {name: content}), **stated)


NAMED = ",".join(TWELVE_LEADS)


@pytest.mark.parametrize("separator", [",", ";", "\t", " ", ", ", "  ", " ; "])
@pytest.mark.parametrize("header", [None, TWELVE_LEADS])
def test_every_separator_reads_the_same(separator, header):
    values = ecg_like()
    record = read(text_of(values, separator, header), fs=500)
    np.testing.assert_allclose(record.signal, values.T, rtol=1e-6)
    assert (record.leads, record.fs, record.record_id) == (TWELVE_LEADS, 500.0, "ecg")


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_are_read_and_noted(separator):
    values = ecg_like()
    record = read(text_of(values, separator, decimal=","), fs=500)
    np.testing.assert_allclose(record.signal, values.T, rtol=1e-6)
    assert "Commas were read as decimal points." in record.notes


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n"[:1] + ""])
@pytest.mark.parametrize("encode", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_line_ends_and_encodings_do_not_matter(end, encode):
    header = [f"{lead} [µV]" for lead in TWELVE_LEADS]
    values = ecg_like(50)
    content = end.join([",".join(header)] + [",".join(map(str, row * 1000)) for row in values]).encode(encode)
    np.testing.assert_allclose(read(content, fs=100).signal, values.T, rtol=1e-5)


@pytest.mark.parametrize(
    "header",
    [
        [f"lead{k}" for k in range(1, 13)],
        [f"Lead {name}" for name in TWELVE_LEADS],
        [name.upper() for name in TWELVE_LEADS],
        [f'"{name}"' for name in TWELVE_LEADS],
        [f"ECG_{name}" for name in TWELVE_LEADS],
        [f"{name}_mV" for name in TWELVE_LEADS],
        ["DI", "DII", "DIII", "AVR", "AVL", "AVF", "C1", "C2", "C3", "C4", "C5", "C6"],
    ],
)
def test_leads_are_known_by_any_usual_spelling(header):
    assert read(text_of(ecg_like(), header=header), fs=500).leads == TWELVE_LEADS


def test_a_table_of_few_or_reordered_leads_keeps_its_order():
    values = ecg_like(n_leads=2)
    record = read(text_of(values, header=["V5", "II"]), fs=360)
    assert record.leads == ("V5", "II")
    np.testing.assert_allclose(record.signal, values.T, rtol=1e-6)


def test_a_single_lead_needs_its_name():
    values = ecg_like(n_leads=1)
    assert read(text_of(values, header=["II"]), fs=360).leads == ("II",)
    assert read(text_of(values), fs=360, leads=["ii"]).leads == ("II",)


@pytest.mark.parametrize(
    ("name", "scale", "digits"),
    [
        ("time", 1, 6),
        ("Time (s)", 1, 3),
        ("t [ms]", 1000, 3),
        ("time_ms", 1000, 0),
        ("time", 1000, 3),
        ("seconds", 1, 4),
    ],
)
@pytest.mark.parametrize("fs", [100, 360, 500, 1000])
def test_the_rate_comes_from_the_time_column(name, scale, digits, fs):
    values = ecg_like()
    times = np.round(np.arange(len(values)) / fs * scale, digits)
    rows = [f"{t:.{digits}f}," + ",".join(map(str, row)) for t, row in zip(times, values, strict=True)]
    record = read("\n".join([f"{name},{NAMED}", *rows]).encode())
    assert record.fs == fs
    assert record.leads == TWELVE_LEADS
    assert f"rate of {fs} Hz was computed" in record.notes[0]


def test_a_fractional_rate_is_not_rounded():
    times = np.arange(2000) / 257.5
    rows = [f"{t:.9f},{k % 3}" for k, t in enumerate(times)]
    assert read("\n".join(["time,II", *rows]).encode()).fs == pytest.approx(257.5, rel=1e-6)


def test_thirteen_columns_without_names_begin_with_time_or_a_count():
    values = ecg_like()
    timed = read(text_of(np.column_stack([np.arange(600) / 500, values])))
    assert (timed.fs, timed.leads) == (500.0, TWELVE_LEADS)
    counted = read(text_of(np.column_stack([np.arange(600), values])), fs=250)
    assert counted.leads == TWELVE_LEADS
    assert "Column 1 counts the samples and was left out." in counted.notes
    np.testing.assert_allclose(counted.signal, values.T, rtol=1e-6)


@pytest.mark.parametrize("name", ["", "index", "sample", "Unnamed: 0"])
def test_a_named_count_of_samples_is_left_out(name):
    values = np.column_stack([np.arange(600), ecg_like()])
    assert read(text_of(values, header=[name, *TWELVE_LEADS]), fs=500).leads == TWELVE_LEADS


def test_a_stated_rate_that_the_time_column_contradicts_is_refused():
    table = text_of(np.column_stack([np.arange(600) / 500, ecg_like()]), header=["time", *TWELVE_LEADS])
    assert read(table, fs=500).fs == 500
    with pytest.raises(RecordError, match=r"the time column says 500 Hz, but 250 Hz .* or correct the time column"):
        read(table, fs=250)


@pytest.mark.parametrize(
    ("header", "stated", "factor"),
    [
        ([f"{name} [uV]" for name in TWELVE_LEADS], None, 1000),
        ([f"{name} (mV)" for name in TWELVE_LEADS], None, 1),
        ([f"{name}_uV" for name in TWELVE_LEADS], None, 1000),
        ([f"{name} [uV]" for name in TWELVE_LEADS], "mV", 1),
        (None, "uV", 1000),
        (None, "mV", 1),
        (None, "V", 0.001),
    ],
)
def test_a_given_unit_is_obeyed_without_a_note(header, stated, factor):
    values = ecg_like()
    record = read(text_of(values * factor, header=header, fmt="%.7f"), fs=500, unit=stated)
    np.testing.assert_allclose(record.signal, values.T, rtol=1e-4, atol=1e-6)
    assert record.notes == ()


@pytest.mark.parametrize(("factor", "word"), [(1, "millivolts"), (1000, "microvolts")])
@pytest.mark.parametrize("amplitude", [0.3, 1.0, 5.0])
def test_the_unit_is_told_from_the_amplitudes_and_noted(factor, word, amplitude):
    values = ecg_like() * amplitude
    record = read(text_of(values * factor), fs=500)
    np.testing.assert_allclose(record.signal, values.T, rtol=1e-3, atol=1e-3)
    assert record.notes[-1].endswith(f"taken as {word}.")


def test_one_wild_lead_does_not_change_the_unit():
    values = ecg_like()
    values[::2, 4] = 900.0
    assert read(text_of(values), fs=500).notes[-1].endswith("taken as millivolts.")


def test_normalised_values_stay_as_they_are_when_stated():
    record = read(text_of(ecg_like()), fs=500, unit="normalised")
    assert record.unit == "normalised"
    np.testing.assert_allclose(record.signal, ecg_like().T, rtol=1e-6)


def test_raw_converter_counts_must_have_their_unit_stated():
    with pytest.raises(RecordError, match="too much for millivolts or microvolts; state the unit"):
        read(text_of(ecg_like() * 1e6), fs=500)


def test_very_small_amplitudes_are_doubted_in_the_note():
    assert "state the unit if it is another" in read(text_of(ecg_like() * 0.001, fmt="%.7f"), fs=500).notes[-1]


@pytest.mark.parametrize("empty", ["", "NaN", "nan", "NA", "null", " "])
def test_empty_cells_become_nan(empty):
    lines = text_of(ecg_like(30)).decode().splitlines()
    cells = lines[7].split(",")
    cells[2] = empty
    lines[7] = ",".join(cells)
    record = read("\n".join(lines).encode(), fs=500)
    assert np.argwhere(np.isnan(record.signal)).tolist() == [[2, 7]]


def test_separators_at_line_ends_and_comment_lines_are_no_columns():
    body = text_of(ecg_like(30), header=TWELVE_LEADS).decode().replace("\n", ",\n")
    record = read(("# exported\n" + body).encode(), fs=500)
    np.testing.assert_allclose(record.signal, ecg_like(30).T, rtol=1e-6)


def test_a_last_column_of_nothing_but_empty_cells_in_its_first_rows_is_kept():
    lines = text_of(ecg_like(60)).decode().splitlines()
    lines[:30] = [line.rpartition(",")[0] + "," for line in lines[:30]]
    record = read("\n".join(lines).encode(), fs=500)
    assert np.isnan(record.signal[11]).sum() == 30


def test_exponents_and_signs_are_numbers():
    content = b"II,V1\n" + b"+1.5e-1,-.5\n1E0,2.\n" * 20
    np.testing.assert_allclose(read(content, fs=100).signal[:, :2], [[0.15, 1.0], [-0.5, 2.0]])


def test_a_table_under_another_suffix_is_found_by_content(tmp_path):
    (tmp_path / "foo.dat").write_bytes(text_of(ecg_like()))
    assert read_record(tmp_path / "foo.dat", fs=500).leads == TWELVE_LEADS


@pytest.mark.parametrize(("rows", "fs"), [(1000, 100), (2500, 250), (5000, 500), (10000, 1000)])
def test_a_missing_rate_is_asked_for_with_what_the_rows_suggest(rows, fs):
    with pytest.raises(RecordError, match=rf"--fs {fs} or fs={fs} \({rows} rows would be 10 s at {fs} Hz\)"):
        read(text_of(ecg_like(rows)))


def test_a_missing_rate_is_asked_for_without_a_suggestion_where_none_fits():
    with pytest.raises(RecordError, match=r"must be stated: --fs 500 or fs=500$"):
        read(text_of(ecg_like(1234)))


def spoiled(row, column, value, header=None):
    lines = text_of(ecg_like(40), header=header).decode().splitlines()
    cells = lines[row - 1].split(",")
    cells[column - 1] = value
    return "\n".join([*lines[: row - 1], ",".join(cells), *lines[row:]]).encode()


@pytest.mark.parametrize("value", ["oops", "1_0", "inf", "1e999", "0x10", "1,5"[:1] + "..5"])
@pytest.mark.parametrize(("row", "header"), [(1, None), (20, None), (20, TWELVE_LEADS), (40, None)])
def test_text_where_numbers_belong_is_named_by_row_column_and_value(value, row, header):
    with pytest.raises(RecordError, match=rf"ecg\.csv: row {row}, column 5: '{value}' is not a number"):
        read(spoiled(row, 5, value, header), fs=500)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"ecg\.csv: the file is empty"),
        (b"\n\n  \n", "the file is empty"),
        (b"# nothing\n", "no rows of numbers"),
        (NAMED.encode() + b"\n", "a header but no rows of numbers"),
        (text_of(ecg_like(20, 11)), "11 columns without names; 12 are taken as I, II"),
        (text_of(ecg_like(20)) + b"1,2,3\n", r"row 21 has 3 columns, the rows before it have 12"),
        (b"I,V7x,V2\n" + b"1,2,3\n" * 9, "column 'V7x' is no known lead"),
        (b"I,aVQ\n" + b"1,2\n" * 9, "did you mean 'aV"),
        (b"I [mmHg],II [mmHg]\n" + b"1,2\n" * 9, "the unit 'mmHg'; give every column"),
        (b"I [mV],II\n" + b"1,2\n" * 9, "no unit in some columns"),
        (b"I,I\n" + b"1,2\n" * 9, "lead names repeat: I"),
        (b"time\n" + b"1\n2\n" * 9, "the time does not increase"),
        (b"a\0b\n", "binary, not a text table"),
        (b"\n".join([b",".join([b"1"] * 5000)] * 12), "5000 columns; .* transposed"),
    ],
)
def test_damaged_tables_are_refused_in_one_sentence(content, message):
    with pytest.raises(RecordError, match=message):
        read(content, fs=500)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0, 2, 4, 4, 8], r"row 5: the time does not increase \(4, then 4\)"),
        ([0, 2, 4, 3, 8], r"row 5: the time does not increase \(4, then 3\)"),
        ([0, 2, 4, 8, 10, 12], r"row 5: the time is irregular \(a step of 4 where 2 is usual\)"),
        ([0, 2, "", 6, 8], "row 4: the time is missing"),
        ([0], "one row is too few"),
    ],
)
def test_a_time_that_is_not_even_is_refused_with_its_row(times, message):
    content = "\n".join(["time_ms,II", *(f"{t},0.5" for t in times)]).encode()
    with pytest.raises(RecordError, match=message):
        read(content)


def test_an_unknown_time_unit_is_refused():
    with pytest.raises(RecordError, match="time unit 'min' is unknown"):
        read(b"time [min],II\n" + b"".join(b"%d,1\n" % k for k in range(30)))


def test_stated_leads_must_be_as_many_as_the_columns():
    with pytest.raises(RecordError, match="2 lead names were stated for 12 columns"):
        read(text_of(ecg_like()), fs=500, leads=["I", "II"])


def test_long_tables_are_read_across_chunks_and_errors_keep_their_row():
    values = ecg_like(20_000)
    content = text_of(values)
    np.testing.assert_allclose(read(content, fs=500).signal, values.T, rtol=1e-6)
    lines = content.split(b"\n")
    lines[17_000] = lines[17_000].replace(b"0.", b"x.", 1)
    with pytest.raises(RecordError, match="row 17001, column"):
        read(b"\n".join(lines), fs=500)


def test_ten_seconds_at_500_hz_parse_in_well_under_a_tenth_of_a_second():
    content = text_of(ecg_like(5000))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        read(content, fs=500)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.1


def test_a_first_row_that_numbers_the_columns_is_no_sample():
    values = ecg_like()
    plain, numbered = text_of(values), text_of(values, header=[str(k) for k in range(12)])
    record = read(numbered, fs=500)
    np.testing.assert_array_equal(record.signal, read(plain, fs=500).signal)
    assert "The first row numbers the columns and was left out." in record.notes


def test_quoted_cells_may_hold_the_separator():
    rows = "\n".join(";".join(f'"{value:.4f}"' for value in row) for row in ecg_like())
    np.testing.assert_allclose(read(rows.encode(), fs=500).signal, ecg_like().T, rtol=1e-6)


def test_values_between_millivolts_and_microvolts_need_their_unit():
    counts = ecg_like() * 100
    with pytest.raises(RecordError, match="too much for millivolts and too little for microvolts; state the unit"):
        read(text_of(counts), fs=500)
    assert read(text_of(counts), fs=500, unit="uV").signal.max() < 1
