"""What the Explorer makes of samples and uploads, before anything is drawn."""

import io
import re
from pathlib import Path

import numpy as np
import pytest

from einthoven import formats
from einthoven.bundle import load_bundle
from einthoven.corpora.synthetic import example_record
from einthoven.explorer.intake import (
    LIMITS,
    SAMPLES,
    preview_of,
    read_again,
    said_on_page,
    sample_record,
    usual_names,
)
from einthoven.formats.uploads import read_uploads


def csv(record, n_leads=12, *, header=False, scale=1.0):
    out = io.BytesIO()
    names = ",".join(f"{lead} [mV]" for lead in record.leads[:n_leads]) if header else ""
    values = record.signal[:n_leads, :2500].T * scale
    np.savetxt(out, values, fmt="%.4f", delimiter=",", header=names, comments="")
    return out.getvalue()


@pytest.fixture(scope="module")
def record():
    return example_record("CRBBB", seed=1)


def test_samples_are_synthetic_and_show_what_their_title_says_to_the_shipped_model():
    bundle = load_bundle("ptbxl-superdiagnostic", threads=1)
    words = {text: name for name, text in bundle.descriptions.items()}
    shown = set()
    for sample in SAMPLES:
        record = sample_record(sample)
        assert record.source == "synthetic"
        assert any("no patient" in note for note in record.notes)
        told = sample.title.partition("(")[2].rstrip(")") or sample.title.lower().replace("ecg", "ECG")
        if name := words.get(told):
            present = [finding.name for finding in bundle.predict(record).findings if finding.present]
            assert name in present, f"{sample.title}: {present}"
            shown.add(name)
    assert shown == set(bundle.classes), "there is a sample of each superclass"


def test_a_table_without_names_is_previewed_and_read_as_stated(record):
    files = {"bare.csv": csv(record, 8), "good.csv": csv(record, header=True)}
    first = read_uploads(files, stated={"fs": None}, limits=LIMITS)
    assert "bare.csv" in first.failed
    preview = preview_of(files, "bare.csv")
    assert preview.n_signals == 8
    assert preview.record.leads[0] == "column 1"
    span = np.ptp(preview.record.signal, axis=1)
    assert 0.3 < np.median(span) < 6, "drawn at the height of an ECG whatever the unit"
    stated = {"fs": 500.0, "unit": "mV", "leads": usual_names(8)}
    again = read_again(files, first, "bare.csv", stated)
    assert again.records["bare.csv"].leads == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    assert again.records["bare.csv"].fs == 500
    assert "bare.csv" not in again.failed


def test_a_table_that_tells_its_rate_but_no_leads_is_previewed():
    rows = "\n".join(f"{k / 360:.6f},{np.sin(k / 9):.4f},{np.cos(k / 9):.4f}" for k in range(720))
    preview = preview_of({"t.csv": f"time,left,right\n{rows}".encode()}, "t.csv")
    assert (preview.n_signals, preview.record.fs) == (2, 360)


def test_stating_facts_of_one_file_leaves_the_others_as_they_were(record):
    files = {"a.csv": csv(record, header=True), "b.csv": csv(record, header=True)}
    first = read_uploads(files, stated={"fs": 500.0}, limits=LIMITS)
    again = read_again(files, first, "a.csv", {"fs": 250.0, "age": 70.0, "sex": "female"})
    assert (again.records["a.csv"].fs, again.records["a.csv"].age) == (250.0, 70.0)
    assert again.records["b.csv"] is first.records["b.csv"]


def test_what_is_no_table_of_signals_has_no_preview():
    assert preview_of({"x.csv": b"hello,world\n1,two\n"}, "x.csv") is None
    assert preview_of({"x.png": b"\x89PNG\r\n\x1a\n" + b"0" * 50}, "x.png") is None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a: its rate must be stated: --fs 500 or fs=500 (2 rows)", "a: its rate must be stated (2 rows)"),
        ("a: state one of mV, uV: --unit mV or unit='mV'", "a: state one of mV, uV"),
        (
            "a: different rates (I 100 Hz); state the one wanted: --fs 500 or fs=500",
            "a: different rates (I 100 Hz); state the one wanted",
        ),
        (
            "a: put its header beside it, or state rate and unit: --fs and --unit",
            "a: put its header beside it, or state rate and unit",
        ),
        ("a: state the names in order: --leads or leads=[...]", "a: state the names in order"),
        ("a: the file is empty", "a: the file is empty"),
    ],
)
def test_a_sentence_on_the_page_names_no_command(said, shown):
    assert said_on_page(said) == shown


def test_no_sentence_of_a_reader_keeps_a_command_on_the_page():
    texts = [path.read_text() for path in Path(formats.__file__).parent.glob("*.py")]
    said = [line for text in texts for line in re.findall(r'"([^"\n]*(?:--\w|fs=)[^"\n]*)"', text)]
    assert len(said) >= 6
    kept = [said_on_page(f" {line.replace('{likely or 500}', '500')}") for line in said]
    assert not [line for line in kept if "--" in line or "=" in line]


def test_an_array_without_names_is_previewed(record):
    out = io.BytesIO()
    np.save(out, record.signal[:6, :2500])
    preview = preview_of({"x.npy": out.getvalue()}, "x.npy")
    assert preview.n_signals == 6
