"""Measurements of a dataset: kept, read, made again when stale, and refused with a sentence."""

import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from einthoven.cli.main import app
from einthoven.dataset import open_dataset
from einthoven.errors import DatasetError, MissingExtraError
from einthoven.features import MEASURED_VERSION, measure, measure_dataset, measured_names, read_measured, table

pytest.importorskip("neurokit2", reason="needs einthoven[features]")


@pytest.fixture(scope="module")
def folder(dataset_folder, tmp_path_factory):
    """A copy of the synthetic dataset with its first 70 records, measured by command."""
    copy = tmp_path_factory.mktemp("measured") / "dataset"
    shutil.copytree(dataset_folder, copy)
    records = pq.read_table(copy / "records.parquet").slice(0, 70)
    pq.write_table(records, copy / "records.parquet")
    done = CliRunner().invoke(app, ["measure", str(copy), "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "70 records, 110 measurements each" in done.output
    assert "qrs_ms" in done.output
    return copy


@pytest.fixture
def untouched(folder, tmp_path):
    """A copy that a test may damage."""
    return open_dataset(shutil.copytree(folder, tmp_path / "dataset"))


def test_the_table_has_what_measuring_each_record_gives(folder):
    dataset = open_dataset(folder)
    found = read_measured(dataset)
    assert found.names == measured_names(dataset.spec.leads)
    assert found.values.dtype == np.float32
    for row in (0, 33, 69):
        numbers = measure(dataset.signal(row), dataset.spec.fs, dataset.spec.leads)
        np.testing.assert_array_equal(found.values[row], np.array(list(numbers.values()), np.float32))
    assert np.isfinite(found.values[:, found.names.index("qrs_ms")]).mean() > 0.9


def test_two_processes_measure_what_one_does(untouched):
    steps = []
    before = read_measured(untouched)
    again = measure_dataset(untouched, workers=2, overwrite=True, progress=lambda *at: steps.append(at))
    np.testing.assert_array_equal(again.values, before.values)
    np.testing.assert_array_equal(read_measured(untouched).values, before.values)
    assert [total for _, total in steps] == [70, 70]
    assert steps[-1] == (70, 70)


def test_what_is_measured_is_not_measured_again(untouched):
    assert len(measure_dataset(untouched, fan_out=None).values) == 70


def test_an_unmeasured_dataset_says_how_to_measure_it(untouched):
    (untouched.path / "measured.parquet").unlink()
    with pytest.raises(DatasetError, match=f"run  einthoven measure {untouched.path}$"):
        read_measured(untouched)


@pytest.mark.parametrize("stale", ["version", "listing", "signals", "records", "leads"])
def test_stale_measurements_are_refused_and_made_again(untouched, monkeypatch, stale):
    dataset = untouched
    if stale == "version":
        monkeypatch.setattr(table, "MEASURED_VERSION", MEASURED_VERSION + 1)
    elif stale == "listing":
        dataset = replace(dataset, listing_sha256="0" * 64)
    elif stale == "signals":
        dataset = replace(dataset, shards=(replace(dataset.shards[0], sha256="0" * 64), *dataset.shards[1:]))
    elif stale == "records":
        dataset = replace(dataset, records=replace(dataset.records, record_id=dataset.records.record_id[::-1]))
    else:
        dataset = replace(dataset, spec=replace(dataset.spec, leads=dataset.spec.leads[::-1]))
    with pytest.raises(DatasetError, match="made by version 1|another dataset|not the dataset's"):
        read_measured(dataset)
    monkeypatch.setattr(table, "_measured", lambda dataset, rows: np.zeros((len(rows), 110), np.float32))
    assert not measure_dataset(dataset, workers=1).values.any()
    assert not read_measured(dataset).values.any()


def test_a_damaged_file_is_named(untouched):
    (untouched.path / "measured.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DatasetError, match=r"measured\.parquet: cannot be read"):
        read_measured(untouched)
    assert len(measure_dataset(untouched, workers=1, overwrite=True).values) == 70


def test_an_interruption_leaves_what_was_there(untouched, monkeypatch):
    before = (untouched.path / "measured.parquet").read_bytes()

    def stopped(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_dataset(untouched, workers=1, overwrite=True, progress=stopped)
    assert (untouched.path / "measured.parquet").read_bytes() == before
    assert not list(untouched.path.glob(".measured*"))


def test_signals_without_a_unit_are_not_measured(untouched):
    with pytest.raises(DatasetError, match="only those in mV can be measured"):
        measure_dataset(replace(untouched, spec=replace(untouched.spec, unit="normalised")))


def test_a_missing_library_is_named_with_its_extra(untouched, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "neurokit2", None)
    with pytest.raises(MissingExtraError, match=r"einthoven\[features\]"):
        measure_dataset(untouched, overwrite=True)
