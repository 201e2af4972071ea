"""Sections 5 and 6 of SCP-ECG: reference beat and rhythm, put together again.

One idea: whatever was saved on rate or beats is undone in the order of the standard: Huffman, differences, rate, beats.
Standard: EN 1064 / ISO 11073-91064, clauses 5.8 and 5.9, annex C.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import RecordError
from einthoven.formats.scp_bimodal import block_starts, expand, protected_mask, smooth
from einthoven.formats.scp_huffman import HuffmanTable, huffman_decode
from einthoven.formats.scp_leads import LeadLayout, QrsLocations, StoredLead

__all__ = ["EncodedLeads", "Rhythm", "parse_encoded", "reconstruct"]

_PADDING_BITS = 32
_LEAST_SHARE = 0.9  # of a lead's samples; with fewer it counts as damaged
_MAX_VALUES = 16_000_000
_MAX_SAMPLES = 2_000_000  # of one lead; the 65,535 bytes that a lead can have hold less


class EncodedLeads(NamedTuple):
    """Section 5 or 6 as stored.

    Attributes:
        section: 5 or 6.
        nanovolts: of one unit of amplitude.
        interval_us: between samples.
        differences: 0 for amplitudes, 1 or 2 for first or second differences.
        bimodal: whether the rate is reduced outside protected zones (section 6 only).
        streams: bytes of each lead.
    """

    section: int
    nanovolts: int
    interval_us: int
    differences: int
    bimodal: bool
    streams: tuple[bytes, ...]


class Rhythm(NamedTuple):
    """The ECG: float64 nanovolts of shape (leads, samples), NaN where a lead was not recorded; its rate; notes."""

    signal: NDArray[np.float64]
    fs: float
    notes: tuple[str, ...]


class _Plan(NamedTuple):
    """How samples are stored.

    Attributes:
        factor: samples per stored value outside the zones.
        zones: start and stop of the zones where each sample is stored.
        divisor: samples by the numbers of section 3 for one of the rhythm.
    """

    factor: int
    zones: NDArray[np.int64]
    divisor: int = 1

    def lead(self, lead: StoredLead) -> StoredLead:
        return lead._replace(start=lead.start // self.divisor, stop=-(-lead.stop // self.divisor))

    def starts(self, lead: StoredLead) -> NDArray[np.int64]:
        n = lead.stop - lead.start
        if self.factor == 1:
            return np.arange(n)
        return block_starts(protected_mask(self.zones - lead.start, n), self.factor)


class _Decoded(NamedTuple):
    values: NDArray[np.int64]
    missing: int
    bits_left: int


_NO_ZONES = np.zeros((0, 2), np.int64)


def parse_encoded(body: bytes, section: int, n_leads: int, name: str) -> EncodedLeads:
    """Read section 5 or 6.

    Raises:
        RecordError: too short for its leads, or a value that the standard does not know.
    """
    if len(body) < 6 + 2 * n_leads:
        raise RecordError(f"{name}: section {section} has {len(body)} bytes of data, too few for {n_leads} leads")
    nanovolts, interval, differences, flag = struct.unpack_from("<HHBB", body)
    if not interval:
        raise RecordError(f"{name}: section {section} gives a sampling interval of 0")
    if not nanovolts:
        raise RecordError(f"{name}: section {section} gives an amplitude unit of 0 nV, so no voltage can be known")
    if differences > 2:
        raise RecordError(f"{name}: section {section} has encoding {differences}; the standard knows 0, 1 and 2")
    sizes = struct.unpack_from(f"<{n_leads}H", body, 6)
    ends = np.cumsum((6 + 2 * n_leads, *sizes)).tolist()
    if ends[-1] > len(body):
        raise RecordError(f"{name}: the leads of section {section} need {ends[-1]} bytes, it has {len(body)}")
    streams = tuple(body[start:end] for start, end in pairwise(ends))
    return EncodedLeads(section, nanovolts, interval, differences, section == 6 and flag != 0, streams)


def _decode(encoded: EncodedLeads, k: int, tables: tuple[HuffmanTable, ...], n_values: int) -> _Decoded:
    """Amplitudes of lead ``k``, up to ``n_values``."""
    stream = encoded.streams[k]
    if tables:
        values, bits_left = huffman_decode(stream, tables, n_values)
    else:
        values = np.frombuffer(stream, "<i2", len(stream) // 2).astype(np.int64)[:n_values]
        bits_left = 8 * len(stream) - 16 * len(values)
    if encoded.differences == 1:
        values = np.cumsum(values)
    elif encoded.differences == 2 and len(values) > 2:
        # The first two are amplitudes: their difference starts the sum of differences.
        slopes = np.concatenate([values[1:2] - values[:1], values[2:]])
        values = np.concatenate([values[:1], values[0] + np.cumsum(np.cumsum(slopes))])
    # Amplitudes have 16 bits, so encoders and decoders may let differences wrap around.
    return _Decoded(values.astype(np.int16).astype(np.int64), n_values - len(values), bits_left)


def _plans(rhythm: EncodedLeads, full_us: int, layout: LeadLayout, qrs: QrsLocations, name: str) -> list[_Plan]:
    """Ways in which the samples can be stored, the one that the flags tell first.

    Samples are numbered at the rate of the reference beat, and a coarser rhythm is reduced from that.
    """
    full = _Plan(1, _NO_ZONES)
    factor, rest = divmod(rhythm.interval_us, full_us)
    if layout.subtracted and (factor == 0 or rest):
        raise RecordError(
            f"{name}: the rhythm's sampling interval of {rhythm.interval_us} us is no multiple of the subtracted "
            f"reference beat's {full_us} us, so the two cannot be added"
        )
    if rest or factor < 2:
        return [full]
    zoned, even = _Plan(factor, qrs.protected), _Plan(factor, _NO_ZONES)
    if layout.subtracted:
        return [zoned, even] if rhythm.bimodal else [even, zoned]
    return [zoned, even, full] if rhythm.bimodal else [full, _Plan(1, _NO_ZONES, factor)]


def _choose(plans: list[_Plan], rhythm: EncodedLeads, tables: tuple[HuffmanTable, ...], lead: StoredLead) -> _Plan:
    """The first plan that the stored samples fit exactly; writers disagree on what flags and numbers mean."""
    for plan in plans:
        found = _decode(rhythm, 0, tables, len(plan.starts(plan.lead(lead))))
        if not found.missing and found.bits_left < _PADDING_BITS:
            return plan
    return plans[0]


def reconstruct(
    rhythm: EncodedLeads,
    beat: EncodedLeads | None,
    full_us: int,
    layout: LeadLayout,
    qrs: QrsLocations,
    tables: tuple[HuffmanTable, ...],
    *,
    strict: bool,
    name: str,
) -> Rhythm:
    """Rebuild the recording.

    Args:
        rhythm: section 6.
        beat: section 5, None where it was not subtracted.
        full_us: sampling interval by which samples are numbered.
        layout: section 3.
        qrs: section 4.
        tables: section 2, empty where samples are stored as 16-bit numbers.
        strict: whether leads must be complete to the last bit, for the checksum is wrong.
        name: of the file, for messages.

    Raises:
        RecordError: the sections contradict each other or samples are missing.
    """
    _check_span(layout.leads, name)
    plan = _choose(_plans(rhythm, full_us, layout, qrs, name), rhythm, tables, layout.leads[0])
    leads = [plan.lead(lead) for lead in layout.leads]
    origin, end = min(lead.start for lead in leads), max(lead.stop for lead in leads)
    signal = np.full((len(leads), end - origin), np.nan)
    notes = list(_plan_notes(rhythm, plan))
    for k, lead in enumerate(leads):
        values, note = _lead(rhythm, k, lead, tables, plan, qrs, strict=strict, name=name)
        signal[k, lead.start - origin : lead.stop - origin] = values
        notes += note
    signal *= rhythm.nanovolts
    if beat is not None:
        _add_beats(signal, _reference(beat, tables, qrs, name), qrs, origin, name)
        notes += [] if len(qrs.beats) else ["The file says that reference beats were subtracted, but not where."]
    interval = full_us if plan.factor > 1 else rhythm.interval_us
    return Rhythm(signal, 1e6 / interval, tuple(notes))


def _check_span(leads: tuple[StoredLead, ...], name: str) -> None:
    span = max(lead.stop for lead in leads) - min(lead.start for lead in leads)
    if len(leads) * span > _MAX_VALUES or max(lead.stop - lead.start for lead in leads) > _MAX_SAMPLES:
        raise RecordError(
            f"{name}: section 3 spreads {len(leads)} leads over {span} samples; "
            f"up to {_MAX_SAMPLES:,} per lead and {_MAX_VALUES:,} in all are read"
        )


def _plan_notes(rhythm: EncodedLeads, plan: _Plan) -> tuple[str, ...]:
    if plan.factor > 1:
        where = " outside the QRS complexes" if len(plan.zones) else ""
        return (f"The device stored every {plan.factor} samples as one{where}; they were interpolated.",)
    if rhythm.bimodal:
        return ("The file says that its rate varies, but all samples are of one rate.",)
    return ()


def _lead(
    rhythm: EncodedLeads,
    k: int,
    lead: StoredLead,
    tables: tuple[HuffmanTable, ...],
    plan: _Plan,
    qrs: QrsLocations,
    *,
    strict: bool,
    name: str,
) -> tuple[NDArray[np.float64], list[str]]:
    """One lead at full rate, in units of amplitude, and what is odd about it."""
    n_samples, starts = lead.stop - lead.start, plan.starts(lead)
    values, missing, bits_left = _decode(rhythm, k, tables, len(starts))
    note = []
    if missing > (1 - _LEAST_SHARE) * len(starts) or (strict and (missing or bits_left >= _PADDING_BITS)):
        raise RecordError(
            f"{name}: lead {lead.name} should have {len(starts)} samples in section 6, {len(values)} can be decoded "
            f"and {bits_left // 8} bytes remain; the file is damaged or compressed in another way than its flags tell"
        )
    if missing:
        note.append(f"The last {missing} of {len(starts)} stored samples of lead {lead.name} are missing.")
    elif bits_left >= _PADDING_BITS:
        note.append(f"Lead {lead.name} has {bits_left // 8} bytes more than its samples need.")
    stored = np.concatenate([values.astype(np.float64), np.full(missing, np.nan)])
    if plan.factor == 1:
        return stored, note
    # Smoothing must not reach across the ends of subtraction, where the residual may jump.
    edges = (qrs.beats[:, [0, 0, 2, 2]] - [1, 0, 1, 0]).reshape(-1) - lead.start
    kept = protected_mask(plan.zones - lead.start, n_samples)
    kept[edges[(edges >= 0) & (edges < n_samples)]] = True
    return smooth(expand(stored, starts, n_samples), kept), note


def _reference(
    beat: EncodedLeads, tables: tuple[HuffmanTable, ...], qrs: QrsLocations, name: str
) -> NDArray[np.float64]:
    """Reference beats in nanovolts, shape (leads, samples)."""
    n_samples = round(qrs.beat_ms * 1000 / beat.interval_us)
    found = [_decode(beat, k, tables, n_samples) for k in range(len(beat.streams))]
    lacking = n_samples == 0 or max(lead.missing for lead in found) > (1 - _LEAST_SHARE) * n_samples
    if lacking or len(found) * n_samples > _MAX_VALUES:
        raise RecordError(
            f"{name}: the reference beat should have {n_samples} samples ({qrs.beat_ms} ms), which section 5 lacks"
        )
    signal = np.zeros((len(found), n_samples))
    for row, lead in zip(signal, found, strict=True):
        row[: len(lead.values)] = lead.values
    return signal * beat.nanovolts


def _add_beats(
    signal: NDArray[np.float64], beat: NDArray[np.float64], qrs: QrsLocations, origin: int, name: str
) -> None:
    """Add the reference beat where it was subtracted, fiducial point upon fiducial point."""
    # Positions in the recording and in the beat; neither may be left.
    shifts = qrs.fiducial - qrs.beats[:, 1]
    starts = np.maximum(np.maximum(qrs.beats[:, 0], origin), -shifts)
    stops = np.minimum(np.minimum(qrs.beats[:, 2], origin + signal.shape[1]), beat.shape[1] - shifts)
    if np.maximum(stops - starts, 0).sum() > 2 * signal.shape[1]:
        raise RecordError(f"{name}: section 4 subtracts the reference beat from zones longer than the recording")
    for start, stop, shift in zip(starts.tolist(), stops.tolist(), shifts.tolist(), strict=True):
        if stop > start:
            signal[:, start - origin : stop - origin] += beat[:, start + shift : stop + shift]
