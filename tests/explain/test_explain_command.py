"""What ``einthoven explain`` writes and says, and how it fails."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from einthoven.cli.main import app
from einthoven.corpora.synthetic import example_record
from einthoven.errors import EinthovenError
from einthoven.explain import Settings
from einthoven.explain.explaining import explain_subject
from einthoven.workflow.explaining import explain_files
from einthoven.workflow.explaining_outputs import draw_class
from einthoven.workflow.explaining_split import explain_dataset

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
    assert moves[0] == (0, 6)
    assert moves[-1] == (6, 6)
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
    assert "CD, conduction disturbance: present" in done.output
    assert "strongest leads: " in done.output
    assert "QRS" in done.output
    assert "error: " in done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "explain.html",
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
        MODEL, dataset_folder, n_records=3, method="ig", classes=["CD"], out=tmp_path, settings=QUICK, n_randomised=1,
        repeats=2,
    )  # fmt: skip
    assert done.summaries["CD"].n_records == 3
    assert done.checks["faithfulness"]["insertion over random"]["n"] == 3
    assert done.checks["randomisation"]["all"]["n"] == 1
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "explain.html", "population.json", "leads.csv", "waves.csv", "checks.csv", "stability.csv", "leads.png", "beat-CD.png",
    }  # fmt: skip
    with (tmp_path / "leads.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["lead"] for row in rows] == list(done.summaries["CD"].leads)
    assert float(rows[6]["mean_absolute"]) == pytest.approx(done.summaries["CD"].mean_absolute[6])
    report = json.loads((tmp_path / "population.json").read_text())
    assert report["n_records"] == 3
    assert "Not a medical device" in report["note"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_summary_and_checks(dataset_folder, tmp_path):
    first, again = (
        explain_dataset(
            MODEL, dataset_folder, n_records=3, classes=["CD"], out=tmp_path / name, settings=QUICK, n_randomised=1,
            repeats=0,
        )
        for name in "ab"
    )  # fmt: skip
    np.testing.assert_array_equal(again.summaries["CD"].mean_absolute, first.summaries["CD"].mean_absolute)
    assert again.checks == first.checks


@pytest.mark.slow
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


def test_a_class_found_in_one_record_has_no_standard_error_and_stops_nothing(dataset_folder, tmp_path):
    done = explain_dataset(
        MODEL, dataset_folder, n_records=1, classes=["CD"], out=tmp_path / "out", settings=QUICK, n_randomised=0,
        repeats=0,
    )  # fmt: skip
    assert done.summaries["CD"].n_records == 1
    report = json.loads((tmp_path / "out" / "population.json").read_text())
    assert {row["sem"] for row in report["classes"][0]["leads"]} == {None}
    with (tmp_path / "out" / "leads.csv").open(encoding="utf-8", newline="") as file:
        assert {row["sem"] for row in csv.DictReader(file)} == {""}
    assert "nan" not in (tmp_path / "out" / "leads.csv").read_text()
    assert {each["verdict"] for each in report["verdicts"] if each["check"] == "faithfulness"} == {"not known"}


def test_where_nothing_is_explained_nothing_is_written(files, tmp_path):
    out = tmp_path / "new" / "out"
    done = CliRunner().invoke(app, ["explain", MODEL, str(files[2]), "--out", str(out)])
    assert done.exit_code == 2
    assert "nothing was explained, so nothing was written" in done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_call_that_fails_or_is_stopped_while_it_writes_leaves_what_was_there(files, tmp_path, monkeypatch, stop):
    out = tmp_path / "out"
    out.mkdir()
    (out / "explanation.json").write_text("of an earlier call")

    def fail(*_, **__):
        raise stop

    monkeypatch.setattr("einthoven.explain.page_files.render_page", fail)
    arguments = ["explain", MODEL, str(files[0]), "--fs", "500", "--unit", "mV", "--method", "occlusion-leads"]
    done = CliRunner().invoke(app, [*arguments, "--class", "CD", "--out", str(out)])
    assert isinstance(done.exception, EinthovenError)
    wanted = "No space left" if isinstance(stop, OSError) else "nothing was written, and the same command begins anew"
    assert wanted in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in out.iterdir()] == ["explanation.json"]
    assert (out / "explanation.json").read_text() == "of an earlier call"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x.csv", "--out", "taken"], "is a file; choose another name"),
        (["x.csv", "--out", "taken/below"], "which is a file; choose another name"),
        (["--dataset", "d", "--out", "taken"], "is a file; choose another name"),
        (["x.csv", "--method", "gradcm"], "did you mean 'gradcam'"),
        (["x.csv", "--class", "NORN"], "did you mean 'NORM'"),
    ],
)
def test_a_wrong_option_is_said_before_any_network_is_opened(arguments, sentence, tmp_path, monkeypatch):
    def open_nothing(*_):
        raise AssertionError("a network was opened")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("einthoven.explain.subject.open_model", open_nothing)
    (tmp_path / "taken").write_text("a file")
    done = CliRunner().invoke(app, ["explain", MODEL, *arguments])
    assert isinstance(done.exception, EinthovenError)
    assert sentence in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_wrong_method_is_refused_without_loading_torch():
    program = (
        "import sys; from einthoven.cli.explain import explain; from einthoven.errors import EinthovenError\n"
        "try: explain('m', ['x'], method='gradcm', sex=None, steps=None, seed=0, n_background=1)\n"
        "except EinthovenError as error: print(error, 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "unknown method 'gradcm'" in said
    assert said.strip().endswith("False")


def test_pictures_of_one_file_share_a_scale_where_that_is_asked_for(subject, monkeypatch):
    seen = []
    monkeypatch.setattr("einthoven.plots.explanation.draw_explanation", lambda *_, scale, **__: seen.append(scale))
    found = explain_subject(subject, method="occlusion-leads", classes=["CD", "MI"])
    for common in (False, True):
        for name in found.classes:
            draw_class(found, name, common)
    own, other, first, second = seen
    assert own.full != other.full
    assert min(own.full, other.full) < first.full == second.full <= max(own.full, other.full) * 1.001
    assert own.unit == "log-odds per sample of 10 ms"
    assert "one scale for all pictures" in first.unit
