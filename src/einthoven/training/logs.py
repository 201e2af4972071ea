"""Who is told about every epoch? TensorBoard always, MLflow where the recipe asks for it; predictions as Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from einthoven.errors import EinthovenError, MissingExtraError
from einthoven.files import atomic_write
from einthoven.training.recipe import Recipe
from einthoven.training.runs import Run

__all__ = ["EpochLog", "open_log", "write_epoch_predictions"]

Row = Mapping[str, float]


class EpochLog:
    """Where the rows of the history go."""

    def __init__(self, sinks: Sequence[Any]) -> None:
        self._sinks = sinks

    def write(self, row: Row) -> None:
        """Tell all about one epoch."""
        for sink in self._sinks:
            sink.write(row)


@contextmanager
def open_log(run: Run, recipe: Recipe, history: Sequence[Row]) -> Iterator[EpochLog]:
    """Open the logs of a run, and close them at the end, however it comes.

    Args:
        run: the folder.
        recipe: names the MLflow server, if any.
        history: epochs that are done; later ones in the logs are forgotten.

    Raises:
        MissingExtraError: MLflow is wanted but not installed.
        EinthovenError: MLflow's server does not answer.
    """
    with ExitStack() as stack:
        sinks: list[Any] = [stack.enter_context(_tensorboard(run, len(history)))]
        if recipe.training.mlflow:
            sinks.append(stack.enter_context(_mlflow(run, recipe, history)))
        yield EpochLog(sinks)


def write_epoch_predictions(
    path: Path,
    record_id: Sequence[str],
    classes: Sequence[str],
    targets: NDArray[np.float32],
    probabilities: NDArray[np.float64],
) -> None:
    """Write ``record_id, y_<class>, p_<class>`` of an epoch; a null target is unknown, p is before calibration.

    Args:
        path: of the Parquet file.
        record_id: one of each row.
        classes: names of the columns.
        targets: shape (records, classes), 0, 1 or NaN (unknown).
        probabilities: shape (records, classes).
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"record_id": pa.array(record_id, pa.string())}
    for k, name in enumerate(classes):
        columns[f"y_{name}"] = pa.array(targets[:, k], pa.float32(), from_pandas=True)
    for k, name in enumerate(classes):
        columns[f"p_{name}"] = pa.array(probabilities[:, k], pa.float64())
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, row: Row) -> None:
        for name, value in row.items():
            self._writer.add_scalar(name, value, row["epoch"])


@contextmanager
def _tensorboard(run: Run, n_done: int) -> Iterator[_TensorBoard]:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=n_done + 1)
    try:
        yield _TensorBoard(writer)
    finally:
        writer.close()


class _Mlflow:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id

    def write(self, row: Row) -> None:
        for name, value in row.items():
            self._client.log_metric(self._run_id, name, value, step=int(row["epoch"]))


@contextmanager
def _mlflow(run: Run, recipe: Recipe, history: Sequence[Row]) -> Iterator[_Mlflow]:
    """One MLflow run per run folder, continued with it; experiment and run have the names of recipe and folder."""
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError:
        raise MissingExtraError("training.mlflow", "mlflow") from None
    uri = recipe.training.mlflow
    try:
        client = MlflowClient(tracking_uri=uri)
        sink = _Mlflow(client, run_id := _mlflow_run(client, run, recipe))
        told = {metric.step for metric in client.get_metric_history(run_id, "train_loss")}
        for row in history:  # an epoch may have been kept but not told when the process was killed
            if int(row["epoch"]) not in told:
                sink.write(row)
        try:
            yield sink
        except BaseException:
            client.set_terminated(run_id, "KILLED")
            raise
        client.set_terminated(run_id, "FINISHED")
    except MlflowException as error:
        raise EinthovenError(f"training.mlflow: {uri} does not take the log: {' '.join(str(error).split())}") from None


def _mlflow_run(client: Any, run: Run, recipe: Recipe) -> str:
    known = run.path / "mlflow-run.txt"
    if known.is_file():
        run_id = known.read_text(encoding="utf-8").strip()
        client.update_run(run_id, status="RUNNING")
        return run_id
    experiment = client.get_experiment_by_name(recipe.name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(recipe.name)
    run_id = str(client.create_run(experiment_id, run_name=run.path.name).info.run_id)
    for key, value in _flat(recipe):
        client.log_param(run_id, key, value)
    with atomic_write(known) as temporary:
        temporary.write_text(run_id + "\n", encoding="utf-8")
    return run_id


def _flat(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Keys as ``training.lr`` and their values; what has no keys of its own as JSON."""
    plain = section.model_dump(mode="json")
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", plain[key] if isinstance(plain[key], str) else json.dumps(plain[key])
