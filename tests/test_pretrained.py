import dataclasses

import pytest
from safetensors.torch import load_file

from einthoven import workflow
from einthoven.bundle import list_pretrained, load_bundle
from einthoven.corpora import open_corpus
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec

PTBXL = [name for name in list_pretrained() if name.startswith("ptbxl-")]


@pytest.fixture(scope="module")
def fold_9(real_data, tmp_path_factory):
    corpus = open_corpus("ptb-xl", real_data / "ptb-xl")
    fold = dataclasses.replace(corpus, entries=[entry for entry in corpus.entries if entry.fold == 9])
    return prepare(fold, tmp_path_factory.mktemp("fold") / "9", SignalSpec(), workers=1).path


@pytest.mark.real
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == PTBXL[0] else pytest.mark.slow) for name in PTBXL]
)
def test_a_shipped_model_reaches_on_fold_9_what_its_card_says(fold_9, tmp_path, name):
    done = workflow.evaluate(name, fold_9, split="validation", out=tmp_path / "out", n_resamples=0)
    stated = load_bundle(name).about["metrics"]["validation"]
    assert done.judgement["n_records"] == stated["n_records"] > 900
    assert done.judgement["macro"]["auroc"]["value"] == pytest.approx(stated["macro"]["auroc"]["value"], abs=2e-4)
    assert done.judgement["macro"]["auroc"]["value"] > (0.936 if name == PTBXL[0] else 0.86)
    assert done.judgement["per_class"][0]["auroc"]["low"] is None


@pytest.mark.parametrize("name", PTBXL)
def test_shipped_weights_are_numbers_of_16_bits_and_give_the_graphs_answers(name):
    bundle = load_bundle(name, backend="torch")  # compares the graph's answer to the probe with the weights'
    types = {str(each.dtype) for each in load_file(bundle.path / "model.safetensors").values()}
    assert types == {"torch.float16", "torch.int64"}  # counts of batches are whole
    assert "simulated recording faults" in (bundle.path / "README.md").read_text()


def test_the_shipped_model_knows_its_folds_and_licence():
    about = load_bundle("ptbxl-superdiagnostic").about
    assert about["provenance"]["folds"] == {
        "split": None,
        "train": [1, 2, 3, 4, 5, 6, 7, 8],
        "validation": [9],
        "test": [10],
    }
    assert "CC BY 4.0" in about["provenance"]["attribution"]
