"""The shipped bundle with an 8-bit graph and entries of artefacts that cannot be computed here, made in seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from einthoven.bundle import PRETRAINED, load_bundle
from einthoven.bundling import synthetic_probe, update_bundle
from einthoven.edge.artefacts import install
from einthoven.edge.formats import Calibration, Options
from einthoven.edge.onnx import make

NAME = "ptbxl-superdiagnostic"


def bundle_with_int8(folder: Path) -> Path:
    """Copy the shipped bundle; ``int8`` computes, ``header`` has no runtime, ``odd`` a format that nobody knows.

    The file of ``broken`` is damaged.
    """
    path = Path(shutil.copytree(PRETRAINED / NAME, folder / "small"))
    bundle = load_bundle(path)
    windows = np.concatenate([synthetic_probe(12, 250, 100.0) * gain for gain in (0.7, 1.0, 1.4)])
    calibration = Calibration([str(k) for k in range(len(windows))], windows, None)
    (folder / "made").mkdir()
    made = make("int8", bundle, folder / "made", calibration, Options())
    bundle = install(bundle, "int8", folder / "made", made, None)
    entry = bundle.about["artefacts"]["int8"]
    more = {"header": {**entry, "kind": None}, "odd": {**entry, "kind": "punchcard"}}
    more["broken"] = {**entry, "files": ["model.broken.onnx"]}
    (path / "model.broken.onnx").write_bytes(b"damaged")
    files = {**bundle.about["files"], "model.broken.onnx": "0" * 64}
    update_bundle(bundle, {"artefacts": {**bundle.about["artefacts"], **more}, "files": files})
    return path
