import csv
import json
import shutil

import pytest
from typer.testing import CliRunner

from einthoven.cli.main import app
from einthoven.dataset import open_dataset
from einthoven.errors import EinthovenError
from einthoven.splits import write_split


@pytest.fixture(scope="module")
def folder(dataset_folder, tmp_path_factory):
    """A copy of the synthetic dataset that may be written to, with splits made by command."""
    copy = tmp_path_factory.mktemp("split") / "dataset"
    shutil.copytree(dataset_folder, copy)
    for method in ("kfold", "random-beats"):
        assert einthoven("split", copy, "--method", method).exit_code == 0
    return copy


def einthoven(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments):
    done = einthoven(*arguments)
    assert isinstance(done.exception, EinthovenError), done.output
    return str(done.exception)


def test_a_split_is_made_shown_and_used_in_recipes(folder, tmp_path):
    done = einthoven("split", folder, "--method", "nested", "--shares", "1/2,1/4", "--recipes", tmp_path / "recipes")
    assert done.exit_code == 0, done.output
    assert "kept together: patients" in done.output
    assert "classes are within 1 %" in done.output
    assert sorted(path.name for path in (tmp_path / "recipes").iterdir()) == [
        "commands.txt",
        "nested-train-0.25.yaml",
        "nested-train-0.5.yaml",
        "nested-train-1.yaml",
    ]
    again = einthoven("split", folder, "--name", "nested", "--recipes", tmp_path / "again")
    assert again.exit_code == 0, again.output
    assert len(list((tmp_path / "again").iterdir())) == 4


def test_a_leaky_split_is_made_with_a_warning_and_fails_the_audit(folder):
    done = einthoven("split", folder, "--method", "random-beats", "--overwrite")
    assert done.output.startswith("warning: this split leaks by design")
    assert einthoven("audit", folder, "--split", "random-beats").exit_code == 2


def test_the_audit_says_its_verdict_in_words_and_json(folder):
    done = einthoven("audit", folder, "--split", "kfold")
    assert done.exit_code == 0, done.output
    assert "split kfold: no leak" in done.output
    assert "largest deviation" in done.output
    found = json.loads(einthoven("audit", folder, "--json").output)
    assert (found["verdict"], found["leaks"], found["split"]) == ("no leak", False, None)
    assert sum(part["records"] for part in found["parts"]["folds"]) == 240


def test_a_split_of_other_toolkits_is_imported(folder, tmp_path):
    names = open_dataset(folder).records
    fold = names.fold
    for part, folds in (("train", range(1, 9)), ("validation", [9]), ("test", [10])):
        rows = [name for name, f in zip(names.record_id, fold, strict=True) if f in folds]
        (tmp_path / f"{part}.csv").write_text("\n".join(["path", *(f"{name}.mat" for name in rows)]) + "\n")
    parts = [tmp_path / f"{part}.csv" for part in ("train", "validation", "test")]
    done = einthoven("split", folder, "--from-csv", *parts, "--name", "theirs")
    assert done.exit_code == 0, done.output
    assert open_dataset(folder).folds("theirs") == [1 if f < 9 else f - 7 for f in fold]


def test_samples_are_exported_with_an_index(folder, tmp_path):
    done = einthoven("samples", folder, tmp_path / "s", "--per-class", 2, "--folds", "9,10")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader((tmp_path / "s" / "index.csv").open()))
    assert {row["class"] for row in rows} == {"CD", "HYP", "MI", "NORM", "STTC"}
    assert {row["fold"] for row in rows} <= {"9", "10"}
    assert all((tmp_path / "s" / row["file"]).is_file() for row in rows)
    assert "is not empty; --overwrite" in refused("samples", folder, tmp_path / "s")
    assert "--folds 'nine'" in refused("samples", folder, tmp_path / "t", "--folds", "nine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "how to divide? --method is one of kfold"),
        (("--method", "kfolds"), "did you mean 'kfold'?"),
        (("--method", "kfold", "--name", "x", "--task", "superdiagnostics"), "did you mean 'superdiagnostic'?"),
        (("--method", "kfold", "--name", "x", "--folds", 9999), "a fold would be empty"),
        (("--method", "kfold"), "this split exists; --overwrite"),
        (("--method", "shuffle", "--shares", "a,b"), "--shares 'a,b': write numbers"),
        (("--method", "shuffle", "--shares", "0.8,0.1"), "sum to 0.9"),
        (("--method", "kfold", "--from-csv", "a.csv"), "choose one of --method and --from-csv"),
        (("--name", "kfold", "--seed", 1), "--seed belongs to a method"),
        (("--from-csv", "a.csv", "--of", "kfold"), "--of belongs to a method"),
        (("a.csv", "--method", "kfold"), "tables are imported with --from-csv"),
        (("--name", "kfold", "--like", "r.yaml"), "--like is the model for recipes"),
        (("--name", "kfold", "--csv", "out"), "these tables have SNOMED CT columns"),
        (("--name", "kfo"), "no split 'kfo'"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(folder, arguments, message):
    assert message in refused("split", folder, *arguments)


def test_many_classes_are_shown_in_part_and_those_beyond_the_limit_with_their_reason(folder):
    done = einthoven("split", folder, "--method", "kfold", "--name", "every", "--task", "all", "--folds", 10)
    assert done.exit_code == 0, done.output
    assert "classes are shown: those farthest from their due" in done.output
    beyond = [line for line in done.output.splitlines() if " in fold " in line and ", due " in line]
    classes = next(line for line in done.output.splitlines() if "within 1 %" in line).split()
    assert len(beyond) == min(8, int(classes[2]) - int(classes[0]))


def test_what_crosses_is_listed(folder):
    table = open_dataset(folder).records
    twice = next(p for p in table.patient_id if table.patient_id.count(p) > 1)
    row = table.patient_id.index(twice)
    fold = [f + 1 if k == row else f for k, f in enumerate(table.fold)]
    write_split(folder / "splits" / "torn.csv", table.record_id, fold)
    done = einthoven("audit", folder, "--split", "torn")
    assert done.exit_code == 2
    assert "split torn: leak: 1 patients are in more than one fold" in done.output
    assert f"patient {twice} is in folds {table.fold[row]}, {table.fold[row] + 1}" in done.output
