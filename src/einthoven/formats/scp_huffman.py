"""Huffman decoding for SCP-ECG.

One idea: the code that starts at *every* bit is looked up at once as arrays; what remains is to follow the chain.
Standard: EN 1064 / ISO 11073-91064, clause 5.5 and annex C (default table C.2.7.4).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError

__all__ = ["DEFAULT_TABLE", "Decoded", "HuffmanCode", "HuffmanTable", "huffman_decode", "parse_tables"]

_DEFAULT = 19999
_MOST_TABLES = 32  # each is looked up at every bit of a lead: bounds memory


class HuffmanCode(NamedTuple):
    """One row of a table.

    Attributes:
        prefix_bits: length of the code.
        total_bits: the same and the bits after it, which are a two's complement number.
        is_value: False where the code switches to table number ``value``, counted from 1.
        value: sample, added to the number in the bits after the code.
        code: the code's bits, the first one the most significant.
    """

    prefix_bits: int
    total_bits: int
    is_value: bool
    value: int
    code: int


class HuffmanTable(NamedTuple):
    """A table sorted by code; ``starts`` and ``ends`` are the 32-bit windows that begin with each code."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    prefix: NDArray[np.int64]
    total: NDArray[np.int64]
    is_value: NDArray[np.bool_]
    value: NDArray[np.int64]


class Decoded(NamedTuple):
    """What a stream holds; ``bits_left`` are those after the last sample that was asked for."""

    values: NDArray[np.int64]
    bits_left: int


def _table(codes: list[HuffmanCode]) -> HuffmanTable:
    """Sort a table; two codes of which one begins like the other make it undecodable (ValueError)."""
    rows = sorted(codes, key=lambda row: row.code << (32 - row.prefix_bits))
    prefix, total, is_value, value, code = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    starts = code << (32 - prefix)
    ends = starts + (1 << (32 - prefix))
    if np.any(starts[1:] < ends[:-1]):
        raise ValueError("two of its codes begin alike")
    return HuffmanTable(starts, ends, prefix, total, is_value.astype(bool), value)


def _default_codes() -> list[HuffmanCode]:
    """0 is one bit; ±n up to 8 are n ones, a zero and the sign; then 8 or 16 bits follow ten."""
    codes = [HuffmanCode(1, 1, True, 0, 0)]
    for n in range(1, 9):
        ones = (1 << n) - 1
        codes += [HuffmanCode(n + 2, n + 2, True, v, ones << 2 | sign) for sign, v in enumerate((n, -n))]
    return [*codes, HuffmanCode(10, 18, True, 0, 0b1111111110), HuffmanCode(10, 26, True, 0, 0b1111111111)]


DEFAULT_TABLE = _table(_default_codes())


def parse_tables(body: bytes, name: str) -> tuple[HuffmanTable, ...]:
    """Read section 2; empty where it says that samples are not coded.

    Raises:
        RecordError: cut off, too many tables, or one by which nothing can be decoded.
    """
    n_tables = int.from_bytes(body[:2], "little")
    if n_tables == _DEFAULT:
        return (DEFAULT_TABLE,)
    if n_tables > _MOST_TABLES:
        raise RecordError(f"{name}: section 2 announces {n_tables} Huffman tables; up to {_MOST_TABLES} are read")
    tables = []
    at = 2
    for k in range(1, n_tables + 1):
        n_codes = int.from_bytes(body[at : at + 2], "little")
        at += 2
        if n_codes == 0 or at + 9 * n_codes > len(body):
            raise RecordError(f"{name}: section 2 ends within Huffman table {k} of {n_tables}, or the table is empty")
        try:
            tables.append(_table([_code(body, at + 9 * row, n_tables) for row in range(n_codes)]))
        except ValueError as error:
            raise RecordError(f"{name}: Huffman table {k} of section 2 cannot be used: {error}") from None
        at += 9 * n_codes
    return tuple(tables)


def _code(body: bytes, at: int, n_tables: int) -> HuffmanCode:
    prefix, total, mode, value, stored = struct.unpack_from("<BBBhI", body, at)
    if not (1 <= prefix <= 32 and prefix <= total <= prefix + 32):
        raise ValueError(f"a code of {prefix} bits, {total} with what follows it, is out of range")
    if mode == 0 and not 1 <= value <= n_tables:
        raise ValueError(f"it switches to table {value} of {n_tables}")
    # The first bit of a code is stored as the least significant one.
    code = int(f"{stored & ((1 << prefix) - 1):0{prefix}b}"[::-1], 2)
    return HuffmanCode(prefix, total, mode != 0, value, code)


def huffman_decode(data: bytes, tables: tuple[HuffmanTable, ...], n_values: int) -> Decoded:
    """Decode up to ``n_values`` samples of one lead, fewer where the bits end or make no code.

    >>> huffman_decode(bytes([0b10010111, 0b01000000]), (DEFAULT_TABLE,), 4).values.tolist()
    [1, -1, -2, 0]
    """
    n_bits = 8 * len(data)
    windows = _windows(data)
    step, entry = _links(windows[: n_bits + 1], tables)
    chain = np.array(_follow(step.data), np.int64)
    entries = entry[chain]
    is_value = np.concatenate([table.is_value for table in tables])
    good = (entries >= 0) & is_value[entries]
    at, entries = (chain % (n_bits + 1))[good][:n_values], entries[good][:n_values]
    prefix, total, value = (np.concatenate(c)[entries] for c in zip(*(t[2:4] + t[5:6] for t in tables), strict=True))
    end = int(at[-1] + total[-1]) if at.size else 0
    return Decoded(value + _signed(windows[at + prefix], total - prefix), n_bits - end)


def _windows(data: bytes) -> NDArray[np.int64]:
    """The 32 bits from each bit on, zeros after the end; one window more than there are bits."""
    octets = np.frombuffer(data + bytes(5), np.uint8).astype(np.int64)
    n = len(data) + 1
    forty = sum((octets[k : k + n] << (32 - 8 * k) for k in range(5)), start=np.zeros(n, np.int64))
    shifted: NDArray[np.int64] = (forty[:, None] >> (8 - np.arange(8))) & 0xFFFFFFFF
    return shifted.reshape(-1)


def _links(windows: NDArray[np.int64], tables: tuple[HuffmanTable, ...]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """For each node, which is a table at a bit: the node after its code, and the row of that code; -1 for none."""
    n = len(windows)
    step = np.full(len(tables) * n, -1, np.int32)
    entry = np.full(len(tables) * n, -1, np.int32)
    at, offset = np.arange(n), 0
    for k, table in enumerate(tables):
        row = np.maximum(np.searchsorted(table.starts, windows, side="right") - 1, 0)
        after = at + table.total[row]
        found = (windows >= table.starts[row]) & (windows < table.ends[row]) & (after < n)
        target = np.where(table.is_value, k, table.value - 1)[row]
        step[k * n : (k + 1) * n][found] = (target * n + after)[found]
        entry[k * n : (k + 1) * n][found] = row[found] + offset
        offset += len(table.starts)
    return step, entry


def _follow(step: memoryview) -> list[int]:
    """Nodes from the first table at bit 0 on; every code has at least one bit, so it ends."""
    node, chain = 0, []
    while node >= 0:
        chain.append(node)
        node = step[node]
    return chain


def _signed(windows: NDArray[np.int64], bits: NDArray[np.int64]) -> NDArray[np.int64]:
    """The first ``bits`` of each window as a two's complement number, 0 where there are none."""
    number = windows >> (32 - bits)
    return number - ((number >> np.maximum(bits - 1, 0)) << bits)
