"""What the XML formats share: numbers, samples, rates, units, lead names and patient facts as text.

One idea: a value that is absent or absurd is named, here once for all.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import warnings
from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.registry import ReadOptions
from einthoven.formats.stated import distinct
from einthoven.formats.units import UNITS, per_millivolt
from einthoven.leads import canonical_lead
from einthoven.record import Unit

__all__ = [
    "age_at",
    "age_in_years",
    "base64_bytes",
    "kept_unit",
    "lead_names",
    "millivolts",
    "number",
    "numbers",
    "sex_of",
    "stored_lead",
]

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?", re.ASCII)
_DATES = (
    re.compile(r"(?P<y>\d{4})-?(?P<m>\d\d)-?(?P<d>\d\d)", re.ASCII),  # HL7 and Philips
    re.compile(r"(?P<m>\d\d)-(?P<d>\d\d)-(?P<y>\d{4})", re.ASCII),  # GE MUSE
)
# How many make one year; HL7 units (UCUM) and the words of the makers.
_PER_YEAR = {"a": 1.0, "year": 1.0, "mo": 12.0, "month": 12.0, "wk": 52.1775, "week": 52.1775, "d": 365.25}
_PER_YEAR |= {"day": 365.25, "h": 8766.0, "hour": 8766.0, "min": 525_960.0, "minute": 525_960.0}
_OLDEST = 130.0
_MOST_LEADS = 256  # body surface maps have that many
_SEX: dict[str, Literal["female", "male"]] = {"f": "female", "female": "female", "m": "male", "male": "male"}


def number(text: str | None) -> float | None:
    """Return a decimal number, None where the text is none or the number is not finite.

    >>> number(" 2.5 "), number("1_0"), number("nan")
    (2.5, None, None)
    """
    text = (text or "").strip()
    value = float(text) if len(text) < 400 and _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def numbers(text: str, what: str) -> NDArray[np.float64]:
    """Return numbers separated by white space; ``what`` begins the error's sentence.

    Raises:
        RecordError: something is no number.
    """
    space = np.frombuffer(text.encode("ascii", "replace"), np.uint8) <= ord(" ")
    n_words = int(np.count_nonzero(~space[1:] & space[:-1])) + int(space.size > 0 and not space[0])
    if not n_words:
        return np.empty(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # how numpy reports what is no number
            values = np.fromstring(text, dtype=np.float64, sep=" ")
    except (DeprecationWarning, ValueError):
        values = np.empty(0)
    if len(values) != n_words or not np.isfinite(values).all():
        raise RecordError(f"{what} are not all numbers separated by spaces")
    return values


def base64_bytes(text: str, what: str) -> bytes:
    """Return decoded Base64 text, line ends ignored; ``what`` begins the error's sentence.

    Raises:
        RecordError: no Base64.
    """
    try:
        return base64.b64decode(text.encode("ascii").translate(None, b" \t\r\n"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise RecordError(f"{what} are not valid Base64; copy the file again") from error


def stored_lead(text: str, name: str) -> str:
    """Return the canonical name of a lead as a file calls it.

    Raises:
        RecordError: the lead is stored inverted, as Cabrera's -aVR, which would be taken for its opposite.
    """
    if text.strip().startswith("-"):
        raise RecordError(f"{name}: lead {text.strip()[:20]} is stored inverted, which cannot be read")
    return canonical_lead(text)


def lead_names(stored: Sequence[str], options: ReadOptions, name: str) -> tuple[str, ...]:
    """Return the stated names, else the stored ones, which are canonical.

    Raises:
        RecordError: names repeat, are too many for an ECG, or as many were not stated as are stored.
    """
    if len(stored) > _MOST_LEADS:
        raise RecordError(f"{name}: has {len(stored)} signals; an ECG has at most {_MOST_LEADS}")
    if options.leads is not None and len(options.leads) != len(stored):
        raise RecordError(f"{name}: {len(options.leads)} lead names were stated for {len(stored)} signals")
    return distinct(stored if options.leads is None else options.leads, name)


def millivolts(
    values: NDArray[np.floating[Any]] | NDArray[np.integer[Any]],
    unit: str,
    options: ReadOptions,
    name: str,
    *,
    step: float = 1.0,
    origin: float = 0.0,
) -> NDArray[np.float32]:
    """Return ``values * step + origin`` as float32 millivolts; a stated unit goes before the file's.

    Raises:
        RecordError: no unit of voltage, or values beyond float32.
    """
    scale = per_millivolt(unit) if options.unit is None else UNITS[options.unit]
    if scale is None:
        got = f"the unit {unit[:40]!r}, which is no voltage" if unit else "no unit"
        raise RecordError(f"{name}: gives {got}; state it: --unit uV or unit='uV'")
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = ((values * step + origin) / scale).astype(np.float32)
    if not np.isfinite(narrow).all():
        raise RecordError(f"{name}: has values too large for a signal in millivolts")
    return narrow


def kept_unit(options: ReadOptions) -> Unit:
    """Return the record's unit."""
    return "normalised" if options.unit == "normalised" else "mV"


def age_in_years(text: str, unit: str) -> tuple[float | None, tuple[str, ...]]:
    """Return an age in years and a note where it is left out; without a unit it is in years.

    >>> age_in_years("6", "MONTHS")[0], age_in_years("999", "")[0]
    (0.5, None)
    """
    if not text:
        return None, ()
    value = number(text)
    per_year = _PER_YEAR.get(re.sub(r"(?<=\w)s$", "", unit.strip().lower()) or "a")
    if value is None or per_year is None or not 0 <= value / per_year <= _OLDEST:
        return None, (f"The age {f'{text} {unit}'.strip()[:40]!r} is not one that people reach and was left out.",)
    return value / per_year, ()


def age_at(birth: str, when: str) -> float | None:
    """Return the whole years between two dates, None where they tell none that people reach.

    >>> age_at("19760101", "20081223194446.000"), age_at("06-10-1980", "09-22-2020")
    (32.0, 40.0)
    """
    born, then = _date(birth), _date(when)
    if born is None or then is None:
        return None
    years = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
    return float(years) if 0 <= years <= _OLDEST else None


def _date(text: str) -> date | None:
    for pattern in _DATES:
        if found := pattern.match(text.strip()):
            try:
                return date(int(found["y"]), int(found["m"]), int(found["d"]))
            except ValueError:
                return None
    return None


def sex_of(text: str) -> Literal["female", "male"] | None:
    """Return the sex that a word or letter names, None for any other."""
    return _SEX.get(text.strip().lower())
