import csv
import json

import numpy as np
import pytest

from einthoven.errors import DatasetError, RecipeError
from einthoven.labels import make_task
from einthoven.splits import write_split
from einthoven.training.recipe import Folds, load_recipe, parse_recipe
from einthoven.workflow.selection import select_records
from einthoven.workflow.split_outputs import write_recipes, write_tables
from einthoven.workflow.splitting import import_split, make_split, stored_split, usual_task

CODES = ("164889003", "426783006", "59118001")


@pytest.fixture
def dataset(make_dataset):
    """60 records of 30 patients from three sources."""
    rng = np.random.default_rng(0)
    statements = [[code for code in CODES if rng.random() < 0.4] or [CODES[1]] for _ in range(60)]
    return make_dataset(
        statements,
        patient_id=[f"p{k // 2}" for k in range(60)],
        source=[("A", "B", "C 3/4")[k // 20] for k in range(60)],
        age=[None, *[50.0] * 59],
    )


def test_a_split_is_written_with_what_made_it(dataset):
    made = make_split(dataset, "kfold", folds=3, seed=4, name="three")
    assert dataset.folds("three") == made.fold
    about = json.loads((dataset.path / "splits" / "three.json").read_text())
    assert (about["method"], about["seed"]) == ("kfold", 4)
    assert about["arguments"] == {"folds": 3, "ungrouped": False, "task": "all"}
    assert about["fold_names"] == {"1": "fold 1", "2": "fold 2", "3": "fold 3"}
    assert about["grouping"] == "patients"
    assert sum(count["records"] for count in about["counts"]) == 60
    assert sum(count["patients"] for count in about["counts"]) == 30
    labels = make_task("all", dataset.label_table).targets(dataset.records.statements)
    for count in about["counts"]:
        here = [row for row, f in enumerate(made.fold) if f == count["fold"]]
        assert list(count["classes"].values()) == labels[here].sum(axis=0).tolist()


def test_the_name_is_the_methods_and_is_not_taken_twice(dataset):
    first = make_split(dataset, "kfold")
    assert first.name == "kfold"
    with pytest.raises(DatasetError, match=r"kfold\.csv: this split exists; --overwrite replaces it"):
        make_split(dataset, "kfold", seed=1)
    again = make_split(dataset, "kfold", seed=1, overwrite=True)
    assert stored_split(dataset, "kfold") == again
    with pytest.raises(DatasetError, match="'../x' is no name for a split"):
        make_split(dataset, "kfold", name="../x")


def test_unknown_tasks_and_splits_are_named(dataset):
    with pytest.raises(RecipeError, match=r"task 'rythm' \(did you mean 'rhythm'\?\)"):
        make_split(dataset, "kfold", task="rythm")
    make_split(dataset, "kfold")
    with pytest.raises(DatasetError, match=r"no split 'kfol' \(did you mean 'kfold'\?\)"):
        stored_split(dataset, "kfol")
    with pytest.raises(DatasetError, match="kfold divides all records"):
        make_split(dataset, "kfold", of="kfold")


def test_nested_parts_divide_a_named_split(dataset):
    base = make_split(dataset, "shuffle")
    made = make_split(dataset, "nested", of="shuffle", shares=(0.5, 0.25))
    assert made.about.arguments["of"] == "shuffle"
    assert [f == 5 for f in made.fold] == [f == 3 for f in base.fold]
    assert [f == 4 for f in made.fold] == [f == 2 for f in base.fold]


def test_recipes_can_be_read_and_select_what_the_split_says(dataset, tmp_path):
    made = make_split(dataset, "leave-one-source-out")
    like = parse_recipe("name: x\nseed: 7\ndata: {dataset: y}\nmodel: {name: xresnet1d50}\ntraining: {epochs: 3}\n")
    paths = write_recipes(dataset, made, tmp_path / "recipes", like)
    assert [path.name for path in paths] == [f"leave-one-source-out-test-{s}.yaml" for s in ("A", "B", "C-3-4")]
    for k, path in enumerate(paths, start=1):
        recipe = load_recipe(path)
        assert (recipe.seed, recipe.model.name, recipe.training.epochs) == (7, "xresnet1d50", 3)
        assert recipe.data.folds.split == "leave-one-source-out"
        selected = select_records(dataset, usual_task(dataset, recipe.data.task), recipe.data.folds)
        assert {dataset.records.source[row] for row in selected.rows["test"]} == {made.about.fold_names[k]}
    commands = (tmp_path / "recipes" / "commands.txt").read_text().splitlines()
    assert commands[:2] == [
        f"einthoven train {paths[0]}",
        "einthoven evaluate runs/leave-one-source-out-test-A/001 --split test",
    ]
    assert len(commands) == 6


def test_a_recipe_without_a_model_recipe_has_the_defaults(dataset, tmp_path):
    path = write_recipes(dataset, make_split(dataset, "shuffle", shares=(0.75, 0.25)), tmp_path)[0]
    recipe = load_recipe(path)
    assert (path.name, recipe.data.folds.test) == ("shuffle.yaml", ())
    assert "--split test" not in (tmp_path / "commands.txt").read_text()


def test_a_split_of_one_fold_has_no_recipe(dataset, tmp_path):
    write_split(dataset.path / "splits" / "one.csv", dataset.records.record_id, [1] * 60)
    made = stored_split(dataset, "one")
    assert made.about.method == "by hand"
    with pytest.raises(DatasetError, match="has 1 folds, too few"):
        write_recipes(dataset, made, tmp_path)
    with pytest.raises(DatasetError, match="too few folds"):
        write_tables(dataset, made, tmp_path)


def test_tables_written_are_tables_read(dataset, tmp_path):
    made = make_split(dataset, "shuffle")
    paths = write_tables(dataset, made, tmp_path / "csv", ".mat")
    assert [path.name for path in paths] == ["train.csv", "validation.csv", "test.csv"]
    rows = list(csv.DictReader(paths[0].open()))
    assert list(rows[0]) == ["path", "age", "gender", *CODES]
    for row in rows:
        at = dataset.records.record_id.index(row["path"].removesuffix(".mat"))
        assert {code for code in CODES if row[code] == "1"} == set(dataset.records.statements[at])
        assert row["age"] == ("-1" if at == 0 else "50")
    back = import_split(dataset, paths)
    assert back.fold == made.fold
    assert back.about.roles == made.about.roles
    assert not back.notes


def test_each_use_of_a_split_has_its_own_tables(dataset, tmp_path):
    paths = write_tables(dataset, make_split(dataset, "kfold", folds=3), tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths[:4]] == [
        "fold-1/train.csv",
        "fold-1/validation.csv",
        "fold-1/test.csv",
        "fold-2/train.csv",
    ]


def test_tables_need_snomed_codes(make_dataset, tmp_path):
    other = make_dataset([[CODES[0]]] * 10, label_system="scp")
    with pytest.raises(DatasetError, match="its labels are of the system 'scp'.*SNOMED CT"):
        write_tables(other, make_split(other, "shuffle"), tmp_path)


def test_imported_tables_may_not_tear_patients_apart(dataset, tmp_path):
    for name, first in (("train", 0), ("test", 1)):
        lines = [f"r{k}.mat" for k in range(first, 60, 2)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path", *lines]) + "\n")
    with pytest.raises(DatasetError, match="30 patients would be in two folds"):
        import_split(dataset, [tmp_path / "train.csv", tmp_path / "test.csv"])
    assert not (dataset.path / "splits").exists()


def test_what_tables_do_not_match_is_told(dataset, tmp_path):
    for name, rows in (("train", range(20)), ("test", range(20, 40))):
        lines = [f"r{k}.mat" for k in rows] + [f"{name}-other.mat"]
        (tmp_path / f"{name}.csv").write_text("\n".join(["path", *lines]) + "\n")
    made = import_split(dataset, [tmp_path / "train.csv", tmp_path / "test.csv"], name="theirs")
    assert made.notes == (
        "2 records of the tables are not in the dataset: train-other, test-other",
        "20 records of the dataset are in no table and have no fold",
    )
    assert made.about.fold_names == {1: "train", 2: "test"}


def test_unknown_patients_are_told(make_dataset):
    made = make_split(make_dataset([[CODES[0]]] * 10, patient_id=[None] * 10), "kfold", folds=2, ungrouped=True)
    assert made.notes == ("10 records have no patient id: nothing proves that no patient crosses",)


def test_a_leak_by_design_passes_with_its_reason_and_no_other_way(dataset):
    task, folds = usual_task(dataset), Folds(split="random-beats", train=(1,), validation=(2,), test=(3,))
    made = make_split(dataset, "random-beats")
    assert made.notes[0].startswith("warning: this split leaks by design")
    assert select_records(dataset, task, folds).leaks == made.about.leaks
    companion = made.path.with_suffix(".json")
    text = companion.read_text()
    companion.unlink()
    with pytest.raises(DatasetError, match="the folds leak patients"):
        select_records(dataset, task, folds)
    companion.write_text(text)
    write_split(made.path, dataset.records.record_id, [*made.fold[1:], made.fold[0]])
    with pytest.raises(DatasetError, match="was altered"):
        select_records(dataset, task, folds)


def test_making_a_split_anew_takes_its_excuse_away(dataset):
    make_split(dataset, "random-beats", name="x")
    make_split(dataset, "kfold", name="x", overwrite=True)
    folds = Folds(split="x", train=(1,), validation=(2,), test=(3,))
    assert select_records(dataset, usual_task(dataset), folds).leaks is None


def test_a_person_whom_a_publication_has_twice_passes(make_dataset):
    numbers = [101, 106, 201, 202, 100, 103]
    dataset = make_dataset(
        [[CODES[k % 2]] for k in range(24)],
        record_id=[f"{number}-{beat:06d}" for number in numbers for beat in range(4)],
        patient_id=[str(201 if number == 202 else number) for number in numbers for _ in range(4)],
    )
    made = make_split(dataset, "inter-patient")
    assert "patient 201 is in two folds" in made.notes[0]
    roles = made.about.roles[0]
    folds = Folds(split="inter-patient", train=roles.train, validation=roles.validation, test=roles.test)
    assert select_records(dataset, usual_task(dataset), folds).leaks is None


def test_parts_without_records_have_no_table(make_dataset, tmp_path):
    dataset = make_dataset([[CODES[0]]] * 10)
    paths = write_tables(dataset, make_split(dataset, "shuffle", shares=(0.5, 0.5)), tmp_path)
    assert [path.name for path in paths] == ["train.csv", "validation.csv"]


def test_sources_whose_names_fit_no_two_files_are_named(make_dataset, tmp_path):
    dataset = make_dataset([[CODES[0]]] * 9, source=[("A 1", "A/1", "B")[k // 3] for k in range(9)])
    with pytest.raises(DatasetError, match="two uses of the split would be called 'test-A-1'"):
        write_recipes(dataset, make_split(dataset, "leave-one-source-out", name="s"), tmp_path)


def test_a_recipe_changed_by_hand_is_not_replaced_unasked(dataset, tmp_path):
    made = make_split(dataset, "shuffle", shares=(0.6, 0.2, 0.2))
    (path,) = write_recipes(dataset, made, tmp_path / "r")
    write_recipes(dataset, made, tmp_path / "r")
    path.write_text(path.read_text() + "# mine\n")
    with pytest.raises(DatasetError, match="exists and differs; --overwrite replaces it"):
        write_recipes(dataset, made, tmp_path / "r")
    write_recipes(dataset, made, tmp_path / "r", overwrite=True)
    assert "# mine" not in path.read_text()
