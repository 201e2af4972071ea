"""Features of the trainer on a tiny network: what is exact is tested as exact."""

import sys
import types
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, EinthovenError, MissingExtraError, RecipeError
from einthoven.training.batches import SignalStore, epoch_batches
from einthoven.training.checkpoints import load_checkpoint
from einthoven.training.device import make_engine
from einthoven.training.feeding import drop_facts
from einthoven.training.loop import Trainer
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import Run
from einthoven.training.schema import Distillation
from einthoven.training.validation import spread_rows, validation_figures
from einthoven.training.watching import LossWatch
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import select_for

_TINY = """
name: tiny
data: {{dataset: {dataset}, crop_s: 1.0}}
model: {{name: map583_cnn1d_3}}
training: {{epochs: 4, batch_size: 16, lr: 0.01, precision: fp32, threads: 1}}
"""
# Neither batch norm nor dropout.
_PLAIN = ("model.name=s4d_small", "model.options={width: 8, depth: 1, dropout: 0.0}")
_LSTM = ("model.name=map583_lstm_1", "model.options={hidden: 16}")
NAN = float("nan")


@pytest.fixture
def tiny(dataset_folder):
    """Returns a recipe and its problem."""

    def make(*overrides):
        recipe = parse_recipe(_TINY.format(dataset=dataset_folder), overrides=overrides)
        return recipe, make_problem(recipe, select_for(recipe, open_dataset(dataset_folder)))

    return make


def _trainer(recipe, problem, max_batches=4):
    return Trainer(recipe, problem, make_engine("cpu", "fp32", 1), max_batches)


def _run(path):
    (path / "checkpoints").mkdir(parents=True, exist_ok=True)
    return Run(path)


def _history(trainer):
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in trainer.history]


class Interrupter:
    """Ctrl-C within the third epoch."""

    def step(self, epoch, step, n_steps, loss):
        if epoch == 3:
            raise KeyboardInterrupt

    def epoch(self, row):
        pass


def _equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize(
    "settings",
    [
        ("training.sampler=equal", "training.optimizer=sgd", "training.schedule=cosine"),
        ("training.swa={start: 0.5}", "training.class_weights=root"),
        ("training.swa={start: 0.75}", "training.schedule=plateau", "training.decay_epochs=1", "training.lr=0.1"),
        ("training.schedule=plateau", "training.decay_epochs=1", "training.lr=0.1", "training.ema=0.9"),
        ("training.accumulate=3", "training.optimizer=muon", "training.schedule=noam", *_LSTM),
        ("training.augment=[mixup]", "training.loss=focal", "training.optimizer=adam", "training.schedule=step"),
        ("data.facts=[age, sex]", "training.fact_dropout=0.3", "training.schedule=exponential"),
        ("data.single_label=true", "training.sampler=importance", "training.importance={MI: 3}", "training.loss=nll"),
    ],
)
def test_an_interrupted_training_ends_as_an_undisturbed_one(tiny, tmp_path, settings):
    recipe, problem = tiny(*settings)
    whole = _trainer(recipe, problem)
    whole.fit(_run(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        _trainer(recipe, problem).fit(_run(tmp_path / "cut"), Interrupter())
    cut = _run(tmp_path / "cut")
    assert len(load_checkpoint(cut.checkpoint)["history"]) == 2
    resumed = _trainer(recipe, problem)
    resumed.fit(cut)
    assert _history(resumed) == _history(whole)
    one, two = whole.state(), resumed.state()
    one["history"] = two["history"] = None
    assert _equal(one, two)
    assert _equal(whole.judged.state_dict(), resumed.judged.state_dict())


def test_accumulated_batches_make_the_step_of_one_large_one(tiny):
    large = _trainer(*tiny(*_PLAIN, "training.batch_size=32", "training.optimizer=sgd"), max_batches=3)
    small = _trainer(
        *tiny(*_PLAIN, "training.batch_size=8", "training.accumulate=4", "training.optimizer=sgd"), max_batches=12
    )
    for trainer in (large, small):
        trainer._train(0, Interrupter())
        assert trainer.schedule.n == 3
    start = _trainer(*tiny(*_PLAIN), max_batches=1).model.state_dict()
    for name, weight in large.model.state_dict().items():
        torch.testing.assert_close(small.model.state_dict()[name], weight, rtol=1e-4, atol=1e-6)
    assert not _equal(dict(start), dict(large.model.state_dict()))


def test_what_is_left_of_an_epoch_makes_a_step_too(tiny):
    trainer = _trainer(*tiny("training.accumulate=3"), max_batches=4)
    trainer._train(0, Interrupter())
    assert trainer.schedule.n == 2
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


def test_the_mean_of_the_last_epochs_is_validated_and_kept(tiny, tmp_path):
    trainer = _trainer(*tiny("training.swa={start: 0.5, lr: 0.02}", "training.keep_every=1"))
    run = _run(tmp_path)
    trainer.fit(run)
    states = [load_checkpoint(run.checkpoint.parent / f"epoch-{k:03d}.pt") for k in (1, 2, 3, 4)]
    assert "average" not in states[1]
    key, _ = next(trainer.model.named_parameters())
    mean = (states[2]["model"][key] + states[3]["model"][key]) / 2
    torch.testing.assert_close(states[3]["average"][key], mean)
    assert _equal(dict(trainer.judged.state_dict()), dict(states[3]["average"]))
    assert [row["lr"] for row in trainer.history[1:]] == [0.02] * 3
    # The mean's batch norms saw the mean, not the network that was trained last.
    running = next(name for name in states[3]["average"] if name.endswith("running_mean"))
    assert not torch.equal(states[3]["average"][running], states[3]["model"][running])
    figures, _ = trainer._validate()
    assert figures.items() <= trainer.history[-1].items()


def test_checkpoints_are_kept_and_the_best_one_can_be_gone_on_from(tiny, tmp_path):
    recipe, problem = tiny("training.keep_every=2", "evaluation.select=loss")
    trainer, run = _trainer(recipe, problem), _run(tmp_path)
    trainer.fit(run)
    folder = run.checkpoint.parent
    names = {path.name for path in folder.iterdir()}
    assert names >= {"last.pt", "best.pt", "epoch-002.pt", "epoch-004.pt"}
    assert "epoch-001.pt" not in names
    best = load_checkpoint(folder / "best.pt")
    assert len(best["history"]) == trainer.best_epoch("loss")
    weights = load_file(run.best("loss"))
    assert all(torch.equal(best["model"][name], weights[name]) for name in weights)
    again, other = _trainer(recipe, problem), _run(tmp_path / "again")
    (folder / "epoch-002.pt").rename(other.checkpoint)
    again.fit(other)
    assert _history(again) == _history(trainer)


def test_a_checkpoint_of_another_network_or_recipe_is_refused(tiny):
    state = _trainer(*tiny()).state()
    with pytest.raises(
        EinthovenError,
        match=r"last.pt is a checkpoint of another network: network\.\S+ is (absent|of shape \(.*\)) there and",
    ):
        _trainer(*tiny(*_PLAIN)).load_state(state, "last.pt")
    narrow = {**state, "model": {**state["model"]}}
    name = list(narrow["model"])[-1]
    narrow["model"][name] = torch.zeros(1)
    with pytest.raises(EinthovenError, match=rf"{name} is of shape \(1,\) there and of shape"):
        _trainer(*tiny()).load_state(narrow)
    with pytest.raises(EinthovenError, match="of another recipe or version of this program"):
        _trainer(*tiny("training.swa={}")).load_state(state)


def test_predictions_are_written_when_asked_for(tiny, tmp_path):
    recipe, problem = tiny("training.predictions_every=3")
    trainer = _trainer(recipe, problem)
    trainer.fit(_run(tmp_path))
    (path,) = (tmp_path / "predictions").iterdir()
    assert path.name == "epoch-003.parquet"
    table = pq.read_table(path).to_pydict()
    rows = trainer.validation
    assert table["record_id"] == [problem.dataset.records.record_id[row] for row in rows]
    p = np.column_stack([table[f"p_{name}"] for name in problem.classes])
    figures = validation_figures(problem.targets[rows], p, problem.kind)
    assert figures.items() <= trainer.history[2].items()


def test_a_sampler_gives_an_epoch_of_as_many_records_and_ranks_share_its_batches(tiny, dataset_folder):
    recipe, problem = tiny("training.sampler=equal")
    store = SignalStore(problem.dataset, torch.device("cpu"))
    sampler, rows = _trainer(recipe, problem).feed._sampler, torch.from_numpy(problem.train)
    drawn = [
        list(epoch_batches(store, rows, 100, 16, torch.Generator().manual_seed(1), sampler, share))
        for share in ((0, 1), (0, 2), (1, 2))
    ]
    assert [len(batches) for batches in drawn] == [len(rows) // 16] * 3
    for (chosen, x), (even, a), (odd, b) in zip(*drawn, strict=True):
        assert torch.equal(chosen[::2], even)
        assert torch.equal(chosen[1::2], odd)
        assert torch.equal(x[::2], a)
        assert torch.equal(x[1::2], b)


def test_facts_are_those_of_the_records_and_reach_network_and_validation(tiny):
    recipe, problem = tiny("data.facts=[age, sex]", "training.fact_dropout=0")
    trainer = _trainer(recipe, problem)
    for batch in trainer.feed.epoch(0):
        np.testing.assert_array_equal(batch.inputs[1].numpy(), problem.facts[problem.train[batch.chosen]])
    _, p = trainer._validate()
    trainer.feed.facts = torch.full_like(trainer.feed.facts, NAN)
    assert not np.array_equal(trainer._validate()[1], p)


def test_facts_are_forgotten_together_and_one_by_one():
    facts = torch.arange(80_000.0).reshape(20_000, 4)
    seen = drop_facts(facts, 0.2, torch.Generator().manual_seed(0))
    gone = torch.isnan(seen)
    assert torch.equal(seen[~gone], facts[~gone])
    assert gone.all(dim=1).float().mean() == pytest.approx(0.2 + 0.8 * 0.2**4, abs=0.01)
    assert gone.float().mean() == pytest.approx(1 - 0.8**2, abs=0.01)
    assert torch.equal(drop_facts(facts, 0.0, torch.Generator()), facts)


@pytest.mark.parametrize("single", ["true", "false"])
def test_a_student_with_all_the_weight_on_its_teacher_comes_to_agree_with_it(tiny, single):
    recipe, problem = tiny(f"data.single_label={single}", "training.lr=0.03")
    how = Distillation(teacher="given below", weight=1.0, temperature=2.0)
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"distill": how})})
    teacher = _trainer(*tiny(f"data.single_label={single}", "seed=5"), max_batches=1).model.train()
    with torch.no_grad():
        teacher.network.get_classifier().bias.copy_(torch.tensor([2.0, -2.0, 1.0, -1.0, 0.0]))
    trainer = _trainer(recipe, replace(problem, teacher=teacher), max_batches=12)
    assert not trainer.teacher.training
    losses = [trainer._train(epoch, Interrupter()) for epoch in (0, 1)]
    assert losses[1] < losses[0]
    batch = next(trainer.feed.epoch(0))
    before = [parameter.clone() for parameter in teacher.parameters()]
    targets = torch.zeros_like(batch.targets)  # labels do not count
    one, two = (trainer.train_step(batch._replace(targets=y), parts=1, last=False) for y in (targets, batch.targets))
    torch.testing.assert_close(one, two)
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))


def test_a_short_epoch_validates_on_rows_that_can_have_an_auroc(tiny):
    targets = np.zeros((100, 2), np.float32)
    targets[37, 1] = 1
    chosen = spread_rows(np.arange(100), targets, 10)
    assert len(chosen) == 10
    assert 37 in chosen
    assert np.array_equal(spread_rows(np.arange(5), targets, 10), np.arange(5))
    trainer = _trainer(*tiny("training.batch_size=4"), max_batches=3)
    assert (trainer.feed.n_batches, len(trainer.validation)) == (3, 12)
    assert np.isfinite(trainer._validate()[0]["validation_auroc"])


def test_unknown_targets_count_for_nothing_in_validation():
    y = np.array([[1, 0], [0, NAN], [1, 1]], np.float32)
    p = np.array([[0.9, 0.2], [0.3, 0.9], [0.6, 0.4]])
    figures = validation_figures(y, p, "multilabel")
    assert figures["validation_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.7, 0.6, 0.4]).mean())
    assert figures["validation_accuracy"] == pytest.approx(0.8)
    one = np.array([[1, 0], [NAN, NAN], [0, 1]], np.float32)
    figures = validation_figures(one, np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]]), "multiclass")
    assert figures["validation_loss"] == pytest.approx(-np.log([0.9, 0.4]).mean())
    assert figures["validation_accuracy"] == 0.5


def test_an_epoch_without_an_auroc_is_never_better_than_one_with(tiny):
    trainer = _trainer(*tiny("training.early_stopping=2"))
    trainer.history = [{"validation_auroc": value} for value in (NAN, 0.4, NAN, 0.6, 0.6)]
    assert trainer.best_epoch("auroc") == 4
    assert not trainer._stalled()
    trainer.history.append({"validation_auroc": NAN})
    assert trainer._stalled()
    trainer.history = trainer.history[:1]
    assert trainer.best_epoch("auroc") == 1


@pytest.mark.parametrize("column", [slice(None), slice(1, 2)])
def test_training_targets_that_are_all_unknown_are_named(tiny, column):
    recipe, problem = tiny()
    targets = problem.targets.copy()
    targets[problem.train, column] = NAN
    message = "not one of the" if column == slice(None) else f"has a known target of class {problem.classes[1]}; choose"
    with pytest.raises(DatasetError, match=message):
        _trainer(recipe, replace(problem, targets=targets))


def test_a_loss_that_is_no_number_names_its_records_and_keeps_the_checkpoint(tiny, tmp_path):
    recipe, problem = tiny()
    trainer, run = _trainer(recipe, problem), _run(tmp_path)
    names, calls, loss = [], [], trainer.loss

    def spoiled(logits, targets):
        calls.append(1)
        return loss(logits, targets) * (NAN if len(calls) == 6 else 1)

    trainer.loss = spoiled
    for k, batch in enumerate(_trainer(recipe, problem).feed.epoch(1)):
        if k == 1:
            names = [problem.dataset.records.record_id[row] for row in problem.train[batch.chosen]]
    with pytest.raises(EinthovenError, match="the loss became nan in epoch 2") as caught:
        trainer.fit(run)
    assert f"(step 2: {', '.join(names[:10])} and 6 more); the checkpoint of the epoch before is kept" in str(
        caught.value
    )
    assert len(calls) == 6
    assert len(load_checkpoint(run.checkpoint)["history"]) == 1


def test_a_device_that_is_seldom_looked_at_still_tells_which_batch_it_was():
    watch = LossWatch(torch.device("cpu"), 1, lambda rows: [f"r{row}" for row in rows])
    watch._every = 10  # as on a GPU
    for k in range(13):
        watch.add(torch.tensor(1.0), torch.tensor([k]))
    watch.add(torch.tensor(float("inf")), torch.tensor([13, 99]))
    for k in range(14, 19):
        watch.add(torch.tensor(NAN), torch.tensor([k]))
    with pytest.raises(EinthovenError, match=r"became nan in epoch 1; .*\(step 14: r13, r99\); no epoch was finished"):
        watch.add(torch.tensor(NAN), torch.tensor([19]))


def test_weights_that_are_no_numbers_after_an_epoch_are_said_so(tiny):
    trainer = _trainer(*tiny())
    with torch.no_grad():
        trainer.model.network.get_classifier().bias.fill_(NAN)
    with pytest.raises(EinthovenError, match="answers are no numbers after epoch 1; lower training.lr"):
        trainer._validate()


def test_default_stands_for_several_augmentations(tiny):
    from einthoven.augment import DEFAULT_STEPS

    named = _trainer(*tiny("training.augment=default")).feed
    spelt = [{"name": s.name, "p": s.p, "parameters": dict(s.parameters)} for s in DEFAULT_STEPS]
    listed = _trainer(*tiny(f"training.augment={spelt}")).feed
    for a, b in zip(named.epoch(0), listed.epoch(0), strict=True):
        assert torch.equal(a.inputs[0], b.inputs[0])
    with pytest.raises(RecipeError, match="'default' is several steps"):
        _trainer(*tiny("training.augment=[{name: default, p: 0.5}]"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("training.devices=3",), "batch_size 16 of 189 records cannot be shared evenly by 3 devices; use 15"),
        (("training.devices=200", "training.batch_size=200"), "of 189 records cannot be shared evenly by 200 devices"),
        (("training.devices=2", "training.device=cuda:1"), "cuda:1 is one GPU, but training.devices is 2"),
        (("training.compile=true",), "training.compile needs a C"),
    ],
)
def test_devices_that_cannot_be_are_refused(tiny, overrides, message, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RecipeError, match=message):
        _trainer(*tiny(*overrides))


def test_a_compiled_network_trains_alike_and_keeps_its_names(tiny, tmp_path, monkeypatch):
    # The C++ that torch writes takes minutes to compile; all before it is tried.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    plain, compiled = (_trainer(*tiny(f"training.compile={on}", "training.epochs=2")) for on in ("false", "true"))
    for name, trainer in (("plain", plain), ("compiled", compiled)):
        trainer.fit(_run(tmp_path / name))
    assert list(plain.state()["model"]) == list(compiled.state()["model"])
    for key in ("train_loss", "validation_loss"):
        assert compiled.history[1][key] == pytest.approx(plain.history[1][key], rel=1e-3)


class FakeMlflow:
    """Keeps what it is told, as MLflow's client does."""

    def __init__(self, tracking_uri):
        self.metrics, self.params, self.status, self.experiments = {}, {}, [], {}

    def get_experiment_by_name(self, name):
        return self.experiments.get(name)

    def create_experiment(self, name):
        self.experiments[name] = types.SimpleNamespace(experiment_id=name)
        return name

    def create_run(self, experiment_id, run_name):
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=f"{experiment_id}-{run_name}"))

    def log_param(self, run_id, key, value):
        self.params[key] = value

    def log_metric(self, run_id, key, value, step):
        self.metrics.setdefault((run_id, key), []).append((step, value))

    def get_metric_history(self, run_id, key):
        return [types.SimpleNamespace(step=step) for step, _ in self.metrics.get((run_id, key), [])]

    def update_run(self, run_id, status):
        self.status.append(status)

    def set_terminated(self, run_id, status):
        self.status.append(status)


def test_mlflow_is_told_each_epoch_once_over_an_interruption(tiny, tmp_path, monkeypatch):
    client = FakeMlflow("")
    module, exceptions = types.ModuleType("mlflow"), types.ModuleType("mlflow.exceptions")
    module.MlflowClient, exceptions.MlflowException = (
        lambda tracking_uri: client,
        type("MlflowException", (Exception,), {}),
    )
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", exceptions)
    recipe, problem = tiny("training.mlflow=sqlite:///x.db")
    with pytest.raises(KeyboardInterrupt):
        _trainer(recipe, problem).fit(_run(tmp_path), Interrupter())
    client.metrics["tiny-" + tmp_path.name, "train_loss"].pop()  # as if killed between checkpoint and log
    trainer = _trainer(recipe, problem)
    trainer.fit(_run(tmp_path))
    told = client.metrics["tiny-" + tmp_path.name, "train_loss"]
    assert told == [(row["epoch"], row["train_loss"]) for row in trainer.history]
    assert client.params["training.lr"] == "0.01"
    assert client.params["model.name"] == "map583_cnn1d_3"
    assert client.status == ["KILLED", "RUNNING", "FINISHED"]

    def refuse(*args, **kwargs):
        raise exceptions.MlflowException("no server\nhere")

    client.log_metric = refuse
    with pytest.raises(EinthovenError, match=r"training.mlflow: sqlite:///x.db does not take the log: no server here"):
        _trainer(recipe, problem).fit(_run(tmp_path / "other"))


def test_an_absent_mlflow_says_what_to_install(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"training.mlflow needs .*einthoven\[mlflow\]"):
        _trainer(*tiny("training.mlflow=x")).fit(_run(tmp_path))


@pytest.mark.slow
def test_the_real_mlflow_takes_the_log(tiny, tmp_path):
    mlflow = pytest.importorskip("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    trainer = _trainer(*tiny(f"training.mlflow={uri}", "training.epochs=2"))
    trainer.fit(_run(tmp_path / "run"))
    run = mlflow.MlflowClient(uri).get_run((tmp_path / "run" / "mlflow-run.txt").read_text().strip())
    assert run.data.metrics["train_loss"] == pytest.approx(trainer.history[-1]["train_loss"])
    assert run.data.params["training.batch_size"] == "16"
    assert run.info.status == "FINISHED"
