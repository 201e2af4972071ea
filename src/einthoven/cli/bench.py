"""``einthoven bench``: size, memory, start and speed of each way of computing models, as tables, files and a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from einthoven.cli.progress import bar, say
from einthoven.cli.tables import Columns, print_columns
from einthoven.errors import RecipeError

__all__ = ["bench"]

Json = Mapping[str, Any]


def bench(
    models: Annotated[list[str], typer.Argument(help="bundle folders, run folders or pretrained names")],
    rounds: Annotated[int, typer.Option(help="in each of which every way of computing has a turn")] = 7,
    threads: Annotated[str, typer.Option(help="numbers of threads  [default: 1,2, as far as there are cores]")] = "",
    batch: Annotated[int, typer.Option(help="windows at a time, for the throughput")] = 64,
    only: Annotated[
        str, typer.Option(help="ways to measure, as torch,onnx,int8  [default: all but compile]", metavar="WAYS")
    ] = "",
    compile_too: Annotated[
        bool, typer.Option("--compile", help="measure torch.compile too: a minute or more to compile")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="folder to write bench.json, bench.csv, bench.png and bench.svg into")
    ] = None,
) -> None:
    """Measure size, memory, start and speed of models in PyTorch, ONNX Runtime and as each exported artefact."""
    from einthoven.edge.bench import Settings
    from einthoven.edge.bench import bench as measure
    from einthoven.edge.bench_machine import busy

    settings = Settings(rounds, _counts(threads), batch, tuple(filter(None, only.split(","))), compile_too)
    with bar("measuring") as progress:
        found = measure(models, settings, progress)
    _print(found)
    if warning := busy(found["machine"]):
        say(f"warning: {warning}")
    if out is not None:
        _write(out, found)


def _counts(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise RecipeError(f"--threads are numbers, as 1,2; got {text!r}") from None


def _print(found: Json) -> None:
    machine = found["machine"]
    sets = ", ".join(name for name, there in (machine["instructions"] or {}).items() if there) or "unknown"
    print(f"{machine['cpu']}, {machine['cores']} cores, instruction sets: {sets}")
    for name, model in found["models"].items():
        macs = f", {model['macs'] / 1e6:,.1f} million MACs a window" if model["macs"] else ""
        print(
            f"{name}: {model['network']}, {model['parameters']:,} parameters{macs} of {model['leads']} leads x "
            f"{model['window'] / model['fs']:g} s; a 10 s record is {model['windows_of_a_record']} windows"
        )
    many = len(found["models"]) > 1
    _print_table(_WAYS, found["rows"], many)
    timed = [{**row, **figures, "n": threads} for row in found["rows"] for threads, figures in row["threads"].items()]
    _print_table([*_TIMES, *([("x first model", _speedup("first"))] if many else [])], timed, many)
    print("x: times faster for one window, the median of paired rounds and its quartiles")
    _print_skipped(found)


def _print_table(columns: Columns, rows: Sequence[Json], many: bool) -> None:
    """The model's name only where there are several."""
    print()
    print_columns([*([("model", lambda row: row["model"])] if many else []), *columns], rows, 1 + many)


def _print_skipped(found: Json) -> None:
    """What was not measured and why; what holds for every model is said once."""
    models: dict[tuple[str, str], list[str]] = {}
    for each in found["skipped"]:
        models.setdefault((each["way"], each["why"]), []).append(each["model"])
    for (way, why), names in models.items():
        print(f"not measured: {', '.join(names)}, {way}: {why}")


def _speedup(name: str) -> Callable[[Json], str]:
    def show(row: Json) -> str:
        if name not in row["speedup"]:
            return ""
        found = row["speedup"][name]["window"]
        return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"

    return show


def _megabytes(key: str) -> Callable[[Json], str]:
    return lambda row: "" if row["memory_bytes"][key] is None else f"{row['memory_bytes'][key] / 1e6:,.0f}"


_WAYS: Columns = (
    ("way", lambda row: row["way"]),
    ("file kB", lambda row: f"{row['file_bytes'] / 1e3:,.0f}"),
    ("AUROC", lambda row: f"{row['auroc']['value']:.4f} ({row['auroc']['split']})" if row["auroc"] else ""),
    ("MB loaded", _megabytes("loaded")),
    ("1st record", _megabytes("first_record")),
    ("peak", _megabytes("peak")),
    ("cold start s", lambda row: f"{row['cold_start_s']:.2f}"),
)
_TIMES: Columns = (
    ("way", lambda row: row["way"]),
    ("threads", lambda row: row["n"]),
    ("p50 ms", lambda row: f"{row['latency_ms']['p50']:.2f}"),
    ("p95 ms", lambda row: f"{row['latency_ms']['p95']:.2f}"),
    ("record ms", lambda row: f"{row['record_ms']:.1f}"),
    ("windows/s", lambda row: f"{row['windows_per_s']:,.0f}"),
    ("x torch", _speedup("torch")),
    ("x onnx", _speedup("onnx")),
)


def _write(folder: Path, found: Json) -> None:
    from einthoven.edge.bench import flat_rows
    from einthoven.evaluation.tables import write_csv
    from einthoven.files import write_json

    write_json(folder / "bench.json", found)
    write_csv(folder / "bench.csv", flat_rows(found))
    print(f"figures {folder / 'bench.json'}\ntable   {folder / 'bench.csv'}")
    try:
        from einthoven.plots.bench import bench_figure
        from einthoven.plots.inline import save_figure
    except ModuleNotFoundError as error:
        return say(f"no plot: {error.name} is not installed; pip install 'einthoven[report]'")
    try:
        figure = bench_figure(found)
    except ValueError as error:
        return say(f"no plot: {error}")
    for suffix in ("png", "svg"):
        save_figure(figure, folder / f"bench.{suffix}")
    print(f"plot    {folder / 'bench.png'}")
