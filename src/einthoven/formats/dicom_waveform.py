"""One multiplex group of a DICOM waveform: channels of one rate, in millivolts, under their lead names.

One idea: a value is ``stored * sensitivity * correction + baseline`` in the channel's unit, and padding is NaN.
Definitions: DICOM PS3.3, C.10.9 Waveform Module; leads: PS3.16, CID 3001 ECG Lead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.dicom_file import element, items, number, word
from einthoven.formats.registry import ReadOptions
from einthoven.formats.stated import agreed_scale, known_rate
from einthoven.formats.units import per_millivolt
from einthoven.leads import canonical_lead

__all__ = ["Group", "describe_group", "read_group"]

# SCP-ECG and IEEE 11073 number the leads alike: 5.6.3-9-61 and 2:61 are lead III.
_NUMBERED = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 66: "V8", 67: "V9"}
_NUMBERED |= {k + 2: f"V{k}" for k in range(1, 8)} | {k + 8: f"V{k}R" for k in range(2, 8)}
_NUMBERED |= {16: "vx", 17: "vy", 18: "vz"}
_PREFIXES = ("5.6.3-9-", "2:")
_TYPES = {(8, "SB"): "i1", (8, "UB"): "u1", (16, "SS"): "i2", (16, "US"): "u2", (32, "SL"): "i4", (32, "UL"): "u4"}
_MOST_CHANNELS = 256


@dataclass(frozen=True, slots=True)
class Group:
    """What a multiplex group says of itself.

    Attributes:
        item: the pydicom item.
        label: ``RHYTHM``, ``MEDIAN BEAT`` ...
        is_original: recorded, not derived.
        fs: samples per second.
        n_channels: of them.
        n_samples: in each channel.
        offset_s: when it begins.
    """

    item: Any
    label: str
    is_original: bool
    fs: float
    n_channels: int
    n_samples: int
    offset_s: float

    def __str__(self) -> str:
        return f"{self.label or 'unnamed'} ({self.n_channels} channels, {self.n_samples / self.fs:g} s)"


def describe_group(item: Any, options: ReadOptions, name: str) -> tuple[Group, tuple[str, ...]]:
    """Return what an item of the waveform sequence says, and notes.

    Raises:
        RecordError: a size or the rate is missing or damaged.
    """
    sizes = []
    for keyword in ("NumberOfWaveformChannels", "NumberOfWaveformSamples"):
        size = number(item, keyword, name)
        if size is None or size != int(size) or size < 1:
            raise RecordError(f"{name}: the element {keyword} is {size}, which must be a whole number from 1")
        sizes.append(int(size))
    if sizes[0] > _MOST_CHANNELS:
        raise RecordError(f"{name}: a waveform of {sizes[0]} channels is no ECG")
    fs, notes = known_rate(number(item, "SamplingFrequency", name), options, name)
    offset = (number(item, "MultiplexGroupTimeOffset", name) or 0.0) / 1000
    derived = word(item, "WaveformOriginality", name).upper() == "DERIVED"
    label = word(item, "MultiplexGroupLabel", name)
    return Group(item, label, not derived, fs, sizes[0], sizes[1], offset), notes


def read_group(
    group: Group, big_endian: bool, options: ReadOptions, name: str
) -> tuple[NDArray[np.float32], tuple[str, ...], tuple[str, ...]]:
    """Return (channels, samples) in millivolts, lead names and notes; channels that are no voltage are left out.

    Raises:
        RecordError: the samples are fewer than promised, or of a kind that is not read.
    """
    stored = _stored(group, big_endian, name)
    padding = element(group.item, "WaveformPaddingValue", name)
    missing = None if padding is None else stored == _padding_value(padding, stored.dtype, name)
    channels = list(items(group.item, "ChannelDefinitionSequence", name))
    if len(channels) != group.n_channels:
        raise RecordError(f"{name}: {len(channels)} channels are defined for {group.n_channels} in the waveform")
    rows, leads, left = [], [], []
    for k, channel in enumerate(channels):
        lead = _lead(channel, k, name)
        unit = next(
            (word(unit, "CodeValue", name) for unit in items(channel, "ChannelSensitivityUnitsSequence", name)), ""
        )
        if options.unit is None and unit and per_millivolt(unit) is None:
            left.append(f"{lead} [{unit}]")
            continue
        row = _physical(channel, stored[:, k], agreed_scale(unit, options, f"{name}: {lead}"), name)
        if missing is not None:
            row[missing[:, k]] = np.nan
        rows.append(row)
        leads.append(lead)
    notes = (f"Channels that are no voltages were left out: {', '.join(left)}.",) if left else ()
    return np.array(rows, np.float32), tuple(leads), notes


def _stored(group: Group, big_endian: bool, name: str) -> NDArray[np.generic]:
    """Samples as stored, of shape (samples, channels)."""
    bits = number(group.item, "WaveformBitsAllocated", name)
    kind = word(group.item, "WaveformSampleInterpretation", name).upper()
    code = _TYPES.get((int(bits or 0), kind))
    if code is None:
        known = ", ".join(f"{b} bits {k}" for b, k in _TYPES)
        raise RecordError(
            f"{name}: samples of {int(bits or 0)} bits {kind or '(no kind)'} are not read; read are {known}"
        )
    dtype = np.dtype(code).newbyteorder(">" if big_endian else "<")
    data = element(group.item, "WaveformData", name)
    n_bytes = group.n_samples * group.n_channels * dtype.itemsize
    if not isinstance(data, bytes) or len(data) < n_bytes:
        held = len(data) if isinstance(data, bytes) else 0
        raise RecordError(f"{name}: the waveform promises {n_bytes} bytes of samples and has {held}; it is cut short")
    return np.frombuffer(data, dtype, group.n_samples * group.n_channels).reshape(group.n_samples, group.n_channels)


def _padding_value(padding: Any, dtype: np.dtype[Any], name: str) -> Any:
    if isinstance(padding, bytes) and len(padding) >= dtype.itemsize:
        return np.frombuffer(padding, dtype, 1)[0]
    if isinstance(padding, int):
        return padding
    raise RecordError(f"{name}: the element WaveformPaddingValue is {str(padding)[:40]!r}, which is no sample")


def _physical(channel: Any, stored: NDArray[Any], scale: float, name: str) -> NDArray[np.float32]:
    """One channel in millivolts; ``scale`` is how many of its unit make one."""
    sensitivity = number(channel, "ChannelSensitivity", name)
    correction = number(channel, "ChannelSensitivityCorrectionFactor", name)
    baseline = number(channel, "ChannelBaseline", name) or 0.0
    gain = (1.0 if sensitivity is None else sensitivity) * (1.0 if correction is None else correction)
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = ((stored.astype(np.float64) * gain + baseline) / scale).astype(np.float32)
    return values


def _lead(channel: Any, index: int, name: str) -> str:
    """By the code of the source, else by its meaning or the channel's label."""
    spoken = []
    for source in items(channel, "ChannelSourceSequence", name):
        code = word(source, "CodeValue", name)
        for prefix in _PREFIXES:
            digits = code.removeprefix(prefix)
            if code.startswith(prefix) and digits.isdecimal() and int(digits[:4]) in _NUMBERED:
                return _NUMBERED[int(digits[:4])]
        spoken += [code.removeprefix("MDC_ECG_LEAD_"), word(source, "CodeMeaning", name).split("(")[0]]
    spoken.append(word(channel, "ChannelLabel", name))
    known = [canonical_lead(text) for text in spoken if canonical_lead(text) in _NUMBERED.values()]
    return (known or [text for text in reversed(spoken) if text] or [f"channel {index + 1}"])[0]
