import json
import shutil
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from typer.testing import CliRunner

from einthoven import workflow
from einthoven.bundle import load_bundle
from einthoven.cli.main import app
from einthoven.edge.artefacts import install
from einthoven.edge.formats import Options
from einthoven.edge.onnx import make
from einthoven.errors import BundleError, EinthovenError
from einthoven.evaluation.predictions import read_predictions
from einthoven.workflow import several

NAME = "ptbxl-superdiagnostic"


@contextmanager
def _unreported():
    """Plots and report take longer than the judgement; one test below reads them."""
    writing = sys.modules["einthoven.workflow.writing"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writing, "save_figure", lambda figure, path, **_: None)
        patch.setattr(writing, "write_report", lambda path, **_: path.write_text("the run's own"))
        yield


@pytest.fixture(scope="module")
def judged(tiny, bundled, dataset_folder, tmp_path_factory):
    """A judged run whose bundle has an artefact with another answer: dynamic int8."""
    folder = tmp_path_factory.mktemp("backend")
    run = bundled(tiny(dataset_folder), folder / "runs")
    (run.path / "environment.json").write_text(json.dumps({"command": "einthoven train tiny.yaml"}))
    with _unreported():
        workflow.evaluate(run.path, split="validation", n_resamples=0)
    bundle = load_bundle(run.path)
    install(bundle, "int8-dynamic", folder, make("int8-dynamic", bundle, folder, None, Options()), None)
    return run


@pytest.fixture
def run(judged, tmp_path):
    return type(judged)(shutil.copytree(judged.path, tmp_path / "tiny" / "001"))


def _state(folder):
    """Every file of the run's own judgement and its bundle."""
    files = [*folder.glob("*.*"), *(folder / "plots").glob("*"), *(folder / "bundle").glob("*")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files if file.is_file()}


def test_a_backends_judgement_has_a_folder_of_its_own_and_leaves_run_and_bundle_as_they_are(run):
    before = _state(run.path)
    done = workflow.evaluate(run.path, split="validation", backend="int8-dynamic", n_resamples=0)
    assert done.folder == run.path / "evaluation-int8-dynamic"
    assert _state(run.path) == before
    own, reference = (read_predictions(folder / "predictions-validation.parquet") for folder in (done.folder, run.path))
    assert not np.array_equal(own.probabilities, reference.probabilities)
    np.testing.assert_allclose(own.probabilities, reference.probabilities, atol=0.2)
    np.testing.assert_array_equal(own.targets, reference.targets)
    metrics = json.loads((done.folder / "metrics.json").read_text())["validation"]
    assert metrics["judged"]["backend"] == "int8-dynamic"
    report = (done.folder / "report.html").read_text()
    assert f"einthoven evaluate {run.path} --split validation --backend int8-dynamic" in report


def test_a_backends_judgement_does_not_replace_the_runs(run):
    before = _state(run.path)
    with pytest.raises(EinthovenError, match="holds the judgement of something else"):
        workflow.evaluate(run.path, split="validation", backend="torch", out=run.path, n_resamples=0)
    assert _state(run.path) == before


@pytest.mark.slow
def test_models_on_a_named_dataset_get_folders_with_the_backend(run, dataset_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with _unreported():
        done = workflow.evaluate(run.path, dataset_folder, split="validation", backend="torch", n_resamples=0)
    assert done.folder.name == "evaluation-tiny-torch-on-synthetic"
    own = load_bundle(run.path).about["metrics"]["validation"]["macro"]["auroc"]["value"]
    assert done.judgement["macro"]["auroc"]["value"] == pytest.approx(own, abs=1e-3)  # torch and ONNX Runtime agree


def test_several_models_get_folders_with_the_backend(run, dataset_folder, monkeypatch):
    folders = []
    monkeypatch.setattr(several, "evaluate", lambda where, dataset, out, **options: folders.append(str(out)))
    several.evaluate_several([str(run.path), NAME], dataset_folder, backend="torch")
    assert folders == [f"evaluation-{name}-torch-on-synthetic" for name in ("tiny-001", NAME)]


def test_what_no_backend_can_mean_gets_a_sentence(run):
    with pytest.raises(BundleError, match="no backend 'int8'.*this bundle has onnx, torch, int8-dynamic"):
        workflow.evaluate(run.path, split="validation", backend="int8", n_resamples=0)
    both = CliRunner().invoke(app, ["evaluate", str(run.path), NAME, "--ensemble", "--backend", "onnx"])
    assert "--ensemble judges the models as they are; leave --backend out" in str(both.exception)
    files = CliRunner().invoke(app, ["evaluate", "--predictions", "mine.csv", "--backend", "onnx"])
    assert "--backend is about models; leave it out with --predictions" in str(files.exception)
