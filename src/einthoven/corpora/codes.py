"""The codes that a corpus uses, in words. A code that no shipped table knows stays in the data, by its number."""

from __future__ import annotations

from collections.abc import Mapping

from einthoven.errors import DatasetError
from einthoven.labels import Statement, load_system

__all__ = ["describe_codes"]

_MOST_NAMED = 12


def describe_codes(system: str, counts: Mapping[str, int], title: str) -> tuple[dict[str, Statement], tuple[str, ...]]:
    """Look up every code that occurs.

    Args:
        system: name of the label system.
        counts: each code and how many records have it.
        title: what an unlisted code is called before its number, as ``"SNOMED CT"``.

    Returns:
        The meaning of each code, and a note that names the unlisted ones with their counts.
    """
    shipped = load_system(system)
    table: dict[str, Statement] = {}
    unlisted = []
    rank = {code: k for k, code in enumerate(shipped.table)}  # tasks list their classes in the table's order
    for code in sorted(counts, key=lambda code: (rank.get(code, len(rank)), code)):
        try:
            table |= shipped.table_for([code])
        except DatasetError:
            table[code] = Statement(f"{title} {code}")
            unlisted.append(code)
    if not unlisted:
        return table, ()
    unlisted.sort(key=lambda code: (-counts[code], code))
    named = ", ".join(f"{code} ({counts[code]:,})" for code in unlisted[:_MOST_NAMED])
    more = f" and {len(unlisted) - _MOST_NAMED} more" if len(unlisted) > _MOST_NAMED else ""
    note = f"{len(unlisted)} codes are not in the table of {title} and keep their number as name: {named}{more}"
    return table, (note,)
