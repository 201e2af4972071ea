"""Which reader reads a file? The first whose ``sniff`` recognises the content.

One idea: the suffix only decides where the content tells nothing, so that the reader's own message says what is wrong.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from einthoven.errors import RecordError
from einthoven.formats.files import Files, Source, open_files
from einthoven.formats.units import stated_unit
from einthoven.leads import canonical_lead
from einthoven.record import Record

__all__ = ["ReadOptions", "Reader", "list_formats", "read_record", "register_reader"]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What the user states about a file; it goes before what the file says, but for the rate, which must agree.

    Attributes:
        fs: samples per second.
        unit: ``"mV"``, ``"uV"``, ``"nV"``, ``"V"`` or ``"normalised"``.
        leads: canonical names of the signals, in the file's order.
        beats: whether beat annotations beside the record are wanted.
    """

    fs: float | None = None
    unit: str | None = None
    leads: tuple[str, ...] | None = None
    beats: bool = False


@dataclass(frozen=True, slots=True)
class Reader:
    """One format.

    Attributes:
        name: of the format.
        suffixes: usual file suffixes, with the dot.
        description: one line for lists of formats.
        sniff: whether the first bytes are of this format; must not raise.
        read: the reader.
        generic: whether ``sniff`` also recognises what a more particular format would claim; tried last.
    """

    name: str
    suffixes: tuple[str, ...]
    description: str
    sniff: Callable[[Files], bool]
    read: Callable[[Files, ReadOptions], Record]
    generic: bool = False


_READERS: dict[str, Reader] = {}
_ORDER: list[Reader] = []  # as tried: independent of the order of imports


def register_reader(
    name: str,
    suffixes: Sequence[str],
    description: str,
    sniff: Callable[[Files], bool],
    *,
    generic: bool = False,
) -> Callable[[Callable[[Files, ReadOptions], Record]], Callable[[Files, ReadOptions], Record]]:
    """Enter the decorated function as the reader of a format; the arguments are those of ``Reader``.

    Raises:
        ValueError: the name is taken by another function.
    """

    def register(read: Callable[[Files, ReadOptions], Record]) -> Callable[[Files, ReadOptions], Record]:
        if name in _READERS:
            raise ValueError(f"a reader named {name!r} is registered already")
        _READERS[name] = Reader(name, tuple(suffixes), description, sniff, read, generic)
        _ORDER[:] = sorted(_READERS.values(), key=lambda reader: (reader.generic, reader.name))
        return read

    return register


def list_formats() -> tuple[Reader, ...]:
    """Return all readers in the order in which they are tried."""
    return tuple(_ORDER)


def read_record(
    source: Source,
    *,
    fs: float | None = None,
    unit: str | None = None,
    leads: Sequence[str] | None = None,
    beats: bool = False,
) -> Record:
    """Read one ECG of any known format.

    Args:
        source: path of a file or record, or ``MemoryFiles``.
        fs: sampling rate in Hz, for files that state none; within 1 % of what others state.
        unit: ``"mV"``, ``"uV"``, ``"nV"``, ``"V"`` or ``"normalised"``, for files that state none or a wrong one.
        leads: names of the signals in the file's order, likewise.
        beats: also read beat annotations beside the record, where the format has them.

    Returns:
        The record; its ``notes`` say what was assumed.

    Raises:
        RecordError: no reader knows the file, or it is damaged, lacks what must then be stated, or states another rate.
        MissingExtraError: the format needs an optional package.
    """
    files = open_files(source)
    return _find_reader(files).read(files, _checked_options(fs, unit, leads, beats))


def _checked_options(fs: float | None, unit: str | None, leads: Sequence[str] | None, beats: bool) -> ReadOptions:
    if fs is not None and not (math.isfinite(fs) and 0 < fs <= 100_000):
        raise RecordError(f"the sampling rate must lie between 0 and 100,000 Hz, got {fs}")
    return ReadOptions(
        fs=None if fs is None else float(fs),
        unit=None if unit is None else stated_unit(unit),
        leads=None if leads is None else tuple(canonical_lead(lead) for lead in leads),
        beats=beats,
    )


def _find_reader(files: Files) -> Reader:
    for reader in _ORDER:
        if reader.sniff(files):
            return reader
    suffix = os.path.splitext(files.name)[1].lower()
    for reader in _ORDER:
        if suffix in reader.suffixes:
            return reader
    files.read()  # a missing file is said to be missing, not to be of no known format
    known = "; ".join(f"{reader.name} ({', '.join(reader.suffixes)})" for reader in _ORDER)
    raise RecordError(f"{files.name}: the content is of no known format; Einthoven reads {known}")
