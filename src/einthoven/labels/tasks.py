"""From coded statements to targets: what a task counts, and every option said aloud.

A dataset keeps statements as published; a task is chosen when a model is trained, so one dataset serves them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecipeError, nearest
from einthoven.labels._tables import data_rows

__all__ = ["Statement", "Task", "codes_of", "make_task", "table_tasks"]

TaskKind = Literal["multilabel", "multiclass"]


@dataclass(frozen=True, slots=True)
class Statement:
    """One code of a label system.

    Attributes:
        description: what it means, in words.
        groups: the class that the code belongs to in each task that counts it; codes that a task holds equivalent have
            the same class there. The task ``"all"``, in which every code is its own class, is not written down.
        abbreviation: the short name in the field, where there is one.
        parents: broader codes of the same system.
    """

    description: str
    groups: Mapping[str, str] = field(default_factory=dict)
    abbreviation: str = ""
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be predicted.

    Attributes:
        name: ``"all"``, or one that the label table groups codes for.
        classes: class names, alphabetical as in the PTB-XL benchmark.
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
        """Return targets of shape (records, classes): 0, 1, or NaN where it is not known.

        PTB-XL writes likelihood 0 for "not stated", so such statements always count. A likelihood of NaN says that
        nobody looked: the class is unknown unless another code of it is there. The single-label collapse keeps the
        statement of highest likelihood, the first one where several are equal.
        """
        index = {name: k for k, name in enumerate(self.classes)}
        targets = np.zeros((len(statements), len(self.classes)), np.float32)
        for row, found in enumerate(statements):
            counted = [(likelihood or 0.0, code) for code, likelihood in found.items() if code in self.class_of]
            unknown = [code for p, code in counted if math.isnan(p)]
            counted = [(p, code) for p, code in counted if p == 0 or p >= self.min_likelihood]
            if self.kind == "multiclass" and counted:
                counted, unknown = [max(counted, key=lambda pair: pair[0])], []
            for code in unknown:
                targets[row, index[self.class_of[code]]] = np.nan
            for _, code in counted:
                targets[row, index[self.class_of[code]]] = 1
        return targets


def table_tasks(table: Mapping[str, Statement]) -> tuple[str, ...]:
    """Names of the tasks that a label table can be seen through."""
    return ("all", *dict.fromkeys(name for statement in table.values() for name in statement.groups))


def make_task(
    name: str, table: Mapping[str, Statement], *, min_likelihood: float = 0.0, single_label: bool = False
) -> Task:
    """Build a task from a label table.

    Args:
        name: ``"all"`` or a group of the table.
        table: the meaning of each code.
        min_likelihood: percent; see ``Task``.
        single_label: keep one class per record; the model becomes a multi-class one.

    Raises:
        RecipeError: a task that no code of the table belongs to.
    """
    codes = codes_of(name, table)
    return Task(
        name=name,
        classes=tuple(sorted(codes)),
        class_of={code: one for one, members in codes.items() for code in members},
        kind="multiclass" if single_label else "multilabel",
        min_likelihood=min_likelihood,
        descriptions=_descriptions(name, codes, table),
    )


def codes_of(name: str, table: Mapping[str, Statement]) -> dict[str, tuple[str, ...]]:
    """Codes of each class of a task, both in the order of the table.

    Raises:
        RecipeError: a task that no code of the table belongs to.
    """
    codes: dict[str, list[str]] = {}
    for code, statement in table.items():
        if (one := code if name == "all" else statement.groups.get(name)) is not None:
            codes.setdefault(one, []).append(code)
    if not codes:
        tasks = table_tasks(table)
        raise RecipeError(
            f"no statement of this dataset belongs to the task {name!r}{nearest(name, tasks)}; "
            f"its labels have the tasks {', '.join(tasks)}"
        )
    return {one: tuple(members) for one, members in codes.items()}


def _descriptions(task: str, codes: Mapping[str, tuple[str, ...]], table: Mapping[str, Statement]) -> dict[str, str]:
    """Words for each class: the table of classes, else the code that it is named after, else its only code."""
    words = {row["class"]: row["description"] for row in data_rows("classes") if row["task"] == task}
    for one, members in codes.items():
        namesakes = [code for code in members if one in (code, table[code].abbreviation)]
        if one not in words and (namesakes or len(members) == 1):
            words[one] = table[(namesakes or members)[0]].description
    return {one: words[one] for one in sorted(codes) if one in words}
