"""A prediction as HL7 FHIR R4, and R5 the same: one ``Observation`` with a component for each class of the model.

One idea: the classes are judged by one device, at one time, from one recording, and none is meant to be read without
the others; that is what R4 has components for, while ``hasMember`` and ``DiagnosticReport`` group observations that
stand alone (https://hl7.org/fhir/R4/observation.html, "Observation Grouping"; https://hl7.org/fhir/R4/diagnosticreport.html).
"""

from __future__ import annotations

import html
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from einthoven.bundle import Finding, Prediction
from einthoven.serve.shelf import NOTICE, Model

__all__ = ["CONTENT_TYPE", "collection", "observation"]

CONTENT_TYPE = "application/fhir+json"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_INTERPRETATIONS = {
    "present": ("POS", "Positive"),
    "absent": ("NEG", "Negative"),
    "unknown": ("IND", "Indeterminate"),
}


def observation(prediction: Prediction, model: Model) -> dict[str, Any]:
    """Return one record's findings.

    The status is ``preliminary``: nobody has verified them; of a refused record it is ``cancelled``, with the reason
    that the analysis was not performed. There is no subject: the server knows no patient, so the client adds its
    reference.
    """
    refused = prediction.refused
    told: dict[str, Any] = {
        "resourceType": "Observation",
        "id": str(uuid.uuid4()),
        "text": {"status": "generated", "div": _narrative(prediction)},
        "contained": [_device(model)],
        "status": "cancelled" if refused else "preliminary",
        "category": [_concept(f"{_TERMINOLOGY}/observation-category", "procedure", "Procedure")],
        "code": _concept("http://loinc.org", "11524-6", "EKG study") | {"text": "automatic interpretation of an ECG"},
        "issued": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "note": [{"text": text} for text in (NOTICE, *(flag.text for flag in prediction.flags), *prediction.notes)],
        "method": {"text": f"neural network {model.name}, version {model.version}"},
        "device": {"reference": "#model", "display": model.name},
    }
    if prediction.record_id:
        told["identifier"] = [{"value": prediction.record_id}]
    if refused:
        told["dataAbsentReason"] = _concept(f"{_TERMINOLOGY}/data-absent-reason", "not-performed", "Not Performed")
    else:
        told["component"] = [_component(finding) for finding in prediction.findings]
    return told


def collection(observations: Sequence[dict[str, Any]], failed: Mapping[str, str]) -> dict[str, Any]:
    """Return several records' observations as a FHIR ``Bundle``, with an outcome for each file that was not read."""
    outcomes = [_outcome(sentence) for sentence in failed.values()]
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "entry": [{"fullUrl": f"urn:uuid:{each['id']}", "resource": each} for each in (*observations, *outcomes)],
    }


def _outcome(sentence: str) -> dict[str, Any]:
    issue = {"severity": "error", "code": "invalid", "diagnostics": sentence}
    return {"resourceType": "OperationOutcome", "id": str(uuid.uuid4()), "issue": [issue]}


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}]}


def _device(model: Model) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "id": "model",
        "modelNumber": model.name,  # R4 and R5 have it; deviceName is R4's alone
        "version": [{"value": model.version}],
        "note": [{"text": NOTICE}],
    }


def _component(finding: Finding) -> dict[str, Any]:
    """A class: its calibrated probability, what was decided, and the threshold as the range of what is reported."""
    told = {
        "code": {"text": _words(finding)},
        "valueQuantity": {
            "value": round(finding.probability, 6),
            "unit": "probability",
            "system": "http://unitsofmeasure.org",
            "code": "1",
        },
        "interpretation": [_interpretation(finding)],
    }
    if finding.threshold is not None:
        low = {"value": round(finding.threshold, 6), "system": "http://unitsofmeasure.org", "code": "1"}
        # Without a type R4 takes a range for the normal one, and a probability above the threshold for normal.
        words = "reported as present from here on"
        told["referenceRange"] = [{"low": low, "type": {"text": "decision threshold of the model"}, "text": words}]
    return told


def _words(finding: Finding) -> str:
    return f"{finding.name}: {finding.description}" if finding.description else finding.name


def _interpretation(finding: Finding) -> dict[str, Any]:
    decided = "unknown" if finding.present is None else "present" if finding.present else "absent"
    words = [{"present": "present", "absent": "not reported", "unknown": "no threshold"}[decided]]
    words += ["overruled by a stronger finding"] if finding.overruled else []
    words += [f"within the stated error rate: {finding.sure}"] if finding.sure else []
    return _concept(f"{_TERMINOLOGY}/v3-ObservationInterpretation", *_INTERPRETATIONS[decided]) | {
        "text": "; ".join(words)
    }


def _narrative(prediction: Prediction) -> str:
    """What is present, then the rest from the likeliest down: of 71 classes a reader wants the first."""
    ordered = sorted(prediction.findings, key=lambda f: (not f.present, -f.probability))
    lines = [f"{_words(f)}: {f.probability:.3f}{' (present)' if f.present else ''}" for f in ordered]
    if ordered and not ordered[0].present:
        lines.insert(0, "No class is reported as present; that does not mean a normal ECG.")
    lines = lines or ["Not judged."]
    body = "".join(f"<p>{html.escape(line)}</p>" for line in (*lines, NOTICE))
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{body}</div>'
