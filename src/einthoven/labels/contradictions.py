"""Which findings contradict each other? A normal ECG has no other diagnosis."""

from __future__ import annotations

from collections.abc import Mapping

from einthoven.labels.tasks import Statement, Task

__all__ = ["NORMAL_CLASSES", "exclusions_of"]

# No abnormality: a normal ECG, sinus rhythm in two systems, a normal beat.
NORMAL_CLASSES = ("NORM", "SR", "426783006", "N")

_NORMAL = "NORM"


def exclusions_of(task: Task, table: Mapping[str, Statement]) -> dict[str, tuple[str, ...]]:
    """Return the classes that a class of the task contradicts; empty where there is no such rule.

    In SCP-ECG statements "normal ECG" contradicts every class that holds a statement of another diagnostic superclass.
    """
    if _NORMAL not in task.classes:
        return {}
    other = {
        task.class_of[code]
        for code, statement in table.items()
        if code in task.class_of and statement.groups.get("superdiagnostic", _NORMAL) != _NORMAL
    }
    return {_NORMAL: tuple(sorted(other - {_NORMAL}))} if other - {_NORMAL} else {}
