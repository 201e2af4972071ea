"""Signals that are no 12-lead ECG: made from nothing, or from an ECG that is put together wrongly.

One idea: what must be told from an ECG is generated in the ECG's own amplitude and form, so that size gives nothing
away. All are synthetic; none stands for a recorded signal of its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from einthoven.errors import ConformError, nearest

__all__ = ["FOREIGN", "Foreign", "foreign_signals"]

Signal = NDArray[np.float32]
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Foreign:
    """A kind of signal: its name, what it is in words, and how it is made from (leads, samples), rate and generator."""

    name: str
    title: str
    make: Callable[[Signal, float, np.random.Generator], Array]


def foreign_signals(x: Signal, fs: float, name: str, *, seed: int = 0, keys: list[int] | None = None) -> Signal:
    """Make one foreign signal for each ECG, with the ECG's standard deviation over all its leads.

    Args:
        x: ECGs, shape (records, leads, samples), mV, NaN where nothing was recorded.
        fs: rate in Hz.
        name: of ``FOREIGN``.
        seed: of the generators.
        keys: a number per record that, with the seed, decides its signal; by default its position.

    Raises:
        ConformError: no such kind.
    """
    if name not in FOREIGN:
        raise ConformError(f"unknown foreign signal {name!r}{nearest(name, FOREIGN)}; known are {', '.join(FOREIGN)}")
    make, made = FOREIGN[name].make, np.empty_like(x)
    for k, ecg in enumerate(np.nan_to_num(x)):
        generator = np.random.default_rng((seed, keys[k] if keys else k))
        signal = make(ecg, fs, generator)
        signal = signal - signal.mean(axis=1, keepdims=True)
        made[k] = signal * (ecg.std() / max(float(signal.std()), 1e-12))
    return made


def _white(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
    return generator.standard_normal(ecg.shape)


def _walk(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
    return np.asarray(np.cumsum(generator.standard_normal(ecg.shape), axis=1))


def _pink(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
    """Power as 1/f with a 10 Hz rhythm, the leads partly alike, as in an EEG."""
    n = ecg.shape[1]
    hz = np.fft.rfftfreq(n, 1 / fs)
    gain = np.zeros(len(hz))
    gain[1:] = hz[1:] ** -0.5 + 0.6 * np.exp(-0.5 * ((hz[1:] - 10) / 1.0) ** 2)
    shape = (len(ecg) + 1, len(hz))
    waves = np.fft.irfft(gain * (generator.standard_normal(shape) + 1j * generator.standard_normal(shape)), n)
    return np.asarray(waves[1:] + waves[:1])


def _tone(square: bool) -> Callable[[Signal, float, np.random.Generator], Array]:
    def make(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
        time = np.arange(ecg.shape[1]) / fs
        wave = np.sin(2 * np.pi * generator.uniform(1.0, 10.0) * time + generator.uniform(0, 2 * np.pi))
        return np.asarray(_gains(ecg, generator) * (np.sign(wave) if square else wave))

    return make


def _gains(ecg: Signal, generator: np.random.Generator) -> Array:
    return np.asarray(generator.uniform(0.5, 1.5, (len(ecg), 1)) * generator.choice([-1, 1], (len(ecg), 1)))


def _pulse(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
    """A pulse wave with its dicrotic notch at 50 to 110 beats a minute, breathing in its height."""
    time = np.arange(ecg.shape[1]) / fs
    phase = (time * generator.uniform(0.83, 1.83) + generator.random()) % 1
    beat = np.exp(-0.5 * ((phase - 0.2) / 0.09) ** 2) + 0.4 * np.exp(-0.5 * ((phase - 0.5) / 0.1) ** 2)
    return np.asarray(_gains(ecg, generator) * beat * (1 + 0.15 * np.sin(2 * np.pi * 0.25 * time)))


def _breath(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
    time = np.arange(ecg.shape[1]) / fs
    phase = 2 * np.pi * (generator.uniform(0.15, 0.4) * time + generator.random())
    noise = 0.03 * generator.standard_normal(ecg.shape)
    return np.asarray(_gains(ecg, generator) * (np.sin(phase) + 0.2 * np.sin(2 * phase)) + noise)


def _copied(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
    return np.repeat(ecg[min(1, len(ecg) - 1)][None].astype(np.float64), len(ecg), axis=0)


def _shuffled(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
    return ecg[generator.permutation(len(ecg))].astype(np.float64)


def _reversed(ecg: Signal, fs: float, generator: np.random.Generator) -> Array:
    return ecg[:, ::-1].astype(np.float64)


_ALL = (
    Foreign("white", "white noise alone", _white),
    Foreign("random_walk", "random walk", _walk),
    Foreign("sinus", "sinus of 1 to 10 Hz", _tone(False)),
    Foreign("square", "square wave of 1 to 10 Hz", _tone(True)),
    Foreign("pulse", "pulse wave (like PPG)", _pulse),
    Foreign("breath", "breathing", _breath),
    Foreign("pink", "1/f with a 10 Hz rhythm (like EEG)", _pink),
    Foreign("one_lead", "lead II in every lead", _copied),
    Foreign("shuffled", "leads in random order", _shuffled),
    Foreign("reversed", "time reversed", _reversed),
)
FOREIGN: dict[str, Foreign] = {each.name: each for each in _ALL}
