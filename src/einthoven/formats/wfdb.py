"""WFDB records: PhysioNet's ``.hea`` with ``.dat``, and the CinC challenges' ``.hea`` with ``.mat``.

One idea: formats 16 and 212, which nearly all ECG corpora use, are read here; rarer ones by the wfdb package.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.files import Files, Source, open_files, stem
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.stated import agreed_rate
from einthoven.formats.units import UNITS, per_millivolt
from einthoven.formats.wfdb_annotations import record_beats
from einthoven.formats.wfdb_comments import patient_facts
from einthoven.formats.wfdb_header import WfdbHeader, looks_like_header, parse_header
from einthoven.formats.wfdb_package import read_with_package
from einthoven.formats.wfdb_signals import WfdbIntegers, is_plain, physical, read_integers
from einthoven.leads import canonical_lead
from einthoven.record import Record

__all__ = ["read_wfdb", "read_wfdb_integers"]

_DEFAULT_FS = 250.0  # header(5)


def _header_name(files: Files) -> str | None:
    """The header that belongs to what the user pointed at: the file itself, or a sibling of the same name."""
    name = files.name
    if name.endswith(".hea"):
        return name
    if not files.exists(name):
        beside = name + ".hea"
        return beside if files.exists(beside) else None
    if looks_like_header(files.head()):
        return name
    beside = stem(name) + ".hea"
    head = files.head(beside, 1 << 16)
    mentioned = name.endswith(".atr") or name.encode() in head.split()
    return beside if mentioned and looks_like_header(head) else None


def _sniff(files: Files) -> bool:
    header = _header_name(files)
    return header is not None and files.exists(header)


def read_wfdb_integers(source: Source) -> WfdbIntegers:
    """Read a record of format 16 or 212 without converting it: the fast path for copying corpora.

    Sizes, initial values and checksums are verified.

    Args:
        source: path of the header, a signal file or the record without suffix; or ``MemoryFiles``.

    Raises:
        RecordError: damaged, missing, or of a rarer format (read those with ``read_record``).
    """
    files = open_files(source)
    header = _header(files)
    if not is_plain(header):
        raise RecordError(f"{files.name}: only WFDB formats 16 and 212 have a direct integer path; use read_record")
    return read_integers(files, header)


@register_reader(
    "WFDB", (".hea", ".dat", ".mat"), "PhysioNet and CinC challenge records: .hea with .dat or .mat", _sniff
)
def read_wfdb(files: Files, options: ReadOptions) -> Record:
    """Read a WFDB record.

    Raises:
        RecordError: damaged, incomplete, or no voltage in it.
        MissingExtraError: a rarer format, and the wfdb package is absent.
    """
    header = _header(files)
    if is_plain(header):
        samples, header, notes = read_integers(files, header)
        columns = header.signals
        names, units = tuple([s.name for s in columns]), tuple([s.unit for s in columns])
        signal = physical(samples, columns)
        fs = header.fs
    else:
        signal, fs, names, units, notes = read_with_package(files, _header_name(files) or files.name, header)
    return _record(files, options, header, signal, fs, names, units, notes)


def _header(files: Files) -> WfdbHeader:
    name = _header_name(files)
    if name is None:
        raise RecordError(f"{files.name}: needs its WFDB header {stem(files.name)}.hea beside it, which is missing")
    header = parse_header(files.read(name), name)
    if not header.n_signals:
        raise RecordError(f"{name}: the record has no signals")
    return header


def _record(
    files: Files,
    options: ReadOptions,
    header: WfdbHeader,
    signal: NDArray[np.float32],
    fs: float | None,
    names: tuple[str, ...],
    units: tuple[str, ...],
    notes: tuple[str, ...],
) -> Record:
    facts = patient_facts(header.comments)
    signal, leads, more = _voltages(header.record, signal, options, names, units)
    rate, rate_notes = _rate(fs, options, header.record)
    return Record(
        signal=signal,
        fs=rate,
        leads=leads,
        record_id=header.record,
        age=facts.age,
        sex=facts.sex,
        statements=dict.fromkeys(facts.statements),
        label_system="snomed" if facts.statements else None,
        beats=record_beats(files, header.record, header.fs or rate) if options.beats else None,
        unit="normalised" if options.unit == "normalised" else "mV",
        notes=notes + facts.notes + more + rate_notes,
    )


def _rate(fs: float | None, options: ReadOptions, record: str) -> tuple[float, tuple[str, ...]]:
    if fs is None and options.fs is None:
        return _DEFAULT_FS, ("The header states no sampling rate; WFDB's default of 250 Hz was taken.",)
    return agreed_rate(fs, options, record, "the header")


def _voltages(
    record: str, signal: NDArray[np.float32], options: ReadOptions, names: tuple[str, ...], units: tuple[str, ...]
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...]]:
    """Keep the signals that are voltages, in millivolts, and name them."""
    if options.leads is not None:
        if len(options.leads) != len(names):
            raise RecordError(f"{record}: {len(options.leads)} lead names were stated for {len(names)} signals")
        names = options.leads
    leads, notes = _lead_names(names)
    scales = _scales(units) if options.unit is None else (UNITS[options.unit],) * len(names)
    if all([scale == 1.0 for scale in scales]):
        return signal, leads, notes
    kept = [k for k, scale in enumerate(scales) if scale is not None]
    if not kept:
        raise RecordError(f"{record}: no signal is a voltage (units: {', '.join(units)}); state the unit if one is")
    if len(kept) < len(scales):
        dropped = ", ".join(f"{leads[k]} [{units[k]}]" for k, scale in enumerate(scales) if scale is None)
        notes += (f"Signals that are no voltages were left out: {dropped}.",)
    signal = signal[kept] / np.array([scales[k] for k in kept], np.float32)[:, None]
    return signal, tuple(leads[k] for k in kept), notes


@lru_cache(maxsize=256)
def _scales(units: tuple[str, ...]) -> tuple[float | None, ...]:
    return tuple(per_millivolt(unit) for unit in units)


@lru_cache(maxsize=256)
def _lead_names(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Canonical and different names; several databases call both of two signals ``ECG``."""
    leads: list[str] = []
    notes = []
    for k, name in enumerate(names):
        lead = canonical_lead(name) or f"signal {k + 1}"
        if lead in leads:
            lead = f"{lead} ({k + 1})"
            notes.append(f"Signal {k + 1} has the name of another and is called {lead!r}.")
        leads.append(lead)
    return tuple(leads), tuple(notes)
