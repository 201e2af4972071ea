"""Which models the Explorer offers, in which order, and what it says of those that it cannot offer."""

import shutil

import pytest

from einthoven.bundle import PRETRAINED, list_pretrained, load_bundle
from einthoven.errors import BundleError
from einthoven.training.recipe import parse_recipe
from einthoven.training.runs import begin_run
from einthoven.workflow.choosing import ENVIRONMENT, find_choices

SHIPPED = "ptbxl-superdiagnostic"


def make_run(folder, name, auroc, loss, accuracy, *, began, bundle=True, select="auroc"):
    recipe = parse_recipe(f"name: {name}\ndata: {{dataset: x}}\nevaluation: {{select: {select}}}\n")
    run = begin_run(folder, recipe, began=began)
    figures = {"validation_loss": loss, "validation_auroc": auroc, "validation_accuracy": accuracy}
    run.write_history([{"epoch": 1, "train_loss": 0.5, "lr": 0.01, "seconds": 1.0, **figures}])
    (run.path / "report.html").write_text("")
    if bundle:
        (run.path / "bundle").symlink_to(PRETRAINED / SHIPPED)
    run._lock.close()
    return run.path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    make_run(folder, "ranked", 0.95, 0.40, 0.80, began="2026-01-03")
    make_run(folder, "exact", 0.90, 0.50, 0.92, began="2026-01-01")
    make_run(folder, "smooth", 0.91, 0.20, 0.81, began="2026-01-02")
    make_run(folder, "bare", 0.99, 0.10, 0.99, began="2026-01-04", bundle=False)
    (folder / "broken" / "001").mkdir(parents=True)
    (folder / "broken" / "001" / "recipe.yaml").write_text("nonsense: 1\n")
    return folder


def places(found):
    return {choice.key: choice.where for choice in found.every}


def test_the_shipped_model_comes_first_where_nothing_is_stated(runs):
    first = find_choices(runs, environment={}).every[0]
    assert first.where == SHIPPED
    assert load_bundle(first.where).name == SHIPPED


def test_runs_are_ranked_by_auroc_accuracy_and_loss_and_the_latest_is_known(runs):
    found = places(find_choices(runs, environment={}))
    assert found["auroc"] == str(runs / "ranked" / "001")
    assert found["accuracy"] == str(runs / "exact" / "001")
    assert found["loss"] == str(runs / "smooth" / "001")
    assert found["date"] == str(runs / "ranked" / "001")


def test_a_rank_by_another_figure_than_the_bundles_epoch_says_so_and_takes_the_other_bundle_where_it_is(runs, tmp_path):
    runs = shutil.copytree(runs, tmp_path / "copy", symlinks=True)
    before = next(c for c in find_choices(runs, environment={}).every if c.key == "accuracy")
    assert "best by auroc" in before.remark
    assert "--prefer accuracy" in before.remark
    (runs / "exact" / "001" / "bundle-accuracy").mkdir()
    (runs / "exact" / "001" / "bundle-accuracy" / "bundle.json").write_text("{}")
    after = next(c for c in find_choices(runs, environment={}).every if c.key == "accuracy")
    assert after.where.endswith("bundle-accuracy")
    assert not after.remark


def test_a_run_that_chose_its_epoch_by_the_same_figure_needs_no_remark(tmp_path):
    make_run(tmp_path, "one", 0.9, 0.4, 0.9, began="2026-01-01", select="loss")
    found = {c.key: c for c in find_choices(tmp_path, environment={}).every}
    assert not found["loss"].remark
    assert found["accuracy"].remark


def test_broken_and_unfinished_runs_are_named_and_not_offered(runs):
    found = find_choices(runs, environment={})
    assert any("broken/001" in text and "cannot be read" in text for text in found.problems)
    assert any("bare/001" in text and "not finished" in text for text in found.problems)
    assert not {str(runs / name / "001") for name in ("broken", "bare")} & set(places(found).values())


def test_the_environment_goes_before_what_is_stated(runs):
    stated = find_choices(runs, "accuracy", {})
    assert stated.every[0].key == "accuracy"
    both = find_choices(runs, "accuracy", {ENVIRONMENT: "/somewhere/else"})
    assert both.every[0].where == "/somewhere/else"
    assert both.every[1].key == "accuracy"


@pytest.mark.parametrize(("stated", "key"), [("latest", "date"), ("loss", "loss"), (SHIPPED, f"shipped {SHIPPED}")])
def test_a_stated_rank_or_name_comes_first_and_only_once(runs, stated, key):
    found = find_choices(runs, stated, {})
    assert found.every[0].key == key
    assert len({choice.key for choice in found.every}) == len(found.every)


def test_a_stated_folder_is_offered_and_a_known_run_is_not_offered_twice(runs, tmp_path):
    other = PRETRAINED / SHIPPED
    assert find_choices(runs, str(other), {}).every[0].where == str(other)
    run = str(runs / "exact" / "001")
    assert find_choices(runs, run, {}).every[0].where == run


def test_what_is_nowhere_is_refused_with_the_nearest_name(runs):
    with pytest.raises(BundleError, match=f"did you mean '{SHIPPED}'"):
        find_choices(runs, "ptbxl-superdiagnostics", {})
    with pytest.raises(BundleError, match="no finished run"):
        find_choices(runs / "nothing", "auroc", {})


def test_without_a_folder_of_runs_the_shipped_models_remain(tmp_path):
    found = find_choices(tmp_path / "absent", environment={})
    of_recordings = [name for name in list_pretrained() if name != "mitdb-heartbeats"]
    assert [choice.where for choice in found.every] == of_recordings
    assert of_recordings[0] == SHIPPED
    assert not found.problems
