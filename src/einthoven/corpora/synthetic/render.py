"""From a patient's visit to millivolts in twelve leads.

One idea: a strip is (what each wave writes into each lead) times (when each wave is active), swayed by breathing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from einthoven.corpora.synthetic.epidemiology import Visit
from einthoven.corpora.synthetic.heart import FS, Heart, Torso, lead_weights, normal_heart, time_courses, wave_index
from einthoven.corpora.synthetic.noise import draw_levels, electrode_noise, electrodes_to_leads
from einthoven.corpora.synthetic.pathologies import apply_statement
from einthoven.corpora.synthetic.population import Patient, diseased_heart
from einthoven.corpora.synthetic.rhythm import Beating, atrial_waves, beat_times
from einthoven.leads import TWELVE_LEADS, limb_lead_weights

__all__ = ["DURATION_S", "decimate", "render_visit"]

DURATION_S = 10
_MARGIN = FS // 2
_BLOCK = 500  # samples; products this small keep BLAS on one thread, which is faster than waking others
_TO_TWELVE = np.zeros((12, 8))
for _row, _lead in enumerate(TWELVE_LEADS):
    _weights = limb_lead_weights(_lead, ["I", "II"]) if _row in (2, 3, 4, 5) else {_lead: 1.0}
    for _name, _weight in (_weights or {}).items():
        _TO_TWELVE[_row, ["I", "II", *TWELVE_LEADS[6:]].index(_name)] = _weight


def _ectopic(heart: Heart, rng: np.random.Generator) -> Heart:
    """A beat born in one ventricle: slow, wide, of its own direction, with the opposite recovery."""
    beat = heart.copy()
    for name in ("septal", "rv_late", "delta", "notch"):
        beat.moment[wave_index(name)] = 0.0
    size = float(np.abs(heart.moment[wave_index("QRS")]).sum()) * rng.uniform(0.9, 1.5)
    start = rng.standard_normal(3) * (1.0, 1.1, 0.9)
    start /= np.linalg.norm(start)
    turn = start + 0.3 * rng.standard_normal(3)
    scale = size / 4 / np.linalg.norm(turn)
    for name, part in (("anterior", 0.45), ("lateral", 1.0), ("posterior", 0.8), ("terminal", 0.45)):
        beat.moment[wave_index(name)] = part * scale * (start if part < 0.5 else turn)
    beat.widen("QRS", rng.uniform(1.9, 2.4))
    area = beat.qrs_area()
    for name, share in (("st_early", 0.07), ("st_late", 0.15), ("t_rise", 0.40), ("t_peak", 0.40)):
        (row,) = wave_index(name)
        beat.moment[row] = -share * area / (1.25 * (beat.rise[row] + beat.fall[row]))
    return beat


def _paced(heart: Heart, rng: np.random.Generator) -> Heart:
    """Stimulated from the apex of the right ventricle: left bundle branch block with a superior axis."""
    beat = heart.copy()
    apply_statement(beat, "CLBBB", float(rng.uniform(0.9, 1.2)), rng)
    for name, foot in (("anterior", -0.4), ("lateral", -0.8), ("posterior", -0.9), ("terminal", -0.4)):
        beat.moment[wave_index(name)] += (0.0, foot, 0.0)
    for name in ("t_rise", "t_peak"):
        beat.moment[wave_index(name)] += (0.0, 0.3, 0.0)
    return beat


def _premature_atrial(heart: Heart, rng: np.random.Generator) -> Heart:
    beat = heart.copy()
    beat.moment[wave_index("P")] = 0.09 * rng.standard_normal((2, 3)) * (0.6, 1.0, 0.6)
    beat.pr_ms = float(heart.pr_ms * rng.uniform(0.8, 1.2))
    return beat


def _write(signal: NDArray[np.float32], heart: Heart, torso: Torso, courses: NDArray[np.float32],
           breath: NDArray[np.float32], depth: NDArray[np.float64]) -> None:  # fmt: skip
    """Add the courses of one kind of beat; breathing turns the heart and changes the distance of the electrodes."""
    weights = lead_weights(heart, torso)
    swayed = lead_weights(heart, torso, roll_deg=depth[0], pitch_deg=depth[1]) * (1 + depth[2]) - weights
    signal += _product(weights.T, courses)
    signal += breath * _product(swayed.T, courses)


def _product(weights: NDArray[np.float64], courses: NDArray[np.float32]) -> NDArray[np.float32]:
    """``weights @ courses`` in blocks of time."""
    rows, n_samples = courses.shape
    blocks = courses.reshape(rows, n_samples // _BLOCK, _BLOCK).transpose(1, 0, 2)
    return (weights.astype(np.float32) @ blocks).transpose(1, 0, 2).reshape(len(weights), n_samples)


def _spikes(beating: Beating, n_samples: int, torso: Torso, rng: np.random.Generator) -> NDArray[np.float32]:
    """Pacemaker spikes, 2 ms long, 50 ms before the peak of QRS, in leads I, II, V1-V6."""
    signal = np.zeros((8, n_samples), np.float32)
    at = np.round((beating.times_s - 0.050) * FS).astype(int) + _MARGIN
    at = at[(at >= 0) & (at < n_samples)]
    size = torso.gain * (0.10, 0.55, -0.15, -0.25, -0.2, 0.1, 0.2, 0.2) * rng.uniform(0.4, 3.0)
    signal[:, at] = size[:, None]
    return signal


def _hearts(patient: Patient, visit: Visit, rng: np.random.Generator) -> dict[str, Heart]:
    heart = diseased_heart(patient, visit, rng)
    kinds = {"N": heart}
    if "V" in visit.premature:
        kinds["V"] = _ectopic(heart, rng)
    if "S" in visit.premature:
        kinds["S"] = _premature_atrial(heart, rng)
    return {"/": _paced(heart, rng)} if visit.rhythm == "PACE" else kinds


def render_visit(patient: Patient, visit: Visit, rng: np.random.Generator, noise: float = 1.0) -> NDArray[np.float32]:
    """Ten seconds of the twelve leads at 500 Hz, in mV, shape (12, 5000 + 2 * 250) with half a second on both sides.

    Args:
        patient: whose heart and chest.
        visit: what the heart has and how it beats.
        rng: source of chance.
        noise: factor on everything that is not the heart.
    """
    n_samples = DURATION_S * FS + 2 * _MARGIN
    breath_hz = float(rng.uniform(0.18, 0.35))
    beating = beat_times(visit.rhythm, visit.rate, breath_hz, visit.hrv, visit.premature, rng)
    t = np.arange(n_samples) / FS - _MARGIN / FS
    breath = np.sin(2 * np.pi * (breath_hz * t + rng.random())).astype(np.float32)
    depth = rng.normal(0, (1.5, 1.5, 0.025))
    fibrillates = visit.rhythm in ("AFIB", "AFLT")
    signal = np.zeros((8, n_samples), np.float32)
    for kind, heart in _hearts(patient, visit, rng).items():
        times, ruling = beating.of_kind(kind)
        atria = kind in "NS" and not fibrillates
        courses = time_courses(heart, times + _MARGIN / FS, ruling, n_samples, rng, atria)
        _write(signal, heart, patient.torso, courses, breath, depth)
    if fibrillates:
        signal += _product(_atrial_leads(patient.torso), atrial_waves(visit.rhythm, n_samples, FS, rng))
    if visit.rhythm == "PACE":
        signal += _spikes(beating, n_samples, patient.torso, rng)
    if noise:
        signal += noise * electrodes_to_leads(electrode_noise(draw_levels(rng), n_samples, FS, rng))
    return _product(_TO_TWELVE, signal)


def _atrial_leads(torso: Torso) -> NDArray[np.float64]:
    """Lead vectors of a source in the right atrium, shape (8, 3)."""
    unit = normal_heart()
    row = wave_index("ra")[0]
    columns = []
    for axis in np.eye(3):
        unit.moment[row] = torso.rotation().T @ axis
        columns.append(lead_weights(unit, torso)[row])
    return np.array(columns).T


def decimate(signal: NDArray[np.float32], fs: int) -> NDArray[np.float32]:
    """Cut the margins off a rendered strip and bring it to ``fs``, which divides 500.

    The low-pass is a Hamming-windowed sinc of 0.8 of the new Nyquist frequency, applied at the kept samples only.
    """
    step = FS // fs
    if step == 1:
        return signal[:, _MARGIN:-_MARGIN]
    half = 12 * step
    k = np.arange(-half, half + 1)
    taps = np.sinc(0.8 * k / step) * np.hamming(2 * half + 1)
    taps = (taps / taps.sum()).astype(np.float32)
    n_out = DURATION_S * fs
    frames = np.lib.stride_tricks.sliding_window_view(signal, 2 * half + 1, axis=1)
    return np.ascontiguousarray(frames[:, _MARGIN - half :: step][:, :n_out] @ taps)
