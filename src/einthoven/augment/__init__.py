"""How is a batch varied? Batched tensor operations on the device, seeded, each with a probability per sample."""

from einthoven.augment import basic
from einthoven.augment._chain import Chain, Step, list_augmentations, register_augmentation

__all__ = ["Chain", "Step", "basic", "list_augmentations", "register_augmentation"]
