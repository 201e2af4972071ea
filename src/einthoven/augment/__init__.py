"""How is a batch varied? Batched tensor operations on the device, seeded, each with a probability per sample."""

from einthoven.augment import amplitude, filtering, leads, masking, mixing, noise, policy, resample, shifts, star
from einthoven.augment._chain import (
    Chain,
    Context,
    Step,
    list_augmentations,
    register_augmentation,
    register_mixing,
)
from einthoven.augment.policy import DEFAULT_STEPS

__all__ = [
    "DEFAULT_STEPS",
    "Chain",
    "Context",
    "Step",
    "amplitude",
    "filtering",
    "leads",
    "list_augmentations",
    "masking",
    "mixing",
    "noise",
    "policy",
    "register_augmentation",
    "register_mixing",
    "resample",
    "shifts",
    "star",
]
