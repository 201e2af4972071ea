import pickle
import subprocess
import sys

import numpy as np
import pytest

import einthoven
from einthoven import ECGClassifier
from einthoven.api.arrays import check_facts, check_leads, check_signals, fact_columns
from einthoven.api.fitting import Part, divide, join
from einthoven.api.targets import check_labels, labels_like
from einthoven.errors import DatasetError, EinthovenError, RecipeError
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record

SMALL = {"model.options": {"width": 8}, "training.threads": 1, "training.device": "cpu"}


def beats(n=80, leads=2, samples=400, seed=0):
    """Beats at 100 Hz; every second record has tall T waves, which is what there is to learn."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 100
    y = np.arange(n) % 2
    x = np.empty((n, leads, samples), np.float32)
    for k in range(n):
        phase = (t + rng.random()) % 0.8
        wave = np.exp(-(((phase - 0.2) / 0.02) ** 2)) + (0.1 + 0.6 * y[k]) * np.exp(-(((phase - 0.45) / 0.05) ** 2))
        x[k] = wave + rng.normal(scale=0.05, size=(leads, samples))
    return x, y


def small(**changes):
    settings = {**SMALL, **changes.pop("settings", {})}
    return ECGClassifier("fcn_wang", epochs=6, batch_size=8, leads="I,II", fs=100, settings=settings, **changes)


@pytest.fixture(scope="module")
def exclusive():
    """Fitted on names of classes, with patients and ages."""
    x, y = beats()
    patients, ages = [f"p{k // 2}" for k in range(len(x))], np.where(np.arange(len(x)) % 3, 60.0, np.nan)
    return small().fit(
        x, np.array(["flat", "tall"])[y], groups=patients, facts={"age": ages, "sex": ["male", None] * 40}
    )


# Fitting and answering


def test_it_learns_and_answers_in_the_terms_of_y(exclusive):
    x, y = beats(seed=1)
    assert exclusive.classes_.tolist() == ["flat", "tall"]
    p = exclusive.predict_proba(x)
    assert p.shape == (80, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    said = exclusive.predict(x)
    assert set(said) <= {"flat", "tall"}
    np.testing.assert_array_equal(said, exclusive.classes_[p.argmax(axis=1)])
    assert exclusive.score(x, np.array(["flat", "tall"])[y]) > 0.9
    assert np.isnan(exclusive.thresholds_).all()  # the likeliest class wins


def test_a_record_gets_the_probability_that_the_bundle_gives(exclusive):
    x, _ = beats(n=3, seed=2)
    p = exclusive.predict_proba(x, facts={"age": [50.0, np.nan, 70.0], "sex": ["female", None, "male"]})
    for k, (age, sex) in enumerate(((50.0, "female"), (None, None), (70.0, "male"))):
        record = Record(x[k], 100.0, ("I", "II"), age=age, sex=sex)
        findings = exclusive.bundle_.predict(record).findings
        assert [f.probability for f in findings] == pytest.approx(p[k].tolist(), abs=1e-5)
    assert not np.allclose(p, exclusive.predict_proba(x, facts={"age": [90.0] * 3}))


def test_patients_are_whole_and_what_it_wrote_is_kept_with_it(exclusive):
    origin = exclusive.bundle_.about["provenance"]
    assert origin["dataset"] == "arrays"
    assert origin["n_patients"] == origin["n_records"] / 2
    assert (exclusive.run_ / "report.html").is_file()
    assert exclusive.bundle_.facts == ("age", "female", "male")


def test_it_is_saved_as_a_bundle_and_copied_by_pickle(exclusive, tmp_path):
    x, _ = beats(n=4, seed=3)
    bundle = exclusive.save(tmp_path / "mine")
    assert einthoven.load(tmp_path / "mine").classes == bundle.classes == ("flat", "tall")
    with pytest.raises(EinthovenError, match="is there already"):
        exclusive.save(tmp_path / "mine")
    again = pickle.loads(pickle.dumps(exclusive))
    np.testing.assert_array_equal(again.predict_proba(x), exclusive.predict_proba(x))


def test_other_lengths_and_rates_are_brought_to_the_model(exclusive):
    x, _ = beats(n=4, samples=900, seed=4)
    assert exclusive.predict_proba(x).shape == (4, 2)
    slow, fast = exclusive.predict_proba(x), exclusive.predict_proba(np.repeat(x, 2, axis=2), fs=200)
    np.testing.assert_allclose(slow, fast, atol=0.1)


def test_classes_that_may_occur_together_with_unknowns_and_given_validation(tmp_path):
    x, tall = beats(n=60)
    y = np.stack([tall, np.arange(60) % 3 == 0], axis=1).astype(float)
    y[::7, 1] = np.nan
    model = small(class_names=["tall", "every third"], unit="uV", folder=tmp_path / "kept")
    model.fit(x[:40] * 1000, y[:40], X_val=x[40:] * 1000, y_val=y[40:])
    assert model.classes_.tolist() == ["tall", "every third"]
    assert model.bundle_.classes == ("every third", "tall")  # columns keep the order of y
    p, said = model.predict_proba(x * 1000), model.predict(x * 1000)
    assert p.shape == said.shape == (60, 2)
    limits = model.thresholds_
    for k in range(2):
        assert (said[:, k] == (p[:, k] >= np.where(np.isnan(limits[k]), np.inf, limits[k]))).all()
    assert model.score(x * 1000, y) > 0.5
    assert model.bundle_.about["provenance"]["n_records"] == 40
    assert (tmp_path / "kept" / "dataset" / "dataset.json").is_file()


@pytest.mark.slow
def test_the_same_arrays_and_seed_give_the_same_numbers():
    x, y = beats(n=40)
    first, second = (small(random_state=5).fit(x, y).predict_proba(x) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, small(random_state=6).fit(x, y).predict_proba(x))


# scikit-learn's contract


def test_parameters_are_kept_as_given_and_cloned():
    clone = pytest.importorskip("sklearn.base").clone
    settings = {"training.lr": 0.1}
    model = ECGClassifier("lstm", epochs=3, settings=settings, leads=("I", "II"))
    assert model.get_params()["settings"] is settings
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "bundle_")
    assert model.set_params(epochs=5) is model
    assert model.epochs == 5
    assert repr(ECGClassifier(epochs=2)) == "ECGClassifier(epochs=2)"
    with pytest.raises(RecipeError, match=r"has no 'epoch' \(did you mean 'epochs'\?\); it has model"):
        model.set_params(epoch=3)


@pytest.mark.slow
def test_scikit_learn_cross_validates_it():
    selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.base import is_classifier
    from sklearn.utils.validation import check_is_fitted

    x, y = beats(n=60)
    model = small()
    assert is_classifier(model)
    scores = selection.cross_val_score(model, x, y, cv=2)
    assert scores.shape == (2,)
    assert (scores > 0.6).all()
    with pytest.raises(Exception, match="not fitted"):
        check_is_fitted(model)


def test_it_needs_no_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None; import einthoven;"
        "print(einthoven.ECGClassifier(epochs=2).get_params()['epochs'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"]


# What cannot be right


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[0], r"shape \(records, leads, samples\), got \(2, 400\); add the axis of leads with X\[:, None\]"),
        (lambda x: x * 1000, "peaks at .* mV .X taken as mV.*looks like microvolts"),
        (lambda x: x * 1e-4, "looks like another unit, or flat"),
        (lambda x: np.where(np.arange(len(x))[:, None, None] == 3, np.nan, x), r"1 records are NaN .* is X\[3\]"),
        (lambda x: np.where(np.arange(len(x))[:, None, None] == 5, np.inf, x), r"X\[5\] has infinite values"),
        (lambda x: [x[0], x[1][:, :9]], "must be one array of numbers"),
        (lambda x: np.full((2, 2, 9), "a"), "must be one array of numbers"),
        (lambda x: x[:, :, :0], r"got \(80, 2, 0\)"),
    ],
)
def test_signals_that_cannot_be_right_are_named(change, said):
    with pytest.raises(DatasetError, match=said):
        check_signals(change(beats()[0]), "mV")


def test_units_are_converted_and_unknown_ones_named():
    x = beats(n=3)[0]
    for unit, factor in (("uV", 1000), ("V", 1e-3)):
        np.testing.assert_allclose(check_signals(x * factor, unit), x, rtol=1e-5, atol=1e-7)
    with pytest.raises(DatasetError, match=r"unknown unit 'mv' \(did you mean 'mV'\?\); units are mV, uV, V"):
        check_signals(x, "mv")
    with pytest.raises(DatasetError, match="looks like another unit"):
        check_signals(x, "uV")


@pytest.mark.parametrize(
    ("leads", "shape", "said"),
    [
        (None, (5, 2, 100), "which leads are the 2 rows of a record"),
        ("I,III2", (5, 2, 100), "unknown lead 'III2'"),
        ("I,I", (5, 2, 100), "lead I is named twice"),
        ("I,II,V1", (5, 2, 100), "X has 2 leads .*, but 3 are named"),
        (TWELVE_LEADS, (5, 1000, 12), r"but 12 are named; X.transpose\(0, 2, 1\) puts them in place"),
    ],
)
def test_leads_that_cannot_be_right_are_named(leads, shape, said):
    with pytest.raises(DatasetError, match=said):
        check_leads(leads, shape)


@pytest.mark.parametrize(
    ("y", "said"),
    [
        ([1, 1, 1, 1], r"one class only \(1\)"),
        ([0, 1, 0], r"must have the shape \(4,\) or \(4, classes\), .* got \(3,\)"),
        ([0, 1, np.nan, 0], r"y\[2\] is nan: a record of unknown class"),
        (np.array(["a", None, "b", "a"], object), r"y\[1\] is None"),
        (np.array(["a", 1, "b", "a"], object), "mixes text and numbers"),
        ([[0, 1], [1, 2], [0, 0], [1, 1]], r"y\[1, 1\] is 2; it must be 0, 1 or NaN"),
        ([["a"], ["b"], ["a"], ["b"]], "some values are text"),
        ([[0, 1], [0, 0], [0, 0], [0, 1]], "no positive record of class 0"),
        ([[0, 1], [1, 1], [0, 1], [0, np.nan]], "no negative record of class 1"),
    ],
)
def test_labels_that_cannot_be_right_are_named(y, said):
    with pytest.raises(DatasetError, match=said):
        check_labels(y, 4)


def test_labels_of_a_fitted_model_may_lack_classes_but_have_no_others():
    known = check_labels(["a", "b", "c"], 3)
    assert labels_like(known, ["c", "c"], 2).targets.tolist() == [[0, 0, 1], [0, 0, 1]]
    with pytest.raises(DatasetError, match="class 'd' is not known; classes are a, b, c"):
        labels_like(known, ["a", "d"], 2)
    with pytest.raises(DatasetError, match=r"must have the shape \(2, 2\), as the model was fitted, got \(2,\)"):
        labels_like(check_labels([[0, 1], [1, 0]], 2), [0, 1], 2)


def test_facts_that_cannot_be_right_are_named():
    assert check_facts({"age": [None, 3], "sex": ["female", np.nan]}, 2) == {
        "age": [None, 3.0],
        "sex": ["female", None],
    }
    for facts, said in (
        ({"age": [1]}, "has 1 values for 2 records"),
        ({"sex": ["m", "f"]}, "female, male or None, got 'm'"),
        ({"qrs_ms": ["wide", 90]}, "must be numbers"),
    ):
        with pytest.raises(DatasetError, match=said):
            check_facts(facts, 2)
    columns = fact_columns(("age", "male", "features:qrs_ms"), {"sex": ["male", None], "qrs_ms": [90.0, None]}, 2)
    np.testing.assert_array_equal(columns, [[np.nan, 1, 90], [np.nan, np.nan, np.nan]])
    with pytest.raises(DatasetError, match="does not see the fact 'qt'; it sees age"):
        fact_columns(("age",), {"qt": [1.0, 2.0]}, 2)


def _part(y, patients=None):
    return Part(beats(n=len(y))[0], check_labels(y, len(y)), patients or [None] * len(y), {})


def test_too_few_records_are_named():
    with pytest.raises(DatasetError, match="3 records are too few to train and validate on; give more, or X_val"):
        divide(_part([0, 1, 0]), 0.2, 0)
    with pytest.raises(DatasetError, match="2 patients are too few"):
        divide(_part([0, 1] * 5, ["a"] * 5 + ["b"] * 5), 0.2, 0)
    with pytest.raises(DatasetError, match="no class has both a positive and a negative among the"):
        divide(_part([0] * 19 + [1]), 0.1, 0)
    with pytest.raises(RecipeError, match="validation_share must lie between 0 and 1, got 1.5"):
        divide(_part([0, 1] * 5), 1.5, 0)
    fold = join(_part([0, 1] * 3), _part([0, 1] * 2))[1]
    assert fold == [1] * 6 + [2] * 4
    zeros = Part(beats(n=2)[0], labels_like(check_labels([0, 1], 2), [0, 0], 2), [None] * 2, {})
    with pytest.raises(DatasetError, match="no training record of class 1"):
        join(zeros, _part([0, 1]))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"fs": None}, DatasetError, "at which rate was X sampled"),
        ({"fs": "fast"}, DatasetError, "fs must be a number of Hz, got 'fast'"),
        ({"random_state": -1}, RecipeError, "random_state must be a whole number from 0"),
        ({"model": "xresnet1d5"}, RecipeError, "unknown model 'xresnet1d5'"),
        ({"epochs": 0}, RecipeError, "training.epochs"),
        ({"settings": {"training.momentun": 1}}, RecipeError, "unknown key 'training.momentun'"),
    ],
)
def test_arguments_that_cannot_be_right_are_named_by_fit(arguments, error, said):
    x, y = beats(n=20)
    given = {"leads": "I,II", "fs": 100, **arguments}
    with pytest.raises(error, match=said):
        ECGClassifier(**given).fit(x, y)


def test_nothing_is_answered_before_fit():
    with pytest.raises(EinthovenError, match="not fitted yet; call fit"):
        ECGClassifier().predict(beats(n=2)[0])
