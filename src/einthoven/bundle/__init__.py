"""The portable model: what it eats, what it says, its thresholds and where it comes from, in one folder.

``predict`` needs neither torch nor pandas when the bundle holds an ONNX graph.
"""

from einthoven.bundle.loading import (
    FORMAT_VERSION,
    NOVELTY_FILE,
    PRETRAINED,
    about_pretrained,
    backends_of,
    digest_of,
    list_pretrained,
    load_bundle,
    refuse_folder_of_runs,
)
from einthoven.bundle.model import Bundle, to_probabilities
from einthoven.bundle.prediction import Finding, Prediction

__all__ = [
    "FORMAT_VERSION",
    "NOVELTY_FILE",
    "PRETRAINED",
    "Bundle",
    "Finding",
    "Prediction",
    "about_pretrained",
    "backends_of",
    "digest_of",
    "list_pretrained",
    "load_bundle",
    "refuse_folder_of_runs",
    "to_probabilities",
]
