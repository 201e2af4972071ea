"""What the header of a CinC challenge record tells before its signal is read: rate, length, age, sex and diagnoses.

The patient's lines are comments: ``#Age: 74``, ``#Sex: Male``, ``#Dx: 59118001,164889003`` (SNOMED CT codes).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from einthoven.errors import RecordError
from einthoven.formats import parse_header

__all__ = ["HeaderFacts", "read_header_facts"]

_SEX = {"f": "female", "female": "female", "m": "male", "male": "male"}
_UNKNOWN = {"", "nan", "unknown", "n/a", "na", "none", "?", "-", "-1"}
_AGE = re.compile(r"(-?\d{1,4}(?:\.\d{1,9})?)\+?", re.ASCII)  # "92+": at least 92
_CODE = re.compile(r"\d{6,18}", re.ASCII)  # the length of a SNOMED CT identifier
_OVER_89, _OLDEST = 300, 120  # PTB-XL's age of everyone over 89; nobody else is older than 120


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What one header tells.

    Attributes:
        duration_s: length in seconds.
        age: years; None where it is not stated or cannot be an age.
        sex: ``"female"``, ``"male"`` or None.
        codes: SNOMED CT codes in the header's order.
        odd: what was written for age and sex but not understood.
    """

    duration_s: float
    age: float | None
    sex: str | None
    codes: tuple[str, ...]
    odd: tuple[str, ...]


def read_header_facts(folder: str, name: str) -> HeaderFacts:
    """Read the header ``name.hea`` of a folder.

    Raises:
        RecordError: it cannot be read, states no rate or length, names another signal file than the ``.mat`` beside it,
            or its diagnoses are no SNOMED CT codes.
    """
    file = f"{name}.hea"
    try:
        with open(os.path.join(folder, file), "rb", buffering=0) as stream:
            content = stream.readall()
    except OSError as error:
        raise RecordError(f"{file}: cannot be read ({error.strerror or error})") from None
    header = parse_header(content, file)
    if not header.fs or not header.n_samples:
        raise RecordError(f"{file}: states no sampling rate or no number of samples")
    if {signal.file_name for signal in header.signals} != {f"{name}.mat"}:
        named = ", ".join(sorted({signal.file_name for signal in header.signals})) or "no file"
        raise RecordError(f"{file}: names {named[:80]} for its signals, not {name}.mat")
    fields = _fields(header.comments)
    age, odd_age = _age(fields.get("age", ""))
    sex, odd_sex = _sex(fields.get("sex", ""))
    codes = _codes(fields.get("dx", ""), file)
    return HeaderFacts(header.n_samples / header.fs, age, sex, codes, odd_age + odd_sex)


def _fields(comments: tuple[str, ...]) -> dict[str, str]:
    parts = [comment.partition(":") for comment in comments]
    return {key.strip().lower(): value.strip() for key, _, value in reversed(parts)}


def _age(text: str) -> tuple[float | None, tuple[str, ...]]:
    if text.lower() in _UNKNOWN:
        return None, ()
    found = _AGE.fullmatch(text)
    age = float(found[1]) if found else -1.0
    if age == _OVER_89:
        return 90.0, ()
    return (age, ()) if 0 <= age <= _OLDEST else (None, (f"age {text[:20]!r}",))


def _sex(text: str) -> tuple[str | None, tuple[str, ...]]:
    if text.lower() in _UNKNOWN:
        return None, ()
    sex = _SEX.get(text.lower())
    return sex, () if sex else (f"sex {text[:20]!r}",)


def _codes(text: str, file: str) -> tuple[str, ...]:
    codes = [code.strip() for code in text.split(",")]
    codes = [code for code in codes if code.lower() not in _UNKNOWN]
    if odd := [code for code in codes if not _CODE.fullmatch(code)]:
        raise RecordError(f"{file}: its Dx {odd[0][:40]!r} is no SNOMED CT code (6 to 18 digits)")
    return tuple(dict.fromkeys(codes))
