"""One small Ray cluster on this machine: prepare and predict as its processes do, and errors that arrive as they are."""

import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import pytest

from einthoven import preparation
from einthoven.cluster import connect
from einthoven.corpora import open_corpus
from einthoven.errors import DatasetError, EinthovenError, MissingExtraError
from einthoven.processes import as_finished
from einthoven.spec import SignalSpec
from einthoven.workflow.predicting import predict_all

pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster():
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import a test
    with connect("local") as cluster:
        yield cluster


def here(work, jobs, workers=None):
    return as_finished(work, jobs, 1)


def files_of(folder, *patterns):
    return {str(path.relative_to(folder)): path.read_bytes() for pattern in patterns for path in folder.glob(pattern)}


def fail(kind):
    raise {"dataset": DatasetError("record 7 cannot be read"), "extra": MissingExtraError("x", "wfdb")}.get(
        kind, OSError(28, "No space left on device", "/data/x")
    )


def test_a_cluster_prepares_and_predicts_what_this_machine_would(cluster, corpus_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 2**20)
    monkeypatch.chdir(tmp_path)
    cluster.share(tmp_path)
    steps = {"remote": {}, "local": {}}  # records done: records in all
    for name, fan_out in (("remote", cluster.as_finished), ("local", here)):
        # relative, as users write it: workers stand where the driver stands
        preparation.prepare(
            open_corpus("ptb-xl", corpus_folder),
            Path(name),
            SignalSpec(),
            progress=steps[name].__setitem__,
            fan_out=fan_out,
        )
        assert steps[name][240] == 240
        predict_all("ptbxl-superdiagnostic", Path(name), Path(f"{name}-scores"), folds=[9], block=6, fan_out=fan_out)
    patterns = ("signals/*", "*.parquet", "dataset.json")
    assert files_of(tmp_path / "remote", *patterns) == files_of(tmp_path / "local", *patterns)
    assert len(files_of(tmp_path / "remote", "signals/*.npy")) > 4
    parts = files_of(tmp_path / "remote-scores", "part-*")
    assert len(parts) > 2
    assert parts == files_of(tmp_path / "local-scores", "part-*")


def test_errors_of_the_work_arrive_as_they_are(cluster):
    with pytest.raises(DatasetError, match="^record 7 cannot be read$"):
        list(cluster.as_finished(fail, [("dataset",)]))
    with pytest.raises(EinthovenError, match=r"^x needs optional packages"):
        list(cluster.as_finished(fail, [("extra",)]))
    with pytest.raises(OSError, match="No space left on device") as error:
        list(cluster.as_finished(fail, [("disk",)]))
    assert error.value.filename == "/data/x"


def test_few_jobs_are_taken_in_advance(cluster):
    taken = []

    def jobs():
        for k in range(12):
            taken.append(k)
            yield (k,)

    counts = [len(taken) for _ in cluster.as_finished(abs, jobs(), 3)]
    assert max(n - done for done, n in enumerate(counts)) <= 4
    assert len(counts) == 12


def test_other_versions_and_unshared_folders_are_told(cluster, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("einthoven.cluster.tasks.version", lambda _: "99.0")
        with pytest.raises(
            EinthovenError, match=rf"has Einthoven {version('einthoven')}, and this machine 99.0; install"
        ):
            list(cluster.as_finished(abs, [(1,)]))
    patience = cluster.patience_s
    monkeypatch.setattr(cluster, "patience_s", 0.1)
    with pytest.raises(EinthovenError, match=r"no node of the cluster has had 1000 CPUs for 0.1 s"):
        list(cluster._work(abs, [(1,)], None, 1000.0, 0.0))
    monkeypatch.setattr(cluster, "patience_s", patience)
    monkeypatch.setattr(cluster, "_seen", [tmp_path / "elsewhere" / "x"])
    with pytest.raises(EinthovenError, match=r"does not see .*elsewhere/x: all nodes need the same folders"):
        list(cluster.as_finished(abs, [(1,)]))


def test_a_hosted_function_keeps_its_state_and_is_called_from_workers(cluster):
    from einthoven.cluster.hosting import listening

    heard = []
    with listening(lambda *words: heard.append(words)) as post:
        list(cluster.as_finished(partial(_post, post), [(k,) for k in range(4)]))
    assert sorted(heard) == [("said", k) for k in range(4)]


def _post(post, k):
    post("said", k)
