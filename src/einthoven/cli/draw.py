"""``einthoven draw``: ECG files on ECG paper, as pictures or as pages to zoom and measure in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from einthoven.cli.progress import bar
from einthoven.errors import EinthovenError, RecordError, nearest

if TYPE_CHECKING:
    from einthoven.record import Record

__all__ = ["draw"]

_KINDS = ("png", "svg", "pdf", "html")


def draw(
    files: Annotated[list[Path], typer.Argument(help="ECG files of any readable format")],
    out: Annotated[
        Path, typer.Option(help="folder to write into, or for one file a name that ends in .png, .svg, .pdf or .html")
    ] = Path(),
    kind: Annotated[str | None, typer.Option("--format", help="png, svg, pdf or html  [default: png]")] = None,
    layout: Annotated[str | None, typer.Option(help="3x4+1, 6x2 or 12x1  [default: as the leads allow]")] = None,
    speed: Annotated[float, typer.Option(help="mm/s, of pictures")] = 25.0,
    gain: Annotated[float, typer.Option(help="mm/mV, of pictures")] = 10.0,
    start: Annotated[float, typer.Option(min=0, help="second at which pictures begin")] = 0.0,
    seconds: Annotated[
        float | None, typer.Option(help="that pictures show  [default: 10, and a PDF has pages of all]")
    ] = None,
    dpi: Annotated[float, typer.Option(help="pixels per inch of a PNG")] = 150.0,
    fs: Annotated[float | None, typer.Option(help="sampling rate in Hz, where a file does not tell")] = None,
    unit: Annotated[str | None, typer.Option(help="mV or uV, where a file does not tell")] = None,
    leads: Annotated[str | None, typer.Option(help="lead names in the file's order, as I,II,V1")] = None,
) -> None:
    """Draw ECGs on paper, true to scale, or as interactive pages (html) with calipers. Not a medical device."""
    from einthoven.formats import read_record

    kind, named = _kind(out, kind, len(files))
    stated: dict[str, Any] = {"fs": fs, "unit": unit, "leads": tuple(leads.split(",")) if leads else None}
    how = {"layout": layout, "speed_mm_s": speed, "gain_mm_mv": gain, "start_s": start, "duration_s": seconds}
    targets = [out] if named else _targets(files, out, kind)
    failed = False
    many = len(files) > 1
    with bar("drawing") if many or kind == "pdf" else nullcontext(lambda done, total: None) as progress:
        for k, (file, target) in enumerate(zip(files, targets, strict=True)):
            try:
                record = read_record(file, **stated)
                left = _write(record, target, kind, how, dpi, None if many else progress)
                print(target)
                for text in filter(None, [left, *_doubts(record)]):
                    print(f"note: {file}: {text}", file=sys.stderr)
            except RecordError as error:
                failed = True
                print(f"error: {error}", file=sys.stderr)
            if many:
                progress(k + 1, len(files))
    if failed:
        raise typer.Exit(2)


def _kind(out: Path, kind: str | None, n_files: int) -> tuple[str, bool]:
    """What to write, and whether ``out`` names the file."""
    ending = out.suffix.lower().lstrip(".")
    named = ending in _KINDS and not out.is_dir()
    if ending and not named and not out.is_dir():
        raise EinthovenError(f"{out}: ends in .{ending}; write one of {', '.join(_KINDS)}, or name a folder")
    if kind is not None and kind not in _KINDS:
        raise EinthovenError(f"--format {kind!r}{nearest(kind, _KINDS)}: write one of {', '.join(_KINDS)}")
    if named and n_files > 1:
        raise EinthovenError(f"{out}: is one name for {n_files} files; name a folder with --out")
    if named and kind not in (None, ending):
        raise EinthovenError(f"{out}: ends in .{ending}, but --format is {kind}; drop one of both")
    return (ending if named else kind or "png"), named


def _targets(files: list[Path], folder: Path, kind: str) -> list[Path]:
    targets = [folder / f"{file.stem or file.name}.{kind}" for file in files]
    if twice := {target.name for target in targets if targets.count(target) > 1}:
        raise EinthovenError(f"several files would be written as {min(twice)}; draw them into different folders")
    if over := [str(target) for target in targets if target.resolve() in {file.resolve() for file in files}]:
        raise EinthovenError(f"{over[0]}: is read and would be overwritten; name another folder with --out")
    return targets


def _doubts(record: Record) -> list[str]:
    from einthoven.signals import check_signal

    return [flag.text for flag in check_signal(record.signal, record.fs, record.leads)]


def _write(
    record: Record,
    target: Path,
    kind: str,
    how: dict[str, Any],
    dpi: float,
    progress: Callable[[int, int], None] | None,
) -> str:
    """Write a file; returns what it does not show, in words."""
    if kind == "html":
        from einthoven.plots.interactive import save_interactive

        save_interactive(record, target, layout=how["layout"])
        return ""
    from einthoven.plots.paper import save_ecg, sheets_of
    from einthoven.plots.sheet_text import part_words

    save_ecg(record, target, dpi=dpi, progress=progress, **how)
    start, wanted = how["start_s"], how["duration_s"]
    sheets, pages = (sheets_of(record, start, wanted, kind=each) for each in (kind, "pdf"))
    more = "; a PDF has a page for every 10 s" if len(pages) > len(sheets) else ""
    return part_words(record, start, sum(sheets[-1]) - start).rstrip(".") + more
