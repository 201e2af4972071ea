"""One way into every corpus: a function that lists its records, registered under a name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from einthoven.errors import DatasetError, nearest
from einthoven.labels import Statement

__all__ = ["Corpus", "Entry", "list_corpora", "open_corpus", "register_corpus"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a corpus, before its signal is read."""

    record_id: str
    path: Path
    patient_id: str | None = None
    age: float | None = None
    sex: str | None = None
    fold: int | None = None
    source: str = ""
    statements: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A listed corpus: where its records are, and what its codes mean."""

    name: str
    entries: list[Entry]
    label_system: str
    label_table: Mapping[str, Statement]
    fs: float
    attribution: str


Opener = Callable[..., Corpus]
_OPENERS: dict[str, Opener] = {}


def register_corpus(name: str) -> Callable[[Opener], Opener]:
    """Make a function available to ``open_corpus`` and ``einthoven prepare`` under a name."""

    def keep(opener: Opener) -> Opener:
        _OPENERS[name] = opener
        return opener

    return keep


def list_corpora() -> dict[str, str]:
    """Names of the corpora and what each is."""
    return {name: (opener.__doc__ or "").split("\n")[0] for name, opener in sorted(_OPENERS.items())}


def open_corpus(name: str, root: Path, *, fs: float | None = None, wanted_fs: float | None = None) -> Corpus:
    """List the records of a corpus in its published layout.

    Args:
        name: one of ``list_corpora()``.
        root: its folder.
        fs: which of its published rates to read, where it has several; by default the lowest that is not below
            ``wanted_fs``.
        wanted_fs: the rate that signals will be brought to.

    Raises:
        DatasetError: unknown name, or a folder that does not hold this corpus.
    """
    if name not in _OPENERS:
        raise DatasetError(f"unknown corpus {name!r}{nearest(name, _OPENERS)}; known are {', '.join(sorted(_OPENERS))}")
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    return _OPENERS[name](root, fs=fs, wanted_fs=wanted_fs)
