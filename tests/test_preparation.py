import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from einthoven import preparation
from einthoven.corpora import open_corpus
from einthoven.dataset import MISSING, gather_steps, open_dataset, to_millivolts
from einthoven.errors import DatasetError, EinthovenError, RecordError
from einthoven.formats import read_record
from einthoven.preparation import prepare
from einthoven.record import Record
from einthoven.signals import conform
from einthoven.spec import SignalSpec


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 24_000 * 50)  # 50 records a shard


def test_a_dataset_holds_every_record_to_the_microvolt(corpus_folder, dataset_folder):
    dataset, corpus = open_dataset(dataset_folder), open_corpus("ptb-xl", corpus_folder)
    dataset.verify()
    assert len(dataset) == 240
    for row in (0, 100, 239):
        want = conform(read_record(corpus.entries[row].path), SignalSpec()).signal
        assert dataset.records.record_id[row] == corpus.entries[row].record_id
        assert dataset.records.statements[row] == corpus.entries[row].statements
        np.testing.assert_allclose(dataset.signal(row), want, atol=5e-4)


@pytest.mark.real
def test_real_records_survive_bit_for_bit(real_data, tmp_path, small_shards):
    corpus = open_corpus("ptb-xl", real_data / "ptb-xl")
    few = type(corpus)(**{f: getattr(corpus, f) for f in corpus.__slots__} | {"entries": corpus.entries[::200]})
    dataset = prepare(few, tmp_path / "d", SignalSpec(), workers=2)
    assert len(dataset.shards) > 1
    for row, entry in enumerate(few.entries):
        raw = np.fromfile(f"{entry.path}.dat", "<i2").reshape(-1, 12)
        shard = dataset.open_shards()[dataset.records.shard[row]]
        start = dataset.records.offset[row]
        np.testing.assert_array_equal(shard[start : start + dataset.records.length[row]], raw)


def test_other_rates_leads_and_bands_are_prepared(corpus_folder, tmp_path):
    spec = SignalSpec(leads=("II", "V5"), fs=250, band_hz=(0.5, 40))
    dataset = prepare(open_corpus("ptb-xl", corpus_folder, fs=100), tmp_path / "d", spec, workers=1)
    assert open_dataset(tmp_path / "d").spec == spec
    assert dataset.signal(3).shape == (2, 2500)


def test_several_processes_give_the_same_dataset(corpus_folder, dataset_folder, tmp_path):
    again = prepare(open_corpus("ptb-xl", corpus_folder), tmp_path / "d", SignalSpec(), workers=2)
    assert [s.sha256 for s in again.shards] == [s.sha256 for s in open_dataset(dataset_folder).shards]


def test_a_killed_preparation_is_continued(corpus_folder, tmp_path):
    dest = tmp_path / "d"
    code = (
        "import sys, time; from pathlib import Path; from einthoven import preparation as p;"
        "from einthoven.corpora import open_corpus; from einthoven.spec import SignalSpec;"
        "p._SHARD_BYTES = 24_000 * 20; plain = p._write_shard;"
        "p._write_shard = lambda *a: (plain(*a), time.sleep(0.2));"
        f"p.prepare(open_corpus('ptb-xl', Path({str(corpus_folder)!r})), Path({str(dest)!r}), SignalSpec(), workers=1)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    while not (dest / "signals" / "003.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (dest / "dataset.json").exists()
    with pytest.raises(DatasetError, match="only partly prepared; run the same 'einthoven prepare' again"):
        open_dataset(dest)
    written = {f.name: f.stat().st_mtime_ns for f in (dest / "signals").glob("*.npy")}
    seen = []
    subprocess.run([sys.executable, "-c", code.replace("time.sleep(0.2)", "0")], check=True)
    dataset = open_dataset(dest)
    dataset.verify()
    assert len(dataset) == 240
    kept = [name for name, when in written.items() if (dest / "signals" / name).stat().st_mtime_ns == when]
    assert len(kept) >= 4
    assert seen == []
    assert not list(dest.rglob("*.tmp"))


def test_a_full_disk_is_one_sentence_and_a_rerun_continues(corpus_folder, tmp_path, small_shards):
    corpus, dest = open_corpus("ptb-xl", corpus_folder), tmp_path / "d"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
    try:
        with pytest.raises(EinthovenError, match=r"cannot write .*000.npy: File too large; nothing was half-written"):
            prepare(corpus, dest, SignalSpec(), workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(dest.rglob("*.npy"))
    assert not list(dest.rglob("*.tmp"))
    assert len(prepare(corpus, dest, SignalSpec(), workers=1)) == 240


def test_a_complete_dataset_is_left_alone_and_another_is_not_overwritten(corpus_folder, tmp_path):
    corpus, dest = open_corpus("ptb-xl", corpus_folder), tmp_path / "d"
    prepare(corpus, dest, SignalSpec(), workers=1)
    when = (dest / "signals" / "000.npy").stat().st_mtime_ns
    prepare(corpus, dest, SignalSpec(), workers=1)
    assert (dest / "signals" / "000.npy").stat().st_mtime_ns == when
    with pytest.raises(DatasetError, match="another corpus or specification; add --overwrite"):
        prepare(corpus, dest, SignalSpec(fs=50), workers=1)
    assert prepare(corpus, dest, SignalSpec(fs=50), workers=1, overwrite=True).spec.fs == 50
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_a_dataset_is_overwritten_only_by_a_whole_one(corpus_folder, tmp_path, small_shards):
    root, dest = shutil.copytree(corpus_folder, tmp_path / "corpus"), tmp_path / "d"
    before = prepare(open_corpus("ptb-xl", root), dest, SignalSpec(), workers=1)
    victim = next(root.rglob("00120_lr.dat"))
    whole = victim.read_bytes()
    os.truncate(victim, 10_000)
    with pytest.raises(RecordError, match=r"00120_lr.dat"):
        prepare(open_corpus("ptb-xl", root), dest, SignalSpec(fs=50), workers=1, overwrite=True)
    open_dataset(dest).verify()
    assert open_dataset(dest).shards == before.shards
    victim.write_bytes(whole)
    begun = (tmp_path / ".d.new" / "signals" / "000.npy").stat().st_mtime_ns
    assert prepare(open_corpus("ptb-xl", root), dest, SignalSpec(fs=50), workers=1, overwrite=True).spec.fs == 50
    assert (dest / "signals" / "000.npy").stat().st_mtime_ns == begun  # what was whole was not made again
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "d"}


def test_a_folder_with_other_things_is_not_touched(corpus_folder, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty and holds no dataset"):
        prepare(open_corpus("ptb-xl", corpus_folder), tmp_path, SignalSpec(), overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_record_that_cannot_be_read_is_named(corpus_folder, tmp_path, small_shards, workers):
    copy = tmp_path / "corpus"
    shutil.copytree(corpus_folder, copy)
    victim = next(copy.rglob("00120_lr.dat"))
    os.truncate(victim, 10_000)
    with pytest.raises(RecordError, match=r"00120_lr.dat"):
        prepare(open_corpus("ptb-xl", copy), tmp_path / "d", SignalSpec(), workers=workers)
    assert not (tmp_path / "d" / "dataset.json").exists()


def test_an_altered_or_cut_shard_is_noticed(dataset_folder, tmp_path):
    copy = tmp_path / "d"
    shutil.copytree(dataset_folder, copy)
    shard = copy / "signals" / "000.npy"
    data = bytearray(shard.read_bytes())
    data[5000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DatasetError, match="its checksum differs"):
        open_dataset(copy).verify()
    os.truncate(shard, 4000)
    with pytest.raises(DatasetError, match="missing or cut short"):
        open_dataset(copy)


def test_what_is_not_a_dataset_is_said_so(dataset_folder, tmp_path):
    with pytest.raises(DatasetError, match="is not a prepared dataset"):
        open_dataset(tmp_path)
    copy = tmp_path / "d"
    shutil.copytree(dataset_folder, copy)
    about = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps(about | {"format_version": 99}))
    with pytest.raises(DatasetError, match="dataset format 99 is not the 2"):
        open_dataset(copy)


def test_missing_samples_and_ends_of_records_are_marked(dataset_folder):
    dataset = open_dataset(dataset_folder)
    steps = gather_steps(dataset.open_shards(), dataset, np.array([0, 5]), np.array([900, 0]), 250)
    assert (steps[0, 100:] == MISSING).all()
    x = to_millivolts(steps, dataset.step_uv)
    assert x.shape == (2, 12, 250)
    np.testing.assert_allclose(x[0, :, :100], dataset.signal(0)[:, 900:], atol=1e-6)
    assert not x[0, :, 100:].any()


def test_gaps_and_overflow_are_stored_as_such():
    signal_mv = np.full((1, 4), 1.2345, np.float32)
    signal_mv[0, 1:] = np.nan, 99, -99
    steps = preparation._quantise(Record(signal_mv, 100, ("I",)))
    assert steps[:, 0].tolist() == [1234, int(MISSING), 32767, -32767]


def test_a_corrected_fold_or_patient_makes_another_dataset(corpus_folder, dataset_folder, tmp_path):
    import dataclasses

    corpus, dest = open_corpus("ptb-xl", corpus_folder), tmp_path / "d"
    shutil.copytree(dataset_folder, dest)
    changed = dataclasses.replace(corpus.entries[7], patient_id="another")
    entries = [*corpus.entries[:7], changed, *corpus.entries[8:]]
    with pytest.raises(DatasetError, match="another corpus or specification; add --overwrite"):
        prepare(dataclasses.replace(corpus, entries=entries), dest, SignalSpec(), workers=1)


def test_a_damaged_shard_is_made_again(corpus_folder, tmp_path, small_shards):
    corpus, dest = open_corpus("ptb-xl", corpus_folder), tmp_path / "d"
    before = prepare(corpus, dest, SignalSpec(), workers=1)
    shard = dest / "signals" / "002.npy"
    data = bytearray(shard.read_bytes())
    data[5000] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DatasetError, match="prepare the dataset again"):
        before.verify()
    again = prepare(corpus, dest, SignalSpec(), workers=1)
    again.verify()
    assert again.shards == before.shards


def test_a_failed_preparation_does_not_block_the_folder(corpus_folder, tmp_path):
    corpus, dest = open_corpus("ptb-xl", corpus_folder), tmp_path / "d"
    with pytest.raises(EinthovenError, match="missing lead"):
        prepare(corpus, dest, SignalSpec(leads=("I", "V9")), workers=1)
    assert len(prepare(corpus, dest, SignalSpec(), workers=1)) == 240


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end workers with their parent")
def test_workers_do_not_outlive_a_killed_parent(corpus_folder, tmp_path):
    code = (
        "import time; from pathlib import Path; from einthoven import preparation as p;"
        "from einthoven.corpora import open_corpus; from einthoven.spec import SignalSpec;"
        "p._SHARD_BYTES = 24_000 * 20; p.read_record = lambda path: time.sleep(120);"
        f"p.prepare(open_corpus('ptb-xl', Path({str(corpus_folder)!r})), Path({str(tmp_path / 'd')!r}), SignalSpec(), workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])

    def children():
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            return [int(pid) for pid in file.read().split()]

    while len(children()) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)  # until their initializers have run
    workers = children()
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10

    def alive(pid):
        try:
            with open(f"/proc/{pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] != "Z"  # a zombie only waits to be counted
        except FileNotFoundError:
            return False

    while any(alive(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
