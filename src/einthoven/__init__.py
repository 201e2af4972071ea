"""Any ECG file in; a trained, honestly judged, explained and deployable classifier out.

>>> import einthoven
>>> record = einthoven.read_record("my.csv", fs=500)  # doctest: +SKIP
>>> einthoven.load("ptbxl-superdiagnostic").predict(record).findings  # doctest: +SKIP
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from einthoven.api.classifier import ECGClassifier
    from einthoven.api.verbs import train
    from einthoven.bundle import load_bundle
    from einthoven.bundle import load_bundle as load
    from einthoven.dataset import open_dataset
    from einthoven.formats import read_record
    from einthoven.record import Record
    from einthoven.signals import conform
    from einthoven.spec import SignalSpec
    from einthoven.training.recipe import Recipe, load_recipe

__all__ = [
    "ECGClassifier",
    "Recipe",
    "Record",
    "SignalSpec",
    "conform",
    "load",
    "load_bundle",
    "load_recipe",
    "open_dataset",
    "read_record",
    "train",
]

# ONNX Runtime's packages for Linux report to their maker, and leave a session file, unless told not to beforehand.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Where each name is, and what it is called there.
_HOME = {
    "ECGClassifier": ("einthoven.api.classifier", "ECGClassifier"),
    "Recipe": ("einthoven.training.recipe", "Recipe"),
    "Record": ("einthoven.record", "Record"),
    "SignalSpec": ("einthoven.spec", "SignalSpec"),
    "conform": ("einthoven.signals", "conform"),
    "load": ("einthoven.bundle", "load_bundle"),
    "load_bundle": ("einthoven.bundle", "load_bundle"),
    "load_recipe": ("einthoven.training.recipe", "load_recipe"),
    "open_dataset": ("einthoven.dataset", "open_dataset"),
    "read_record": ("einthoven.formats", "read_record"),
    "train": ("einthoven.api.verbs", "train"),
}


def __getattr__(name: str) -> Any:
    # Rooms load when they are entered, so that importing the package costs nothing.
    if name in _HOME:
        module, attribute = _HOME[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'einthoven' has no attribute {name!r}")
