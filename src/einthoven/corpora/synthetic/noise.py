"""What electrodes pick up besides the heart: muscle, mains, motion and drifting skin potentials.

One idea: noise arises at nine electrodes, so the limb leads keep Einthoven's law however noisy they are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["NoiseLevels", "draw_levels", "electrode_noise", "electrodes_to_leads"]


class NoiseLevels(NamedTuple):
    """Standard deviations in mV per electrode (RA, LA, LL, V1-V6) unless said otherwise.

    Attributes:
        muscle: broadband, shape (9,).
        wander: below 0.7 Hz, shape (9,).
        mains: amplitude of 50 Hz, shape (9,).
        jerks: expected number of electrode movements in the strip.
    """

    muscle: NDArray[np.float64]
    wander: NDArray[np.float64]
    mains: NDArray[np.float64]
    jerks: float


def draw_levels(rng: np.random.Generator) -> NoiseLevels:
    """Noise of one recording; the median is that of a resting ECG in hospital, the tail that of a restless patient."""
    limb_muscle = np.exp(rng.normal(np.log(0.0085), 0.60)) * np.exp(rng.normal(0, 0.3, 3)) * (0.8, 1.2, 0.6)
    chest_muscle = np.exp(rng.normal(np.log(0.0022), 0.50)) * np.exp(rng.normal(0, 0.25, 6))
    wander = np.exp(rng.normal(np.log(0.016), 1.0)) * np.exp(rng.normal(0, 0.35, 9)) * ([0.8] * 3 + [1.3] * 6)
    mains = np.exp(rng.normal(np.log(0.0015), 0.9)) * rng.uniform(0.2, 1.0, 9)
    return NoiseLevels(np.concatenate([limb_muscle, chest_muscle]), wander, mains, 0.25)


def _wander(n_samples: int, fs: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Nine drifting baselines of unit spread: breathing-rate and slower sines with a share in common."""
    t = np.arange(n_samples) / fs
    rates = rng.uniform(0.05, 0.65, 6)
    waves = np.sin(2 * np.pi * (rates[:, None] * t + rng.random((6, 1))))
    mix = rng.standard_normal((9, 6)) * (0.25 / (0.25 + rates))
    return np.asarray(mix @ waves) / np.sqrt(0.5 * (mix**2).sum(1, keepdims=True))


def _muscle(n_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Nine bursts of unit spread: white noise whose slow part is taken off, swelling and fading within the strip."""
    white = rng.standard_normal((9, n_samples), dtype=np.float32)
    white[:, 2:] = 0.5 * (white[:, 2:] + white[:, 1:-1] * 1.4 + 0.6 * white[:, :-2])
    knots = 1 + 0.35 * rng.standard_normal(8)
    swell = np.interp(np.arange(n_samples), np.linspace(0, n_samples, 8), np.abs(knots))
    return white * swell.astype(np.float32)


def electrode_noise(levels: NoiseLevels, n_samples: int, fs: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of the nine electrodes RA, LA, LL, V1-V6 in mV, shape (9, samples)."""
    noise = _muscle(n_samples, rng) * levels.muscle[:, None].astype(np.float32)
    noise += (_wander(n_samples, fs, rng) * levels.wander[:, None]).astype(np.float32)
    hum = np.sin(2 * np.pi * (50.0 * np.arange(n_samples) / fs + rng.random())).astype(np.float32)
    noise += levels.mains[:, None].astype(np.float32) * hum
    for _ in range(rng.poisson(levels.jerks)):
        start, electrode = int(rng.integers(n_samples)), int(rng.integers(9))
        since = np.arange(n_samples - start) / fs
        size = rng.normal(0, 0.12)
        noise[electrode, start:] += (size * (1 - np.exp(-since / 0.03)) * np.exp(-since / 0.6)).astype(np.float32)
    return noise


def electrodes_to_leads(potentials: NDArray[np.float32]) -> NDArray[np.float32]:
    """Leads I, II, V1-V6 from the potentials of RA, LA, LL, V1-V6: V leads are against Wilson's central terminal."""
    ra, la, ll = potentials[:3]
    return np.concatenate([[la - ra, ll - ra], potentials[3:] - (ra + la + ll) / 3])
