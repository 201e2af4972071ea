"""The header of EDF, EDF+, BDF and BDF+ files: fields of fixed width, in ASCII.

One idea: every number is checked, and what the header promises is matched against the file's length, before a sample is
read.
Formats: Kemp et al., Electroenceph Clin Neurophysiol 82 (1992) 391-393; Kemp and Olivan, Clin Neurophysiol 114 (2003)
1755-1761, https://www.edfplus.info/specs/edfplus.html; https://www.biosemi.com/faq/file_format.htm
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from einthoven.errors import RecordError
from einthoven.formats.arrays import SEX

__all__ = ["EdfHeader", "EdfSignal", "parse_edf_header", "straight_line"]

_FIXED = 256
_PADDING = " \0"
_INTEGER = re.compile(r"[+-]?\d{1,10}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)  # label ... samples in each data record, reserved
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_DATE = re.compile(r"(\d{1,2})-([A-Z]{3})-(\d{4})", re.ASCII)
_MOST_SIGNALS = 4096
_SHORTEST_S = 1e-5


class EdfSignal(NamedTuple):
    """One signal.

    Attributes:
        label: as written.
        unit: physical dimension as written, empty where none is.
        ranges: physical minimum and maximum, digital minimum and maximum, as written.
        n_samples: in each data record.
        first: where its samples begin in a data record.
        is_annotation: whether it carries texts and times.
    """

    label: str
    unit: str
    ranges: tuple[str, str, str, str]
    n_samples: int
    first: int
    is_annotation: bool


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """What a header says.

    Attributes:
        width: bytes of a sample, 2 (EDF) or 3 (BDF).
        signals: all of them, annotations included.
        n_bytes: of the header itself.
        n_records: data records in the file.
        record_s: seconds that one data record lasts.
        discontinuous: whether data records may lie apart in time (EDF+D).
        patient_id: code that the hospital knows the patient by.
        sex: of the patient.
        age: whole years at the start.
        notes: what was found odd.
    """

    width: int
    signals: tuple[EdfSignal, ...]
    n_bytes: int
    n_records: int
    record_s: float
    discontinuous: bool
    patient_id: str | None
    sex: Literal["female", "male"] | None
    age: float | None
    notes: tuple[str, ...]

    @property
    def record_samples(self) -> int:
        """Samples of all signals in one data record."""
        return sum(signal.n_samples for signal in self.signals)


def parse_edf_header(content: bytes, name: str) -> EdfHeader:
    """Parse and verify the header of a whole file.

    Raises:
        RecordError: a field is damaged, or the file is not as long as the header promises.
    """
    if len(content) < 2 * _FIXED:
        raise RecordError(f"{name}: {len(content)} bytes are fewer than the shortest EDF header has")
    fixed = content[:_FIXED].decode("latin-1")
    width = 3 if content[0] == 0xFF else 2
    n_signals = _integer(fixed[252:256], "number of signals", name)
    n_bytes = _integer(fixed[184:192], "size of the header", name)
    if not 1 <= n_signals <= _MOST_SIGNALS or n_bytes != _FIXED * (n_signals + 1) or len(content) < n_bytes:
        raise RecordError(
            f"{name}: {n_signals} signals need a header of {_FIXED * (n_signals + 1)} bytes, it states {n_bytes}, the "
            f"file has {len(content)}"
        )
    reserved = fixed[192:236]
    plus = reserved[:5] in ("EDF+C", "EDF+D", "BDF+C", "BDF+D")
    signals = _signals(content[_FIXED:n_bytes].decode("latin-1"), n_signals, plus, name)
    record_s = _decimal(fixed[244:252], "duration of a data record", name)
    n_records = _integer(fixed[236:244], "number of data records", name)
    record_bytes = width * sum(signal.n_samples for signal in signals)
    n_records, notes = _n_records(n_records, len(content) - n_bytes, record_bytes, name)
    if record_s < _SHORTEST_S:
        raise RecordError(f"{name}: a data record lasts {record_s:g} s, which must be {_SHORTEST_S:g} or more")
    code, sex, age = _patient(fixed, plus)
    discontinuous = plus and reserved[4] == "D"
    return EdfHeader(width, signals, n_bytes, n_records, record_s, discontinuous, code, sex, age, notes)


def straight_line(signal: EdfSignal, width: int, name: str) -> tuple[float, float]:
    """Return gain and offset of a signal, whose values are ``(digital - offset) * gain`` in its unit.

    Raises:
        RecordError: the ranges are no numbers, or make no line.
    """
    label = signal.label
    low, high = (_decimal(field, f"physical range of {label!r}", name) for field in signal.ranges[:2])
    # Some writers give digital extremes as decimals.
    bottom, top = (_decimal(field, f"digital range of {label!r}", name) for field in signal.ranges[2:])
    limit = 2 ** (8 * width - 1)
    if not (-limit <= bottom < top < limit and low != high):
        raise RecordError(
            f"{name}: the ranges of {label!r} make no line: digital {bottom:g} to {top:g} (within {-limit} to "
            f"{limit - 1}), physical {low:g} to {high:g}"
        )
    gain = (high - low) / (top - bottom)
    offset = bottom - low / gain if gain else math.inf
    if not math.isfinite(offset) or not math.isfinite(gain):
        raise RecordError(f"{name}: the physical range of {label!r}, {low:g} to {high:g}, is out of all measure")
    return gain, offset


def _integer(field: str, what: str, name: str) -> int:
    number = field.strip(_PADDING)
    if not _INTEGER.fullmatch(number):
        raise RecordError(f"{name}: the header's {what} is {number!r}, which is no whole number")
    return int(number)


def _decimal(field: str, what: str, name: str) -> float:
    # Some writers follow their country's custom.
    number = field.strip(_PADDING).replace(",", ".")
    if not _DECIMAL.fullmatch(number) or not math.isfinite(float(number)):
        raise RecordError(f"{name}: the header's {what} is {number!r}, which is no number")
    return float(number)


def _signals(fields: str, n: int, plus: bool, name: str) -> tuple[EdfSignal, ...]:
    """Each field is stored for all signals before the next field begins."""
    columns, at = [], 0
    for size in _WIDTHS:
        columns.append([fields[at + k * size : at + (k + 1) * size] for k in range(n)])
        at += n * size
    found: list[EdfSignal] = []
    first = 0
    for label, _, unit, low, high, digital_low, digital_high, _, samples, _ in zip(*columns, strict=True):
        called = label.strip()
        n_samples = _integer(samples, f"number of samples of {called!r}", name)
        if n_samples < 1:
            raise RecordError(
                f"{name}: {called!r} has {n_samples} samples in each data record, which must be 1 or more"
            )
        is_annotation = plus and called in ("EDF Annotations", "BDF Annotations")
        ranges = (low, high, digital_low, digital_high)
        found.append(EdfSignal(called, unit.strip(), ranges, n_samples, first, is_annotation))
        first += n_samples
    return tuple(found)


def _n_records(stated: int, n_bytes: int, record_bytes: int, name: str) -> tuple[int, tuple[str, ...]]:
    if stated == -1:
        if n_bytes < record_bytes:
            raise RecordError(f"{name}: the recording was not closed and holds no whole data record")
        notes = ("The recording was not closed; its length was taken from the file's.",)
        return n_bytes // record_bytes, notes
    if stated < 1 or stated * record_bytes > n_bytes:
        raise RecordError(
            f"{name}: the header promises {stated} data records of {record_bytes} bytes, the file has {n_bytes} bytes "
            "of them; it is cut short or damaged"
        )
    extra = n_bytes - stated * record_bytes
    return stated, (f"The file has {extra} bytes more than the header says; they were left out.",) if extra else ()


def _patient(fixed: str, plus: bool) -> tuple[str | None, Literal["female", "male"] | None, float | None]:
    """EDF+ keeps code, sex, birthdate and name apart; plain EDF leaves the field to the hospital."""
    if not plus:
        return None, None, None
    code, sex, birth, *_ = [*fixed[8:88].split(), "X", "X", "X"]
    recording = [*fixed[88:168].split(), "X", "X"]
    born = _date(birth)
    start = _date(recording[1]) if recording[0].lower() == "startdate" else None
    age = None
    if born and start and born <= start:
        age = float(start.year - born.year - ((start.month, start.day) < (born.month, born.day)))
    return None if code == "X" else code.replace("_", " "), SEX.get(sex.lower()), age


def _date(field: str) -> datetime.date | None:
    found = _DATE.fullmatch(field.upper())
    if not found or found[2] not in _MONTHS:
        return None
    try:
        return datetime.date(int(found[3]), _MONTHS.index(found[2]) + 1, int(found[1]))
    except ValueError:  # the 31st of February
        return None
