"""Plain arrays as an ECG: which of several it is, which axis is time, and what is told beside it.

One idea: array files name nothing, so keys, shape and the user's statements are weighed here, once for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.files import stem
from einthoven.formats.registry import ReadOptions
from einthoven.formats.stated import agreed_rate, agreed_scale, distinct, millivolts, unit_of
from einthoven.leads import TWELVE_LEADS, canonical_lead
from einthoven.record import Record

__all__ = ["SEX", "ArrayFacts", "Value", "array_facts", "array_record", "choose_array", "fact_of", "text"]

Value = float | str | tuple[str, ...]

_SIGNAL_KEYS = {"ecg", "val", "signal", "signals", "data", "p_signal"}
# What a key tells, in any case of letters.
_KEYS = {
    "fs": ("fs", "sampling_rate", "sample_rate", "samplingrate", "sampling_frequency", "samplingfrequency", "sfreq"),
    "unit": ("unit", "units"),
    "leads": ("leads", "lead_names", "sig_name", "channels", "channel_names"),
    "age": ("age",),
    "sex": ("sex", "gender"),
    "patient_id": ("patient_id", "patient"),
}
_FACTS = {key: fact for fact, keys in _KEYS.items() for key in keys}
SEX: dict[str, Literal["female", "male"]] = {"f": "female", "female": "female", "m": "male", "male": "male"}
_OLDEST = 130


@dataclass(frozen=True, slots=True)
class ArrayFacts:
    """What a file tells beside the array: rate in Hz, unit, lead names, patient; empty where it does not."""

    fs: float | None = None
    unit: str = ""
    leads: tuple[str, ...] = ()
    age: float | None = None
    sex: Literal["female", "male"] | None = None
    patient_id: str | None = None
    notes: tuple[str, ...] = ()


def fact_of(key: str) -> str | None:
    """Return which attribute of ``ArrayFacts`` a variable of this name tells, None where it is none.

    >>> fact_of("Sampling_Rate"), fact_of("ecg")
    ('fs', None)
    """
    return _FACTS.get(key.lower())


def text(value: Any) -> str:
    """Return text from bytes of unknown encoding, without padding.

    >>> text("mV".encode() + bytes(2))
    'mV'
    """
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            value = value.decode("latin-1")
    return value.strip(" \0")


def array_facts(values: Mapping[str, Value], name: str) -> ArrayFacts:
    """Sort variables and attributes beside an array by their keys; the last of several that tell the same counts.

    Raises:
        RecordError: rate, unit or leads are of the wrong kind.
    """
    known = {fact_of(key): value for key, value in values.items()}
    fs, sex, patient = known.get("fs"), known.get("sex"), known.get("patient_id")
    if isinstance(fs, tuple) or (isinstance(fs, str) and not fs.replace(".", "", 1).isdecimal()):
        raise RecordError(f"{name}: the sampling rate {fs!r} is no number; state it: --fs 500 or fs=500")
    age, notes = _age(known.get("age"))
    return ArrayFacts(
        fs=None if fs is None else float(fs),
        unit=_unit(known.get("unit"), name),
        leads=_leads(known.get("leads"), name),
        age=age,
        sex=SEX.get(sex.strip().lower()) if isinstance(sex, str) else None,
        patient_id=patient.strip() or None if isinstance(patient, str) else None,
        notes=notes,
    )


def _unit(value: Value | None, name: str) -> str:
    units = {value} if isinstance(value, str) else set(value) if isinstance(value, tuple) else set()
    if len(units) > 1:
        raise RecordError(f"{name}: the leads are of different units ({', '.join(sorted(units))}); bring them to one")
    return units.pop() if units else ""


def _leads(value: Value | None, name: str) -> tuple[str, ...]:
    if isinstance(value, float):
        raise RecordError(f"{name}: the lead names are a number ({value:g}); state them: --leads or leads=[...]")
    if isinstance(value, str):
        value = tuple(value.replace(",", " ").replace(";", " ").split())
    return tuple(canonical_lead(lead) for lead in value or ())


def _age(value: Value | None) -> tuple[float | None, tuple[str, ...]]:
    if isinstance(value, str) and value.strip().isdecimal():
        value = float(value[:9])
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None, ()
    if not isinstance(value, float) or not 0 <= value <= _OLDEST:
        return None, (f"The age {str(value)[:40]!r} is not a number of years and was left out.",)
    return value, ()


def choose_array(shapes: Mapping[str, tuple[int, ...]], name: str) -> tuple[str, tuple[str, ...]]:
    """Choose the signal among the numeric arrays of a file.

    Args:
        shapes: of the arrays by key.
        name: of the file, for messages.

    Returns:
        The key, and notes.

    Raises:
        RecordError: there is none, or several and none has a usual name.
    """
    plain = {key: _trimmed(shape) for key, shape in shapes.items() if not fact_of(key.rsplit("/", 1)[-1])}
    # Vectors beside a matrix are times, positions of beats and the like.
    candidates = [key for key, shape in plain.items() if len(shape) == 2 and min(shape) > 1]
    candidates = candidates or [key for key, shape in plain.items() if len(shape) <= 2 and math.prod(shape) > 1]
    if not candidates:
        held = ", ".join(f"{key} of shape {shape}" for key, shape in list(shapes.items())[:8]) or "none"
        raise RecordError(
            f"{name}: no array is one ECG of shape (leads, samples) (found: {held}); save each record by itself"
        )
    usual = [key for key in candidates if key.rsplit("/", 1)[-1].lower() in _SIGNAL_KEYS]
    if len(candidates) > 1 and len(usual) != 1:
        listed = ", ".join(f"{key} {shapes[key]}" for key in candidates[:8])
        raise RecordError(
            f"{name}: several arrays may be the ECG ({listed}); call one of them 'ecg', or save it by itself"
        )
    if len(candidates) == 1:
        return candidates[0], ()
    others = ", ".join(key for key in candidates if key != usual[0])
    return usual[0], (f"The array {usual[0]!r} was read; left out: {others[:200]}.",)


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A batch of one record is that record."""
    return shape if len(shape) <= 2 else tuple(n for n in shape if n != 1)


def array_record(
    name: str, array: NDArray[np.generic], facts: ArrayFacts, options: ReadOptions, notes: tuple[str, ...] = ()
) -> Record:
    """Make a record of an array of integers or floats, whose axes are told by the number of leads.

    Raises:
        RecordError: axes, leads, rate or unit cannot be told.
    """
    trimmed = _trimmed(array.shape)
    if len(trimmed) > 2 or not array.size:
        raise RecordError(f"{name}: an array of shape {array.shape} is not one ECG of shape (leads, samples)")
    values = array.reshape(trimmed if len(trimmed) == 2 else (1, array.size))
    leads, transpose, more = _axes(values.shape, facts, options, name)
    fs, rate_notes = agreed_rate(facts.fs, options, name)
    scale = agreed_scale(facts.unit, options, name)
    with np.errstate(invalid="ignore"):  # signalling NaN
        floats: NDArray[np.float64] = (values.T if transpose else values).astype(np.float64)
    return Record(
        signal=millivolts(floats if scale == 1.0 else floats / scale, name),
        fs=fs,
        leads=distinct(leads, name),
        record_id=stem(name),
        patient_id=facts.patient_id,
        age=facts.age,
        sex=facts.sex,
        unit=unit_of(facts.unit, options),
        notes=(*notes, *facts.notes, *more, *rate_notes),
    )


def _axes(
    shape: tuple[int, ...], facts: ArrayFacts, options: ReadOptions, name: str
) -> tuple[tuple[str, ...], bool, tuple[str, ...]]:
    """Lead names, whether time comes first, and what was assumed."""
    leads = options.leads or facts.leads
    notes: tuple[str, ...] = ()
    if not leads:
        leads = TWELVE_LEADS
        notes = (f"The leads are not named and were taken as {', '.join(TWELVE_LEADS)}.",)
    n = len(leads)
    if n not in shape:
        what = f"{n} lead names do not fit" if not notes else "without lead names only twelve leads can be told in"
        raise RecordError(
            f"{name}: {what} an array of shape {shape}; state as many names as it has leads, in order: "
            "--leads or leads=[...]"
        )
    if shape[0] == shape[1]:
        raise RecordError(f"{name}: both axes are {n} long, so time cannot be told from leads; transpose or cut it")
    transpose = shape[1] == n
    order = "(samples, leads)" if transpose else "(leads, samples)"
    return leads, transpose, (*notes, f"The array's axes were taken as {order}, by its {n} leads.")
