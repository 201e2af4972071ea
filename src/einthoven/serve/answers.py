"""What the routes answer, as the OpenAPI document describes it; and examples of what they are sent, which work."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from einthoven.serve.bodies import RecordBody

__all__ = ["Answer", "Answers", "Error", "State", "examples", "request_body"]

_EXAMPLE_LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_EXAMPLE_FS, _EXAMPLE_S = 100, 2.5


class Signature(BaseModel):
    """Which model answered."""

    name: str
    version: str
    backend: str


class FindingAnswer(BaseModel):
    """One class of the model."""

    name: str = Field(alias="class")
    description: str
    probability: float = Field(ge=0, le=1)
    threshold: float | None
    present: bool | None
    overruled: bool
    sure: Literal["present", "absent", "undecided"] | None


class FlagAnswer(BaseModel):
    """What is odd about the record."""

    code: str
    text: str
    refuse: bool


class Judged(BaseModel):
    """What a model says about a record."""

    record_id: str
    refused: bool
    findings: list[FindingAnswer]
    flags: list[FlagAnswer]
    notes: list[str]


class Answer(Judged):
    """The answer to one record."""

    model: Signature
    notice: str


class OneOfSeveral(Judged):
    """One of several records, by the name of its file, or ``records.0``."""

    file: str


class Answers(BaseModel):
    """The answer to several records; ``failed`` has one sentence for each that could not be read."""

    results: list[OneOfSeveral]
    failed: dict[str, str]
    model: Signature
    notice: str


class Error(BaseModel):
    """What was wrong, in one sentence; the rest where a record was read but not judged."""

    error: str
    record_id: str | None = None
    refused: bool | None = None
    findings: list[FindingAnswer] | None = None
    flags: list[FlagAnswer] | None = None
    notes: list[str] | None = None
    model: Signature | None = None
    notice: str | None = None


class State(BaseModel):
    """Whether the server lives, or is ready."""

    status: str


@lru_cache(maxsize=1)
def examples() -> dict[str, Any]:
    """A synthetic ECG as each kind of body, by content type."""
    from einthoven.corpora.synthetic import example_record
    from einthoven.signals import conform
    from einthoven.spec import SignalSpec

    record = conform(example_record("NORM"), SignalSpec(leads=_EXAMPLE_LEADS, fs=_EXAMPLE_FS))
    samples = np.round(record.signal[:, : round(_EXAMPLE_S * _EXAMPLE_FS)].astype(float), 2)
    one = {"samples": samples.tolist(), "fs": _EXAMPLE_FS, "leads": list(_EXAMPLE_LEADS), "unit": "mV"}
    rows = [f"{k / _EXAMPLE_FS:.2f}," + ",".join(f"{v:.2f}" for v in row) for k, row in enumerate(samples.T)]
    table = "\n".join(["time [s]," + ",".join(f"{lead} [mV]" for lead in _EXAMPLE_LEADS), *rows]) + "\n"
    return {"application/json": one, "text/csv": table}


def request_body() -> dict[str, Any]:
    """OpenAPI's description of the body of ``/predict`` and ``/explain``."""
    text = {"type": "string", "format": "binary"}
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "array", "items": text, "description": "files of any readable format; .hea with its .dat"}
        },
    }
    several = {
        "type": "object",
        "additionalProperties": False,
        "required": ["records"],
        "properties": {
            "records": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/RecordBody"}}
        },
    }
    as_json = {"oneOf": [{"$ref": "#/components/schemas/RecordBody"}, several]}
    return {
        "required": True,
        "content": {
            "application/json": {
                "schema": as_json,
                "examples": {
                    "one": {"summary": "2.5 s of eight leads", "value": examples()["application/json"]},
                },
            },
            "application/octet-stream": {
                "schema": {**text, "description": "float32, little-endian, one lead after the other; ?fs= is required"}
            },
            "text/csv": {
                "schema": {"type": "string"},
                "examples": {"one": {"summary": "a table with time and units", "value": examples()["text/csv"]}},
            },
            "multipart/form-data": {"schema": form},
        },
    }


def body_schema() -> dict[str, Any]:
    """JSON schema of ``RecordBody``."""
    return RecordBody.model_json_schema(ref_template="#/components/schemas/{model}")
