"""One architecture per file, one registry, uniform verbs: ``forward_features``, ``forward_head``, ``forward``."""

from einthoven.models import (
    cinc2020_ctn,
    cinc2020_se_resnet,
    convnext1d,
    ecgcnn,
    fcn_wang,
    heartreader,
    inception1d,
    lstm,
    map583,
    net1d,
    resnet1d_wang,
    s4d,
    vit1d,
    xresnet1d,
)
from einthoven.models._registry import create_model, list_models, model_options, register_model
from einthoven.models.fusion import FactScaling, FusedNetwork
from einthoven.models.scaling import Classifier, Scaling

__all__ = [
    "Classifier",
    "FactScaling",
    "FusedNetwork",
    "Scaling",
    "cinc2020_ctn",
    "cinc2020_se_resnet",
    "convnext1d",
    "create_model",
    "ecgcnn",
    "fcn_wang",
    "heartreader",
    "inception1d",
    "list_models",
    "lstm",
    "map583",
    "model_options",
    "net1d",
    "register_model",
    "resnet1d_wang",
    "s4d",
    "vit1d",
    "xresnet1d",
]
