"""Is the paper true to scale, and does it hold what was recorded?"""

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from einthoven.errors import RecordError
from einthoven.leads import TWELVE_LEADS
from einthoven.plots import paper
from einthoven.plots.explanation import draw_explanation
from einthoven.plots.paper import draw_ecg, save_ecg, sheets_of
from einthoven.plots.sheet_text import box_of, part_words, statement_words
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
    (axes,) = draw_ecg(record).axes
    fine, coarse = (next(patch for patch in axes.patches if patch.get_gid() == f"grid-{k}") for k in (1, 5))
    for patch, step in ((fine, 1.0), (coarse, 5.0)):
        ends = patch.get_path().vertices.reshape(-1, 2, 2)
        upright = sorted({line[0, 0] for line in ends if line[0, 0] == line[1, 0]})
        np.testing.assert_allclose(np.diff(upright), step)
    assert coarse.get_linewidth() > fine.get_linewidth()


def lines_of(pixels: np.ndarray) -> list[np.ndarray]:
    """Runs of pixels that are not paper, in the row with fewest of them: one between two lines of the other way."""
    marked = (pixels != [255, 250, 250]).any(axis=2)
    row = np.flatnonzero(marked[marked.sum(axis=1).argmin()])
    return np.split(row, np.flatnonzero(np.diff(row) > 1) + 1)


@pytest.mark.parametrize("dpi", [100, 150, 300])
def test_the_grid_of_a_picture_lies_on_the_pixel_of_every_millimetre(tmp_path: Path, dpi: int) -> None:
    empty = Record(np.zeros((12, 1000), np.float32), 100.0, TWELVE_LEADS)
    save_ecg(empty, tmp_path / "grid.png", dpi=dpi)
    pixels = np.round(image.imread(tmp_path / "grid.png")[..., :3] * 255).astype(int)
    height, width = pixels.shape[:2]
    mm = dpi / 25.4
    assert width == pytest.approx(270 * mm, abs=1)
    edge = int(2 * mm)  # of the sheet: nothing but grid
    upright = lines_of(pixels[height - edge : height - 2])
    along = lines_of(pixels[::-1, 2:edge].transpose(1, 0, 2))
    for found, size in ((upright, width), (along, height)):
        wanted = np.arange(1, len(found) - 1)  # those at the edges are cut
        first = round(found[1].mean() / mm)
        places = (wanted + first - 1) * mm
        for run, place in zip(found[1:-1], places, strict=True):
            assert abs(run.mean() + 0.5 - place) <= 1.0, (run, place)  # the pixel that the line falls into
        assert len(found) == pytest.approx(size / mm, abs=1.5)
        assert {len(run) for run in found[1:-1]} <= {round(0.35 * dpi / 72) or 1, round(0.6 * dpi / 72)}


def test_a_resolution_that_is_none_is_refused(record: Record, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="50 to 1200"):
        save_ecg(record, tmp_path / "a.png", dpi=0)


def test_what_nobody_looked_for_is_no_statement(record: Record) -> None:
    assert statement_words(record.with_(statements={"AF": None, "MI": 80.0, "PACE": float("nan")})) == ["AF", "MI 80 %"]


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
        ({"start_s": -1.0, "duration_s": 5.0}, "outside its 10 s"),
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


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other, and texts that leave the sheet."""
    (axes,) = figure.axes
    boxes = [(text.get_text(), box_of(axes, text)) for text in axes.texts if text.get_text()]
    right, top = axes.get_xlim()[1], axes.get_ylim()[1]
    out = [(a, "the sheet") for a, box in boxes if box[0] < 0 or box[1] < 0 or box[2] > right or box[3] > top]
    return out + [
        (a, b)
        for (a, one), (b, two) in combinations(boxes, 2)
        if one[0] < two[2] and two[0] < one[2] and one[1] < two[3] and two[1] < one[3]
    ]


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.5, 2.5, 3.2, 4.0, 10.0])
def test_texts_of_short_sheets_do_not_overlap(record: Record, seconds: float) -> None:
    strip = record.with_(signal=record.signal[:2], leads=("MLII", "V1"), notes=("The first of two notes.",))
    title = "V: false negative. Probability 0.030, threshold 0.410. Record 208#00123, 63 years, female."
    assert overlapping(draw_ecg(strip, duration_s=seconds, title=title)) == []
    assert overlapping(draw_ecg(strip.with_(source="a hospital of a long name"), duration_s=seconds)) == []
    assert overlapping(draw_ecg(record, duration_s=seconds)) == []  # twelve leads, columns where names fit


@pytest.mark.parametrize("n", [300, 1000, 1500, 2500, 5000])
def test_texts_of_explained_strips_do_not_overlap(record: Record, n: int) -> None:
    strip = record.with_(signal=record.signal[:1, :n], leads=("MLII",))
    title = "208#1: V, ventricular ectopic beat: present, probability 0.93 (reported from 0.31)   [ig]"
    caption = "All values sum to +3.20 log-odds: from -2.11 of 16 synthetic ECGs of seed 0 to +1.09 of this record."
    figure = draw_explanation(strip, strip.signal, title=title, caption=caption)
    assert overlapping(figure) == []


def test_names_of_leads_make_way_for_tall_complexes(record: Record) -> None:
    signal = np.zeros_like(record.signal)
    signal[:, 40:45] = 2.0  # through the usual place of every name, and its row
    figure = draw_ecg(record.with_(signal=signal), layout="12x1")
    (axes,) = figure.axes
    traces = [np.asarray(line.get_xydata()) for lead in TWELVE_LEADS for line in lines(figure, lead)]
    names = [text for text in axes.texts if text.get_text() in TWELVE_LEADS]
    assert len(names) == 12
    for text in names:
        left, lower, right, upper = box_of(axes, text)
        for x, y in (trace.T for trace in traces):
            inside = (x >= left) & (x <= right)
            assert not inside.any() or y[inside].max() < lower or y[inside].min() > upper


def test_numbers_of_snomed_ct_are_written_as_words(record: Record) -> None:
    codes = {"164889003": None, "999": None, "NORM": 80.0}
    found = statement_words(record.with_(statements=codes, label_system="snomed"))
    assert found == ["atrial fibrillation", "999", "NORM 80 %"]
    assert statement_words(record.with_(statements=codes, label_system="mine"))[0] == "164889003"


def test_a_part_that_ends_after_the_record_is_clipped_and_a_pdf_has_all_pages(record: Record, tmp_path: Path) -> None:
    assert len(lines(draw_ecg(record, start_s=8.0, duration_s=5.0, layout="12x1"), "I")[0].get_xdata()) == 1000
    assert part_words(record, 8.0, 5.0) == "8 s to 10 s are shown, where the recording ends."
    assert part_words(record, 0.0, 10.0) == ""
    long = record.with_(signal=np.tile(record.signal[:1], 5)[:, :12_700], leads=("I",))  # 25.4 s
    assert sheets_of(long) == [(0.0, 10.0), (10.0, 10.0), pytest.approx((15.4, 10.0))]  # the last repeats 4.6 s
    assert sheets_of(long, 5.0) == [(5.0, 10.0), pytest.approx((15.0, 10.4))]  # 0.4 s are no sheet of their own
    assert sheets_of(long, 2.0, 14.0) == [(2.0, 10.0), (6.0, 10.0)]
    assert sheets_of(long, 2.0, 4.0) == [(2.0, 4.0)]
    assert part_words(long, 10.0, 10.0) == "10 s to 20 s of 25.4 s are shown."
    done = []
    save_ecg(long, tmp_path / "long.pdf", progress=lambda *move: done.append(move))
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert (tmp_path / "long.pdf").read_bytes().count(b"/Type /Page ") == 3


def test_all_pages_of_a_pdf_have_one_size_and_layout_and_say_what_they_repeat(record: Record, tmp_path: Path) -> None:
    signal = np.tile(record.signal, 3)[:, :10_600]  # 21.2 s of twelve leads: 1.2 s would be four columns of 0.3 s
    signal[record.leads.index("V1"), 100] = 6.0  # on the first page only
    drawn = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "draw_ecg", lambda *a, **k: drawn.append(draw_ecg(*a, **k)) or drawn[-1])
        save_ecg(record.with_(signal=signal), tmp_path / "long.pdf")
    assert len(drawn) == 3
    assert len({tuple(figure.get_size_inches()) for figure in drawn}) == 1
    assert [len(lines(figure, "II")) for figure in drawn] == [2, 2, 2]  # 3x4+1 has lead II twice
    said = [" ".join(text.get_text().replace("\n", " ") for text in figure.axes[0].texts) for figure in drawn]
    assert "10 s to 20 s of 21.2 s are shown." in said[1]
    assert "repeats" not in said[1]
    assert "11.2 s to 21.2 s of 21.2 s are shown.   Until 20 s it repeats the sheet before." in said[2]


@pytest.mark.parametrize("part", [[0, 1], slice(None)])
def test_no_trace_leaves_the_sheet_or_crosses_its_first_and_last_line(record: Record, part: object) -> None:
    signal = 3.9 * np.sign(record.signal[part]).astype(np.float32)
    tall = record.with_(signal=signal, leads=tuple(np.array(record.leads)[part]), notes=("A note.",))
    (axes,) = draw_ecg(tall).axes
    heights = np.concatenate([line.get_ydata() for line in axes.get_lines()])
    boxes = {text.get_text(): box_of(axes, text) for text in axes.texts}
    first, last = boxes["NORM 100 %"], boxes["A note."]
    assert heights.max() < first[1]
    assert heights.min() > last[3]


def test_an_artefact_of_a_volt_is_no_poster(record: Record) -> None:
    calm, wild = (draw_ecg(record.with_(signal=record.signal * gain)).get_size_inches()[1] for gain in (0.1, 1000))
    assert 25.4 * (wild - calm) == pytest.approx(80)


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
