"""GE MUSE XML (``RestingECG``): Base64 of 16-bit samples, eight leads stored of twelve.

One idea: the rhythm waveform is the ECG; III, aVR, aVL and aVF follow from I and II, as MUSE itself makes them.
Layout: elements of restecg.dtd as MUSE 8 and 9 write them; the CRC is zlib's of a lead's bytes.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.files import Files, stem
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.stated import agreed_rate
from einthoven.formats.xml_record import (
    age_at,
    age_in_years,
    base64_bytes,
    kept_unit,
    lead_names,
    millivolts,
    number,
    sex_of,
    stored_lead,
)
from einthoven.formats.xml_text import child_text, read_xml, sniff_root
from einthoven.leads import LIMB_LEADS, TWELVE_LEADS, limb_lead_weights
from einthoven.record import Record

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read_muse"]

_ROOT = "RestingECG"


class _Lead(NamedTuple):
    """One lead as stored: samples in steps of ``step`` ``unit``; whether the CRC is theirs, None without one."""

    name: str
    samples: NDArray[np.int16]
    step: float
    unit: str
    crc_holds: bool | None
    notes: tuple[str, ...]


def _sniff(files: Files) -> bool:
    return sniff_root(files) == _ROOT


@register_reader("GE MUSE XML", (".xml",), "RestingECG files of GE MUSE and MAC electrocardiographs", _sniff)
def read_muse(files: Files, options: ReadOptions) -> Record:
    """Read a MUSE XML file.

    Raises:
        RecordError: damaged, without waveforms, or without a rate, a unit or lead names.
        MissingExtraError: defusedxml is absent.
    """
    root, name = read_xml(files, _ROOT), files.name
    waveform, notes = _waveform(root, name)
    stored = [_lead(element, name) for element in waveform.iter("LeadData")]
    if not stored:
        raise RecordError(f"{name}: its waveform has no leads")
    if len({len(lead.samples) for lead in stored}) > 1:
        listed = ", ".join(f"{lead.name} {len(lead.samples)}" for lead in stored)
        raise RecordError(f"{name}: its leads have different numbers of samples ({listed})"[:600])
    if options.leads is None and not all(lead.name for lead in stored):
        raise RecordError(f"{name}: has a lead without LeadID; state the names of its {len(stored)} leads")
    leads = lead_names([stored_lead(lead.name, name) for lead in stored], options, name)
    notes += _check_crc(stored, name)
    fs, rate_notes = agreed_rate(_declared_rate(waveform), options, name)
    signal = np.stack([_voltage(lead, options, name) for lead in stored])
    signal, leads, derived = _twelve(signal, leads)
    age, age_notes = _age(root)
    patient = root.find("PatientDemographics")
    return Record(
        signal=signal,
        fs=fs,
        leads=leads,
        record_id=stem(name),
        patient_id=child_text(root, "PatientDemographics/PatientID") or None,
        age=age,
        sex=None if patient is None else sex_of(child_text(patient, "Gender")),
        interpretation=_diagnosis(root),
        unit=kept_unit(options),
        notes=(*notes, *(note for lead in stored for note in lead.notes), *rate_notes, *derived, *age_notes),
    )


def _waveform(root: Element, name: str) -> tuple[Element, tuple[str, ...]]:
    by_type: dict[str, list[Element]] = {}
    for waveform in root.findall("Waveform"):
        by_type.setdefault(child_text(waveform, "WaveformType").lower(), []).append(waveform)
    notes = []
    for kind in ("rhythm", "median"):
        if found := by_type.get(kind):
            if kind == "median":
                notes.append("The file has no rhythm; its median beat was read.")
            if len(found) > 1:
                notes.append(f"The first of {len(found)} {kind} waveforms was read.")
            return found[0], tuple(notes)
    kinds = ", ".join(sorted(by_type)) or "none at all"
    raise RecordError(f"{name}: has no waveform of type Rhythm or Median (its types: {kinds})"[:400])


def _declared_rate(waveform: Element) -> float | None:
    """SampleBase times ten to the power of SampleExponent, in Hz."""
    base = number(child_text(waveform, "SampleBase"))
    exponent = number(child_text(waveform, "SampleExponent") or "0")
    if base is None or exponent is None or abs(exponent) > 9:
        return None
    return float(base * 10.0**exponent)


def _lead(element: Element, name: str) -> _Lead:
    lead = child_text(element, "LeadID")
    what = f"{name}: lead {lead[:40] or 'without LeadID'}"
    size = child_text(element, "LeadSampleSize") or "2"
    if size != "2":
        raise RecordError(f"{what}: has samples of {size[:20]} bytes; MUSE files have 2")
    content = base64_bytes(element.findtext("WaveFormData") or "", f"{what}: its samples")
    _check_length(element, content, what)
    gain = number(child_text(element, "LeadAmplitudeUnitsPerBit"))
    if gain is None or gain <= 0:
        raise RecordError(f"{what}: gives no LeadAmplitudeUnitsPerBit above zero, so its amplitude cannot be known")
    crc = number(child_text(element, "LeadDataCRC32"))
    return _Lead(
        name=lead,
        samples=np.frombuffer(content, "<i2"),
        step=gain,
        unit=child_text(element, "LeadAmplitudeUnits"),
        crc_holds=None if crc is None else crc == zlib.crc32(content),
        notes=_lead_notes(element, lead),
    )


def _voltage(lead: _Lead, options: ReadOptions, name: str) -> NDArray[np.float32]:
    return millivolts(lead.samples, lead.unit, options, f"{name}: lead {lead.name[:40]}", step=lead.step)


def _check_length(element: Element, content: bytes, what: str) -> None:
    if not content or len(content) % 2:
        raise RecordError(f"{what}: has {len(content)} bytes of samples, which are no whole samples of 2 bytes")
    for tag, found in (("LeadSampleCountTotal", len(content) // 2), ("LeadByteCountTotal", len(content))):
        declared = child_text(element, tag)
        if declared and number(declared) != found:
            raise RecordError(f"{what}: {tag} says {declared[:20]}, the samples make {found}; copy the file again")


def _lead_notes(element: Element, lead: str) -> tuple[str, ...]:
    notes = []
    if child_text(element, "LeadOff").upper() == "TRUE":
        notes.append(f"The device marks lead {lead} as off; its samples were kept.")
    for tag in ("LeadTimeOffset", "LeadOffsetFirstSample", "FirstSampleBaseline"):
        if number(child_text(element, tag)):
            notes.append(f"Lead {lead} has a {tag} of {child_text(element, tag)[:20]}, which was not applied.")
    return tuple(notes)


def _check_crc(stored: list[_Lead], name: str) -> tuple[str, ...]:
    """A checksum that fails in some leads is damage; in all leads, it is another kind of checksum."""
    wrong = [lead.name for lead in stored if lead.crc_holds is False]
    if not wrong:
        return ()
    if any(lead.crc_holds for lead in stored):
        raise RecordError(f"{name}: LeadDataCRC32 does not fit the samples of {', '.join(wrong)}; copy the file again")
    return ("LeadDataCRC32 fits no lead: the samples may have been changed after recording.",)


def _twelve(
    signal: NDArray[np.float32], leads: tuple[str, ...]
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...]]:
    """Add the limb leads that follow from I and II (Einthoven, Goldberger), in the usual order."""
    rows = dict(zip(leads, signal, strict=True))
    missing = [lead for lead in LIMB_LEADS if lead not in rows]
    if not {"I", "II"} <= set(rows) or not missing:
        return signal, leads, ()
    for lead in missing:
        weights = limb_lead_weights(lead, ("I", "II")) or {}
        rows[lead] = sum((np.float32(w) * rows[source] for source, w in weights.items()), np.zeros_like(signal[0]))
    order = [lead for lead in TWELVE_LEADS if lead in rows] + [lead for lead in leads if lead not in TWELVE_LEADS]
    note = f"{', '.join(missing)} {'was' if len(missing) == 1 else 'were'} derived from I and II."
    return np.stack([rows[lead] for lead in order]), tuple(order), (note,)


def _age(root: Element) -> tuple[float | None, tuple[str, ...]]:
    stated = child_text(root, "PatientDemographics/PatientAge")
    if stated:
        return age_in_years(stated, child_text(root, "PatientDemographics/AgeUnits"))
    birth = child_text(root, "PatientDemographics/DateofBirth")
    return age_at(birth, child_text(root, "TestDemographics/AcquisitionDate")), ()


def _diagnosis(root: Element) -> tuple[str, ...]:
    """The confirmed diagnosis, else the device's; texts up to the mark ENDSLINE are one statement."""
    statements: list[str] = []
    for path in ("Diagnosis", "OriginalDiagnosis"):
        line: list[str] = []
        for part in root.findall(f"{path}/DiagnosisStatement"):
            line.append(child_text(part, "StmtText"))
            if any(child_text(flag, ".") == "ENDSLINE" for flag in part.findall("StmtFlag")):
                statements.append(" ".join(filter(None, line)))
                line = []
        statements.append(" ".join(filter(None, line)))
        if any(statements):
            break
    return tuple(filter(None, statements))
