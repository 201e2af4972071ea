"""Loading checks every file's hash and runs a stored probe: weights that load wrongly are refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from einthoven.bundle.model import Bundle
from einthoven.decisions import Decisions, Novelty, load_novelty
from einthoven.errors import BundleError, nearest
from einthoven.files import read_json, sha256_of
from einthoven.runtimes import open_network
from einthoven.signals import feature_names
from einthoven.spec import SignalSpec

__all__ = [
    "FORMAT_VERSION",
    "NOVELTY_FILE",
    "PRETRAINED",
    "about_pretrained",
    "backends_of",
    "digest_of",
    "list_pretrained",
    "load_bundle",
    "refuse_folder_of_runs",
]

FORMAT_VERSION = 2
NOVELTY_FILE = "novelty.safetensors"
PRETRAINED = Path(__file__).parents[1] / "pretrained"
_FIRST = "ptbxl-superdiagnostic"
_PROBE_TOLERANCE = 2e-3  # logits; runtimes and processors differ in the fifth digit, wrong weights in the first

# Backends that every bundle is made with: the format of the file that each computes, and the file.
_OWN = {"onnx": ("onnx", ["model.onnx"]), "torch": ("safetensors", ["model.safetensors"])}


def digest_of(about: Mapping[str, Any]) -> str:
    """SHA-256 of the entries of ``bundle.json``, which carries it as its own last entry."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def list_pretrained() -> tuple[str, ...]:
    """Names of the bundles that come with the package; the one to begin with is the first."""
    names = (path.parent.name for path in PRETRAINED.glob("*/bundle.json"))
    return tuple(sorted(names, key=lambda name: (name != _FIRST, name)))


def about_pretrained() -> dict[str, dict[str, Any]]:
    """What ``bundle.json`` says of each bundle of ``list_pretrained``, by name; nothing is loaded or checked."""
    return {name: read_json(PRETRAINED / name / "bundle.json", BundleError, "a bundle") for name in list_pretrained()}


def load_bundle(where: str | Path, *, backend: str = "auto", threads: int | None = None) -> Bundle:
    """Load a bundle and prove that it is whole.

    Args:
        where: a bundle folder, a run folder, or the name of a pretrained bundle.
        backend: what computes: ``"onnx"``, ``"torch"``, or the name of an artefact that was exported into the bundle,
            as ``"int8"``; ``"auto"`` takes the first of ``backends_of``: ONNX Runtime where the bundle has a graph.
        threads: of the runtime; by default all cores that this process may use.

    Raises:
        BundleError: not a bundle, no such backend, a file missing or altered, or the probe's answer differs. Files of
            artefacts that were not asked for may be damaged.
    """
    path = _find(where)
    about = read_json(path / "bundle.json", BundleError, "a bundle")
    if about.pop("sha256", None) != digest_of(about):
        raise BundleError(f"{path / 'bundle.json'}: its checksum differs; the file was altered or damaged")
    if about.get("format_version") != FORMAT_VERSION:
        raise BundleError(
            f"{path}: bundle format {about.get('format_version')} is not {FORMAT_VERSION}, the one known here"
        )
    try:
        backend = _choose(path, about, backend)
        kind, files = backends_of(about)[backend]
        _check_files(path, about, files)
        bundle = Bundle(
            path=path,
            name=about["name"],
            spec=SignalSpec.from_dict(about["spec"]),
            window=about["window"]["length"],
            stride=about["window"]["stride"],
            how=about["window"]["aggregate"],
            kind=about["task"]["kind"],
            classes=tuple(about["task"]["classes"]),
            descriptions=about["task"]["descriptions"],
            decisions=Decisions.from_dict(about, about["task"]["classes"], about["task"]["kind"]),
            about=about,
            network=open_network(kind, path / files[0], about, threads),
            novelty=_novelty(path, about),
            facts=tuple(about.get("facts", ())),
        )
    except (KeyError, TypeError) as error:
        raise BundleError(f"{path / 'bundle.json'}: incomplete or altered: {error}") from None
    _check_probe(bundle, backend)
    return bundle


def backends_of(about: Mapping[str, Any]) -> dict[str, tuple[str, Sequence[str]]]:
    """What can compute a bundle, as ``load_bundle`` takes it: format and files, the graph first, of each by name.

    The first is what ``"auto"`` takes. A bundle for a device (``einthoven export --lean``) names files under
    ``left_out``; it keeps their checksums but not the files.

    Args:
        about: its ``bundle.json``.

    >>> backends_of({"files": {"model.onnx": "", "model.safetensors": ""}, "left_out": ["model.safetensors"]})
    {'onnx': ('onnx', ['model.onnx'])}
    """
    artefacts = about.get("artefacts", {})
    every = _OWN | {name: (entry["kind"], entry["files"]) for name, entry in artefacts.items() if entry["kind"]}
    there = set(about["files"]).difference(about.get("left_out", ()))
    return {name: each for name, each in every.items() if there.issuperset(each[1])}


def _choose(path: Path, about: Mapping[str, Any], backend: str) -> str:
    known = backends_of(about)
    if backend in known or (backend == "auto" and known):
        return next(iter(known)) if backend == "auto" else backend
    text = f"{path}: no backend {backend!r}{nearest(backend, known)}; this bundle has {', '.join(known) or 'none'}; "
    if left_out := about.get("left_out"):
        raise BundleError(
            f"{text}{' and '.join(left_out)} were left out of it, so name the bundle that it was exported from"
        )
    raise BundleError(f"{text}others are made by einthoven export")


def _find(where: str | Path) -> Path:
    path = Path(where)
    for candidate in (path, path / "bundle", PRETRAINED / str(where)):
        if (candidate / "bundle.json").is_file():
            return candidate
    if (path / "recipe.yaml").is_file():
        raise BundleError(
            f"{path}: an unfinished run, which has no bundle yet; go on with  einthoven train {path / 'recipe.yaml'} "
            f"--runs {path.resolve().parents[1]}"
        )
    if path.is_dir():
        refuse_folder_of_runs(path)
        raise BundleError(f"{path}: no bundle.json in this folder; name a bundle, a run, or a pretrained model")
    known = list_pretrained()
    raise BundleError(
        f"no bundle {str(where)!r}{nearest(str(where), known)}; pretrained are {', '.join(known) or 'none'}"
    )


def refuse_folder_of_runs(path: Path) -> None:
    """Say which run could be meant where the folder of all runs of a recipe was named.

    Raises:
        BundleError: it is such a folder.
    """
    if runs := sorted(file.parent for file in path.glob("*/recipe.yaml")):
        raise BundleError(f"{path}: a folder of runs; name one of them, as {runs[-1]}")


def _check_files(path: Path, about: Mapping[str, Any], asked: Iterable[str]) -> None:
    """Check the bundle's own files and those asked for; one damaged artefact does not disable what needs it not."""
    artefacts = {file for entry in about.get("artefacts", {}).values() for file in entry["files"]}
    optional = artefacts.difference(asked, *(files for _, files in _OWN.values()))
    for name, digest in about["files"].items():
        if name in optional or name in about.get("left_out", ()):
            continue
        if not (path / name).is_file():
            raise BundleError(f"{path / name}: missing; the bundle is incomplete")
        if sha256_of(path / name) != digest:
            raise BundleError(f"{path / name}: its checksum differs from bundle.json; the file was altered or damaged")


def _novelty(path: Path, about: Mapping[str, Any]) -> Novelty | None:
    if NOVELTY_FILE not in about["files"]:
        return None
    return load_novelty(path / NOVELTY_FILE, len(feature_names(about["spec"]["leads"])))


def _check_probe(bundle: Bundle, backend: str) -> None:
    from safetensors.numpy import load_file

    probe = load_file(bundle.path / "probe.safetensors")
    artefact = bundle.about.get("artefacts", {}).get(backend)
    wanted = np.asarray(artefact["probe"], np.float32) if artefact else probe["logits"]
    answer = bundle.network(probe["input"], probe.get("facts"))
    off = float(np.abs(answer - wanted).max()) if answer.shape == wanted.shape else np.inf
    if not off <= (artefact or {}).get("tolerance", _PROBE_TOLERANCE):
        raise BundleError(
            f"{bundle.path}: the loaded network answers the stored probe with logits off by {off:.3g}; "
            "the weights or the graph are not the bundle's own"
        )
