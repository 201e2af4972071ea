"""The numbers: heart rate, intervals, axes, amplitudes; each by its published definition, NaN where it has no meaning.

One idea: a table says what is measured, in which order and in which unit; a number that no heart makes is no number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from einthoven.features.beats import FS, Beat, Positions
from einthoven.features.waves import Span, Waves
from einthoven.leads import limb_lead_weights

__all__ = ["PER_LEAD", "WHOLE", "amplitudes", "axes", "intervals", "rhythm", "voltages"]

Array = NDArray[np.float64]
Numbers = dict[str, float]

# Measured once for a record: name, and what it is. Plausible bounds of what is bounded are in _PLAUSIBLE.
WHOLE = {
    "n_beats": "QRS complexes found",
    "rate_bpm": "60 s over the mean RR interval",
    "sdnn_ms": "standard deviation of RR intervals between beats of the most frequent shape",
    "rmssd_ms": "root mean square of differences of successive such intervals",
    "pnn50": "share of these differences above 50 ms",
    "irregular_share": "share of all RR intervals more than 10 % off their median",
    "dominant_share": "share of beats of the most frequent shape",
    "p_share": "share of beats with a P wave",
    "p_ms": "P wave, onset to end",
    "pr_ms": "P onset to QRS onset",
    "qrs_ms": "QRS complex",
    "qt_ms": "QRS onset to T end",
    "jt_ms": "QRS end to T end",
    "qtc_bazett_ms": "QT / RR^(1/2), RR in s; Bazett 1920",
    "qtc_fridericia_ms": "QT / RR^(1/3), RR in s; Fridericia 1920",
    **{
        f"{wave}_axis_{form}": f"{wave.upper()} axis in the frontal plane, {meaning}"
        for wave in ("p", "qrs", "t")
        for form, meaning in (("deg", "degrees"), ("cos", "cosine"), ("sin", "sine"))
    },
    "sokolow_lyon_mv": "S in V1 plus the larger R of V5 and V6; Sokolow and Lyon 1949",
    "cornell_mv": "R in aVL plus S in V3; Casale et al. 1985",
}
# Measured in every lead: name before "_LEAD", and what it is.
PER_LEAD = {
    "p_mv": "P wave, from the line between its ends",
    "q_mv": "most negative value before the R peak; 0 where there is none",
    "r_mv": "most positive value of the QRS complex; 0 where there is none",
    "s_mv": "most negative value after the R peak; 0 where there is none",
    "st_mv": "60 ms after the J point",
    "t_mv": "T wave",
    "rs_share": "R / (R + S), S being the deepest value of the QRS complex",
}
_PLAUSIBLE = {
    "p_ms": (30, 220),
    "pr_ms": (60, 480),
    "qrs_ms": (40, 260),
    "qt_ms": (180, 750),
    "jt_ms": (100, 650),
}
_IRREGULAR = 0.1
_LEAST_AREA_MV = 0.01  # mean deflection in the frontal plane, below which an axis has no direction
_ST_S = 0.06
_T_SIDE_S = 0.05
_LEVEL_S = 0.02


def rhythm(peaks: Positions, alike: NDArray[np.bool_], recorded: NDArray[np.bool_]) -> Numbers:
    """Heart-rate statistics, Task Force 1996, from R peaks.

    Args:
        peaks: R peaks at 500 Hz, at least two.
        alike: which of them have the most frequent shape.
        recorded: which samples were recorded; an interval across a gap does not count.
    """
    missing = np.concatenate([[0], np.cumsum(~recorded)])
    whole = missing[peaks[1:]] == missing[peaks[:-1]]
    rr = np.diff(peaks) / FS * 1000
    normal = whole & alike[1:] & alike[:-1]
    successive = np.diff(rr)[normal[1:] & normal[:-1]]
    numbers: Numbers = {"n_beats": len(peaks), "dominant_share": float(alike.mean())}
    if whole.any():
        median = np.median(rr[whole])
        numbers["rate_bpm"] = 60_000 / float(rr[whole].mean())
        numbers["irregular_share"] = float((np.abs(rr[whole] - median) > _IRREGULAR * median).mean())
    if normal.sum() >= 2:
        numbers["sdnn_ms"] = float(rr[normal].std(ddof=1))
    if len(successive):
        numbers["rmssd_ms"] = float(np.sqrt((successive**2).mean()))
        numbers["pnn50"] = float((np.abs(successive) > 50).mean())
    return numbers


def intervals(waves: Waves, rate_bpm: float) -> Numbers:
    """Intervals in ms; those out of all proportion are left out."""
    p, qrs, t = waves.p, waves.qrs, waves.t
    found = {"p_share": waves.p_share, "qrs_ms": _ms(qrs.on, qrs.off)}
    if p is not None:
        found |= {"p_ms": _ms(p.on, p.off), "pr_ms": _ms(p.on, qrs.on)}
    if t is not None:
        found |= {"qt_ms": _ms(qrs.on, t.off), "jt_ms": _ms(qrs.off, t.off)}
    found = {name: value for name, value in found.items() if _plausible(name, value)}
    if "qt_ms" in found:
        rr_s = 60 / rate_bpm
        found |= {"qtc_bazett_ms": found["qt_ms"] / rr_s**0.5, "qtc_fridericia_ms": found["qt_ms"] / rr_s ** (1 / 3)}
    return found


def axes(beat: Beat, waves: Waves, leads: Sequence[str]) -> Numbers:
    """Frontal axes from the net areas in I and aVF, the latter times 2 / sqrt(3) (Novosel et al. 1999).

    Nothing where neither lead was recorded nor follows from others, or where the areas cancel.
    """
    frontal = [_lead(beat.wide, leads, name) for name in ("I", "aVF")]
    if any(lead is None for lead in frontal):
        return {}
    x = np.stack([lead for lead in frontal if lead is not None])
    numbers: Numbers = {}
    for wave, span in (("p", waves.p), ("qrs", waves.qrs), ("t", waves.t)):
        if span is None or span.off - span.on < 2:
            continue
        level = _line(x, span) if wave == "p" else _level(x, waves.qrs)
        area = (x[:, span.on : span.off] - level).mean(axis=1) * (1, 2 / np.sqrt(3))
        size = float(np.hypot(*area))
        if size >= _LEAST_AREA_MV:
            cos, sin = area / size
            degrees = float(np.degrees(np.arctan2(sin, cos)))
            numbers |= {f"{wave}_axis_deg": degrees, f"{wave}_axis_cos": cos, f"{wave}_axis_sin": sin}
    return numbers


def amplitudes(beat: Beat, waves: Waves, leads: Sequence[str]) -> Numbers:
    """Amplitudes of each lead in mV, from the level just before the QRS complex (that of P: from the line below it)."""
    qrs = waves.qrs
    x = beat.wide - _level(beat.wide, qrs)
    numbers: Numbers = {}
    st = qrs.off + round(_ST_S * FS)
    for name, lead in zip(leads, x, strict=True):
        numbers |= _qrs_amplitudes(name, lead[qrs.on : qrs.off + 1])
        if st < len(lead):
            numbers[f"st_mv_{name}"] = float(lead[st])
        if waves.t is not None:
            side = round(_T_SIDE_S * FS)
            numbers[f"t_mv_{name}"] = _largest(lead[max(waves.t.peak - side, qrs.off) : waves.t.peak + side + 1])
        if waves.p is not None and waves.p.off - waves.p.on >= 2:
            numbers[f"p_mv_{name}"] = _largest(lead[waves.p.on : waves.p.off] - _line(lead, waves.p))
    return numbers


def voltages(numbers: Numbers) -> Numbers:
    """Voltage criteria of left ventricular hypertrophy, from amplitudes."""

    def depth(lead: str) -> float:
        # A QS complex is written as Q; as a voltage it counts as S.
        return -min(numbers.get(f"q_mv_{lead}", np.nan), numbers.get(f"s_mv_{lead}", np.nan))

    lateral = [numbers[f"r_mv_{lead}"] for lead in ("V5", "V6") if f"r_mv_{lead}" in numbers]
    return {
        "sokolow_lyon_mv": depth("V1") + max(lateral, default=np.nan),
        "cornell_mv": numbers.get("r_mv_aVL", np.nan) + depth("V3"),
    }


def _qrs_amplitudes(name: str, lead: Array) -> Numbers:
    top = int(lead.argmax())
    r = max(float(lead[top]), 0.0)
    # Without a positive deflection the whole complex is a QS, written as Q.
    if r == 0:
        q, s = float(lead.min()), 0.0
    else:
        q, s = min(float(lead[: top + 1].min()), 0.0), min(float(lead[top:].min()), 0.0)
    deepest = -min(q, s)
    share = {f"rs_share_{name}": r / (r + deepest)} if r + deepest > 0 else {}
    return {f"q_mv_{name}": q, f"r_mv_{name}": r, f"s_mv_{name}": s, **share}


def _largest(x: Array) -> float:
    """The value that is farthest from zero."""
    return float(x[np.abs(x).argmax()])


def _level(x: Array, qrs: Span) -> Array:
    return np.asarray(np.median(x[..., max(qrs.on - round(_LEVEL_S * FS), 0) : qrs.on + 1], axis=-1, keepdims=True))


def _line(x: Array, span: Span) -> Array:
    """The straight line from the beginning of a wave to its end."""
    ramp = np.linspace(0, 1, span.off - span.on)
    return np.asarray(x[..., [span.on]] * (1 - ramp) + x[..., [span.off]] * ramp)


def _lead(x: Array, leads: Sequence[str], name: str) -> Array | None:
    """A limb lead, as recorded or as it follows from two others."""
    if name in leads:
        return x[list(leads).index(name)]
    weights = limb_lead_weights(name, leads)
    if weights is None:
        return None
    return np.asarray(sum(weight * x[list(leads).index(lead)] for lead, weight in weights.items()))


def _ms(begin: int, end: int) -> float:
    return (end - begin) / FS * 1000


def _plausible(name: str, value: float) -> bool:
    low, high = _PLAUSIBLE.get(name, (-np.inf, np.inf))
    return low <= value <= high
