"""A recording in, beats out: how many are found, and how many get their class.

    python benchmarks/heartbeats.py MITDB_FOLDER [--model mitdb-heartbeats] [--records 101,119,124,205,220,223]

Beats are found in all leads and judged in each lead by itself, as ``einthoven beats`` does; a found beat is an
annotated one where both lie within 0.15 s (ANSI/AAMI EC57). The default records are fold 9 of DS1, which chose the
epoch and fitted the calibration: no test set. What is missed or in excess stands in the last column and row. Writes
``benchmarks/results/heartbeats.json``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import load_bundle
from einthoven.features.locating import locate_beats
from einthoven.formats import read_record
from einthoven.labels import load_system, make_task
from einthoven.metrics.beats import AAMI_CLASSES, aami_summary, beat_metrics
from einthoven.workflow.heartbeats import judge_beats

RESULTS = Path(__file__).parent / "results" / "heartbeats.json"
WITHIN_S = 0.15


def matched(
    found: NDArray[np.int64], true: NDArray[np.int64], most: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Found and annotated beats that are each other's nearest, and near."""
    distance = np.abs(found[:, None] - true[None, :])
    nearest_true, nearest_found = distance.argmin(axis=1), distance.argmin(axis=0)
    i = np.flatnonzero(nearest_found[nearest_true] == np.arange(len(found)))
    i = i[distance[i, nearest_true[i]] <= most]
    return i, nearest_true[i]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mitdb", type=Path)
    parser.add_argument("--model", default="mitdb-heartbeats")
    parser.add_argument("--records", default="101,119,124,205,220,223")
    options = parser.parse_args()
    bundle = load_bundle(options.model)
    system = load_system("mitbih")
    confusion: dict[str, NDArray[np.int64]] = {}
    found_total = true_total = hits = 0
    began, seconds_of_ecg = time.perf_counter(), 0.0
    rows: list[dict[str, Any]] = []
    for name in options.records.split(","):
        record = read_record(options.mitdb / f"{name}.hea", beats=True)
        assert record.beats is not None
        task = make_task("aami", system.table_for(sorted(set(record.beats.symbols.tolist()))))
        true = np.array([AAMI_CLASSES.index(task.class_of[s]) for s in record.beats.symbols.tolist()])
        found = locate_beats(record.signal, record.fs)
        i, j = matched(found, record.beats.samples, WITHIN_S * record.fs)
        found_total, true_total, hits = found_total + len(found), true_total + len(true), hits + len(i)
        seconds_of_ecg += record.duration_s
        for place, lead in enumerate(record.leads):
            judged = judge_beats(bundle, record, lead=lead, samples=found.tolist())
            chosen = np.array([AAMI_CLASSES.index(each) for each in judged.names])
            kind = "first lead (MLII)" if lead == "MLII" else "other lead (V1, V4)"
            table = confusion.setdefault(kind, np.zeros((6, 6), np.int64))
            np.add.at(table, (true[j], chosen[i]), 1)
            np.add.at(table, (true[np.setdiff1d(np.arange(len(true)), j)], 5), 1)  # missed
            np.add.at(table, (5, chosen[np.setdiff1d(np.arange(len(found)), i)]), 1)  # in excess
            rows.append({"record": name, "lead": lead, "place": place, **judged.counts()})
    report: dict[str, Any] = {
        "model": bundle.name,
        "records": options.records,
        "detection": {"se": hits / true_total, "ppv": hits / found_total, "beats": true_total},
        "seconds_per_hour_of_ecg": (time.perf_counter() - began) / seconds_of_ecg * 3600,
        "counts": rows,
    }
    print(f"{true_total:,} beats; found: Se {hits / true_total:.4f}, +P {hits / found_total:.4f}")
    for kind, table in confusion.items():
        classes = table[:5, :5]
        summary = aami_summary(classes)
        each = beat_metrics(classes)
        report[kind] = {
            "confusion": table.tolist(),
            "aami": summary,
            "se": each["se"].tolist(),
            "ppv": each["ppv"].tolist(),
        }
        print(kind, {k: {m: round(v, 3) for m, v in s.items()} for k, s in summary.items()})
        print(np.array2string(table))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
