"""The PhysioNet/CinC challenges of 2020 and 2021: twelve-lead ECGs of eight sources with SNOMED CT codes.

One idea: folders are laid out in several ways, yet every record is a ``.hea`` beside a ``.mat``, and its header tells
what is known. Perez Alday et al. 2020, Physiol. Meas. 41:124003; Reyna et al. 2021, Computing in Cardiology 48.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from einthoven.corpora._registry import Corpus, Entry, register_corpus
from einthoven.corpora.cinc_header import HeaderFacts, read_header_facts
from einthoven.corpora.codes import describe_codes
from einthoven.errors import DatasetError, RecordError

__all__ = ["UNKNOWN_SOURCE", "open_cinc2020", "open_cinc2021", "record_source"]

UNKNOWN_SOURCE = "unknown"
_ATTRIBUTION = {
    "cinc2020": "PhysioNet/CinC Challenge 2020 1.0.2, Perez Alday et al., PhysioNet, "
    "https://doi.org/10.13026/dvyd-kd57, CC BY 4.0",
    "cinc2021": "PhysioNet/CinC Challenge 2021 1.0.3, Reyna et al., PhysioNet, "
    "https://doi.org/10.13026/34va-7q14, CC BY 4.0",
}
# Folders of PhysioNet's release, then of the archives that the challenges gave out; lower case.
_FOLDERS = {
    "cpsc_2018": "CPSC", "wfdb_cpsc2018": "CPSC", "physionetchallenge2020_training_cpsc": "CPSC",
    "cpsc_2018_extra": "CPSC-Extra", "wfdb_cpsc2018_2": "CPSC-Extra", "training_2": "CPSC-Extra",
    "physionetchallenge2020_training_2": "CPSC-Extra",
    "st_petersburg_incart": "INCART", "wfdb_stpetersburg": "INCART",
    "physionetchallenge2020_training_stpetersburg": "INCART",
    "ptb": "PTB", "wfdb_ptb": "PTB", "physionetchallenge2020_training_ptb": "PTB",
    "ptb-xl": "PTB-XL", "wfdb_ptbxl": "PTB-XL", "physionetchallenge2020_training_ptb-xl": "PTB-XL",
    "physionetchallenge2020_ptb-xl": "PTB-XL",
    "georgia": "Georgia", "wfdb_ga": "Georgia", "physionetchallenge2020_training_e": "Georgia",
    "chapman_shaoxing": "Chapman-Shaoxing", "wfdb_chapmanshaoxing": "Chapman-Shaoxing",
    "ningbo": "Ningbo", "wfdb_ningbo": "Ningbo",
}  # fmt: skip
_PREFIXES = {"A": "CPSC", "Q": "CPSC-Extra", "I": "INCART", "S": "PTB", "HR": "PTB-XL", "E": "Georgia", "JS": "Ningbo"}
_RECORD_ID = re.compile(r"([AQIS])\d{4}|(HR|E|JS)\d{5}", re.ASCII)
_LAST_OF_CHAPMAN = "JS10646"  # the two hospitals were numbered through
_NEW_IN_2021 = {"Chapman-Shaoxing", "Ningbo"}
_MOST_NAMED = 5


@register_corpus("cinc2021")
def open_cinc2021(root: Path, *, missing: str = "refuse") -> Corpus:
    """PhysioNet/CinC Challenge 2021: 88,253 training records of eight sources, SNOMED CT codes.

    Args:
        root: any folder with ``.hea`` and ``.mat`` files below it, at any depth.
        missing: ``refuse`` a folder with records that lack a file or cannot be listed, or ``skip`` them.

    Raises:
        DatasetError: no such records, some that lack a file or cannot be listed, or one name for two of them.
    """
    return _open(root, "cinc2021", missing)


@register_corpus("cinc2020")
def open_cinc2020(root: Path, *, missing: str = "refuse") -> Corpus:
    """PhysioNet/CinC Challenge 2020: 43,101 training records of six sources, SNOMED CT codes.

    Args:
        root: as in ``cinc2021``.
        missing: likewise.

    Raises:
        DatasetError: likewise.
    """
    return _open(root, "cinc2020", missing)


def record_source(folders: Sequence[str], record_id: str) -> str:
    """Tell which database a record is from.

    The innermost folder that bears a published name decides; where none does, the published record ids do: A#### CPSC,
    Q#### CPSC-Extra, I#### INCART, S#### PTB, HR##### PTB-XL, E##### Georgia, JS00001-JS10646 Chapman-Shaoxing, and
    higher JS##### Ningbo.

    Args:
        folders: names of the folders that hold the record, outermost first.
        record_id: its name.

    >>> record_source(["training", "georgia", "g1"], "E00001"), record_source([], "JS10646"), record_source([], "x")
    ('Georgia', 'Chapman-Shaoxing', 'unknown')
    """
    for folder in reversed(folders):
        if folder.lower() in _FOLDERS:
            return _FOLDERS[folder.lower()]
    found = _RECORD_ID.fullmatch(record_id)
    if not found:
        return UNKNOWN_SOURCE
    if found[2] == "JS" and record_id <= _LAST_OF_CHAPMAN:
        return "Chapman-Shaoxing"
    return _PREFIXES[found[1] or found[2]]


@dataclass(slots=True)
class _Found:
    """What lies below a folder: complete records by folder and name, and what is incomplete."""

    records: list[tuple[str, str]] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    n_hdf5: int = 0


def _open(root: Path, challenge: str, missing: str) -> Corpus:
    if missing not in ("refuse", "skip"):
        raise DatasetError(f"missing={missing}: choose refuse or skip")
    found = _find(root)
    if not found.records and not found.problems:
        raise DatasetError(
            f"{root}: no .hea and .mat files in it or below it; this is no folder of the CinC challenges"
            + (" (its .h5 files are read by the corpus sph)" if found.n_hdf5 else "")
        )
    facts = _read(found)
    notes = _check_complete(root, found, len(facts), missing)
    _check_names(root, list(facts))
    entries = _entries(root, facts)
    counts = Counter(code for entry in entries for code in entry.statements)
    table, unlisted = describe_codes("snomed", counts, "SNOMED CT")
    notes += [*_notes(challenge, entries, found.n_hdf5), *unlisted, *_absent(list(facts.values()))]
    return Corpus(challenge, entries, "snomed", table, _ATTRIBUTION[challenge], notes=tuple(notes))


def _find(root: Path) -> _Found:
    found = _Found()
    seen = set()
    for folder, inner, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link in a circle
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        names = [name for name in files if not name.startswith(".")]  # archives of macOS hold ._A0001.hea
        headers, signals = ({n[:-4] for n in names if n.endswith(kind)} for kind in (".hea", ".mat"))
        found.records += [(folder, name) for name in sorted(headers & signals)]
        for kind, absent in ((".hea without .mat", headers - signals), (".mat without .hea", signals - headers)):
            found.problems[kind] += sorted(absent)
        found.n_hdf5 += sum(name.endswith(".h5") for name in names)
    found.problems = {kind: names for kind, names in found.problems.items() if names}
    return found


def _read(found: _Found) -> dict[tuple[str, str], HeaderFacts]:
    facts, unusable = {}, []
    for folder, name in found.records:
        try:
            facts[folder, name] = read_header_facts(folder, name)
        except RecordError as error:
            unusable.append(str(error))
    if unusable:
        found.problems["headers that cannot be used"] = unusable
    return facts


def _check_complete(root: Path, found: _Found, n_complete: int, missing: str) -> list[str]:
    """Return what is to be said of records left out; refuse where the user did not want that."""
    if not found.problems:
        return []
    parts = [
        f"{len(names):,} {kind} ({', '.join(names[:_MOST_NAMED])}{', ...' if len(names) > _MOST_NAMED else ''})"
        for kind, names in found.problems.items()
    ]
    text = "; ".join(parts)
    if not n_complete:
        raise DatasetError(f"{root}: no record is complete: {text}; download the corpus again")
    if missing == "refuse":
        raise DatasetError(f"{root}: {text}; download these records again, or leave them out with --set missing=skip")
    return [f"records left out: {text}"]


def _check_names(root: Path, records: Sequence[tuple[str, str]]) -> None:
    if len({name for _, name in records}) == len(records):
        return
    places = defaultdict(list)
    for folder, name in records:
        places[name].append(os.path.relpath(folder, root))
    twice = {name: folders for name, folders in places.items() if len(folders) > 1}
    named = "; ".join(f"{name} in {' and '.join(folders)}" for name, folders in list(twice.items())[:_MOST_NAMED])
    raise DatasetError(
        f"{root}: {len(twice):,} record ids occur more than once ({named}); name a folder that holds each record once"
    )


def _entries(root: Path, facts: Mapping[tuple[str, str], HeaderFacts]) -> list[Entry]:
    outer = root.resolve().name
    folders = {folder: Path(folder) for folder, _ in facts}
    named = {folder: (outer, *path.relative_to(root).parts) for folder, path in folders.items()}
    return [
        Entry(
            record_id=name,
            path=folders[folder] / f"{name}.hea",
            age=about.age,
            sex=about.sex,
            source=record_source(named[folder], name),
            statements=dict.fromkeys(about.codes),
            duration_s=about.duration_s,
        )
        for (folder, name), about in facts.items()
    ]


def _notes(challenge: str, entries: Sequence[Entry], n_hdf5: int) -> list[str]:
    notes = []
    if unknown := [entry.record_id for entry in entries if entry.source == UNKNOWN_SOURCE]:
        notes.append(
            f"{len(unknown):,} records have neither a folder nor a name of a known source and count as "
            f"'{UNKNOWN_SOURCE}', for example {', '.join(unknown[:_MOST_NAMED])}"
        )
    later = Counter(entry.source for entry in entries if entry.source in _NEW_IN_2021)
    if challenge == "cinc2020" and later:
        named = " and ".join(f"{source} ({count:,})" for source, count in sorted(later.items()))
        notes.append(f"records of sources that joined in 2021 are listed too: {named}")
    if n_hdf5:
        notes.append(
            f"{n_hdf5:,} .h5 files are no records of the challenge and were left out; "
            "'einthoven prepare sph' reads those of SPH"
        )
    return notes


def _absent(facts: Sequence[HeaderFacts]) -> list[str]:
    """Say what headers do not tell."""
    absent = {
        "age": sum(one.age is None for one in facts),
        "sex": sum(one.sex is None for one in facts),
        "diagnosis": sum(not one.codes for one in facts),
    }
    notes = []
    if any(absent.values()):
        named = ", ".join(f"{count:,} tell no {fact}" for fact, count in absent.items() if count)
        notes.append(f"of {len(facts):,} headers, {named}")
    if odd := Counter(text for one in facts for text in one.odd):
        named = ", ".join(f"{text} ({count:,})" for text, count in odd.most_common(_MOST_NAMED))
        notes.append(f"written in headers but no age or sex that could be: {named}")
    return notes
