"""One way into every corpus: a function that lists its records, registered under a name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import DatasetError, nearest
from einthoven.formats import read_record
from einthoven.labels import Statement
from einthoven.record import Record
from einthoven.spec import SignalSpec

__all__ = [
    "Corpus",
    "Entry",
    "FeatureTable",
    "corpus_options",
    "list_corpora",
    "open_corpus",
    "read_entries",
    "register_corpus",
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a corpus, before its signal is read.

    Attributes:
        record_id: unique within the corpus.
        path: the file that holds it.
        patient_id: None where the source does not tell.
        age: years.
        sex: ``"female"``, ``"male"`` or None.
        fold: of the corpus' own split, where it has one.
        source: hospital or corpus.
        statements: code and likelihood in percent; None where no likelihood is stated, NaN where it is not known
            whether the statement holds.
        start_s: where the record is a part of its file (a beat, a window): its first second. Parts may begin before
            the file or end after it; what was not recorded is missing.
        duration_s: the part's length; for a whole file its length where the listing tells.
        stated_fs: rate that the listing gives the file, which must then have it.
        stated_unit: unit that the listing gives the file; it goes before what the file says.
        stated_leads: likewise the lead names, in the file's order.
        lead: the one lead that is meant, where each lead of a file is an entry of its own.
    """

    record_id: str
    path: Path
    patient_id: str | None = None
    age: float | None = None
    sex: str | None = None
    fold: int | None = None
    source: str = ""
    statements: Mapping[str, float | None] = field(default_factory=dict)
    start_s: float | None = None
    duration_s: float | None = None
    stated_fs: float | None = None
    stated_unit: str | None = None
    stated_leads: tuple[str, ...] | None = None
    lead: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureTable:
    """Numbers that belong to records: names and values, float32 of shape (records, features), NaN where missing."""

    names: tuple[str, ...]
    values: NDArray[np.float32]


def read_entries(entries: Sequence[Entry]) -> Iterator[Record]:
    """Read the file of each entry.

    Raises:
        RecordError: a file cannot be read, or has another rate than its listing states.
    """
    for entry in entries:
        yield read_record(entry.path, fs=entry.stated_fs, unit=entry.stated_unit, leads=entry.stated_leads)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A listed corpus: where its records are, and what its codes mean.

    Attributes:
        name: of the corpus.
        entries: its records in order; parts of one file stand together.
        label_system: name of the code system of the statements.
        label_table: the meaning of each code that may occur.
        attribution: source and licence.
        spec: the form that its signals are brought to unless the user wants another.
        read: reads the files of entries; must be importable by name, since other processes call it.
        features: rows in the order of ``entries``.
        complete_labels: whether a record without a statement of a task is known not to have any of its classes
            (a table of yes and no), rather than not labelled for it.
        shared_patients: patients that the published split itself has in two folds, and what is said about them.
        before_r_s: of beats cut out around their R peaks, the seconds before it; None of other records.
        told_by_files: facts (``age``, ``sex``) that the listing does not have and that are taken from the files.
        notes: what the listing found odd or lost, one sentence each, for the user.
    """

    name: str
    entries: list[Entry]
    label_system: str
    label_table: Mapping[str, Statement]
    attribution: str
    spec: SignalSpec = field(default_factory=SignalSpec)
    read: Callable[[Sequence[Entry]], Iterator[Record]] = read_entries
    features: FeatureTable | None = None
    complete_labels: bool = False
    shared_patients: Mapping[str, str] = field(default_factory=dict)
    before_r_s: float | None = None
    told_by_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


Opener = Callable[..., Corpus]
_OPENERS: dict[str, Opener] = {}


def register_corpus(name: str) -> Callable[[Opener], Opener]:
    """Make a function available to ``open_corpus`` and ``einthoven prepare`` under a name.

    Its first argument is the folder; its keyword arguments are the corpus' options. One named ``wanted_fs`` is given
    the rate that signals will be brought to, so that the right published rate is read.
    """

    def keep(opener: Opener) -> Opener:
        _OPENERS[name] = opener
        return opener

    return keep


def list_corpora() -> dict[str, str]:
    """Names of the corpora and what each is."""
    return {name: (opener.__doc__ or "").split("\n")[0] for name, opener in sorted(_OPENERS.items())}


def corpus_options(name: str) -> tuple[str, ...]:
    """Names of the options that a corpus takes."""
    return tuple(inspect.signature(_opener(name)).parameters)[1:]


def open_corpus(name: str, root: Path, *, wanted_fs: float | None = None, **options: object) -> Corpus:
    """List the records of a corpus in its published layout.

    Args:
        name: one of ``list_corpora()``.
        root: its folder.
        wanted_fs: the rate that signals will be brought to, where the user asks for one.
        options: of the corpus, see ``corpus_options``; values that are text are understood by the corpus.

    Raises:
        DatasetError: unknown name or option, or a folder that does not hold this corpus.
    """
    opener, known = _opener(name), corpus_options(name)
    if unknown := [option for option in options if option not in known]:
        allowed = [option for option in known if option != "wanted_fs"]
        raise DatasetError(
            f"{name}: unknown option {unknown[0]!r}{nearest(unknown[0], allowed)}; "
            + (f"its options are {', '.join(allowed)}" if allowed else "it has none")
        )
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder")
    if "wanted_fs" in known:
        options["wanted_fs"] = wanted_fs
    return opener(root, **options)


def _opener(name: str) -> Opener:
    if name not in _OPENERS:
        raise DatasetError(f"unknown corpus {name!r}{nearest(name, _OPENERS)}; known are {', '.join(sorted(_OPENERS))}")
    return _OPENERS[name]
