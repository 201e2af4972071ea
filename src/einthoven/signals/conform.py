"""Bring a record to a specification: the one preprocessing that preparing and predicting share.

Leads by name, missing limb leads derived, rate and band changed. Scaling is not done here: it is the network's first
layer and travels with the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import ConformError
from einthoven.leads import ANY_LEAD, limb_lead_weights, rhythm_lead
from einthoven.record import Record
from einthoven.signals.filters import band_pass, notch
from einthoven.signals.resample import resample
from einthoven.spec import SignalSpec

__all__ = ["conform", "conform_signals"]


def conform(record: Record, spec: SignalSpec) -> Record:
    """Return the record as ``spec`` wants it.

    Derived leads are named in the notes. Missing samples (NaN) stay missing: they are bridged for the filters only.
    A specification of ``ANY_LEAD`` takes the rhythm lead of a record with several; which one is noted.

    Raises:
        ConformError: a lead is missing that cannot be derived, or the unit differs.
    """
    if record.unit != spec.unit:
        name = record.record_id or "record"
        raise ConformError(f"{name}: the signal is in {record.unit}, {spec.unit} is needed")
    leads, notes = _named(record.leads, spec)
    try:
        signal = conform_signals(record.signal, leads, record.fs, spec)
    except ConformError as error:
        raise ConformError(f"{record.record_id or 'record'}: {error}") from None
    if derived := [lead for lead in spec.leads if lead not in leads]:
        notes = (f"derived from the other limb leads: {', '.join(derived)}",)
    return record.with_(signal=signal, fs=float(spec.fs), leads=spec.leads, notes=record.notes + notes)


def _named(leads: tuple[str, ...], spec: SignalSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the leads as the specification calls them, and what is to be said about that."""
    if spec.leads != (ANY_LEAD,) or ANY_LEAD in leads:
        return leads, ()
    taken = rhythm_lead(leads)
    notes = (f"of {', '.join(leads)}, lead {taken} was taken",) if len(leads) > 1 else ()
    return tuple(ANY_LEAD if lead == taken else lead for lead in leads), notes


def conform_signals(x: NDArray[np.float32], leads: Sequence[str], fs: float, spec: SignalSpec) -> NDArray[np.float32]:
    """Do the work of ``conform`` on arrays; a batch of records with the same leads and rate goes through at once.

    Args:
        x: shape (..., leads, samples), NaN where nothing was recorded.
        leads: names of the rows of ``x``.
        fs: rate of ``x`` in Hz.
        spec: the form wanted.

    Returns:
        float32, shape (..., leads of the specification, samples at its rate).

    Raises:
        ConformError: a lead is missing that cannot be derived.
    """
    x = _order_leads(np.asarray(x, dtype=np.float32), leads, spec.leads)
    if fs == spec.fs and spec.band_hz is None and spec.notch_hz is None:
        return x
    missing = ~np.isfinite(x)
    gaps = bool(missing.any())
    if gaps:
        x = _bridge(x, missing)
    x = _change(x, fs, spec)
    if gaps:
        # A resampled sample is missing where its nearest original is.
        source = np.minimum(np.rint(np.arange(x.shape[-1]) * (fs / spec.fs)).astype(int), missing.shape[-1] - 1)
        x = np.where(missing[..., source], np.float32(np.nan), x)
    return x


def _order_leads(x: NDArray[np.float32], leads: Sequence[str], wanted: Sequence[str]) -> NDArray[np.float32]:
    if tuple(leads) == tuple(wanted):
        return x
    row = {lead: k for k, lead in enumerate(leads)}
    rows, absent = [], []
    for lead in wanted:
        weights = {lead: 1.0} if lead in row else limb_lead_weights(lead, leads)
        if weights is None:
            absent.append(lead)
            continue
        parts = [
            x[..., row[name], :] if w == 1 else np.float32(w) * x[..., row[name], :] for name, w in weights.items()
        ]
        rows.append(parts[0] if len(parts) == 1 else parts[0] + parts[1])
    if absent:
        raise ConformError(
            f"missing {_plural('lead', absent)}, which cannot be derived; the record has {', '.join(leads)}"
        )
    return np.stack(rows, axis=-2)


def _plural(word: str, names: Sequence[str]) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _bridge(x: NDArray[np.float32], missing: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fill gaps by a straight line, so that filters do not spread them; a lead without a sample becomes 0."""
    flat, holes = x.reshape(-1, x.shape[-1]).copy(), missing.reshape(-1, x.shape[-1])
    time = np.arange(x.shape[-1])
    for row in np.flatnonzero(holes.any(axis=1)):
        there = ~holes[row]
        flat[row, ~there] = np.interp(time[~there], time[there], flat[row, there]) if there.any() else 0
    return flat.reshape(x.shape)


def _change(x: NDArray[np.float32], fs: float, spec: SignalSpec) -> NDArray[np.float32]:
    # Filter at the higher of the two rates: a notch at 50 Hz must act before 100 Hz folds it away.
    rate = fs if fs >= spec.fs else spec.fs
    if fs < spec.fs:
        x = resample(x, fs, spec.fs)
    if spec.notch_hz is not None:
        x = notch(x, rate, spec.notch_hz)
    if spec.band_hz is not None:
        low, high = spec.band_hz
        x = band_pass(x, rate, low, rate / 2 if high >= spec.fs / 2 else high)
    return resample(x, rate, spec.fs) if rate != spec.fs else x
