"""What each subcommand does: read its arguments, call the verb, print the result."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from einthoven.cli.progress import bar
from einthoven.errors import EinthovenError, RecordError, nearest

__all__ = [
    "compare_models",
    "list_parts",
    "predict_files",
    "synthesize_corpus",
]


def compare_models(models: Sequence[str], split: str, classes: Sequence[str] | None, as_json: bool) -> None:
    """Compare and print the answer in words, then the table of classes."""
    from einthoven import workflow

    found = workflow.compare(models, split=split, classes=classes)
    if as_json:
        print(json.dumps(found, indent=1))
    else:
        _print_comparison(found)


def _print_comparison(found: dict[str, Any]) -> None:
    from einthoven.evaluation.comparison import verdict
    from einthoven.evaluation.wording import cohort, estimate

    how = found["interval"]
    print(f"macro AUROC of {len(found['classes'])} classes, {cohort(found)}")
    for model in found["models"]:
        print(f"  {model['name']}  {estimate(model['macro_auroc'])}")
    for pair in found["pairs"]:
        print(f"{verdict(pair)}  (p {pair['p']:.3f}, corrected {pair['p_adjusted']:.3f})")
        for row in pair["per_class"]:
            p = "p unknown" if row["p"] is None else f"p {row['p']:.3f}, corrected {row['p_adjusted']:.3f}"
            better = f"{row['better']} is better" if row["better"] else "cannot tell"
            print(f"  {row['class']:<12} {estimate(row['difference']):<26} {p:<26} {better}")
    for name in found["undefined"]:
        print(f"  undefined: {name} (no positive or no negative record)")
    print(
        f"intervals: {how['level']:.0%}, {how['n_resamples']:,} paired resamples by {how['unit']} "
        f"({how['absent_classes']}); classes: {found['per_class_test']}; {found['correction']}"
    )


def predict_files(
    model: str,
    files: Sequence[Path],
    as_json: bool,
    as_csv: bool,
    stated: Mapping[str, Any],
    patient: Mapping[str, Any],
    backend: str = "auto",
) -> None:
    """Predict every file; those that cannot be read or judged are named, and the exit code is then 2.

    ``stated`` is the rate, unit and leads of the files, ``patient`` age and sex, where they are given; they go before
    what the files say, but for the rate, which must agree. ``backend`` is that of ``load_bundle``.
    """
    from einthoven.bundle import load_bundle
    from einthoven.formats import read_record

    if as_json and as_csv:
        raise EinthovenError("choose one of --json and --csv")
    if patient["sex"] not in (None, "female", "male"):
        raise EinthovenError(f"--sex is female or male, got {patient['sex']!r}")
    bundle = load_bundle(model, backend=backend)
    name = bundle.name if backend == "auto" else f"{bundle.name}, {backend}"
    options = {**stated, "leads": tuple(stated["leads"].split(",")) if stated["leads"] else None}
    known = {key: value for key, value in patient.items() if value is not None}
    results: list[dict[str, Any]] = []
    # A single file is judged before a bar could be drawn.
    with bar("predicting") if len(files) > 1 else nullcontext(lambda done, total: None) as progress:
        for file in files:
            try:
                record = replace(read_record(file, **options), **known)
                results.append({"file": str(file), **bundle.predict(record).to_dict()})
            except RecordError as error:
                results.append({"file": str(file), "refused": True, "error": str(error), "findings": []})
            progress(len(results), len(files))
    if as_json:
        print(json.dumps({"bundle": bundle.name, "backend": backend, "results": results}, indent=1))
    elif as_csv:
        _print_csv(results)
    else:
        _print_findings(name, results)
    _say_what_was_refused(results)
    if any(result["refused"] for result in results):
        raise typer.Exit(2)


def _say_what_was_refused(results: Iterable[dict[str, Any]]) -> None:
    for result in results:
        if "error" in result:
            print(f"error: {result['error']}", file=sys.stderr)
        elif result["refused"]:
            faults = "; ".join(flag["text"] for flag in result["flags"] if flag["refuse"])
            print(f"error: {result['file']}: refused: {faults}", file=sys.stderr)


def _print_csv(results: Iterable[dict[str, Any]]) -> None:
    writer = csv.writer(sys.stdout)
    keys = ("class", "probability", "threshold", "present", "overruled", "sure")
    writer.writerow(["file", "record_id", "refused", *keys, "remarks"])
    for result in results:
        remarks = "; ".join(_remarks(result))
        head = [result["file"], result.get("record_id", ""), result["refused"]]
        for finding in result["findings"] or [{}]:
            cells = [finding.get(key) for key in keys]
            writer.writerow([*head, *cells, remarks])


def _print_findings(name: str, results: Iterable[dict[str, Any]]) -> None:
    for result in results:
        if "error" in result:
            continue
        print(f"{result['file']}  ({name})")
        for finding in result["findings"]:
            mark = {True: "PRESENT", False: "-", None: "no threshold"}[finding["present"]]
            mark = "overruled" if finding["overruled"] else mark
            sure = "undecided" if finding["sure"] == "undecided" else ""
            limit = "" if finding["threshold"] is None else f"threshold {finding['threshold']:.3f}"
            line = (
                f"{finding['class']:<8} {finding['probability']:>6.3f}  {limit:<16} {mark:<10} {sure:<10} "
                f"{finding['description']}"
            )
            print(f"  {line}")
        for remark in _remarks(result):
            print(f"  {remark}")


def _remarks(result: dict[str, Any]) -> list[str]:
    if "error" in result:
        return [f"error: {result['error']}"]
    flags = [f"{'REFUSED' if flag['refuse'] else 'note'}: {flag['text']}" for flag in result["flags"]]
    return flags + [f"note: {note}" for note in result["notes"]]


def synthesize_corpus(dest: Path, n: int, seed: int, fs: str) -> None:
    """Write a synthetic corpus."""
    from einthoven.corpora.synthetic import write_synthetic_corpus

    try:
        rates = tuple(int(part) for part in fs.split(","))
    except ValueError:
        raise EinthovenError(f"--fs {fs!r}: write 100, 500 or 100,500") from None
    with bar("synthesizing") as progress:
        write_synthetic_corpus(dest, n, seed, rates, progress)
    print(f"{dest}: {n:,} synthetic records; next  einthoven prepare ptb-xl {dest}")


def list_parts(what: str) -> None:
    """Print names, one a line."""
    kinds = {
        "models": _models,
        "pretrained": _pretrained,
        "corpora": _corpora,
        "formats": _formats,
        "tasks": _tasks,
        "augmentations": _augmentations,
        "exports": _exports,
    }
    if what not in kinds:
        raise EinthovenError(f"cannot list {what!r}{nearest(what, kinds)}; kinds are {', '.join(kinds)}")
    parts = kinds[what]()
    width = max(map(len, parts))
    for name, text in parts.items():
        print(f"{name:<{width}} {text}".rstrip())


def _models() -> dict[str, str]:
    from einthoven.models import create_model, list_models, model_options

    return {name: _model_line(create_model(name).n_parameters, model_options(name)) for name in list_models()}


def _model_line(n_parameters: int, options: Sequence[str]) -> str:
    text = f"{n_parameters:,} parameters (12 leads, 5 classes)"
    return f"{text}; options {', '.join(options)}" if options else text


def _pretrained() -> dict[str, str]:
    from einthoven.bundle import about_pretrained

    return {name: _pretrained_line(about) for name, about in about_pretrained().items()}


def _pretrained_line(about: dict[str, Any]) -> str:
    """What a shipped model tells apart, from what, and how well, in one line."""
    from einthoven.evaluation.wording import estimate

    classes, leads = about["task"]["classes"], about["spec"]["leads"]
    names = ", ".join(classes) if len(classes) <= 6 else f"{len(classes)} classes"
    seen = f"{len(leads)} leads" if len(leads) > 1 else "one lead"
    return (
        f"{names}; {seen}, {about['window']['length'] / about['spec']['fs']:g} s at {about['spec']['fs']:g} Hz; "
        f"{about['network']['n_parameters']:,} parameters; validation macro AUROC "
        f"{estimate(about['metrics']['validation']['macro']['auroc'])}"
    )


def _corpora() -> dict[str, str]:
    from einthoven.corpora import list_corpora

    return list_corpora()


def _formats() -> dict[str, str]:
    from einthoven.formats import list_formats

    return {entry.name: entry.description for entry in list_formats()}


def _tasks() -> dict[str, str]:
    from einthoven.labels import load_system, system_names

    tasks: dict[str, list[str]] = {}
    for system in map(load_system, system_names()):
        for task in system.tasks:
            tasks.setdefault(task, []).append(f"{system.name}: {len(system.class_codes(task))} classes")
    return {task: "; ".join(counts) for task, counts in tasks.items()}


def _exports() -> dict[str, str]:
    from einthoven.edge.formats import FORMATS, WEB

    return {name: form.words for name, form in FORMATS.items()} | WEB


def _augmentations() -> dict[str, str]:
    from einthoven.augment import list_augmentations

    return list_augmentations()
