"""Do attributions sum to what the score gained, and is the score that of the bundle?"""

import dataclasses
import json

import numpy as np
import pytest
import torch

from einthoven.bundle import to_probabilities
from einthoven.corpora.synthetic import example_record
from einthoven.errors import BundleError, EinthovenError, MissingExtraError, RecordError
from einthoven.explain import (
    METHODS,
    Settings,
    default_classes,
    explain,
    explaining,
    open_model,
    open_subject,
    synthetic_background,
)
from einthoven.explain.catalogue import LOGIT
from einthoven.explain.deeplift import deeplift
from einthoven.explain.explaining import explain_subject
from einthoven.explain.subject import RecordScore, log_odds
from einthoven.explain.wording import describe, sum_sentence
from einthoven.models import Classifier, FactScaling, FusedNetwork, Scaling, create_model
from einthoven.models.ensemble import WeightedMean
from einthoven.signals import aggregate, windows

QUICK = Settings(steps=8, n_background=2, tolerance=0.3)


def small(name="fcn_wang", seed=0, **options):
    """An untrained network that is not symmetric in anything."""
    torch.manual_seed(seed)
    network = create_model(name, 12, 5, **options)
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, 0, 0.2)
    return Classifier(Scaling([0.0], [0.25]), network).eval().requires_grad_(False)


def like(subject, model, **changes):
    """The same record judged by another network, with a bundle that differs where it is said."""
    bundle = dataclasses.replace(subject.bundle, **changes)
    facts = subject.facts if len(subject.facts) else None
    score = RecordScore(model, bundle, subject.x.shape[1], facts).eval()
    return dataclasses.replace(subject, bundle=bundle, score=score)


@pytest.mark.parametrize("seconds", [10, 7.3, 2.2])
def test_what_is_explained_is_the_score_that_the_bundle_gives(bundle, model, block, seconds):
    record = block.with_(signal=block.signal[:, : round(seconds * block.fs)])
    subject = open_subject(bundle, record, model)
    cut, _, _ = windows(subject.record.signal, bundle.window, bundle.stride)
    wanted = aggregate(bundle.scores(cut), np.array([0]), bundle.how)[0]
    np.testing.assert_allclose(torch.sigmoid(subject.score(subject.x[None])[0]), wanted, atol=1e-5)


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_log_odds_of_windows_are_those_of_their_aggregated_probabilities(how, kind, rng):
    z = rng.normal(0, 3, (2, 4, 5)).astype(np.float32)
    found = log_odds(torch.from_numpy(z), how, kind).numpy()
    p = aggregate(to_probabilities(z.reshape(8, 5), kind), np.array([0, 4]), how)
    np.testing.assert_allclose(found, np.log(p / (1 - p)), rtol=1e-4, atol=1e-5)


def test_log_odds_of_logits_that_no_double_can_exponentiate_stay_finite():
    found = log_odds(torch.tensor([[[900.0, -900.0]], [[-900.0, 0.0]]]), "mean", "multilabel")
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("method", ["ig", "deeplift", "eg"])
def test_complete_methods_sum_to_what_the_score_gained(subject, method):
    settings = Settings(steps=METHODS[method].steps, n_background=3)
    found = explain_subject(subject, method=method, classes=["CD"], settings=settings)
    gain = found.scores[0] - found.reference[0]
    assert abs(gain) > 2
    assert abs(found.attribution.sum(dtype=np.float64) - gain) < (1e-3 if method == "deeplift" else 0.05 * abs(gain))
    assert found.contributions.sum() == pytest.approx(gain + found.gap[0], abs=1e-4)
    assert found.importance.sum() == pytest.approx(1)


def test_the_reference_of_a_background_is_the_mean_score_of_its_records(subject, bundle):
    found = explain_subject(subject, method="deeplift", classes=["MI"], settings=Settings(n_background=3, seed=4))
    background = torch.from_numpy(synthetic_background(bundle, 1000, 3, 4).copy())
    assert found.reference[0] == pytest.approx(float(subject.score(background).mean(dim=0)[2]), abs=1e-4)
    assert found.compared_with == "3 synthetic ECGs of seed 4"


@pytest.mark.parametrize("method", METHODS)
def test_a_linear_network_is_explained_exactly_by_every_method_that_speaks_of_leads(subject, method):
    """Weights of one lead only: nothing else may get anything."""

    class Linear(torch.nn.Module):
        def forward(self, x, facts=None):
            return torch.stack([x[:, 6].mean(dim=1)] * 5, dim=1)

    one = like(subject, Linear())
    if not METHODS[method].by_lead or method == "deeplift":
        return  # those need a Network
    found = explain_subject(one, method=method, classes=["CD"], settings=Settings(steps=8, n_background=2))
    others = np.delete(found.contributions[0], 6)
    assert abs(found.contributions[0, 6]) > 1e-3
    np.testing.assert_allclose(others, 0, atol=1e-6)


def test_occluding_a_lead_is_taking_it_out_by_hand(subject):
    found = explain_subject(subject, method="occlusion-leads", classes=["CD"])
    less = subject.x.clone()
    less[6] = 0
    wanted = float((subject.score(subject.x[None]) - subject.score(less[None]))[0, 0])
    assert found.contributions[0, 6] == pytest.approx(wanted, abs=1e-4)
    assert np.ptp(found.attribution[0, 6]) == 0
    assert found.wave_shares("CD") == ()


def test_occluded_waves_are_the_same_in_all_their_samples(subject):
    pytest.importorskip("neurokit2")
    found = explain_subject(subject, method="occlusion-waves", classes=["CD"])
    for wave in np.unique(found.waves.labels):
        inside = found.attribution[0][:, found.waves.labels == wave]
        np.testing.assert_allclose(inside, inside[:, :1].repeat(inside.shape[1], axis=1), atol=1e-9)
    qrs = next(share for share in found.wave_shares("CD") if share.wave == "QRS")
    assert qrs.ratio > 2


def test_grad_cam_is_the_same_for_all_leads_and_between_0_and_1(subject):
    found = explain_subject(subject, method="gradcam", classes=["CD"])
    assert np.ptp(found.attribution[0], axis=0).max() == 0
    assert (found.attribution.min(), found.attribution.max()) == (pytest.approx(0, abs=0.5), pytest.approx(1))
    assert found.attribution.min() >= 0
    assert found.unit != LOGIT
    assert np.isnan(found.gap).all()
    assert any("the same for all" in note for note in found.notes)
    assert "compared with nothing" not in f"compared with {found.compared_with}"
    assert "promise" not in sum_sentence(found, "CD")
    assert "relative" in sum_sentence(found, "CD")


def test_grad_cam_of_a_network_without_convolution_is_an_error_with_its_reason(subject):
    for name, options in (("lstm", {"hidden": 8}), ("s4d_small", {"width": 8, "depth": 1})):
        one = like(subject, small(name, **options))
        with pytest.raises(BundleError, match="needs a convolutional network"):
            explain_subject(one, method="gradcam", classes=["CD"])


@pytest.mark.parametrize("name", ["fcn_wang", "resnet1d_wang", "xresnet1d18", "inception1d", "ecgcnn_resnet"])
def test_deeplift_is_exact_on_networks_of_convolutions_and_relus(name, subject, bundle):
    one = like(subject, small(name))
    background = torch.from_numpy(synthetic_background(bundle, 1000, 2, 1).copy())
    found = deeplift(one.score, one.x, background, 3)
    gain = float((one.score(one.x[None]) - one.score(background).mean(dim=0))[0, 3])
    assert float(found.sum(dtype=torch.float64)) == pytest.approx(gain, abs=2e-4 + 1e-4 * abs(gain))


def test_deeplift_where_it_does_not_hold_is_an_error_with_its_reason(subject):
    gated = like(subject, small("convnext1d"))
    with pytest.raises(BundleError, match=r"sum to .*the rule does not hold for this network's layers"):
        explain_subject(gated, method="deeplift", classes=["CD"], settings=Settings(n_background=2, least=1e-3))
    with pytest.raises(BundleError, match="cannot follow this network's layers"):
        explain_subject(like(subject, small("s4d_small", width=8, depth=1)), method="deeplift", classes=["CD"])


def test_an_ensemble_is_explained_through_its_mean(subject):
    both = WeightedMean([small(seed=1, width=8), small(seed=2, width=8)], [0.25, 0.75], "multilabel", [[], []])
    one = like(subject, both.eval())
    found = explain_subject(one, classes=["CD", "MI"], settings=Settings(steps=30))
    np.testing.assert_allclose(found.attribution.sum(axis=(1, 2)), found.scores - found.reference, atol=0.05)
    with pytest.raises(BundleError, match="ensemble"):
        explain_subject(one, method="deeplift", classes=["CD"], settings=QUICK)


def test_an_ensemble_of_one_network_twice_is_explained_as_that_network(subject, model):
    twice = like(subject, WeightedMean([model, model], [0.5, 0.5], "multilabel", [[], []]).eval())
    for method in ("gradcam", "occlusion-leads"):
        alone, together = (explain_subject(each, method=method, classes=["CD"]) for each in (subject, twice))
        np.testing.assert_allclose(together.attribution, alone.attribution, atol=1e-5)


def test_facts_are_held_fixed_and_get_what_they_added(subject):
    names = ("age", "female", "male", "measured:x")
    torch.manual_seed(0)
    fused = FusedNetwork(create_model("fcn_wang", 12, 5, width=8), 4)
    model = Classifier(Scaling([0.0], [0.25]), fused, FactScaling([50.0, 0.5, 0.5, 0.0], [10.0, 0.5, 0.5, 1.0]))
    facts = np.array([70, 1, 0, np.nan], np.float32)
    one = like(dataclasses.replace(subject, facts=facts), model.eval().requires_grad_(False), facts=names)
    found = explain_subject(one, classes=["CD"], settings=Settings(steps=20))
    assert set(found.facts) == {"age", "sex"}
    x = one.score.cut(one.x[None])
    unknown = torch.tensor([[np.nan, 1, 0, np.nan]]).expand(len(x), -1)
    other = log_odds(model(x, unknown)[None], one.bundle.how, "multilabel")
    assert found.facts["age"][0] == pytest.approx(float((one.score(one.x[None]) - other)[0, 0]), abs=1e-5)
    assert any("held fixed" in note for note in found.notes)


def test_what_was_not_recorded_gets_nothing(bundle, model, block):
    signal = block.signal.copy()
    signal[3, 1000:1400] = np.nan
    found = explain(
        bundle, block.with_(signal=signal), classes=["CD"], model=model, settings=Settings(steps=10, tolerance=0.3)
    )
    assert not found.attribution[0, 3, 200:280].any()
    assert np.isfinite(found.attribution).all()


def test_windows_that_are_computed_again_give_the_same_gradient(subject, monkeypatch):
    gradients = []
    for at_once in (128, 3):
        monkeypatch.setattr("einthoven.explain.subject.AT_ONCE", at_once)
        x = subject.x[None].clone().requires_grad_()
        gradients.append(torch.autograd.grad(subject.score(x)[0, 0], x)[0])
    torch.testing.assert_close(*gradients)


def test_the_same_seed_gives_the_same_numbers_and_another_background_others(subject):
    ways = [Settings(n_background=2, seed=seed) for seed in (3, 3, 4)]
    first, again, other = (
        explain_subject(subject, method="deeplift", classes=["CD"], settings=way).attribution for way in ways
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_by_default_the_findings_are_explained_and_otherwise_the_likeliest_class(subject):
    assert default_classes(subject.prediction) == tuple(f.name for f in subject.prediction.findings if f.present)
    none = tuple(dataclasses.replace(f, present=False) for f in subject.prediction.findings)
    likeliest = max(none, key=lambda f: f.probability).name
    assert default_classes(dataclasses.replace(subject.prediction, findings=none)) == (likeliest,)
    quiet = dataclasses.replace(subject, prediction=dataclasses.replace(subject.prediction, findings=none))
    found = explain_subject(quiet, method="occlusion-leads")
    assert any("not the same as a normal ECG" in note for note in found.notes)


def test_everything_is_plain_in_json_and_says_what_it_is_not(subject):
    found = explain_subject(subject, method="gradcam", classes=["CD", "NORM"]).to_dict()
    text = json.dumps(found, allow_nan=False)
    assert "Not a medical device" in text
    assert [each["class"] for each in found["classes"]] == ["CD", "NORM"]


def test_bad_input_is_one_sentence(bundle, model, block, subject, tmp_path):
    with pytest.raises(EinthovenError, match="unknown method 'igg' .did you mean 'ig'"):
        explain(bundle, block, method="igg")
    with pytest.raises(EinthovenError, match="knows no class 'NORN' .did you mean 'NORM'"):
        explain(bundle, block, classes=["NORN"])
    with pytest.raises(RecordError, match="refuses it"):
        explain(bundle, block.with_(signal=block.signal[:, :200]), model=model)
    with pytest.raises(EinthovenError, match=r"the background has the shape \(2, 12, 5\)"):
        explain_subject(subject, method="eg", background=np.zeros((2, 12, 5), np.float32))
    with pytest.raises(BundleError, match=r"no model\.safetensors"):
        open_model(dataclasses.replace(bundle, path=tmp_path))
    noise = np.random.default_rng(0).normal(0, 0.2, (12, 5000)).astype(np.float32)
    with pytest.raises(RecordError, match="no beats are clear"):
        explain(bundle, block.with_(signal=noise), method="occlusion-waves", classes=["CD"], model=model)


def test_a_sum_that_does_not_come_out_is_an_error_and_never_a_picture(subject):
    with pytest.raises(RecordError, match=r"sum to .* take more steps"):
        explain_subject(subject, classes=["CD"], settings=Settings(steps=2, tolerance=1e-9, least=1e-9))


def test_models_that_no_synthetic_ecg_fits_say_so(bundle):
    beats = dataclasses.replace(bundle, about={**bundle.about, "provenance": {"record_s": 0.8}})
    with pytest.raises(EinthovenError, match="judges single beats"):
        synthetic_background(beats, 80)
    strange = dataclasses.replace(bundle, spec=dataclasses.replace(bundle.spec, leads=("MLII",)))
    with pytest.raises(EinthovenError, match="no synthetic background"):
        synthetic_background(strange, 1000)


def test_a_background_has_the_length_of_the_record_and_is_no_single_patient(bundle):
    background = synthetic_background(bundle, 1500, 3, 1)
    assert background.shape == (3, 12, 1500)
    assert len({record.tobytes() for record in background}) == 3
    np.testing.assert_array_equal(background, synthetic_background(bundle, 1500, 3, 1))


def test_a_normal_ecg_is_explained_in_words_that_are_no_finding(bundle, model):
    found = explain(bundle, example_record("NORM", seed=1), classes=["NORM"], model=model, method="occlusion-leads")
    first = describe(found, "NORM")[0]
    assert "found" not in first.split(", ", 1)[1]
    assert "normal" in first


@pytest.fixture(scope="module")
def explained(subject):
    return explain_subject(subject, method="gradcam")


def test_why_there_are_no_waves_is_told(explained, subject, monkeypatch):
    pytest.importorskip("neurokit2")
    assert not any("waves: none" in line for line in describe(explained, explained.classes[0]))
    monkeypatch.setattr(explaining, "label_waves", lambda record: None)
    found = explain_subject(subject, method="gradcam")
    assert "waves: none, for no beats are clear in this record" in describe(found, found.classes[0])

    def absent(record):
        raise MissingExtraError("delineation", "features")

    monkeypatch.setattr(explaining, "label_waves", absent)
    found = explain_subject(subject, method="gradcam")
    assert "waves: none, for NeuroKit is not installed" in describe(found, found.classes[0])


def test_a_present_class_with_a_score_below_zero_is_wondered_at_in_one_sentence(explained):
    found, name = explained, explained.classes[0]

    def with_score(score, **changes):
        findings = [dataclasses.replace(each, **changes) for each in found.prediction.findings]
        prediction = dataclasses.replace(found.prediction, findings=tuple(findings))
        return dataclasses.replace(found, scores=np.full_like(found.scores, score), prediction=prediction)

    said = describe(with_score(-0.4, present=True, threshold=0.31), name)
    wonder = f"a score below 0 log-odds is a probability below 0.5; {name} is present all the same, for it is"
    assert f"{wonder} reported from a probability of 0.31" in said
    assert f"{wonder} the likeliest class" in describe(with_score(-0.4, present=True, threshold=None), name)
    for ordinary in (with_score(0.4, present=True), with_score(-0.4, present=False)):
        assert not any("all the same" in line for line in describe(ordinary, name))


def test_what_is_undecided_is_not_called_absent(explained):
    found = explained
    findings = [dataclasses.replace(each, present=False, sure="undecided") for each in found.prediction.findings]
    unsure = dataclasses.replace(found, prediction=dataclasses.replace(found.prediction, findings=tuple(findings)))
    assert ": undecided, probability" in describe(unsure, found.classes[0])[0]


def test_the_sum_and_the_difference_that_it_explains_are_said(subject):
    found = explain_subject(subject, method="deeplift", classes=["CD"], settings=Settings(n_background=2))
    said = sum_sentence(found, "CD")
    for value in (found.attribution.sum(dtype=np.float64), found.reference[0], found.scores[0]):
        assert f"{value:+.2f}" in said
    assert "2 synthetic ECGs" in said
    one = found.to_dict()["classes"][0]
    assert one["sum"] == pytest.approx(found.scores[0] - found.reference[0], abs=1e-3)
    assert one["sum_in_words"] == said


def test_a_conduction_disturbance_says_whether_it_lies_in_the_qrs_complex_and_what_that_does_not_show(subject):
    pytest.importorskip("neurokit2")
    found = explain_subject(subject, method="deeplift", classes=["CD", "STTC"], settings=Settings(n_background=2))
    cd, sttc = found.to_dict()["classes"]
    assert sttc["qrs"] is None
    qrs = next(row for row in cd["waves"] if row["wave"] == "QRS")
    assert cd["qrs"]["ratio"] == pytest.approx(qrs["ratio"], abs=1e-5)
    assert cd["qrs"]["met"] == (qrs["ratio"] >= 1.5)
    assert cd["qrs"]["sentence"] in describe(found, "CD")
    blind = dataclasses.replace(found, waves=None)
    assert blind.qrs_check("CD")["met"] is None
    outside = dataclasses.replace(found, attribution=np.where(found.waves.labels == 2, 0, 1 + 0 * found.attribution))
    assert outside.qrs_check("CD")["met"] is False
    assert "below the 1.5" in outside.qrs_check("CD")["sentence"]


def test_beats_left_out_and_a_large_rest_are_said(subject):
    pytest.importorskip("neurokit2")
    found = explain_subject(subject, method="occlusion-waves", classes=["CD"])
    n = len(found.waves.peaks)
    assert found.rest_warning("CD") == ""
    assert f"delineated in {n} of {n} beats" in " ".join(describe(found, "CD"))
    some = found.waves.delineated.copy()
    some[:3] = False
    waves = dataclasses.replace(found.waves, delineated=some, absent=("P",))
    rest = np.where(found.waves.labels == 0, 1.0, 0.01).astype(np.float32)
    poor = dataclasses.replace(found, waves=waves, attribution=np.broadcast_to(rest, found.attribution.shape))
    text = " ".join(describe(poor, "CD"))
    assert f"delineated in {n - 3} of {n} beats; 3 of another shape were left out and count as rest" in text
    assert "no clear P" in text
    assert "more than a half, lies outside P, QRS and ST-T" in text
    told = poor.to_dict()
    assert told["beats"] == {"delineated": n - 3, "left_out": 3, "absent_waves": ["P"]}
    assert "more than a half" in told["classes"][0]["rest_warning"]
