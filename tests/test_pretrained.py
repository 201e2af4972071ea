import dataclasses

import pytest

from einthoven import workflow
from einthoven.bundle import load_bundle
from einthoven.corpora import open_corpus
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec


@pytest.mark.real
def test_the_shipped_model_reaches_on_fold_9_what_its_card_says(real_data, tmp_path):
    corpus = open_corpus("ptb-xl", real_data / "ptb-xl")
    fold = dataclasses.replace(corpus, entries=[entry for entry in corpus.entries if entry.fold == 9])
    prepare(fold, tmp_path / "fold9", SignalSpec(), workers=1)
    done = workflow.evaluate(
        "ptbxl-superdiagnostic", tmp_path / "fold9", split="validation", out=tmp_path / "out", n_resamples=0
    )
    stated = load_bundle("ptbxl-superdiagnostic").about["metrics"]["validation"]
    assert done.judgement["n_records"] == stated["n_records"] == 2146
    assert done.judgement["macro"]["auroc"]["value"] == pytest.approx(stated["macro"]["auroc"]["value"], abs=2e-4)
    assert done.judgement["macro"]["auroc"]["value"] > 0.936
    assert done.judgement["per_class"][0]["auroc"]["low"] is None


def test_the_shipped_model_knows_its_folds_and_licence():
    about = load_bundle("ptbxl-superdiagnostic").about
    assert about["provenance"]["folds"] == {
        "split": None,
        "train": [1, 2, 3, 4, 5, 6, 7, 8],
        "validation": [9],
        "test": [10],
    }
    assert "CC BY 4.0" in about["provenance"]["attribution"]
