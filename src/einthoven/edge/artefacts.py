"""How does an artefact enter a bundle? Whole, proven, and with its own answer to the bundle's probe."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from einthoven.bundle import Bundle
from einthoven.bundling import update_bundle
from einthoven.edge.formats import FORMATS, Made
from einthoven.evaluation.card import model_card
from einthoven.files import atomic_write, sha256_of
from einthoven.runtimes import open_network

__all__ = ["install", "with_artefact"]

# Logits on the probe: a rounding that falls the other way on another processor moves an 8-bit network by this much.
_TOLERANCE = {"fp32": 2e-3, "fp16": 2e-2, "int8": 0.25}


def with_artefact(bundle: Bundle, name: str, file: Path) -> Bundle:
    """Return the bundle with an artefact's file as its network."""
    kind = FORMATS[name].kind
    assert kind is not None
    return replace(bundle, network=open_network(kind, file, bundle.about))


def install(bundle: Bundle, name: str, folder: Path, made: Made, proof: Mapping[str, Any] | None) -> Bundle:
    """Put an artefact into its bundle, in place of an older one of this name, and load the bundle again.

    The older one is whole until the new files are written; a crash between the steps leaves a bundle without either.

    Args:
        bundle: as it lies on disk.
        name: of the format.
        folder: where ``made.files`` lie.
        made: what the maker returned.
        proof: see ``prove``; None where nothing here can compute the artefact.

    Raises:
        EinthovenError: the bundle's folder cannot be written.
    """
    form = FORMATS[name]
    entry: dict[str, Any] = {
        "kind": form.kind,
        "precision": form.precision,
        "files": list(made.files),
        "bytes": sum((folder / file).stat().st_size for file in made.files),
        "made": dict(made.how),
        "proof": proof,
    }
    if form.kind is not None:
        probe = load_file(bundle.path / "probe.safetensors")
        network = open_network(form.kind, folder / made.files[0], bundle.about)
        entry["probe"] = network(probe["input"], probe.get("facts")).tolist()
        entry["tolerance"] = _TOLERANCE[form.precision]
    digests = {file: sha256_of(folder / file) for file in made.files}
    known = dict(bundle.about.get("artefacts", {}))
    older = known.pop(name, {"files": []})["files"]
    files = {file: digest for file, digest in bundle.about["files"].items() if file not in older}
    waiting = [_bring(folder / file, bundle.path / f".{file}.new") for file in made.files]
    if any(bundle.about["files"][file] != digests.get(file) for file in older):
        bundle = update_bundle(bundle, {"files": files, "artefacts": known})
    for file, new in zip(made.files, waiting, strict=True):
        new.replace(bundle.path / file)
    about = {"files": {**files, **digests}, "artefacts": {**known, name: entry}}
    bundle = update_bundle(bundle, about)
    return update_bundle(bundle, {}, model_card(bundle.about, list(bundle.about.get("metrics", {}).values())))


def _bring(source: Path, target: Path) -> Path:
    """Copy a file into the folder where it will be renamed: a full disk or a closed folder is found out here."""
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)
    return target
