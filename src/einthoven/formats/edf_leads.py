"""Which signals of an EDF file are ECG leads?

One idea: a label that says ECG or names a lead is believed, but names that an EEG shares (C3, X) only in company.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from einthoven.errors import RecordError
from einthoven.formats.edf_header import EdfHeader, EdfSignal
from einthoven.formats.registry import ReadOptions
from einthoven.formats.units import per_millivolt
from einthoven.leads import TWELVE_LEADS, canonical_lead, is_known_lead

__all__ = ["choose_signals", "lead_name"]

_ECG = re.compile(r"\b(ECG|EKG)|(ECG|EKG)\b", re.IGNORECASE)
_OTHER = re.compile(r"\b(EEG|EOG|EMG|resp|pleth|thor|abdo|airflow|nasal|chin|leg|snore|pos|acc)", re.IGNORECASE)
# C3 and C4 lie over the brain as well, X, Y and Z in every accelerometer.
_SHARED = re.compile(r"(C[1-9]|[XYZ])", re.IGNORECASE)
_CHEST = {f"C{k}" for k in range(1, 7)}


def lead_name(label: str) -> str:
    """Return the canonical lead of a label, or the label.

    >>> lead_name("EKG II"), lead_name("ECG V1-Ref"), lead_name("ECG1-ECG2")
    ('II', 'V1', 'ECG1-ECG2')
    """
    plain = re.sub(r"[-_ ]?ref$", "", re.sub(r"\bEKG", "ECG", label, flags=re.IGNORECASE), flags=re.IGNORECASE)
    return canonical_lead(plain) if is_known_lead(plain) else label


def choose_signals(
    header: EdfHeader, options: ReadOptions, name: str
) -> tuple[list[EdfSignal], tuple[str, ...], tuple[str, ...]]:
    """Choose the ECG signals, all of one rate.

    Returns:
        The signals, their lead names, and notes on what was left out.

    Raises:
        RecordError: none is an ECG, or rates or stated names leave open which.
    """
    ordinary = [signal for signal in header.signals if not signal.is_annotation]
    if options.leads is not None and len(options.leads) == len(ordinary):
        chosen, notes = ordinary, list[str]()
    else:
        chosen, notes = _by_label(ordinary, options, name)
        left = [signal for signal in ordinary if signal not in chosen]
        if left:
            notes.append(f"Left out as no ECG: {_listed(left)}.")
    chosen, rate_notes = _of_one_rate(chosen, header.record_s, options, name)
    if options.leads is None:
        return chosen, tuple(lead_name(signal.label) for signal in chosen), (*notes, *rate_notes)
    if len(options.leads) != len(chosen):
        raise RecordError(
            f"{name}: {len(options.leads)} lead names were stated for {len(chosen)} ECG signals ({_listed(chosen)})"
        )
    return chosen, options.leads, (*notes, *rate_notes)


def _by_label(signals: list[EdfSignal], options: ReadOptions, name: str) -> tuple[list[EdfSignal], list[str]]:
    voltage = [s for s in signals if options.unit or not s.unit or per_millivolt(s.unit) is not None]
    labels = {signal.label.upper() for signal in voltage}
    chosen = [signal for signal in voltage if _is_ecg(signal.label, labels)]
    if chosen:
        return chosen, []
    chosen = [s for s in signals if per_millivolt(s.unit) is not None and not _OTHER.search(s.label)]
    if not chosen:
        raise RecordError(f"{name}: no signal is an ECG by its label and unit: {_listed(signals) or 'none at all'}")
    return chosen, ["No label names an ECG lead; the signals in units of voltage were kept under their own labels."]


def _is_ecg(label: str, labels: set[str]) -> bool:
    if _ECG.search(label):
        return True
    if _SHARED.fullmatch(label):
        limb = any(canonical_lead(other) in TWELVE_LEADS[:2] for other in labels)
        return labels >= {"X", "Y", "Z"} if label.upper() in "XYZ" else limb and labels >= _CHEST
    return is_known_lead(lead_name(label))


def _of_one_rate(
    signals: list[EdfSignal], record_s: float, options: ReadOptions, name: str
) -> tuple[list[EdfSignal], tuple[str, ...]]:
    """The signals of the rate that most have, or of the stated one."""
    counts = Counter(signal.n_samples for signal in signals)
    if len(counts) == 1:
        return signals, ()
    fs = options.fs
    stated = None if fs is None else min(counts, key=lambda n: abs(n / record_s - fs))
    (wanted, most), (_, second) = counts.most_common(2)
    if stated is None and most == second:
        rates = ", ".join(f"{signal.label} {signal.n_samples / record_s:g} Hz" for signal in signals[:16])
        raise RecordError(
            f"{name}: the ECG signals are of different rates ({rates}); state the one wanted: --fs 500 or fs=500"
        )
    wanted = wanted if stated is None else stated
    left = [signal for signal in signals if signal.n_samples != wanted]
    kept = [signal for signal in signals if signal.n_samples == wanted]
    return kept, (f"Left out, not being sampled at {wanted / record_s:g} Hz: {_listed(left)}.",)


def _listed(signals: Sequence[EdfSignal]) -> str:
    shown = ", ".join(f"{signal.label or '(no label)'} [{signal.unit}]" for signal in signals[:16])
    return f"{shown} and {len(signals) - 16} more" if len(signals) > 16 else shown
