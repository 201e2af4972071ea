"""The variables of MATLAB files of versions 4 and 5: numbers, text, cells of text and structures of these.

One idea: every size is matched against the bytes that are there before anything is made of it; objects and functions
are stepped over.
Format: MAT-File Format, The MathWorks, R2024a, https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.stated import MOST_FREE_VALUES, MOST_VALUES_PER_BYTE

__all__ = ["Variable", "is_version_4", "is_version_5", "version_4_variables", "version_5_variables"]

Variable = NDArray[Any] | str | tuple[str, ...] | dict[str, Any]

_VERSION = slice(124, 128)
_HEADER = 128
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x0800
_DEEPEST, _MOST_FIELDS, _MOST_CELLS = 3, 256, 64
_V4_TYPES = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
_V4_HEADER = 20


def is_version_5(head: bytes) -> bool:
    """Whether a file begins with the header of version 5 (which versions 6 and 7 write)."""
    return head[_VERSION] in (b"\x00\x01IM", b"\x01\x00MI")


def is_version_4(head: bytes) -> bool:
    """Whether a file begins with the header of a full matrix of version 4, and its name."""
    found = _v4_header(head, 0)
    if found is None:
        return False
    _, _, rows, columns, _, length = found
    name = head[_V4_HEADER : _V4_HEADER + length]
    return min(rows, columns) >= 0 and name.endswith(b"\0") and name[:-1].decode("latin-1").isidentifier()


def _v4_header(content: bytes, at: int) -> tuple[str, int, int, int, int, int] | None:
    """Byte order, type, rows, columns, whether complex, and length of the name."""
    if len(content) < at + _V4_HEADER:
        return None
    for order, machine in (("<", 0), (">", 1)):
        code, rows, columns, imaginary, length = struct.unpack_from(f"{order}5i", content, at)
        precision, kind = code // 10 % 10, code % 10
        known = code // 1000 == machine and code // 100 % 10 == 0 and precision in _V4_TYPES and kind in (0, 1)
        if known and imaginary in (0, 1) and 1 <= length <= 64:
            return order, code, rows, columns, imaginary, length
    return None


def version_4_variables(content: bytes, name: str) -> dict[str, Variable]:
    """Return the variables of a version 4 file by name.

    Raises:
        RecordError: damaged.
    """
    found: dict[str, Variable] = {}
    at = 0
    while at < len(content):
        header = _v4_header(content, at)
        if header is None:
            raise RecordError(f"{name}: at byte {at} no matrix of MATLAB version 4 follows; the file is damaged")
        order, code, rows, columns, imaginary, length = header
        dtype = np.dtype(order + _V4_TYPES[code // 10 % 10])
        start = at + _V4_HEADER + length
        n_bytes = rows * columns * dtype.itemsize
        at = start + n_bytes * (1 + imaginary)
        if min(rows, columns) < 0 or at > len(content):
            raise RecordError(
                f"{name}: a matrix of {rows} x {columns} values ends at byte {at}, the file has {len(content)}"
            )
        if imaginary or not n_bytes:
            continue
        key = content[start - length : start].rstrip(b"\0").decode("latin-1")
        values = np.frombuffer(content, dtype, rows * columns, start).reshape((rows, columns), order="F")
        found[key] = _v4_text(values) if code % 10 else values
    return found


def _v4_text(values: NDArray[Any]) -> str:
    return "".join(chr(int(value)) for value in values.reshape(-1)[:_MOST_FIELDS] if 0 < value < 256).strip()


def version_5_variables(content: bytes, name: str) -> dict[str, Variable]:
    """Return the variables of a version 5 file by name; complex, sparse and object ones are left out.

    Raises:
        RecordError: damaged, or far larger unpacked than a file of its size can be.
    """
    order = "<" if content[_VERSION].endswith(b"IM") else ">"
    budget = max(4 * MOST_FREE_VALUES, MOST_VALUES_PER_BYTE * len(content))
    found: dict[str, Variable] = {}
    for kind, payload in _elements(memoryview(content)[_HEADER:], order, name):
        if kind == _COMPRESSED:
            inflated = _inflated(payload, budget, name)
            budget -= len(inflated)
            kind, payload = next(_elements(memoryview(inflated), order, name), (0, payload))
        if kind == _MATRIX:
            key, value = _matrix(payload, order, name, 0)
            if value is not None and key:
                found[key] = value
    return found


def _inflated(payload: memoryview, budget: int, name: str) -> bytes:
    stream = zlib.decompressobj()
    try:
        inflated = stream.decompress(payload, budget + 1)
    except zlib.error as error:
        raise RecordError(f"{name}: a compressed variable is damaged ({error})") from error
    if len(inflated) > budget:
        raise RecordError(
            f"{name}: a compressed variable unpacks to more than {budget} bytes, far more than an ECG takes"
        )
    if not stream.eof:
        raise RecordError(f"{name}: a compressed variable is cut short")
    return inflated


def _elements(data: memoryview, order: str, name: str) -> Iterator[tuple[int, memoryview]]:
    """The data elements one after the other: type and bytes."""
    at = 0
    while at + 8 <= len(data):
        first, n_bytes = struct.unpack_from(f"{order}2I", data, at)
        kind, start = first, at + 8
        if first >> 16:  # up to four bytes are kept within the tag
            kind, n_bytes, start = first & 0xFFFF, first >> 16, at + 4
        end = start + n_bytes
        if end > len(data) or (first >> 16 and n_bytes > 4):
            raise RecordError(f"{name}: an element of {n_bytes} bytes stands where {len(data) - start} are left")
        yield kind, data[start:end]
        # Elements are padded to eight bytes, but for compressed ones.
        at = at + 8 if first >> 16 else end if kind == _COMPRESSED else at + 8 + (n_bytes + 7) // 8 * 8


def _matrix(payload: memoryview, order: str, name: str, depth: int) -> tuple[str, Variable | None]:
    """Name and value; None where it is of a kind that is not read."""
    parts = _elements(payload, order, name)
    flags, sizes, key = (next(parts, (0, memoryview(b"")))[1] for _ in range(3))
    if len(flags) != 8 or len(sizes) % 4 or not 8 <= len(sizes) <= 32:
        return "", None  # an empty cell, or of a kind whose header is another (opaque objects)
    flag = struct.unpack_from(f"{order}I", flags)[0]
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    kind = flag & 0xFF
    called = bytes(key).decode("latin-1")
    if min(shape) < 0:
        raise RecordError(f"{name}: the variable {called!r} has the shape {shape}")
    if kind in _NUMERIC_CLASSES and not flag & _COMPLEX:
        return called, _numbers(parts, shape, order, f"{name}: {called}")
    if kind == _CHAR:
        return called, _text(parts, shape, order, f"{name}: {called}")
    if kind == _STRUCT and math.prod(shape) == 1 and depth < _DEEPEST:
        return called, _structure(parts, order, name, depth)
    if kind == _CELL and math.prod(shape) <= _MOST_CELLS and depth < _DEEPEST:
        return called, _texts(parts, order, name, depth)
    return called, None


def _numbers(parts: Iterator[tuple[int, memoryview]], shape: tuple[int, ...], order: str, what: str) -> NDArray[Any]:
    kind, data = next(parts, (0, memoryview(b"")))
    n_values = math.prod(shape)
    if not n_values:
        return np.empty(0)
    if kind not in _NUMBERS:
        raise RecordError(f"{what}: its values are of the unknown type {kind}")
    dtype = np.dtype(order + _NUMBERS[kind])
    if n_values * dtype.itemsize != len(data):
        raise RecordError(f"{what}: the shape {shape} asks for {n_values * dtype.itemsize} bytes, it has {len(data)}")
    return np.frombuffer(data, dtype).reshape(shape, order="F")


def _text(
    parts: Iterator[tuple[int, memoryview]], shape: tuple[int, ...], order: str, what: str
) -> str | tuple[str, ...]:
    """One text, or the rows of a matrix of characters."""
    kind, data = next(parts, (0, memoryview(b"")))
    encoding = _TEXTS.get(kind, "latin-1")
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "<" else "-be"
    try:
        found = bytes(data[: 4 * _MOST_FIELDS]).decode(encoding)
    except UnicodeDecodeError as error:
        raise RecordError(f"{what}: its text is damaged ({error})") from error
    if shape[0] > 1 and len(found) == math.prod(shape):
        return tuple(found[row :: shape[0]].strip(" \0") for row in range(shape[0]))
    return found.strip(" \0")


def _structure(parts: Iterator[tuple[int, memoryview]], order: str, name: str, depth: int) -> dict[str, Any]:
    width = next(parts, (0, memoryview(b"")))[1]
    names = bytes(next(parts, (0, memoryview(b"")))[1])
    size = struct.unpack(f"{order}i", width)[0] if len(width) == 4 else 0
    if not 0 < size <= 64 or len(names) % size or len(names) // size > _MOST_FIELDS:
        raise RecordError(f"{name}: the field names of a structure are damaged")
    keys = [names[at : at + size].split(b"\0")[0].decode("latin-1") for at in range(0, len(names), size)]
    found = {}
    for key in keys:
        kind, payload = next(parts, (0, memoryview(b"")))
        if kind != _MATRIX:
            raise RecordError(f"{name}: the field {key!r} of a structure is missing")
        found[key] = _matrix(payload, order, name, depth + 1)[1]
    return {key: value for key, value in found.items() if value is not None}


def _texts(parts: Iterator[tuple[int, memoryview]], order: str, name: str, depth: int) -> tuple[str, ...] | None:
    values = [_matrix(payload, order, name, depth + 1)[1] for kind, payload in parts if kind == _MATRIX]
    return tuple(value for value in values if isinstance(value, str)) or None
