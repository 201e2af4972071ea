"""When the heart beats: sinus variability, fibrillation, flutter, premature and paced beats.

One idea: a rhythm is a list of beat times, each with the kind of beat it is and the interval that rules its recovery.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FLUTTER_S", "Beating", "atrial_waves", "beat_times"]

FLUTTER_S = 0.205  # one turn of typical flutter, 290 per minute


@dataclass(frozen=True, slots=True)
class Beating:
    """The beats of one recording.

    Attributes:
        times_s: QRS peaks in seconds, rising.
        kinds: ``N`` normal, ``V`` ventricular premature, ``S`` supraventricular premature, ``/`` paced.
        rr_s: interval that rules repolarisation of each beat, seconds.
    """

    times_s: NDArray[np.float64]
    kinds: NDArray[np.str_]
    rr_s: NDArray[np.float64]

    def of_kind(self, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Times and ruling intervals of one kind of beat."""
        chosen = self.kinds == kind
        return self.times_s[chosen], self.rr_s[chosen]


def _sinus(rate: float, breath_hz: float, hrv: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Intervals with respiratory arrhythmia, slow (0.1 Hz) waves and a little jitter; ``hrv`` is their spread."""
    mean = 60.0 / rate
    t = np.arange(n) * mean
    breath = np.sin(2 * np.pi * (breath_hz * t + rng.random()))
    slow = np.sin(2 * np.pi * (0.095 * t + rng.random()))
    relative = hrv * (1.1 * breath + 0.6 * slow + 0.3 * rng.standard_normal(n))
    return mean * np.clip(1 + relative, 0.5, 1.7)


def _fibrillating(rate: float, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Irregularly irregular: independent intervals above the refractory period of the AV node."""
    mean, floor = 60.0 / rate, 0.32
    spread = rng.uniform(0.14, 0.28) * mean
    shape = (max(mean - floor, 0.1) / spread) ** 2
    return floor + rng.gamma(shape, max(mean - floor, 0.1) / shape, n)


def _intervals(rhythm: str, rate: float, breath_hz: float, hrv: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Successive RR intervals in seconds."""
    n = int(14 * rate / 60) + 12
    if rhythm == "AFIB":
        return _fibrillating(rate, n, rng)
    if rhythm == "AFLT":
        ratio = rng.choice([2, 3, 4], p=(0.35, 0.2, 0.45), size=n) if rng.random() < 0.4 else rng.choice([2, 3, 4])
        return np.full(n, FLUTTER_S) * ratio
    if rhythm == "PACE":
        return np.full(n, 60.0 / rate)
    return _sinus(rate, breath_hz, hrv, n, rng)


def _insert_premature(
    times: NDArray[np.float64], kinds: NDArray[np.str_], kind: str, count: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Move ``count`` beats forward; a ventricular one keeps its compensatory pause, an atrial one resets the sinus."""
    inside = np.flatnonzero((times > 1.0) & (times < 10.0) & (kinds == "N"))
    for k in rng.permutation(inside)[:count]:
        interval = times[k] - times[k - 1]
        early = interval * rng.uniform(0.22, 0.42)
        times[k] -= early
        kinds[k] = kind
        if kind == "S":
            times[k + 1 :] -= 0.8 * early
    return times


def beat_times(
    rhythm: str, rate: float, breath_hz: float, hrv: float, premature: dict[str, int], rng: np.random.Generator
) -> Beating:
    """Beats from one second before a ten-second strip to one second after it.

    Args:
        rhythm: SCP code: ``SR``, ``SBRAD``, ``STACH``, ``SARRH``, ``AFIB``, ``AFLT`` or ``PACE``.
        rate: beats per minute.
        breath_hz: breaths per second.
        hrv: relative spread of sinus intervals.
        premature: number of beats by kind, ``V`` and ``S``.
        rng: source of chance.
    """
    intervals = _intervals(rhythm, rate, breath_hz, hrv, rng)
    times = np.cumsum(intervals) - 1.6 - rng.random() * intervals[0]
    kinds = np.full(len(times), "/" if rhythm == "PACE" else "N")
    for kind, count in premature.items():
        times = _insert_premature(times, kinds, kind, count, rng)
    rr = np.diff(times, prepend=times[0] - intervals[0])
    # Repolarisation remembers: it follows a mean over past beats more than the last interval.
    ruling = 0.35 * rr + 0.65 * np.median(rr)
    inside = (times > -1.0) & (times < 11.0)
    return Beating(times[inside], kinds[inside], ruling[inside])


def atrial_waves(rhythm: str, n_samples: int, fs: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Moment (left, foot, back) in mV of fibrillating or fluttering atria, shape (3, samples)."""
    t = np.arange(n_samples) / fs
    if rhythm == "AFLT":
        phase = (t / FLUTTER_S + rng.random()) % 1.0
        saw = np.interp(phase, [0, 0.35, 0.62, 0.8, 1.0], [0.0, -1.0, 0.35, 0.6, 0.0])
        return rng.uniform(0.06, 0.16) * (np.array([[0.15], [1.0], [-0.35]]) * saw).astype(np.float32)
    moment = np.zeros((3, n_samples), np.float32)
    size = float(np.exp(rng.normal(np.log(0.035), 0.5)))
    for _ in range(3):
        rate = rng.uniform(4.5, 8.0)
        knots = rng.standard_normal(int(t[-1] * 1.5) + 3)
        wander = np.interp(t, np.linspace(0, t[-1], len(knots)), knots)
        swell = 1 + 0.5 * np.interp(t, np.linspace(0, t[-1], 14), rng.standard_normal(14))
        phase = 2 * np.pi * (rate * t + 0.25 * wander + rng.random())
        direction = rng.standard_normal(3) * (0.4, 0.5, 0.8)
        course = swell * (np.sin(phase) + 0.35 * np.sin(2 * phase + 0.6))
        moment += (size * direction[:, None] * course).astype(np.float32)
    return moment
