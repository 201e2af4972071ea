"""Can the shipped bundle's explanations be believed? Completeness, faithfulness, random weights, experts' waves.

    python benchmarks/explanations.py LUDB_FOLDER DATASET_FOLDER [--records 100] [--methods ig,deeplift,gradcam]

LUDB's experts marked P, QRS and T in every lead; what lies before their first or after their last mark is not counted.
The dataset is PTB-XL at 100 Hz; its validation fold is used. Writes ``benchmarks/results/explanations.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from einthoven.bundle import load_bundle
from einthoven.dataset import open_dataset
from einthoven.errors import EinthovenError, RecordError
from einthoven.explain import METHODS, WAVES, Settings, open_model, open_subject
from einthoven.explain.checks import faithfulness, mean_interval, randomisation
from einthoven.explain.explaining import explain_subject
from einthoven.explain.explanation import wave_shares
from einthoven.formats import read_record
from einthoven.formats.wfdb_annotations import read_annotations
from einthoven.record import Record
from einthoven.workflow.selection import select_for_bundle

BUNDLE = "ptbxl-superdiagnostic"
RESULTS = Path(__file__).parent / "results" / "explanations.json"
T_REACH_S = 0.6  # from the end of QRS to the end of the T wave that belongs to it, at most


def expert_labels(folder: Path, record: Record, fs: float, n_samples: int) -> NDArray[np.int8]:
    """Waves of each lead as the experts marked them, at ``fs`` Hz, shape (leads, samples); -1 where nobody looked."""
    labels = np.full((len(record.leads), n_samples), -1, np.int8)
    for row, lead in zip(labels, record.leads, strict=True):
        notes = read_annotations(folder / "data" / f"{record.record_id}.{lead.lower()}", lead.lower())
        at, symbols = np.asarray(notes.samples) * fs / record.fs, notes.symbols
        row[round(at[0]) : round(at[-1]) + 1] = 0
        spans = [(symbols[k], at[k - 1], at[k + 1]) for k in range(1, len(symbols) - 1) if symbols[k] in "pNt"]
        spans = [span for k, span in enumerate(spans) if np.isfinite(span[1:]).all()]
        ends = [off for symbol, _, off in spans if symbol == "N"]
        for symbol, on, off in spans:
            before = [end for end in ends if on - T_REACH_S * fs < end <= on]
            first = before[-1] if symbol == "t" and before else on
            row[round(first) : round(off) + 1] = {"p": 1, "N": 2, "t": 3}[symbol]
        for symbol, on, off in spans:  # where waves meet, the complex has the sample
            if symbol == "N":
                row[round(on) : round(off) + 1] = 2
    return labels


def on_ludb(bundle: Any, model: Any, folder: Path, method: str, n_records: int) -> dict[str, Any]:
    """Share of what speaks for each found class in each wave, over its share of time."""
    ratios: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    numbers = sorted(int(file.stem) for file in (folder / "data").glob("*.hea"))[:n_records]
    for number in numbers:
        record = read_record(folder / "data" / f"{number}.hea")
        try:
            subject = open_subject(bundle, record, model)
        except RecordError:
            continue
        if not any(finding.present for finding in subject.prediction.findings):
            continue
        found = explain_subject(subject, method=method)
        labels = expert_labels(folder, record, bundle.spec.fs, subject.x.shape[1])
        for name in found.classes:
            for share in wave_shares(found.of(name), labels):
                if np.isfinite(share.ratio):
                    ratios[name][share.wave].append(share.ratio)
    return {
        name: {wave: mean_interval(ratios[name][wave]) for wave in WAVES} for name in bundle.classes if name in ratios
    }


def on_dataset(bundle: Any, model: Any, path: Path, method: str, n_records: int, n_randomised: int) -> dict[str, Any]:
    """Completeness, deletion and insertion, randomised weights, and seconds of CPU."""
    selected = select_for_bundle(bundle, open_dataset(path))
    rows = np.sort(np.random.default_rng(0).permutation(selected.rows["validation"])[:n_records])
    gaps: list[float] = []
    shares: list[float] = []
    seconds: list[float] = []
    gains: dict[str, list[float]] = defaultdict(list)
    correlations: dict[str, list[float]] = defaultdict(list)
    settings = Settings(steps=METHODS[method].steps)
    for row in rows.tolist():
        subject = open_subject(bundle, selected.dataset.record(row), model)
        if not any(finding.present for finding in subject.prediction.findings):
            continue
        began = time.process_time()
        found = explain_subject(subject, method=method, settings=settings)
        seconds.append((time.process_time() - began) / len(found.classes))
        for k, name in enumerate(found.classes):
            gaps.append(abs(float(found.gap[k])))
            shares.append(abs(float(found.gap[k])) / max(abs(float(found.scores[k] - found.reference[k])), 1e-9))
            for what, value in faithfulness(subject, found.of(name), name).gains.items():
                gains[what].append(value)
            if len(correlations["all"]) < n_randomised:
                for part, value in randomisation(subject, method, name, settings).items():
                    correlations[part].append(value)
    summed = METHODS[method].complete
    return {
        "findings": len(gaps),
        "gap_median": float(np.median(gaps)) if summed else None,
        "gap_largest": float(np.max(gaps)) if summed else None,
        "gap_share_median": float(np.median(shares)) if summed else None,
        "gap_share_largest": float(np.max(shares)) if summed else None,
        "cpu_seconds_median": float(np.median(seconds)),
        "faithfulness": {what: mean_interval(values) for what, values in gains.items()},
        "randomisation": {part: mean_interval(values) for part, values in correlations.items()},
    }


def main() -> None:
    """Measure, and write after each method, so that an interrupted run has what it had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ludb", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--records", type=int, default=100)
    parser.add_argument("--randomised", type=int, default=10)
    parser.add_argument("--methods", default="ig,deeplift,gradcam,occlusion-waves,eg")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bundle = load_bundle(BUNDLE, threads=1)
    model = open_model(bundle)
    results = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    for method in arguments.methods.split(","):
        try:
            results[method] = {
                "records": arguments.records,
                "ludb": on_ludb(bundle, model, arguments.ludb, method, arguments.records),
                "dataset": on_dataset(
                    bundle, model, arguments.dataset, method, arguments.records, arguments.randomised
                ),
            }
        except EinthovenError as error:
            results[method] = {"error": str(error)}
        print(method, json.dumps(results[method], indent=1))
        arguments.out.parent.mkdir(exist_ok=True)
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
