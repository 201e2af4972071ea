"""The portable model: what it eats, what it says, its thresholds and where it comes from, in one folder.

``predict`` is the one way from a record to findings; it needs neither torch nor pandas when the bundle holds an ONNX
graph. Loading checks every file's hash and runs a stored probe: weights that load wrongly are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from einthoven.decisions import Decided, Decisions, Novelty, load_novelty
from einthoven.errors import BundleError, ConformError, nearest
from einthoven.files import read_json, sha256_of
from einthoven.record import Record
from einthoven.runtimes import Network, open_network
from einthoven.signals import (
    MIN_DURATION_S,
    Flag,
    aggregate,
    check_signal,
    conform,
    feature_names,
    record_features,
    windows,
)
from einthoven.spec import SignalSpec

__all__ = [
    "FORMAT_VERSION",
    "NOVELTY_FILE",
    "PRETRAINED",
    "Bundle",
    "Finding",
    "Prediction",
    "backends_of",
    "digest_of",
    "list_pretrained",
    "load_bundle",
    "to_probabilities",
]

FORMAT_VERSION = 2
NOVELTY_FILE = "novelty.safetensors"
PRETRAINED = Path(__file__).parent / "pretrained"
_FIRST = "ptbxl-superdiagnostic"
_PROBE_TOLERANCE = 2e-3  # logits; runtimes and processors differ in the fifth digit, wrong weights in the first

Array = NDArray[np.float64]

# Backends that every bundle is made with: the format of the file that each computes, and the file.
_OWN = {"onnx": ("onnx", ["model.onnx"]), "torch": ("safetensors", ["model.safetensors"])}

# What a conformal set says: whether it holds "present", and "absent".
_SURE = {
    (True, False): "present",
    (False, True): "absent",
    (True, True): "undecided",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One class of the model.

    Attributes:
        name: of the class.
        description: in words.
        probability: aggregated over windows, and calibrated where the bundle says so.
        threshold: from which the class is reported; None where none could be fitted, and in multi-class models.
        present: the decision: the threshold is reached and no stronger finding contradicts it, or the class is the
            likeliest of those that exclude each other; None without a threshold.
        overruled: the threshold is reached, but a stronger finding contradicts the class.
        sure: ``"present"`` or ``"absent"`` where the bundle's stated error rate allows only that, ``"undecided"`` where
            both stay possible; None where it states no rate.
    """

    name: str
    description: str
    probability: float
    threshold: float | None
    present: bool | None
    overruled: bool = False
    sure: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a bundle says about a record; ``findings`` is empty where a flag refuses the record."""

    record_id: str
    findings: tuple[Finding, ...]
    flags: tuple[Flag, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the record was not fit to be judged."""
        return any(flag.refuse for flag in self.flags)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "record_id": self.record_id,
            "refused": self.refused,
            "findings": [
                {
                    "class": f.name,
                    "description": f.description,
                    "probability": round(f.probability, 6),
                    "threshold": f.threshold,
                    "present": f.present,
                    "overruled": f.overruled,
                    "sure": f.sure,
                }
                for f in self.findings
            ],
            "flags": [{"code": f.code, "text": f.text, "refuse": f.refuse} for f in self.flags],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded model.

    Attributes:
        path: its folder.
        name: for people.
        spec: the form of signals that its windows are cut from.
        window: samples per window.
        stride: samples from one window to the next.
        how: ``"mean"`` or ``"max"`` over windows.
        kind: ``"multilabel"`` or ``"multiclass"``.
        classes: names in the order of the logits.
        descriptions: classes in words.
        decisions: calibration, thresholds, conformal sets and contradictions, fitted on validation records.
        about: everything else that ``bundle.json`` says (network, provenance, metrics, licence).
        network: the loaded graph.
        novelty: tells records unlike those of training; None where the bundle has no detector.
        facts: names of what the network sees beside the signal; see ``einthoven.facts``.
    """

    path: Path
    name: str
    spec: SignalSpec
    window: int
    stride: int
    how: str
    kind: Literal["multilabel", "multiclass"]
    classes: tuple[str, ...]
    descriptions: Mapping[str, str]
    decisions: Decisions
    about: Mapping[str, Any]
    network: Network = field(repr=False)
    novelty: Novelty | None = field(default=None, repr=False)
    facts: tuple[str, ...] = ()

    @property
    def thresholds(self) -> dict[str, float | None]:
        """The threshold of each class, None where none could be fitted."""
        return dict(zip(self.classes, self.decisions.thresholds, strict=True))

    def scores(self, x: NDArray[np.float32], facts: NDArray[np.float32] | None = None) -> Array:
        """The network's scores, 0 to 1 and not calibrated, (windows, classes) of windows (windows, leads, samples).

        Args:
            x: millivolts.
            facts: shape (windows, facts), NaN where unknown; all are unknown where none are given.
        """
        if not self.facts:
            facts = None  # a table without columns is no input
        elif facts is None:
            facts = np.full((len(x), len(self.facts)), np.nan, np.float32)
        return to_probabilities(self.network(x, facts), self.kind)

    def predict(self, record: Record) -> Prediction:
        """Judge one record: quality, conform, windows, network, aggregate, decide.

        A record that is not fit (a lead missing beyond derivation, no heart's amplitudes, too short, too many missing
        samples) is refused by name in ``flags``; lesser faults are flagged.
        """
        return self.predict_many([record])[0]

    def predict_many(self, records: Sequence[Record]) -> list[Prediction]:
        """Judge several records as ``predict`` does, their windows in one call of the network."""
        begun = [self._check(record) for record in records]
        found = [prediction for prediction, _ in begun]
        fit = [k for k, (_, conformed) in enumerate(begun) if conformed is not None]
        ready = [conformed for _, conformed in begun if conformed is not None]
        if not ready:
            return found
        odd, looked_up = self._check_novelty(ready), [self._look_up(record) for record in ready]
        cuts = [windows(record.signal, self.window, self.stride)[0] for record in ready]
        rows = [np.repeat(row[None], len(cut), axis=0) for (row, _), cut in zip(looked_up, cuts, strict=True)]
        first = np.cumsum([0, *map(len, cuts[:-1])])
        p = aggregate(self.scores(np.concatenate(cuts), np.concatenate(rows)), first, self.how)
        decided = self.decisions.decide(p)
        for row, k in enumerate(fit):
            flags = (*found[k].flags, *odd[row], *looked_up[row][1])
            found[k] = replace(found[k], findings=self._findings(decided, row), flags=flags)
        return found

    def _check(self, record: Record) -> tuple[Prediction, Record | None]:
        """A prediction without findings, and the conformed record, None where it is refused."""
        try:
            conformed = conform(record, self.spec)
        except ConformError as error:
            flag = Flag("does_not_conform", str(error), True)
            return Prediction(record.record_id, (), (flag,), record.notes), None
        flags = check_signal(conformed.signal, self.spec.fs, self.spec.leads) + self._check_rate(record.fs)
        flags += self._check_kind(conformed.duration_s)
        if any(flag.refuse for flag in flags):
            return Prediction(record.record_id, (), tuple(flags), conformed.notes), None
        if conformed.n_samples < self.window:
            text = f"{conformed.duration_s:.2f} s is less than the model's window of {self.window / self.spec.fs:g} s"
            flags.append(Flag("padded", f"{text}; the rest was filled with zeros", False))
        return Prediction(record.record_id, (), tuple(flags), conformed.notes), conformed

    def _look_up(self, conformed: Record) -> tuple[NDArray[np.float32], list[Flag]]:
        """Facts of a record, and which of them nobody knows."""
        if not self.facts:
            return np.empty(0, np.float32), []
        from einthoven.facts import facts_of_record

        facts, why = facts_of_record(conformed, self.facts)
        unknown = [name for name, value in zip(self.facts, facts, strict=True) if np.isnan(value)]
        if not unknown:
            return facts, []
        some = ", ".join(unknown[:4]) + (" ..." if len(unknown) > 4 else "")
        text = f"{len(unknown)} of {len(self.facts)} facts that the model can use are unknown: {some}"
        return facts, [Flag("facts_unknown", "; ".join([text, *why]), False)]

    def _check_rate(self, fs: float) -> list[Flag]:
        if fs >= self.spec.fs:
            return []
        text = f"recorded at {fs:g} Hz, below the model's {self.spec.fs:g} Hz"
        return [Flag("low_rate", f"{text}: is the rate right?", fs < self.spec.fs / 2)]

    def _check_kind(self, duration_s: float) -> list[Flag]:
        beat_s = self.about["provenance"].get("record_s", np.inf)
        if beat_s >= MIN_DURATION_S or duration_s <= 2 * beat_s:
            return []
        text = (
            f"the model judges single beats cut out around their R peak ({beat_s:g} s), not a recording of "
            f"{duration_s:.1f} s; einthoven beats finds and judges those of a recording"
        )
        return [Flag("no_beat", text, True)]

    def _check_novelty(self, records: Sequence[Record]) -> list[list[Flag]]:
        """Flags of each record; those of one length are measured together."""
        flags: list[list[Flag]] = [[] for _ in records]
        if self.novelty is None:
            return flags
        for length in {record.n_samples for record in records}:
            alike = [k for k, record in enumerate(records) if record.n_samples == length]
            signals = np.stack([records[k].signal for k in alike])
            features = record_features(signals, self.spec.fs, self.spec.leads)
            for k, row, score in zip(alike, features, self.novelty.score(features), strict=True):
                flags[k] = self._novelty_flags(row, float(score), self.novelty)
        return flags

    def _novelty_flags(self, features: Array, score: float, detector: Novelty) -> list[Flag]:
        if score <= detector.threshold:
            return []
        names = feature_names(self.spec.leads)
        odd = ", ".join(names[k] for k in detector.most_unusual(features))
        bound = f"score {score:.1f}, alarm above {detector.threshold:.1f}"
        text = f"unlike the records of training ({bound}), most in {odd}"
        return [Flag("unlike_training", text, False)]

    def decide(self, p: Array) -> tuple[Finding, ...]:
        """Turn the scores of one record, shape (classes,), into findings."""
        return self._findings(self.decisions.decide(p[None]), 0)

    def _findings(self, decided: Decided, row: int) -> tuple[Finding, ...]:
        return tuple(self._finding(decided, row, k) for k in range(len(self.classes)))

    def _finding(self, decided: Decided, row: int, k: int) -> Finding:
        name, limit = self.classes[k], self.decisions.thresholds[k]
        undecided = limit is None and self.kind == "multilabel"
        sure = None
        if decided.may_be_present is not None and decided.may_be_absent is not None:
            sure = _SURE[bool(decided.may_be_present[row, k]), bool(decided.may_be_absent[row, k])]
        return Finding(
            name=name,
            description=self.descriptions.get(name, ""),
            probability=float(decided.probabilities[row, k]),
            threshold=limit,
            present=None if undecided else bool(decided.present[row, k]),
            overruled=bool(decided.overruled[row, k]),
            sure=sure,
        )


def to_probabilities(logits: NDArray[np.float32], kind: str) -> Array:
    """Sigmoid of each logit, or softmax over classes that exclude each other."""
    z = np.asarray(logits, dtype=np.float64)
    if kind == "multiclass":
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True))
    with np.errstate(over="ignore"):  # a logit below -709 is a probability of 0
        return np.asarray(1 / (1 + np.exp(-z)))


def digest_of(about: Mapping[str, Any]) -> str:
    """SHA-256 of the entries of ``bundle.json``, which carries it as its own last entry."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


def list_pretrained() -> tuple[str, ...]:
    """Names of the bundles that come with the package; the one to begin with is the first."""
    names = (path.parent.name for path in PRETRAINED.glob("*/bundle.json"))
    return tuple(sorted(names, key=lambda name: (name != _FIRST, name)))


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
        raise BundleError(f"{path}: no bundle.json in this folder; name a bundle, a run, or a pretrained model")
    known = list_pretrained()
    raise BundleError(
        f"no bundle {str(where)!r}{nearest(str(where), known)}; pretrained are {', '.join(known) or 'none'}"
    )


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
