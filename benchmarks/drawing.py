"""How long does it take to draw twelve leads of ten seconds? Target: under 0.3 s.

    python benchmarks/drawing.py [--rounds 15]

Median over rounds, each a whole file from record to disk, of a synthetic ECG at 500 Hz; at 150 pixels per inch where
there are any. Writes ``benchmarks/results/drawing.json``.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from _timing import median_seconds, report
from einthoven.corpora.synthetic import example_record
from einthoven.plots.interactive import save_interactive
from einthoven.plots.paper import save_ecg
from einthoven.record import Record


def main() -> None:
    """Draw each kind of file, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    record = example_record("NORM", fs=500)
    attribution = np.gradient(record.signal, axis=1).astype(np.float64)
    figures: dict[str, float | int | str] = {"rounds": rounds, "leads": len(record.leads), "seconds": record.duration_s}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("png", "svg", "pdf"):
            path = Path(folder) / f"ecg.{kind}"
            figures[f"{kind}, s"] = median_seconds(lambda path=path: save_ecg(record, path), rounds)
        page = Path(folder) / "ecg.html"
        figures["html, s"] = median_seconds(lambda: save_interactive(record, page), rounds)
        figures["html, kB"] = round(page.stat().st_size / 1000)
        five = {name: attribution for name in ("NORM", "MI", "STTC", "CD", "HYP")}
        figures["html with five overlays, s"] = median_seconds(
            lambda: save_interactive(record, page, overlays=five), max(3, rounds // 3)
        )
        figures["html with five overlays, kB"] = round(page.stat().st_size / 1000)
        long = Record(np.tile(record.signal[:2], (1, 180)), record.fs, record.leads[:2])
        figures["html of 30 minutes of two leads, s"] = median_seconds(lambda: save_interactive(long, page), 3)
        figures["html of 30 minutes of two leads, kB"] = round(page.stat().st_size / 1000)
    report("drawing", figures)


if __name__ == "__main__":
    main()
