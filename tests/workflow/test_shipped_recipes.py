"""Every shipped recipe, run once: one epoch of ten batches on data of its own kind."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from einthoven import workflow
from einthoven.bundle import load_bundle
from einthoven.corpora import open_corpus
from einthoven.corpora._registry import read_entries
from einthoven.errors import EinthovenError
from einthoven.files import read_json
from einthoven.labels import load_system, make_task
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec
from einthoven.training.grid import expand
from einthoven.workflow.splitting import make_split

sys.path.insert(0, str(Path(__file__).parents[1] / "corpora"))
from test_cinc import write_record  # one way to write a challenge record

RECIPES = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(path.relative_to(RECIPES) for path in RECIPES.rglob("*.yaml"))
TASKS = ["all", "diagnostic", "form", "rhythm", "subdiagnostic", "superdiagnostic"]


@pytest.mark.parametrize("name", SHIPPED, ids=str)
def test_every_shipped_recipe_reads_and_says_what_it_is_for(name):
    recipes = expand(RECIPES / name)
    assert all(recipe.description for recipe in recipes)
    assert all(recipe.data.dataset.startswith(("datasets/", "demo/")) for recipe in recipes)


def test_the_six_tasks_of_the_benchmark_are_there():
    assert sorted(recipe.data.task for recipe in expand(RECIPES / "ptbxl-tasks.yaml")) == TASKS


@pytest.fixture(scope="module")
def ptbxl(real_data, tmp_path_factory):
    """PTB-XL's folds 1-9 with made-up columns in place of PTB-XL+, which is not at hand."""
    folder, source = tmp_path_factory.mktemp("ptbxl"), real_data / "ptb-xl"
    entries, rng = open_corpus("ptb-xl", source).entries, np.random.default_rng(0)
    (folder / "features").mkdir()
    for name in ("12sl", "ecgdeli", "unig"):
        lines = [f"{entry.record_id},{','.join(f'{v:.3f}' for v in rng.normal(size=3))}" for entry in entries]
        (folder / "features" / f"{name}_features.csv").write_text("\n".join(["ecg_id,a,b,c", *lines]) + "\n")
    prepare(open_corpus("ptb-xl", source, features=str(folder)), folder / "dataset", SignalSpec(), workers=1)
    return folder / "dataset"


@pytest.fixture(scope="module")
def challenge(corpus_folder, tmp_path_factory):
    """Synthetic signals as CinC records of Georgia that have the 17 classes in turn, in five folds."""
    codes = {}
    for code, name in make_task("dl-ecg-17", load_system("snomed").table).class_of.items():
        codes.setdefault(name, code)
    folder, wanted = tmp_path_factory.mktemp("cinc"), list(codes.values())
    for k, record in enumerate(read_entries(open_corpus("ptb-xl", corpus_folder).entries)):
        where = folder / "training" / "georgia" / "g1"
        write_record(where, f"E{k + 1:05d}", fs=100, signal=record.signal, dx=wanted[k % len(wanted)])
    dataset = prepare(
        open_corpus("cinc2021", folder), folder / "dataset", SignalSpec(fs=250, band_hz=(0.5, 50)), workers=1
    )
    make_split(dataset, "kfold", task="dl-ecg-17", ungrouped=True)
    return folder / "dataset"


@pytest.fixture(scope="module")
def beats(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("beats")
    for name, kind, options in (
        ("heartbeats", "heartbeats", {}),
        ("mitdb", "mitdb", {}),
        ("each", "mitdb", {"lead": "each"}),
    ):
        corpus = open_corpus(kind, real_data / "mitdb", **options)
        band = {"band_hz": (0.5, 40)} if kind == "mitdb" else {}
        prepare(corpus, folder / name, replace(corpus.spec, **band), workers=1)
    return folder


def _dataset_of(name, request):
    """The prepared dataset that a shipped recipe is for."""
    if name.stem in ("dl-ecg-classifier", "ecg-multilabel-classifier"):
        return request.getfixturevalue("challenge")
    if beats := {"map583": "heartbeats", "mitdb-aami": "mitdb", "mitdb-heartbeats": "each"}.get(name.stem):
        return request.getfixturevalue("beats") / beats
    if name.stem in ("demo", "synthetic-superdiagnostic"):
        return request.getfixturevalue("dataset_folder")
    return request.getfixturevalue("ptbxl")


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SHIPPED, ids=str)
def test_every_shipped_recipe_trains_and_becomes_a_bundle(name, request, tmp_path):
    dataset = _dataset_of(name, request)
    for recipe in expand(RECIPES / name, [f"data.dataset={dataset}", "training.threads=1"]):
        run = workflow.train(recipe, tmp_path, short=True)
        bundle = load_bundle(run.path)
        judged = read_json(run.path / "metrics.json", EinthovenError, "a run")["validation"]
        assert bundle.about["network"]["name"] == recipe.model.name
        assert np.isfinite(judged["macro"]["auroc"]["value"])
