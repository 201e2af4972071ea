"""A DICOM file as a data set, whatever its transfer syntax, and its elements without surprises.

One idea: what is compressed is unpacked here within bounds, and pydicom's failures become one error.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from einthoven.errors import MissingExtraError, RecordError
from einthoven.formats.stated import MOST_FREE_VALUES, MOST_VALUES_PER_BYTE

__all__ = ["element", "is_dicom", "items", "number", "open_dicom", "word"]

_PREAMBLE = 128
_MARK = b"DICM"
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_TRANSFER_SYNTAX = b"\x02\x00\x10\x00UI"
# VRs whose explicit length has four bytes, after two of zero: PS3.5, 7.1.2.
_LONG = (b"OB", b"OW", b"OD", b"OF", b"OL", b"OV", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
# Groups that a file without preamble begins with: file meta information, identification.
_FIRST_GROUPS = (2, 8)


def is_dicom(head: bytes) -> bool:
    """Whether a file begins like DICOM: the mark after a preamble, or an element of a group that comes first."""
    if head[_PREAMBLE : _PREAMBLE + 4] == _MARK:
        return True
    if len(head) < 16 or int.from_bytes(head[:2], "little") not in _FIRST_GROUPS or head[3]:
        return False
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return explicit or int.from_bytes(head[4:8], "little") <= 256


def open_dicom(content: bytes, name: str) -> Any:
    """Return the pydicom data set of a file.

    Raises:
        RecordError: damaged, or far larger unpacked than a file of its size can be.
        MissingExtraError: pydicom is absent.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError(f"{name}: reading DICOM", "formats") from error
    content = _inflated(content, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on values against the standard, which are checked where they are used
        try:
            return pydicom.dcmread(BytesIO(content), force=True)
        # The package documents no errors of its own: on damaged files it raises whatever breaks first.
        except Exception as error:
            raise RecordError(f"{name}: the pydicom package cannot read it ({str(error)[:200]})") from error


def _inflated(content: bytes, name: str) -> bytes:
    """The data set of a deflated file, uncompressed and without its meta information; other files as they are."""
    start = _PREAMBLE + 4 if content[_PREAMBLE : _PREAMBLE + 4] == _MARK else 0
    syntax, end = b"", start
    while content[end : end + 2] == b"\x02\x00" and end + 12 <= len(content):
        wide = content[end + 4 : end + 6] in _LONG
        size = int.from_bytes(content[end + 8 : end + 12] if wide else content[end + 6 : end + 8], "little")
        at = end + (12 if wide else 8)
        if content[end:].startswith(_TRANSFER_SYNTAX):
            syntax = content[at : at + size].strip(b"\0 ")
        end = at + size
    if syntax != _DEFLATED:
        if _DEFLATED in content[: 2 * end]:
            raise RecordError(f"{name}: the file meta information is damaged")
        return content
    most = max(4 * MOST_FREE_VALUES, MOST_VALUES_PER_BYTE * len(content))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(content[end:], most + 1)
    except zlib.error as error:
        raise RecordError(f"{name}: the deflated data set is damaged ({error})") from error
    if len(inflated) > most:
        raise RecordError(f"{name}: its {len(content)} bytes unpack to more than {most}, far more than an ECG takes")
    return inflated


def element(item: Any, keyword: str, name: str) -> Any:
    """Return the value of an element, None where it is absent or empty.

    Raises:
        RecordError: it cannot be converted.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = item.get(keyword)
            return None if value is None or value == "" or (hasattr(value, "__len__") and not len(value)) else value
        except Exception as error:  # pydicom converts on access, and as for reading documents no errors
            raise RecordError(f"{name}: the element {keyword} is damaged ({str(error)[:200]})") from error


def items(item: Any, keyword: str, name: str) -> Iterator[Any]:
    """The items of a sequence, none where it is absent.

    Raises:
        RecordError: the element is no sequence.
    """
    found = element(item, keyword, name)
    if found is not None and type(found).__name__ != "Sequence":
        raise RecordError(f"{name}: the element {keyword} is no sequence")
    yield from found or ()


def word(item: Any, keyword: str, name: str) -> str:
    """Return an element as text without padding, the first where there are several, empty where it is absent."""
    value = element(item, keyword, name)
    if isinstance(value, list) or type(value).__name__ == "MultiValue":
        value = value[0]
    return "" if value is None else str(value).strip(" \0")


def number(item: Any, keyword: str, name: str) -> float | None:
    """Return an element as a finite number, None where it is absent.

    Raises:
        RecordError: it is none.
    """
    text = word(item, keyword, name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e30:
        raise RecordError(f"{name}: the element {keyword} is {text[:40]!r}, which is no number")
    return value
