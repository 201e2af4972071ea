"""What is to be learned from arrays: one class a record, or 0, 1 and unknown for every record and class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.errors import DatasetError

__all__ = ["Labels", "check_labels", "labels_like"]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Labels:
    """What is to be learned.

    Attributes:
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        names: of the classes, as text.
        values: of the classes, as given.
        exclusive: whether each record has one class.
    """

    targets: Array
    names: tuple[str, ...]
    values: NDArray[Any]
    exclusive: bool


def check_labels(y: Any, n_records: int, class_names: Sequence[str] | None = None) -> Labels:
    """Read labels: one class a record, or 0, 1 and NaN (unknown) for every record and class.

    Args:
        y: shape (records,) or (records, classes); columns of a data frame name the classes.
        n_records: how many there must be.
        class_names: of the columns.

    Raises:
        DatasetError: another shape or number, unknown or fewer than two classes, or a class that is never or always
            there.
    """
    named = class_names if class_names is not None else getattr(y, "columns", None)
    values = np.asarray(y)
    if values.ndim not in (1, 2) or len(values) != n_records:
        raise DatasetError(
            f"y must have the shape ({n_records},) or ({n_records}, classes), one row a record of X, got {values.shape}"
        )
    return _exclusive(values) if values.ndim == 1 else _together(values, named)


def _exclusive(values: NDArray[Any]) -> Labels:
    unknown = [row for row, value in enumerate(values.tolist()) if value is None or value != value]
    if unknown:
        raise DatasetError(f"y[{unknown[0]}] is {values[unknown[0]]}: a record of unknown class cannot be learned from")
    try:
        classes, codes = np.unique(values, return_inverse=True)
    except TypeError:
        raise DatasetError("y mixes text and numbers; write every class in one way") from None
    if len(classes) < 2:
        raise DatasetError(f"y holds one class only ({classes[0]}); a classifier needs two or more")
    names = tuple(str(value) for value in classes.tolist())
    return Labels(np.eye(len(classes), dtype=np.float32)[codes.reshape(-1)], names, classes, True)


def _together(values: NDArray[Any], named: Sequence[str] | None) -> Labels:
    targets = _zeros_and_ones(values)
    names = tuple(map(str, named)) if named is not None else tuple(map(str, range(targets.shape[1])))
    if len(names) != targets.shape[1] or len(set(names)) < len(names):
        raise DatasetError(
            f"y has {targets.shape[1]} classes, so class_names needs as many different names, got {names}"
        )
    for what, value in (("positive", 1), ("negative", 0)):
        if absent := [name for name, there in zip(names, (targets == value).any(axis=0), strict=True) if not there]:
            raise DatasetError(f"no {what} record of class {', '.join(absent)}; leave such columns out of y")
    return Labels(targets, names, np.arange(len(names)) if named is None else np.array(names), False)


def _zeros_and_ones(values: ArrayLike) -> Array:
    try:
        targets = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise DatasetError("y of shape (records, classes) holds 0, 1 or NaN (unknown); some values are text") from None
    strange = ~(np.isnan(targets) | (targets == 0) | (targets == 1))
    if strange.any():
        row, column = np.argwhere(strange)[0]
        raise DatasetError(f"y[{row}, {column}] is {targets[row, column]:g}; it must be 0, 1 or NaN (unknown)")
    return targets


def labels_like(known: Labels, y: Any, n_records: int) -> Labels:
    """Read labels of classes that are known already; not all of them need occur.

    Raises:
        DatasetError: another shape or number, or a class that is not known.
    """
    values, n = np.asarray(y), len(known.values)
    shape = (n_records,) if known.exclusive else (n_records, n)
    if values.shape != shape:
        raise DatasetError(f"y must have the shape {shape}, as the model was fitted, got {values.shape}")
    if not known.exclusive:
        return Labels(_zeros_and_ones(values), known.names, known.values, False)
    if strange := [value for value in values.tolist() if value not in known.values.tolist()]:
        raise DatasetError(f"class {strange[0]!r} is not known; classes are {', '.join(map(str, known.values))}")
    return Labels((values[:, None] == known.values).astype(np.float32), known.names, known.values, True)
