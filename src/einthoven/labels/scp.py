"""SCP-ECG statements, grouped into the six tasks of the PTB-XL benchmark.

Strodthoff et al. 2021, "Deep Learning for ECG Analysis: Benchmarks and Insights from PTB-XL", IEEE JBHI 25:1519.
"""

from __future__ import annotations

from collections.abc import Mapping

from einthoven.labels.tasks import Statement

__all__ = ["scp_statement"]


def scp_statement(code: str, row: Mapping[str, str]) -> Statement:
    """Read one row of PTB-XL's ``scp_statements.csv``.

    Raises:
        ValueError: a flag is not a number.
    """
    groups = {}
    if _flag(row["diagnostic"]):
        # The published table leaves the class of a few diagnostic statements open; they then count in fewer tasks.
        groups = {"diagnostic": code, "subdiagnostic": row["diagnostic_subclass"]}
        groups |= {"superdiagnostic": row["diagnostic_class"]}
    groups |= {name: code for name in ("form", "rhythm") if _flag(row[name])}
    return Statement(row["description"], {task: name for task, name in groups.items() if name})


def _flag(text: str | None) -> bool:
    return float(text or 0) == 1
