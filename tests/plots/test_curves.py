"""Curves against scikit-learn, and drawings that are small, repeatable and safe to put into a page."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from einthoven.errors import EinthovenError
from einthoven.plots.curves import (
    chosen_epoch,
    figure_svg,
    history_figure,
    pr_points,
    roc_points,
    roc_pr_figure,
    save_figure,
    thin,
)


@pytest.fixture(params=["smooth", "tied", "rare", "unknown"])
def one_class(request):
    rng = np.random.default_rng(3)
    y = (rng.random(700) < (0.01 if request.param == "rare" else 0.3)).astype(float)
    p = 1 / (1 + np.exp(-(1.5 * y + rng.normal(size=700))))
    if request.param == "tied":
        p = p.round(1)
    if request.param == "unknown":
        y[rng.random(700) < 0.2] = np.nan
    return y, p


def scores(n_classes, n=600, seed=0):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, n_classes)) < rng.uniform(0.02, 0.4, n_classes)).astype(float)
    return y, 1 / (1 + np.exp(-(rng.uniform(0.5, 3, n_classes) * y + rng.normal(size=y.shape))))


def history(n=12):
    return [
        {
            "epoch": e,
            "train_loss": 0.5 / e,
            "validation_loss": 0.6 / e,
            "validation_auroc": 0.9 - 0.001 * (e - 7) ** 2,
            "validation_accuracy": 0.8,
            "lr": 0.01 / e,
        }
        for e in range(1, n + 1)
    ]


def test_roc_points_are_those_of_scikit_learn(one_class):
    y, p = one_class
    known = ~np.isnan(y)
    fpr, tpr, _ = roc_curve(y[known], p[known], drop_intermediate=False)
    ours = roc_points(y, p)
    np.testing.assert_allclose(ours[0], fpr, atol=1e-12)
    np.testing.assert_allclose(ours[1], tpr, atol=1e-12)
    assert np.trapezoid(ours[1], ours[0]) == pytest.approx(roc_auc_score(y[known], p[known]))


def test_precision_recall_points_are_those_of_scikit_learn(one_class):
    y, p = one_class
    known = ~np.isnan(y)
    precision, recall, _ = precision_recall_curve(y[known], p[known])
    ours = pr_points(y, p)
    np.testing.assert_allclose(ours[0], recall[::-1], atol=1e-12)
    np.testing.assert_allclose(ours[1], precision[::-1], atol=1e-12)


def drawn(figure, panel, line):
    return figure.axes[panel].get_lines()[line].get_xydata().T


def test_the_area_under_each_drawn_line_is_the_figure_beside_its_name():
    y, p = scores(3, n=3000)
    figure = roc_pr_figure(y, p, ["A", "B", "C"])
    for panel, area in ((0, roc_auc_score), (1, average_precision_score)):
        expected = [area(y[:, k], p[:, k]) for k in range(3)]
        for k in range(3):
            assert np.trapezoid(*drawn(figure, panel, k)[::-1]) == pytest.approx(expected[k], abs=2e-3)
        assert np.trapezoid(*drawn(figure, panel, 3)[::-1]) == pytest.approx(np.mean(expected), abs=2e-3)
        names = [text.get_text() for text in figure.axes[panel].get_legend().get_texts()]
        assert names == [f"{np.mean(expected):.3f}\u2002mean of 3 classes"] + [
            f"{value:.3f}\u2002{name}" for value, name in zip(expected, "ABC", strict=True)
        ]


def distance(points, x, y):
    """Largest distance of points from a polyline."""
    a, b = np.column_stack([x, y])[:-1], np.column_stack([x, y])[1:]
    along = np.einsum("pij,ij->pi", points[:, None] - a, b - a) / ((b - a) ** 2).sum(axis=1)
    nearest = a + np.clip(along, 0, 1)[..., None] * (b - a)
    return np.linalg.norm(points[:, None] - nearest, axis=2).min(axis=1).max()


def test_thinning_moves_no_point_of_the_curve_by_more_than_it_says(one_class):
    for x, y in (roc_points(*one_class), pr_points(*one_class)):
        fewer = thin(x, y)
        assert len(fewer[0]) <= len(x)
        assert distance(np.column_stack([x, y]), *fewer) <= 0.71 / 500
        assert distance(np.column_stack(fewer), x, y) <= 0.71 / 500


def test_thinning_keeps_a_spike_and_drops_what_lies_on_a_line():
    x, y = np.array([0, 0.2, 0.4, 0.4, 0.4, 0.6, 1]), np.array([0.5, 0.5, 0.5, 0.9, 0.5, 0.5, 0.5])
    np.testing.assert_array_equal(thin(x, y), [[0, 0.4, 0.4, 0.4, 1], [0.5, 0.5, 0.9, 0.5, 0.5]])
    np.testing.assert_array_equal(thin(np.array([0.3]), np.array([0.3])), [[0.3], [0.3]])


def test_many_classes_are_grey_but_for_the_three_best_and_worst():
    y, p = scores(20)
    figure = roc_pr_figure(y, p, [f"C{k}" for k in range(20)])
    order = np.argsort([-roc_auc_score(y[:, k], p[:, k]) for k in range(20)])
    for axes in figure.axes:
        named = [text.get_text().split()[-1] for text in axes.get_legend().get_texts()[1:]]
        assert named == [f"C{k}" for k in [*order[:3], *order[-3:]]]
        assert sum(line.get_color() == "#b9c0ca" for line in axes.get_lines()) == 14


def test_a_class_without_positives_is_left_out_and_none_at_all_is_an_error():
    y, p = scores(3)
    y[:, 1] = 0
    names = [t.get_text() for t in roc_pr_figure(y, p, ["A", "B", "C"]).axes[0].get_legend().get_texts()]
    assert [name.split("\u2002")[1] for name in names] == ["mean of 2 classes", "A", "C"]
    with pytest.raises(ValueError, match="no class has both a positive and a negative record"):
        roc_pr_figure(np.zeros((5, 2)), np.zeros((5, 2)), ["A", "B"])
    with pytest.raises(ValueError, match="2 class names for 3 columns"):
        roc_pr_figure(y, p, ["A", "B"])


def test_names_that_look_like_formulas_hidden_labels_or_markup_are_drawn_as_they_are():
    y, p = scores(3)
    names = ["$\\frac{", "_AVB", '<b id="x"> 1.23456']
    svg = figure_svg(roc_pr_figure(y, p, names), label='a "<b>"')
    texts = [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert [sum(text.endswith(name) for text in texts) for name in names] == [2, 2, 2]


def test_svg_is_repeatable_and_brings_no_style_date_or_font_of_its_own():
    first, second = (figure_svg(roc_pr_figure(*scores(4), list("ABCD")), "curves") for _ in range(2))
    assert first == second
    assert not re.search(r"<style|<metadata|font-family|<\?xml|<!DOCTYPE|<!--", first)
    assert 'role="img" aria-label="curves"' in first
    assert "stroke: var(--fig-series-1, #1c5fa8)" in first


def test_ids_of_two_drawings_differ_and_their_references_hold():
    drawings = [figure_svg(history_figure(history(n)), "loss") for n in (5, 6)]
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in drawings]
    assert ids[0]
    assert not ids[0] & ids[1]
    for own, svg in zip(ids, drawings, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) == own


def test_history_marks_the_first_best_epoch_unless_told_another():
    assert chosen_epoch(history()) == 7
    assert chosen_epoch([*history(), {"epoch": 13, "validation_auroc": 0.9}]) == 7
    assert (
        chosen_epoch([{"epoch": 1, "validation_auroc": None}, {"epoch": 2, "validation_auroc": float("nan")}]) is None
    )
    marked = [history_figure(history(), epoch=epoch).axes[1].get_lines()[-1] for epoch in (None, 3)]
    assert [line.get_label() for line in marked] == ["epoch 7", "epoch 3"]
    assert [line.get_xdata()[0] for line in marked] == [7, 3]


def test_history_draws_every_figure_of_every_epoch_and_skips_absent_ones():
    rows = history()
    rows[3]["validation_loss"] = None
    train, validation, _ = history_figure(rows).axes[0].get_lines()
    np.testing.assert_allclose(train.get_ydata(), [row["train_loss"] for row in rows])
    assert list(validation.get_xdata()) == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    with pytest.raises(ValueError, match="without epochs"):
        history_figure([])


def test_figures_are_saved_whole_as_png_or_svg(tmp_path):
    figure = history_figure(history())
    save_figure(figure, tmp_path / "plots" / "history.png")
    save_figure(figure, tmp_path / "plots" / "history.svg")
    assert (tmp_path / "plots" / "history.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert ET.parse(tmp_path / "plots" / "history.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    with pytest.raises(EinthovenError, match=r"written as .png, .svg or .pdf, got 'history.bmp'"):
        save_figure(figure, tmp_path / "history.bmp")
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == ["history.png", "history.svg"]


def test_neither_pyplot_nor_the_global_style_is_touched():
    program = """
import matplotlib, sys
import numpy as np
from einthoven.plots.curves import figure_svg, history_figure, roc_pr_figure
before = matplotlib.rcParams.copy()
targets = np.eye(2)[[0, 1, 0, 1]]
figure_svg(roc_pr_figure(targets, targets * 0.5, ["A", "B"]))
figure_svg(history_figure([{"epoch": 1, "train_loss": 0.5}]))
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
