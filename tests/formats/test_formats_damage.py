"""Any byte flipped or cut gives a Record or an EinthovenError, never anything else."""

import numpy as np
import pytest
from damage import QUICK, assert_record_or_error, damage, damaged
from hypothesis import given
from hypothesis import strategies as st

from einthoven.errors import EinthovenError
from einthoven.formats import MemoryFiles, read_annotations, read_record
from einthoven.leads import TWELVE_LEADS

DIGITAL = np.random.default_rng(3).integers(-900, 900, (20, 3)).astype("<i2")
SIGNALS = "\n".join(
    f"r.dat {{fmt}} 1000.0(0)/mV 16 0 {DIGITAL[0, k]} {int(DIGITAL[:, k].sum())} 0 {TWELVE_LEADS[k]}" for k in range(3)
)
HEADER = "r 3 500 20 12:33:59 12/05/2020\n" + SIGNALS + "\n#Age: 74\n#Sex: Male\n#Dx: 59118001\n"
PACKED_24 = np.stack([DIGITAL.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3]]).tobytes()
WFDB = {
    "16": {"r.hea": HEADER.format(fmt="16").encode(), "r.dat": DIGITAL.tobytes()},
    "24": {"r.hea": HEADER.format(fmt="24").encode(), "r.dat": PACKED_24},
    "segments": {
        "r.hea": b"r/2 3 500 40\ns 20\ns 20\n",
        "s.hea": HEADER.format(fmt="16").encode(),
        "r.dat": DIGITAL.tobytes(),
    },
}
ROWS = [",".join([f"{k / 500:.3f}", *(f"{v / 1000:.3f}" for v in row)]) for k, row in enumerate(DIGITAL)]
CSV = {"r.csv": "\n".join(["time,I,II [mV],III", *ROWS]).replace(" [mV]", "").encode()}


@pytest.mark.parametrize("kind", WFDB)
def test_the_undamaged_records_can_be_read(kind):
    assert read_record(MemoryFiles("r.hea", WFDB[kind])).leads == TWELVE_LEADS[:3]


@pytest.mark.parametrize("kind", WFDB)
@pytest.mark.parametrize("victim", ["r.hea", "r.dat"])
@given(changes=damage)
@QUICK
def test_a_damaged_wfdb_record_gives_a_record_or_an_error(kind, victim, changes):
    contents = WFDB[kind] | {victim: damaged(WFDB[kind][victim], changes)}
    assert_record_or_error(MemoryFiles("r.hea", contents))


@given(changes=damage)
@QUICK
def test_a_damaged_segment_header_gives_a_record_or_an_error(changes):
    contents = WFDB["segments"] | {"s.hea": damaged(WFDB["segments"]["s.hea"], changes)}
    assert_record_or_error(MemoryFiles("r.hea", contents))


@given(changes=damage)
@QUICK
def test_a_damaged_table_gives_a_record_or_an_error(changes):
    assert_record_or_error(MemoryFiles("r.csv", {"r.csv": damaged(CSV["r.csv"], changes)}))
    assert_record_or_error(MemoryFiles("r.csv", {"r.csv": damaged(CSV["r.csv"], changes)}), fs=500, unit="mV")


@given(content=st.binary(max_size=300), name=st.sampled_from(["r.hea", "r.csv", "r.dat", "r.mat", "r.txt", "r"]))
@QUICK
def test_arbitrary_bytes_give_a_record_or_an_error(content, name):
    assert_record_or_error(MemoryFiles(name, {name: content}), fs=100)


@given(text=st.text(alphabet='0123456789.,;\t\n -eEIVimnax"[]()/#', max_size=200))
@QUICK
def test_arbitrary_text_gives_a_record_or_an_error(text):
    assert_record_or_error(MemoryFiles("r.csv", {"r.csv": text.encode()}), fs=100)
    assert_record_or_error(MemoryFiles("r.hea", {"r.hea": text.encode(), "0": b"1234"}))


@given(content=st.binary(max_size=200))
@QUICK
def test_arbitrary_annotation_bytes_give_beats_or_an_error(content):
    try:
        beats = read_annotations(MemoryFiles("r.atr", {"r.atr": content}))
    except EinthovenError:
        return
    assert len(beats.samples) == len(beats.symbols)
