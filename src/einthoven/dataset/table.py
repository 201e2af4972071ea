"""The table of records: one row per record, columns of Arrow and NumPy, read and written as Parquet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.dataset.columns import Column, StatementColumn
from einthoven.errors import DatasetError

__all__ = ["RecordTable", "read_parquet", "read_records", "record_schema"]

_PLACE = ("shard", "offset", "length")


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Facts of every record, as columns of equal length; None where the source does not tell.

    Columns of an opened dataset are read like lists and take about 150 bytes a record in all. ``crc32`` is of the
    record's stored samples, -1 where it was not written down.
    """

    record_id: Sequence[str]
    patient_id: Sequence[str | None]
    source: Sequence[str]
    age: Sequence[float | None]
    sex: Sequence[str | None]
    fold: Sequence[int | None]
    statements: Sequence[Mapping[str, float | None]]
    shard: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    crc32: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.record_id)


def record_schema() -> Any:
    """Arrow types of ``records.parquet``."""
    import pyarrow as pa

    text = pa.string()
    return pa.schema(
        [
            ("record_id", text),
            ("patient_id", text),
            ("source", text),
            ("age", pa.float32()),
            ("sex", text),
            ("fold", pa.int16()),
            ("statements", pa.map_(text, pa.float32())),
            ("shard", pa.int32()),
            ("offset", pa.int64()),
            ("length", pa.int64()),
            ("crc32", pa.int64()),
        ]
    )


def read_records(path: Path, n_shards: int) -> RecordTable:
    """Read ``records.parquet``; no value becomes a Python object.

    Args:
        path: the file.
        n_shards: of the dataset; records of later ones are of an append that is not finished, and not yet ours.

    Raises:
        DatasetError: it cannot be read, or lacks a column.
    """
    table = read_parquet(path)
    wanted = [field.name for field in fields(RecordTable)]
    absent = [name for name in wanted if name not in table.column_names and name != "crc32"]
    if absent:
        raise DatasetError(f"{path}: no column {', '.join(absent)}; prepare the dataset again")
    import pyarrow.compute as pc

    table = table.filter(pc.less(table.column("shard"), n_shards))
    columns: dict[str, Any] = {name: one_chunk(table.column(name)) for name in wanted if name in table.column_names}
    for name, array in columns.items():
        if name in (*_PLACE, "crc32"):
            columns[name] = array.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        else:
            columns[name] = (StatementColumn if name == "statements" else Column)(array)
    return RecordTable(**columns)


def one_chunk(column: Any) -> Any:
    """An Arrow column as a single array."""
    import pyarrow as pa

    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def read_parquet(path: Path) -> Any:
    """Read a Parquet file as an Arrow table.

    Raises:
        DatasetError: it cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path}: cannot be read: {error}; prepare the dataset again") from None
