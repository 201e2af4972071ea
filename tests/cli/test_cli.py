import csv
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from einthoven.corpora.synthetic import example_record


def einthoven(*arguments, cwd=None):
    command = [sys.executable, "-m", "einthoven.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def refused(*arguments, cwd=None):
    """Run a command that must fail with one sentence and exit code 2."""
    done = einthoven(*arguments, cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    return errors[0]


@pytest.fixture(scope="module")
def run_folder(dataset_folder, tmp_path_factory):
    """A small run made through the command line."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.yaml").write_text(
        f"name: small\ndata: {{dataset: {dataset_folder}}}\nmodel: {{options: {{width: 16}}}}\n"
        "training: {epochs: 1, batch_size: 16, threads: 1}\nevaluation: {n_resamples: 120}\n"
    )
    done = einthoven("train", "small.yaml", "training.epochs=2", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "macro AUROC" in done.stdout
    assert "einthoven evaluate runs/small/001 --split test" in done.stdout
    return folder / "runs" / "small" / "001"


@pytest.fixture
def ecg_csv(tmp_path):
    record = example_record("NORM", fs=500)
    path = tmp_path / "mine.csv"
    np.savetxt(path, record.signal.T, delimiter=",", header=",".join(record.leads), comments="", fmt="%.4f")
    return path


def test_prepare_trains_evaluates_and_predicts(corpus_folder, run_folder, tmp_path, ecg_csv):
    done = einthoven("prepare", "ptb-xl", corpus_folder, tmp_path / "d", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert "240 records of" in done.stdout
    assert "12 leads at 100 Hz" in done.stdout
    done = einthoven("evaluate", run_folder, "--split", "test")
    assert done.returncode == 0, done.stderr
    assert "resamples by patient" in done.stdout
    done = einthoven("predict", run_folder, ecg_csv, "--fs", 500)
    assert done.returncode == 0, done.stderr
    assert "threshold" in done.stdout


def test_predictions_as_json_and_csv_agree(run_folder, corpus_folder):
    files = [next(corpus_folder.rglob(name)) for name in ("00007_lr.hea", "00008_lr.dat", "00009_lr.hea")]
    as_json = json.loads(einthoven("predict", run_folder, *files, "--json").stdout)
    rows = list(csv.DictReader(io.StringIO(einthoven("predict", run_folder, *files, "--csv").stdout)))
    assert [result["file"] for result in as_json["results"]] == [str(file) for file in files]
    flat = [f["probability"] for result in as_json["results"] for f in result["findings"]]
    assert [float(row["probability"]) for row in rows] == flat
    assert all(0 <= p <= 1 for p in flat)


def test_files_that_cannot_be_judged_are_named_and_the_others_are_still_judged(run_folder, ecg_csv, tmp_path):
    values = np.loadtxt(ecg_csv, delimiter=",", skiprows=1)
    head = ecg_csv.read_text().splitlines()[0]
    np.savetxt(tmp_path / "volts.csv", values * 1000, delimiter=",", header=head, comments="", fmt="%.3f")
    (tmp_path / "empty.csv").write_text("")
    done = einthoven(
        "predict", run_folder, ecg_csv, tmp_path / "volts.csv", tmp_path / "empty.csv", "--fs", 500, "--unit", "mV"
    )
    assert done.returncode == 2
    assert "REFUSED: amplitudes of" in done.stdout
    assert "mine.csv" in done.stdout
    assert "error: empty.csv: the file is empty" in done.stderr.replace(str(tmp_path) + "/", "")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n".join(",".join("1" * 11) for _ in range(1000)), "11 columns"),
        ("I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,V6\n" + "0,0,0,x,0,0,0,0,0,0,0,0\n" * 9, "'x'"),
        ("I,II,III,aVR,aVL,aVF,V1,V2,V3,V4,V5,Q9\n" + "0,0,0,1,0,0,0,0,0,0,0,0\n" * 9, "Q9"),
    ],
)
def test_bad_csv_files_get_a_sentence(run_folder, tmp_path, content, message):
    (tmp_path / "bad.csv").write_text(content)
    assert message in refused("predict", run_folder, tmp_path / "bad.csv", "--fs", 100)


def test_bad_wfdb_files_get_a_sentence(run_folder, corpus_folder, tmp_path):
    for suffix in (".hea", ".dat"):
        shutil.copy(next(corpus_folder.rglob(f"00003_lr{suffix}")), tmp_path)
    header = tmp_path / "00003_lr.hea"
    os.truncate(tmp_path / "00003_lr.dat", 20_000)
    assert "00003_lr.dat" in refused("predict", run_folder, header)
    (tmp_path / "00003_lr.dat").unlink()
    assert "00003_lr.dat" in refused("predict", run_folder, header)
    (tmp_path / "picture.xyz").write_bytes(bytes(range(256)) * 4)
    assert "picture.xyz" in refused("predict", run_folder, tmp_path / "picture.xyz")
    assert "absent.csv" in refused("predict", run_folder, tmp_path / "absent.csv")


def test_a_header_that_contradicts_its_file_gets_a_sentence(run_folder, corpus_folder, tmp_path):
    for suffix in (".hea", ".dat"):
        shutil.copy(next(corpus_folder.rglob(f"00003_lr{suffix}")), tmp_path)
    header = tmp_path / "00003_lr.hea"
    header.write_text(header.read_text().replace("12 100 1000", "12 100 900"))
    assert "00003_lr" in refused("predict", run_folder, header)


def test_bad_recipes_datasets_models_and_arguments_get_a_sentence(run_folder, dataset_folder, tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text("name: x\ndata: {dataset: nowhere}\ntraining:\n  epoch: 3\n")
    assert "r.yaml:4: unknown key 'training.epoch' (did you mean 'epochs'?)" in refused("train", recipe)
    recipe.write_text("name: x\ndata: {dataset: nowhere}\n")
    assert "nowhere" in refused("train", recipe, cwd=tmp_path)
    recipe.write_text(f"name: x\ndata: {{dataset: {dataset_folder}}}\nmodel: {{name: resnet9}}\n")
    assert "unknown model 'resnet9'" in refused("train", recipe, cwd=tmp_path)
    assert "no training record of class" in refused(
        "train", recipe, "data.folds.train=[1]", "data.task=all", "model.name=resnet1d_wang", cwd=tmp_path
    )
    assert not (tmp_path / "runs").exists()
    assert "this is not a PTB-XL folder" in refused("prepare", "ptb-xl", tmp_path, tmp_path / "d")
    assert "unknown corpus" in refused("prepare", "ptbxl", tmp_path)
    assert "--band '40'" in refused("prepare", "ptb-xl", tmp_path, "--band", "40")
    assert "unknown split 'tets'" in refused("evaluate", run_folder, "--split", "tets")
    assert "pretrained are" in refused("predict", "ptbxl-superdiagnostics", recipe)
    assert "cannot list 'model'" in refused("list", "model")


def test_a_bundle_with_altered_weights_gets_a_sentence(run_folder, ecg_csv, tmp_path):
    shutil.copytree(run_folder / "bundle", tmp_path / "b")
    with (tmp_path / "b" / "model.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\x00\x01\x02")
    assert "its checksum differs from bundle.json" in refused("predict", tmp_path / "b", ecg_csv, "--fs", 500)


def test_synthesize_writes_ptb_xls_layout(tmp_path):
    done = einthoven("synthesize", tmp_path / "s", "--records", 12, "--fs", "100,500")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "s" / "records500").rglob("*.dat"))) == 12
    assert "is not empty" in refused("synthesize", tmp_path / "s", "--records", 12)


@pytest.mark.parametrize(
    ("what", "word"),
    [
        ("models", "resnet1d_wang"),
        ("formats", "WFDB"),
        ("corpora", "ptb-xl"),
        ("tasks", "superdiagnostic"),
        ("augmentations", "lead_dropout"),
        ("pretrained", "12 leads, 2.5 s at 100 Hz; 473,349 parameters; validation macro AUROC 0.9375 ["),
    ],
)
def test_lists(what, word):
    done = einthoven("list", what)
    assert done.returncode == 0, done.stderr
    assert word.lower() in done.stdout.lower()


def test_models_lists_networks_or_the_trained_models():
    listed = einthoven("list", "models").stdout
    assert einthoven("models").stdout == listed
    assert "473,349 parameters (12 leads, 5 classes); options width, stem_stride" in listed
    assert einthoven("models", "--pretrained").stdout == einthoven("list", "pretrained").stdout


def test_the_version_is_printed():
    assert einthoven("--version").stdout.strip().count(".") == 2


@pytest.mark.parametrize(
    ("absent", "arguments", "extra"),
    [
        ("torch", ["list", "models"], "train"),
        ("matplotlib", ["evaluate", "ptbxl-superdiagnostic", "somewhere"], "report"),
        ("jinja2", ["train", "RECIPE"], "report"),
    ],
)
def test_a_missing_extra_is_named(absent, arguments, extra, tmp_path):
    (tmp_path / "r.yaml").write_text("name: x\ndata: {dataset: nowhere}\n")
    arguments = [str(tmp_path / "r.yaml") if a == "RECIPE" else a for a in arguments]
    code = f"import sys; sys.modules[{absent!r}] = None; from einthoven.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert f"pip install 'einthoven[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr
