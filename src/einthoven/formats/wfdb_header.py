"""The WFDB header (``.hea``), read leniently where published corpora are sloppy.

One idea: a header is a few short lines with few different tokens, so tokens are parsed once and remembered.
Format: WFDB Applications Guide, header(5), https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

from einthoven.errors import RecordError

__all__ = ["MAX_SIGNALS", "WfdbHeader", "WfdbSignal", "looks_like_header", "parse_header"]

MAX_SIGNALS = 256
_DEFAULT_GAIN = 200.0  # header(5): a gain of zero or none means uncalibrated, 200 units per millivolt
_FORMAT = re.compile(r"(\d{1,4})(?:x(\d{1,6}))?(?::(\d{1,9}))?(?:\+(\d{1,9}))?", re.ASCII)
_RECORD_LINE = re.compile(r"[^\s/,;]+(?:/\d+)?[ \t]+\d+(?:[ \t]+[\d.]+\S*)?(?:[ \t]|$)", re.ASCII)
_SIGNAL_LINE = re.compile(r"[^\s,;]+[ \t]+\d{1,4}(?:x\d+)?(?::\d+)?(?:\+\d+)?(?:[ \t]|$)", re.ASCII)


class WfdbSignal(NamedTuple):
    """One signal line. ``millivolts = (sample - baseline) / gain`` where ``unit`` is mV."""

    file_name: str
    fmt: int
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    unit: str
    initial_value: int | None
    checksum: int | None
    name: str


class WfdbHeader(NamedTuple):
    """A parsed header.

    ``n_samples`` and ``fs`` are None where the header lacks them; ``segments`` are names and lengths of a multi-segment
    record, empty otherwise; ``comments`` come without ``#``.
    """

    record: str
    fs: float | None
    n_samples: int | None
    n_signals: int
    signals: tuple[WfdbSignal, ...]
    segments: tuple[tuple[str, int], ...]
    comments: tuple[str, ...]


def looks_like_header(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a WFDB header."""
    if b"\0" in head:
        return False
    lines = [line.strip() for line in head.decode("latin-1").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines or not _RECORD_LINE.match(lines[0]):
        return False
    if len(lines) == 1:  # a header without signals, or a head cut short
        return lines[0].split()[1] == "0" and not _is_number(lines[0].split()[0])
    if "/" in lines[0].split()[0]:
        return len(lines[1].split()) == 2
    # In a table separated by blanks the second line begins with a number, not with a file name.
    return bool(_SIGNAL_LINE.match(lines[1])) and not _is_number(lines[1].split()[0])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def parse_header(content: bytes, file_name: str) -> WfdbHeader:
    """Parse a header.

    Args:
        content: the file.
        file_name: for messages.

    Raises:
        RecordError: the text is no header, or its numbers are implausible.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines, comments = [], []
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith("#"):
            comments.append(line[1:].strip())
        elif line:
            lines.append(line)
    if not lines:
        raise RecordError(f"{file_name}: the header is empty")
    try:
        return _parse_lines(lines, tuple(comments))
    except ValueError as error:
        raise RecordError(f"{file_name}: {error}") from error


def _parse_lines(lines: list[str], comments: tuple[str, ...]) -> WfdbHeader:
    first = lines[0].split()
    if len(first) < 2:
        raise ValueError(f"the first line {lines[0][:60]!r} must give the record name and the number of signals")
    record, _, n_segments = first[0].partition("/")
    n_signals = _integer(first[1], "number of signals", 0, MAX_SIGNALS)
    fs = _rate(first[2]) if len(first) > 2 else None
    # Some headers leave the count out and go on with the time of day.
    counted = len(first) > 3 and ":" not in first[3]
    n_samples = _integer(first[3], "number of samples", 0, 2**40) if counted else 0
    described = len(lines) - 1
    if n_segments:
        announced = _integer(n_segments, "number of segments", 1, 10**6)
        segments = tuple(_segment(line) for line in lines[1:])
        signals: tuple[WfdbSignal, ...] = ()
    else:
        announced, segments = n_signals, ()
        signals = tuple([_signal(line) for line in lines[1 : n_signals + 1]])
    if described != announced:
        kind = "segments" if n_segments else "signals"
        raise ValueError(f"the header announces {announced} {kind} but describes {described}")
    return WfdbHeader(record, fs, n_samples or None, n_signals, signals, segments, comments)


def _segment(line: str) -> tuple[str, int]:
    parts = line.split()
    if len(parts) != 2:
        raise ValueError(f"the segment line {line[:60]!r} must give a name and a length")
    return parts[0], _integer(parts[1], "segment length", 0, 2**40)


def _signal(line: str) -> WfdbSignal:
    parts = line.split(None, 8)
    if len(parts) < 2:
        raise ValueError(f"the signal line {line[:60]!r} must give a file name and a format")
    fmt = _format(parts[1])
    if len(parts) != 9:
        return _short_signal(parts, fmt)
    gain, baseline, unit = _gain(parts[2])
    try:
        zero, initial, checksum = int(parts[4]), int(parts[5]), int(parts[6])
    except ValueError:
        raise ValueError(f"the signal line {line[:60]!r} has text where numbers belong") from None
    return _made(parts[0], fmt, gain, baseline, unit, zero, initial, checksum, parts[8])


def _short_signal(parts: list[str], fmt: tuple[int, int, int, int]) -> WfdbSignal:
    """A signal line with optional fields left out: numbers come in order, the description is what remains."""
    gain, baseline, unit = _DEFAULT_GAIN, None, "mV"
    rest = parts[2:]
    if rest and (rest[0][0].isdigit() or rest[0][0] in "-+."):
        gain, baseline, unit = _gain(rest.pop(0))
    numbers: list[int] = []
    while rest and len(numbers) < 5 and re.fullmatch(r"[-+]?\d{1,18}", rest[0], re.ASCII):
        numbers.append(int(rest.pop(0)))
    zero, initial, checksum = [*numbers[1:4], *[None] * 3][:3]
    return _made(parts[0], fmt, gain, baseline, unit, zero or 0, initial, checksum, " ".join(rest))


def _made(
    file_name: str,
    fmt: tuple[int, int, int, int],
    gain: float,
    baseline: int | None,
    unit: str,
    zero: int,
    initial: int | None,
    checksum: int | None,
    name: str,
) -> WfdbSignal:
    baseline = zero if baseline is None else baseline
    if not -(2**31) <= baseline < 2**31:
        raise ValueError(f"the baseline {baseline} is implausible")
    return WfdbSignal(file_name, *fmt, gain, baseline, unit, initial, checksum, name)


@lru_cache(maxsize=1024)
def _format(token: str) -> tuple[int, int, int, int]:
    """``16x2:3+24`` -> format, samples per frame, skew, byte offset."""
    found = _FORMAT.fullmatch(token)
    if not found:
        raise ValueError(f"the signal format {token[:40]!r} is not of the form 16, 16x2, 16:3 or 16+24")
    fmt, per_frame, skew, offset = found.groups()
    return int(fmt), int(per_frame or 1) or 1, int(skew or 0), int(offset or 0)


@lru_cache(maxsize=4096)
def _gain(token: str) -> tuple[float, int | None, str]:
    """``1000.0(0)/mV`` -> gain, baseline or None, unit."""
    number, _, unit = token.partition("/")
    number, bracket, baseline = number.partition("(")
    try:
        gain = float(number) if number else _DEFAULT_GAIN
        zero = int(baseline.rstrip(")")) if bracket else None
    except ValueError:
        raise ValueError(f"the gain {token[:40]!r} is not of the form 1000, 1000/mV or 1000(0)/mV") from None
    gain = gain or _DEFAULT_GAIN
    if not 1e-6 <= abs(gain) <= 1e12:
        raise ValueError(f"the gain {token[:40]!r} is implausible")
    return gain, zero, unit or "mV"


@lru_cache(maxsize=256)
def _rate(token: str) -> float:
    """``360/1.0(0)`` -> 360: the counter frequency behind the slash is of no use here."""
    try:
        fs = float(token.partition("/")[0].partition("(")[0])
    except ValueError:
        raise ValueError(f"the sampling rate {token[:40]!r} is not a number") from None
    if not (math.isfinite(fs) and 0 < fs <= 10_000_000):
        raise ValueError(f"the sampling rate {token[:40]!r} is implausible")
    return fs


def _integer(token: str, what: str, low: int, high: int) -> int:
    try:
        value = int(token)
    except ValueError:
        raise ValueError(f"the {what} {token[:40]!r} is not a whole number") from None
    if not low <= value <= high:
        raise ValueError(f"the {what} {value} lies outside {low} to {high}")
    return value
