"""WFDB signal files of formats 16 and 212 as whole arrays of integers, verified against the header.

One idea: one array operation per record, for a corpus has tens of thousands of them.
Formats: WFDB Applications Guide, signal(5), https://physionet.org/physiotools/wag/signal-5.htm
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.files import Files
from einthoven.formats.wfdb_header import WfdbHeader, WfdbSignal

__all__ = ["WfdbIntegers", "is_plain", "physical", "read_integers"]

_INVALID = {16: -32768, 212: -2048}
_MATLAB4_INT16 = 30


class WfdbIntegers(NamedTuple):
    """Samples as stored.

    Attributes:
        samples: int16, shape (samples, signals), possibly read-only; the stored marks for "invalid" are kept.
        header: what the header says.
        notes: what was found odd, one sentence each.
    """

    samples: NDArray[np.int16]
    header: WfdbHeader
    notes: tuple[str, ...]


def is_plain(header: WfdbHeader) -> bool:
    """Whether all signals are of format 16 or 212, at one rate and without skew."""
    if header.segments:
        return False
    return all([s[1] in _INVALID and s[2] == 1 and s[3] == 0 for s in header.signals])


def read_integers(files: Files, header: WfdbHeader) -> WfdbIntegers:
    """Read the signal files of a plain record and verify them against the header.

    Raises:
        RecordError: a file is missing, of another size than the header says, or contradicts it.
    """
    groups: dict[str, list[WfdbSignal]] = {}
    for signal in header.signals:
        groups.setdefault(signal.file_name, []).append(signal)
    parts = [_group(files, header, group) for group in groups.values()]
    if len(parts) == 1:
        samples = parts[0]
    else:
        if len({len(part) for part in parts}) > 1:
            raise RecordError(f"{header.record}: its signal files are of different lengths")
        # Columns go back to the header's order, should a file's signals not be neighbours there.
        order = [index for name in groups for index, s in enumerate(header.signals) if s.file_name == name]
        samples = np.concatenate(parts, axis=1)[:, np.argsort(order)]
    return WfdbIntegers(samples, header, _verify(samples, header))


def _group(files: Files, header: WfdbHeader, group: list[WfdbSignal]) -> NDArray[np.int16]:
    """One signal file as int16 of shape (samples, its signals)."""
    first, width = group[0], len(group)
    name = first.file_name
    if width > 1 and any([s[1] != first.fmt or s[4] != first.byte_offset for s in group]):
        raise RecordError(f"{name}: the header gives its signals different formats or offsets")
    if not files.exists(name):
        raise RecordError(f"{name}: this signal file, named by the header of {header.record}, is missing")
    content = files.read(name)
    n_values = _n_values(header.n_samples, first, width, len(content))
    if first.byte_offset:
        _check_matlab(content, first, width, n_values)
    if first.fmt == 16:
        flat = np.frombuffer(content, "<i2", n_values, first.byte_offset).astype(np.int16, copy=False)
    else:
        flat = _unpack_212(np.frombuffer(content, np.uint8, offset=first.byte_offset), n_values)
    return flat.reshape(-1, width)


def _n_values(n_samples: int | None, signal: WfdbSignal, width: int, n_bytes: int) -> int:
    """How many values a file holds; its size must be what the header says, where the header says it."""
    stored = n_bytes - signal.byte_offset
    if n_samples is None:
        n_values = stored // 2 if signal.fmt == 16 else stored * 2 // 3
        n_values -= n_values % width
    else:
        n_values = n_samples * width
    expected = 2 * n_values if signal.fmt == 16 else (3 * n_values + 1) // 2
    # An odd last value of format 212 may or may not be followed by a byte of padding.
    padding = 1 if signal.fmt == 212 and n_values % 2 else 0
    if not expected <= stored <= expected + padding or n_values <= 0:
        raise RecordError(
            f"{signal.file_name}: the header asks for {expected + signal.byte_offset} bytes "
            f"({n_values // width} samples of {width} signals), the file has {n_bytes}"
        )
    return n_values


def _check_matlab(content: bytes, signal: WfdbSignal, width: int, n_values: int) -> None:
    """The CinC challenges wrap format 16 as one MATLAB v4 matrix of int16 with a 24-byte header."""
    if not signal.file_name.endswith(".mat"):
        return
    kind, rows, columns, imaginary, name_length = struct.unpack_from("<5i", content)
    right = (_MATLAB4_INT16, width, n_values // width, 0, signal.byte_offset - 20)
    if (kind, rows, columns, imaginary, name_length) != right:
        raise RecordError(
            f"{signal.file_name}: its MATLAB header is not that of a version 4 matrix of {width} x "
            f"{n_values // width} 16-bit integers, which the WFDB header asks for"
        )


def _unpack_212(packed: NDArray[np.uint8], n_values: int) -> NDArray[np.int16]:
    """Two 12-bit values in three bytes: low byte, both high nibbles, low byte."""
    n_pairs = (n_values + 1) // 2
    if packed.size < 3 * n_pairs:
        packed = np.concatenate([packed, np.zeros(3 * n_pairs - packed.size, np.uint8)])
    triples = packed[: 3 * n_pairs].reshape(-1, 3)
    high = triples[:, 1].astype(np.int16)
    values = np.empty((n_pairs, 2), np.int16)
    # Shifting left puts the 12-bit sign where int16 has its own; the shift back at the end spreads it.
    values[:, 0] = (high << 12) | (triples[:, 0].astype(np.int16) << 4)
    values[:, 1] = ((high & 0xF0) << 8) | (triples[:, 2].astype(np.int16) << 4)
    values >>= 4
    return values.reshape(-1)[:n_values]


def _verify(samples: NDArray[np.int16], header: WfdbHeader) -> tuple[str, ...]:
    """Compare the first sample and the 16-bit sum of each signal with the header."""
    sums = samples.sum(axis=0, dtype=np.int16).tolist()
    starts = samples[0].tolist()
    odd_sum = [
        s.checksum is not None and (s.checksum - k) & 0xFFFF != 0 for s, k in zip(header.signals, sums, strict=True)
    ]
    odd_start = [s.initial_value not in (None, k) for s, k in zip(header.signals, starts, strict=True)]
    if not any(odd_sum) and not any(odd_start):
        return ()
    names = [s.name or f"signal {k + 1}" for k, s in enumerate(header.signals)]
    both = [n for n, a, b in zip(names, odd_sum, odd_start, strict=True) if a and b]
    if both:
        raise RecordError(
            f"{header.record}: the header contradicts the file: initial value and checksum of "
            f"{', '.join(both)} differ; download the record again"
        )
    found = {"checksum": odd_sum, "initial value": odd_start}
    return tuple(
        f"The header's {what} differs from the file's in {', '.join(n for n, o in zip(names, odd, strict=True) if o)}."
        for what, odd in found.items()
        if any(odd)
    )


def physical(samples: NDArray[np.int16], signals: tuple[WfdbSignal, ...]) -> NDArray[np.float32]:
    """(samples, signals) integers to (signals, samples) in the header's units."""
    values = samples.T.astype(np.float32, order="C")
    marks = np.array([_INVALID[s.fmt] for s in signals], np.int16)
    invalid = samples == marks
    baselines = [s.baseline for s in signals]
    if any(baselines):
        values -= np.array(baselines, np.float32)[:, None]
    values /= np.array([s.gain for s in signals], np.float32)[:, None]
    if invalid.any():
        values[invalid.T] = np.nan
    return values
