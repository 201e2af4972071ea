"""Sections 1, 8 and 11 of SCP-ECG: who was recorded, by what, and what was said about it.

One idea: facts that cannot be read are left out and told; they never cost the signals.
Standard: EN 1064 / ISO 11073-91064, clauses 5.4, 5.11 and 5.14.
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Mapping
from typing import Literal, NamedTuple

__all__ = ["ScpFacts", "read_facts", "read_statements"]

_ID, _AGE, _BIRTH, _SEX, _DEVICE, _INSTITUTION, _DATE = 2, 4, 5, 8, 14, 16, 25
_END_TAG = 255
_YEARS_PER = {1: 1.0, 2: 1 / 12, 3: 7 / 365.25, 4: 1 / 365.25, 5: 1 / 8766}  # years, months, weeks, days, hours
_SEXES: dict[int, Literal["female", "male"]] = {1: "male", 2: "female"}
_OLDEST = 130
# Language support code of the device to its character set; without one, texts are Latin-1.
_CHARACTERS = {0x03: "iso8859_2", 0x0B: "iso8859_4", 0x13: "iso8859_5", 0x1B: "iso8859_6", 0x23: "iso8859_7"}
_CHARACTERS |= {0x2B: "iso8859_8", 0x33: "iso8859_11", 0x3B: "iso8859_15", 0x07: "utf-16-le", 0x0F: "shift_jis"}
_CHARACTERS |= {0x17: "euc_jp", 0x1F: "euc_jp", 0x27: "gb2312", 0x2F: "cp949", 0x37: "utf-8"}
_CODED, _FULL_TEXT = 1, 2


class ScpFacts(NamedTuple):
    """What section 1 tells; ``characters`` is the Python name of the character set of all texts."""

    patient_id: str | None = None
    age: float | None = None
    sex: Literal["female", "male"] | None = None
    institution: str = ""
    characters: str = "latin-1"
    notes: tuple[str, ...] = ()


def _text(value: bytes, characters: str) -> str:
    """Text up to its terminator, without control characters."""
    if characters == "utf-16-le":
        text = value[: len(value) // 2 * 2].decode(characters, "replace")
    else:
        text = value.split(b"\0", 1)[0].decode(characters, "replace")
    return "".join(c if c.isprintable() else " " for c in text.split("\0", 1)[0]).strip()


def _tags(body: bytes) -> tuple[dict[int, bytes], bool]:
    """The first value of each tag, and whether all could be read."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 3 <= len(body) and body[at] != _END_TAG:
        tag, length = struct.unpack_from("<BH", body, at)
        at += 3 + length
        if at > len(body):
            return found, False
        found.setdefault(tag, body[at - length : at])
    return found, True


def read_facts(body: bytes) -> ScpFacts:
    """Read section 1.

    >>> read_facts(bytes([2, 3, 0, 65, 66, 0, 4, 3, 0, 71, 0, 1, 8, 1, 0, 2, 255, 0, 0]))[:3]
    ('AB', 71.0, 'female')
    """
    tags, whole = _tags(body)
    notes = [] if whole else ["The patient data (section 1) end within a field; what follows it was left out."]
    device = tags.get(_DEVICE, b"")
    characters = _CHARACTERS.get(device[16], "latin-1") if len(device) > 16 else "latin-1"
    model = _text(device[8:14], characters if characters != "utf-16-le" else "latin-1")
    if model:
        notes.append(f"The recording device calls itself {model}.")
    age = _age(tags)
    if age is not None and not 0 <= age <= _OLDEST:
        notes.append(f"An age of {age:g} years was left out.")
        age = None
    return ScpFacts(
        patient_id=_text(tags.get(_ID, b""), characters) or None,
        age=age,
        sex=_SEXES.get(tags.get(_SEX, b"\0")[:1].ljust(1, b"\0")[0]),
        institution=_text(tags.get(_INSTITUTION, b""), characters),
        characters=characters,
        notes=tuple(notes),
    )


def _age(tags: Mapping[int, bytes]) -> float | None:
    """The stated age in years, else that at the recording by the date of birth."""
    value = tags.get(_AGE, b"")
    if len(value) >= 3 and value[2] in _YEARS_PER and value[:2] != b"\0\0":
        return round(int.from_bytes(value[:2], "little") * _YEARS_PER[value[2]], 4)
    born, recorded = _date(tags.get(_BIRTH, b"")), _date(tags.get(_DATE, b""))
    if born is None or recorded is None:
        return None
    return float(recorded.year - born.year - ((recorded.month, recorded.day) < (born.month, born.day)))


def _date(value: bytes) -> datetime.date | None:
    if len(value) < 4:
        return None
    year, month, day = struct.unpack_from("<HBB", value)
    try:
        return datetime.date(year, month, day)
    except ValueError:  # all zeros, or an unfinished date: not known
        return None


def read_statements(bodies: Mapping[int, bytes], characters: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the statements of sections 8 (text) and 11 (text and codes), each once; and notes."""
    found: dict[str, None] = {}
    notes = []
    for section in (8, 11):
        body = bodies.get(section, b"")
        n_statements, at = body[8] if len(body) > 8 else 0, 9
        for _ in range(n_statements):
            length = int.from_bytes(body[at + 1 : at + 3], "little")
            at += 3 + length
            if at > len(body):
                notes.append(f"The statements of section {section} are cut off.")
                break
            text = _statement(section, body[at - length : at], characters)
            if text:
                found.setdefault(text)
    return tuple(found), tuple(notes)


def _statement(section: int, value: bytes, characters: str) -> str:
    """One statement; those of section 11 start with their type, and codes are separated by terminators."""
    if section == 8:
        return _text(value, characters)
    kind, rest = value[:1], value[1:]
    if kind == bytes([_CODED]):
        return " ".join(part for part in (_text(code, "latin-1") for code in rest.split(b"\0")) if part)
    return _text(rest, characters) if kind == bytes([_FULL_TEXT]) else ""
