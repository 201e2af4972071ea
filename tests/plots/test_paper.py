"""Is the paper true to scale, and does it hold what was recorded?"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from einthoven.errors import RecordError
from einthoven.leads import TWELVE_LEADS
from einthoven.plots.paper import draw_ecg, save_ecg
from einthoven.record import Record


@pytest.fixture
def record() -> Record:
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 0.2, (12, 5000)).astype(np.float32)
    return Record(signal, 500.0, TWELVE_LEADS, record_id="one", age=61.0, sex="female", statements={"NORM": 100.0})


def lines(figure: object, gid: str) -> list:
    (axes,) = figure.axes  # type: ignore[attr-defined]
    return [line for line in axes.get_lines() if line.get_gid() == gid]


@pytest.mark.parametrize("layout", ["3x4+1", "6x2", "12x1"])
def test_one_unit_of_the_axes_is_one_millimetre_of_paper(record: Record, layout: str) -> None:
    figure = draw_ecg(record, layout=layout)
    (axes,) = figure.axes
    width, height = figure.get_size_inches() * 25.4
    assert axes.get_position().bounds == (0, 0, 1, 1)
    assert axes.get_xlim() == pytest.approx((0, width))
    assert axes.get_ylim() == pytest.approx((0, height))


@pytest.mark.parametrize(("speed", "gain"), [(25.0, 10.0), (50.0, 5.0)])
def test_a_second_and_a_millivolt_have_their_length(record: Record, speed: float, gain: float) -> None:
    figure = draw_ecg(record, layout="12x1", speed_mm_s=speed, gain_mm_mv=gain)
    (trace,) = lines(figure, "V3")
    x, y = trace.get_data()
    assert x[500] - x[0] == pytest.approx(speed)
    np.testing.assert_allclose(np.diff(y), gain * np.diff(record.signal[8]), atol=1e-4)
    assert len(lines(figure, "calibration")) == 12
    for pulse in lines(figure, "calibration"):
        assert np.ptp(pulse.get_ydata()) == pytest.approx(gain)


def test_the_grid_has_a_line_per_millimetre_and_a_heavier_one_every_five(record: Record) -> None:
    figure = draw_ecg(record)
    (axes,) = figure.axes
    fine, coarse = axes.collections
    for collection, step in ((fine, 1.0), (coarse, 5.0)):
        upright = sorted({s[0, 0] for s in collection.get_segments() if s[0, 0] == s[1, 0]})
        np.testing.assert_allclose(np.diff(upright), step)
    assert coarse.get_linewidth()[0] > fine.get_linewidth()[0]


def test_columns_follow_each_other_in_time_and_the_rhythm_strip_has_it_all(record: Record) -> None:
    figure = draw_ecg(record, layout="3x4+1")
    shown = {lead: [line.get_xdata() for line in lines(figure, lead)] for lead in TWELVE_LEADS}
    assert [len(shown[lead]) for lead in TWELVE_LEADS] == [1, 2] + [1] * 10
    assert len(shown["II"][1]) == 5000
    for column, lead in enumerate(("I", "aVR", "V1", "V4")):
        assert len(shown[lead][0]) == 1250
        assert shown[lead][0][0] == pytest.approx(shown["II"][1][1250 * column])


def test_texts_tell_leads_scale_and_statements(record: Record) -> None:
    (axes,) = draw_ecg(record).axes
    texts = [text.get_text() for text in axes.texts]
    assert set(TWELVE_LEADS) <= set(texts)
    assert "25 mm/s   10 mm/mV" in texts
    assert any("NORM 100 %" in text for text in texts)
    assert any("61 years" in text and "500 Hz" in text for text in texts)


def test_fewer_leads_are_drawn_one_under_the_other(record: Record) -> None:
    two = Record(record.signal[[1, 6]], 360.0, ("MLII", "V1"))
    figure = draw_ecg(two, start_s=1.0, duration_s=5.0)
    assert len(lines(figure, "MLII")[0].get_xdata()) == 1800
    with pytest.raises(RecordError, match="layout 12x1"):
        draw_ecg(two, layout="6x2")


def test_missing_samples_are_gaps(record: Record) -> None:
    signal = record.signal.copy()
    signal[0, 100:200] = np.nan
    (trace,) = lines(draw_ecg(record.with_(signal=signal)), "I")
    assert np.isnan(trace.get_ydata()).sum() == 100


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"layout": "4x3"}, "unknown layout '4x3'"),
        ({"start_s": 8.0, "duration_s": 5.0}, "outside its 10 s"),
        ({"start_s": 10.0}, "outside its 10 s"),
        ({"gain_mm_mv": 0.0}, "must be positive"),
    ],
)
def test_what_cannot_be_drawn_is_refused(record: Record, wish: dict, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        draw_ecg(record, **wish)


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_files_begin_as_their_kind_and_are_the_same_each_time(
    record: Record, tmp_path: Path, ending: str, magic: bytes
) -> None:
    first, second = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    save_ecg(record, first)
    save_ecg(record, second)
    assert first.read_bytes().startswith(magic)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.name, second.name]


def test_another_ending_is_refused(record: Record, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="must end in"):
        save_ecg(record, tmp_path / "a.bmp")


def test_pyplot_is_not_needed() -> None:
    code = (
        "import sys, numpy as np\nfrom einthoven.plots.paper import draw_ecg\nfrom einthoven.record import Record\n"
        "draw_ecg(Record(np.zeros((1, 1000), np.float32), 100, ('I',)))\nassert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
