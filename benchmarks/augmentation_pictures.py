"""Draw what every augmentation does to one synthetic ECG: ``docs/images/augmentations.png``, before and after.

usage: python benchmarks/augmentation_pictures.py

The record is made by ``einthoven.corpora.synthetic``; no recording of a patient is shown. Grey is the record, blue what
becomes of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from einthoven.augment import Chain, Context, Step, list_augmentations
from einthoven.corpora.synthetic import example_record
from einthoven.plots.inline import PALETTE, save_figure
from einthoven.plots.layout import STYLE

N_COLUMNS, SHOWN_S = 3, 5.0
# Parameters where the defaults would hardly be seen.
PARAMETERS: dict[str, dict[str, Any]] = {
    "scale": {"sigma": 0.4},
    "multiply_sine": {"max_hz": 1.0, "max_depth": 0.8},
    "multiply_triangle": {"scale": 3.0},
    "noise": {"sigma_mv": 0.08},
    "baseline_wander": {"max_mv": 0.5},
    "power_line": {"max_mv": 0.2},
    "muscle_noise": {"max_mv": 0.15},
    "notch": {"hz": [5, 15], "quality": 1.0},
    "band_limit": {"low_hz": [0.5, 1.0], "high_hz": [15, 20]},
    "shift": {"max_fraction": 0.3},
    "time_warp": {"strength": 0.5},
    "resample_triangle": {"scale": 2.0},
    "resample_power": {"stretch": [1.2, 1.2], "power": [1.2, 1.2]},
    "star": {"min_depth": 1.0, "p_mirror": 0.0},
    "equal_segments": {"min_depth": 1.0, "p_mirror": 0.0},
    "cutout": {"max_fraction": 0.3},
    "lead_dropout": {"p_lead": 0.4},
    "lead_exchange": {"exchanges": ["LA-RA"]},
    "mixup": {"alpha": 2.0},
    "cutmix": {"alpha": 2.0},
    "rand_augment": {"n": 3, "magnitude": 7},
}
ORDER = (
    "scale", "sign_flip", "multiply_sine", "multiply_linear", "multiply_triangle", "noise", "baseline_wander",
    "power_line", "muscle_noise", "notch", "band_limit", "shift", "roll", "time_flip", "time_warp", "stretch",
    "crop_stretch", "resample_sine", "resample_linear", "resample_triangle", "resample_power", "star", "equal_segments",
    "cutout", "lead_dropout", "lead_subset", "lead_exchange", "mixup", "cutmix", "rand_augment",
)  # fmt: skip
SEEDS = range(12)


@matplotlib.rc_context(STYLE)
def draw() -> Figure:
    record = example_record("NORM", seed=1, fs=500, noise=0.3)
    partner = example_record("CLBBB", seed=5, fs=500, noise=0.3)
    n = round(SHOWN_S * record.fs)
    context = Context(float(record.fs), record.leads)
    x = torch.from_numpy(np.stack([record.signal[:, :n], partner.signal[:, :n]]))
    n_rows = -(-len(ORDER) // N_COLUMNS)
    figure = Figure(figsize=(9.0, 1.15 * n_rows + 0.2), layout="constrained")
    for ax, name in zip(figure.subplots(n_rows, N_COLUMNS).flat, ORDER, strict=True):
        drawn = ("I", "II", "V2") if name.startswith("lead_") else ("II",)
        rows = [record.leads.index(lead) for lead in drawn]
        changed = [_varied(x, name, seed, context)[0, rows].numpy() for seed in SEEDS]
        before = x[0, rows].numpy()
        # Neither the faintest nor the strongest of a dozen draws.
        typical = sorted(changed, key=lambda after: float(np.abs(after - before).mean()))[2 * len(SEEDS) // 3]
        _draw_panel(ax, name, drawn, before, typical, record.fs)
    return figure


def _varied(x: Tensor, name: str, seed: int, context: Context) -> Tensor:
    chain = Chain([Step(name, 1.0, PARAMETERS.get(name, {}))], context)
    generator = torch.Generator().manual_seed(seed)
    return chain.mix(x, torch.eye(2), None, generator)[0] if chain.mixes else chain(x, generator)


def _draw_panel(ax: Axes, name: str, drawn: tuple[str, ...], before: np.ndarray, after: np.ndarray, fs: float) -> None:
    time = np.arange(before.shape[1]) / fs
    for k, lead in enumerate(drawn):
        below = -1.6 * k
        ax.plot(time, before[k] + below, color=PALETTE["faint"], linewidth=1.6)
        ax.plot(time, after[k] + below, color=PALETTE["series-1"], linewidth=0.8)
        if len(drawn) > 1:
            ax.text(-0.06, below, lead, ha="right", va="center", fontsize=7, color=PALETTE["muted"])
    ax.set_title(name, fontsize=9, pad=3)
    ax.set(xlim=(0, time[-1]), xticks=range(int(SHOWN_S) + 1), yticks=[])
    ax.tick_params(labelbottom=False, length=0)
    ax.margins(y=0.08)
    for spine in ax.spines.values():
        spine.set_visible(False)


if __name__ == "__main__":
    assert set(ORDER) == set(list_augmentations()), "an operation has no picture"
    save_figure(draw(), Path(__file__).parents[1] / "docs" / "images" / "augmentations.png")
