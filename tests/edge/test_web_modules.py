"""The page's modules against the Python that they follow: readers, resampling, filters, quality, decisions, novelty."""

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from web_site import serve

from browser import open_browser
from einthoven.bundle import Bundle, load_bundle
from einthoven.corpora.synthetic import example_record, write_synthetic_corpus
from einthoven.decisions import Calibration, Conformal, Decisions
from einthoven.edge import web
from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, read_record
from einthoven.leads import TWELVE_LEADS, canonical_lead, limb_lead_weights
from einthoven.record import Record
from einthoven.signals import check_signal, conform, feature_names, record_features, windows
from einthoven.signals.conform import conform_signals
from einthoven.signals.resample import resample
from einthoven.spec import SignalSpec

pytest.importorskip("playwright")

PAGE = Path(web.__file__).parent / "web_page"
# Arrays travel as base64 of float32: fifty times faster than as JSON, and NaN survives.
CODEC = """
const unpack = ({shape: [rows, n], data}) => {
    const bytes = Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0));
    const all = new Float32Array(bytes.buffer);
    return Array.from({length: rows}, (_, k) => all.slice(k * n, (k + 1) * n));
};
const pack = (rows) => {
    const n = rows[0].length;
    const all = new Float32Array(rows.length * n);
    rows.forEach((row, k) => all.set(row, k * n));
    const bytes = new Uint8Array(all.buffer);
    let text = "";
    for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
    return {shape: [rows.length, n], data: btoa(text)};
};
"""
Call = Callable[..., object]


def pack(x: np.ndarray) -> dict[str, object]:
    return {"shape": list(x.shape), "data": base64.b64encode(np.ascontiguousarray(x, "<f4").tobytes()).decode()}


def unpack(found: dict[str, object]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(found["data"]), "<f4").reshape(found["shape"])


@pytest.fixture(scope="module")
def call():
    """Run a function body in the browser: ``module`` is the imported module, ``a`` the arguments."""
    with serve(PAGE) as server, open_browser() as browser:
        page = browser.new_page()
        page.goto(server.url("page.css"))

        def run(module: str, body: str, *arguments: object) -> object:
            code = f"async (a) => {{ const module = await import('./{module}.js'); {CODEC} {body} }}"
            return page.evaluate(code, list(arguments))

        yield run


def read_in_browser(call: Call, files: dict[str, bytes], **stated: object) -> list[dict[str, object]]:
    body = """
    const files = new Map(a[0].map(([name, data]) => [name, Uint8Array.from(atob(data), (sign) => sign.charCodeAt(0))]));
    return module.readAll(files, a[1]).map(({record, ...rest}) => record ? {...rest, ...record, signal: pack(record.signal)} : rest);
    """
    encoded = [[name, base64.b64encode(content).decode()] for name, content in files.items()]
    return call("files", body, encoded, stated)


def assert_same_record(found: dict[str, object], expected: Record) -> None:
    assert "error" not in found
    np.testing.assert_array_equal(unpack(found["signal"]), expected.signal)
    assert found["fs"] == expected.fs
    assert tuple(found["leads"]) == expected.leads
    assert (found["recordId"], found["age"], found["sex"]) == (expected.record_id, expected.age, expected.sex)
    # Python quotes names with repr, the page with plain quotes: alike where there is nothing to escape.
    assert found["notes"] == list(expected.notes)


ROWS = "\n".join(f"{k / 100:.2f},{np.sin(k):.3f},{np.cos(k):.3f}" for k in range(300))
TWELVE = "\n".join(",".join(f"{np.sin(k / 7 + j):.3f}" for j in range(12)) for k in range(300))
TABLES = {
    "time-and-leads": f"time,I,II\n{ROWS}",
    "byte-order-mark": f"\ufefftime,I,II\n{ROWS}",
    "windows-lines": f"time,I,II\n{ROWS}\n".replace("\n", "\r\n"),
    "comments-and-blank-lines-first": f"# a device\n\n# more\ntime,I,II\n{ROWS}",
    "semicolons-and-decimal-commas": f"Zeit;I;II\n{ROWS}".replace(",", ";").replace(".", ","),
    "tabs": f"time\tI\tII\n{ROWS}".replace(",", "\t"),
    "blanks": f"time I II\n{ROWS}".replace(",", "   "),
    "trailing-separators": f"time,I,II\n{ROWS}\n".replace("\n", ",\n"),
    "quotes": '"time","I","II"\n' + "\n".join(",".join(f'"{c}"' for c in row.split(",")) for row in ROWS.split("\n")),
    "units-in-brackets": f"time [s],I [uV],II (µV)\n{ROWS}",
    "units-as-suffix": f"time_s,I_mV,II_mV\n{ROWS}",
    "volts": f"time,I [V],II [V]\n{ROWS}",
    "milliseconds": "ms,I,II\n" + "\n".join(f"{10 * k},{np.sin(k):.3f},1" for k in range(300)),
    "rounded-times": "time,I,II\n" + "\n".join(f"{k / 360:.3f},{np.sin(k):.3f},1" for k in range(300)),
    "microvolts-by-size": "time,I,II\n" + "\n".join(f"{k / 250},{900 * np.sin(k):.0f},5" for k in range(300)),
    "small-values": "time,I,II\n" + "\n".join(f"{k / 250},{0.001 * np.sin(k):.6f},0" for k in range(300)),
    "empty-cells": f"time,I,II\n{ROWS}\n3.00,,nan\n3.01,N/A,-",
    "exponents": "time,I,II\n" + "\n".join(f"{k / 250},{np.sin(k):.4e},{np.cos(k):+.2E}" for k in range(300)),
    "lead-names-of-all-kinds": f"time,Lead I,lead_ii\n{ROWS}",
    "unnamed-twelve-with-a-time": "\n".join(f"{k / 500:.3f},{row}" for k, row in enumerate(TWELVE.split("\n"))),
    "time-goes-back": "time,I,II\n0,1,2\n0.01,1,2\n0.01,1,2",
    "time-is-uneven": "time,I,II\n0,1,2\n0.01,1,2\n0.02,1,2\n0.09,1,2",
    "time-is-missing": "time,I,II\n0,1,2\n,1,2\n0.02,1,2",
    "a-word-in-a-cell": "time,I,II\n0,1,2\n0.01,one,2",
    "a-row-too-short": f"time,I,II\n{ROWS}\n3.00,1",
    "an-unknown-lead": f"time,I,pulse\n{ROWS}",
    "a-lead-twice": f"time,I,Lead I\n{ROWS}",
    "units-only-in-some": f"time,I [mV],II\n{ROWS}",
    "an-unknown-unit": f"time,I [mmHg],II [mmHg]\n{ROWS}",
    "an-unknown-time-unit": f"time [h],I,II\n{ROWS}",
    "a-converter's-counts": "time,I,II\n" + "\n".join(f"{k / 250},{50 * np.sin(k):.0f},{50 * np.cos(k):.0f}" for k in range(300)),
    "header-alone": "time,I,II",
    "underscores": "time,I,II\n0,1_000,2\n0.01,1,2",
    "infinity": "time,I,II\n0,1e999,2\n0.01,1,2",
}  # fmt: skip


def read_in_python(content: bytes) -> Record | str:
    """The record, or what is wrong with it, without the file's name and the advice."""
    try:
        return read_record(MemoryFiles("ecg.csv", {"ecg.csv": content}))
    except RecordError as error:
        return sentence(str(error))


def sentence(text: str) -> str:
    return re.split(r"; |: --fs|\.$", text.partition(": ")[2])[0].replace('"', "'")


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_read_as_in_python_or_refused_with_its_words(call, name):
    content = TABLES[name].encode()
    (found,) = read_in_browser(call, {"ecg.csv": content})
    expected = read_in_python(content)
    if isinstance(expected, str):
        assert sentence(found["error"])[:60] == expected[:60]
    else:
        assert_same_record(found, expected)


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("time-and-leads", {"fs": 100.3}),
        ("time-and-leads", {"unit": "uV"}),
        ("an-unknown-lead", {"leads": ["V1", "V2"]}),
        ("an-unknown-unit", {"unit": "mV"}),
        ("a-converter's-counts", {"unit": "uV", "fs": 250.0}),
    ],
)
def test_what_the_user_states_goes_before_the_table_as_in_python(call, name, stated):
    content = TABLES[name].encode()
    (found,) = read_in_browser(call, {"ecg.csv": content}, **stated)
    assert_same_record(found, read_record(MemoryFiles("ecg.csv", {"ecg.csv": content}), **stated))


def test_a_stated_rate_that_contradicts_the_file_is_refused_as_in_python(call):
    table, record = {"ecg.csv": TABLES["time-and-leads"].encode()}, {"r.hea": wfdb_header("16"), "r.dat": bytes(16)}
    for files, where, own in ((table, "the time column", 100), (record, "the header", 500)):
        with pytest.raises(RecordError) as refused:
            read_record(MemoryFiles(next(iter(files)), files), fs=250.0)
        (found,) = read_in_browser(call, files, fs=250.0)
        assert (
            sentence(found["error"]) == sentence(str(refused.value)) == f"{where} says {own} Hz, but 250 Hz was stated"
        )
        assert found["error"].endswith(f"leave “Rate” empty, or correct {where}.")
        assert found["needs"] == "fs"
    silent = {"r.hea": wfdb_header("16").replace(b" 500 4", b""), "r.dat": bytes(16)}
    assert read_in_browser(call, silent, fs=500.0)[0]["fs"] == 500


def test_tables_without_names_or_in_other_encodings_are_read_as_in_python(call):
    numbered = ",".join(map(str, range(12))) + "\n" + TWELVE
    for content in (TWELVE.encode(), numbered.encode(), TABLES["tabs"].encode("utf-16"), "time,I [µV],II [µV]\n".encode("latin-1") + ROWS.encode()):  # fmt: skip
        (found,) = read_in_browser(call, {"ecg.csv": content}, fs=100.0)
        assert_same_record(found, read_record(MemoryFiles("ecg.csv", {"ecg.csv": content}), fs=100.0))


def wfdb_header(
    fmt: str, rest: str = "", names: tuple[str, ...] = ("I", "V1"), n: int = 4, file: str = "r.dat"
) -> bytes:
    lines = [f"r {len(names)} 500 {n}", *(f"{file} {fmt} {rest} {name}".rstrip() for name in names)]
    return "\n".join(lines).encode()


SAMPLES = np.array([[1, -2], [300, -301], [-2047, 2047], [-2048, 5]], np.int16)


def packed_212(values: np.ndarray) -> bytes:
    flat = values.reshape(-1).astype(int) & 0xFFF
    triples = [(a & 0xFF, (a >> 8) | ((b >> 8) << 4), b & 0xFF) for a, b in flat.reshape(-1, 2)]
    return bytes(np.array(triples, np.uint8).reshape(-1))


@pytest.mark.parametrize(
    ("header", "content"),
    [
        (wfdb_header("16", "1000(0)/mV 16 0 1"), SAMPLES.astype("<i2").tobytes()),
        (wfdb_header("16", "812.5(-7)/mV 12 0"), SAMPLES.astype("<i2").tobytes()),
        (wfdb_header("16", "200/uV 12 33"), SAMPLES.astype("<i2").tobytes()),
        (wfdb_header("16+24", "1000/mV 16 0"), b"\x00" * 24 + SAMPLES.astype("<i2").tobytes()),
        (wfdb_header("212", "200(1024)/mV 11 1024"), packed_212(SAMPLES)),
        (wfdb_header("212", "", n=0), packed_212(SAMPLES)),
        (wfdb_header("80", "50(3)/mV 8 0"), bytes([129, 0, 200, 255, 128, 127, 1, 2])),
        (wfdb_header("16", "1000/mV 16 0", names=("ECG", "ECG")), SAMPLES.astype("<i2").tobytes()),
        (wfdb_header("16", "") + b"\n#Age: 74\n#Sex: Female\n#Dx: 426783006,odd", SAMPLES.astype("<i2").tobytes()),
        (wfdb_header("16", "") + b"\n#<age>: 51 #<sex>: M", SAMPLES.astype("<i2").tobytes()),
    ],
)  # fmt: skip
def test_a_wfdb_record_is_read_as_in_python(call, header, content):
    if b" 80 " in header:
        pytest.importorskip("wfdb")
    files = {"r.hea": header, "r.dat": content}
    (found,) = read_in_browser(call, files)
    expected = read_record(MemoryFiles("r.hea", files))
    found["notes"] = [note.replace("'", '"') for note in found["notes"]]
    assert_same_record(found, expected.with_(notes=tuple(note.replace("'", '"') for note in expected.notes)))


@pytest.mark.parametrize(
    ("header", "content", "says"),
    [
        (wfdb_header("310", ""), b"", "signals of WFDB format 310"),
        (wfdb_header("16x2", ""), b"", "several rates"),
        (b"r/2 2 500 8\nr1 4\nr2 4", b"", "several segments"),
        (b"r 2 500 4\nr.dat 16 1000 16 0 0 0 0 I", b"", "announces 2 signals but describes 1"),
        (wfdb_header("16", "1000/mmHg 16 0"), SAMPLES.astype("<i2").tobytes(), "no signal is a voltage"),
        (wfdb_header("16", "1000/mV 16 0 99 99 0"), SAMPLES.astype("<i2").tobytes(), "the header contradicts the file"),
        (wfdb_header("16+24", "1000/mV", file="r.mat"), b"", "r.mat: this signal file"),
    ],
)
def test_a_wfdb_record_that_cannot_be_read_is_refused_with_a_sentence(call, header, content, says):
    found = read_in_browser(call, {"r.hea": header, "r.dat": content})
    assert says in found[0]["error"]


def test_annotations_beside_a_header_are_no_records(call, tmp_path):
    write_synthetic_corpus(tmp_path / "corpus", 1)
    folder = tmp_path / "corpus/records100/00000"
    files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"00001_lr.atr": b"\x01\x02\x00\x00"}
    assert [one["name"] for one in read_in_browser(call, files)] == ["00001_lr.hea"]


def test_leads_are_named_and_derived_as_in_python(call):
    names = ["i", "aVR ", "AVL", "lead 7", "LEAD_II", "ECG V1", "c3", "-aVR", "MLII", "D2", "pulse", "vx", "Lead-III"]
    assert call("leads", "return a[0].map(module.canonicalLead)", names) == [canonical_lead(name) for name in names]
    for available in (["I", "II"], ["II", "III"], ["aVR", "aVL", "V1"], ["aVF", "I"], ["V1"]):
        for lead in TWELVE_LEADS[:7]:
            expected = limb_lead_weights(lead, available)
            found = call("leads", "return module.limbLeadWeights(a[0], a[1])", lead, available)
            assert (None if found is None else dict(found)) == expected


RATES = [(500, 100), (360, 100), (257, 100), (128.5, 100), (100, 500), (1000, 100), (99.9, 100), (250, 100), (977, 250)]


@pytest.mark.parametrize(("fs_in", "fs_out"), RATES)
def test_resampling_gives_the_values_of_python(call, fs_in, fs_out):
    x = np.random.default_rng(0).standard_normal((2, 1203)).astype(np.float32)
    found = unpack(call("resample", "return pack(module.resample(unpack(a[0]), a[1], a[2]))", pack(x), fs_in, fs_out))
    np.testing.assert_allclose(found, resample(x, fs_in, fs_out), atol=2e-6)


SPECS = {
    "100 Hz": SignalSpec(),
    "band": SignalSpec(band_hz=(0.5, 40)),
    "high-pass": SignalSpec(band_hz=(0.67, 50)),
    "low-pass": SignalSpec(fs=250, band_hz=(0, 35)),
    "notch": SignalSpec(fs=250, notch_hz=50),
    "band and notch": SignalSpec(fs=500, band_hz=(0.05, 150), notch_hz=60),
    "few leads": SignalSpec(leads=("aVF", "V2", "I")),
}


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("fs", [100, 500, 360.0])
def test_conforming_gives_the_values_of_python(call, name, fs):
    spec = SPECS[name]
    x = example_record("NORM", fs=100).signal[[0, 1, *range(6, 12)]] + np.float32(0.3)
    x[2, 200:260] = np.nan
    leads = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]
    body = """
    const record = {recordId: "r", fs: a[1], leads: a[2], notes: [], signal: unpack(a[0])};
    return pack(module.conform(record, a[3]).signal);
    """
    found = unpack(call("conform", body, pack(x), fs, leads, spec.to_dict()))
    expected = conform_signals(x, leads, fs, spec)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_windows_are_cut_as_in_python(call):
    x = np.random.default_rng(1).standard_normal((3, 1100)).astype(np.float32)
    x[1, 40:60] = np.nan
    for n, length, stride in ((1100, 250, 125), (1100, 500, 500), (100, 250, 125)):
        body = "return pack([module.cutWindows(unpack(a[0]), a[1], a[2]).cut])"
        found = unpack(call("windows", body, pack(x[:, :n]), length, stride))
        np.testing.assert_array_equal(found[0], windows(x[:, :n], length, stride)[0].reshape(-1))


def faulty(kind: str) -> np.ndarray:
    x = example_record("NORM", fs=100).signal.copy()
    if kind == "short":
        return x[:, :150]
    change = {
        "fine": lambda: None, "flat": lambda: x.fill(0), "three flat": lambda: x[3:6].fill(0), "one flat": lambda: x[4:5].fill(0),
        "gap": lambda: x[2, 100:180].fill(np.nan), "half gone": lambda: x[2, :500].fill(np.nan), "gone": lambda: x[7].fill(np.nan),
        "loud": lambda: np.multiply(x, 1000, out=x), "faint": lambda: np.multiply(x, 0.001, out=x), "low": lambda: np.multiply(x, 0.12, out=x),
        "wild": lambda: np.multiply(x[0], 60, out=x[0]), "offset": lambda: np.add(x[1], 2.5, out=x[1]), "far": lambda: np.add(x, 6, out=x),
    }  # fmt: skip
    change[kind]()
    return x


@pytest.mark.parametrize(
    "kind",
    ["fine", "short", "flat", "three flat", "one flat", "gap", "half gone", "gone", "loud", "faint", "low", "wild",
     "offset", "far"],
)  # fmt: skip
def test_faults_are_named_with_the_words_of_python(call, kind):
    x = faulty(kind)
    found = call("quality", "return module.checkSignal(unpack(a[0]), 100, a[1])", pack(x), list(TWELVE_LEADS))
    expected = check_signal(x, 100, TWELVE_LEADS)
    assert [(f["code"], f["text"], f["refuse"]) for f in found] == [(f.code, f.text, f.refuse) for f in expected]
    assert bool(expected) == (kind != "fine")


CALIBRATIONS = {
    "none": (None,) * 4,
    "temperature": ({"temperature": 1.7}, None, {"temperature": 0.4}, {"temperature": 1.0}),
    "platt": ({"slope": 1.2, "shift": -0.3}, {"slope": 0.8, "shift": 0.5}, None, {"slope": 1.0, "shift": 0.0}),
    "beta": ({"a": 1.1, "b": 0.7, "c": 0.2}, None, {"a": 0.9, "b": 1.4, "c": -0.6}, {"a": 1.0, "b": 1.0, "c": 0.0}),
    "isotonic": ({"scores": [0.1, 0.4, 0.4001, 0.9], "probabilities": [0.0, 0.2, 0.5, 1.0]}, None, None, None),
    "softmax": ({"temperature": 1.9},),
}


@pytest.mark.parametrize("method", CALIBRATIONS)
def test_decisions_are_those_of_python(call, method):
    kind = "multiclass" if method == "softmax" else "multilabel"
    decisions = Decisions(
        classes=("CD", "MI", "NORM", "STTC"),
        kind=kind,
        calibration=Calibration(method, CALIBRATIONS[method]),
        rule="f1",
        thresholds=(0.4, 0.35, 0.5, None),
        conformal=Conformal(0.1, (0.2, 0.3, 0.6, 0.1), (0.5, 0.25, 0.7, 0.4)),
        exclusions={"NORM": ("CD", "MI", "STTC")},
    )
    p = np.random.default_rng(2).random((120, 4))
    p[0], p[1] = (0, 1, 0.5, 1e-9), (1, 1, 1, 1)
    if kind == "multiclass":
        p /= p.sum(axis=1, keepdims=True)
    model = {"kind": kind, "classes": decisions.classes, "descriptions": {}, **decisions.to_dict()}
    found = call("decisions", "return a[0].map((p) => module.decide(p, a[1]))", p.tolist(), model)
    bundle = replace(load_bundle("ptbxl-superdiagnostic"), classes=decisions.classes, kind=kind, decisions=decisions)
    overruled = 0
    for row, scores in zip(found, p, strict=True):
        for one, expected in zip(row, bundle.decide(scores), strict=True):
            assert one["probability"] == pytest.approx(expected.probability, abs=1e-12)
            assert (one["threshold"], one["present"], one["overruled"], one["sure"]) == (
                expected.threshold, expected.present, expected.overruled, expected.sure,
            )  # fmt: skip
            overruled += expected.overruled
    assert overruled > 10 or kind == "multiclass"


def test_scores_are_those_of_python(call):
    logits = [[-900.0, -3.0, 0.0, 2.5], [40.0, 900.0, -1.0, 0.1]]
    from einthoven.bundle import to_probabilities

    for kind in ("multilabel", "multiclass"):
        found = call("decisions", "return a[0].map((row) => module.toProbabilities(row, a[1]))", logits, kind)
        np.testing.assert_allclose(found, to_probabilities(np.array(logits), kind), atol=1e-15)


@pytest.fixture(scope="module")
def detector_bundle() -> Bundle:
    return load_bundle("ptbxl-superdiagnostic")


@pytest.mark.parametrize("kind", ["fine", "gap", "wild", "low"])
def test_the_measures_and_the_alarm_of_unlike_records_are_those_of_python(call, detector_bundle, kind):
    x = faulty(kind)
    assert call("statistics", "return module.featureNames(a[0])", list(TWELVE_LEADS)) == list(
        feature_names(TWELVE_LEADS)
    )
    expected = record_features(x, 100, TWELVE_LEADS)
    found = call("statistics", "return module.recordFeatures(unpack(a[0]), 100, a[1])", pack(x), list(TWELVE_LEADS))
    np.testing.assert_allclose(found, expected, atol=2e-4)
    detector = base64.b64encode((detector_bundle.path / "novelty.safetensors").read_bytes()).decode()
    body = """
    const bytes = Uint8Array.from(atob(a[0]), (sign) => sign.charCodeAt(0));
    return module.noveltyOf(module.readNovelty(bytes.buffer), unpack(a[1]), 100, a[2]);
    """
    alarm = call("novelty", body, detector, pack(x), list(TWELVE_LEADS))
    novelty = detector_bundle.novelty
    assert alarm["threshold"] == novelty.threshold
    assert alarm["score"] == pytest.approx(float(novelty.score(expected[None])[0]), abs=1e-3)
    names = feature_names(TWELVE_LEADS)
    assert set(alarm["odd"]) == {names[k] for k in novelty.most_unusual(expected)}


def test_measures_of_long_and_fast_records_are_those_of_python(call):
    record = example_record("AFIB", fs=500)
    x = np.tile(record.signal[:3], (1, 3))[:, :14000]
    found = call("statistics", "return module.recordFeatures(unpack(a[0]), 500, a[1])", pack(x), ["I", "II", "III"])
    np.testing.assert_allclose(found, record_features(x, 500, ("I", "II", "III")), atol=2e-4)


def test_numbers_are_written_as_python_writes_them(call):
    values = [0.0, 1.0, 100.0, 128.25, 1e-5, 123456.0, 1234567.0, 0.1 + 0.2, 2.5e-7, -3.25, 99.99995, 1e22]
    found = call("numbers", "return a[0].map((x) => [module.general(x), module.general(x, 3)])", values)
    assert found == [[f"{v:g}", f"{v:.3g}"] for v in values]
    halves = [0.5, 1.5, 2.5, -0.5, -1.5, 2.4999]
    assert call("numbers", "return a[0].map(module.rint)", halves) == np.rint(halves).tolist()


ABOUT = {
    "kind": "multilabel", "classes": ["MI", "NORM"], "normal": ["NORM"], "conformal": {"error": 0.1},
}  # fmt: skip


def finding(name: str, present: bool | None, sure: str | None = None, overruled: bool = False) -> dict[str, object]:
    description = {"MI": "myocardial infarction", "NORM": "normal ECG"}[name]
    return {
        "class": name, "description": description, "probability": 0.5, "threshold": None if present is None else 0.4,
        "present": present, "sure": sure, "overruled": overruled,
    }  # fmt: skip


def headline(
    call: Call, *findings: dict[str, object], refused: bool = False, about: dict[str, object] = ABOUT
) -> dict[str, str]:
    return call(
        "words", "return module.headlineOf(a[0], a[1])", {"findings": list(findings), "refused": refused}, about
    )


def test_normal_is_never_worded_as_an_abnormality(call):
    said = headline(call, finding("MI", False), finding("NORM", True))
    assert said["tone"] == "normal"
    assert "does not exclude disease" in said["more"]
    verdict = call("words", "return module.verdictOf(a[0], a[1])", finding("NORM", True, "present"), ABOUT)
    assert (verdict["word"], verdict["tone"]) == ("Present", "normal")
    both = headline(call, finding("MI", True), finding("NORM", True))
    assert both["text"] == "Reported: myocardial infarction."
    assert both["more"] == "Also reported, and no abnormality: normal ECG."


def test_nothing_found_is_never_worded_as_normal(call):
    said = headline(call, finding("MI", False), finding("NORM", False))
    assert said["tone"] == "nothing"
    assert not re.search("normal", said["text"])
    assert "not the finding of a normal ECG" in said["more"]
    refused = headline(call, refused=True)
    assert (refused["text"], refused["tone"]) == ("Not judged.", "refused")


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (finding("MI", True, "present"), "Present"),
        (finding("MI", True, "undecided"), "Present"),
        (finding("MI", True, "absent"), "Present"),
        (finding("MI", True), "Present"),
        (finding("MI", False, "absent"), "Absent"),
        (finding("MI", False, "undecided"), "Undecided"),
        (finding("MI", False, "present"), "Undecided"),
        (finding("MI", False), "Not reported"),
        (finding("MI", False, "present", overruled=True), "Overruled"),
        (finding("MI", None, None), "No threshold"),
    ],
)
def test_every_verdict_has_its_word_and_a_whole_sentence(call, found, word):
    about = ABOUT if found["sure"] else {**ABOUT, "conformal": None}
    verdict = call("words", "return module.verdictOf(a[0], a[1])", found, about)
    assert verdict["word"] == word
    assert verdict["more"].endswith(".")
    assert "undefined" not in verdict["more"]


def test_the_likeliest_class_is_said_of_models_whose_classes_exclude_each_other(call):
    about = {**ABOUT, "kind": "multiclass"}
    said = headline(call, finding("MI", True), finding("NORM", False), about=about)
    assert said["text"] == "Likeliest of 2 classes: myocardial infarction."


def test_the_tracing_is_true_to_scale_and_leaves_gaps(call):
    body = """
    const signal = a[0].map(() => new Float32Array(1000).fill(1));
    signal[0].fill(NaN, 100, 110);
    const sheet = module.drawPaper({recordId: "r", fs: 100, leads: a[0], signal}, {narrow: a[1], start: 0});
    const path = (lead) => sheet.querySelector(`[data-lead=${lead}]`).getAttribute("d");
    return [sheet.getAttribute("width"), path("I"), path("V1")];
    """
    width, first, v1 = call("paper", body, list(TWELVE_LEADS), True)
    points = [tuple(map(float, point.split())) for point in re.findall(r"[\d.]+ [\d.]+", first)]
    assert width == "270mm"
    assert len(points) == 990
    assert first.count("M") == 2
    assert points[-1][0] - points[0][0] == pytest.approx(25 * 9.99, abs=0.01)
    pulse_height = 10  # 1 mV
    zero = 15 + 20 * 0.5  # the first row of a narrow sheet
    assert zero - points[0][1] == pytest.approx(pulse_height)
    assert v1.count("M") == 1


def test_a_record_without_age_has_unknown_facts_and_says_so(call):
    body = """
    const logitsOf = async (cut, count, leads, length, facts) => {
        globalThis.seen = Array.from(facts);
        return Array.from({length: count}, () => [2, -2]);
    };
    const about = {...a[1], facts: ["age", "female", "male", "measured:rate"]};
    const record = {recordId: "r", fs: 100, leads: a[2], notes: [], signal: unpack(a[0]), age: a[3], sex: "male"};
    const answer = await module.predict(record, {about, logitsOf, novelty: null});
    return {...answer, seen: globalThis.seen.map((value) => Number.isNaN(value) ? null : value)};
    """
    model = {
        "spec": SignalSpec().to_dict(), "window": {"length": 250, "stride": 125, "aggregate": "max"}, "kind": "multilabel",
        "classes": ["MI", "NORM"], "descriptions": {}, "exclusions": {}, "conformal": None,
        "calibration": {"method": "none", "maps": [None, None]}, "thresholds": {"values": {"MI": 0.5, "NORM": 0.5}},
    }  # fmt: skip
    signal = pack(conform(example_record("NORM", fs=100), SignalSpec()).signal)
    found = call("predict", body, signal, model, list(TWELVE_LEADS), None)
    assert found["seen"] == [None, 0, 1, None]
    assert found["flags"][0]["text"].startswith("2 of 4 facts that the model can use are unknown: age, measured:rate")
    assert "this page does not measure the signal" in found["flags"][0]["text"]
    assert call("predict", body, signal, model, list(TWELVE_LEADS), 61)["seen"] == [61, 0, 1, None]
