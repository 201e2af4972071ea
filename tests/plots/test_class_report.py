"""The six panels of one class: what is drawn is what scikit-learn computes, and drawings are repeatable."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from einthoven.plots.class_report import class_report_figure
from einthoven.plots.inline import save_figure


@pytest.fixture
def one_class():
    rng = np.random.default_rng(0)
    y = (rng.random(900) < 0.3).astype(float)
    p = 1 / (1 + np.exp(-rng.normal(2 * y - 1, 1)))
    return y, p, p**1.5


def _titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes]


def test_six_panels_tell_what_scikit_learn_computes(one_class):
    y, p, q = one_class
    figure = class_report_figure(y, p, q, "A", 0.4)
    assert _titles(figure) == [
        f"ROC, area {roc_auc_score(y, p):.3f}",
        f"Precision-recall, area {average_precision_score(y, p):.3f}",
        "Decisions against the threshold",
        f"Calibration, Brier score {brier_score_loss(y, q):.3f}",
        "Probabilities by truth",
        "Probabilities by decision",
    ]
    assert (
        figure.texts[0].get_text() == f"A: {int(y.sum())} of 900 records have it; reported from a probability of 0.400"
    )


def test_the_area_drawn_is_the_figure_in_the_title(one_class):
    y, p, q = one_class
    roc, pr = class_report_figure(y, p, q, "A").axes[:2]
    x, height = roc.lines[1].get_data()
    assert np.trapezoid(height, x) == pytest.approx(roc_auc_score(y, p), abs=0.002)
    x, height = pr.lines[1].get_data()
    assert np.trapezoid(height, x) == pytest.approx(average_precision_score(y, p), abs=0.002)


def test_calibration_dots_are_the_bins(one_class):
    y, p, q = one_class
    dots = class_report_figure(y, p, q, "A").axes[3].lines[-1]
    share, mean = calibration_curve(y, q, n_bins=10)
    np.testing.assert_allclose(dots.get_data(), [mean, share], atol=1e-12)


def test_decisions_are_the_threshold_unless_they_are_given(one_class):
    y, p, q = one_class
    said = q >= 0.4
    by_limit = class_report_figure(y, p, q, "A", 0.4)
    wrong = int((said != (y == 1)).sum())
    labels = [text.get_text() for text in by_limit.axes[5].get_legend().get_texts()]
    assert labels == [f"decided wrongly ({wrong:,})", f"decided rightly ({900 - wrong:,})"]
    assert by_limit.axes[0].lines[2].get_xdata() == [pytest.approx(said[y == 0].mean())]
    given = class_report_figure(y, p, q, "A", None, np.ones(900, bool))
    assert given.axes[0].lines[2].get_ydata() == [1.0]
    undecided = class_report_figure(y, p, q, "A")
    assert undecided.axes[5].texts[0].get_text() == "no threshold: not decided"
    assert len(undecided.axes[0].lines) == 2


def test_histograms_count_every_record_once(one_class):
    y, p, q = one_class
    ax = class_report_figure(y, p, q, "A", 0.4).axes[4]
    counts = [patch.get_data().values for patch in ax.patches[::2]]
    for values, part in zip(counts, (y == 1, y == 0), strict=True):
        np.testing.assert_array_equal(values, np.maximum(np.histogram(q[part], 25, (0, 1))[0], 0.5))


def test_unknown_targets_are_left_out(one_class):
    y, p, q = one_class
    more = np.r_[y, [np.nan] * 50], np.r_[p, np.full(50, 0.9)], np.r_[q, np.full(50, 0.9)]
    figures = class_report_figure(y, p, q, "A", 0.4), class_report_figure(*more, "A", 0.4)
    assert _titles(figures[0]) == _titles(figures[1])
    assert figures[0].texts[0].get_text() == figures[1].texts[0].get_text()


def test_the_same_class_gives_the_same_file_and_any_name_is_text(one_class, tmp_path):
    for kind in ("png", "svg"):
        files = [tmp_path / f"{k}.{kind}" for k in range(2)]
        for file in files:
            save_figure(class_report_figure(*one_class, "a_$^<b>&", 0.4), file)
        assert files[0].read_bytes() == files[1].read_bytes()
        assert files[0].stat().st_size < 250_000


def test_what_cannot_be_drawn_is_refused(one_class):
    y, p, q = one_class
    with pytest.raises(ValueError, match="A has no positive or no negative record"):
        class_report_figure(np.zeros(900), p, q, "A")
    with pytest.raises(ValueError, match="one value per record is needed"):
        class_report_figure(np.stack([y, y]), p, q, "A")
    with pytest.raises(ValueError, match="decisions have shape"):
        class_report_figure(y, p, q, "A", 0.4, [True])
    with pytest.raises(ValueError, match="shape"):
        class_report_figure(y, p, q[:-1], "A")
