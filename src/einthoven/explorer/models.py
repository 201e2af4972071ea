"""Models of the pages: loaded once for all sessions, and again when their folder changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from einthoven.bundle import Bundle, Prediction, load_bundle
from einthoven.errors import EinthovenError, MissingExtraError
from einthoven.explorer.memory import fingerprint_of, remembered
from einthoven.record import Record

if TYPE_CHECKING:
    from einthoven.explain.subject import Model

__all__ = ["identity_of", "judge", "network_of", "open_bundle"]


def open_bundle(where: str, backend: str = "auto") -> Bundle:
    """Load a bundle, or take the one that is loaded.

    Raises:
        BundleError: see ``load_bundle``.
        MissingExtraError: its backend needs packages that are not installed.
    """
    try:
        return _load(where, backend, _stamp(where))
    except ModuleNotFoundError as error:
        raise MissingExtraError(f"the backend {backend} ({error.name})", "train") from None


def network_of(bundle: Bundle) -> Model:
    """Return the network with its weights in PyTorch.

    Raises:
        MissingExtraError: PyTorch or Captum is not installed.
        BundleError: the bundle has no weights.
    """
    try:
        return _network(str(bundle.path), _stamp(str(bundle.path)), bundle)
    except ModuleNotFoundError:
        raise MissingExtraError("looking into the network", "explain") from None


def judge(record: Record, bundle: Bundle, backend: str, kind: str = "prediction") -> Prediction:
    """Return what a model says about a record; computed again only when one of both changes."""
    fingerprint = (fingerprint_of(record), *identity_of(bundle, backend))
    return remembered(kind, fingerprint, lambda: bundle.predict(record))


def identity_of(bundle: Bundle, backend: str = "") -> tuple[str, str, str]:
    """What tells loaded models apart."""
    return str(bundle.path), _stamp(str(bundle.path)), backend


def _stamp(where: str) -> str:
    for file in (Path(where) / "bundle.json", Path(where) / "bundle" / "bundle.json"):
        if file.is_file():
            return str(file.stat().st_mtime_ns)
    return ""


@st.cache_resource(max_entries=6, show_spinner="Loading the model")
def _load(where: str, backend: str, stamp: str) -> Bundle:
    del stamp
    try:
        return load_bundle(where, backend=backend)
    except (OSError, ValueError) as error:
        raise EinthovenError(f"{where}: the bundle cannot be read: {error}") from error


@st.cache_resource(max_entries=2, show_spinner="Loading the network")
def _network(path: str, stamp: str, _bundle: Bundle) -> Model:
    del path, stamp
    from einthoven.explain import open_model

    return open_model(_bundle)
