"""``einthoven beats``: a recording judged beat by beat."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from einthoven.cli.progress import bar
from einthoven.errors import EinthovenError

if TYPE_CHECKING:
    from einthoven.bundle import Bundle
    from einthoven.workflow.heartbeats import JudgedBeats

__all__ = ["beats"]


def beats(
    model: Annotated[
        str, typer.Argument(help="a model of single beats: a bundle folder, a run folder, or a pretrained name")
    ],
    files: Annotated[list[Path], typer.Argument(help="recordings of any readable format and any length")],
    lead: Annotated[
        str | None, typer.Option(help="to judge  [default: the model's, or II, MLII, I, V1, the first]")
    ] = None,
    annotated: Annotated[
        bool,
        typer.Option("--annotated", help="take the beats that the file's annotations tell, instead of finding them"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, every beat")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV, one row per beat")] = False,
    fs: Annotated[float | None, typer.Option(help="sampling rate in Hz, where a file does not tell")] = None,
    unit: Annotated[str | None, typer.Option(help="mV or uV, where a file does not tell")] = None,
    leads: Annotated[str | None, typer.Option(help="lead names in the file's order, as II,V1")] = None,
    backend: Annotated[
        str, typer.Option(help="what computes: onnx, torch, or an artefact of the bundle, as int8")
    ] = "auto",
) -> None:
    """Find the heartbeats of recordings and name each; how many there are of which kind."""
    from einthoven.bundle import load_bundle

    if as_json and as_csv:
        raise EinthovenError("choose one of --json and --csv")
    bundle = load_bundle(model, backend=backend)
    stated = {"fs": fs, "unit": unit, "leads": tuple(leads.split(",")) if leads else None}
    found: dict[Path, JudgedBeats] = {}
    failed: dict[Path, str] = {}
    with bar("judging beats") if len(files) > 1 else nullcontext(lambda done, total: None) as progress:
        for k, file in enumerate(files):
            try:
                found[file] = _judge(bundle, file, lead, annotated, stated)
            except EinthovenError as error:
                failed[file] = str(error)
            progress(k + 1, len(files))
    if as_json:
        told = [{"file": str(file), **each.to_dict()} for file, each in found.items()]
        told += [{"file": str(file), "error": why} for file, why in failed.items()]
        print(json.dumps({"bundle": bundle.name, "results": told}, indent=1))
    elif as_csv:
        _print_csv(found)
    else:
        _print(bundle, found)
    for why in failed.values():
        print(f"error: {why}", file=sys.stderr)
    if failed:
        raise typer.Exit(2)


def _judge(bundle: Bundle, file: Path, lead: str | None, annotated: bool, stated: Mapping[str, Any]) -> JudgedBeats:
    from einthoven.formats import read_record
    from einthoven.leads import canonical_lead
    from einthoven.workflow.heartbeats import judge_beats

    record = read_record(file, beats=annotated, **stated)
    record = record if record.record_id else replace(record, record_id=file.stem)
    if annotated and record.beats is None:
        raise EinthovenError(f"{file}: has no beat annotations; leave out --annotated, and they are found")
    known: Sequence[int] | None = record.beats.samples.tolist() if annotated and record.beats else None
    return judge_beats(bundle, record, lead=canonical_lead(lead) if lead else None, samples=known)


def _print_csv(found: Mapping[Path, JudgedBeats]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(["file", "lead", "sample", "time_s", "class", "probability"])
    for file, each in found.items():
        for sample, name, p in zip(each.samples.tolist(), each.names, each.probabilities, strict=True):
            writer.writerow([file, each.lead, sample, f"{sample / each.fs:.4f}", name, f"{p.max():.6f}"])


def _print(bundle: Bundle, found: Mapping[Path, JudgedBeats]) -> None:
    for file, each in found.items():
        n = len(each.samples)
        rate = 60 * (n - 1) * each.fs / float(each.samples[-1] - each.samples[0]) if n > 1 else float("nan")
        print(f"{file}  ({bundle.name}, lead {each.lead})")
        print(f"  {n:,} beats, {rate:.0f} a minute")
        for name, count in each.counts().items():
            print(f"  {name:<4} {count:>7,}  {count / n:>6.1%}  {bundle.descriptions.get(name, '')}".rstrip())
        for note in each.notes:
            print(f"  note: {note}")
