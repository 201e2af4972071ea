"""A column of the record table that stays as compact as on disk: values become Python objects only where one asks.

A million statements as dictionaries fill a gigabyte; as Arrow arrays they fill what the file does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "StatementColumn"]

T = TypeVar("T")
_BLOCK = 8192  # values that are Python objects at a time


class Column(Sequence[T], Generic[T]):
    """Values of every record, None where unknown: a list to read from, over an Arrow array.

    Args:
        array: an Arrow array of one chunk.
    """

    __slots__ = ("_array",)

    def __init__(self, array: Any) -> None:
        self._array = array

    @property
    def arrow(self) -> Any:
        """The Arrow array."""
        return self._array

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> Column[T]: ...

    def __getitem__(self, at: int | slice) -> T | Column[T]:
        if isinstance(at, slice):
            return self.take(np.arange(len(self))[at])
        n = len(self)
        if not -n <= at < n:
            raise IndexError(f"row {at} of {n}")
        return self._values(self._array[int(at) % n : int(at) % n + 1])[0]

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator[T]:
        for first in range(0, len(self), _BLOCK):
            yield from self._values(self._array[first : first + _BLOCK])

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Column):
            return bool(self._array.equals(other._array)) or (len(self) == len(other) and self._same(other))
        return isinstance(other, Sequence) and len(self) == len(other) and self._same(other)

    __hash__ = None  # type: ignore[assignment]  # as of a list

    def __repr__(self) -> str:
        more = ", ..." if len(self) > 3 else ""
        return f"<{len(self)} values: {', '.join(map(repr, self[:3]))}{more}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._array,)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(list(self), dtype=dtype)

    def __arrow_array__(self, type: Any = None) -> Any:
        return self._array if type is None else self._array.cast(type)

    def take(self, rows: NDArray[np.int64] | Sequence[int]) -> Column[T]:
        """The values of some records, in the order of ``rows``."""
        return type(self)(self._array.take(np.asarray(rows, np.int64)))

    def _values(self, part: Any) -> list[T]:
        return part.to_pylist()

    def _same(self, other: Sequence[Any]) -> bool:
        return all(a == b for a, b in zip(self, other, strict=True))


class StatementColumn(Column[dict[str, float | None]]):
    """Coded statements with their likelihoods; a dictionary for each record that is asked for."""

    __slots__ = ()

    def _values(self, part: Any) -> list[dict[str, float | None]]:
        bounds = part.offsets.to_pylist()
        first, last = bounds[0], bounds[-1]
        codes, likelihoods = part.keys[first:last].to_pylist(), part.items[first:last].to_pylist()
        pairs = [(bounds[k] - first, bounds[k + 1] - first) for k in range(len(part))]
        return [dict(zip(codes[a:b], likelihoods[a:b], strict=True)) for a, b in pairs]
