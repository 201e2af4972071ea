"""The tables that lie beside the signals, written and read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from einthoven.dataset.table import record_schema
from einthoven.files import atomic_write

__all__ = ["TableWriter", "count_patients", "table_blocks"]

_ROWS = 65_536  # of a row group; fewer are held in memory


class TableWriter:
    """A Parquet file that grows by blocks and is whole or absent.

    Args:
        path: the file.
        schema: Arrow's; that of ``records.parquet`` by default.
    """

    def __init__(self, path: Path, schema: Any = None) -> None:
        self._path, self.schema = path, schema or record_schema()
        self._held: list[Any] = []
        self._n_held = 0
        self.n_rows = 0

    def __enter__(self) -> TableWriter:
        import pyarrow.parquet as pq

        self._place: AbstractContextManager[Path] = atomic_write(self._path)
        path = self._place.__enter__()
        try:
            self._writer = pq.ParquetWriter(path, self.schema)
        except OSError as error:
            self._place.__exit__(type(error), error, error.__traceback__)  # says it in a sentence
            raise
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                self._flush()
            self._writer.close()
        except OSError as cause:
            self._place.__exit__(type(cause), cause, cause.__traceback__)
            raise
        self._place.__exit__(*error)

    def add(self, columns: Mapping[str, Any]) -> None:
        """Append rows, given as columns; a column that is not given has no value."""
        import pyarrow as pa

        n = len(next(iter(columns.values())))
        arrays = [
            pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(n, field.type)
            for field in self.schema
        ]
        self.add_table(pa.Table.from_arrays(arrays, schema=self.schema))

    def add_table(self, table: Any) -> None:
        """Append the rows of an Arrow table of the same schema."""
        self._held.append(table)
        self._n_held += len(table)
        self.n_rows += len(table)
        if self._n_held >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._held:
            self._writer.write_table(pa.concat_tables(self._held))
        self._held, self._n_held = [], 0


def table_blocks(path: Path, schema: Any = None) -> Iterator[Any]:
    """The rows of a Parquet file, a block at a time, with the columns of a schema; absent ones have no values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    schema = schema or file.schema_arrow
    for batch in file.iter_batches(_ROWS):
        names = batch.schema.names
        arrays = [
            batch.column(field.name).cast(field.type) if field.name in names else pa.nulls(len(batch), field.type)
            for field in schema
        ]
        yield pa.Table.from_arrays(arrays, schema=schema)


def count_patients(path: Path, columns: Sequence[str] = ("patient_id",)) -> int:
    """How many patients a table of records names."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    return int(pc.count_distinct(pq.read_table(path, columns=list(columns)).column("patient_id")).as_py())
