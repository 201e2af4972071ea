"""Is what is painted where the attribution is?"""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from einthoven.corpora.synthetic import example_record
from einthoven.leads import TWELVE_LEADS
from einthoven.plots.attributions import beat_map_figure, lead_bars_figure
from einthoven.plots.explanation import AGAINST, FOR, NORMAL, Scale, draw_explanation, full_colour
from einthoven.plots.inline import save_figure
from einthoven.record import Record


@pytest.fixture
def record(rng):
    signal = rng.normal(0, 0.1, (12, 1000)).astype(np.float32)
    return Record(signal, 100.0, TWELVE_LEADS, record_id="one")


def markers(figure):
    (axes,) = figure.axes
    return [each for each in axes.collections if each.get_gid() == "marker"]


def scaled(normal=False, signed=True, full=1.0):
    return Scale(full, "log-odds per sample of 10 ms", normal=normal, signed=signed)


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
            for each in markers(draw_explanation(record, attribution, title="", scale=scaled(normal), layout="12x1"))
            if len(painted(each))
        ]
        colours.append({tuple(np.round(row[:3], 3)) for row in first.get_facecolors()})
    against = tuple(np.round(to_rgb(AGAINST), 3))
    assert len(colours[0]) == len(colours[1]) == 2
    assert colours[0] & colours[1] == {against}
    assert tuple(np.round(to_rgb(NORMAL), 3)) in colours[1] - colours[0]
    assert tuple(np.round(to_rgb(FOR), 3)) in colours[0]


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
        text.get_text()
        for text in draw_explanation(record, np.zeros((12, 1000)), title="", scale=scaled(signed=False)).axes[0].texts
    ]


def test_the_scale_says_what_the_full_colour_means_and_the_caption_stands_on_the_sheet(record, rng):
    attribution = rng.normal(0, 0.01, (12, 1000))
    full = full_colour(attribution, 100.0)
    assert full == pytest.approx(np.percentile(np.abs(draw_means(attribution)), 99.5), rel=1e-3)
    figure = draw_explanation(
        record, attribution, title="", scale=scaled(full=full), caption="All values sum to +5.79 log-odds."
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {f"≤ {-full:+.2g}", "0", f"≥ {full:+.2g}", "log-odds per sample of 10 ms"} <= set(texts)
    assert "All values sum to +5.79 log-odds." in texts
    spots = [patch for patch in figure.axes[0].patches if patch.get_gid() == "scale"]
    assert spots[0].get_facecolor()[:3] == pytest.approx(to_rgb(AGAINST))
    assert spots[-1].get_facecolor()[:3] == pytest.approx(to_rgb(FOR))
    assert spots[0].get_alpha() or spots[0].get_facecolor()[3] > spots[len(spots) // 2].get_facecolor()[3]


def draw_means(attribution):
    padded = np.pad(attribution, [(0, 0), (2, 2)], mode="edge")
    return np.stack([np.convolve(row, np.full(5, 0.2), "valid") for row in padded])


def test_classes_that_share_a_scale_have_colours_that_can_be_compared(record):
    strong, weak = np.zeros((2, 12, 1000))
    strong[1], weak[1] = 1.0, 0.25
    strength = []
    for values, full in ((weak, full_colour(weak, 100.0)), (weak, full_colour(np.stack([strong, weak]), 100.0))):
        (first, *_) = [
            each
            for each in markers(draw_explanation(record, values, title="", scale=scaled(full=full), layout="12x1"))
            if len(painted(each))
        ]
        strength.append(first.get_facecolors()[:, 3].max())
    assert strength[0] == pytest.approx(0.75)
    assert strength[1] == pytest.approx(0.75 * 0.25**0.7)


@pytest.mark.parametrize("code", ["LVH", "CLBBB"])
def test_names_of_leads_are_crossed_by_no_trace_and_tall_ones_are_drawn_smaller(code):
    tall = example_record(code, seed=0)
    figure = draw_explanation(tall, np.zeros(tall.signal.shape), title="", caption="")
    (axes,) = figure.axes
    assert any("5 mm/mV" in text.get_text() for text in axes.texts)
    points = np.concatenate([line.get_xydata() for line in axes.get_lines() if line.get_gid() in tall.leads])
    renderer = FigureCanvasAgg(figure).get_renderer()
    names = [text for text in axes.texts if text.get_text() in tall.leads]
    assert len(names) == 13
    for text in names:
        box = text.get_window_extent(renderer).transformed(axes.transData.inverted())
        inside = ((points >= (box.x0, box.y0)) & (points <= (box.x1, box.y1))).all(axis=1)
        assert not inside.any(), text.get_text()


def test_of_a_long_record_the_part_is_drawn_where_the_attribution_lies(rng):
    record = Record(rng.normal(0, 0.1, (12, 3000)).astype(np.float32), 100.0, TWELVE_LEADS)
    attribution = np.zeros((12, 3000))
    attribution[1, 2105:2115] = 1.0
    figure = draw_explanation(record, attribution, title="", caption="Sum.", layout="12x1")
    boxes = [box for each in markers(figure) for box in painted(each)]
    second = (np.mean([(box.x0 + box.x1) / 2 for box in boxes]) - 15) / 25
    (said,) = [text.get_text() for text in figure.axes[0].texts if "Shown are" in text.get_text()]
    start = float(said.split("Shown are ")[1].split(" s")[0])
    assert start + second == pytest.approx(21.1, abs=0.1)


def test_another_shape_is_refused(record):
    with pytest.raises(ValueError, match=r"shape \(12, 5\)"):
        draw_explanation(record, np.zeros((12, 5)), title="")


@pytest.mark.parametrize(
    "kind", ["png", pytest.param("svg", marks=pytest.mark.slow), pytest.param("pdf", marks=pytest.mark.slow)]
)
def test_the_same_explanation_gives_the_same_file(record, kind, tmp_path, rng):
    attribution = rng.normal(size=(12, 1000))
    for name in "ab":
        save_figure(draw_explanation(record, attribution, title="a $class$"), tmp_path / f"{name}.{kind}")
    first, second = ((tmp_path / f"{name}.{kind}").read_bytes() for name in "ab")
    assert first == second


def test_bars_have_their_heights_and_errors_and_the_map_its_range(rng):
    figure = lead_bars_figure(
        ("I", "II"), {"CD": [1.0, 2.0], "NORM": [3.0, 1.0]}, {"CD": [0.1, 0.2], "NORM": [np.nan] * 2}, label="x",
        normal=["NORM"],
    )  # fmt: skip
    first, second = figure.axes
    assert [bar.get_height() for bar in first.patches] == [1.0, 2.0]
    assert first.patches[0].get_facecolor() != second.patches[0].get_facecolor()
    assert first.patches[0].get_facecolor()[:3] != second.patches[0].get_facecolor()[:3] == to_rgb(NORMAL)
    signed = lead_bars_figure(("I", "II"), {"": [1.0, -2.0]}, {"": [np.nan] * 2}, label="x", signed=True)
    assert [bar.get_facecolor()[:3] for bar in signed.axes[0].patches] == [to_rgb(FOR), to_rgb(AGAINST)]
    beat = rng.normal(size=(2, 80))
    figure = beat_map_figure(beat, beat, ("I", "II"), 100.0, 0.3, title="t", label="l")
    image = figure.axes[0].get_images()[0]
    assert image.get_clim() == (-np.abs(beat).max(), np.abs(beat).max())
    assert image.get_extent()[:2] == pytest.approx((-0.3, 0.5))
