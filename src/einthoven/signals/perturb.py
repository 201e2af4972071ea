"""Faults that a real recording may have, as a table of functions on whole batches in millivolts.

One idea: a record's noise depends on the seed and its own key only, so batches, subsets and levels are comparable. All
noise is synthetic, with spectra after those measured (Friesen et al., IEEE Trans. Biomed. Eng. 1990; 37: 85-98; Moody's
noise stress test records); no recorded noise is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import ConformError, nearest
from einthoven.signals.conform import conform_signals
from einthoven.signals.electrodes import electrode_weights, exchange_electrodes
from einthoven.spec import SignalSpec

__all__ = ["PERTURBATIONS", "Level", "Perturbation", "perturb", "snr_db"]

Signal = NDArray[np.float32]
Level = float | str
Generators = Sequence[np.random.Generator]
Apply = Callable[[Signal, float, Sequence[str], Level, Generators], Signal]

_MUSCLE_HZ = (5.0, 100.0)
_MOTION_HZ = (0.5, 10.0)
_WANDER_HZ = (0.05, 0.5)
_WANDER_TONES = 6
_FULL_SCALE_MV = 10.0  # of the converter whose bits are counted: -5 to 5 mV, as in the MIT-BIH recordings
_MAINS_DRIFT = 1e-3


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One fault.

    Attributes:
        name: to choose it by.
        title: in words.
        unit: of a level; empty where the level is a name.
        levels: from harmless to severe, or the cases there are.
        apply: from (records, leads, samples), rate, leads, level and one generator per record to the same shape.
    """

    name: str
    title: str
    unit: str
    levels: tuple[Level, ...]
    apply: Apply

    def label(self, level: Level) -> str:
        """The level as people read it."""
        text = f"{level:g}" if isinstance(level, float | int) else level
        return f"{text} {self.unit}".strip() if self.unit != "×" else f"× {text}"


def perturb(
    x: Signal,
    fs: float,
    leads: Sequence[str],
    name: str,
    level: Level,
    *,
    seed: int = 0,
    keys: Sequence[int] | None = None,
) -> Signal:
    """Apply one fault to a batch.

    Args:
        x: float32, shape (records, leads, samples), mV, NaN where nothing was recorded.
        fs: rate in Hz.
        leads: names of the rows.
        name: of ``PERTURBATIONS``.
        level: one of its levels, or another of the same kind.
        seed: of the noise.
        keys: a number per record that, with the seed, decides its noise; by default its position.

    Returns:
        float32, same shape; NaN stays, and is what a missing lead becomes.

    Raises:
        ConformError: no such fault, or it cannot happen to such a signal.
    """
    if name not in PERTURBATIONS:
        raise ConformError(
            f"unknown perturbation {name!r}{nearest(name, PERTURBATIONS)}; known are {', '.join(PERTURBATIONS)}"
        )
    keys = range(len(x)) if keys is None else keys
    generators = [np.random.default_rng((seed, int(key))) for key in keys]
    changed = PERTURBATIONS[name].apply(x, fs, leads, level, generators)
    return np.ascontiguousarray(changed, dtype=np.float32)


def snr_db(x: Signal, noise: Signal) -> NDArray[np.float64]:
    """Power of each record over power of its noise in decibels, shape (records,).

    Power is the variance of a lead in mV^2, averaged over the leads; what is missing (NaN) is left out.
    """
    return 10 * np.log10(_power(x) / _power(noise))


def _power(x: Signal) -> NDArray[np.float64]:
    recorded = np.isfinite(x).any(axis=-1)
    spread = np.zeros(recorded.shape)
    spread[recorded] = np.nanvar(x[recorded], axis=-1, dtype=np.float64)
    return spread.sum(axis=-1) / np.maximum(recorded.sum(axis=-1), 1)


def _with_noise(x: Signal, noise: NDArray[np.float64], level: Level) -> Signal:
    """Add noise scaled to the signal-to-noise ratio wanted; a silent record has none that could be kept."""
    wanted = _power(x) / 10 ** (_number(level) / 10)
    have = np.where(np.isnan(x), np.nan, noise).astype(np.float32)
    scale = np.sqrt(wanted / np.maximum(_power(have), 1e-30))
    return np.asarray(x + scale[:, None, None] * noise, dtype=np.float32)


def _number(level: Level) -> float:
    if isinstance(level, str):
        raise ConformError(f"a level of this perturbation is a number, got {level!r}")
    return float(level)


def _named_leads(level: Level, leads: Sequence[str]) -> list[int]:
    names = list(leads) if level == "all" else str(level).split("+")
    absent = [name for name in names if name not in leads]
    if absent:
        raise ConformError(f"no lead {', '.join(absent)} among {', '.join(leads)}")
    return [list(leads).index(name) for name in names]


def _shaped(
    generator: np.random.Generator, rows: int, n: int, fs: float, band: tuple[float, float], slope: float = 0.0
) -> NDArray[np.float64]:
    """Gaussian noise of unit variance with power as f^-slope within a band (Hz), shape (rows, samples)."""
    hz = np.fft.rfftfreq(n, 1 / fs)
    inside = (hz >= band[0]) & (hz <= band[1]) & (hz > 0)
    if not inside.any():
        raise ConformError(f"{n / fs:.3g} s at {fs:g} Hz hold no noise between {band[0]:g} and {band[1]:g} Hz")
    gain = np.zeros(len(hz))
    gain[inside] = hz[inside] ** (-slope / 2)
    spectrum = gain * (generator.standard_normal((rows, len(hz))) + 1j * generator.standard_normal((rows, len(hz))))
    noise = np.fft.irfft(spectrum, n)
    return np.asarray(noise / noise.std(axis=1, keepdims=True))


def _at_electrodes(
    x: Signal,
    leads: Sequence[str],
    generators: Generators,
    make: Callable[[np.random.Generator, int], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Noise that arises at electrodes (electrodes, samples), as the leads show it: Einthoven's law holds for it."""
    weights = electrode_weights(leads)
    noise = [weights @ make(generator, weights.shape[1]) for generator in generators]
    return np.stack(noise) if noise else np.zeros(x.shape)


def white_noise(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Independent Gaussian noise in every lead, at a signal-to-noise ratio in dB: an amplifier's."""
    noise = [generator.standard_normal(x.shape[1:]) for generator in generators]
    return _with_noise(x, np.array(noise).reshape(x.shape), level)


def muscle(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Noise with the flat spectrum of muscle activity, 5 to 100 Hz or half the rate, at every electrode; dB."""
    high = min(_MUSCLE_HZ[1], fs / 2)
    noise = _at_electrodes(
        x, leads, generators, lambda g, rows: _shaped(g, rows, x.shape[-1], fs, (_MUSCLE_HZ[0], high))
    )
    return _with_noise(x, noise, level)


def electrode_motion(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Bursts of 0.5 to 2 s at one to three electrodes, 0.5 to 10 Hz with power as 1/f^2; dB over the whole record."""

    def bursts(generator: np.random.Generator, rows: int) -> NDArray[np.float64]:
        n = x.shape[-1]
        noise = np.zeros((rows, n))
        moved = generator.choice(rows, min(rows, int(generator.integers(1, 4))), replace=False)
        carrier = _shaped(generator, len(moved), n, fs, (_MOTION_HZ[0], min(_MOTION_HZ[1], fs / 2)), slope=2.0)
        for row, wave in zip(moved, carrier, strict=True):
            width = max(2, min(n, int(generator.uniform(0.5, 2.0) * fs)))
            start = int(generator.integers(0, n - width + 1))
            noise[row, start : start + width] = wave[start : start + width] * np.hanning(width)
        return noise

    return _with_noise(x, _at_electrodes(x, leads, generators, bursts), level)


def baseline_wander(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Slow tones, 0.05 to 0.5 Hz, at every electrode; the largest excursion in any lead is the level in mV."""
    time = np.arange(x.shape[-1]) / fs

    def tones(generator: np.random.Generator, rows: int) -> NDArray[np.float64]:
        hz = generator.uniform(*_WANDER_HZ, _WANDER_TONES)
        phase = generator.uniform(0, 2 * np.pi, _WANDER_TONES)
        return generator.standard_normal((rows, _WANDER_TONES)) @ np.sin(
            2 * np.pi * hz[:, None] * time + phase[:, None]
        )

    wander = _at_electrodes(x, leads, generators, tones)
    most = np.abs(wander).max(axis=(1, 2), keepdims=True)
    return np.asarray(x + _number(level) * wander / most, dtype=np.float32)


def _mains(hz: float) -> Apply:
    def power_line(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
        """A sinus of the mains, in step at all electrodes but of different size; the largest amplitude is in mV.

        Above half the rate it appears folded (60 Hz at 40 Hz in a signal of 100 Hz), as a device without an
        anti-aliasing filter records it. The mains drift by up to 0.1 %.
        """
        time = np.arange(x.shape[-1]) / fs

        def hum(generator: np.random.Generator, rows: int) -> NDArray[np.float64]:
            rate = hz * (1 + generator.uniform(-_MAINS_DRIFT, _MAINS_DRIFT))
            sizes = generator.uniform(-1, 1, rows)
            return sizes[:, None] * np.sin(2 * np.pi * rate * time + generator.uniform(0, 2 * np.pi))

        wave = _at_electrodes(x, leads, generators, hum)
        most = np.sqrt(2) * wave.std(axis=2, keepdims=True).max(axis=1, keepdims=True)
        return np.asarray(x + _number(level) * wave / np.maximum(most, 1e-12), dtype=np.float32)

    return power_line


def missing_leads(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Leads without a sample, named by the level and joined by ``+``: NaN, which a network is given as 0."""
    changed = x.copy()
    changed[:, _named_leads(level, leads)] = np.nan
    return changed


def polarity(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Leads with the sign turned, named by the level and joined by ``+``, or ``all``."""
    changed = x.copy()
    changed[:, _named_leads(level, leads)] *= -1
    return changed


def lead_reversal(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Two exchanged cables, with what follows for all leads; see ``exchange_electrodes``."""
    return exchange_electrodes(x, leads, str(level))


def sampling_rate(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Recorded at another rate, in Hz, and resampled; the content above half of a lower rate is lost."""
    if _number(level) == fs:
        raise ConformError(f"the signal already has {fs:g} Hz")
    other = conform_signals(x, leads, fs, SignalSpec(tuple(leads), fs=_number(level)))
    again = conform_signals(other, leads, _number(level), SignalSpec(tuple(leads), fs=fs))[..., : x.shape[-1]]
    return np.pad(again, [(0, 0), (0, 0), (0, x.shape[-1] - again.shape[-1])], mode="edge")


def gain(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """A wrong factor for the whole record: another calibration, or another unit (1000: microvolts as millivolts)."""
    return x * np.float32(_number(level))


def time_shift(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """Begun later by some seconds: the start is the first value held, the end is lost."""
    n = round(_number(level) * fs)
    return np.concatenate([np.repeat(x[..., :1], n, axis=-1), x], axis=-1)[..., : x.shape[-1]]


def clipping(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """An amplifier that saturates at plus and minus some mV."""
    return np.clip(x, -_number(level), _number(level))


def quantisation(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """A converter of so many bits over -5 to 5 mV: 39 microvolts a step with 8 bits, 2.4 with 12."""
    steps = 2 ** int(_number(level))
    size = np.float32(_FULL_SCALE_MV / steps)
    return np.clip(np.rint(x / size), -steps // 2, steps // 2 - 1) * size


def device_filter(x: Signal, fs: float, leads: Sequence[str], level: Level, generators: Generators) -> Signal:
    """A zero-phase band-pass of order 2, edges in Hz joined by a hyphen: a monitor's is 0.5-40 Hz."""
    low, high = (float(edge) for edge in str(level).split("-"))
    return conform_signals(x, leads, fs, SignalSpec(tuple(leads), fs=fs, band_hz=(low, high)))


_REVERSALS = ("LA-RA", "LA-LL", "RA-LL", "RA-RL", "V1-V2", "V2-V3", "V3-V4", "V4-V5", "V5-V6", "V1-V3")
_ALL = (
    Perturbation("white_noise", "white noise", "dB", (24.0, 18.0, 12.0, 6.0, 0.0), white_noise),
    Perturbation("muscle", "muscle noise", "dB", (24.0, 12.0, 6.0, 0.0), muscle),
    Perturbation("electrode_motion", "electrode motion", "dB", (12.0, 6.0, 0.0), electrode_motion),
    Perturbation("baseline_wander", "baseline wander", "mV", (0.2, 0.5, 1.0), baseline_wander),
    Perturbation("power_line_50", "power line 50 Hz", "mV", (0.1, 0.3), _mains(50.0)),
    Perturbation("power_line_60", "power line 60 Hz", "mV", (0.1, 0.3), _mains(60.0)),
    Perturbation("missing_leads", "missing leads", "", ("V2", "V5", "V2+V5", "aVR", "II"), missing_leads),
    Perturbation("lead_reversal", "exchanged cables", "", _REVERSALS, lead_reversal),
    Perturbation("polarity", "turned sign", "", ("V1", "all"), polarity),
    Perturbation("sampling_rate", "recorded at", "Hz", (500.0, 250.0, 50.0), sampling_rate),
    Perturbation("device_filter", "band-pass", "Hz", ("0.05-40", "0.5-40", "0.5-25"), device_filter),
    Perturbation("quantisation", "converter", "bits", (12.0, 8.0), quantisation),
    Perturbation("clipping", "clipped at", "mV", (2.0, 1.0, 0.5), clipping),
    Perturbation("time_shift", "begun later", "s", (0.5, 2.0), time_shift),
    Perturbation("gain", "gain", "×", (0.5, 2.0, 10.0, 1000.0, 0.001), gain),
)
PERTURBATIONS: dict[str, Perturbation] = {each.name: each for each in _ALL}
