"""From coded statements to targets: the six tasks of the PTB-XL benchmark, and every option said aloud.

A dataset keeps statements as published; a task is chosen when a model is trained, so one dataset serves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecipeError, nearest

__all__ = ["Statement", "Task", "make_task", "task_names"]

TaskKind = Literal["multilabel", "multiclass"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One row of a label table: what a code means and which groups it belongs to."""

    description: str
    diagnostic: bool = False
    form: bool = False
    rhythm: bool = False
    superclass: str | None = None
    subclass: str | None = None


# Strodthoff et al. 2021, "Deep Learning for ECG Analysis: Benchmarks and Insights from PTB-XL": each task maps a
# statement to its class, or to None where the statement does not belong to the task.
_TASKS: dict[str, Callable[[str, Statement], str | None]] = {
    "all": lambda code, s: code,
    "diagnostic": lambda code, s: code if s.diagnostic else None,
    "subdiagnostic": lambda code, s: s.subclass if s.diagnostic else None,
    "superdiagnostic": lambda code, s: s.superclass if s.diagnostic else None,
    "form": lambda code, s: code if s.form else None,
    "rhythm": lambda code, s: code if s.rhythm else None,
}


def task_names() -> tuple[str, ...]:
    """Names that ``make_task`` knows."""
    return tuple(_TASKS)


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be predicted.

    Attributes:
        name: one of ``task_names()``.
        classes: class names, alphabetical as in the benchmark.
        class_of: the class of each statement code that counts.
        kind: ``"multilabel"``, or ``"multiclass"`` after the single-label collapse.
        min_likelihood: statements with a stated likelihood (above 0) below this do not count.
        descriptions: what each class is, in words, where the table tells.
    """

    name: str
    classes: tuple[str, ...]
    class_of: Mapping[str, str]
    kind: TaskKind
    min_likelihood: float
    descriptions: Mapping[str, str]

    def targets(self, statements: Sequence[Mapping[str, float | None]]) -> NDArray[np.float32]:
        """Return targets of shape (records, classes), 0 or 1; a row of zeros has no label of this task.

        PTB-XL writes likelihood 0 for "not stated", so such statements always count. The single-label collapse keeps
        the statement of highest likelihood, the first one where several are equal.
        """
        index = {name: k for k, name in enumerate(self.classes)}
        targets = np.zeros((len(statements), len(self.classes)), np.float32)
        for row, found in enumerate(statements):
            counted = [(likelihood or 0.0, code) for code, likelihood in found.items() if code in self.class_of]
            counted = [(p, code) for p, code in counted if p == 0 or p >= self.min_likelihood]
            if self.kind == "multiclass" and counted:
                counted = [max(counted, key=lambda pair: pair[0])]
            for _, code in counted:
                targets[row, index[self.class_of[code]]] = 1
        return targets


def make_task(
    name: str, table: Mapping[str, Statement], *, min_likelihood: float = 0.0, single_label: bool = False
) -> Task:
    """Build a task from a label table.

    Args:
        name: one of ``task_names()``.
        table: the meaning of each code.
        min_likelihood: percent; see ``Task``.
        single_label: keep one class per record; the model becomes a multi-class one.

    Raises:
        RecipeError: an unknown task, or one that no statement of the table belongs to.
    """
    if name not in _TASKS:
        raise RecipeError(f"unknown task {name!r}{nearest(name, _TASKS)}; tasks are {', '.join(_TASKS)}")
    class_of = {code: c for code, s in table.items() if (c := _TASKS[name](code, s)) is not None}
    if not class_of:
        raise RecipeError(f"no statement of this dataset belongs to the task {name!r}")
    classes = tuple(sorted(set(class_of.values())))
    words = {**_GROUP_NAMES, **{code: s.description for code, s in table.items()}}
    return Task(
        name=name,
        classes=classes,
        class_of=class_of,
        kind="multiclass" if single_label else "multilabel",
        min_likelihood=min_likelihood,
        descriptions={c: words[c] for c in classes if c in words},
    )


_GROUP_NAMES = {
    "NORM": "normal ECG",
    "MI": "myocardial infarction",
    "STTC": "ST/T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
}
