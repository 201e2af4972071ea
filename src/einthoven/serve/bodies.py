"""What a request carries: samples as JSON or binary, a table, or files of any format. All become records.

One idea: what is bounded by its own length is read here at once; files of formats that may unpack to anything go the
guarded way of uploads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from einthoven.errors import EinthovenError, RecordError
from einthoven.formats import MemoryFiles, ReadOptions
from einthoven.formats.csv_text import read_csv
from einthoven.formats.stated import distinct, millivolts
from einthoven.formats.units import UNITS, stated_unit
from einthoven.formats.uploads import Limits, read_uploads
from einthoven.leads import TWELVE_LEADS, canonical_lead
from einthoven.record import Record
from einthoven.serve.refusals import RefusedError
from einthoven.serve.settings import Settings

__all__ = [
    "Leads",
    "RecordBody",
    "Sent",
    "Stated",
    "first_fault",
    "read_binary",
    "read_files",
    "read_json_body",
    "read_table",
]

Leads = Annotated[list[Annotated[str, Field(max_length=40)]], Field(min_length=1, max_length=64)]

_LARGEST_TABLE = 1 << 20  # a text table takes 20 ms per megabyte here; longer ones are read apart
_FAULTS = 60


def _names(value: Any) -> Any:
    return [lead.strip() for lead in value.split(",")] if isinstance(value, str) else value


class Stated(BaseModel):
    """What a client states of its signal; unit and leads go before what a file says, a rate must agree with it."""

    model_config = ConfigDict(extra="forbid")

    fs: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)] | None = Field(
        None, description="samples per second; required where the signal comes without"
    )
    unit: Literal["mV", "uV", "nV", "V", "normalised"] | None = Field(None, description="of the samples; by default mV")
    leads: Leads | None = Field(
        None,
        description="names of the leads in the order of the signal; twelve without names are I, II, III, aVR ... V6",
    )
    age: Annotated[float, Field(ge=0, le=130)] | None = Field(None, description="years, for models that use it")
    sex: Literal["female", "male"] | None = Field(None, description="for models that use it")

    def patient(self) -> dict[str, Any]:
        """What is stated of the patient."""
        return {key: value for key, value in (("age", self.age), ("sex", self.sex)) if value is not None}


class _Described(Stated):
    """A record without its samples, which are too many to be checked one by one."""

    fs: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False, description="samples per second")]
    leads: Annotated[Leads | None, BeforeValidator(_names)] = None
    record_id: str = Field("", max_length=120, description="comes back with the answer")


class RecordBody(_Described):
    """One ECG as JSON."""

    samples: list[list[float | None]] = Field(
        description="one list per lead, in ``unit``; null where nothing was recorded"
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """The records of a request by the name that the answer gives them, and what could not be read.

    ``several`` tells whether the answer is a list.
    """

    records: dict[str, Record]
    failed: dict[str, str] = field(default_factory=dict)
    several: bool = False


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, in one sentence."""
    fault = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in fault["loc"] if part not in ("query", "body"))
    got = "" if fault["type"] == "missing" else f", got {str(fault['input'])[:_FAULTS]!r}"
    return f"{where or 'the request'}: {fault['msg'][:1].lower()}{fault['msg'][1:]}{got}"


def read_json_body(body: bytes, settings: Settings) -> Sent:
    """Read ``{"samples": ..., "fs": ...}``, or ``{"records": [...]}`` with several of them.

    Raises:
        RefusedError: no JSON, or not of this form.
    """
    try:
        value = from_json(body, cache_strings=False)
    except ValueError as error:
        raise RefusedError(400, f"the body is no JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise RefusedError(422, "the body must be an object with samples and fs, or with records")
    if "records" not in value:
        record = _described(value, "")
        return Sent({record.record_id: record})
    items = value["records"]
    if len(value) > 1 or not isinstance(items, list) or not items:
        raise RefusedError(422, "records must be a list of objects with samples and fs, and nothing stands beside it")
    if len(items) > settings.max_records:
        raise RefusedError(413, f"{len(items)} records; a request may have {settings.max_records}: send several")
    sent = Sent({}, several=True)
    for k, item in enumerate(items):
        name = f"records.{k}"
        try:
            sent.records[name] = _described(item if isinstance(item, dict) else {}, f"{name}.")
        except RefusedError as error:
            sent.failed[name] = error.sentence
    return sent


def _described(value: dict[str, Any], where: str) -> Record:
    samples = value.pop("samples", None)
    try:
        about = _Described.model_validate(value)
        return _record(_array(samples), about, about.record_id)
    except ValidationError as error:
        raise RefusedError(422, f"{where}{first_fault(error)}") from None
    except RecordError as error:
        raise RefusedError(422, f"{where}{error}") from None


def _array(samples: Any) -> NDArray[Any]:
    """(leads, samples) of lists of numbers; ``None`` is NaN."""
    if not isinstance(samples, list):
        raise RecordError("samples: give one list of numbers for each lead")
    try:
        array = np.array(samples)
        if array.dtype == object:
            array = array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise RecordError("samples: every lead must be a list of numbers, all of one length") from None
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        raise RecordError("samples: give one list of numbers for each lead")
    return array


def read_binary(body: bytes, stated: Stated, settings: Settings) -> Sent:
    """Read raw float32 samples, little-endian, one lead after the other; the rate is stated in the query.

    Raises:
        RefusedError: no rate, or bytes that make no such array.
    """
    if stated.fs is None:
        raise RefusedError(422, "raw samples tell no rate: state it in the query, as ?fs=500")
    n_leads = len(stated.leads or TWELVE_LEADS)
    if not body or len(body) % (4 * n_leads):
        raise RefusedError(
            422, f"{len(body)} bytes are not float32 samples of {n_leads} leads; state the leads: ?leads=I,II,V1"
        )
    try:
        record = _record(np.frombuffer(body, "<f4").reshape(n_leads, -1), stated, "")
    except RecordError as error:
        raise RefusedError(422, str(error)) from None
    return Sent({"": record})


def _record(array: NDArray[Any], stated: Stated, record_id: str) -> Record:
    leads = tuple(map(canonical_lead, stated.leads)) if stated.leads else TWELVE_LEADS
    notes = () if stated.leads else (f"The leads are not named and were taken as {', '.join(TWELVE_LEADS)}.",)
    if len(array) != len(leads):
        hint = "; lists go by lead, not by time: transpose it" if array.shape[1] == len(leads) else ""
        raise RecordError(f"samples: {len(array)} signals for {len(leads)} leads; name every lead in order{hint}")
    unit = stated.unit or "mV"
    scale = UNITS[stated_unit(unit)]
    return Record(
        signal=millivolts(array if scale == 1.0 else array / np.float64(scale), "samples"),
        fs=float(stated.fs or 0),
        leads=distinct(leads, "samples"),
        record_id=record_id,
        unit="normalised" if unit == "normalised" else "mV",
        notes=notes,
        **stated.patient(),
    )


def read_table(body: bytes, stated: Stated, settings: Settings) -> Sent:
    """Read a text table.

    Raises:
        RefusedError: it is none.
    """
    if len(body) > _LARGEST_TABLE:
        return read_files({"table.csv": body}, stated, settings)
    options = ReadOptions(stated.fs, stated.unit, _leads(stated.leads))
    try:
        record = read_csv(MemoryFiles("table", {"table": body}), options)
    except RecordError as error:
        raise RefusedError(422, str(error)) from None
    return Sent({"": record.with_(record_id="", **stated.patient())})


def _leads(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(map(canonical_lead, names))


def read_files(files: Mapping[str, bytes], stated: Stated, settings: Settings) -> Sent:
    """Read files of any format; those of one record count as one.

    Raises:
        RefusedError: there are none, or the only record cannot be read.
    """
    if not files:
        raise RefusedError(422, "the form has no file; send one, as  curl -F file=@ecg.dcm")
    limits = Limits(
        max_bytes=settings.max_bytes,
        max_files=4 * settings.max_records,
        max_duration_s=settings.max_duration_s,
        seconds=settings.timeout_s,
    )
    try:
        about = stated.model_dump(include=set(Stated.model_fields), exclude_none=True)
        found = read_uploads(files, stated=about, limits=limits)
    except EinthovenError as error:
        raise RefusedError(422, str(error)) from None
    if len(found.records) + len(found.failed) > 1:
        return Sent(found.records, found.failed, several=True)
    for sentence in found.failed.values():
        raise RefusedError(422, sentence)
    return Sent(found.records)
