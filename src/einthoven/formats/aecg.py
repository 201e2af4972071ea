"""HL7 annotated ECG (aECG, ANSI/HL7 V3 ECG R1-2004): sequences of samples in series of recordings.

One idea: rhythm series are laid out by their time into one record; a representative beat is read only for want of them.
Layout: Brown and Badilini, HL7 aECG Implementation Guide, 2005.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from einthoven.errors import RecordError
from einthoven.formats.aecg_layout import lay_out
from einthoven.formats.aecg_sequences import Segment, read_segments
from einthoven.formats.files import Files, stem
from einthoven.formats.registry import ReadOptions, register_reader
from einthoven.formats.stated import agreed_rate
from einthoven.formats.xml_record import age_at, age_in_years, kept_unit, lead_names, sex_of
from einthoven.formats.xml_text import child_text, read_xml, sniff_root, tidy
from einthoven.record import Record

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read_aecg"]

_ROOT = "AnnotatedECG"
_BEAT = "REPRESENTATIVE_BEAT"
_REPORTED_AGE = {"21612-7", "30525-0"}  # LOINC
_TRIAL_SUBJECT = "componentOf/timepointEvent/componentOf/subjectAssignment/subject/trialSubject"
_PERSON = f"{_TRIAL_SUBJECT}/subjectDemographicPerson"


def _sniff(files: Files) -> bool:
    return sniff_root(files) == _ROOT


@register_reader("HL7 aECG", (".xml", ".aecg"), "HL7 V3 annotated ECGs, as the FDA's ECG warehouse takes them", _sniff)
def read_aecg(files: Files, options: ReadOptions) -> Record:
    """Read an annotated ECG.

    Raises:
        RecordError: damaged, without samples, or without a rate, a unit or lead names that can be told.
        MissingExtraError: defusedxml is absent.
    """
    root, name = read_xml(files, _ROOT), files.name
    segments, notes = _segments(root, options, name)
    strip = lay_out(segments, name)
    leads = lead_names(strip.leads, options, name)
    fs, rate_notes = agreed_rate(strip.fs, options, name)
    age, age_notes = _age(root)
    return Record(
        signal=strip.signal,
        fs=fs,
        leads=leads,
        record_id=stem(name),
        patient_id=_patient_id(root),
        age=age,
        sex=_sex(root),
        interpretation=_interpretation(root),
        unit=kept_unit(options),
        notes=(*notes, *strip.notes, *rate_notes, *age_notes),
    )


def _segments(root: Element, options: ReadOptions, name: str) -> tuple[list[Segment], tuple[str, ...]]:
    """The rhythm's segments, else those of the representative beat."""
    series = root.findall("component/series")
    derived = root.findall("component/series/derivation/derivedSeries")
    if not series:
        raise RecordError(f"{name}: the annotated ECG has no series, so no signal")
    rhythm = [element for element in series if _code(element) != _BEAT]
    beats = [element for element in series if _code(element) == _BEAT] + derived
    segments = [s for element in rhythm for s in read_segments(element, options, name)]
    if segments:
        return segments, tuple(note for segment in segments for note in segment.notes)
    segments = [s for element in beats for s in read_segments(element, options, name)]
    if not segments:
        raise RecordError(f"{name}: its {len(series)} series have no samples of any lead")
    note = "The file has no rhythm; its representative beat was read."
    return segments[:1], (note, *segments[0].notes)


def _code(element: Element) -> str:
    code = element.find("code")
    return "" if code is None else code.get("code", "")


def _patient_id(root: Element) -> str | None:
    found = root.find(f"{_TRIAL_SUBJECT}/id")
    extension = "" if found is None else tidy(found.get("extension"))
    return extension or child_text(root, f"{_PERSON}/PatientID") or None  # the latter is Mindray's


def _attribute(root: Element, path: str, attribute: str = "value") -> str:
    found = root.find(path)
    return "" if found is None else tidy(found.get(attribute))


def _sex(root: Element) -> Literal["female", "male"] | None:
    return sex_of(_attribute(root, f"{_PERSON}/administrativeGenderCode", "code"))


def _age(root: Element) -> tuple[float | None, tuple[str, ...]]:
    """The reported age, else what Mindray writes, else the years from birth to the recording."""
    for observation in root.findall("controlVariable/relatedObservation"):
        value = observation.find("value")
        if _code(observation) in _REPORTED_AGE and value is not None and value.get("value"):
            return age_in_years(tidy(value.get("value")), value.get("unit", ""))
    if stated := child_text(root, f"{_PERSON}/Age"):
        return age_in_years(stated, "")
    times = (_attribute(root, f"effectiveTime/{part}") for part in ("low", "center", "high"))
    when = next(filter(None, times), "") or _attribute(root, "component/series/effectiveTime/low")
    return age_at(_attribute(root, f"{_PERSON}/birthTime"), when), ()


def _interpretation(root: Element) -> tuple[str, ...]:
    """Texts of all annotations coded MDC_ECG_INTERPRETATION and its kinds, each once."""
    texts: dict[str, None] = {}
    for annotation in root.iter("annotation"):
        value = annotation.find("value")
        if value is not None and _code(annotation).startswith("MDC_ECG_INTERPRETATION"):
            texts[tidy(value.text) or tidy(value.get("displayName")) or child_text(value, "originalText")] = None
    return tuple(filter(None, texts))
