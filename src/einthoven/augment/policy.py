"""Which augmentations together: RandAugment's table of magnitudes, and the default chain for twelve leads."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from einthoven.augment._chain import Context, Operation, Step, bind, register_augmentation
from einthoven.augment._parameters import Count, Magnitude, Names
from einthoven.errors import RecipeError, nearest

__all__ = ["DEFAULT_STEPS", "MAGNITUDES", "rand_augment"]

# Parameters at magnitude 0, which changes next to nothing, and at 10. Those without a parameter are as they are.
MAGNITUDES: dict[str, dict[str, tuple[float, float]]] = {
    "band_limit": {},
    "baseline_wander": {"max_mv": (0.0, 0.5)},
    "crop_stretch": {"min_fraction": (1.0, 0.4)},
    "cutout": {"max_fraction": (0.0, 0.4)},
    "equal_segments": {"low": (0.99999, 0.6), "high": (1.00001, 1.5)},
    "lead_dropout": {"p_lead": (0.0, 0.5)},
    "lead_exchange": {},
    "multiply_linear": {"scale": (1.0, 4.0)},
    "multiply_sine": {"max_depth": (0.0, 0.8)},
    "multiply_triangle": {"scale": (1.0, 4.0)},
    "muscle_noise": {"max_mv": (0.0, 0.1)},
    "noise": {"sigma_mv": (0.0, 0.1)},
    "notch": {"quality": (20.0, 1.0)},
    "power_line": {"max_mv": (0.0, 0.2)},
    "resample_linear": {"scale": (1.0, 2.0)},
    "resample_power": {},
    "resample_sine": {"max_s": (0.0, 0.5)},
    "resample_triangle": {"scale": (1.0, 2.0)},
    "roll": {"max_fraction": (0.0, 1.0)},
    "scale": {"sigma": (0.0, 0.4), "lead_sigma": (0.0, 0.2)},
    "shift": {"max_fraction": (0.0, 0.5)},
    "star": {"low": (0.99999, 0.6), "high": (1.00001, 1.5)},
    "stretch": {"scale": (1.0, 1.6)},
    "time_warp": {"strength": (0.0, 0.6)},
}
# Those that any signals allow, and that leave a diagnosis to be made.
_USUAL = (
    "baseline_wander", "crop_stretch", "cutout", "lead_dropout", "multiply_sine", "multiply_triangle", "muscle_noise",
    "noise", "resample_sine", "roll", "scale", "time_warp",
)  # fmt: skip

# What electrodes, bodies and breathing do to any recording; mild, and none of it for most samples.
DEFAULT_STEPS: tuple[Step, ...] = (
    Step("scale", 0.5, {"sigma": 0.1, "lead_sigma": 0.05}),
    Step("time_warp", 0.2, {"strength": 0.1}),
    Step("baseline_wander", 0.2, {"max_mv": 0.15}),
    Step("noise", 0.2, {"sigma_mv": 0.02}),
    Step("lead_dropout", 0.1, {"p_lead": 0.1}),
    Step("cutout", 0.1, {"max_fraction": 0.1}),
)


@register_augmentation
def rand_augment(
    x: Tensor,
    generator: torch.Generator,
    context: Context,
    n: Count = 2,
    magnitude: Magnitude = 5.0,
    operations: Names | None = None,
    per_sample: bool = True,
) -> Tensor:
    """Apply ``n`` operations drawn with replacement, all of one magnitude from 0 (nothing) to 10, per sample or batch.

    Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search space", NeurIPS 2020. What a
    magnitude means for an operation is in ``MAGNITUDES``. The draws are read on the host, so that a GPU is waited for
    once; each operation is then computed for its own samples only.

    Args:
        x: shape (batch, lead, time), mV.
        generator: of the draws.
        context: rate and leads.
        n: operations that a sample gets.
        magnitude: of all of them.
        operations: names of ``MAGNITUDES``; by default those that any signals allow.
        per_sample: each sample draws its own operations; else the whole batch gets the same.

    Raises:
        RecipeError: an operation that has no magnitudes, or that such signals do not allow.
    """
    known = _at_magnitude(_USUAL if operations is None else operations, float(magnitude), context)
    drawn = torch.randint(len(known), (n, len(x) if per_sample else 1), generator=generator, device=x.device)
    given = x
    for choices in drawn.cpu().numpy():
        for k in np.unique(choices):
            if not per_sample:
                x = known[k](x, generator=generator)
                continue
            rows = torch.from_numpy(np.flatnonzero(choices == k)).to(x.device)
            changed = known[k](x.index_select(0, rows), generator=generator)
            x = (x.clone() if x is given else x).index_copy_(0, rows, changed)
    return x


@lru_cache(maxsize=64)
def _at_magnitude(names: tuple[str, ...], magnitude: float, context: Context) -> list[Operation]:
    for name in names:
        if name not in MAGNITUDES:
            raise RecipeError(
                f"augmentation 'rand_augment': no magnitudes for {name!r}{nearest(name, MAGNITUDES)}; operations are "
                f"{', '.join(MAGNITUDES)}"
            )
    share = magnitude / 10
    return [
        bind(
            Step(name, 1.0, {key: low + share * (high - low) for key, (low, high) in MAGNITUDES[name].items()}), context
        )
        for name in names
    ]
