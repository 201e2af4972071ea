"""The model as a static page that reads an ECG in the browser, judges it there, and sends nothing anywhere.

One idea: the page carries the bundle's own decisions and a synthetic ECG with Python's answer to it, so that every
browser proves itself against Python before it judges anything.
"""

from __future__ import annotations

import csv
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from einthoven.bundle import NOVELTY_FILE, Bundle, Finding
from einthoven.corpora.synthetic import example_record
from einthoven.edge.proof import verdict_of
from einthoven.edge.web_runtime import LICENCE, RUNTIME_FILES, VERSION, fetch_runtime
from einthoven.errors import BundleError, ConformError, EinthovenError
from einthoven.files import read_json, sha256_of, write_json
from einthoven.formats import read_record
from einthoven.labels import NORMAL_CLASSES
from einthoven.leads import TWELVE_LEADS
from einthoven.runtimes import open_network
from einthoven.signals import MIN_DURATION_S, aggregate, conform, windows

__all__ = ["check", "write_web"]

_PAGE = Path(__file__).parent / "web_page"
_GRAPH, _MODEL, _SAMPLE, _RUNTIME = "model.onnx", "model.json", "synthetic-ecg.csv", "onnxruntime"
_FORMAT = "einthoven web 1"
_README = """\
{name}: a page that reads an ECG in the browser and judges it there
{rule}

NOT A MEDICAL DEVICE. For research and teaching; it must not decide about a patient.

Use: run

    python -m http.server

in this folder and open http://localhost:8000. Any static web server will do, below any path; opened as a file, the page
does not work, for browsers load no scripts from files. No ECG leaves the browser.

The page loads nothing from elsewhere. {model} is what the model eats, decides and may not do; its entry "files" lists
the SHA-256 of every file that is computed with. ONNX Runtime Web {version} is Microsoft's ({runtime}/LICENSE.txt).

Made with einthoven {einthoven}. Weights: {licence}.
Training data: {attribution}
"""


def write_web(
    bundle: Bundle, graph: Path, folder: Path, *, announce: Callable[[str], None] = lambda text: None
) -> Path:
    """Write a static page that runs a bundle's graph in the browser, whole or not at all.

    ONNX Runtime Web comes from npm the first time and from the user's cache from then on.

    Args:
        bundle: what the graph belongs to.
        graph: the ONNX graph that the page shall run, in float32 or with quantised operations.
        folder: where the page shall lie; an older page there is replaced.
        announce: told what is being done, a line at a time.

    Returns:
        ``folder``.

    Raises:
        BundleError: a model that the page cannot serve, or a graph that is not the bundle's.
        EinthovenError: the folder holds something else or cannot be written, or ONNX Runtime Web cannot be had.
    """
    check(bundle)
    if not graph.is_file():
        raise BundleError(f"{graph}: no such graph")
    _check_target(folder)
    runtime = fetch_runtime(announce)
    announce(f"writing the page to {folder}, with {graph.name}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise EinthovenError(f"cannot write {folder}: {error.strerror or error}; nothing was written") from error
    try:
        _fill(work, bundle, graph, runtime)
        work.chmod(0o755)
        _put(work, folder)
    except OSError as error:
        raise EinthovenError(f"cannot write {folder}: {error.strerror or error}; nothing was half-written") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)  # gone already where all went well
    return folder


def check(bundle: Bundle) -> None:
    """Refuse at once what a page cannot do right.

    Raises:
        BundleError: the bundle judges single beats, signals that are not in mV, or leads outside the standard twelve.
    """
    beat_s = bundle.about["provenance"].get("record_s", np.inf)
    if beat_s < MIN_DURATION_S:
        raise BundleError(
            f"{bundle.name}: judges single beats of {beat_s:g} s that were cut out around their R peak; the page reads "
            "recordings and cannot serve it"
        )
    if bundle.spec.unit != "mV":
        raise BundleError(f"{bundle.name}: eats {bundle.spec.unit} signals; the page reads files in millivolts only")
    if other := [lead for lead in bundle.spec.leads if lead not in TWELVE_LEADS]:
        raise BundleError(f"{bundle.name}: eats {', '.join(other)}; the page knows {', '.join(TWELVE_LEADS)} only")


def _check_target(folder: Path) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise EinthovenError(f"{folder}: is a file; name a folder for the page")
    if any(folder.iterdir()) and not _is_ours(folder):
        raise EinthovenError(
            f"{folder}: holds something else than a page of einthoven; name a new folder, or remove that one first"
        )


def _is_ours(folder: Path) -> bool:
    with suppress(EinthovenError):
        return read_json(folder / _MODEL, EinthovenError, "a page").get("format") == _FORMAT
    return False


def _put(work: Path, folder: Path) -> None:
    """Give the page its name; an older one steps aside first and returns should that fail."""
    if not folder.exists():
        work.rename(folder)
        return
    aside = folder.with_name(f"{work.name}-old")
    folder.rename(aside)
    try:
        work.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _fill(work: Path, bundle: Bundle, graph: Path, runtime: Path) -> None:
    shutil.copytree(_PAGE, work, dirs_exist_ok=True)
    for name in RUNTIME_FILES:
        shutil.copyfile(runtime / name, work / _RUNTIME / name)
    shutil.copyfile(graph, work / _GRAPH)
    if bundle.novelty is not None:
        shutil.copyfile(bundle.path / NOVELTY_FILE, work / NOVELTY_FILE)
    _write_sample(work / _SAMPLE)
    expected = _answer(bundle, work / _GRAPH)
    (work / "README.txt").write_text(_readme(bundle), encoding="utf-8")
    write_json(work / _MODEL, _model(work, bundle, expected))


def _readme(bundle: Bundle) -> str:
    return _README.format(
        name=bundle.name,
        rule="=" * 78,
        model=_MODEL,
        version=VERSION,
        runtime=_RUNTIME,
        einthoven=version("einthoven"),
        licence=bundle.about["licence"],
        attribution=bundle.about["provenance"]["attribution"],
    )


def _write_sample(path: Path) -> None:
    """Ten seconds of a synthetic inferior infarction at 500 Hz; the header says that these are microvolts."""
    record = example_record("IMI", seed=1)
    microvolts = np.rint(record.signal.T * 1000).astype(int)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time [s]", *(f"{lead} [uV]" for lead in record.leads)])
        writer.writerows([f"{k / record.fs:.3f}", *row] for k, row in enumerate(microvolts.tolist()))


def _answer(bundle: Bundle, graph: Path) -> tuple[Finding, ...]:
    """What Python says about the sample with this graph, and with no fact known: the page measures nothing."""
    judge = replace(bundle, network=open_network("onnx", graph, bundle.about))
    try:
        conformed = conform(read_record(graph.parent / _SAMPLE), bundle.spec)
        scores = judge.scores(windows(conformed.signal, bundle.window, bundle.stride)[0])
    except (ConformError, InvalidArgument) as error:
        raise BundleError(f"{bundle.name}: this graph cannot judge the page's sample ECG: {error}") from None
    if scores.shape[1] != len(bundle.classes):
        raise BundleError(f"{bundle.name}: the graph answers {scores.shape[1]} classes, not {len(bundle.classes)}")
    return bundle.decide(aggregate(scores, np.array([0]), bundle.how)[0])


def _model(work: Path, bundle: Bundle, expected: tuple[Finding, ...]) -> dict[str, Any]:
    """Everything that the page knows about the model."""
    about, origin = bundle.about, bundle.about["provenance"]
    card = _card(bundle)
    computed = [_GRAPH, _SAMPLE, *(f"{_RUNTIME}/{name}" for name in RUNTIME_FILES)]
    computed += [NOVELTY_FILE] if bundle.novelty is not None else []
    return {
        "format": _FORMAT,
        "einthoven": version("einthoven"),
        "name": bundle.name,
        "precision": "int8" if b"QuantizeLinear" in (work / _GRAPH).read_bytes() else "float32",
        "kind": bundle.kind,
        "classes": list(bundle.classes),
        "descriptions": dict(bundle.descriptions),
        "normal": [name for name in bundle.classes if name in NORMAL_CLASSES],
        "spec": bundle.spec.to_dict(),
        "window": {"length": bundle.window, "stride": bundle.stride, "aggregate": bundle.how},
        "facts": list(bundle.facts),
        **bundle.decisions.to_dict(),
        "provenance": {
            "trained_on": f"{origin['n_records']:,} records of {origin['n_patients']:,} patients",
            "attribution": origin["attribution"],
        },
        "licence": about["licence"],
        "figures": next((line for line in card["Figures"] if line.startswith("Macro AUROC")), None),
        "proof": _proof(bundle, sha256_of(work / _GRAPH)),
        "decisions": card["Decisions"],
        "limits": card["Limits"],
        "graph": _GRAPH,
        "novelty": NOVELTY_FILE if bundle.novelty is not None else None,
        "runtime": {"version": VERSION, "licence": LICENCE, "wasm": f"{_RUNTIME}/ort.wasm"},
        "sample": {"file": _SAMPLE, "expected": [{"class": f.name, "probability": f.probability} for f in expected]},
        "files": {name: sha256_of(work / name) for name in sorted(computed)},
    }


def _proof(bundle: Bundle, digest: str) -> str | None:
    """What was proven of the graph with this SHA-256, where it is one of the bundle's artefacts."""
    for entry in bundle.about.get("artefacts", {}).values():
        proof = entry["proof"]
        if proof and bundle.about["files"].get(entry["files"][0]) == digest:
            return f"Beside the trained network on the {proof['split']} split, {verdict_of(proof)}."
    return None


def _card(bundle: Bundle) -> dict[str, list[str]]:
    """Sentences of the model card by the first word of their section; those of a list without their star."""
    path = bundle.path / "README.md"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BundleError(
            f"{path}: the model card cannot be read ({error.strerror}); the page must show its limits"
        ) from None
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    lines = {part.split()[0]: part.splitlines()[1:] for part in reversed(sections)}
    if "Limits" not in lines or "Decisions" not in lines:
        raise BundleError(f"{path}: the model card has no section on limits or decisions; the page must show them")
    lines.setdefault("Figures", [])
    return {name: [line.removeprefix("* ") for line in found if line.strip()] for name, found in lines.items()}
