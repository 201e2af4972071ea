import numpy as np
import pytest

from einthoven.bundle import load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import RecipeError
from einthoven.facts import facts_of_dataset, facts_of_record, resolve_facts
from einthoven.record import Record


def test_sex_is_two_facts_and_each_is_named_once(dataset_folder):
    dataset = open_dataset(dataset_folder)
    assert resolve_facts(("age", "sex", "age"), dataset) == ("age", "female", "male")


def test_facts_of_a_dataset_are_those_of_its_table(dataset_folder):
    dataset = open_dataset(dataset_folder)
    facts = facts_of_dataset(dataset, ("age", "female", "male", "features:nowhere"))
    assert facts.shape == (len(dataset), 4)
    for row in range(0, len(dataset), 7):
        age, sex = dataset.records.age[row], dataset.records.sex[row]
        assert facts[row, 0] == pytest.approx(age) if age is not None else np.isnan(facts[row, 0])
        assert facts[row, 1:3].tolist() == [float(sex == "female"), float(sex == "male")]
    assert np.isnan(facts[:, 3]).all()


def test_facts_of_a_record_are_nan_where_nobody_knows_them():
    record = Record(np.zeros((1, 500), np.float32), 100, ("I",), age=71.0)
    facts, why = facts_of_record(record, ("male", "age", "female", "features:qrs"))
    np.testing.assert_array_equal(facts, np.array([np.nan, 71, np.nan, np.nan], np.float32))
    assert why == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (("agee",), r"unknown fact 'agee' in data.facts \(did you mean 'age'\?\); known are age, sex, measured, feat"),
        (("features:qrs*",), "data.facts has 'features:qrs\\*', but .* has no table of features"),
    ],
)
def test_wrong_facts_are_named(wanted, message, dataset_folder):
    with pytest.raises(RecipeError, match=message):
        resolve_facts(wanted, open_dataset(dataset_folder))


@pytest.fixture(scope="module")
def fused_run(dataset_folder, tmp_path_factory):
    from einthoven import workflow
    from einthoven.training.recipe import parse_recipe

    recipe = parse_recipe(
        f"""
name: fused
data: {{dataset: {dataset_folder}, facts: [age, sex]}}
model: {{name: resnet1d_wang, options: {{width: 16}}, fusion: {{hidden: [8], width: 8, top: [16], dropout: 0.1}}}}
training: {{epochs: 2, batch_size: 16, ema: 0.9, precision: fp32, threads: 1, fact_dropout: 0.2}}
evaluation: {{n_resamples: 100}}
"""
    )
    return workflow.train(recipe, tmp_path_factory.mktemp("runs"))


def test_a_fused_model_judges_bare_files_and_says_what_it_did_not_know(fused_run, corpus_folder):
    from dataclasses import replace

    from einthoven.corpora import open_corpus
    from einthoven.corpora._registry import read_entries

    bundle = load_bundle(fused_run.path)
    assert bundle.facts == ("age", "female", "male")
    (record,) = read_entries(open_corpus("ptb-xl", corpus_folder).entries[:1])
    bare = replace(record, age=None, sex=None)
    known = bundle.predict(replace(record, age=80.0, sex="female"))
    unknown = bundle.predict(bare)
    assert [f.probability for f in known.findings] != [f.probability for f in unknown.findings]
    assert "facts_unknown" not in {flag.code for flag in known.flags}
    (flag,) = (flag for flag in unknown.flags if flag.code == "facts_unknown")
    assert "3 of 3 facts that the model can use are unknown: age, female, male" in flag.text
    assert not unknown.refused


def test_the_torch_and_the_onnx_form_of_a_fused_bundle_agree_on_the_dataset(fused_run, dataset_folder):
    from einthoven.evaluation.predictions import predict_dataset, read_predictions

    dataset, rows = open_dataset(dataset_folder), np.arange(20)
    found = [
        predict_dataset(load_bundle(fused_run.path, backend=backend), dataset, rows, np.zeros((20, 5), np.float32))
        for backend in ("onnx", "torch")
    ]
    np.testing.assert_allclose(found[0].probabilities, found[1].probabilities, atol=1e-4)
    stored = read_predictions(fused_run.path / "predictions-validation.parquet")
    assert len(stored.record_id) > 0


def test_a_run_begins_with_the_weights_of_another(fused_run, dataset_folder, tmp_path):
    from einthoven.training.network import make_model
    from einthoven.training.recipe import load_recipe
    from einthoven.workflow import select_for
    from einthoven.workflow.problem import make_problem

    recipe = load_recipe(fused_run.path / "recipe.yaml", [f"model.weights={fused_run.path}"])
    problem = make_problem(recipe, select_for(recipe, open_dataset(dataset_folder)))
    model = make_model(recipe, problem).eval()
    bundle = load_bundle(fused_run.path, backend="torch")
    x, facts = np.random.default_rng(0).standard_normal((2, 12, 250)).astype(np.float32), problem.facts[:2]
    import torch

    with torch.inference_mode():
        got = model(torch.from_numpy(x), torch.from_numpy(facts)).numpy()
    np.testing.assert_allclose(got, bundle.network(x, facts), atol=1e-5)
    wider = load_recipe(
        fused_run.path / "recipe.yaml", [f"model.weights={fused_run.path}", "model.options={width: 32}"]
    )
    with pytest.raises(RecipeError, match=r"is resnet1d_wang and does not fit, network\..* differs; name the same"):
        make_model(wider, problem)
