"""Label systems: what every code of SCP-ECG, SNOMED CT, AHA/ACC/HRS, MIT-BIH and AAMI means, from tables that ship.

One idea: a system is a table of statements, and every task is a column of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from einthoven.errors import DatasetError, nearest
from einthoven.labels._tables import data_rows
from einthoven.labels.scp import scp_statement
from einthoven.labels.tasks import Statement, codes_of, table_tasks

__all__ = ["LabelSystem", "columns_system", "load_system", "system_names"]

_ABOUT_CODES = ("code", "abbreviation", "description", "parents", "kind")  # other columns are tasks
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class LabelSystem:
    """The codes of one vocabulary.

    Attributes:
        name: as users write it.
        title: in words.
        source: who published the codes.
        table: the meaning of each code; in the published order where a task has one.
        modifiers: codes that only follow another one, as 310 in ``60+310``, and their words.
    """

    name: str
    title: str
    source: str
    table: Mapping[str, Statement]
    modifiers: Mapping[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that the codes can be seen through."""
        return table_tasks(self.table)

    def knows(self, code: str) -> bool:
        """Whether it is a code of the system, or a compound of its codes."""
        return self._lookup(code) is not None

    def table_for(self, codes: Iterable[str]) -> dict[str, Statement]:
        """Look up codes, compound ones among them.

        Raises:
            DatasetError: codes that the system does not have, with the nearest that it has.
        """
        found = {code: self._lookup(code) for code in codes}
        unknown = [code for code, statement in found.items() if statement is None]
        if unknown:
            named = ", ".join(f"{code!r}{self._nearest(code)}" for code in unknown[:_MOST_NAMED])
            more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
            raise DatasetError(
                f"the label system {self.name!r} has no code {named}{more}; "
                f"'einthoven labels show {self.name}' lists its {len(self.table)} codes"
            )
        return {code: statement for code, statement in found.items() if statement is not None}

    def code_of(self, name: str) -> str:
        """Return the code that has a name: a code itself or an abbreviation, as classes of tasks are named.

        Raises:
            DatasetError: there is none, with the nearest.
        """
        for code, statement in self.table.items():
            if statement.abbreviation == name:
                return code
        return next(iter(self.table_for([name])))

    def class_codes(self, task: str) -> dict[str, tuple[str, ...]]:
        """Codes of each class of a task; classes and codes in the order of the table.

        Raises:
            RecipeError: no such task.
        """
        return codes_of(task, self.table)

    def _lookup(self, code: str) -> Statement | None:
        if code in self.table:
            return self.table[code]
        first, *rest = code.split("+")
        words = [self._words(part) for part in rest]
        if first not in self.table or not rest or None in words:
            return None
        base = self.table[first]
        return Statement(", ".join([base.description, *map(str, words)]), base.groups, parents=(first,))

    def _words(self, part: str) -> str | None:
        if not self.modifiers:
            return None
        return self.modifiers.get(part) or (self.table[part].description if part in self.table else None)

    def _nearest(self, code: str) -> str:
        if code.split("+")[0] in self.modifiers:
            return " (a modifier: it follows a statement, as in '60+310')"
        if short := [known for known, s in self.table.items() if code and s.abbreviation.lower() == code.lower()]:
            return f" ({code} is {short[0]})"
        return nearest(code, [*self.table, *(s.abbreviation for s in self.table.values() if s.abbreviation)])


@cache
def _about() -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in data_rows("systems")}


def system_names() -> tuple[str, ...]:
    """Names of the systems that ship."""
    return tuple(_about())


@cache
def load_system(name: str) -> LabelSystem:
    """Return a system by name.

    Raises:
        DatasetError: unknown, with the nearest name.
    """
    if name not in _about():
        raise DatasetError(
            f"unknown label system {name!r}{nearest(name, system_names())}; there are {', '.join(system_names())}"
        )
    about, rows = _about()[name], data_rows(name)
    modifiers = {row["code"]: row["description"] for row in rows if row.get("kind") == "modifier"}
    read = _READERS.get(name, _grouped_statement)
    table = {row["code"]: read(row["code"], row) for row in rows if row["code"] not in modifiers}
    # shared by all callers, so read-only
    return LabelSystem(name, about["title"], about["source"], MappingProxyType(table), MappingProxyType(modifiers))


def columns_system(names: Sequence[str], *, name: str = "columns") -> LabelSystem:
    """Make a system of a user's own label columns: each is a code and its own description.

    Raises:
        DatasetError: an empty name, or one that comes twice.
    """
    strange = [repr(one) for k, one in enumerate(names) if not one.strip() or one in names[:k]]
    if strange:
        raise DatasetError(f"label columns need names of their own, got {', '.join(strange)} empty or twice")
    table = {one: Statement(one) for one in names}
    return LabelSystem(name, "the user's own labels", "the user's own table", table)


def _grouped_statement(code: str, row: Mapping[str, str]) -> Statement:
    return Statement(
        description=row["description"],
        groups={task: cell for task, cell in row.items() if task not in _ABOUT_CODES and cell},
        abbreviation=row.get("abbreviation", ""),
        parents=tuple(parent for parent in row.get("parents", "").split(";") if parent),
    )


def _aha_statement(code: str, row: Mapping[str, str]) -> Statement:
    groups = {"category": row["category"]}
    if row["kind"] == "primary":
        groups["primary"] = code
    return Statement(row["description"], groups)


_READERS: dict[str, Callable[[str, Mapping[str, str]], Statement]] = {"scp": scp_statement, "aha": _aha_statement}
