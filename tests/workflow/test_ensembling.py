import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from einthoven import workflow
from einthoven.bundle import digest_of, load_bundle
from einthoven.bundling import export_onnx
from einthoven.cli.main import app
from einthoven.dataset import open_dataset
from einthoven.decisions import Plan, Rule, patient_folds
from einthoven.errors import DatasetError, EinthovenError, RecipeError
from einthoven.evaluation.predictions import predict_dataset, read_predictions, write_predictions
from einthoven.metrics import auroc
from einthoven.models.ensemble import WeightedMean
from einthoven.models.fusion import FactScaling
from einthoven.workflow.ensembling import make_ensemble
from einthoven.workflow.members import Members, network_entry
from einthoven.workflow.selection import select_for_bundle
from einthoven.workflow.weighting import learn_weights, weigh

# Weights


def _scores(skill, n=400, seed=0):
    """Targets of three classes, and members that see them through more or less noise."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < 0.3).astype(float)
    return y, np.stack([1 / (1 + np.exp(-(s * y + rng.normal(size=y.shape)))) for s in skill])


def _macro(y, p, weights):
    return auroc(y, np.tensordot(weights, p, axes=1)).mean()


def test_a_member_that_knows_nothing_gets_next_to_no_weight():
    y, p = _scores((2.0, 0.0, 1.5, 0.0))
    weights = learn_weights(y, p)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights[[1, 3]].sum() < 0.1
    assert weights[[0, 2]].min() > 0.2
    assert _macro(y, p, weights) > max(_macro(y, p, np.full(4, 0.25)), *(_macro(y, p, w) for w in np.eye(4)))
    np.testing.assert_array_equal(weights, learn_weights(y, p))


def test_equal_weights_stay_where_nothing_is_better():
    y, p = _scores((1.0,))
    same = np.concatenate([p, p, p])
    np.testing.assert_allclose(learn_weights(y, same), 1 / 3)
    np.testing.assert_allclose(learn_weights(np.zeros_like(y), _scores((1.0, 0.0))[1]), 0.5)  # no class is defined


def _plan(kind="multilabel"):
    return Plan(("a", "b", "c"), kind, "none", Rule("f1"), None, {})


def test_a_record_is_judged_with_weights_and_decisions_of_other_patients_only():
    y, p = _scores((2.0, 0.0), n=300)
    patients = [f"p{k // 2}" for k in range(300)]
    before = weigh(y, p, patients, _plan())
    held = patient_folds(patients, 300) == 0
    altered = np.where(held[:, None], 1 - y, y)
    after = weigh(altered, p, patients, _plan())
    assert not before.kept_equal
    assert not after.kept_equal
    np.testing.assert_array_equal(before.scores[held], after.scores[held])
    np.testing.assert_array_equal(before.decided.present[held], after.decided.present[held])
    assert not np.array_equal(before.scores[~held], after.scores[~held])


def test_learned_weights_that_help_no_other_patient_are_not_kept():
    y, p = _scores((1.0,) * 4, n=100)  # none is better than another, but these few records seem to say so
    found = weigh(y, p, None, _plan())
    assert _macro(y, p, learn_weights(y, p)) > found.equal + 0.001
    assert found.learned < found.equal
    assert found.kept_equal
    np.testing.assert_allclose(found.weights, 1 / 4)
    np.testing.assert_allclose(found.scores, p.mean(axis=0))
    assert found.decided.present.shape == y.shape


# The network


class Fixed(nn.Module):
    """Answers with the same logits whatever it is shown, plus a column of facts where it sees one."""

    def __init__(self, logits, fact_scaling=None):
        super().__init__()
        self.register_buffer("logits", torch.tensor(logits))
        self.fact_scaling = fact_scaling

    def forward(self, x, facts=None):
        extra = 0 if facts is None else torch.nan_to_num(facts)[:, :1]
        return self.logits.expand(len(x), -1) + x.mean(dim=(1, 2))[:, None] * 0 + extra


def test_the_logit_of_the_weighted_mean_of_probabilities():
    a, b, w = [0.3, -2.0, 4.0], [-1.0, 0.5, 3.0], (0.25, 0.75)
    x = torch.zeros(2, 12, 50)
    mean = WeightedMean([Fixed(a), Fixed(b)], w, "multilabel", [[], []])(x)
    want = w[0] * torch.tensor(a).sigmoid() + w[1] * torch.tensor(b).sigmoid()
    torch.testing.assert_close(mean.sigmoid()[1], want)
    mean = WeightedMean([Fixed(a), Fixed(b)], w, "multiclass", [[], []])(x)
    want = w[0] * torch.tensor(a).softmax(0) + w[1] * torch.tensor(b).softmax(0)
    torch.testing.assert_close(mean.softmax(dim=1)[0], want)
    inner = WeightedMean([Fixed(a), Fixed(b)], w, "multilabel", [[], []])
    outer = WeightedMean([inner, Fixed(a)], (0.8, 0.2), "multilabel", [[], []])(x)
    want = 0.8 * (0.25 * torch.tensor(a).sigmoid() + 0.75 * torch.tensor(b).sigmoid()) + 0.2 * torch.tensor(a).sigmoid()
    torch.testing.assert_close(outer.sigmoid()[0], want)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_members_however_sure_give_finite_logits_and_gradients(kind):
    a = Fixed([300.0, -300.0, 80.0])
    a.logits.requires_grad_()
    model = WeightedMean([a, Fixed([300.0, -250.0, -90.0])], (0.5, 0.5), kind, [[], []])
    logits = model(torch.zeros(1, 12, 50))
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    assert torch.isfinite(a.logits.grad).all()
    if kind == "multilabel":
        assert logits[0].tolist() == pytest.approx([300, -250 + np.log(0.5), 0], rel=1e-4, abs=1e-6)


def test_every_member_sees_its_own_facts(tmp_path):
    first = Fixed([0.0, 1.0], FactScaling([50.0], [10.0]))
    second = Fixed([1.0, 0.0], FactScaling([2.0, 3.0], [1.0, 1.0]))
    model = WeightedMean([first, Fixed([0.5, 0.5]), second], (0.5, 0.25, 0.25), "multilabel", [[0], [], [2, 1]]).eval()
    assert model.n_facts == 3
    assert model.fact_scaling.mean.tolist() == [50, 3, 2]
    x, facts = torch.zeros(2, 12, 50), torch.tensor([[1.0, 2.0, 3.0], [torch.nan, 0.0, -1.0]])
    want = (0.5 * first(x, facts[:, [0]]).sigmoid()) + 0.25 * torch.tensor([0.5, 0.5]).sigmoid()
    want = want + 0.25 * second(x, facts[:, [2, 1]]).sigmoid()
    torch.testing.assert_close(model(x, facts).sigmoid(), want)
    export_onnx(model, x.numpy(), tmp_path / "m.onnx", facts.numpy())
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    feed = dict(zip((entry.name for entry in session.get_inputs()), (x.numpy(), facts.numpy()), strict=True))
    np.testing.assert_allclose(session.run(None, feed)[0], model(x, facts).numpy(), atol=1e-5)


@pytest.mark.parametrize("weights", [(0.5, 0.6), (1.0, 0.0), (1.0,)])
def test_weights_that_are_no_mean_are_a_defect(weights):
    with pytest.raises(ValueError, match="need as many weights above 0 with sum 1"):
        WeightedMean([Fixed([0.0]), Fixed([0.0])], weights, "multilabel", [[], []])


# The bundle


def test_members_without_weight_are_left_out_of_the_network_and_facts_are_united():
    def member(name, facts, n_parameters):
        network = {"name": name, "n_leads": 12, "n_classes": 3, "n_parameters": n_parameters}
        return SimpleNamespace(about={"network": network}, facts=facts, kind="multilabel")

    bundles = {
        "a": member("fcn_wang", ("age",), 10),
        "b": member("lstm", ("female", "male"), 20),
        "c": member("fcn_wang", ("female", "male", "age"), 30),
        "d": member("fcn_wang", (), 40),
    }
    entry, facts = network_entry(Members(bundles, None, None), np.array([0.5, 0.0, 0.25, 0.25]))
    assert facts == ["age", "female", "male"]
    assert entry["columns"] == [[0], [1, 2, 0], []]
    assert entry["weights"] == [0.5, 0.25, 0.25]
    assert entry["n_parameters"] == 80
    assert entry["name"] == "weighted mean of 3 fcn_wang"
    assert network_entry(Members(bundles, None, None), np.full(4, 0.25))[0]["name"] == (
        "weighted mean of 3 fcn_wang + lstm"
    )


@pytest.fixture(scope="module")
def places(dataset_folder, tmp_path_factory, tiny, bundled):
    """A run, and a bundle of the same shape that lies outside of its run."""
    folder = tmp_path_factory.mktemp("members")
    run, other = (bundled(tiny(dataset_folder, f"seed={seed}"), folder / f"runs-{seed}") for seed in (0, 7))
    shutil.copytree(other.bundle, folder / "blank")
    return [str(run.path), str(folder / "blank")]


@pytest.fixture(scope="module")
def made(places, tmp_path_factory):
    """Their ensemble, made from the command line."""
    out = tmp_path_factory.mktemp("ensemble") / "both"
    done = CliRunner().invoke(app, ["ensemble", *places, "--out", str(out)])
    assert done.exit_code == 0, done.output
    return out, done.output


def _judgement(out):
    return json.loads((out / "metrics.json").read_text())["validation"]


def test_the_ensemble_is_one_bundle_that_answers_the_weighted_mean_of_its_members(made, places, dataset_folder):
    out, printed = made
    bundle, members = load_bundle(out), [load_bundle(place) for place in places]
    network = bundle.about["network"]
    weights = [row["weight"] for row in bundle.about["provenance"]["members"]]
    assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert f"{weights[0]:.3f}  tiny-001" in printed
    assert network["n_parameters"] == sum(
        m.about["network"]["n_parameters"] for m, w in zip(members, weights, strict=True) if w
    )
    x = np.random.default_rng(0).normal(size=(5, 12, 250)).astype(np.float32)
    mean = sum(w * member.scores(x) for w, member in zip(weights, members, strict=True))
    for backend in ("onnx", "torch"):
        np.testing.assert_allclose(load_bundle(out, backend=backend).scores(x), mean, atol=1e-4)
    assert bundle.novelty is not None
    assert (bundle.path / "model.onnx").is_file()
    dataset = open_dataset(dataset_folder)
    rows = select_for_bundle(bundle, dataset).rows["test"]
    assert predict_dataset(bundle, dataset, rows, np.zeros((len(rows), 5), np.float32)).probabilities.shape[1] == 5


def test_provenance_names_members_seeds_hashes_and_weights(made, places):
    bundle, members = load_bundle(made[0]), [load_bundle(place) for place in places]
    told = bundle.about["provenance"]["members"]
    assert [row["name"] for row in told] == ["tiny-001", "blank"]
    assert [row["seed"] for row in told] == [0, 7]
    assert [row["files"] for row in told] == [dict(m.about["files"]) for m in members]
    assert "ensemble:\n- name: tiny-001" in bundle.about["provenance"]["recipe"]
    card = (bundle.path / "README.md").read_text()
    assert "weighted mean of" in card
    assert "Figures on the validation split" in card


def test_it_is_judged_by_cross_fitting_and_keeps_the_full_fit(made):
    bundle, judgement = load_bundle(made[0]), _judgement(made[0])
    assert "5-fold cross-fitting, grouped by patient" in judgement["decisions"]
    assert [row["name"] for row in judgement["ensemble"]["members"]] == ["tiny-001", "blank"]
    assert judgement["judged"]["weights"] == bundle.about["files"]["model.safetensors"]
    assert bundle.about["calibration"]["method"] == "platt"
    assert any(limit is not None for limit in bundle.thresholds.values())
    assert bundle.about["metrics"]["validation"]["macro"] == judgement["macro"]
    assert "The members of the ensemble" in (made[0] / "report.html").read_text()
    # What is judged are scores by weights of other patients; the bundle's own are those of all.
    stored = read_predictions(made[0] / "predictions-validation.parquet")
    assert np.isfinite(stored.probabilities).all()
    assert judgement["macro"]["auroc"]["value"] == pytest.approx(
        np.nanmean(auroc(stored.targets, stored.probabilities)), abs=1e-9
    )


def test_it_is_evaluated_and_compared_like_any_model(made, places, dataset_folder, tmp_path):
    done = workflow.evaluate(made[0], dataset_folder, split="test", out=tmp_path / "test", n_resamples=0)
    assert done.judgement["decisions"] == "thresholds come with the bundle"
    assert done.judgement["judged"]["weights"] == load_bundle(made[0]).about["files"]["model.safetensors"]
    member, dataset = load_bundle(places[0]), open_dataset(dataset_folder)
    selected = select_for_bundle(member, dataset)
    rows = selected.rows["validation"]
    write_predictions(tmp_path / "member.parquet", predict_dataset(member, dataset, rows, selected.targets[rows]))
    (pair,) = workflow.compare([made[0], tmp_path / "member.parquet"], n_resamples=200)["pairs"]
    assert pair["difference"]["value"] is not None


def test_other_folders_are_left_alone(places, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "thesis.tex").write_text("years of work")
    with pytest.raises(EinthovenError, match="holds something else than an ensemble; name another folder with --out"):
        make_ensemble(places, tmp_path / "x")


def _altered(place, folder, change):
    """A copy of a bundle whose ``bundle.json`` says something else."""
    shutil.copytree(load_bundle(place).path, folder)
    about = json.loads((folder / "bundle.json").read_text())
    del about["sha256"]
    change(about)
    (folder / "bundle.json").write_text(json.dumps({**about, "sha256": digest_of(about)}))
    return str(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a["window"].update(stride=100), "differ in stride in samples: 100 and 125"),
        (lambda a: a["window"].update(length=500), "differ in window in samples: 500 and 250"),
        (lambda a: a["task"].update(name="rhythm"), "differ in task: rhythm and superdiagnostic"),
        (lambda a: a["spec"].update(fs=500.0), "differ in sampling rate in Hz: 500.0 and 100.0"),
        (lambda a: a["provenance"].update(listing_sha256="0"), "differ in listing of the dataset: 0 and"),
        (lambda a: a["provenance"]["folds"].update(validation=[8]), r"differ in validation folds: \[8\] and \[6, 7"),
    ],
)
def test_members_that_differ_are_refused_and_the_difference_named(places, tmp_path, change, said):
    with pytest.raises(RecipeError, match=f"odd and tiny-001 {said}"):
        make_ensemble([places[0], _altered(places[1], tmp_path / "odd", change)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_makes_no_ensemble_is_named(places, dataset_folder, tmp_path):
    with pytest.raises(RecipeError, match="two models or more, got 1"):
        make_ensemble(places[:1])
    shutil.copytree(places[1], tmp_path / "twin")
    with pytest.raises(RecipeError, match="twin and blank have the same weights"):
        make_ensemble([places[1], tmp_path / "twin"])
    odd = _altered(places[0], tmp_path / "odd", lambda a: None)
    with pytest.raises(DatasetError, match="none of these models is a run, so name the prepared dataset"):
        make_ensemble([places[1], odd])
    loudest = [
        _altered(place, tmp_path / f"max{k}", lambda a: a["window"].update(aggregate="max"))
        for k, place in enumerate(places)
    ]
    with pytest.raises(RecipeError, match="takes the max over windows; the members of an ensemble take the mean"):
        make_ensemble(loudest, dataset_path=dataset_folder)
    strangers = [
        _altered(place, tmp_path / f"far{k}", lambda a: a["provenance"].update(listing_sha256="0"))
        for k, place in enumerate(places)
    ]
    with pytest.raises(DatasetError, match="not the dataset that these models were trained on"):
        make_ensemble(strangers, dataset_path=dataset_folder)
