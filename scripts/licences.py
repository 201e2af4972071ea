"""What is installed beside this Python, with its licence as its own metadata states it: ``python scripts/licences.py``.

Copyleft is marked, and what states nothing is named; with ``--strict`` either ends with exit code 1. A licence is read
from the SPDX expression, else the classifiers, else the field ``License``; the texts themselves are not judged.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from typing import NamedTuple

__all__ = ["Row", "describe", "licence_of", "table"]

_STRONG = re.compile(r"\b(A?GPL|GNU (Affero )?General Public)", re.I)
_WEAK = re.compile(r"\b(LGPL|MPL|EPL|CDDL|Lesser General Public|Mozilla Public)", re.I)


class Row(NamedTuple):
    """A distribution: its name and version, what its metadata calls its licence, and whether that is copyleft."""

    name: str
    version: str
    licence: str
    copyleft: str


def licence_of(distribution: Distribution) -> str:
    """What the metadata states, in one line; empty where it states nothing."""
    about = distribution.metadata
    if expression := about.get("License-Expression"):
        return str(expression)
    classifiers = [c.rsplit(" :: ", 1)[-1] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    told = [each for each in classifiers if each != "OSI Approved"]
    if told:
        return ", ".join(told)
    first = str(about.get("License") or "").strip().splitlines()
    return first[0][:80] if first and first[0].lower() != "unknown" else ""


def describe(distribution: Distribution) -> Row:
    """The row of a distribution."""
    licence = licence_of(distribution)
    weak = bool(_WEAK.search(licence))
    strong = bool(_STRONG.search(re.sub(_WEAK, "", licence)))
    copyleft = "strong" if strong else "weak" if weak else ""
    return Row(str(distribution.metadata["Name"]), distribution.version, licence, copyleft)


def table(found: Iterable[Distribution]) -> list[Row]:
    """One row per name, in order of names."""
    rows = {row.name.lower(): row for row in map(describe, found)}
    return [rows[name] for name in sorted(rows)]


def main(strict: bool) -> int:
    """Print the table, then what is copyleft and what states nothing."""
    rows = table(distributions())
    for row in rows:
        print(f"{row.name:<34} {row.version:<16} {row.licence or '(states none)':<60} {row.copyleft}".rstrip())
    marked = [f"{row.name} ({row.copyleft})" for row in rows if row.copyleft]
    silent = [row.name for row in rows if not row.licence]
    print(f"\n{len(rows)} distributions")
    print(f"copyleft    {', '.join(marked) or 'none'}\nstate none  {', '.join(silent) or 'none'}")
    return int(strict and bool(marked or silent))


if __name__ == "__main__":
    sys.exit(main("--strict" in sys.argv[1:]))
