"""The frame of an SCP-ECG record: pointers, section headers, checksums.

One idea: structure must be consistent, checksums need not be; a wrong checksum is told, a wrong pointer is refused.
Standard: EN 1064 / ISO 11073-91064, clauses 5.1 to 5.3; all numbers are little-endian.
"""

from __future__ import annotations

import binascii
import struct
from typing import NamedTuple

from einthoven.errors import RecordError

__all__ = ["Sections", "looks_like_scp", "read_sections"]

_RECORD_HEADER, _SECTION_HEADER, _POINTER = 6, 16, 10
_MAGIC = b"SCPECG"
_LAST_SIGNAL_SECTION, _LAST_SECTION = 6, 11


class Sections(NamedTuple):
    """The parts of a record.

    Attributes:
        bodies: data part of each section by its number; empty and missing sections are absent.
        damaged: sections whose checksum is wrong although the writer's others are right.
        notes: what was found odd, one sentence each.
    """

    bodies: dict[int, bytes]
    damaged: frozenset[int]
    notes: tuple[str, ...]


class _Section(NamedTuple):
    number: int
    content: bytes  # with its header
    odd_length: bool = False


def looks_like_scp(head: bytes) -> bool:
    """Whether the first bytes are of an SCP-ECG record.

    Section 0 starts at byte 7 and calls itself ``SCPECG``; writers older than version 1.3 left that field empty,
    but their first pointer describes section 0 itself.
    """
    if len(head) < _RECORD_HEADER + _SECTION_HEADER + _POINTER or head[8:10] != b"\0\0":
        return False
    length = struct.unpack_from("<I", head, 10)[0]
    if head[16:22] == _MAGIC:
        return True
    return length > _SECTION_HEADER and struct.unpack_from("<HII", head, 22) == (0, length, 7)


def read_sections(content: bytes, name: str) -> Sections:
    """Follow the pointers of section 0.

    Raises:
        RecordError: not SCP-ECG, or a section up to 6 lies outside the file or is not what its pointer says.
    """
    if not looks_like_scp(content):
        raise RecordError(f"{name}: is not SCP-ECG: section 0 is not where the standard puts it (byte 7)")
    sections, notes = _follow_pointers(content, name)
    damaged, more = _checksums(content, sections)
    bodies = {s.number: s.content[_SECTION_HEADER:] for s in sections if len(s.content) > _SECTION_HEADER}
    odd = ", ".join(str(s.number) for s in sections if s.odd_length)
    if odd:
        notes.append(f"The lengths that header and pointer give differ (section {odd}); the shorter was taken.")
    stated = struct.unpack_from("<I", content, 2)[0]
    if stated != len(content):
        notes.append(f"The record calls itself {stated} bytes long, the file has {len(content)}.")
    return Sections(bodies, damaged, tuple(notes) + more)


def _follow_pointers(content: bytes, name: str) -> tuple[list[_Section], list[str]]:
    length = struct.unpack_from("<I", content, 10)[0]
    end = _RECORD_HEADER + length
    if length < _SECTION_HEADER + _POINTER or end > len(content):
        raise RecordError(
            f"{name}: section 0 calls itself {length} bytes long in a file of {len(content)}; it is cut off"
        )
    sections = [_Section(0, content[_RECORD_HEADER:end])]
    notes: list[str] = []
    for at in range(_RECORD_HEADER + _SECTION_HEADER, end - _POINTER + 1, _POINTER):
        number, size, index = struct.unpack_from("<HII", content, at)
        if not 0 < number <= _LAST_SECTION or size == 0:
            continue  # section 0 itself, sections left out, and those of manufacturers
        if any(s.number == number for s in sections):
            raise RecordError(f"{name}: section 0 has two pointers to a section {number}")
        try:
            sections.append(_section(content, name, number, size, index))
        except RecordError as error:
            # Measurements and words may be lost without harm to the signals; nothing else may.
            if number <= _LAST_SIGNAL_SECTION:
                raise
            notes.append(f"Section {number} was left out: {str(error).removeprefix(f'{name}: ')}.")
    return sections, notes


def _section(content: bytes, name: str, number: int, size: int, index: int) -> _Section:
    start = index - 1
    if size < _SECTION_HEADER or start < _RECORD_HEADER or start + size > len(content):
        raise RecordError(
            f"{name}: section {number} is said to be {size} bytes at byte {index}, outside the file's {len(content)}"
        )
    found, own_size = struct.unpack_from("<HI", content, start + 2)
    if found != number:
        raise RecordError(
            f"{name}: the pointer to section {number} leads to bytes that call themselves section {found}"
        )
    odd = own_size != size
    if odd and _SECTION_HEADER <= own_size < size:
        size = own_size
    return _Section(number, content[start : start + size], odd)


def _crc_state(data: bytes) -> bool | None:
    """Whether the checksum (CRC-CCITT of all that follows it) is right; None where none was written."""
    stored, computed = data[:2], binascii.crc_hqx(data[2:], 0xFFFF)
    # Some writers put its two bytes in the other order.
    if computed in (int.from_bytes(stored, "little"), int.from_bytes(stored, "big")):
        return True
    return None if stored == b"\0\0" else False


def _checksums(content: bytes, sections: list[_Section]) -> tuple[frozenset[int], tuple[str, ...]]:
    """Which sections fail, and what to tell.

    Devices of several makers write zeros or sums of their own, and anonymisers forget to renew them, so a wrong sum
    alone must not cost the user an ECG. It is told; and where a writer gets others right, the decoders take no
    irregularity of the section for carelessness.
    """
    stated = struct.unpack_from("<I", content, 2)[0]
    whole = _crc_state(content[:stated] if _RECORD_HEADER < stated < len(content) else content)
    states = {s.number: _crc_state(s.content) for s in sections}
    damaged = frozenset(number for number, state in states.items() if state is False)
    if whole and all(states.values()):
        return damaged, ()
    if not any(states.values()):
        return frozenset(), ("The record's checksums are absent or not those of the standard; damage would go unseen.",)
    wrong = [f"section {number}" for number, state in sorted(states.items()) if not state]
    if not whole:
        wrong.insert(0, "the record")
    hint = "; what is in them may be damaged" if damaged else ""
    return damaged, (f"The checksum of {', '.join(wrong)} is absent or wrong{hint}.",)
