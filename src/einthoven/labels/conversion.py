"""From one label system to another, with a report of what was lost on the way.

One idea: a code that the target cannot say is counted, and so is one that it says otherwise; nothing is lost silently.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from einthoven.errors import DatasetError
from einthoven.labels._tables import data_rows, data_source
from einthoven.labels.systems import LabelSystem, load_system
from einthoven.labels.tasks import Statement

__all__ = [
    "ChangedCode",
    "Converted",
    "LabelMap",
    "LossReport",
    "LostCode",
    "MapRow",
    "convert",
    "list_maps",
    "load_map",
]

Statements = Mapping[str, float | None]
_UNCERTAIN = {"301", "302", "312", "315", "322"}  # AHA: borderline, consider, possible, probable, versus
_SAME = "same"
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class MapRow:
    """What a code becomes.

    Attributes:
        target: the code in the other system.
        fit: ``"same"``; ``"equivalent"``, scored as the same; ``"implied"``; ``"broader"``, the target says less;
            ``"loose"``, it says something else.
        note: what is lost or assumed.
    """

    target: str
    fit: str = _SAME
    note: str = ""


@dataclass(frozen=True, slots=True)
class LabelMap:
    """A published or sourced map between two systems.

    Attributes:
        source: name of the system that it reads.
        target: name of the system that it writes.
        rows: what each code becomes; codes without a counterpart are not in it.
        about: where it is from.
    """

    source: str
    target: str
    rows: Mapping[str, MapRow]
    about: str

    def lookup(self, code: str) -> MapRow | None:
        """Return what a code becomes, None where the target cannot say it.

        A compound (``30+310``) is looked up whole, then its primary statement with one of the modifiers, then the
        primary statement alone: frequency, pattern and degree do not change which finding it is. One that a part makes
        uncertain (borderline, consider, possible, probable, versus) or joins to another statement becomes nothing.
        """
        if code in self.rows or "+" not in code:
            return self.rows.get(code)
        first, *rest = code.split("+")
        known = load_system(self.source).modifiers
        if not all(part in known and part not in _UNCERTAIN for part in rest):
            return None
        found = next((name for name in (*(f"{first}+{part}" for part in rest), first) if name in self.rows), None)
        return MapRow(self.rows[found].target, "broader", f"read as {found}") if found else None


@dataclass(frozen=True, slots=True)
class LostCode:
    """A code that the target cannot say.

    Attributes:
        code: in the source system.
        name: in words.
        records: that had it.
        left_empty: of them, those left without any statement.
        unknown: records of which it was not known whether it holds.
    """

    code: str
    name: str
    records: int
    left_empty: int
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class ChangedCode:
    """A code that the target says otherwise: see ``MapRow``; ``records`` is how many had it."""

    code: str
    name: str
    becomes: str
    fit: str
    note: str
    records: int


@dataclass(frozen=True, slots=True)
class LossReport:
    """What a conversion lost and changed.

    Attributes:
        source: the system before.
        target: the system after.
        records: how many were converted.
        left_empty: records that had statements and have none now.
        lost: the codes dropped, most frequent first.
        changed: the codes whose meaning is not kept whole, most frequent first.
    """

    source: str
    target: str
    records: int
    left_empty: int
    lost: tuple[LostCode, ...]
    changed: tuple[ChangedCode, ...]

    def summary(self) -> str:
        """One sentence."""
        named = ", ".join(f"{one.code} {one.records:,}" for one in self.lost[:_MOST_NAMED])
        more = f" and {len(self.lost) - _MOST_NAMED} more" if len(self.lost) > _MOST_NAMED else ""
        return (
            f"labels converted from {self.source} to {self.target}: of {self.records:,} records "
            f"{self.left_empty:,} lost all their statements; {len(self.lost)} codes have no counterpart"
            + (f" ({named}{more})" if self.lost else "")
            + f", {len(self.changed)} are said otherwise"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per code, lost ones first, for CSV."""
        fixed = {"source": self.source, "target": self.target}
        nothing = {"becomes": "", "fit": "lost", "note": ""}
        empty = {"left_empty": 0, "unknown": 0}
        return [
            *({**fixed, **nothing, **asdict(one)} for one in self.lost),
            *({**fixed, **empty, **asdict(one)} for one in self.changed),
        ]

    def __str__(self) -> str:
        lines = [self.summary()]
        for one in self.lost:
            unknown = f", unknown in {one.unknown:,}" if one.unknown else ""
            empty = f"({one.left_empty:,} left empty{unknown})"
            lines.append(f"  {'lost':<10} {one.code:<12} {one.records:>7,} records {empty}  {one.name}")
        for change in self.changed:
            note = f": {change.note}" if change.note else ""
            lines.append(
                f"  {change.fit:<10} {change.code:<12} {change.records:>7,} records -> {change.becomes}  "
                f"{change.name}{note}"
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Converted:
    """Statements in the target system, one mapping per record, and what they lost."""

    statements: list[dict[str, float | None]]
    report: LossReport


def list_maps() -> dict[tuple[str, str], str]:
    """Pairs of systems that have a map, and what it is."""
    return {(row["source"], row["target"]): row["title"] for row in data_rows("maps")}


@cache
def load_map(source: str, target: str) -> LabelMap:
    """Return the map between two systems.

    Raises:
        DatasetError: there is none.
    """
    if (source, target) not in list_maps():
        load_system(target)
        known = ", ".join(f"{one} to {other}" for one, other in list_maps())
        raise DatasetError(f"there is no map of labels from {source!r} to {target!r}; there are {known}")
    name = f"{source}-{target}"
    rows = {row["source"]: MapRow(row["target"], row["fit"], row["note"]) for row in data_rows(name)}
    return LabelMap(source, target, MappingProxyType(rows), data_source(name))


def convert(
    statements: Sequence[Statements], source: str, target: str, *, table: Mapping[str, Statement] | None = None
) -> Converted:
    """Say the statements of every record in another system.

    Likelihoods are carried; where two codes become one, the higher counts, and not known (NaN) only where no code says
    that it holds.

    Args:
        statements: code and likelihood (percent, None: not stated, NaN: not known) of each record.
        source: their system.
        target: the system wanted.
        table: meaning of codes that the shipped source system does not have; they are lost, and reported by it.

    Raises:
        DatasetError: no such map, or a code of unknown meaning.
    """
    using = load_map(source, target)
    used = dict.fromkeys(code for found in statements for code in found)
    meaning = _meanings(used, load_system(source), table or {})
    becomes = {code: using.lookup(code) for code in used}
    done = [_convert_one(found, becomes) for found in statements]
    return Converted(done, _report(using, statements, done, becomes, meaning))


def _meanings(codes: Iterable[str], system: LabelSystem, extra: Mapping[str, Statement]) -> dict[str, Statement]:
    known = {code: extra[code] for code in codes if code in extra}
    return known | system.table_for(code for code in codes if code not in known)


def _convert_one(found: Statements, becomes: Mapping[str, MapRow | None]) -> dict[str, float | None]:
    done: dict[str, float | None] = {}
    for code, likelihood in found.items():
        row = becomes[code]
        if row is not None:
            done[row.target] = _higher(done[row.target], likelihood) if row.target in done else likelihood
    return done


def _higher(one: float | None, other: float | None) -> float | None:
    if _unknown(one) or _unknown(other):
        return other if _unknown(one) else one
    return max(one, other, key=lambda likelihood: likelihood or 0.0)


def _unknown(likelihood: float | None) -> bool:
    return likelihood is not None and math.isnan(likelihood)


def _report(
    using: LabelMap,
    before: Sequence[Statements],
    after: Sequence[Statements],
    becomes: Mapping[str, MapRow | None],
    meaning: Mapping[str, Statement],
) -> LossReport:
    records, unknown, emptied = Counter[str](), Counter[str](), Counter[str]()
    left_empty = 0
    for found, done in zip(before, after, strict=True):
        held = [code for code, likelihood in found.items() if not _unknown(likelihood)]
        records.update(held)
        unknown.update(found.keys() - set(held))
        if held and all(_unknown(likelihood) for likelihood in done.values()):
            left_empty += 1
            emptied.update(held)
    words = {code: meaning[code].description for code in becomes}
    lost = [
        LostCode(code, words[code], records[code], emptied[code], unknown[code])
        for code, row in becomes.items()
        if row is None
    ]
    changed = [
        ChangedCode(code, words[code], row.target, row.fit, row.note, records[code])
        for code, row in becomes.items()
        if row is not None and row.fit != _SAME
    ]
    return LossReport(
        using.source,
        using.target,
        len(before),
        left_empty,
        tuple(sorted(lost, key=lambda one: (-one.records, one.code))),
        tuple(sorted(changed, key=lambda one: (-one.records, one.code))),
    )
