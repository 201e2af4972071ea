"""The data files of this room: CSV with comment lines that name their source.

One idea: what codes mean is data, so a correction is a line in a table and never one of code.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files

__all__ = ["data_rows", "data_source"]


@cache
def _lines(name: str) -> tuple[str, ...]:
    return tuple(files("einthoven.labels").joinpath(f"data/{name}.csv").read_text("utf-8").splitlines())


def data_rows(name: str) -> list[dict[str, str]]:
    """Rows of ``data/NAME.csv`` by column."""
    return list(csv.DictReader(line for line in _lines(name) if not line.startswith("#")))


def data_source(name: str) -> str:
    """What the file says of itself: its comment lines, joined."""
    return " ".join(line.removeprefix("#").strip() for line in _lines(name) if line.startswith("#"))
