"""Voltage units as files write them.

One idea: a file's unit is a divisor that leads to millivolts, and what is no voltage has none.
"""

from __future__ import annotations

from einthoven.errors import RecordError, nearest

__all__ = ["UNITS", "per_millivolt", "stated_unit"]

# How many of the unit make one millivolt; "normalised" values stay as they are.
UNITS = {"mV": 1.0, "uV": 1000.0, "nV": 1e6, "V": 0.001, "normalised": 1.0}
_SPELLINGS = {"mv": "mV", "millivolt": "mV", "millivolts": "mV", "uv": "uV", "microvolt": "uV", "microvolts": "uV"}
_SPELLINGS |= {"µv": "uV", "μv": "uV", "nv": "nV", "nanovolt": "nV", "v": "V", "volt": "V", "volts": "V"}


def per_millivolt(unit: str) -> float | None:
    """Return how many of ``unit`` make one millivolt, None where it is no unit of voltage.

    >>> per_millivolt("µV"), per_millivolt("mmHg")
    (1000.0, None)
    """
    known = _SPELLINGS.get(unit.strip().lower())
    return UNITS[known] if known else None


def stated_unit(unit: str) -> str:
    """Return the usual spelling of a unit stated by the user.

    Raises:
        RecordError: it is none of ``UNITS``.
    """
    known = "normalised" if unit == "normalised" else _SPELLINGS.get(unit.strip().lower())
    if known is None:
        raise RecordError(f"unit {unit!r} is unknown: use one of {', '.join(UNITS)}{nearest(unit, UNITS)}")
    return known
