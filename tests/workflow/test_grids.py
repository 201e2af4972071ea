"""Grids as pure text, and queues of them with a stand-in for training."""

import json
from pathlib import Path

import pytest

from einthoven import workflow
from einthoven.errors import EinthovenError, RecipeError
from einthoven.files import write_json
from einthoven.training.grid import expand, read_grid
from einthoven.training.recipe import load_recipe, parse_recipe
from einthoven.training.runs import begin_run, is_of, list_runs, open_run
from einthoven.workflow.queue import Choice
from einthoven.workflow.train import shorten

BASE = "name: mine\ndata: {dataset: somewhere}\ntraining:\n  lr: [1e-3, 1e-2]\n  epochs: 3\nmodel: {name: [resnet1d_wang, xresnet1d50]}\n"
PLAIN = "name: mine\ndata: {dataset: somewhere}\n"


def names(text, *overrides):
    return [recipe.name for recipe in expand(text, overrides)]


def test_a_recipe_without_lists_is_one_recipe_of_its_own_name():
    assert expand(PLAIN) == [parse_recipe(PLAIN)]


def test_a_grid_is_the_product_in_the_order_of_the_keys():
    recipes = expand(BASE)
    found = [(r.training.lr, r.model.name) for r in recipes]
    assert found == [
        (0.001, "resnet1d_wang"),
        (0.001, "xresnet1d50"),
        (0.01, "resnet1d_wang"),
        (0.01, "xresnet1d50"),
    ]
    assert [r.name for r in recipes] == [
        "mine-lr0.001-resnet1d-wang",
        "mine-lr0.001-xresnet1d50",
        "mine-lr0.01-resnet1d-wang",
        "mine-lr0.01-xresnet1d50",
    ]
    assert all(r.training.epochs == 3 for r in recipes)
    assert str(read_grid(BASE)) == "a grid of 4 recipes: training.lr 2 x model.name 2"


def test_overrides_make_axes_too_and_replace_those_of_the_file():
    assert names(BASE, "training.lr=1e-4", "seed=[0,1,2]", "model.name=xresnet1d50") == [
        f"mine-seed{k}" for k in range(3)
    ]
    assert names(BASE, "training.lr=1e-4", "model.options.width=[16, 32]")[1] == "mine-resnet1d-wang-width32"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.augment=[[], [noise], [noise, {name: scale, p: 0.5}]]", ["no-augment", "noise", "noise.scale"]),
        ("training.augment=[[{name: scale, p: 0.5}], [scale]]", ["augment-1", "augment-2"]),
        ("training.swa=[null, {start: 0.5}]", ["no-swa", "swa-2"]),
        ("training.swa={start: [0.5, 0.75]}", ["start0.5", "start0.75"]),
        ("training.compile=[false, true]", ["no-compile", "compile"]),
        ("training.ema=[null, 0.99]", ["no-ema", "ema0.99"]),
        ("training.loss_options={gamma: [1, 2]}", ["gamma1", "gamma2"]),
        ("model.fusion.hidden=[[], [64, 32]]", ["no-hidden", "hidden64.32"]),
        ("evaluation.calibration=[none, platt]", ["calibration-none", "platt"]),
        ("data.folds.validation=[[9], [10]]", None),
        ("data.dataset=[a/ptb xl+, b/cpsc]", ["ptb-xl", "cpsc"]),
    ],
)
def test_values_of_every_kind_are_axes_with_readable_names(override, expected):
    extra = ["data.folds.test=[]"] if "folds" in override else ["training.loss=focal"]
    expected = expected or ["validation9", "validation10"]
    assert names(PLAIN, override, *extra) == [f"mine-{label}" for label in expected]


def test_two_axes_that_end_alike_are_told_apart():
    assert (
        names(PLAIN, "training.lr=[1e-3, 1e-2]", "training.swa.lr=[1e-4, 1e-5]")[0]
        == "mine-training.lr0.001-swa.lr0.0001"
    )


def test_lists_where_lists_belong_are_no_axes():
    one = "name: mine\ndata: {dataset: x, folds: {train: [1, 2]}, facts: [age, sex]}\ntraining: {augment: [noise]}\n"
    assert [r.name for r in expand(one)] == ["mine"]


def test_names_stay_unique_and_short_where_values_are_long_or_alike():
    longest = ["training.device=[cpu, auto]", "model.name=[" + "a" * 60 + ", " + "b" * 60 + "]"]
    found = names(PLAIN, *longest)
    assert len(set(found)) == 4
    assert all(len(name) < 60 and set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for name in found)


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (BASE.replace("[1e-3, 1e-2]", "[]"), [], r"r.yaml:4: training.lr: an empty list is no grid axis; give values"),
        (BASE, ["training.lr=[]"], r"override training.lr=\[\]: training.lr: an empty list is no grid axis"),
        (BASE.replace("[1e-3, 1e-2]", "\n  - 1e-3\n  - fast"), [], "r.yaml:6: training.lr: .*number.*got 'fast'"),
        (BASE, ["training.lr=[1, no]"], "override training.lr=.*training.lr: a number is needed, not a truth value"),
        (BASE, ["training.lr=[1e-3, 0.001]"], "training.lr: 0.001 comes twice in the grid"),
        (BASE, ["name=[a, b]"], "name is no grid axis"),
        (BASE, ["training.augment=[[noise], scale]"], "training.augment: a grid of lists needs brackets around each"),
        (BASE, ["seed=" + str(list(range(65)))], r"r.yaml: the grid makes 260 runs \(training.lr 2 x model.name 2 x seed 65\), at most 256"),
        (BASE + "sweep: {}\n", [], "r.yaml:7: a recipe with a section sweep is searched, not trained: use  einthoven sweep r.yaml"),
        (BASE + "nam: [1, 2]\n", [], "r.yaml:7: unknown key .nam."),
    ],
)  # fmt: skip
def test_mistakes_in_axes_name_file_and_line(text, overrides, message):
    with pytest.raises(RecipeError, match=message):
        expand(text, overrides, "r.yaml")


def test_where_one_recipe_is_needed_a_grid_is_refused(tmp_path):
    (tmp_path / "r.yaml").write_text(BASE)
    with pytest.raises(
        RecipeError, match=r"r.yaml:4: a grid of 4 recipes \(training.lr, model.name\), where one is needed"
    ):
        load_recipe(tmp_path / "r.yaml")
    assert load_recipe(tmp_path / "r.yaml", ["training.lr=1", "model.name=a"]).training.lr == 1


def fake(recipe, runs, *, version=None, resume=None, short=False, announce=None, fail=()):
    """What training leaves, in an instant."""
    recipe = shorten(recipe) if short else recipe
    if recipe.name in fail:
        raise EinthovenError(f"{recipe.name} cannot be")
    run, _ = open_run(runs, recipe, version=version, short=short)
    write_json(run.path / "metrics.json", {"validation": {"split": "validation", "macro": {"auroc": 1}}})
    (run.path / "report.html").write_text("")
    run._lock.close()
    return run


def folder_of(tmp_path, **texts):
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_folder_is_trained_in_order_of_name_and_what_fails_is_told_at_the_end(tmp_path):
    folder = folder_of(
        tmp_path, b=PLAIN.replace("mine", "second") + "seed: [0, 1]\n", a=PLAIN.replace("mine", "first"), c="name: [\n"
    )
    queue = workflow.read_queue([folder])
    said = []

    def train_one(recipe, runs, **options):
        return fake(recipe, runs, **options, fail=["second-seed0"])

    outcomes = workflow.work_off(queue, tmp_path / "runs", train_one=train_one, announce=said.append)
    assert [(each.name, bool(each.error)) for each in outcomes] == [
        (str(folder / "c.yaml"), True),
        ("first", False),
        ("second-seed0", True),
        ("second-seed1", False),
    ]
    assert outcomes[2].error == "second-seed0 cannot be"
    assert "not YAML" in outcomes[0].error
    assert said[0] == f"{folder / 'b.yaml'}: a grid of 2 recipes: seed 2"


def test_an_interrupted_queue_goes_on_and_a_done_one_begins_anew(tmp_path):
    queue = workflow.read_queue([folder_of(tmp_path, a=PLAIN + "seed: [0, 1, 2]\n")])
    runs, trained = tmp_path / "runs", []

    def train_one(recipe, runs, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(recipe.name)
        return fake(recipe, runs, **options)

    with pytest.raises(KeyboardInterrupt):
        workflow.work_off(queue, runs, train_one=train_one)
    workflow.work_off(queue, runs, train_one=fake)
    assert [len(list_runs(runs, f"mine-seed{k}")) for k in range(3)] == [1, 1, 1]
    workflow.work_off(queue, runs, train_one=fake)
    assert [len(list_runs(runs, f"mine-seed{k}")) for k in range(3)] == [2, 2, 2]


def test_a_run_of_another_recipe_is_not_taken_for_a_finished_one(tmp_path):
    runs = tmp_path / "runs"
    fake(parse_recipe(PLAIN.replace("mine", "mine-seed0")), runs)
    folder = folder_of(tmp_path, a=PLAIN + "seed: [0, 1]\ntraining: {epochs: 7}\n")
    workflow.work_off(workflow.read_queue([folder]), runs, train_one=fake)
    assert len(list_runs(runs, "mine-seed0")) == 2
    assert is_of(list_runs(runs, "mine-seed0")[-1], expand(PLAIN + "seed: [0, 1]\ntraining: {epochs: 7}\n")[0])


def test_one_recipe_alone_fails_with_its_own_error(tmp_path):
    queue = workflow.read_queue([folder_of(tmp_path, a=PLAIN)])
    with pytest.raises(EinthovenError, match="^mine cannot be$"):
        workflow.work_off(queue, tmp_path, train_one=lambda *a, **o: fake(*a, **o, fail=["mine"]))


def test_defects_are_shown_in_full_and_do_not_stop_the_queue(tmp_path):
    queue, said = workflow.read_queue([folder_of(tmp_path, a=PLAIN + "seed: [0, 1]\n")]), []

    def train_one(recipe, runs, **options):
        if recipe.seed == 0:
            raise RuntimeError("CUDA out of memory")
        return fake(recipe, runs, **options)

    outcomes = workflow.work_off(queue, tmp_path / "runs", train_one=train_one, announce=said.append)
    assert [each.error for each in outcomes] == ["CUDA out of memory", None]
    assert any("Traceback" in text for text in said)


def test_queues_that_cannot_be_are_refused_before_anything_runs(tmp_path):
    folder = folder_of(tmp_path, a=PLAIN, b=PLAIN)
    with pytest.raises(RecipeError, match=r"a.yaml and .*b.yaml both have a recipe mine; give each a name"):
        workflow.read_queue([folder])
    with pytest.raises(RecipeError, match="no recipe .* is in this folder"):
        workflow.read_queue([tmp_path])
    for text, why in (
        ("ensemble: true\n", "ensemble: true is of a grid of two recipes or more"),
        ("ensemble: true\nseed: [0, 1]\n", "the folds' models have no validation records in common"),
    ):
        rotate = ["data.folds.rotate=true"] if "seed" in text else []
        (folder / "c.yaml").write_text(PLAIN + text)
        with pytest.raises(RecipeError, match=why):
            workflow.read_queue([folder / "c.yaml"], rotate)
    (folder / "c.yaml").write_text(PLAIN + "seed: [0, 1]\n")
    with pytest.raises(RecipeError, match="--resume goes on from a checkpoint of one run"):
        workflow.work_off(workflow.read_queue([folder / "c.yaml"]), tmp_path, Choice(resume="best"), train_one=fake)
    with pytest.raises(RecipeError, match="--test-only trains nothing"):
        Choice(version="new", test_only=True)


def test_the_ensemble_of_a_grid_is_made_of_its_runs_and_not_of_half_of_them(tmp_path, monkeypatch):
    made = []

    def make_ensemble(members, out, announce):
        made.append((members, out))
        write_json(out / "metrics.json", {"validation": {"split": "validation"}})

    monkeypatch.setattr("einthoven.workflow.ensembling.make_ensemble", make_ensemble)
    queue, runs = (
        workflow.read_queue([folder_of(tmp_path, a=PLAIN + "seed: [0, 1]\nensemble: true\n")]),
        tmp_path / "runs",
    )
    outcomes = workflow.work_off(queue, runs, train_one=lambda *a, **o: fake(*a, **o, fail=["mine-seed1"]))
    assert made == []
    assert outcomes[-1].error == "no ensemble is made, for 1 of 2 runs failed: mine-seed1"
    outcomes = workflow.work_off(queue, runs, train_one=fake)
    assert made == [([runs / "mine-seed0" / "001", runs / "mine-seed1" / "001"], runs / "mine-ensemble")]
    assert outcomes[-1].name == "mine-ensemble"
    assert "ensemble: false" in (runs / "mine-seed0" / "001" / "recipe.yaml").read_text()


def test_short_runs_are_never_taken_for_long_ones(tmp_path):
    recipe = parse_recipe(PLAIN)
    short = fake(recipe, tmp_path, short=True)
    assert short.path == tmp_path / "mine-short" / "001"
    assert json.loads((short.path / "environment.json").read_text())["short"] is True
    assert short.recipe().training.epochs == 1
    # A recipe that happens to have the short run's name does not continue it, nor is it judged for it.
    begin_run(tmp_path, shorten(recipe), short=True)._lock.close()
    run, continued = open_run(tmp_path, shorten(recipe))
    assert (run.path.name, continued) == ("003", False)
    with pytest.raises(RecipeError, match="no finished run"):
        workflow.find_models(
            [str(Path(folder_of(tmp_path, a=PLAIN.replace("mine", "mine-short"))) / "a.yaml")], tmp_path
        )
