"""Size, memory, start and speed of a model in PyTorch, ONNX Runtime and as each of its artefacts, and their ratios.

usage: python benchmarks/edge.py [MODEL=ptbxl-superdiagnostic] [ROUNDS=7] [--compile]

The shipped model has no artefacts; make them with  einthoven export ptbxl-superdiagnostic DATASET --to int8  and name
the bundle that this writes. What is counted and how: docs/edge.md; ``einthoven bench`` prints the same in full.
"""

from __future__ import annotations

import sys
from typing import Any

from _timing import report
from einthoven.cli.progress import bar, say
from einthoven.edge.bench import Settings, bench
from einthoven.edge.bench_machine import busy


def main(model: str, rounds: int, compile_too: bool) -> None:
    with bar("measuring") as progress:
        found = bench([model], Settings(rounds, compile=compile_too), progress)
    if warning := busy(found["machine"]):
        say(f"warning: {warning}")
    ((name, about),) = found["models"].items()
    figures: dict[str, Any] = {"load average before": found["machine"]["load"], "model": name}
    figures |= {"parameters": about["parameters"], "MACs of a window": about["macs"]}
    rows = {row["way"]: row for row in found["rows"]}
    for way, row in rows.items():
        figures |= figures_of(row)
        if "torch" in rows:
            figures[f"{way}, times smaller than torch"] = rows["torch"]["file_bytes"] / row["file_bytes"]
    report("edge", figures)


def figures_of(row: dict[str, Any]) -> dict[str, float]:
    way = row["way"]
    figures = {
        f"{way}, file, kB": row["file_bytes"] / 1e3,
        f"{way}, peak memory, MB": row["memory_bytes"]["peak"] / 1e6,
        f"{way}, cold start, s": row["cold_start_s"],
    }
    if row["auroc"]:
        figures[f"{way}, macro AUROC, {row['auroc']['split']}"] = row["auroc"]["value"]
    for threads, timed in row["threads"].items():
        on = f"{way}, {threads} thread{'s' if threads != '1' else ''}"
        figures[f"{on}, one window, ms (median)"] = timed["latency_ms"]["p50"]
        for reference, ratios in timed["speedup"].items():
            if reference != "first":
                figures[f"{on}, times faster than {reference}"] = ratios["window"]["value"]
    return figures


if __name__ == "__main__":
    names = [each for each in sys.argv[1:] if each != "--compile"]
    if len(names) > 2 or any(each.startswith("-") for each in names):
        sys.exit(__doc__)
    model, rounds = (*names, *["ptbxl-superdiagnostic", "7"][len(names) :])
    main(model, int(rounds), "--compile" in sys.argv)
