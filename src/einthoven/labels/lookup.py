"""Find a code or class by its number, abbreviation or words, and say what it is, is part of, and is elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from einthoven.errors import DatasetError, nearest
from einthoven.labels.conversion import LabelMap, MapRow, list_maps, load_map
from einthoven.labels.systems import LabelSystem, load_system, system_names
from einthoven.labels.tasks import Statement, make_task

__all__ = ["ClassMeaning", "Meaning", "explain_code", "find_classes", "find_codes"]


@dataclass(frozen=True, slots=True)
class ClassMeaning:
    """A class of a task: its words and codes."""

    system: str
    task: str
    name: str
    description: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """A code with its surroundings.

    Attributes:
        system: its label system.
        code: itself.
        statement: what it means.
        parents: broader codes and their words.
        children: narrower codes and their words.
        equivalents: per task, the other codes that it holds to be the same class.
        maps: what it becomes in other systems; None where that system cannot say it.
        mapped_from: codes of other systems that become it, as (system, code, row).
    """

    system: str
    code: str
    statement: Statement
    parents: dict[str, str]
    children: dict[str, str]
    equivalents: dict[str, tuple[str, ...]]
    maps: dict[str, MapRow | None]
    mapped_from: tuple[tuple[str, str, MapRow], ...]


def find_codes(text: str, system: str | None = None) -> list[tuple[str, str]]:
    """Search codes and abbreviations, then words.

    Args:
        text: a code, an abbreviation, or words that the description has all of; case does not matter.
        system: search this one only.

    Returns:
        (system, code) of each match; words count only where no code and no class is named so.

    Raises:
        DatasetError: unknown system, or neither code nor class found, with what is nearest.
    """
    systems = (load_system(system).name,) if system else system_names()
    named = [pair for name in systems for pair in _by_name(text, name)]
    known_so = named or find_classes(text, system)
    worded = [] if known_so else [pair for name in systems for pair in _by_words(text, name)]
    if not (known_so or worded):
        known = [
            word for name in systems for code, s in load_system(name).table.items() for word in (code, s.abbreviation)
        ]
        where = system or ", ".join(systems)
        raise DatasetError(f"no code, abbreviation or description like {text!r}{nearest(text, known)} in {where}")
    return named or worded


def find_classes(text: str, system: str | None = None) -> list[ClassMeaning]:
    """Search the classes that hold other codes than the one they are named after, as ``MI`` or ``RBBB``.

    Raises:
        DatasetError: unknown system.
    """
    found = []
    for loaded in map(load_system, (system,) if system else system_names()):
        for task in loaded.tasks:
            for name, codes in loaded.class_codes(task).items():
                if name.lower() == text.lower() and (len(codes) > 1 or name not in (*codes, _short(loaded, codes[0]))):
                    words = make_task(task, loaded.table).descriptions.get(name, "")
                    found.append(ClassMeaning(loaded.name, task, name, words, codes))
    return found


def _short(system: LabelSystem, code: str) -> str:
    return system.table[code].abbreviation


def _by_name(text: str, system: str) -> Iterator[tuple[str, str]]:
    loaded = load_system(system)
    for code, statement in loaded.table.items():
        if text.lower() in (code.lower(), statement.abbreviation.lower()):
            yield system, code
    if text not in loaded.table and loaded.knows(text):
        yield system, text


def _by_words(text: str, system: str) -> Iterator[tuple[str, str]]:
    wanted = text.lower().split()
    for code, statement in load_system(system).table.items():
        if all(word in statement.description.lower() for word in wanted):
            yield system, code


def explain_code(system: str, code: str) -> Meaning:
    """Tell all that the tables know of a code.

    Raises:
        DatasetError: unknown system or code.
    """
    loaded = load_system(system)
    statement = loaded.table_for([code])[code]
    maps = [load_map(*pair) for pair in list_maps()]
    return Meaning(
        system=system,
        code=code,
        statement=statement,
        parents={one: loaded.table[one].description for one in statement.parents},
        children={one: s.description for one, s in loaded.table.items() if code in s.parents},
        equivalents={task: found for task in statement.groups if (found := _equivalents(system, code, task))},
        maps={one.target: one.lookup(code) for one in maps if one.source == system},
        mapped_from=tuple(_sources([one for one in maps if one.target == system], code)),
    )


def _equivalents(system: str, code: str, task: str) -> tuple[str, ...]:
    loaded = load_system(system)
    group = loaded.table_for([code])[code].groups[task]
    return tuple(other for other in loaded.class_codes(task)[group] if other != code)


def _sources(maps: Sequence[LabelMap], code: str) -> Iterator[tuple[str, str, MapRow]]:
    for one in maps:
        for source, row in one.rows.items():
            if row.target == code:
                yield one.source, source, row
