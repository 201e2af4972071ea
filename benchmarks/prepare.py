"""Preparing PTB-XL at 100 Hz against a loop over ``wfdb.rdrecord`` in the same run.

usage: python benchmarks/prepare.py PTBXL_DIR [RECORDS_OF_THE_LOOP=2000]

The loop only reads; ``prepare`` reads, checks, conforms, writes and hashes. The loop's time is scaled from a spread
sample of records to all of them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

from _timing import median_seconds, report
from einthoven.corpora import open_corpus
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec


def main(root: Path, n_loop: int) -> None:
    import wfdb

    corpus = open_corpus("ptb-xl", root)
    dest = Path(tempfile.mkdtemp()) / "dataset"

    def ours() -> None:
        shutil.rmtree(dest, ignore_errors=True)
        prepare(open_corpus("ptb-xl", root), dest, SignalSpec())

    seconds = median_seconds(ours, 3)
    shutil.rmtree(dest.parent)
    sample = corpus.entries[:: max(1, len(corpus.entries) // n_loop)]
    began = time.perf_counter()
    for entry in sample:
        wfdb.rdrecord(str(entry.path))
    loop = (time.perf_counter() - began) * len(corpus.entries) / len(sample)
    figures = {"records": len(corpus.entries), "prepare, s (median of 3)": seconds}
    report("prepare", {**figures, "wfdb.rdrecord loop, s": loop, "loop / prepare": loop / seconds})


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
