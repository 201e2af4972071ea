"""Is what is painted where the attribution is?"""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from einthoven.leads import TWELVE_LEADS
from einthoven.plots.explanation import beat_map_figure, draw_explanation, lead_bars_figure
from einthoven.plots.inline import save_figure
from einthoven.record import Record


@pytest.fixture
def record(rng):
    signal = rng.normal(0, 0.1, (12, 1000)).astype(np.float32)
    return Record(signal, 100.0, TWELVE_LEADS, record_id="one")


def markers(figure):
    (axes,) = figure.axes
    return [each for each in axes.collections if each.get_gid() == "marker"]


def painted(collection):
    return [path.get_extents() for path in collection.get_paths()]


@pytest.mark.parametrize("layout", ["3x4+1", "12x1"])
def test_a_marker_stands_at_the_time_and_lead_of_its_attribution(record, layout):
    attribution = np.zeros((12, 1000))
    attribution[1, 200:210] = 1.0  # II at 2.0 s
    figure = draw_explanation(record, attribution, title="", layout=layout)
    boxes = [box for each in markers(figure) for box in painted(each)]
    assert boxes
    x = np.array([(box.x0 + box.x1) / 2 for box in boxes])
    assert np.all(np.abs(x - (15 + 2.05 * 25)) < 0.08 * 25)
    heights = {round(float(np.median([b.y0 for b in painted(each)]))) for each in markers(figure) if painted(each)}
    assert len(heights) == (2 if layout == "3x4+1" else 1)  # II is drawn twice there


def test_for_and_against_have_their_colours_and_a_normal_ecg_is_not_painted_as_a_finding(record):
    attribution = np.zeros((12, 1000))
    attribution[0, 100:120], attribution[0, 150:170] = 1.0, -1.0
    colours = []
    for normal in (False, True):
        (first, *_) = [
            each
            for each in markers(draw_explanation(record, attribution, title="", normal=normal, layout="12x1"))
            if len(painted(each))
        ]
        colours.append({tuple(np.round(row[:3], 3)) for row in first.get_facecolors()})
    against = tuple(np.round(to_rgb("#1c5fa8"), 3))
    assert len(colours[0]) == len(colours[1]) == 2
    assert colours[0] & colours[1] == {against}


def test_nothing_is_painted_where_nothing_is_attributed_and_the_trace_stays(record):
    figure = draw_explanation(record, np.zeros((12, 1000)), title="", footer="Not a medical device.")
    assert not any(len(painted(each)) for each in markers(figure))
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert "Not a medical device." in texts
    assert {"speaks for it", "speaks against it"} <= set(texts)
    (line, _) = [line for line in axes.get_lines() if line.get_gid() == "II"]
    assert line.get_color() == "#14142b"
    assert "speaks against it" not in [
        text.get_text() for text in draw_explanation(record, np.zeros((12, 1000)), title="", signed=False).axes[0].texts
    ]


def test_another_shape_is_refused(record):
    with pytest.raises(ValueError, match=r"shape \(12, 5\)"):
        draw_explanation(record, np.zeros((12, 5)), title="")


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_explanation_gives_the_same_file(record, kind, tmp_path, rng):
    attribution = rng.normal(size=(12, 1000))
    for name in "ab":
        save_figure(draw_explanation(record, attribution, title="a $class$"), tmp_path / f"{name}.{kind}")
    first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in "ab")
    assert first == second


def test_bars_have_their_heights_and_errors_and_the_map_its_range(rng):
    figure = lead_bars_figure(
        ("I", "II"), {"CD": [1.0, 2.0], "NORM": [3.0, 1.0]}, {"CD": [0.1, 0.2], "NORM": [np.nan] * 2}, label="x"
    )
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [1.0, 2.0]
    assert first.patches[0].get_facecolor() != second.patches[0].get_facecolor()
    beat = rng.normal(size=(2, 80))
    figure = beat_map_figure(beat, beat, ("I", "II"), 100.0, 0.3, title="t", label="l")
    image = figure.axes[0].get_images()[0]
    assert image.get_clim() == (-np.abs(beat).max(), np.abs(beat).max())
    assert image.get_extent()[:2] == pytest.approx((-0.3, 0.5))
