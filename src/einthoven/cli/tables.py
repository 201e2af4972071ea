"""Tables in print: words to the left, numbers to the right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["Columns", "print_columns"]

Columns = Sequence[tuple[str, Callable[[Mapping[str, Any]], str]]]  # title, and the cell of a row


def print_columns(columns: Columns, rows: Sequence[Mapping[str, Any]], n_words: int) -> None:
    """Print a table whose first ``n_words`` columns are words.

    >>> columns = [("way", lambda row: row["way"]), ("ms", lambda row: f"{row['ms']:.1f}")]
    >>> print_columns(columns, [{"way": "onnx", "ms": 12.3}, {"way": "int8", "ms": 4.5}], 1)
    way     ms
    onnx  12.3
    int8   4.5
    """
    table = [[title for title, _ in columns], *([show(row) for _, show in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        padded = [c.ljust(w) if k < n_words else c.rjust(w) for k, (c, w) in enumerate(zip(cells, widths, strict=True))]
        print("  ".join(padded).rstrip())
