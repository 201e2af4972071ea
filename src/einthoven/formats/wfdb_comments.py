"""Patient facts and diagnoses in the comment lines of WFDB headers.

One idea: corpora agree on no grammar, so the few in use are recognised by key, and anything else is left alone.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

__all__ = ["PatientFacts", "patient_facts"]

# MIT-BIH Arrhythmia Database: "68 M 1960 2851 x1"; unknown ages are -1.
_MIT_BIH = re.compile(r"(-?\d{1,3})\s+([MF?])\b", re.ASCII)
_SEX: dict[str, Literal["female", "male"]] = {"f": "female", "female": "female", "m": "male", "male": "male"}
_UNKNOWN = {"", "nan", "unknown", "n/a", "na", "none", "?", "-1", "-"}


class PatientFacts(NamedTuple):
    """What the comments tell; ``statements`` are SNOMED CT codes of the CinC challenges without likelihood."""

    age: float | None = None
    sex: Literal["female", "male"] | None = None
    statements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def patient_facts(comments: tuple[str, ...]) -> PatientFacts:
    """Read age, sex and diagnoses of CinC (``Age: 74``), LUDB (``<age>: 51``) and MIT-BIH (``68 M 1960``) headers.

    >>> patient_facts(("<age>: 51 #<sex>: F",))[:2]
    (51.0, 'female')
    """
    if not comments:
        return PatientFacts()
    fields: dict[str, str] = {}
    for part in (part for comment in comments for part in comment.split("#")):
        key, colon, value = part.partition(":")
        if colon:
            fields.setdefault(key.strip().strip("<>").lower(), value.strip())
    found = _MIT_BIH.match(comments[0])
    if found and "age" not in fields:
        fields |= {"age": found[1], "sex": found[2]}
    age, age_note = _age(fields.get("age", ""))
    codes, code_note = _codes(fields.get("dx", ""))
    notes = tuple(note for note in (age_note, code_note) if note)
    return PatientFacts(age, _SEX.get(fields.get("sex", "").lower()), codes, notes)


def _age(text: str) -> tuple[float | None, str]:
    if text.lower() in _UNKNOWN:
        return None, ""
    if not re.fullmatch(r"\d{1,3}(\.\d{0,9})?", text, re.ASCII):
        return None, f"The age {text[:40]!r} is not a number of years and was left out."
    return float(text), ""


def _codes(text: str) -> tuple[tuple[str, ...], str]:
    codes = [code.strip() for code in text.split(",")]
    known = tuple(code for code in codes if code.isascii() and code.isdigit())
    odd = [code for code in codes if code not in known and code.lower() not in _UNKNOWN]
    note = f"Diagnoses that are no SNOMED CT codes were left out: {', '.join(odd)[:200]}." if odd else ""
    return known, note
