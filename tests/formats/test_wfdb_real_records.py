"""Every real WFDB record reads as the wfdb package reads it."""

import re
from pathlib import Path

import numpy as np
import pytest
import wfdb

from einthoven.formats import read_annotations, read_record, read_wfdb_integers
from einthoven.formats.wfdb_annotations import BEAT_SYMBOLS
from einthoven.leads import canonical_lead

pytestmark = pytest.mark.real


def assert_read_as_wfdb_reads(stem: Path) -> None:
    expected = wfdb.rdrecord(str(stem))
    record = read_record(stem)
    np.testing.assert_allclose(record.signal, expected.p_signal.T, rtol=2e-7, atol=0, equal_nan=True)
    assert record.fs == expected.fs
    assert record.record_id == expected.record_name
    assert record.leads == tuple(canonical_lead(name) for name in expected.sig_name)


def assert_integers_as_wfdb_reads(stem: Path) -> None:
    expected = wfdb.rdrecord(str(stem), physical=False)
    found = read_wfdb_integers(f"{stem}.hea")
    np.testing.assert_array_equal(found.samples, expected.d_signal)
    assert [s.gain for s in found.header.signals] == expected.adc_gain
    assert [s.baseline for s in found.header.signals] == expected.baseline
    assert [s.unit for s in found.header.signals] == expected.units


def stems(folder: Path) -> list[Path]:
    found = sorted(path.with_suffix("") for path in folder.rglob("*.hea"))
    assert found, f"no records under {folder}"
    return found


def test_every_mitdb_record_equals_wfdb(real_data):
    for stem in stems(real_data / "mitdb"):
        assert_read_as_wfdb_reads(stem)


def test_every_mitdb_annotation_equals_wfdb(real_data):
    for stem in stems(real_data / "mitdb"):
        expected = wfdb.rdann(str(stem), "atr")
        found = read_annotations(stem)
        np.testing.assert_array_equal(found.samples, expected.sample)
        assert found.symbols.tolist() == expected.symbol
        beats = read_record(stem, beats=True).beats
        is_beat = np.isin(expected.symbol, list(BEAT_SYMBOLS))
        np.testing.assert_array_equal(beats.samples, expected.sample[is_beat])


def test_every_ludb_record_and_annotation_equals_wfdb(real_data):
    for stem in stems(real_data / "ludb"):
        assert_read_as_wfdb_reads(stem)
        assert_integers_as_wfdb_reads(stem)
    expected = wfdb.rdann(str(stem), "ii")
    found = read_annotations(stem, "ii")
    np.testing.assert_array_equal(found.samples, expected.sample)
    assert found.symbols.tolist() == expected.symbol


def test_every_ludb_header_gives_age_and_sex(real_data):
    for stem in stems(real_data / "ludb"):
        record = read_record(stem)
        assert record.age is not None, stem
        assert record.sex is not None, stem


def test_every_cinc_record_equals_wfdb(real_data):
    for stem in stems(real_data / "cinc2021"):
        assert_read_as_wfdb_reads(stem)


def test_cinc_headers_give_patient_and_snomed_statements(real_data):
    for stem in stems(real_data / "cinc2021"):
        text = stem.with_suffix(".hea").read_text()
        record = read_record(stem)
        assert list(record.statements) == re.search(r"#Dx: ?(\S+)", text)[1].split(",")
        assert set(record.statements.values()) == {None}
        assert record.label_system == "snomed"
        assert record.sex == re.search(r"#Sex: ?(\w+)", text)[1].lower()
        age = re.search(r"#Age: ?(\S+)", text)[1]
        assert record.age == (None if age == "NaN" else float(age))


def test_a_spread_sample_of_ptb_xl_equals_wfdb(real_data):
    for stem in stems(real_data / "ptb-xl")[::66]:
        assert_read_as_wfdb_reads(stem)


@pytest.mark.timeout(1800)  # the wfdb package needs a minute on a quiet machine
@pytest.mark.slow
def test_all_of_ptb_xl_equals_wfdb(real_data):
    found = stems(real_data / "ptb-xl")
    for stem in found:
        assert_read_as_wfdb_reads(stem)
        assert read_record(stem).notes == ()


def test_mit_bih_headers_give_age_and_sex(real_data):
    record = read_record(real_data / "mitdb" / "114")
    assert (record.age, record.sex) == (72.0, "female")
