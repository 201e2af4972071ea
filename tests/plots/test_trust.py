"""Drawings of belief show the very numbers of a judgement."""

import numpy as np
import pytest
from scipy.stats import binomtest

from einthoven.metrics import reliability
from einthoven.plots.inline import figure_svg
from einthoven.plots.trust import reliability_figure, risk_coverage_figure, wilson_interval


@pytest.mark.parametrize(("positives", "cases"), [(0, 1), (3, 7), (10, 10), (120, 900)])
def test_wilson_intervals_are_those_of_scipy(positives, cases):
    expected = binomtest(positives, cases).proportion_ci(0.95, method="wilson")
    low, high = wilson_interval(positives / cases, cases)
    assert [float(low), float(high)] == pytest.approx([expected.low, expected.high], abs=1e-7)
    assert low <= positives / cases <= high


def bins(n=500, seed=2):
    rng = np.random.default_rng(seed)
    p = rng.beta(0.6, 2.5, size=(n, 1))
    count, mean, share = reliability((rng.random((n, 1)) < p).astype(float), p, 10)
    values = {"count": count[0].tolist(), "mean": mean[0].tolist(), "share": share[0].tolist()}
    return {key: [None if np.isnan(v) else v for v in each] for key, each in values.items()}


def test_dots_lines_and_bars_of_a_reliability_diagram_are_the_bins():
    given = bins()
    given["count"][4], given["mean"][4], given["share"][4] = 0.0, None, None
    diagram, histogram = reliability_figure(given, "$MI$").axes
    filled = [k for k in range(10) if given["count"][k]]
    x, y = diagram.get_lines()[1].get_data()
    assert list(x) == [given["mean"][k] for k in filled]
    assert list(y) == [given["share"][k] for k in filled]
    ends = np.array([segment[:, 1] for segment in diagram.collections[0].get_segments()])
    expected = [wilson_interval(given["share"][k], given["count"][k]) for k in filled]
    np.testing.assert_allclose(ends, expected)
    heights = [bar.get_height() for bar in histogram.patches]
    assert [h for h in heights if not np.isnan(h)] == [given["count"][k] for k in filled]
    assert diagram.get_title(loc="left") == "$MI$"


def test_a_reliability_diagram_without_records_is_refused():
    empty = {"count": [0.0] * 10, "mean": [None] * 10, "share": [None] * 10}
    with pytest.raises(ValueError, match="no bin of the reliability diagram has a record"):
        reliability_figure(empty)


@pytest.mark.parametrize("risk", [[0.0, 0.1, 0.2, 0.4], [0.0, 0.0, 0.001, 0.002], [0.0] * 4])
def test_the_curve_of_risk_is_the_one_given_and_marks_two_points(risk):
    coverage = [0.25, 0.5, 0.75, 1.0]
    (axes,) = risk_coverage_figure(coverage, risk, 0.8).axes
    _, curve, dots = axes.get_lines()
    assert [list(v) for v in curve.get_data()] == [coverage, risk]
    assert [list(v) for v in dots.get_data()] == [[0.75, 1.0], [risk[2], risk[3]]]
    assert len(risk_coverage_figure(coverage, risk).axes[0].get_lines()) == 2


def test_drawings_are_repeatable():
    for draw in (lambda: reliability_figure(bins(), "MI"), lambda: risk_coverage_figure([0.5, 1.0], [0.1, 0.2])):
        assert figure_svg(draw(), "spoken") == figure_svg(draw(), "spoken")
