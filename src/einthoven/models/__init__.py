"""One architecture per file, one registry, uniform verbs: ``forward_features``, ``forward_head``, ``forward``."""

from einthoven.models import inception1d, resnet1d_wang, xresnet1d
from einthoven.models._registry import create_model, list_models, register_model
from einthoven.models.scaling import Classifier, Scaling

__all__ = [
    "Classifier",
    "Scaling",
    "create_model",
    "inception1d",
    "list_models",
    "register_model",
    "resnet1d_wang",
    "xresnet1d",
]
