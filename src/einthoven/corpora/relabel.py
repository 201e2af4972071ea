"""A corpus with its statements in another label system, so that corpora of different codes can be one task."""

from __future__ import annotations

from dataclasses import replace

from einthoven.corpora._registry import Corpus
from einthoven.errors import DatasetError
from einthoven.labels import LossReport, convert, load_map, load_system

__all__ = ["relabel"]


_CAUTION = (
    "a record that lost a code but kept others counts as a negative of the classes that the lost code would have had",
)


def relabel(corpus: Corpus, system: str) -> tuple[Corpus, LossReport]:
    """Convert the statements of every entry.

    The new label table holds all that the corpus' own codes can become, whether it occurs or not.

    Args:
        corpus: as opened.
        system: the label system wanted.

    Returns:
        The corpus, with a note of what was lost, and the full report.

    Raises:
        DatasetError: it has these labels already, or there is no map.
    """
    if corpus.label_system == system:
        raise DatasetError(f"{corpus.name}: has labels of the system {system!r} already; leave --labels out")
    using = load_map(corpus.label_system, system)
    done = convert(
        [entry.statements for entry in corpus.entries], corpus.label_system, system, table=corpus.label_table
    )
    targets = dict.fromkeys(row.target for code in corpus.label_table if (row := using.lookup(code)) is not None)
    entries = [replace(entry, statements=found) for entry, found in zip(corpus.entries, done.statements, strict=True)]
    changed = replace(
        corpus,
        entries=entries,
        label_system=system,
        label_table=load_system(system).table_for(targets),
        notes=(*corpus.notes, done.report.summary(), *(_CAUTION if done.report.lost else ())),
    )
    return changed, done.report
