"""The models that a server answers with, loaded once, and what it tells of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from einthoven.bundle import Bundle, backends_of, digest_of, load_bundle
from einthoven.errors import EinthovenError, nearest
from einthoven.serve.refusals import RefusedError
from einthoven.serve.settings import Settings

__all__ = ["NOTICE", "Model", "Shelf", "load_shelf"]

NOTICE = "Not a medical device. For research and teaching only; a finding that is absent does not mean a normal ECG."
_FIGURES = ("auroc", "auprc", "f1")


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded bundle.

    Attributes:
        name: by which it is asked.
        bundle: the bundle.
        backend: what computes it.
        version: the beginning of the bundle's own checksum: any change of it changes this.
    """

    name: str
    bundle: Bundle
    backend: str
    version: str

    @property
    def signature(self) -> dict[str, str]:
        """What every answer says of the model."""
        return {"name": self.name, "version": self.version, "backend": self.backend}

    def describe(self) -> dict[str, Any]:
        """What ``/models`` says."""
        about, bundle = self.bundle.about, self.bundle
        return {
            **self.signature,
            "kind": bundle.kind,
            "classes": [
                {"class": name, "description": bundle.descriptions.get(name, ""), "threshold": bundle.thresholds[name]}
                for name in bundle.classes
            ],
            "spec": bundle.spec.to_dict(),
            "window_s": bundle.window / bundle.spec.fs,
            "facts": list(bundle.facts),
            "network": {key: about["network"].get(key) for key in ("name", "n_parameters")},
            "figures": {split: _figures(judged) for split, judged in about.get("metrics", {}).items()},
            "licence": about.get("licence", ""),
            "attribution": about["provenance"].get("attribution", ""),
            "notice": NOTICE,
        }


def _figures(judged: Mapping[str, Any]) -> dict[str, Any]:
    macro = judged.get("macro") or {}
    return {"n_records": judged.get("n_records")} | {f"macro_{key}": macro[key] for key in _FIGURES if key in macro}


class Shelf:
    """Models by name, the default first."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self.models = dict(models)
        self.default = next(iter(self.models))

    def find(self, name: str | None) -> Model:
        """Return a model, the default without a name.

        Raises:
            RefusedError: there is none of this name.
        """
        model = self.models.get(name or self.default)
        if model is None:
            known = ", ".join(self.models)
            raise RefusedError(
                404, f"no model {(name or '')[:80]!r}{nearest(name or '', self.models)}; there is {known}"
            )
        return model


def load_shelf(settings: Settings) -> Shelf:
    """Load every model, prove it whole, and let each compute once.

    Raises:
        BundleError: a bundle is none, damaged, or lacks the backend.
        EinthovenError: two models have one name.
    """
    models: dict[str, Model] = {}
    for text in settings.models:
        name, _, where = text.rpartition("=")
        bundle = load_bundle(where, backend=settings.backend, threads=settings.threads)
        name = name or bundle.name
        if name in models:
            raise EinthovenError(f"two models are called {name!r}; give one another name: other={where}")
        backend = next(iter(backends_of(bundle.about))) if settings.backend == "auto" else settings.backend
        models[name] = Model(name, bundle, backend, digest_of(bundle.about)[:12])
    return Shelf(models)
