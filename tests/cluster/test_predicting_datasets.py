"""Predictions of a whole dataset without Ray: what is written, once each, and what is refused."""

import fcntl
import json
import resource
import signal
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from einthoven.bundle import load_bundle
from einthoven.cli.main import app
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, EinthovenError
from einthoven.evaluation.predictions import predict_dataset, read_predictions
from einthoven.processes import as_finished
from einthoven.splits import rows_of_folds
from einthoven.workflow import predicting
from einthoven.workflow.selection import select_for_bundle

MODEL = "ptbxl-superdiagnostic"
FOLDS = (9, 10)
N = 47  # records of these folds
predict_all = partial(predicting.predict_all, folds=FOLDS)


def here(work, jobs, workers=None):
    """One job after the other, in this process."""
    return as_finished(work, jobs, 1)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("part-*"))}


@pytest.fixture(scope="module")
def whole(dataset_folder, tmp_path_factory):
    """The records of two folds in parts of 10."""
    out, steps = tmp_path_factory.mktemp("whole") / "out", []
    done = predict_all(MODEL, dataset_folder, out, block=10, fan_out=here, progress=lambda *at: steps.append(at))
    assert (done.n_records, done.n_parts, done.n_new) == (N, 5, 5)
    assert steps == [(0, N), (10, N), (20, N), (30, N), (40, N), (N, N)]
    return out


def test_parts_together_are_what_one_call_predicts(whole, dataset_folder):
    dataset, bundle = open_dataset(dataset_folder), load_bundle(MODEL, threads=1)
    rows = rows_of_folds(dataset.folds(), FOLDS)
    selected = select_for_bundle(bundle, dataset)
    read = read_predictions(whole)
    once = predict_dataset(bundle, dataset, rows, selected.targets[rows])
    assert (read.record_id, read.fold, read.patient_id) == (once.record_id, once.fold, once.patient_id)
    np.testing.assert_allclose(read.probabilities, once.probabilities, rtol=0, atol=1e-6)
    labelled = np.isin(rows, np.concatenate([selected.rows["validation"], selected.rows["test"]]))
    assert labelled.any()
    np.testing.assert_array_equal(read.targets[labelled], once.targets[labelled])
    assert np.isnan(read.targets[~labelled]).all()
    assert [pq.read_metadata(path).num_rows for path in sorted(whole.glob("part-*"))] == [10, 10, 10, 10, N - 40]


def test_processes_write_the_same_bytes(whole, dataset_folder, tmp_path):
    predict_all(MODEL, dataset_folder, tmp_path / "out", block=10, workers=2)
    assert bytes_of(tmp_path / "out") == bytes_of(whole)


def test_facts_of_the_dataset_are_read_once_however_many_blocks(dataset_folder, tmp_path, monkeypatch):
    read, really = [], predicting.facts_of_dataset
    monkeypatch.setattr(predicting, "facts_of_dataset", lambda *of: read.append(1) or really(*of))
    predicting._open_once.cache_clear()
    done = predict_all(MODEL, dataset_folder, tmp_path / "out", block=10, fan_out=here)
    assert (done.n_new, len(read)) == (5, 1)


def test_an_interrupted_call_goes_on_and_predicts_nothing_twice(whole, dataset_folder, tmp_path):
    made = []

    def stops(work, jobs, workers=None):
        for job in jobs[:2]:
            made.append(job[0])
            yield job, work(*job)
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict_all(MODEL, dataset_folder, out, block=10, fan_out=stops)
    (out / ".part-000003.parquet.1-ab.tmp").write_bytes(b"of a worker that was killed")
    with pytest.raises(DatasetError, match="not all is predicted yet; run the same 'einthoven predict' again"):
        read_predictions(out)

    def counted(work, jobs, workers=None):
        made.extend(job[0] for job in jobs)
        return here(work, jobs)

    done = predict_all(MODEL, dataset_folder, out, block=10, fan_out=counted)
    assert (done.n_parts, done.n_new, made) == (5, 3, [0, 1, 2, 3, 4])
    assert bytes_of(out) == bytes_of(whole)
    assert not list(out.glob(".*"))


def test_a_damaged_part_is_named_and_made_again(dataset_folder, tmp_path):
    out = tmp_path / "out"
    predict_all(MODEL, dataset_folder, out, block=25, fan_out=here)
    before, part = bytes_of(out), out / "part-000001.parquet"
    part.write_bytes(before["part-000000.parquet"])  # whole, of as many rows, but another's
    with pytest.raises(DatasetError, match=r"part-000001.parquet: missing or altered; run the same"):
        read_predictions(out)
    assert predict_all(MODEL, dataset_folder, out, block=25, fan_out=here).n_new == 1
    assert bytes_of(out) == before


def test_a_folder_of_another_model_dataset_or_purpose_is_refused(whole, dataset_folder, tmp_path):
    for key in ("model", "dataset"):
        other = tmp_path / key
        other.mkdir()
        plan = json.loads((whole / "_plan.json").read_text())
        plan[key] |= {"name": "o", "sha256": "0" * 64}
        (other / "_plan.json").write_text(json.dumps(plan))
        with pytest.raises(
            DatasetError, match=rf"holds predictions with another {key} \(o 0{{8}}, not \S+ \w{{8}}\); name"
        ):
            predict_all(MODEL, dataset_folder, other, block=10, fan_out=here)
    with pytest.raises(DatasetError, match=r"with another folds \(\[9, 10\], not \[9\]\)"):
        predict_all(MODEL, dataset_folder, whole, block=10, folds=[9], fan_out=here)
    with pytest.raises(DatasetError, match="is not empty and holds no predictions"):
        predict_all(MODEL, dataset_folder, dataset_folder, fan_out=here)
    with pytest.raises(DatasetError, match="no records in the folds 77"):
        predict_all(MODEL, dataset_folder, tmp_path / "none", folds=[77], fan_out=here)
    with (whole / "_lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(EinthovenError, match="another process predicts into this folder"):
            predict_all(MODEL, dataset_folder, whole, block=10, fan_out=here)


def test_a_full_disk_is_a_sentence_and_the_next_call_goes_on(whole, dataset_folder, tmp_path):
    out, before = tmp_path / "out", signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fills(work, jobs, workers=None):
        yield jobs[0], work(*jobs[0])
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        yield jobs[1], work(*jobs[1])

    try:
        with pytest.raises(EinthovenError, match=r"cannot write .*part-000001.parquet: .*nothing was half-written"):
            predict_all(MODEL, dataset_folder, out, block=10, fan_out=fills)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert [path.name for path in out.glob("*part*")] == ["part-000000.parquet"]
    assert predict_all(MODEL, dataset_folder, out, block=10, fan_out=here).n_new == 4
    assert bytes_of(out) == bytes_of(whole)


def test_a_dataset_without_the_labels_has_unknown_targets(dataset_folder, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    for path in dataset_folder.iterdir():
        (foreign / path.name).symlink_to(path)
    about = json.loads((dataset_folder / "dataset.json").read_text())
    (foreign / "dataset.json").unlink()
    for statement in about["label_table"].values():
        statement["groups"] = {"elsewhere": "X"}
    (foreign / "dataset.json").write_text(json.dumps(about))
    said = []
    predict_all(MODEL, foreign, tmp_path / "out", fan_out=here, announce=said.append)
    assert any(text.startswith("targets are unknown: ") for text in said)
    assert pq.read_table(tmp_path / "out" / "part-000000.parquet").column("y_NORM").null_count == N


def test_the_command_writes_the_folder_and_the_next_command_judges_it(dataset_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = partial(CliRunner().invoke, app, catch_exceptions=False)
    done = call(["predict", str(MODEL), str(dataset_folder), "--out", "scores", "--folds", "9,10", "--workers", "1"])
    assert f"scores: {N} records in 1 parts" in done.stdout
    assert "next    einthoven evaluate --predictions scores" in done.stdout
    judged = call(["evaluate", "--predictions", "scores", "--n-resamples", "0"])
    assert "macro AUROC" in judged.stdout
    for words, message in (
        (["--folds", "9"], "name the folder to write with --out"),
        (["--out", "x", "--json"], "--json is about single files"),
        (["--out", "x", "--folds", "a"], "write numbers, as 9,10"),
    ):
        with pytest.raises(EinthovenError, match=message):
            call(["predict", str(MODEL), str(dataset_folder), *words])
    with pytest.raises(EinthovenError, match="--out takes one prepared dataset"):
        call(["predict", str(MODEL), "a.dat", "b.dat", "--out", "x"])
