"""Any ECG file in; a trained, honestly judged, explained and deployable classifier out.

>>> import einthoven
>>> record = einthoven.read_record("my.csv", fs=500)  # doctest: +SKIP
>>> einthoven.load_bundle("ptbxl-superdiagnostic").predict(record).findings  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from einthoven.bundle import load_bundle
    from einthoven.dataset import open_dataset
    from einthoven.formats import read_record
    from einthoven.record import Record
    from einthoven.signals import conform
    from einthoven.spec import SignalSpec
    from einthoven.training.recipe import Recipe, load_recipe

__all__ = ["Recipe", "Record", "SignalSpec", "conform", "load_bundle", "load_recipe", "open_dataset", "read_record"]

_HOME = {
    "Record": "einthoven.record",
    "Recipe": "einthoven.training.recipe",
    "SignalSpec": "einthoven.spec",
    "conform": "einthoven.signals",
    "load_bundle": "einthoven.bundle",
    "load_recipe": "einthoven.training.recipe",
    "open_dataset": "einthoven.dataset",
    "read_record": "einthoven.formats",
}


def __getattr__(name: str) -> Any:
    # Rooms load when they are entered, so that importing the package costs nothing.
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'einthoven' has no attribute {name!r}")
