"""The detector of unlike records: its distances, its false alarms, its file, and its flag in a bundle."""

import shutil

import numpy as np
import pytest
import torch

from einthoven.bundle import NOVELTY_FILE, load_bundle
from einthoven.bundling import add_novelty, save_bundle
from einthoven.dataset import open_dataset
from einthoven.decisions import fit_novelty, load_novelty, save_novelty
from einthoven.decisions import novelty as novelty_module
from einthoven.errors import BundleError
from einthoven.evaluation.novelty import fit_dataset_novelty
from einthoven.leads import TWELVE_LEADS
from einthoven.models import Classifier, Scaling, create_model
from einthoven.record import Record
from einthoven.signals import feature_names
from einthoven.spec import SignalSpec


def features(n, seed, n_features=8):
    """Correlated features with heavy tails and different sizes."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(0).normal(size=(n_features, n_features))
    return np.sinh(rng.normal(size=(n, n_features)) @ mix / 3) * np.logspace(-2, 2, n_features)


@pytest.fixture(scope="module")
def fitted():
    return fit_novelty(features(3000, 1), features(1000, 2), [np.arange(6), np.arange(4, 8)])


def test_false_alarms_among_new_records_are_as_stated(fitted):
    alarms = (fitted.score(features(20_000, 3)) > fitted.threshold).mean()
    assert alarms == pytest.approx(0.05, abs=0.015)
    own = (fitted.score(features(1000, 2)) > fitted.threshold).sum()
    assert own == 1000 - np.ceil(1001 * 0.95)


def test_each_distance_stands_as_a_normal_score_among_training():
    data = features(20_000, 1)
    fitted = fit_novelty(data, features(100, 2))
    score = fitted.score(data)
    assert np.median(score) == pytest.approx(0, abs=0.02)
    assert np.quantile(score, 0.98) == pytest.approx(2.054, abs=0.02)


def test_normal_features_have_the_textbook_mahalanobis_order():
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.9, 0.2], [0.9, 1.0, 0.1], [0.2, 0.1, 1.0]])
    data = rng.multivariate_normal(np.zeros(3), covariance, 20_000)
    fitted = fit_novelty(data, data[:100])
    along, across = np.array([[1.5, 1.5, 0.0]]), np.array([[1.5, -1.5, 0.0]])
    assert fitted.score(across)[0] > 3 > fitted.score(along)[0]
    truth = np.einsum("ni,ij,nj->n", data[:2000], np.linalg.inv(covariance), data[:2000])
    order = [np.argsort(np.argsort(values)) for values in (truth, fitted.score(data[:2000]))]
    assert np.corrcoef(*order)[0, 1] > 0.99


def test_scores_do_not_depend_on_the_units_of_features():
    factors = np.logspace(3, 0, 8)
    train, held, new = features(500, 1), features(200, 2), features(50, 3)
    plain = fit_novelty(train * 100, held * 100).score(new * 100)
    scaled = fit_novelty(train * 100 * factors, held * 100 * factors).score(new * 100 * factors)
    np.testing.assert_allclose(plain, scaled, atol=0.3)


def test_a_feature_that_never_varied_alarms_when_it_does():
    train = np.column_stack([features(500, 1), np.full(500, 3.0)])
    fitted = fit_novelty(train, train[:100])
    assert np.isfinite(fitted.score(train)).all()
    odd = train[:1].copy()
    assert fitted.score(odd)[0] < 3
    odd[0, -1] = 4.0
    assert fitted.score(odd)[0] > 5
    assert fitted.most_unusual(odd[0], 1) == [8]


def test_few_records_are_enough_for_finite_scores():
    fitted = fit_novelty(features(2, 1), features(1, 2))
    assert np.isfinite(fitted.score(features(50, 3))).all()
    assert fitted.threshold == fitted.score(features(1, 2))[0]


def test_too_little_to_fit_is_refused():
    for arguments in ((features(1, 1), features(5, 2)), (features(5, 1), features(0, 2))):
        with pytest.raises(ValueError, match="two training records, one validation record and a rate"):
            fit_novelty(*arguments)
    with pytest.raises(ValueError, match=r"got 5, 5 and 1\.0"):
        fit_novelty(features(5, 1), features(5, 2), false_alarms=1.0)


def test_a_detector_survives_its_file(fitted, tmp_path):
    save_novelty(tmp_path / "n.safetensors", fitted)
    again = load_novelty(tmp_path / "n.safetensors", 8)
    np.testing.assert_array_equal(again.score(features(50, 3)), fitted.score(features(50, 3)))
    assert (again.threshold, again.false_alarms) == (fitted.threshold, fitted.false_alarms)
    assert again.most_unusual(features(1, 3)[0]) == fitted.most_unusual(features(1, 3)[0])


def test_files_that_are_no_detector_are_refused(fitted, tmp_path):
    from safetensors.numpy import load_file, save_file

    path = tmp_path / "n.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(BundleError, match="cannot be read as a novelty detector"):
        load_novelty(path, 8)
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(BundleError, match="not a novelty detector over 8 features: 'limits'"):
        load_novelty(path, 8)
    save_novelty(path, fitted)
    with pytest.raises(BundleError, match="not a novelty detector over 9 features: its columns are others"):
        load_novelty(path, 9)
    save_file(load_file(path) | {"knots.1": np.zeros((3, 11))}, path)
    with pytest.raises(BundleError, match="for 4 columns"):
        load_novelty(path, 8)


@pytest.fixture(scope="module")
def detector(dataset_folder):
    dataset = open_dataset(dataset_folder)
    return fit_dataset_novelty(dataset, np.arange(180), np.arange(180, 240))


@pytest.fixture(scope="module")
def bundle(detector, tmp_path_factory):
    torch.manual_seed(0)
    model = Classifier(Scaling([0.0], [0.2]), create_model("resnet1d_wang", 12, 2, width=16)).eval()
    about = {
        "name": "tiny",
        "task": {"name": "superdiagnostic", "kind": "multilabel", "classes": ["A", "B"], "descriptions": {}},
        "spec": SignalSpec().to_dict(),
        "window": {"length": 250, "stride": 125, "aggregate": "mean"},
        "network": {"name": "resnet1d_wang", "options": {"width": 16}, "n_leads": 12, "n_classes": 2, "n_scales": 1},
        "calibration": {"method": "none", "maps": [None, None]},
        "thresholds": {"method": "f1", "values": {"A": 0.5, "B": None}},
        "conformal": None,
        "exclusions": {},
        "provenance": {"dataset": "none"},
    }
    plain = save_bundle(tmp_path_factory.mktemp("bundles") / "tiny", model, about)
    assert plain.novelty is None
    return add_novelty(plain, detector)


def _record(dataset_folder, row=200):
    return Record(open_dataset(dataset_folder).signal(row), 100.0, TWELVE_LEADS, record_id="r")


def test_a_bundle_flags_what_is_unlike_its_training_and_still_judges_it(bundle, dataset_folder):
    rows = range(180, 240)
    flagged = [bool(bundle.predict(_record(dataset_folder, row)).flags) for row in rows]
    assert 0 < sum(flagged) <= 3
    own = _record(dataset_folder, next(row for row, odd in zip(rows, flagged, strict=True) if not odd))
    noise = np.random.default_rng(0).normal(0, 0.3, own.signal.shape).astype(np.float32)
    prediction = bundle.predict(own.with_(signal=noise))
    assert [flag.code for flag in prediction.flags] == ["unlike_training"]
    assert not prediction.refused
    assert len(prediction.findings) == 2
    text = prediction.flags[0].text
    assert text.startswith("unlike the records of training (score ")
    assert text.split("most in ")[1].split(", ")[0] in feature_names(TWELVE_LEADS)


def test_the_detector_travels_with_the_bundle_and_is_guarded(bundle, detector, tmp_path):
    assert bundle.about["novelty"] == {"threshold": detector.threshold, "false_alarms": 0.05}
    assert load_bundle(bundle.path).novelty.threshold == detector.threshold
    copy = tmp_path / "tiny"
    shutil.copytree(bundle.path, copy)
    data = bytearray((copy / NOVELTY_FILE).read_bytes())
    data[-1] ^= 1
    (copy / NOVELTY_FILE).write_bytes(data)
    with pytest.raises(BundleError, match=f"{NOVELTY_FILE}: its checksum differs"):
        load_bundle(copy)
    (copy / NOVELTY_FILE).unlink()
    with pytest.raises(BundleError, match=f"{NOVELTY_FILE}: missing"):
        load_bundle(copy)


def test_fewer_training_records_are_chosen_by_the_seed(dataset_folder):
    dataset = open_dataset(dataset_folder)
    some = [fit_dataset_novelty(dataset, np.arange(180), np.arange(180, 240), most=60, seed=s) for s in (0, 0, 1)]
    np.testing.assert_array_equal(some[0].parts[0].knots, some[1].parts[0].knots)
    assert not np.array_equal(some[0].parts[0].knots, some[2].parts[0].knots)


def test_normal_scores_are_linear_between_knots_and_go_on_with_the_last_slope(fitted):
    part = fitted.parts[0]
    values = np.linspace(part.knots.min() - 1, part.knots.max() + 1, 400)
    features = np.repeat(values[:, None], len(part.knots), axis=1)
    scores = novelty_module._normal_scores(features, part.knots)
    for column, knots in enumerate(part.knots):
        inside = (values >= knots[0]) & (values <= knots[-1])
        wanted = np.interp(values[inside], knots, novelty_module._NORMAL)
        np.testing.assert_allclose(scores[inside, column], wanted, atol=1e-9)
        above = values > knots[-1]
        slope = (novelty_module._NORMAL[-1] - novelty_module._NORMAL[-2]) / (knots[-1] - knots[-2])
        beyond = np.minimum(novelty_module._NORMAL[-1] + slope * (values[above] - knots[-1]), 30.0)
        np.testing.assert_allclose(scores[above, column], beyond, atol=1e-9)
