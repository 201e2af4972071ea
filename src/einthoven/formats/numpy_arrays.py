"""ECGs as NumPy arrays: one in a ``.npy``, or with its rate, unit and leads beside it in a ``.npz``.

One idea: the header is matched against what is known, and the bytes are looked at in place; nothing is ever unpickled.
Format: NEP 1, https://numpy.org/neps/nep-0001-npy-format.html
"""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.arrays import Value, array_facts, array_record, choose_array, fact_of, text
from einthoven.formats.files import Files
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.stated import MOST_FREE_VALUES, MOST_VALUES_PER_BYTE
from einthoven.record import Record

__all__ = ["read_npy", "read_npz"]

_MAGIC = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_DESCR = re.compile(r"'descr':\s*'([^']*)'")
_ORDER = re.compile(r"'fortran_order':\s*(True|False)")
_SHAPE = re.compile(r"'shape':\s*\(([\d, ]*)\)")
_TYPE = re.compile(r"[<>|=]?(?:f[248]|[iu][1248]|b1|[US][1-9]\d{0,2})")
_LONGEST_HEADER = 4096
_MOST_NAMES = 64
# NumPy takes any number for a character; Python then fails wherever the text is used.
_LAST_CHARACTER, _SURROGATES = 0x10FFFF, (0xD800, 0xDFFF)


@register_reader(
    "NumPy array", (".npy",), "one NumPy array; rate and unit are stated", lambda files: files.head().startswith(_MAGIC)
)
def read_npy(files: Files, options: ReadOptions) -> Record:
    """Read one array.

    Raises:
        RecordError: damaged, of objects, or without a rate, unit or leads that can be told.
    """
    array = _array(files.read(), files.name)
    _require_numbers(array, files.name)
    return array_record(files.name, array, array_facts({}, files.name), options)


def _sniff_npz(files: Files) -> bool:
    head = files.head()
    return head.startswith(_ZIP) and head[30 : 30 + int.from_bytes(head[26:28], "little")].endswith(b".npy")


@register_reader("NumPy archive", (".npz",), "NumPy arrays by name: ecg, fs, unit, leads", _sniff_npz)
def read_npz(files: Files, options: ReadOptions) -> Record:
    """Read an archive of arrays.

    Raises:
        RecordError: damaged, too large unpacked, or without a signal, rate, unit or leads that can be told.
    """
    name = files.name
    content = files.read()
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            members = _members(archive, len(content), name)
    # zipfile tells damage by any of these: RuntimeError is an encrypted member, NotImplementedError a rare method.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, ValueError, struct.error) as error:
        raise RecordError(f"{name}: the archive is damaged ({error})") from error
    plain = {key: member for key, member in members.items() if not _holds_objects(member)} or members
    arrays = {key: _array(member, f"{name}: {key}") for key, member in plain.items()}
    numbers = {key: array.shape for key, array in arrays.items() if array.dtype.kind in "fiu"}
    key, notes = choose_array(numbers, name)
    if len(plain) < len(members):
        notes += (f"Left out, for they hold Python objects: {', '.join(sorted(set(members) - set(plain)))[:200]}.",)
    values = {key: _value(array, name) for key, array in arrays.items() if fact_of(key) and array.size > 0}
    return array_record(name, arrays[key], array_facts(values, name), options, notes)


def _members(archive: zipfile.ZipFile, n_bytes: int, name: str) -> dict[str, bytes]:
    found = {}
    entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
    total = sum(entry.file_size for entry in entries)
    if total > max(4 * MOST_FREE_VALUES, MOST_VALUES_PER_BYTE * n_bytes):
        raise RecordError(f"{name}: its {n_bytes} bytes promise to unpack to {total}, far more than an ECG takes")
    for entry in entries:
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RecordError(f"{name}: {entry.filename} is compressed in a way that NumPy does not use; save it again")
        key = entry.filename.removesuffix(".npy")
        if key in found:
            raise RecordError(f"{name}: two arrays are called {key!r}; save it again")
        with archive.open(entry) as member:
            found[key] = member.read(entry.file_size)
    return found


def _holds_objects(content: bytes) -> bool:
    descr = _DESCR.search(content[:_LONGEST_HEADER].decode("latin-1"))
    return descr is None or "O" in descr[1]


def _array(content: bytes, name: str) -> NDArray[np.generic]:
    """The array in the bytes of a ``.npy`` file, read-only, its size verified."""
    wide = content[6:7] != b"\x01"  # versions 2 and 3 have a length of four bytes
    start = 12 if wide else 10
    if len(content) < start or not content.startswith(_MAGIC) or content[6] not in (1, 2, 3):
        raise RecordError(f"{name}: is no NumPy array of format version 1, 2 or 3")
    length = int.from_bytes(content[8:start], "little")
    header = content[start : start + min(length, _LONGEST_HEADER)].decode("latin-1")
    descr, order, shape = _DESCR.search(header), _ORDER.search(header), _SHAPE.search(header)
    if not (descr and order and shape):
        raise RecordError(f"{name}: the header is not that of a plain array of numbers; save one with np.save")
    if not _TYPE.fullmatch(descr[1]):
        what = "Python objects, which are never read" if "O" in descr[1] else f"type {descr[1]!r}"
        raise RecordError(f"{name}: holds {what}; save an array of numbers with np.save")
    dtype = np.dtype(descr[1])
    sizes = tuple(int(n) for n in shape[1].replace(" ", "").split(",") if n)
    held = len(content) - start - length
    if len(sizes) > 8 or math.prod(sizes) * dtype.itemsize != held:
        raise RecordError(
            f"{name}: the header promises {math.prod(sizes) * dtype.itemsize} bytes (shape {sizes} of "
            f"{dtype.itemsize}-byte values), the file has {max(held, 0)}"
        )
    array: NDArray[np.generic] = np.frombuffer(content, dtype, offset=start + length) if held else np.empty(0, dtype)
    return array.reshape(sizes, order="F" if order[1] == "True" else "C")


def _require_numbers(array: NDArray[np.generic], name: str) -> None:
    if array.dtype.kind not in "fiu":
        raise RecordError(f"{name}: holds values of type {array.dtype}, not numbers; save the signal itself")


def _value(array: NDArray[np.generic], name: str) -> Value:
    """A variable beside the signal: a number, a text, or several texts."""
    if array.size > _MOST_NAMES:
        raise RecordError(f"{name}: {array.size} values describe the signal; a rate, a unit and lead names are allowed")
    if array.dtype.kind == "U":
        codes = np.frombuffer(array.tobytes(), array.dtype.str[0] + "u4")
        if ((codes > _LAST_CHARACTER) | ((codes >= _SURROGATES[0]) & (codes <= _SURROGATES[1]))).any():
            raise RecordError(f"{name}: a text beside the signal is damaged; state what it tells, or save it again")
    items = array.reshape(-1).tolist()
    if array.dtype.kind in "US":
        texts = tuple(text(item) for item in items)
        return texts[0] if array.ndim == 0 else texts
    if len(set(items)) != 1:
        raise RecordError(f"{name}: several numbers ({items[:4]} ...) stand where one describes the signal")
    return float(items[0])
