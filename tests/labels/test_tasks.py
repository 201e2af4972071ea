import numpy as np
import pytest

from einthoven.errors import RecipeError
from einthoven.labels import Statement, make_task, table_tasks

TABLE = {
    "NORM": Statement("normal ECG", {"diagnostic": "NORM", "subdiagnostic": "NORM", "superdiagnostic": "NORM"}),
    "IMI": Statement(
        "inferior myocardial infarction", {"diagnostic": "IMI", "subdiagnostic": "IMI", "superdiagnostic": "MI"}
    ),
    "AMI": Statement(
        "anterior myocardial infarction", {"diagnostic": "AMI", "subdiagnostic": "AMI", "superdiagnostic": "MI"}
    ),
    "NDT": Statement(
        "non-diagnostic T",
        {"diagnostic": "NDT", "subdiagnostic": "STTC", "superdiagnostic": "STTC", "form": "NDT"},
    ),
    "PVC": Statement("ventricular premature complex", {"form": "PVC"}),
    "AFIB": Statement("atrial fibrillation", {"rhythm": "AFIB"}),
}


@pytest.mark.parametrize(
    ("task", "classes"),
    [
        ("all", ("AFIB", "AMI", "IMI", "NDT", "NORM", "PVC")),
        ("diagnostic", ("AMI", "IMI", "NDT", "NORM")),
        ("subdiagnostic", ("AMI", "IMI", "NORM", "STTC")),
        ("superdiagnostic", ("MI", "NORM", "STTC")),
        ("form", ("NDT", "PVC")),
        ("rhythm", ("AFIB",)),
    ],
)
def test_each_task_has_its_classes_in_alphabetical_order(task, classes):
    assert make_task(task, TABLE).classes == classes
    assert task in table_tasks(TABLE)


def test_a_statement_counts_whatever_its_likelihood():
    targets = make_task("superdiagnostic", TABLE).targets([{"IMI": 0.0, "NDT": 15.0, "AFIB": 0.0}, {"PVC": 0.0}])
    np.testing.assert_array_equal(targets, [[1, 0, 1], [0, 0, 0]])


def test_a_likelihood_threshold_drops_stated_lower_ones_and_keeps_the_unstated():
    task = make_task("superdiagnostic", TABLE, min_likelihood=50)
    np.testing.assert_array_equal(task.targets([{"IMI": 35.0, "NDT": 0.0, "NORM": 80.0}]), [[0, 1, 1]])


def test_the_single_label_collapse_keeps_the_likeliest():
    task = make_task("superdiagnostic", TABLE, single_label=True)
    assert task.kind == "multiclass"
    np.testing.assert_array_equal(
        task.targets([{"NDT": 50.0, "IMI": 80.0}, {"NORM": 100.0, "NDT": 100.0}]), [[1, 0, 0], [0, 1, 0]]
    )


def test_descriptions_are_words():
    assert make_task("superdiagnostic", TABLE).descriptions["MI"] == "myocardial infarction"
    assert make_task("rhythm", TABLE).descriptions["AFIB"] == "atrial fibrillation"


def test_unknown_and_empty_tasks_are_refused():
    with pytest.raises(
        RecipeError,
        match=r"task 'superdiag' \(did you mean 'superdiagnostic'\?\); its labels have the tasks all, diagnostic",
    ):
        make_task("superdiag", TABLE)
    with pytest.raises(RecipeError, match="no statement of this dataset belongs to the task 'rhythm'"):
        make_task("rhythm", {"NORM": TABLE["NORM"]})
