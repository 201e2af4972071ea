"""ECGs in HDF5: one data set of numbers, its rate, unit and leads in attributes or in small data sets beside it.

One idea: only plain numbers of this very file are read, and their size is known before anything is allocated.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import EinthovenError, MissingExtraError, RecordError
from einthoven.formats.arrays import ArrayFacts, Value, array_facts, array_record, choose_array, fact_of, text
from einthoven.formats.files import Files
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.stated import MOST_FREE_VALUES, MOST_VALUES_PER_BYTE
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record

__all__ = ["SIGNATURE", "read_hdf5", "read_hdf5_content"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# H5Zpublic.h: deflate, shuffle, Fletcher's checksum, and h5py's LZF.
_FILTERS = (1, 2, 3, 32000)
_DEFLATE, _FLETCHER = 1, 3
_CHECKSUM = 4
_MOST_OBJECTS, _MOST_NAMES, _MOST_CHUNKS = 1000, 64, 100_000
_ITEM_SIZES = (1, 2, 4, 8)
_SPH = ArrayFacts(
    fs=500.0,
    unit="mV",
    leads=TWELVE_LEADS,
    notes=("The file has the layout of the SPH corpus (one half-precision array 'ecg'): millivolts at 500 Hz.",),
)


def _sniff(files: Files) -> bool:
    head = files.head()
    if head.startswith(b"MATLAB"):
        return False
    return any(head[start:].startswith(SIGNATURE) for start in (0, 512, 1024, 2048))


@register_reader("HDF5", (".h5", ".hdf5", ".hdf", ".he5"), "HDF5 with one array of numbers; SPH's records", _sniff)
def read_hdf5(files: Files, options: ReadOptions) -> Record:
    """Read the ECG of an HDF5 file.

    The layout of the SPH corpus (Liu et al., A large-scale multi-label 12-lead electrocardiogram database,
    Scientific Data 9:272, 2022) needs no statements.

    Raises:
        RecordError: damaged, of a kind that is not read, or without a signal, rate, unit or leads that can be told.
        MissingExtraError: h5py is absent.
    """
    return read_hdf5_content(files.read(), files.name, options)


def read_hdf5_content(content: bytes, name: str, options: ReadOptions) -> Record:
    """Read the ECG of an HDF5 file, also of one that MATLAB wrote (version 7.3: axes reversed, text as numbers).

    Raises:
        RecordError: as ``read_hdf5``.
        MissingExtraError: h5py is absent.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError(f"{name}: reading HDF5", "formats") from error
    try:
        with h5py.File(BytesIO(content), "r") as file:
            array, facts, notes = _contents(file, len(content), options, name)
    except EinthovenError:
        raise
    # The package documents no errors of its own: on damaged files it raises whatever breaks first.
    except Exception as error:
        raise RecordError(f"{name}: the h5py package cannot read it ({str(error)[:200]})") from error
    return array_record(name, array, facts, options, notes)


@dataclass(frozen=True, slots=True)
class _Found:
    """The data sets by path, and which attributes beside them were left unread."""

    name: str
    n_bytes: int
    root: Any
    sets: dict[str, Any]
    unread: list[str] = field(default_factory=list)


def _contents(
    file: Any, n_bytes: int, options: ReadOptions, name: str
) -> tuple[NDArray[np.generic], ArrayFacts, tuple[str, ...]]:
    found = _Found(name, n_bytes, file, dict(_data_sets(file, name)))
    sets = found.sets
    numbers = {key: item.shape for key, item in sets.items() if _is_plain(item) and not _is_text(item, found)}
    key, notes = choose_array(numbers, name)
    values = _values_beside(found, key)
    for last in found.unread:
        fact = fact_of(last)
        if fact in ("fs", "unit", "leads") and getattr(options, fact) is None:
            raise RecordError(
                f"{name}: the attribute {last!r} is of variable length, which is not read: state the {fact}, or save "
                f"text of fixed length, such as attrs[{last!r}] = numpy.bytes_(...)"
            )
    if found.unread:
        notes += (f"Attributes of variable length are not read: {', '.join(found.unread)[:200]}.",)
    array = _read(sets[key], key, found)
    if not values and list(sets) == ["ecg"] and array.dtype == np.float16 and array.shape[0] == 12:
        return array, _SPH, notes
    return array, array_facts(values, name), notes


def _data_sets(file: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Data sets by path. Links to elsewhere, in this file or another, are not followed, nor is any object met twice."""
    import h5py

    waiting, seen = [("", file)], {file.id}
    while waiting:
        path, group = waiting.pop()
        for key in group:
            if key.startswith("#") or not isinstance(group.get(key, getlink=True), h5py.HardLink):
                continue
            item = group[key]
            if item.id in seen:
                continue
            seen.add(item.id)
            if len(seen) > _MOST_OBJECTS:
                raise RecordError(f"{name}: more than {_MOST_OBJECTS} groups and data sets; save one record by itself")
            if isinstance(item, h5py.Dataset):
                yield path + key, item
            elif isinstance(item, h5py.Group):
                waiting.append((f"{path}{key}/", item))


def _is_plain(item: Any) -> bool:
    """Whether the values are integers or floats of usual size; this asks for the type only."""
    return item.shape is not None and item.dtype.kind in "fiu" and item.dtype.itemsize in _ITEM_SIZES


def _is_text(item: Any, found: _Found) -> bool:
    """MATLAB keeps text as numbers and says so in an attribute."""
    return "MATLAB_class" in item.attrs and _attribute(item.attrs, "MATLAB_class", found) == "char"


def _values_beside(found: _Found, key: str) -> dict[str, Value]:
    """What describes a data set: its own attributes before those around it, and small data sets beside it."""
    folder = key.rpartition("/")[0]
    around = [found.root] + ([found.root[folder]] if folder else []) + [found.sets[key]]
    values: dict[str, Value] = {}
    for other, item in found.sets.items():
        place, _, last = other.rpartition("/")
        if place == folder and fact_of(last) and _is_plain(item) and item.size <= _MOST_NAMES:
            value = _value(_read(item, other, found), last, found.name, _is_text(item, found))
            values |= {last: value} if value is not None else {}
    for item in around:
        for last in filter(fact_of, item.attrs):
            value = _attribute(item.attrs, last, found)
            values |= {last: value} if value is not None else {}
    return values


def _attribute(attributes: Any, key: str, found: _Found) -> Value | None:
    handle = attributes.get_id(key)
    if math.prod(handle.shape) > _MOST_NAMES:
        raise RecordError(
            f"{found.name}: the attribute {key!r} has {math.prod(handle.shape)} values, too many to be it"
        )
    if handle.dtype.kind == "O":
        # The library makes room for whatever length a damaged one gives, up to 4 GB, before it looks.
        found.unread.append(key)
        return None
    return _value(np.asarray(attributes[key]), key, found.name)


def _value(array: NDArray[Any], key: str, name: str, is_text: bool = False) -> Value | None:
    items = array.reshape(-1).tolist()
    if is_text:
        return text("".join(chr(int(item)) for item in items if 0 < item < 0xD800))
    if items and all(isinstance(item, bytes | str) for item in items):
        texts = tuple(text(item) for item in items)
        return texts[0] if array.ndim == 0 else texts
    if array.dtype.kind not in "fiu" or not items:
        return None
    if len(set(items)) > 1:
        raise RecordError(f"{name}: {key!r} has several values ({items[:4]} ...) where one describes the signal")
    return float(items[0])


def _read(item: Any, key: str, found: _Found) -> NDArray[np.generic]:
    """Read a data set after its layout has been found harmless."""
    plan = item.id.get_create_plist()
    if item.is_virtual or plan.get_external_count():
        raise RecordError(
            f"{found.name}: {key!r} keeps its values in other files, which are not followed; copy them in"
        )
    filters = [plan.get_filter(k)[0] for k in range(plan.get_nfilters())]
    unknown = [code for code in filters if code not in _FILTERS]
    if unknown:
        raise RecordError(f"{found.name}: {key!r} is compressed by filter {unknown[0]}, which is not read; use gzip")
    most = max(MOST_FREE_VALUES, MOST_VALUES_PER_BYTE * found.n_bytes)
    chunk = math.prod(item.chunks or (0,))
    if max(item.size, chunk) > most:
        raise RecordError(
            f"{found.name}: {key!r} promises {max(item.size, chunk)} values (shape {item.shape}), far more than a file "
            f"of {found.n_bytes} bytes holds of an ECG"
        )
    if item.chunks:
        _check_chunks(item, filters, chunk * item.dtype.itemsize, key, found)
    return np.asarray(item[...])


def _check_chunks(item: Any, filters: list[int], n_bytes: int, key: str, found: _Found) -> None:
    """The library inflates a chunk to whatever it holds: refuse those that hold more than a chunk.

    ``n_bytes`` is the size of one chunk unpacked.
    """
    n_chunks = item.id.get_num_chunks()
    if n_chunks > _MOST_CHUNKS:
        raise RecordError(f"{found.name}: {key!r} is cut into {n_chunks} pieces, too many for an ECG")
    if _DEFLATE not in filters:
        return
    place = filters.index(_DEFLATE)
    if set(filters[place + 1 :]) - {_FLETCHER}:
        raise RecordError(f"{found.name}: {key!r} is filtered after its compression, which is not read; use gzip alone")
    most = n_bytes + _CHECKSUM * len(filters)
    for k in range(n_chunks):
        chunk = item.id.get_chunk_info(k)
        if chunk.size > found.n_bytes:
            raise RecordError(f"{found.name}: {key!r} has a piece of {chunk.size} bytes, more than the file")
        mask, raw = item.id.read_direct_chunk(chunk.chunk_offset)
        # A piece that would not shrink is kept as it is, and marked so.
        if not mask >> place & 1 and len(zlib.decompressobj().decompress(raw, most + 1)) > most:
            raise RecordError(
                f"{found.name}: {key!r} has a piece that unpacks to more than the {n_bytes} bytes declared"
            )
