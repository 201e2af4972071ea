"""Where do artefacts go? Into the bundle itself, or into a copy that takes its name when something good is in it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from einthoven.bundle import Bundle, load_bundle
from einthoven.bundling import update_bundle
from einthoven.edge.artefacts import install
from einthoven.edge.formats import FORMATS, Made
from einthoven.errors import BundleError
from einthoven.evaluation.card import model_card
from einthoven.files import read_json

__all__ = ["Shelf"]

_WHOLE = ("model.onnx", "model.safetensors")  # what a device does without


class Shelf:
    """Takes proven artefacts; used as a context, at whose end no half copy is left.

    Args:
        source: the bundle that they were made of.
        out: folder of a copy that gets them, and has its name; None for the bundle itself.
        lean: the copy holds them and what prediction needs, without the network in 32 bits; it is made when all went
            well, and replaces an older one.

    Attributes:
        bundle: with what was put in so far; ``source`` before that.
        names: of the artefacts that were put in.

    Raises:
        BundleError: on entering: something else is in ``out``, or it cannot be written.
    """

    def __init__(self, source: Bundle, out: Path | None, *, lean: bool = False) -> None:
        self.bundle, self.names = source, list[str]()
        self._source, self._out, self._lean = source, out, lean
        self._waiting: Path | None = None  # the copy before it has its name

    def __enter__(self) -> Self:
        if self._out is not None:
            there = self._check(self._out)
            if there and not self._lean:
                self.bundle = load_bundle(self._out, backend="torch")
            else:
                self._waiting = self._copy(self._out)
        return self

    def put(self, name: str, folder: Path, made: Made, proof: Mapping[str, Any] | None) -> None:
        """Install an artefact; see ``artefacts.install``."""
        bundle = load_bundle(self._waiting) if self._waiting else self.bundle
        bundle = install(bundle, name, folder, made, proof)
        self.names.append(name)
        if self._waiting is None:
            self.bundle = bundle
        elif not self._lean:
            self._settle()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._waiting is None:
            return
        if kind is None and any(FORMATS[name].kind for name in self.names):
            self._strip(self._waiting)
            self._settle()
        else:
            self.names.clear()  # a copy that nothing computes is of no use
            shutil.rmtree(self._waiting, ignore_errors=True)

    def _check(self, out: Path) -> bool:
        """Whether an older copy of the same weights is there."""
        if (out / "bundle.json").is_file():
            about = read_json(out / "bundle.json", BundleError, "a bundle")
            if about["files"].get("model.safetensors") != self._source.about["files"]["model.safetensors"]:
                raise BundleError(f"{out}: holds another model; name another folder with --out")
            if ("left_out" in about) != self._lean:
                kind = "a lean copy" if "left_out" in about else "a whole copy"
                raise BundleError(f"{out}: holds {kind} of this model; name another folder with --out, or remove it")
            return True
        if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
            raise BundleError(f"{out}: is there and is no bundle; name another folder with --out")
        return False

    def _copy(self, out: Path) -> Path:
        waiting = out.with_name(f".{out.name}.tmp")
        try:
            shutil.rmtree(waiting, ignore_errors=True)
            shutil.copytree(self._source.path, waiting, ignore=shutil.ignore_patterns(".*"))
            _rewrite(load_bundle(waiting), {"name": out.resolve().name})
        except OSError as error:
            shutil.rmtree(waiting, ignore_errors=True)
            raise BundleError(f"{out}: cannot be written: {error.strerror}; name another folder with --out") from None
        except BaseException:
            shutil.rmtree(waiting, ignore_errors=True)
            raise
        return waiting

    def _strip(self, folder: Path) -> None:
        """Leave out what computing the artefacts does not need."""
        bundle = load_bundle(folder)
        kept = {name: bundle.about["artefacts"][name] for name in self.names}
        needed = {file for entry in kept.values() for file in entry["files"]}
        older = {file for entry in bundle.about["artefacts"].values() for file in entry["files"]} - {*needed, *_WHOLE}
        left_out = [file for file in _WHOLE if file in bundle.about["files"] and file not in needed]
        files = {file: digest for file, digest in bundle.about["files"].items() if file not in older}
        _rewrite(bundle, {"artefacts": kept, "files": files, "left_out": left_out})
        for file in (*older, *left_out):
            (folder / file).unlink()

    def _settle(self) -> None:
        """Give the copy its name; a lean one that is there makes room, and comes back should that fail."""
        assert self._waiting is not None
        assert self._out is not None
        older = self._out.with_name(f".{self._out.name}.old")
        try:
            if self._out.exists():
                self._out.replace(older)
            self._waiting.replace(self._out)
        except OSError as error:
            if older.exists():
                older.replace(self._out)
            raise BundleError(f"{self._out}: cannot be written: {error.strerror}") from None
        shutil.rmtree(older, ignore_errors=True)
        self._waiting, self.bundle = None, load_bundle(self._out)


def _rewrite(bundle: Bundle, changes: Mapping[str, Any]) -> Bundle:
    """Change entries of ``bundle.json``, and the model card with them."""
    about = {**bundle.about, **changes}
    return update_bundle(bundle, changes, model_card(about, list(about.get("metrics", {}).values())))
