"""Every augmentation as a batch against NumPy one sample at a time, and the default chain's share of a training step.

usage: python benchmarks/augmentation.py [REPEATS=15]

128 records of 12 leads and 1,000 samples at 250 Hz, one thread. The peers are written as one writes them first: a
function of one record (12, 1000), called in a loop, the results stacked. Both take turns; figures are medians of the
thread's own time, which other processes disturb less than wall time. The share is of a training step of
``resnet1d_wang`` with a stem stride of 2 on 128 x 12 x 250: forward, backward and AdamW.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy import signal

from _timing import report
from einthoven.augment import DEFAULT_STEPS, Chain, Context, Step, list_augmentations
from einthoven.leads import TWELVE_LEADS
from einthoven.models import create_model
from einthoven.signals.electrodes import electrode_weights, exchange_weights

FS, N_LEADS, N = 250.0, 12, 1000
T = np.arange(N) / FS
I = np.arange(N)  # noqa: E741
ELECTRODES = electrode_weights(TWELVE_LEADS)
EXCHANGES = [exchange_weights(TWELVE_LEADS, name).astype(np.float32) for name in ("LA-RA", "RA-LL", "V1-V2", "V2-V3")]
Record = np.ndarray
Rng = np.random.Generator


def _read(x: Record, position: np.ndarray) -> Record:
    return np.stack([np.interp(position, I, lead) for lead in x]).astype(np.float32)


def scale(x: Record, rng: Rng) -> Record:
    return x * np.float32(np.exp(rng.normal(0, 0.1)))


def sign_flip(x: Record, rng: Rng) -> Record:
    return -x


def multiply_sine(x: Record, rng: Rng) -> Record:
    rows = [lead * (1 + rng.uniform(0, 0.3) * np.sin(2 * np.pi * rng.uniform(0, 2) * T)) for lead in x]
    return np.stack(rows).astype(np.float32)


def multiply_linear(x: Record, rng: Rng) -> Record:
    return np.stack([lead * np.linspace(*rng.uniform(1, 2.5, 2), N) for lead in x]).astype(np.float32)


def multiply_triangle(x: Record, rng: Rng) -> Record:
    rows = []
    for lead in x:
        turn, peak = rng.integers(2, N - 1), rng.uniform(0.5, 2)
        rows.append(lead * np.concatenate([np.linspace(1, peak, turn), np.linspace(peak, 1, N - turn)]))
    return np.stack(rows).astype(np.float32)


def noise(x: Record, rng: Rng) -> Record:
    return (x + rng.uniform(0, 0.02) * rng.standard_normal(x.shape)).astype(np.float32)


def baseline_wander(x: Record, rng: Rng) -> Record:
    hz, phase = rng.uniform(0.05, 0.5, 3), rng.uniform(0, 2 * np.pi, 3)
    sizes = ELECTRODES @ rng.standard_normal((9, 3))
    sizes *= rng.uniform(0, 0.2) / np.abs(sizes).sum(1).max()
    return (x + sizes @ np.sin(2 * np.pi * hz[:, None] * T + phase[:, None])).astype(np.float32)


def power_line(x: Record, rng: Rng) -> Record:
    sizes = ELECTRODES @ rng.uniform(-1, 1, 9)
    sizes *= rng.uniform(0, 0.1) / np.abs(sizes).max()
    begin, end = rng.uniform(-0.001, 0.001, 2)
    cycles = rng.choice([50.0, 60.0]) * T * (1 + begin + (end - begin) / 2 * T / T[-1])
    return (x + sizes[:, None] * np.sin(2 * np.pi * cycles + rng.uniform(0, 2 * np.pi))).astype(np.float32)


def muscle_noise(x: Record, rng: Rng) -> Record:
    hz = np.fft.rfftfreq(N, 1 / FS)
    spectrum = np.fft.rfft(rng.standard_normal((9, N)))
    spectrum[:, (hz < 5) | (hz > 100)] = 0
    activity = np.fft.irfft(spectrum, N)
    added = ELECTRODES @ (activity / activity.std())
    return (x + rng.uniform(0, 0.05) * added / np.linalg.norm(ELECTRODES, axis=1).max()).astype(np.float32)


def notch(x: Record, rng: Rng) -> Record:
    b, a = signal.iirnotch(rng.uniform(1, 50), 2.0, fs=FS)
    return signal.filtfilt(b, a, x, padtype="even", padlen=250).astype(np.float32)


def band_limit(x: Record, rng: Rng) -> Record:
    sos = signal.butter(2, (rng.uniform(0.05, 1), rng.uniform(25, 45)), "bandpass", fs=FS, output="sos")
    return signal.sosfiltfilt(sos, x, padtype="even", padlen=250).astype(np.float32)


def shift(x: Record, rng: Rng) -> Record:
    by = rng.integers(-100, 101)
    return x[:, np.clip(I - by, 0, N - 1)]


def roll(x: Record, rng: Rng) -> Record:
    return np.roll(x, rng.integers(-N, N + 1), axis=1)


def time_flip(x: Record, rng: Rng) -> Record:
    return x[:, ::-1]


def time_warp(x: Record, rng: Rng) -> Record:
    sizes = rng.standard_normal(4)
    sizes *= rng.uniform(0, 0.2) / np.abs(sizes).sum()
    u = np.linspace(0, 1, N)
    k = np.pi * np.arange(1, 5)
    return _read(x, (N - 1) * (u + (sizes / k) @ np.sin(k[:, None] * u)))


def crop_stretch(x: Record, rng: Rng) -> Record:
    share = rng.uniform(0.6, 1)
    start = rng.uniform(0, 1 - share)
    return _read(x, (N - 1) * np.linspace(start, start + share, N))


def stretch(x: Record, rng: Rng) -> Record:
    return _read(x, I / np.exp(rng.uniform(-np.log(1.5), np.log(1.5))))


def resample_sine(x: Record, rng: Rng) -> Record:
    return _read(x, I + FS * rng.uniform(0, 0.5) * np.sin(2 * np.pi * rng.uniform(0, 0.3) * T))


def resample_linear(x: Record, rng: Rng) -> Record:
    position = I * np.linspace(1, rng.uniform(1, 2), N)
    position *= (N - 1) / position[-1]
    return _read(x, position) if rng.random() < 0.5 else _read(x[:, ::-1], position)[:, ::-1]


def resample_triangle(x: Record, rng: Rng) -> Record:
    turn = int(rng.uniform(0.1, 0.9) * N)
    peak = np.exp(rng.uniform(-np.log(1.5), np.log(1.5)))
    reached = np.cumsum(np.concatenate([np.linspace(1, peak, turn), np.linspace(peak, 1, N - turn)]))
    return _read(x, (N - 1) * (reached - reached[0]) / (reached[-1] - reached[0]))


def resample_power(x: Record, rng: Rng) -> Record:
    u = np.linspace(0, 1, N) / rng.uniform(1, 1.2)
    return _read(x, (N - 1) * (1 - (1 - u) ** rng.uniform(1, 1.2)))


def _curve(v: np.ndarray, rng: Rng) -> np.ndarray:
    y = np.sin(5 + 2 * v)
    c = 1 + rng.uniform() * (0.8 + 0.5 * (y - y.min()) / np.ptp(y) - 1)
    return c / c.mean()


def star(x: Record, rng: Rng) -> Record:
    u = np.linspace(0, 1, N)
    c = _curve(u, rng)
    c = c if rng.random() < 0.5 else c[::-1]
    reached = np.cumsum(c)
    v = np.interp(u, (reached - reached[0]) / (reached[-1] - reached[0]), u)
    return _read(x, (N - 1) * v) * np.interp(v, u, c).astype(np.float32)


def equal_segments(x: Record, rng: Rng) -> Record:
    energy = np.convolve(np.square(np.diff(x, axis=1)).sum(0), np.ones(25) / 25, "same")
    peaks, _ = signal.find_peaks(energy, height=0.3 * energy.max(), distance=62)
    if len(peaks) < 3:
        return x
    c = _curve(np.arange(len(peaks) - 1) / (len(peaks) - 1), rng)
    c = c if rng.random() < 0.5 else c[::-1]
    new = peaks[0] + np.concatenate([[0], np.cumsum(c)]) * np.diff(peaks).mean()
    position = np.interp(I, np.r_[0, new, N - 1], np.r_[0, peaks, N - 1])
    gain = np.interp(I, new, np.r_[c[0], (c[1:] + c[:-1]) / 2, c[-1]])
    return _read(x, position) * gain.astype(np.float32)


def lead_dropout(x: Record, rng: Rng) -> Record:
    return x * (rng.random((N_LEADS, 1)) >= 0.1).astype(np.float32)


def lead_subset(x: Record, rng: Rng) -> Record:
    lost = rng.permutation(N_LEADS)[rng.integers(1, N_LEADS + 1) :]
    x = x.copy()
    x[lost] = 0
    return x


def lead_exchange(x: Record, rng: Rng) -> Record:
    return EXCHANGES[rng.integers(len(EXCHANGES))] @ x


def cutout(x: Record, rng: Rng) -> Record:
    width = int(rng.uniform(0, 0.2) * N)
    start = rng.integers(0, N - width + 1)
    x = x.copy()
    x[:, start : start + width] = 0
    return x


_POLICY = (baseline_wander, crop_stretch, cutout, lead_dropout, multiply_sine, multiply_triangle, muscle_noise, noise,
           resample_sine, roll, scale, time_warp)  # fmt: skip


def rand_augment(x: Record, rng: Rng) -> Record:
    for k in rng.integers(0, len(_POLICY), 2):
        x = _POLICY[k](x, rng)
    return x


def mixup(x: Record, partner: Record, rng: Rng) -> Record:
    m = np.float32(rng.beta(0.3, 0.3))
    return m * x + (1 - m) * partner


def cutmix(x: Record, partner: Record, rng: Rng) -> Record:
    width = round((1 - rng.beta(1, 1)) * N)
    start = rng.integers(0, N - width + 1)
    x = x.copy()
    x[:, start : start + width] = partner[:, start : start + width]
    return x


def _beating(n: int) -> np.ndarray:
    """Records with beats, for what looks for them, and noise."""
    rng = np.random.default_rng(0)
    x = 0.05 * rng.standard_normal((n, N_LEADS, N))
    for row in x:
        for place in np.cumsum(rng.integers(150, 250, 7)):
            row += np.linspace(-0.5, 1.5, N_LEADS)[:, None] * np.exp(-(((I - place) / 3.0) ** 2) / 2)
    return x.astype(np.float32)


def main(repeats: int) -> None:
    torch.set_num_threads(1)
    records = _beating(128)
    batch, targets = torch.from_numpy(records), torch.zeros(128, 5)
    context, generator, rng = Context(FS, TWELVE_LEADS), torch.Generator().manual_seed(0), np.random.default_rng(0)
    figures: dict[str, float | int | str] = {}
    for name in list_augmentations():
        chain, one = Chain([Step(name)], context), globals()[name]
        if chain.mixes:
            ours = partial(chain.mix, batch, targets, None, generator)
            theirs = partial(_loop_of_pairs, one, records, rng)
        else:
            ours = partial(chain, batch, generator)
            theirs = partial(_loop, one, records, rng)
        figures |= _compared(name, ours, theirs, repeats)
    ratios = [value for key, value in figures.items() if key.endswith("ratio")]
    report("augmentation", {**figures, "smallest ratio": min(ratios), **_share(repeats)})


def _loop(one: Callable[[Record, Rng], Record], records: np.ndarray, rng: Rng) -> np.ndarray:
    return np.stack([one(x, rng) for x in records])


def _loop_of_pairs(one: Callable[[Record, Record, Rng], Record], records: np.ndarray, rng: Rng) -> np.ndarray:
    partners = rng.permutation(len(records))
    return np.stack([one(x, records[k], rng) for x, k in zip(records, partners, strict=True)])


def _compared(name: str, ours: Callable[[], object], theirs: Callable[[], object], repeats: int) -> dict[str, float]:
    """Median milliseconds of both, taking turns, and the median of the ratios of neighbouring runs."""
    times: dict[str, list[float]] = {"batch, ms": [], "loop, ms": []}
    for k in range(repeats + 2):
        for (_, found), work in zip(times.items(), (ours, theirs), strict=True):
            began = time.thread_time()
            work()
            if k >= 2:
                found.append(1e3 * (time.thread_time() - began))
    figures = {f"{name}: {key}": statistics.median(found) for key, found in times.items()}
    figures[f"{name}: ratio"] = statistics.median(b / a for a, b in zip(*times.values(), strict=True))
    return figures


def _share(repeats: int) -> dict[str, float]:
    """What the default chain costs of a training step."""
    torch.manual_seed(0)
    x, y = torch.randn(128, N_LEADS, 250), (torch.rand(128, 5) < 0.3).float()
    model = create_model("resnet1d_wang", n_leads=N_LEADS, n_classes=5, stem_stride=2).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    chain, generator = Chain(DEFAULT_STEPS, Context(100.0, TWELVE_LEADS)), torch.Generator().manual_seed(0)

    def step() -> None:
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    figures = _compared("", partial(chain, x, generator), step, 2 * repeats)
    return {
        "default chain, ms": figures[": batch, ms"],
        "training step, ms": figures[": loop, ms"],
        "share of the step, %": 100 / figures[": ratio"],
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
