"""Sequence sets of annotated ECGs: one sequence of time, one of digits for each lead.

One idea: a set becomes a segment in millivolts that knows when it begins and how fast it was sampled.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.registry import ReadOptions
from einthoven.formats.units import per_millivolt
from einthoven.formats.xml_record import millivolts, number, numbers, stored_lead

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["Segment", "read_segments"]

_LEAD = "MDC_ECG_LEAD_"
_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6}
_TIME = re.compile(r"(\d{14})(\.\d{1,9})?\d*([+-]\d{4})?", re.ASCII)
_TIME_CODES = ("TIME_ABSOLUTE", "TIME_RELATIVE")  # in order of preference


class Segment(NamedTuple):
    """Leads recorded together.

    Attributes:
        leads: float32 millivolts by lead, all of one length.
        fs: samples per second, None where the file gives none.
        start_s: when it begins, in seconds; None where the file does not tell.
        clock: ``"TIME_ABSOLUTE"`` where ``start_s`` counts from an epoch, ``"TIME_RELATIVE"`` otherwise.
        notes: what was left out.
    """

    leads: dict[str, NDArray[np.float32]]
    fs: float | None
    start_s: float | None
    clock: str
    notes: tuple[str, ...]

    @property
    def n_samples(self) -> int:
        """Samples per lead."""
        return len(next(iter(self.leads.values())))


def read_segments(series: Element, options: ReadOptions, name: str) -> list[Segment]:
    """Read the sequence sets of one series that have samples.

    Raises:
        RecordError: damaged, or with repeated leads or an unknown unit.
    """
    sets = series.findall("component/sequenceSet")
    return [segment for s in sets if (segment := _segment(s, options, name)) is not None]


def _segment(sequence_set: Element, options: ReadOptions, name: str) -> Segment | None:
    by_code: list[tuple[str, Element]] = []
    for sequence in sequence_set.findall("component/sequence"):
        code, value = sequence.find("code"), sequence.find("value")
        if code is not None and value is not None:
            by_code.append((code.get("code", ""), value))
    stored = [(stored_lead(code.removeprefix(_LEAD), name), v) for code, v in by_code if code.startswith(_LEAD)]
    twice = [lead for lead, n in Counter(lead for lead, _ in stored).items() if n > 1]
    if twice:
        raise RecordError(f"{name}: leads repeat in one sequence set: {', '.join(sorted(twice))}"[:400])
    leads = {lead: _samples(value, options, f"{name}: lead {lead[:40]}") for lead, value in stored}
    empty = [lead for lead, samples in leads.items() if not samples.size]
    notes = [f"Leads without samples were left out: {', '.join(empty)}."] if empty else []
    other = [code for code, _ in by_code if not code.startswith((_LEAD, *_TIME_CODES))]
    if other:
        notes.append(f"Sequences that are no ECG leads were left out: {', '.join(other)[:200]}.")
    kept = {lead: samples for lead, samples in leads.items() if samples.size}
    if not kept:
        return None
    lengths = {lead: len(samples) for lead, samples in kept.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{lead} {n}" for lead, n in lengths.items())
        raise RecordError(f"{name}: leads of one sequence set have different numbers of samples ({listed})"[:600])
    return Segment(kept, *_clock(by_code, name), tuple(notes))


def _samples(value: Element, options: ReadOptions, what: str) -> NDArray[np.float32]:
    """Origin plus digits times scale (HL7 V3 data type SLIST), in millivolts."""
    digits = numbers(value.findtext("digits") or "", f"{what}: its digits")
    origin, origin_unit = _quantity(value.find("origin"), 0.0, what)
    scale, unit = _quantity(value.find("scale"), 1.0, what)
    if scale == 0:
        raise RecordError(f"{what}: a scale of 0 leaves no signal")
    unit = unit or origin_unit
    if origin and origin_unit and origin_unit != unit:
        origin *= _ratio(unit, origin_unit, what)
    if not digits.size:
        return np.empty(0, np.float32)
    return millivolts(digits, unit, options, what, step=scale, origin=origin)


def _quantity(element: Element | None, default: float, what: str) -> tuple[float, str]:
    if element is None:
        return default, ""
    value = number(element.get("value"))
    if value is None:
        raise RecordError(f"{what}: the {element.tag} {element.get('value', '')[:40]!r} is not a number")
    return value, element.get("unit", "").strip()


def _ratio(unit: str, other: str, what: str) -> float:
    to, of = per_millivolt(unit), per_millivolt(other)
    if to is None or of is None:
        raise RecordError(f"{what}: the units {unit[:20]!r} and {other[:20]!r} are not both voltages")
    return to / of


def _clock(by_code: list[tuple[str, Element]], name: str) -> tuple[float | None, float | None, str]:
    """Rate, start and kind of time; an absolute sequence goes before a relative one."""
    times = {code: value for code, value in by_code if code in _TIME_CODES}
    for code in _TIME_CODES:
        value = times.get(code)
        if value is None:
            continue
        if value.find("digits") is not None:
            raise RecordError(f"{name}: its times are listed one by one; only regular sampling can be read")
        head = value.find("head")
        start = None if head is None else _start(head, code)
        return _rate(value.find("increment"), name), start, code
    return None, None, ""


def _rate(increment: Element | None, name: str) -> float | None:
    if increment is None:
        return None
    step, unit = number(increment.get("value")), increment.get("unit", "").strip()
    if unit not in _PER_SECOND:
        raise RecordError(f"{name}: the time increment has the unit {unit[:20]!r}; s, ms and us can be read")
    if step is None or step <= 0:
        raise RecordError(f"{name}: the time increment {increment.get('value', '')[:40]!r} is not above zero")
    return round(_PER_SECOND[unit] / step, 6)


def _start(head: Element, code: str) -> float | None:
    text = head.get("value", "").strip()
    if code == "TIME_RELATIVE":
        value, unit = number(text), head.get("unit", "s").strip()
        return None if value is None or unit not in _PER_SECOND else value / _PER_SECOND[unit]
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    try:
        when = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    zone = found[3] or "+0000"
    ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
    since = when - datetime(1970, 1, 1, tzinfo=UTC) - (ahead if zone[0] == "+" else -ahead)
    return since.total_seconds() + float(found[2] or 0)
