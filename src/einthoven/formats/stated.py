"""What the user states about a file, weighed against what the file says.

One idea: a stated unit or name goes first, a stated rate must not contradict the file's, and what neither says is an
error with advice. A wrong unit can be seen in the signal; at a wrong rate an ECG looks like that of another patient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.registry import ReadOptions
from einthoven.formats.units import UNITS, per_millivolt
from einthoven.record import Unit

__all__ = [
    "MOST_FREE_VALUES",
    "MOST_VALUES_PER_BYTE",
    "agreed_rate",
    "agreed_scale",
    "distinct",
    "known_rate",
    "millivolts",
    "unit_of",
]

_HIGHEST_RATE = 100_000
_ROUNDED = 0.01  # by which a stated rate may differ from the file's: 257 Hz for 256.4
# What compression may promise: more values than these are no ECG but an attempt on the memory.
MOST_FREE_VALUES = 2**22
MOST_VALUES_PER_BYTE = 16


def agreed_rate(
    found: float | None, options: ReadOptions, name: str, where: str = "the file"
) -> tuple[float, tuple[str, ...]]:
    """Return the rate in Hz and notes: the file's own, which a stated one must agree with, else the stated one.

    Args:
        found: what the file says.
        options: what is stated.
        name: of the file, for messages.
        where: in the file it is said, for messages.

    Raises:
        RecordError: nobody tells the rate, the file tells an impossible one, or it contradicts the stated one.
    """
    fs, notes = known_rate(found, options, name, where)
    if options.fs is not None and abs(options.fs - fs) > _ROUNDED * fs:
        raise RecordError(
            f"{name}: {where} says {fs:g} Hz, but {options.fs:g} Hz was stated; leave the stated rate away, or correct "
            f"{where}"
        )
    return fs, notes


def known_rate(
    found: float | None, options: ReadOptions, name: str, where: str = "the file"
) -> tuple[float, tuple[str, ...]]:
    """Return what the file says, else what is stated, whether they agree or not; arguments as of ``agreed_rate``.

    Raises:
        RecordError: nobody tells the rate, or the file tells an impossible one.
    """
    if found is not None and math.isfinite(found) and 0 < found <= _HIGHEST_RATE:
        return found, ()
    if options.fs is not None:
        return options.fs, () if found is None else (
            f"The stated rate of {options.fs:g} Hz replaces {found:g} Hz, which cannot be.",
        )
    if found is None:
        raise RecordError(f"{name}: {where} gives no sampling rate; state it: --fs 500 or fs=500")
    raise RecordError(f"{name}: {where} gives a sampling rate of {found:g} Hz; state the right one: --fs 500 or fs=500")


def agreed_scale(unit: str, options: ReadOptions, what: str) -> float:
    """Return how many of a unit make one millivolt; ``what`` names the file, and the signal where they differ.

    Raises:
        RecordError: nobody tells the unit, or it is no voltage.
    """
    stated = options.unit if options.unit is not None else unit
    if stated == "normalised":
        return UNITS[stated]
    scale = per_millivolt(stated)
    if scale is None:
        got = f"the unit {unit!r}, which is no voltage" if unit.strip() else "no unit"
        raise RecordError(f"{what}: the file gives {got}; state one of {', '.join(UNITS)}: --unit mV or unit='mV'")
    return scale


def unit_of(unit: str, options: ReadOptions) -> Unit:
    """Return the unit of the record that ``agreed_scale`` leads to."""
    return "normalised" if (options.unit or unit) == "normalised" else "mV"


def millivolts(values: NDArray[np.floating[Any]], name: str) -> NDArray[np.float32]:
    """Narrow (leads, samples) to float32.

    Raises:
        RecordError: no samples, or values that are infinite.
    """
    if not values.size:
        raise RecordError(f"{name}: the signal has no samples")
    with np.errstate(over="ignore", invalid="ignore"):  # too large, and signalling NaN
        narrow = np.ascontiguousarray(values, dtype=np.float32)
    if np.isinf(narrow).any():
        raise RecordError(f"{name}: the signal has infinite values, or some too large for millivolts; mark gaps as NaN")
    return narrow


def distinct(leads: Sequence[str], name: str) -> tuple[str, ...]:
    """Return the lead names, all different.

    Raises:
        RecordError: some repeat.
    """
    twice = sorted({lead for lead in leads if leads.count(lead) > 1})
    if twice:
        raise RecordError(
            f"{name}: several signals are called {', '.join(twice)}; state the names of all {len(leads)} in order: "
            "--leads or leads=[...]"
        )
    return tuple(leads)
