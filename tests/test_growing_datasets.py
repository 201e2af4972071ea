"""Appending, merging, and one writer at a time."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from einthoven import preparation
from einthoven.corpora import FeatureTable, open_corpus
from einthoven.dataset import open_dataset
from einthoven.dataset.joining import merge_datasets
from einthoven.dataset.locking import this_writer, writer_lock
from einthoven.errors import DatasetError, EinthovenError
from einthoven.labels import Statement
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec

SPEC = SignalSpec()


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 24_000 * 10)


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    """60 records, with a number that belongs to each."""
    whole = open_corpus("ptb-xl", corpus_folder)
    numbers = FeatureTable(("height",), np.arange(60, dtype=np.float32)[:, None])
    return dataclasses.replace(whole, entries=whole.entries[:60], features=numbers)


def part(corpus, first, last):
    features = FeatureTable(corpus.features.names, corpus.features.values[first:last])
    return dataclasses.replace(corpus, entries=corpus.entries[first:last], features=features)


def content(dataset):
    """All that a dataset says of its records, by name."""
    numbers = dataset.features()
    table = dataset.records
    return {
        name: (
            table.patient_id[k],
            table.age[k],
            table.fold[k],
            table.statements[k],
            dataset.steps(k).tobytes(),
            float(numbers.values[k, 0]),
        )
        for k, name in enumerate(table.record_id)
    }


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "_SHARD_BYTES", 24_000 * 10)
        return prepare(corpus, tmp_path_factory.mktemp("whole") / "d", SPEC, workers=1)


@pytest.fixture
def half(corpus, tmp_path):
    return prepare(part(corpus, 0, 30), tmp_path / "d", SPEC, workers=1)


def test_appending_the_rest_gives_what_one_preparation_gives(corpus, whole, half):
    more = prepare(corpus, half.path, SPEC, workers=1, append=True)  # 30 of its 60 records are there already
    more.verify()
    assert content(more) == content(whole)
    assert more.records.record_id == whole.records.record_id
    assert [shard.sha256 for shard in more.shards] == [shard.sha256 for shard in whole.shards]
    counts = json.loads((half.path / "dataset.json").read_text())["counts"]
    assert counts["records"] == 60
    assert counts["patients"] == len(set(whole.records.patient_id))
    assert more.listing_sha256 != half.listing_sha256


def test_appending_what_is_there_changes_nothing(corpus, half):
    before = (half.path / "dataset.json").read_bytes()
    assert len(prepare(part(corpus, 10, 20), half.path, SPEC, workers=1, append=True)) == 30
    assert (half.path / "dataset.json").read_bytes() == before


@pytest.mark.parametrize("change", [{"age": 31.5}, {"patient_id": "other"}, {"statements": {"NORM": 100.0}}])
def test_a_known_record_with_other_facts_is_refused(corpus, half, change):
    altered = [dataclasses.replace(corpus.entries[3], **change), *corpus.entries[30:]]
    more = dataclasses.replace(
        corpus, entries=altered, features=FeatureTable(("height",), np.zeros((31, 1), np.float32))
    )
    with pytest.raises(
        DatasetError, match=f"1 records of the same name with other content, for example {altered[0].record_id}"
    ):
        prepare(more, half.path, SPEC, workers=1, append=True)
    assert len(open_dataset(half.path)) == 30


def test_a_known_record_with_another_signal_is_refused(corpus, half):
    altered = [dataclasses.replace(corpus.entries[3], path=corpus.entries[4].path), *corpus.entries[30:]]
    more = dataclasses.replace(
        corpus, entries=altered, features=FeatureTable(("height",), np.zeros((31, 1), np.float32))
    )
    with pytest.raises(DatasetError, match="same name with other content"):
        prepare(more, half.path, SPEC, workers=1, append=True)


@pytest.mark.parametrize("moment", ["write_shard", "publish"])
def test_an_interrupted_append_leaves_the_old_dataset_whole_and_is_continued(corpus, whole, half, monkeypatch, moment):
    from einthoven.dataset.destination import Destination

    plain, calls = preparation._write_shard, []

    def stop_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*arguments)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if moment == "write_shard":
            patch.setattr(preparation, "_write_shard", stop_at_the_third)
        else:
            patch.setattr(Destination, "publish", stop)  # tables are written, dataset.json is not
        with pytest.raises(KeyboardInterrupt):
            prepare(corpus, half.path, SPEC, workers=1, append=True)
    old = open_dataset(half.path)
    old.verify()
    assert content(old) == content(half)
    done = {path.name: path.stat().st_mtime_ns for path in (half.path / "signals").glob("*.npy")}
    assert len(done) == (5 if moment == "write_shard" else 6)
    more = prepare(corpus, half.path, SPEC, workers=1, append=True)
    assert content(more) == content(whole)
    assert all((half.path / "signals" / name).stat().st_mtime_ns == when for name, when in done.items())
    assert not (half.path / "append.json").exists()


def test_another_append_does_not_take_over_the_shards_of_one_that_was_given_up(corpus, half, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("einthoven.preparation.addition.Addition.finish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            prepare(part(corpus, 40, 60), half.path, SPEC, workers=1, append=True)
    more = prepare(part(corpus, 30, 40), half.path, SPEC, workers=1, append=True)
    more.verify()
    assert more.records.record_id == [entry.record_id for entry in corpus.entries[:40]]


def test_a_damaged_shard_of_a_dataset_that_grew_is_made_again_with_nothing_lost(corpus, whole, half):
    prepare(corpus, half.path, SPEC, workers=1, append=True)
    (half.path / "signals" / "001.npy").write_bytes(b"x" * 300_000)
    again = prepare(part(corpus, 0, 30), half.path, SPEC, workers=1)
    again.verify()
    assert content(again) == content(whole)


def test_what_is_not_alike_is_not_appended(corpus, half, tmp_path):
    with pytest.raises(DatasetError, match="no whole dataset to append to; prepare it first"):
        prepare(corpus, tmp_path / "none", SPEC, append=True)
    with pytest.raises(DatasetError, match="its specification is .*fs.: 100.* that of the records to append .*fs.: 50"):
        prepare(corpus, half.path, SignalSpec(fs=50), append=True)
    with pytest.raises(DatasetError, match="its corpus is synthetic, that of the records to append cpsc"):
        prepare(dataclasses.replace(corpus, name="cpsc"), half.path, SPEC, append=True)
    with pytest.raises(DatasetError, match="choose one"):
        prepare(corpus, half.path, SPEC, append=True, overwrite=True)
    code = next(iter(corpus.label_table))
    other = dataclasses.replace(corpus, label_table={**corpus.label_table, code: Statement("something else")})
    with pytest.raises(DatasetError, match=f"of code {code} another thing"):
        prepare(other, half.path, SPEC, append=True)


def test_a_full_disk_during_an_append_is_one_sentence_and_the_dataset_stays(corpus, half, monkeypatch):
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(EinthovenError, match=r"cannot write .*003.npy: File too large; nothing was half-written"):
            prepare(corpus, half.path, SPEC, workers=1, append=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert content(open_dataset(half.path)) == content(half)
    assert len(prepare(corpus, half.path, SPEC, workers=1, append=True)) == 60


def test_merged_datasets_hold_every_record_of_each(corpus, whole, half, tmp_path):
    rest = prepare(part(corpus, 30, 60), tmp_path / "rest", SPEC, workers=1)
    both = merge_datasets([half, rest], tmp_path / "both")
    both.verify()
    assert content(both) == content(whole)
    assert both.label_table == whole.label_table
    with pytest.raises(DatasetError, match="30 record ids are in more than one .* add --prefix-ids"):
        merge_datasets([half, half], tmp_path / "twice")


def test_prefixes_tell_records_and_patients_of_two_datasets_apart(half, tmp_path):
    shutil.copytree(half.path, tmp_path / "e")
    twice = merge_datasets([half, open_dataset(tmp_path / "e")], tmp_path / "both", prefix_ids=True)
    assert twice.records.record_id[:2] == [f"d-{name}" for name in half.records.record_id[:2]]
    assert twice.records.record_id[-1] == f"e-{half.records.record_id[-1]}"
    assert len(set(twice.records.patient_id)) == 2 * len(set(half.records.patient_id))
    np.testing.assert_array_equal(twice.signal(42), half.signal(12))


def test_an_interrupted_merge_is_continued(corpus, half, tmp_path):
    rest = prepare(part(corpus, 30, 60), tmp_path / "rest", SPEC, workers=1)

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_datasets([half, rest], tmp_path / "both", progress=stop)
    with pytest.raises(DatasetError, match="only partly prepared; run the same 'einthoven merge' again"):
        open_dataset(tmp_path / "both")
    when = (tmp_path / "both" / "signals" / "002.npy").stat().st_mtime_ns
    assert len(merge_datasets([half, rest], tmp_path / "both")) == 60
    assert (tmp_path / "both" / "signals" / "002.npy").stat().st_mtime_ns == when


def test_what_does_not_fit_is_not_merged(corpus, half, tmp_path):
    other = prepare(part(corpus, 30, 40), tmp_path / "slow", SignalSpec(fs=50), workers=1)
    with pytest.raises(DatasetError, match="its specification is .* prepare both alike"):
        merge_datasets([half, other], tmp_path / "both")
    with pytest.raises(DatasetError, match="two datasets or more"):
        merge_datasets([half], tmp_path / "both")
    with pytest.raises(DatasetError, match="is one of the datasets"):
        merge_datasets([half, open_dataset(half.path)], half.path, prefix_ids=True)
    rest = prepare(part(corpus, 30, 60), tmp_path / "rest", SPEC, workers=1)
    (tmp_path / "rest" / "signals" / "001.npy").write_bytes(b"x" * 300_000)
    with pytest.raises(DatasetError, match=r"rest/signals/001.npy: its checksum differs"):
        merge_datasets([half, rest], tmp_path / "both")


HOLD = "import sys, time; from pathlib import Path; from einthoven.dataset.locking import writer_lock\nwith writer_lock(Path(sys.argv[1])):\n    print('in', flush=True); time.sleep(60)"


def test_two_writers_on_one_dataset_are_one_too_many_and_a_dead_one_does_not_block(corpus, half):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(half.path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "in\n"
        with pytest.raises(
            DatasetError, match=f"process {other.pid} on .* has been writing there since .*; wait for it"
        ):
            prepare(corpus, half.path, SPEC, workers=1, append=True)
        with pytest.raises(DatasetError, match="has been writing there since"):
            prepare(part(corpus, 0, 30), half.path, SPEC, workers=1)
    finally:
        other.kill()
        other.wait()
    assert (half.path / ".writer.json").is_file(), "the dead writer's lock"
    assert len(prepare(corpus, half.path, SPEC, workers=1, append=True)) == 60
    assert not (half.path / ".writer.json").exists()


def test_a_number_that_another_process_has_now_is_not_taken_for_the_dead_writer(tmp_path):
    owner = this_writer() | {"pid": os.getppid(), "started": "another boot 1"}
    (tmp_path / ".writer.json").write_text(json.dumps(owner))
    with writer_lock(tmp_path):
        pass


def test_a_writer_on_another_machine_counts_as_alive(tmp_path):
    (tmp_path / ".writer.json").write_text(json.dumps(this_writer() | {"pid": 1, "host": "elsewhere"}))
    with pytest.raises(DatasetError, match=r"process 1 on elsewhere .* delete .*\.writer\.json"), writer_lock(tmp_path):
        pass


def test_reading_goes_on_while_another_process_writes(half):
    with writer_lock(half.path):
        assert len(open_dataset(half.path)) == 30


@pytest.mark.slow
def test_a_million_records_are_opened_in_seconds_and_take_little_memory(half, tmp_path):

    import pyarrow as pa
    import pyarrow.parquet as pq

    shutil.copytree(half.path, tmp_path / "big")
    table = pq.read_table(half.path / "records.parquet")
    n = 1_000_000
    big = table.take(pa.array(np.arange(n) % len(table)))
    names = pa.array(np.char.mod("r%07d", np.arange(n)))
    pq.write_table(big.set_column(0, "record_id", names), tmp_path / "big" / "records.parquet")
    code = (
        "import resource, sys, time; from einthoven.dataset import open_dataset; import pyarrow.parquet\n"
        "def rss():\n"
        "    return int(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS'))) / 1024\n"
        "r = rss(); c = time.process_time(); d = open_dataset(sys.argv[1]); c = time.process_time() - c\n"
        "print(len(d), c, rss() - r, d.records.record_id[999_999], len(d.records.statements[77]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "big")], capture_output=True, text=True, check=True
    )
    n_records, seconds, megabytes, last, statements = done.stdout.split()
    assert int(n_records) == n
    assert last == "r0999999"
    assert int(statements) == len(half.records.statements[77 % 30])
    assert float(seconds) < 4
    assert float(megabytes) < 600
