"""Why does a model say this? What each lead and moment adds to a finding, and tests of whether that can be believed.

One idea: what is explained is the bundle's own score of the whole record, as one differentiable function of its signal.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from einthoven.explain.background import dataset_background, synthetic_background
    from einthoven.explain.catalogue import METHODS, Settings
    from einthoven.explain.explaining import default_classes, explain
    from einthoven.explain.explanation import Explanation
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

_HOME = {
    "METHODS": "catalogue",
    "WAVES": "waves",
    "Explanation": "explanation",
    "Settings": "catalogue",
    "Subject": "subject",
    "dataset_background": "background",
    "default_classes": "explaining",
    "explain": "explaining",
    "label_waves": "waves",
    "open_model": "subject",
    "open_subject": "subject",
    "synthetic_background": "background",
}


def __getattr__(name: str) -> Any:
    # torch loads when something is explained, so that a wrong option is answered at once.
    if name in _HOME:
        return getattr(import_module(f"einthoven.explain.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
