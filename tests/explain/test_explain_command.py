"""What ``einthoven explain`` writes and says, and how it fails."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from einthoven.cli.main import app
from einthoven.corpora.synthetic import example_record
from einthoven.errors import EinthovenError
from einthoven.explain import Settings
from einthoven.workflow.explaining import explain_dataset, explain_files

MODEL = "ptbxl-superdiagnostic"
QUICK = Settings(steps=6, n_background=2, tolerance=1.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two records of the same name in two folders, and a file that is no ECG."""
    folder = tmp_path_factory.mktemp("files")
    paths = []
    for part, code in (("a", "CLBBB"), ("b", "NORM")):
        record = example_record(code, seed=1)
        path = folder / part / "one.csv"
        path.parent.mkdir()
        np.savetxt(path, record.signal.T, delimiter=",", header=",".join(record.leads), comments="", fmt="%.4f")
        paths.append(path)
    (folder / "bad.csv").write_text("this is no ECG\n")
    return [*paths, folder / "bad.csv"]


def test_files_become_pictures_numbers_and_arrays_and_a_bad_one_stops_no_other(files, tmp_path):
    moves = []
    done = explain_files(
        MODEL, files, out=tmp_path / "out", settings=QUICK, save=True, stated={"fs": 500.0, "unit": "mV"},
        progress=lambda *step: moves.append(step),
    )  # fmt: skip
    assert set(done.done) == set(files[:2])
    assert set(done.failed) == {files[2]}
    assert moves[-1] == (3, 3)
    report = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert [each["file"] for each in report["explained"]] == ["one.csv", "one.csv"]
    assert report["failed"][0]["file"] == "bad.csv"
    for k, found in enumerate(done.done.values()):
        for name in found.classes:
            picture = (tmp_path / "out" / f"one-{k + 1}-{name}.png").read_bytes()
            assert picture.startswith(b"\x89PNG")
        with np.load(tmp_path / "out" / f"one-{k + 1}.npz") as arrays:
            np.testing.assert_array_equal(arrays["attribution"], found.attribution)
            assert arrays["signal_mv"].shape == (12, 1000)
    assert "CD" in done.done[files[0]].classes


def test_the_command_says_the_finding_its_leads_and_waves_and_fails_for_the_bad_file(files, tmp_path):
    arguments = [MODEL, *map(str, files), "--fs", "500", "--unit", "mV", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["explain", *arguments, "--method", "occlusion-waves", "--class", "CD"])
    assert done.exit_code == 2
    assert "CD, conduction disturbance: found" in done.output
    assert "strongest leads: " in done.output
    assert "QRS" in done.output
    assert "error: " in done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "explanation.json",
        "one-1-CD.png",
        "one-2-CD.png",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name ECG files to explain, or a dataset"),
        (["x.csv", "--method", "gradcm"], "did you mean 'gradcam'"),
        (["x.csv", "--sex", "f"], "--sex is female or male"),
        (["--dataset", "d", "--save"], "are for files"),
        (["--dataset", "d", "--split", "tets"], "did you mean 'test'"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, sentence, tmp_path):
    done = CliRunner().invoke(app, ["explain", MODEL, *arguments, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, EinthovenError)
    assert sentence in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_a_split_becomes_tables_pictures_and_checks(dataset_folder, tmp_path):
    done = explain_dataset(
        MODEL, dataset_folder, n_records=4, method="ig", classes=["CD"], out=tmp_path, settings=QUICK, n_randomised=1,
        repeats=2,
    )  # fmt: skip
    assert done.summaries["CD"].n_records == 4
    assert done.checks["faithfulness"]["insertion over random"]["n"] == 4
    assert done.checks["randomisation"]["all"]["n"] == 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "population.json", "leads.csv", "waves.csv", "checks.csv", "stability.csv", "leads.png", "beat-CD.png",
    }  # fmt: skip
    with (tmp_path / "leads.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["lead"] for row in rows] == list(done.summaries["CD"].leads)
    assert float(rows[6]["mean_absolute"]) == pytest.approx(done.summaries["CD"].mean_absolute[6])
    report = json.loads((tmp_path / "population.json").read_text())
    assert report["n_records"] == 4
    assert "Not a medical device" in report["note"]
    again = explain_dataset(
        MODEL, dataset_folder, n_records=4, classes=["CD"], out=tmp_path / "again", settings=QUICK, n_randomised=1,
        repeats=0,
    )  # fmt: skip
    np.testing.assert_array_equal(again.summaries["CD"].mean_absolute, done.summaries["CD"].mean_absolute)
    assert again.checks == done.checks


def test_a_background_of_training_records_is_used_only_where_it_is_asked_for(files, dataset_folder, tmp_path):
    done = explain_files(
        MODEL, files[:1], method="deeplift", background=dataset_folder, classes=["CD"], out=tmp_path,
        settings=QUICK, stated={"fs": 500.0, "unit": "mV"},
    )  # fmt: skip
    (found,) = done.done.values()
    assert found.compared_with == "2 records that were given"
    synthetic = explain_files(
        MODEL, files[:1], method="deeplift", classes=["CD"], out=tmp_path, settings=QUICK,
        stated={"fs": 500.0, "unit": "mV"},
    )  # fmt: skip
    assert next(iter(synthetic.done.values())).compared_with == "2 synthetic ECGs of seed 0"
