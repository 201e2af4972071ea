import json
import shutil

import numpy as np
import pytest
import torch

from einthoven.bundle import digest_of, load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import BundleError, DatasetError, RecipeError
from einthoven.labels import Task
from einthoven.models.teacher import Teacher
from einthoven.training.device import make_engine
from einthoven.training.loop import Trainer
from einthoven.training.runs import open_run
from einthoven.training.schema import Distillation
from einthoven.workflow.distilling import load_teacher
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import Selected, select_for


@pytest.fixture(scope="module")
def teacher_run(dataset_folder, tmp_path_factory, tiny, bundled):
    """A network that learned from every label of its folds."""
    recipe = tiny(dataset_folder, "model.options={width: 16}", "training.epochs=15")
    return bundled(recipe, tmp_path_factory.mktemp("teacher"), trained=True)


@pytest.fixture
def student(dataset_folder, tiny, teacher_run):
    """The student's recipe and records, with the teacher's folds."""

    def make(*overrides):
        recipe = tiny(dataset_folder, f"training.distill={{teacher: {teacher_run.path}}}", "seed=3", *overrides)
        return recipe, select_for(recipe, open_dataset(dataset_folder))

    return make


def _signals(n=4, samples=250):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, 12, samples)).astype(np.float32))


def test_a_teacher_answers_as_its_bundle_does_and_learns_nothing(student, teacher_run):
    recipe, selected = student()
    teacher = make_problem(recipe, selected).teacher
    x, bundle = _signals(), load_bundle(teacher_run.path)
    np.testing.assert_allclose(teacher(x).sigmoid().numpy(), bundle.scores(x.numpy()), atol=1e-4)
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())
    assert teacher(_signals(samples=400)).shape == (4, 5)  # a window of its own length is not needed


def test_its_classes_are_put_into_the_students_order(student, teacher_run):
    selected = student()[1]
    task = selected.task
    order = tuple(reversed(task.classes))
    turned = Task(task.name, order, task.class_of, task.kind, task.min_likelihood, task.descriptions)
    other = Selected(selected.dataset, turned, selected.targets[:, ::-1], selected.rows, selected.n_unlabelled)
    distill = Distillation(teacher=str(teacher_run.path))
    x = _signals()
    torch.testing.assert_close(load_teacher(distill, other)(x), load_teacher(distill, selected)(x).flip(1))


def test_facts_reach_the_teacher_by_name_and_others_stay_unknown():
    class Sees(torch.nn.Module):
        def forward(self, x, facts=None):
            return torch.zeros(len(x), 3) if facts is None else facts

    facts = torch.tensor([[60.0, 1.0], [30.0, 0.0]])
    teacher = Teacher(Sees(), [2, 0], [1, None, 0])  # sees: the student's second, one it lacks, the student's first
    assert teacher(torch.zeros(2, 12, 50), facts).tolist() == [[60, 1], [30, 0]]
    assert teacher(torch.zeros(2, 12, 50)).tolist() == [[0, 0], [0, 0]]
    unknown = Teacher(Sees(), [1], [1, None, 0])(torch.zeros(2, 12, 50), facts)
    assert torch.isnan(unknown).all()


def _kl(model, teacher, problem):
    """Mean Kullback-Leibler divergence of the student's answers from the teacher's, on records of neither's training."""
    dataset = problem.dataset
    x = torch.from_numpy(np.nan_to_num(np.stack([dataset.signal(int(row)) for row in problem.validation])))
    with torch.inference_mode():
        p, q = (torch.sigmoid(m(x)).double().clamp(1e-6, 1 - 1e-6) for m in (teacher, model.eval()))
    return float((p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).sum(dim=1).mean())


def test_a_student_of_few_labels_agrees_more_with_a_teacher_that_it_learned_from(student, tmp_path):
    divergence = {}
    for name in ("taught", "alone"):
        recipe, selected = student("data.sample_frac=0.3", "training.epochs=20", f"name={name}")
        teacher = make_problem(recipe, selected).teacher
        distill = (
            recipe.training.distill.model_copy(update={"weight": 1.0, "temperature": 2.0}) if name == "taught" else None
        )
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"distill": distill})})
        trainer = Trainer(recipe, make_problem(recipe, selected), make_engine("cpu", "fp32", 1))
        trainer.fit(open_run(tmp_path, recipe)[0])
        divergence[name] = _kl(trainer.model, teacher, trainer.problem)
    assert divergence["taught"] < 0.7 * divergence["alone"]


@pytest.mark.parametrize(
    ("overrides", "error", "said"),
    [
        (
            ["data.task=diagnostic"],
            RecipeError,
            "knows other classes: only the teacher has CD, HYP, MI, STTC; only the student has 1AVB",
        ),
        (["data.single_label=true"], RecipeError, "is multilabel, the student multiclass; set data.single_label"),
        (
            ["data.folds={train: [2, 3, 4, 5, 6], validation: [1], test: [10]}"],
            DatasetError,
            r"was trained on \d+ of the patients in the student's validation folds, for example",
        ),
        (
            ["data.folds={train: [6, 7, 8], validation: [9], test: [1, 2]}"],
            DatasetError,
            r"was trained on \d+ of the patients in the student's test folds, for example",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_or_has_seen_too_much_is_refused(student, overrides, error, said):
    with pytest.raises(error, match=f"training.distill: the teacher tiny {said}"):
        make_problem(*student(*overrides))


def test_what_cannot_be_proven_is_said(student, teacher_run, tmp_path):
    recipe, selected = student()
    told = []
    make_problem(recipe, selected, told.append)
    assert told == []
    away = _altered(
        teacher_run, tmp_path / "away", lambda a: a["provenance"].update(listing_sha256="0", dataset="cpsc")
    )
    load_teacher(Distillation(teacher=away), selected, announce=told.append)
    assert len(told) == 1
    assert "was trained on another preparation or corpus (cpsc), so nothing proves" in told[0]
    recipe, selected = student("data.folds={train: [1, 2, 3], validation: [7], test: [6]}")
    make_problem(recipe, selected, told.append)
    assert "patients of the student's test folds chose the epoch of the teacher tiny" in told[1]


def test_signals_of_another_form_and_crops_that_it_cannot_take_are_named(student, teacher_run, tmp_path, monkeypatch):
    _, selected = student()
    fast = _altered(teacher_run, tmp_path / "fast", lambda a: a["spec"].update(fs=500.0))
    with pytest.raises(RecipeError, match=r"needs signals of another form than .*: fs is 500.0, not 100.0; prepare a"):
        load_teacher(Distillation(teacher=fast), selected)
    few = _altered(teacher_run, tmp_path / "few", lambda a: a["spec"].update(leads=list(reversed(a["spec"]["leads"]))))
    with pytest.raises(RecipeError, match="leads is V6, V5, .*, not I, II"):
        load_teacher(Distillation(teacher=few), selected)
    with pytest.raises(BundleError, match="no bundle 'nowhere'"):
        load_teacher(Distillation(teacher="nowhere"), selected)

    def refuse(self, x, facts=None):
        raise RuntimeError("kernel size can't be greater than actual input size\nand more")

    monkeypatch.setattr("einthoven.models.scaling.Classifier.forward", refuse)
    with pytest.raises(
        RecipeError, match="cannot take crops of 3 samples: kernel size .* size; change data.crop_s to its 2.5 s"
    ):
        load_teacher(Distillation(teacher=str(teacher_run.path)), selected, n_samples=3)


def _altered(run, folder, change):
    """A copy of a bundle whose ``bundle.json`` says something else."""
    shutil.copytree(run.bundle, folder)
    about = json.loads((folder / "bundle.json").read_text())
    del about["sha256"]
    change(about)
    (folder / "bundle.json").write_text(json.dumps({**about, "sha256": digest_of(about)}))
    return str(folder)
