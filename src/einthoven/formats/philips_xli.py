"""Philips' XLI compression of ECG leads: LZW with codes of 10 bits, then differences of second order.

One idea: what a chunk may decompress to is bounded before it is decompressed.
Layout: as published by C. Watford, sierra-ecg-tools, https://github.com/sixlettervariables/sierra-ecg-tools/wiki
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError

__all__ = ["decode_xli", "restore_limb_leads"]

_HEADER = struct.Struct("<IHh")  # bytes of the chunk that follows, a code of unknown meaning, first difference
_BITS = 10
_END = 1023
_BIAS = 64  # added to each stored difference


def decode_xli(data: bytes, n_leads: int, most_samples: int, name: str) -> list[NDArray[np.int64]]:
    """Decompress the first leads of an XLI block.

    Args:
        data: chunks of one lead each, one after the other.
        n_leads: how many are wanted; files of 16 channels carry unused ones at the end.
        most_samples: what one lead may decompress to.
        name: of the file, for messages.

    Returns:
        One array of samples per lead.

    Raises:
        RecordError: cut, damaged, or larger than allowed.
    """
    leads: list[NDArray[np.int64]] = []
    at = 0
    while len(leads) < n_leads:
        if at + _HEADER.size > len(data):
            raise RecordError(f"{name}: the XLI data hold {len(leads)} leads of {n_leads}; copy the file again")
        size, _, first = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        if size > len(data) - at:
            raise RecordError(f"{name}: lead {len(leads) + 1} of the XLI data is cut: {len(data) - at} of {size} bytes")
        what = f"{name}: lead {len(leads) + 1} of the XLI data"
        leads.append(_integrate(_unpack_lzw(data[at : at + size], 2 * most_samples, what), first, what))
        at += size
    return leads


def _codes(chunk: bytes) -> Iterator[int]:
    """Codes of 10 bits, the highest bit first."""
    buffer = n_bits = 0
    for byte in chunk:
        buffer, n_bits = (buffer << 8) | byte, n_bits + 8
        if n_bits >= _BITS:
            n_bits -= _BITS
            yield buffer >> n_bits
            buffer &= (1 << n_bits) - 1


def _unpack_lzw(chunk: bytes, most_bytes: int, what: str) -> bytes:
    """Welch's LZW with a table that stops growing when it is full."""
    table = [bytes([value]) for value in range(256)]
    out = bytearray()
    previous = b""
    for code in _codes(chunk):
        if code == _END:
            break
        if code < len(table):
            entry = table[code]
        elif code == len(table) and previous:
            entry = previous + previous[:1]
        else:
            raise RecordError(f"{what} is damaged: code {code} is not in the table of {len(table)}")
        if previous and len(table) < _END:
            table.append(previous + entry[:1])
        out += entry
        if len(out) > most_bytes + 1:
            raise RecordError(f"{what} decompresses to more than the {most_bytes // 2} samples that are allowed")
        previous = entry
    return bytes(out) + b"\0" * (len(out) % 2)  # as the published decoders do


def _integrate(stored: bytes, first: int, what: str) -> NDArray[np.int64]:
    """All high bytes come first, then all low bytes; from the third on, a value is a difference of differences."""
    half = len(stored) // 2
    if half < 2:
        raise RecordError(f"{what} has {half} samples; two are the least")
    high, low = np.frombuffer(stored, np.int8, half), np.frombuffer(stored, np.uint8, half, half)
    values = high.astype(np.int64) * 256 + low
    # x[k] = 2 x[k-1] - x[k-2] - d[k-1], where d[1] is in the header and d[k] = stored[k] - 64.
    bends = -np.concatenate([[first], values[2:-1] - _BIAS])[: half - 2]
    slopes = np.cumsum(np.concatenate([[values[1] - values[0]], bends]))
    samples = values[0] + np.concatenate([[0], np.cumsum(slopes)])
    if np.abs(samples).max() > 32768:
        raise RecordError(f"{what} is damaged: its samples leave the range of 16 bits")
    return samples


def restore_limb_leads(leads: dict[str, NDArray[np.int64]], name: str) -> None:
    """Replace III, aVR, aVL and aVF, stored as what their derivation from I and II misses, by the leads.

    Raises:
        RecordError: I or II is absent.
    """
    stored = [lead for lead in ("III", "aVR", "aVL", "aVF") if lead in leads]
    if not stored:
        return
    if not {"I", "II"} <= set(leads):
        raise RecordError(f"{name}: {', '.join(stored)} cannot be restored without I and II")
    one, two = leads["I"], leads["II"]
    three = two - one - leads.get("III", np.int64(0))
    derived = {"III": two - one, "aVR": -((one + two) // 2), "aVL": (one - three) // 2, "aVF": (two + three) // 2}
    for lead in stored:
        leads[lead] = derived[lead] - leads[lead]
