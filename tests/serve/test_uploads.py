import glob
import io
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from einthoven.errors import RecordError
from einthoven.formats import apart, read_record
from einthoven.formats.apart import read_apart
from einthoven.formats.uploads import Limits, plain_name, read_uploads

HEADER = "{name} 2 100 300\n{name}.dat 16 1000/mV 16 0 {first} {total} 0 I\n{name}.dat 16 1000/mV 16 0 {first} {total} 0 II\n"


def wfdb(name="a", n=300):
    samples = np.tile(np.arange(n, dtype="<i2")[:, None] % 50, (1, 2))
    total = int(samples[:, 0].sum(dtype=np.int16))
    return {
        f"{name}.hea": HEADER.format(name=name, first=samples[0, 0], total=total).encode(),
        f"{name}.dat": samples.tobytes(),
    }


def table(n=300, fs=100):
    rows = "\n".join(f"{k / fs:.4f},{k % 7 / 10:.3f},{k % 5 / 10:.3f}" for k in range(n))
    return f"time [s],I [mV],II [mV]\n{rows}\n".encode()


def traces():
    return set(glob.glob(os.path.join(tempfile.gettempdir(), "einthoven-*")))


def test_a_header_and_its_signal_file_are_one_record_whatever_their_folders():
    files = wfdb()
    found = read_uploads({"ward/3/a.hea": files["a.hea"], "b.csv": table(), "other\\a.dat": files["a.dat"]})
    assert list(found.records) == ["a.hea", "b.csv"]
    assert found.failed == {}
    assert found.records["a.hea"].signal.shape == (2, 300)
    assert found.records["b.csv"].fs == 100


def test_what_shares_a_headers_name_belongs_to_it_unless_it_is_of_another_format():
    found = read_uploads({**wfdb(), "a.atr": b"\0\0", "a.csv": table(), "b.atr": b"\1\2"})
    assert list(found.records) == ["a.hea", "a.csv"]
    assert list(found.failed) == ["b.atr"]


def test_a_signal_file_without_its_header_is_told_what_is_missing():
    found = read_uploads({"a.dat": wfdb()["a.dat"]})
    assert found.failed == {"a.dat": "a.dat: needs its WFDB header a.hea beside it, which is missing"}
    assert "a.dat: this signal file" in read_uploads({"a.hea": wfdb()["a.hea"]}).failed["a.hea"]


def test_what_is_stated_goes_before_the_file():
    found = read_uploads({"b.csv": table()}, stated={"leads": "V1, V2", "unit": "uV", "age": 61, "sex": "female"})
    record = found.records["b.csv"]
    assert (record.leads, record.age, record.sex) == (("V1", "V2"), 61, "female")
    assert record.signal.max() == pytest.approx(0.0006)
    assert read_uploads({"b.csv": table()}, stated={"fs": None}).records


@pytest.mark.parametrize(
    ("stated", "sentence"), [({"lead": "I"}, "leads"), ({"sex": "f"}, "female or male"), ({"age": 200}, "0 and 130")]
)
def test_a_wrong_statement_is_an_error(stated, sentence):
    with pytest.raises(RecordError, match=sentence):
        read_uploads({"b.csv": table()}, stated=stated)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.dcm", b"\x89PNG\r\n\x1a\n" + bytes(100), "is a picture (PNG)"),
        ("a.jpg", b"\xff\xd8\xff\xe0", "is a picture (JPEG)"),
        ("a.pdf", b"%PDF-1.7", "is a PDF document"),
        ("a.gz", b"\x1f\x8b\x08" + bytes(50), "is a gzip archive"),
        ("a.csv", b"", "the file is empty"),
        ("a.bin", b"\x00\x01\x02", "of no known format"),
        ("a.xml", b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "b">]><AnnotatedECG>&a;</AnnotatedECG>', "entities"),
    ],
)
def test_what_is_no_ecg_gets_one_sentence_with_its_name(name, content, sentence):
    found = read_uploads({name: content})
    assert not found.records
    assert found.failed[name].startswith(name)
    assert sentence in found.failed[name]
    assert "\n" not in found.failed[name]


def zipped(name, n_bytes):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name, "w") as member:
        for _ in range(n_bytes >> 20):
            member.write(bytes(1 << 20))
    return content.getvalue()


def test_bombs_are_refused_before_they_unpack():
    found = read_uploads({"a.npz": zipped("ecg.npy", 1 << 25), "a.zip": zipped("ecg.csv", 1 << 20)})
    assert "far more than an ECG takes" in found.failed["a.npz"]
    assert "is a zip archive" in found.failed["a.zip"]


def test_a_file_that_is_too_large_is_refused_by_its_size_alone(monkeypatch):
    monkeypatch.setattr("einthoven.formats.uploads.read_apart", None)  # nothing is read
    found = read_uploads({"a.csv": bytes(3000), "b.csv": bytes(3000)}, limits=Limits(max_bytes=2000))
    assert "2000 bytes in all" in found.failed["a.csv"]
    assert set(found.failed) == {"a.csv", "b.csv"}


def test_files_beyond_the_number_allowed_and_names_that_are_none_are_said_to_be_left_out():
    files = {"a.csv": table(), "x/a.csv": table(), "..": b"1", "b.csv": table()}
    found = read_uploads(files, limits=Limits(max_files=3))
    assert list(found.records) == ["a.csv"]
    assert "two files" in found.failed["file 2"]
    assert "no name" in found.failed["file 3"]
    assert "at most 3 files" in found.failed["b.csv"]


def test_a_recording_that_is_too_long_is_refused():
    found = read_uploads({"b.csv": table()}, limits=Limits(max_duration_s=2))
    assert found.failed == {"b.csv": "b.csv: lasts 3 s, at most 2 s are read; cut it"}


def test_reading_that_takes_too_long_is_stopped_and_the_next_file_is_read():
    read_uploads({"b.csv": table()})  # the reader has started
    slow = table(100_000, 1000)
    began = time.monotonic()
    found = read_uploads({"slow.csv": slow, "b.csv": table()}, limits=Limits(seconds=0.05))
    assert time.monotonic() - began < 10
    assert "stopped after 0.0" in found.failed["slow.csv"]
    assert "not read, the files before" in found.failed["b.csv"]
    assert read_uploads({"b.csv": table()}).records


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_reading_that_needs_too_much_memory_is_stopped():
    content = table(150_000, 1000)
    found = read_uploads({"a.csv": content}, limits=Limits(max_expanded_bytes=24 << 20))
    assert "memory" in found.failed["a.csv"]
    assert read_uploads({"a.csv": table()}, limits=Limits(max_expanded_bytes=24 << 20)).records


def test_a_reader_that_dies_takes_only_its_file_with_it():
    read_uploads({"b.csv": table()})
    process = apart._idle[-1]
    process._popen.kill()
    process._popen.wait()
    assert read_uploads({"b.csv": table()}).records


def test_nothing_is_left_behind():
    before = traces()
    code = (
        "from einthoven.formats.uploads import read_uploads, Limits;"
        f"t = {table(60)!r};"
        "read_uploads({'b.csv': t}); read_uploads({'b.csv': t * 4000}, limits=Limits(seconds=0.01))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert traces() == before


def test_names_are_plain_and_short():
    assert plain_name("a/\n../b\x00.csv") == "b.csv"
    assert plain_name("x" * 500 + ".csv").endswith("x.csv")
    assert len(plain_name("x" * 500 + ".csv")) == 120
    assert plain_name("/") == plain_name(" . ".strip()) == ""


@pytest.mark.real
def test_real_files_are_read_as_read_record_reads_them(real_data: Path):
    files = sorted(each for each in (real_data / "formats").rglob("*") if each.is_file() and each.stat().st_size < 3e6)
    for path in files[:: max(1, len(files) // 8)]:
        try:
            direct = read_record(path)
        except RecordError:
            assert read_uploads({path.name: path.read_bytes()}).failed
            continue
        found = read_apart(path.name, {path.name: path.read_bytes()}, {}, seconds=60, memory=2 << 30)
        for key in (
            "fs",
            "leads",
            "record_id",
            "patient_id",
            "age",
            "sex",
            "interpretation",
            "unit",
            "notes",
            "source",
        ):
            assert getattr(found, key) == getattr(direct, key), (path, key)
        assert np.array_equal(found.signal, direct.signal, equal_nan=True)


@pytest.mark.real
def test_beats_come_with_a_real_record(real_data: Path):
    files = {f"101.{suffix}": (real_data / "mitdb" / f"101.{suffix}").read_bytes() for suffix in ("hea", "dat", "atr")}
    beats = read_uploads(files, stated={"beats": True}).records["101.hea"].beats
    direct = read_record(real_data / "mitdb" / "101.hea", beats=True).beats
    assert np.array_equal(beats.samples, direct.samples)
    assert beats.symbols.tolist() == direct.symbols.tolist()
