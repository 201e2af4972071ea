"""Why does a model say this? What each lead and moment adds to a finding, and tests of whether that can be believed.

One idea: what is explained is the bundle's own score of the whole record, as one differentiable function of its signal.
"""

from einthoven.explain.background import dataset_background, synthetic_background
from einthoven.explain.explaining import default_classes, explain
from einthoven.explain.explanation import Explanation
from einthoven.explain.methods import METHODS, Settings
from einthoven.explain.subject import Subject, open_model, open_subject
from einthoven.explain.waves import WAVES, label_waves

__all__ = [
    "METHODS",
    "WAVES",
    "Explanation",
    "Settings",
    "Subject",
    "dataset_background",
    "default_classes",
    "explain",
    "label_waves",
    "open_model",
    "open_subject",
    "synthetic_background",
]
