"""Nodes that die at work: what comes out is what an undisturbed run gives, nothing lost, nothing twice."""

import csv
import time
from functools import partial

import noted_work
import pytest
import yaml
from noted_work import kill_at_work, noted, notes

from einthoven import preparation
from einthoven.cluster import connect, connection
from einthoven.corpora import open_corpus
from einthoven.dataset import open_dataset
from einthoven.processes import as_finished
from einthoven.spec import SignalSpec
from einthoven.training import parallel
from einthoven.training.device import make_engine
from einthoven.training.loop import Trainer
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run
from einthoven.workflow.predicting import predict_all
from einthoven.workflow.problem import make_problem
from einthoven.workflow.queue import Choice, read_queue, work_off
from einthoven.workflow.selection import select_for
from einthoven.workflow.sweep import sweep
from einthoven.workflow.together import train_together

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def machines():
    """A head that only coordinates; tests add nodes of one CPU, and kill them."""
    import ray
    from ray.cluster_utils import Cluster

    ray.cloudpickle.register_pickle_by_value(noted_work)  # nodes cannot import it
    head = {"num_cpus": 0, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_worker_niceness", "0")
        patched.setattr(connection, "_CONNECT_S", 120.0)  # four nodes on one machine are slow to answer
        machines = _patiently(lambda: Cluster(initialize_head=True, head_node_args=head))
        yield machines
        machines.shutdown()


def _patiently(start):
    """Ray gives up a start after 30 s, which a busy machine may need."""
    for _ in range(3):
        try:
            return start()
        except Exception as error:
            failed = error
    raise failed


@pytest.fixture(scope="module")
def cluster(machines):
    with connect(machines.address) as cluster:
        yield cluster


@pytest.fixture
def nodes(machines, cluster):
    """Nodes of one CPU, as many as a test wants."""
    added = []

    def add(n):
        added.extend(_patiently(partial(machines.add_node, num_cpus=1)) for _ in range(n))
        return added

    yield add
    for node in added:
        if node in machines.worker_nodes:
            machines.remove_node(node)


def here(work, jobs, workers=None):
    return as_finished(work, jobs, 1)


def files_of(folder, *patterns):
    return {str(path.relative_to(folder)): path.read_bytes() for pattern in patterns for path in folder.glob(pattern)}


class Disturbed:
    """A cluster one of whose nodes dies in the midst of its first job."""

    def __init__(self, machines, cluster, victim, folder, seconds):
        self.machines, self.cluster, self.victim, self.seconds = machines, cluster, victim, seconds
        self.folder = folder / "notes"
        self.folder.mkdir()
        self.host = cluster.host

    def over(self, fan_out):
        def divided(work, jobs, workers=None):
            killer = kill_at_work(self.machines, self.victim, self.folder)
            yield from fan_out(partial(noted, self.folder, self.seconds, work), jobs, workers)
            killer.join()
            assert notes(self.folder, "began") > notes(self.folder, "ended")

        return divided

    def divide(self, needs):
        return self.over(self.cluster.divide(needs))


def test_a_node_dies_during_prepare_and_predict(machines, cluster, nodes, corpus_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 2**20)
    first, second, _ = nodes(3)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name, fan_out in (
        ("remote", Disturbed(machines, cluster, first, tmp_path / "a", 2.0).over(cluster.as_finished)),
        ("local", here),
    ):
        preparation.prepare(open_corpus("ptb-xl", corpus_folder), tmp_path / name, SignalSpec(), fan_out=fan_out)
    patterns = ("signals/*", "*.parquet", "dataset.json")
    assert files_of(tmp_path / "remote", *patterns) == files_of(tmp_path / "local", *patterns)
    for name, fan_out in (
        ("scores-remote", Disturbed(machines, cluster, second, tmp_path / "b", 2.0).over(cluster.as_finished)),
        ("scores-local", here),
    ):
        done = predict_all(
            "ptbxl-superdiagnostic", tmp_path / "local", tmp_path / name, folds=[9], block=4, fan_out=fan_out
        )
        assert done.n_new == done.n_parts > 3
    assert files_of(tmp_path / "scores-remote", "*") == files_of(tmp_path / "scores-local", "*")


RECIPE = """
name: s
data: {{dataset: {dataset}, folds: {{train: [1], validation: [9]}}}}
model: {{options: {{width: 4}}}}
training: {{epochs: 2, batch_size: 8, threads: 1, precision: fp32}}
sweep:
  parameters: {{training.lr: {{low: 1e-4, high: 1e-1, log: true}}}}
  pruner: none
  sampler: random
  trials: 4
"""


def table(found):
    with (found.folder / "trials.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return sorted(rows, key=lambda row: int(row["number"]))


def test_a_node_dies_during_a_sweep(machines, cluster, nodes, dataset_folder, tmp_path):
    victim, _ = nodes(2)
    (tmp_path / "s.yaml").write_text(RECIPE.format(dataset=dataset_folder))
    elsewhere = Disturbed(machines, cluster, victim, tmp_path, 0.5)
    found = sweep(tmp_path / "s.yaml", runs=tmp_path / "remote", workers=2, elsewhere=elsewhere)
    undisturbed = sweep(tmp_path / "s.yaml", runs=tmp_path / "local")
    assert table(found) == table(undisturbed)
    assert [row["state"] for row in found.trials] == ["complete"] * 4
    assert len(list((found.folder / "trials").glob("*/*/recipe.yaml"))) == 4


def test_trials_that_are_behind_are_stopped_from_afar(cluster, nodes, dataset_folder, tmp_path):
    nodes(1)
    text = yaml.safe_load(RECIPE.format(dataset=dataset_folder))
    text["training"]["epochs"] = 4
    text["sweep"] |= {"pruner": "asha", "trials": 10}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(text, sort_keys=False))
    found = sweep(tmp_path / "s.yaml", runs=tmp_path / "remote", workers=1, elsewhere=cluster)
    assert {row["state"] for row in found.trials} == {"complete", "pruned"}
    assert table(found) == table(sweep(tmp_path / "s.yaml", runs=tmp_path / "local"))


FOLDS = """
name: k
data: {{dataset: {dataset}, folds: {{split: three, rotate: true}}}}
model: {{name: fcn_wang, options: {{width: 4}}}}
training: {{epochs: 2, batch_size: 8, threads: 1, precision: fp32, lr: [0.001, 0.01]}}
evaluation: {{n_resamples: 0}}
"""


def test_a_node_dies_during_a_grid(machines, cluster, nodes, dataset_folder, tmp_path):
    victim, _ = nodes(2)
    text = FOLDS.format(dataset=dataset_folder).replace(
        "{split: three, rotate: true}", "{train: [1, 2], validation: [9]}"
    )
    (tmp_path / "k.yaml").write_text(text)
    queue = read_queue([tmp_path / "k.yaml"])
    disturbed = Disturbed(machines, cluster, victim, tmp_path, 0.5)
    together = partial(train_together, disturbed.divide, None)
    remote = work_off(queue, tmp_path / "remote", Choice(short=True), together=together)
    local = work_off(queue, tmp_path / "local", Choice(short=True))
    assert [each.error for each in remote] == [None, None]
    for a, b in zip(remote, local, strict=True):
        assert a.judgement["macro"]["auroc"]["value"] == b.judgement["macro"]["auroc"]["value"]
        assert a.run.path.name == "001"
        assert a.run.finished


SHARED = """
name: shared
data: {{dataset: {dataset}, crop_s: 1.0}}
model: {{name: fcn_wang, options: {{width: 8}}}}
training: {{epochs: 4, batch_size: 16, precision: fp32, threads: 2, devices: 2}}
"""


class Killer:
    """A reporter that kills a node at work after the first epoch."""

    def __init__(self, machines, nodes):
        self.machines, self.nodes, self.rows = machines, nodes, []

    def step(self, *_):
        pass

    def epoch(self, row):
        self.rows.append(row)
        if row["epoch"] == 1 and len(self.rows) == 1:
            from ray._private.state import available_resources_per_node

            free = available_resources_per_node()
            busy = next(node for node in self.nodes if not free[node.node_id].get("CPU"))
            self.machines.remove_node(busy, allow_graceful=False)


def test_a_node_dies_during_data_parallel_training(machines, cluster, nodes, dataset_folder, tmp_path):
    from einthoven.cluster.training import fit_on

    recipe = parse_recipe(SHARED.format(dataset=dataset_folder))
    problem = make_problem(recipe, select_for(recipe, open_dataset(dataset_folder)))
    killer = Killer(machines, nodes(3))
    histories = []
    for name, fit, reporter in (
        ("remote", partial(fit_on, cluster), killer),
        ("local", parallel.fit, None),
    ):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        trainer = Trainer(recipe, problem, make_engine("cpu", "fp32", 2), max_batches=5)
        began = time.monotonic()
        fit(trainer, Run(tmp_path / name), reporter)
        print(name, time.monotonic() - began)
        histories.append([{k: v for k, v in row.items() if "seconds" not in k} for row in trainer.history])
    assert histories[0] == histories[1]
    assert [row["epoch"] for row in killer.rows][:1] == [1]
    assert killer.rows[-1]["epoch"] == 4
    assert not (tmp_path / "remote" / ".ray").exists()


def test_an_error_of_the_training_itself_is_told_once(cluster, nodes, dataset_folder, tmp_path):
    from einthoven.cluster.training import fit_on
    from einthoven.errors import EinthovenError

    nodes(2)
    extra = ["training.lr=1e30", "training.clip_norm=null", "training.optimizer=sgd"]
    recipe = parse_recipe(SHARED.format(dataset=dataset_folder), overrides=extra)
    problem = make_problem(recipe, select_for(recipe, open_dataset(dataset_folder)))
    trainer = Trainer(recipe, problem, make_engine("cpu", "fp32", 2), max_batches=5)
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(EinthovenError, match=r"(the loss became (nan|inf) in|answers are no numbers after) epoch"):
        fit_on(cluster, trainer, Run(tmp_path / "run"))
    big = parse_recipe(SHARED.format(dataset=dataset_folder), overrides=["training.devices=8"])
    with pytest.raises(EinthovenError, match=r"training.devices 8 needs 8 CPUs, and the cluster has 2"):
        fit_on(cluster, Trainer(big, problem, make_engine("cpu", "fp32", 2), 5), Run(tmp_path / "run"))
