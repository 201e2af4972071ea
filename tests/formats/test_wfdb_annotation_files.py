"""Annotation files: written by the wfdb package, by hand, and damaged."""

import struct

import numpy as np
import pytest
import wfdb

from einthoven.errors import RecordError
from einthoven.formats import MemoryFiles, read_annotations, read_record

HEADER = b"r 1 360 4\nr.dat 16 1000 16 0 1 10 0 II\n"
DATA = np.array([1, 2, 3, 4], "<i2").tobytes()


def word(code, value):
    return struct.pack("<H", code << 10 | value)


def annotations(content, **options):
    return read_annotations(MemoryFiles("r.atr", {"r.atr": content}), **options)


def test_annotations_written_by_wfdb_are_read_back(tmp_path):
    samples = np.array([5, 400, 2000, 100_000, 5_000_000])
    symbols = ["N", "V", "+", "/", "|"]
    notes = ["", "", "(AFIB", "odd", ""]
    wfdb.wrann("r", "atr", samples, symbol=symbols, aux_note=notes, fs=360, write_dir=str(tmp_path))
    found = read_annotations(tmp_path / "r")
    assert (found.samples.tolist(), found.symbols.tolist()) == (samples.tolist(), symbols)
    beats = read_annotations(tmp_path / "r.atr", beats_only=True)
    assert beats.symbols.tolist() == ["N", "V", "/"]


def test_every_symbol_is_that_of_wfdb(tmp_path):
    table = wfdb.io.annotation.ann_label_table
    known = table[(table["label_store"] > 0) & (table["label_store"] < 42)]
    symbols = known["symbol"].tolist()
    wfdb.wrann("r", "atr", np.arange(1, len(symbols) + 1) * 100, symbol=symbols, write_dir=str(tmp_path))
    assert read_annotations(tmp_path / "r").symbols.tolist() == symbols


def test_beats_come_with_the_record_only_when_asked(tmp_path):
    contents = {"r.hea": HEADER, "r.dat": DATA, "r.atr": word(1, 2) + word(28, 1) + word(0, 0)}
    assert read_record(MemoryFiles("r", contents)).beats is None
    beats = read_record(MemoryFiles("r", contents), beats=True).beats
    assert (beats.samples.tolist(), beats.symbols.tolist()) == ([2], ["N"])
    del contents["r.atr"]
    assert read_record(MemoryFiles("r", contents), beats=True).beats is None


def test_annotations_in_another_time_unit_are_brought_to_the_records(tmp_path):
    text = b"## time resolution: 720"
    aux = word(22, 0) + word(63, len(text)) + text + b"\0" * (len(text) % 2)
    contents = {"r.hea": HEADER, "r.dat": DATA, "r.atr": aux + word(1, 4) + word(0, 0)}
    assert read_record(MemoryFiles("r", contents), beats=True).beats.samples.tolist() == [2]


def test_long_and_negative_intervals_are_followed():
    def skip(n):
        return word(59, 0) + struct.pack("<HH", (n >> 16) & 0xFFFF, n & 0xFFFF)

    content = skip(1_000_000) + word(1, 7) + skip(-500_000) + word(5, 0) + word(0, 0)
    assert annotations(content).samples.tolist() == [1_000_007, 500_007]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends without its end mark"),
        (word(1, 5), "ends without its end mark"),
        (word(59, 0) + b"\0", "ends within an annotation"),
        (word(51, 5) + word(59, 0) + struct.pack("<HH", 0xFFFF, 0) + word(1, 0) + word(0, 0), "before the start"),
        (word(58, 5) + word(63, 255) + b"ab", "ends without its end mark"),
    ],
)
def test_damaged_annotation_files_are_refused(content, message):
    with pytest.raises(RecordError, match=message):
        annotations(content)


def test_a_missing_annotation_file_is_named(tmp_path):
    with pytest.raises(RecordError, match=r"annotation file r\.qrs is missing"):
        read_annotations(tmp_path / "r.hea", "qrs")
