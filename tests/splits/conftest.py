"""Datasets made to measure: any patients, sources, statements and signals."""

from pathlib import Path

import numpy as np
import pytest

from einthoven.dataset import Dataset, RecordTable, Shard
from einthoven.labels import Statement
from einthoven.leads import TWELVE_LEADS
from einthoven.spec import SignalSpec

TABLE = {
    "164889003": Statement("atrial fibrillation", {"rhythm": "AF"}),
    "426783006": Statement("sinus rhythm", {"rhythm": "SR"}),
    "59118001": Statement("right bundle branch block", {"conduction": "RBBB"}),
}


@pytest.fixture
def make_dataset(tmp_path: Path):
    """A function that makes a dataset; columns that are not given are plain ones."""

    def make(statements, *, signals=None, seed=0, **columns) -> Dataset:
        n = len(statements)
        if signals is None:
            signals = np.random.default_rng(seed).normal(0, 300, (n, 250, len(TWELVE_LEADS))).round().astype(np.int16)
        folder = tmp_path / "dataset"
        (folder / "signals").mkdir(parents=True, exist_ok=True)
        lengths = np.array([len(signal) for signal in signals])
        np.save(folder / "signals" / "000.npy", np.concatenate(list(signals)))
        usual = {
            "record_id": [f"r{k}" for k in range(n)],
            "patient_id": [f"p{k}" for k in range(n)],
            "source": ["A"] * n,
            "age": [50.0] * n,
            "sex": ["female"] * n,
            "fold": [None] * n,
        }
        table = RecordTable(
            **{**usual, **{key: value for key, value in columns.items() if key in usual}},
            statements=[dict.fromkeys(codes) for codes in statements],
            shard=np.zeros(n, np.int64),
            offset=np.concatenate([[0], np.cumsum(lengths)[:-1]]),
            length=lengths,
        )
        return Dataset(
            path=folder,
            name="made",
            spec=SignalSpec(),
            step_uv=1.0,
            label_system=columns.get("label_system", "snomed"),
            label_table=TABLE,
            attribution="",
            complete_labels=True,
            shared_patients=columns.get("shared_patients", {}),
            listing_sha256="0" * 64,
            records=table,
            shards=(Shard("000.npy", int(lengths.sum()), ""),),
        )

    return make
