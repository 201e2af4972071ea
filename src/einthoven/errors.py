"""Errors that a user can act on.

Every message is one sentence or two: what was received, what is allowed, what to do. The command line prints it and
exits with 2; a traceback means a defect of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BundleError",
    "ConformError",
    "DatasetError",
    "EinthovenError",
    "MissingExtraError",
    "RecipeError",
    "RecordError",
    "nearest",
]


class EinthovenError(Exception):
    """Base of all errors that are about the input, not about the program."""


class RecordError(EinthovenError):
    """A file cannot be read as an ECG record."""


class ConformError(EinthovenError):
    """A record cannot be brought to what a model or dataset asks for."""


class DatasetError(EinthovenError):
    """A corpus or a prepared dataset is incomplete, damaged, or does not fit what is asked of it."""


class RecipeError(EinthovenError):
    """A recipe has an unknown key, a value of the wrong kind, or parts that contradict each other."""


class BundleError(EinthovenError):
    """A model bundle is incomplete, altered or of another format version."""


class MissingExtraError(EinthovenError):
    """An optional dependency is needed for what was asked."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs optional packages: install them with  pip install 'einthoven[{extra}]'")


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest allowed name, or an empty string."""
    found = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""
