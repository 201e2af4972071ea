"""From a trained network to a folder, and changes to such a folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from einthoven.bundle import FORMAT_VERSION, NOVELTY_FILE, Bundle, digest_of, load_bundle
from einthoven.bundling.graph import export_onnx
from einthoven.decisions import Novelty, save_novelty
from einthoven.errors import BundleError
from einthoven.files import atomic_write, sha256_of, write_json
from einthoven.models import Classifier
from einthoven.models.ensemble import WeightedMean
from einthoven.models.weights import save_weights
from einthoven.spec import SignalSpec

__all__ = ["add_novelty", "save_bundle", "synthetic_probe", "update_bundle"]

_PARITY = 1e-3  # largest difference of a logit between the ONNX graph and torch on the probe


def save_bundle(path: Path, model: Classifier | WeightedMean, about: Mapping[str, Any]) -> Bundle:
    """Write weights, graph, probe and ``bundle.json`` into a folder, and load it back.

    Args:
        path: the folder; an older bundle there is replaced once the new one is whole.
        model: on the CPU, in evaluation mode.
        about: all of ``bundle.json`` but the format version and the hashes.

    Raises:
        BundleError: the exported graph does not give the network's own answers.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    spec = SignalSpec.from_dict(about["spec"])
    probe = synthetic_probe(len(spec.leads), about["window"]["length"], spec.fs)
    facts = synthetic_facts(model) if about.get("facts") else None
    with torch.inference_mode():
        logits = model(torch.from_numpy(probe), None if facts is None else torch.from_numpy(facts)).numpy()
    save_weights(temporary / "model.safetensors", model)
    with atomic_write(temporary / "probe.safetensors") as file:
        save_file({"input": probe, "logits": logits} | ({} if facts is None else {"facts": facts}), file)
    export_onnx(model, probe, temporary / "model.onnx", facts)
    files = {file.name: sha256_of(file) for file in sorted(temporary.iterdir())}
    _write_about(temporary, {"format_version": FORMAT_VERSION, **about, "files": files})
    graph = load_bundle(temporary, backend="onnx")
    off = float(np.abs(graph.network(probe, facts) - logits).max())
    if off > _PARITY:
        raise BundleError(f"the exported graph differs from the network by {off:.3g} in a logit (at most {_PARITY:g})")
    shutil.rmtree(path, ignore_errors=True)
    temporary.replace(path)
    return load_bundle(path)


def update_bundle(bundle: Bundle, changes: Mapping[str, Any], card: str | None = None) -> Bundle:
    """Replace entries of ``bundle.json`` (thresholds, metrics) and the model card, and load the bundle again."""
    about = {**bundle.about, **changes}
    if card is not None:
        with atomic_write(bundle.path / "README.md") as temporary:
            temporary.write_text(card, encoding="utf-8")
    _write_about(bundle.path, about)
    return load_bundle(bundle.path)


def add_novelty(bundle: Bundle, novelty: Novelty) -> Bundle:
    """Give a bundle a detector of records unlike its training, in place of any other, and load the bundle again."""
    path = bundle.path / NOVELTY_FILE
    save_novelty(path, novelty)
    about = {"threshold": novelty.threshold, "false_alarms": novelty.false_alarms}
    return update_bundle(bundle, {"files": {**bundle.about["files"], path.name: sha256_of(path)}, "novelty": about})


def _write_about(folder: Path, about: Mapping[str, Any]) -> None:
    plain = json.loads(json.dumps(about))  # as it will be read, tuples as lists
    write_json(folder / "bundle.json", {**plain, "sha256": digest_of(plain)})


def synthetic_probe(n_leads: int, n_samples: int, fs: float) -> NDArray[np.float32]:
    """Three windows of made-up beats in mV, shape (3, leads, samples): a probe that gives no patient away."""
    t = np.arange(n_samples) / fs
    waves = ((-0.18, 0.025, 0.12), (-0.03, 0.008, -0.1), (0.0, 0.012, 1.0), (0.03, 0.01, -0.25), (0.28, 0.05, 0.3))
    probe = np.zeros((3, n_leads, n_samples))
    for k, rate_hz in enumerate((1.0, 1.4, 2.2)):
        phase = (t * rate_hz + 0.5) % 1 / rate_hz - 0.5 / rate_hz
        for wave, (centre, width, height) in enumerate(waves):
            gains = np.cos(np.arange(n_leads) * (0.5 + 0.13 * wave) + k)
            probe[k] += gains[:, None] * height * np.exp(-0.5 * ((phase - centre) / width) ** 2)
    return probe.astype(np.float32)


def synthetic_facts(model: Classifier | WeightedMean) -> NDArray[np.float32]:
    """Facts for the probe, shape (3, facts): none known, all at their means, every other one a deviation above."""
    assert model.fact_scaling is not None
    mean, deviation = (part.numpy() for part in (model.fact_scaling.mean, model.fact_scaling.deviation))
    unusual = np.where(np.arange(len(mean)) % 2 == 0, mean + deviation, np.nan)
    return np.stack([np.full_like(mean, np.nan), mean, unusual]).astype(np.float32)
