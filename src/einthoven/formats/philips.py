"""Philips SierraECG XML 1.03 and 1.04 (``restingecgdata``): PageWriter, TraceMaster and IntelliVue.

One idea: samples are plain text, Base64 or Base64 of XLI; all end as integers of a stated number of microvolts.
Layout: SierraECG schemas 1.03 and 1.04.01 as published with sierra-ecg-tools (C. Watford).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.files import Files, stem
from einthoven.formats.philips_xli import decode_xli, restore_limb_leads
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
    numbers,
    sex_of,
    stored_lead,
)
from einthoven.formats.xml_text import child_text, read_xml, sniff_root, tidy
from einthoven.leads import TWELVE_LEADS
from einthoven.record import Record

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read_philips"]

_ROOT = "restingecgdata"
_VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")
_STANDARD = ("STD-12", "10-WIRE")  # acquisition types whose channels are the standard twelve, in order
_MOST_SAMPLES = 1_000_000  # per lead: 33 minutes at 500 Hz; resting ECGs have ten seconds
_LONGEST_CALIBRATION_S = 1.5
_ACQUISITION = "dataacquisition/signalcharacteristics"
_PATIENT = "patient/generalpatientdata"


class _Layout(NamedTuple):
    """How the samples are stored: canonical names in order, samples per lead where declared, whether by XLI."""

    labels: tuple[str, ...]
    n_samples: int | None
    xli: bool


def _sniff(files: Files) -> bool:
    return sniff_root(files) == _ROOT


@register_reader(
    "Philips SierraECG XML", (".xml",), "restingecgdata files of Philips electrocardiographs, 1.03 and 1.04", _sniff
)
def read_philips(files: Files, options: ReadOptions) -> Record:
    """Read a Philips XML file.

    Raises:
        RecordError: damaged, without waveforms, or without a rate, a resolution or lead names that can be told.
        MissingExtraError: defusedxml is absent.
    """
    root, name = read_xml(files, _ROOT), files.name
    waveforms = root.find("waveforms/parsedwaveforms")
    if waveforms is None:
        raise RecordError(f"{name}: has no parsedwaveforms, so no signal")
    declared = _characteristic(root, waveforms, ("samplespersecond", "samplingrate"), name)
    layout = _layout(root, waveforms, declared, options, name)
    stored, sample_notes = _samples(waveforms, layout, name)
    fs, rate_notes = agreed_rate(declared, options, name)
    leads = lead_names(layout.labels, options, name)
    values, calibration_notes = _without_calibration(stored, fs)
    resolution = _characteristic(root, waveforms, ("resolution", "signalresolution"), name)
    if resolution is None or resolution <= 0:
        raise RecordError(f"{name}: gives no resolution above zero, so its amplitude cannot be known")
    age, age_notes = _age(root)
    return Record(
        signal=millivolts(values, "uV", options, name, step=resolution),
        fs=fs,
        leads=leads,
        record_id=stem(name),
        patient_id=child_text(root, f"{_PATIENT}/patientid") or None,
        age=age,
        sex=sex_of(child_text(root, f"{_PATIENT}/sex")),
        interpretation=_interpretation(root),
        unit=kept_unit(options),
        notes=(*_version_notes(root), *sample_notes, *rate_notes, *calibration_notes, *age_notes),
    )


def _version_notes(root: Element) -> tuple[str, ...]:
    version = child_text(root, "documentinfo/documentversion")
    if version in _VERSIONS:
        return ()
    return (f"Version {version[:20]!r} is none of {', '.join(_VERSIONS)}; the file was read as one of these.",)


def _characteristic(root: Element, waveforms: Element, names: tuple[str, str], name: str) -> float | None:
    """A number that 1.04 gives with the samples, and 1.03 with the acquisition."""
    texts = [waveforms.get(key, "") for key in names] + [child_text(root, f"{_ACQUISITION}/{key}") for key in names]
    values = {value for text in texts if (value := number(text)) is not None}
    if len(values) > 1:
        listed = ", ".join(f"{value:g}" for value in sorted(values))
        raise RecordError(f"{name}: gives different values of {' or '.join(names)}: {listed}")
    return values.pop() if values else None


def _layout(root: Element, waveforms: Element, fs: float | None, options: ReadOptions, name: str) -> _Layout:
    for key, usual in (("bitspersample", "16"), ("nbitspersample", "16"), ("signaloffset", "0"), ("signalsigned", "")):
        text = waveforms.get(key) or child_text(root, f"{_ACQUISITION}/{key}")
        if text and text != (usual or "True"):
            raise RecordError(f"{name}: has {key} {text[:20]!r}; only {usual or 'True'!r} can be read")
    flag, method = waveforms.get("compressflag"), waveforms.get("compressmethod", waveforms.get("compression", ""))
    compressed = method not in ("", "Uncompressed") and flag != "False"
    if compressed and method != "XLI":
        raise RecordError(f"{name}: is compressed by {method[:40]!r}; only XLI is known")
    duration = number(waveforms.get("durationperchannel"))
    n_samples = None if duration is None or fs is None else duration * fs / 1000
    if n_samples is not None and not 1 <= n_samples <= _MOST_SAMPLES:
        raise RecordError(f"{name}: declares {n_samples:g} samples per lead; 1 to {_MOST_SAMPLES} can be read")
    labels = _labels(root, waveforms, options, name)
    return _Layout(labels, None if n_samples is None else round(n_samples), compressed)


def _labels(root: Element, waveforms: Element, options: ReadOptions, name: str) -> tuple[str, ...]:
    labels = tuple(waveforms.get("leadlabels", "").split())
    n_leads = waveforms.get("numberofleads", "")
    if labels:
        n = number(n_leads) if n_leads else len(labels)
        if n is None or not 1 <= n <= len(labels):
            raise RecordError(f"{name}: names {len(labels)} leads and says they are {n_leads[:20]}")
        return tuple(stored_lead(label, name) for label in labels[: int(n)])
    kind = child_text(root, f"{_ACQUISITION}/acquisitiontype")
    if kind in _STANDARD:
        return TWELVE_LEADS
    if options.leads is not None:
        return options.leads
    raise RecordError(f"{name}: names no leads, and the acquisition type {kind[:20]!r} tells none; state the leads")


def _samples(waveforms: Element, layout: _Layout, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Integers of shape (leads, samples) in steps of the resolution."""
    text, encoding = waveforms.text or "", waveforms.get("dataencoding", "")
    if encoding == "Plain":
        if layout.xli:
            raise RecordError(f"{name}: says that plain text is compressed, which it cannot be")
        values = numbers(text, f"{name}: its samples")
        if (np.abs(values) > 1 << 23).any() or (values % 1).any():
            raise RecordError(f"{name}: its samples are not all integers of at most 24 bits")
        return _split(values.astype(np.int64), layout, name)
    if encoding != "Base64":
        raise RecordError(f"{name}: has samples in the encoding {encoding[:20]!r}; Plain and Base64 can be read")
    data = base64_bytes(text, f"{name}: its samples")
    if layout.xli:
        return _decompressed(data, layout, name)
    if len(data) % 2:
        raise RecordError(f"{name}: has {len(data)} bytes of samples, which are no whole samples of 2 bytes")
    return _split(np.frombuffer(data, "<i2").astype(np.int64), layout, name)


def _split(values: NDArray[np.int64], layout: _Layout, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """One lead after the other; a device may have stored unused channels behind them."""
    n_leads = len(layout.labels)
    n_samples = layout.n_samples or len(values) // n_leads
    if not len(values) or len(values) % n_samples or len(values) < n_leads * n_samples:
        raise RecordError(f"{name}: has {len(values)} samples, not {n_leads} leads of {n_samples or 'any'}")
    channels = values.reshape(-1, n_samples)
    extra = len(channels) - n_leads
    return channels[:n_leads], (f"{extra} channels without a name were left out.",) if extra else ()


def _decompressed(data: bytes, layout: _Layout, name: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    decoded = decode_xli(data, len(layout.labels), _MOST_SAMPLES, name)
    lengths = [len(samples) for samples in decoded]
    if len(set(lengths)) > 1:
        listed = ", ".join(f"{lead} {n}" for lead, n in zip(layout.labels, lengths, strict=True))
        raise RecordError(f"{name}: its leads decompress to different numbers of samples ({listed})"[:600])
    leads = dict(zip(layout.labels, decoded, strict=False))
    restore_limb_leads(leads, name)
    notes: tuple[str, ...] = ()
    if layout.n_samples not in (None, lengths[0]):
        notes = (f"The file declares {layout.n_samples} samples per lead and has {lengths[0]}, which were read.",)
    return np.stack([leads[label] for label in layout.labels]), notes


def _without_calibration(values: NDArray[np.int64], fs: float) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Cut the pulse of one millivolt that devices write into all leads behind the ECG."""
    differs = np.flatnonzero((values != values[:1]).any(axis=0))
    if not differs.size:
        return values, ()
    end = int(differs[-1]) + 1
    tail = values[0, end:]
    if not 0.1 * fs <= tail.size <= _LONGEST_CALIBRATION_S * fs or not tail.any():
        return values, ()
    return values[:, :end], (f"The last {tail.size / fs:.3g} s, a calibration pulse in all leads, were left out.",)


def _age(root: Element) -> tuple[float | None, tuple[str, ...]]:
    age = root.find(f"{_PATIENT}/age")
    for part in () if age is None else age:
        if part.tag == "dateofbirth":
            acquisition = root.find("dataacquisition")
            return age_at(tidy(part.text), "" if acquisition is None else acquisition.get("date", "")), ()
        return age_in_years(tidy(part.text), part.tag)
    return None, ()


def _interpretation(root: Element) -> tuple[str, ...]:
    """Left and right half of each statement, then the severity, each once."""
    texts: dict[str, None] = {}
    for interpretation in root.findall("interpretations/interpretation"):
        for statement in interpretation.findall("statement"):
            halves = (child_text(statement, "leftstatement"), child_text(statement, "rightstatement"))
            texts[" ".join(filter(None, halves))] = None
        texts[child_text(interpretation, "severity").strip("- ")] = None
    return tuple(filter(None, texts))
