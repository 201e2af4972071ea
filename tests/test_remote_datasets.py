"""Datasets at URLs: fetched on demand, checked on arrival, kept within a limit, and every failure a sentence."""

import dataclasses
import functools
import http.server
import json
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from einthoven import preparation
from einthoven.corpora import open_corpus
from einthoven.dataset import open_dataset, remote
from einthoven.dataset.cache import DamagedShardError, cache_folder
from einthoven.dataset.remote import Patience
from einthoven.errors import DatasetError, EinthovenError
from einthoven.preparation import prepare
from einthoven.spec import SignalSpec
from s3_server import FaultyProxy

pytest.importorskip("s3fs")
pytest.importorskip("moto")
SPEC = SignalSpec()


@pytest.fixture(autouse=True)
def apart(monkeypatch, tmp_path):
    """A cache of its own, little patience, and no credentials but the test's."""
    monkeypatch.setenv("EINTHOVEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(preparation, "_SHARD_BYTES", 24_000 * 10)
    monkeypatch.setattr(remote, "PATIENCE", Patience(tries=3, wait_s=0.02, limit_s=10))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    remote._remote.cache_clear()
    yield
    remote._remote.cache_clear()


@pytest.fixture(scope="module")
def corpus(corpus_folder):
    whole = open_corpus("ptb-xl", corpus_folder)
    codes = ("NORM", next(c for c, s in whole.label_table.items() if s.groups.get("superdiagnostic") == "MI"))
    entries = [
        dataclasses.replace(entry, fold=k % 10 + 1, patient_id=str(k), statements={codes[k // 10 % 2]: 100.0})
        for k, entry in enumerate(whole.entries[:40])
    ]
    return dataclasses.replace(whole, entries=entries, label_table={code: whole.label_table[code] for code in codes})


@pytest.fixture(scope="module")
def local(corpus, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "_SHARD_BYTES", 24_000 * 10)
        return prepare(corpus, tmp_path_factory.mktemp("local") / "d", SPEC, workers=1)


@pytest.fixture(scope="module")
def s3():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def bucket(s3, local, monkeypatch):
    """The dataset in a bucket, and the proxy that one reads it through."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3}")
    store = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    if not store.exists("hospital"):
        store.mkdir("hospital")
    if store.exists("hospital/ds"):
        store.rm("hospital/ds", recursive=True)
    store.put(str(local.path) + "/", "hospital/ds", recursive=True)
    proxy = FaultyProxy(s3)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    proxy.store = store
    yield proxy
    proxy.close()


def shards_here():
    return sorted(path.name for path in (cache_folder() / "datasets").glob("*/signals/*.npy"))


def same(a, b, rows=(0, 17, 39)):
    assert a.records.record_id == b.records.record_id
    for row in rows:
        np.testing.assert_array_equal(a.signal(row), b.signal(row))


def test_a_dataset_in_a_bucket_is_read_as_one_in_a_folder_and_only_what_is_needed(bucket, local):
    dataset = open_dataset("s3://hospital/ds")
    assert str(dataset) == "s3://hospital/ds"
    assert dataset.spec == local.spec
    assert dataset.records.statements[5] == local.records.statements[5]
    assert shards_here() == []
    np.testing.assert_array_equal(dataset.signal(25), local.signal(25))
    assert shards_here() == [], "one record is a partial read"
    dataset.open_shards()[2]
    assert shards_here() == ["002.npy"]
    same(open_dataset(Path("s3://hospital/ds")), local)  # a Path has lost a slash
    same(open_dataset(dataset.path), local)  # the folder in the cache knows where it is from


@pytest.mark.parametrize(("mode", "times"), [("slow", None), ("error", 2), ("cut", 2)])
def test_a_store_that_is_slow_or_fails_now_and_then_is_read_all_the_same(bucket, local, mode, times):
    bucket.fail(mode, times)
    dataset = open_dataset("s3://hospital/ds")
    bucket.fail(mode, times, only=".npy")
    np.testing.assert_array_equal(dataset.open_shards()[1], local.open_shards()[1])
    assert bucket.seen >= (times or 1)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("error", "cannot be reached, tried 3 times"),
        ("cut", "tried 3 times|3 times; the store cuts"),
        ("hang", "no answer within 0.5 s"),
    ],
)
def test_a_store_that_always_fails_is_given_up_with_a_sentence_and_without_a_hang(bucket, mode, said, monkeypatch):
    dataset = open_dataset("s3://hospital/ds")
    if mode == "hang":
        monkeypatch.setattr(remote, "PATIENCE", Patience(tries=2, wait_s=0.02, limit_s=0.5))
    bucket.fail(mode, only=".npy")
    began = time.monotonic()
    with pytest.raises(DatasetError, match=said):
        dataset.open_shards()[0]
    assert time.monotonic() - began < 30
    assert shards_here() == []
    assert not list(cache_folder().rglob("*.tmp"))


def test_what_is_not_there_or_not_allowed_is_a_sentence(bucket, s3, monkeypatch):
    with pytest.raises(DatasetError, match="s3://hospital/none: no dataset.json there"):
        open_dataset("s3://hospital/none")
    with pytest.raises(DatasetError, match="s3://clinic/ds: there is no such bucket"):
        open_dataset("s3://clinic/ds")
    remote._remote.cache_clear()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(
        DatasetError, match=r"refuses access: Unable to locate credentials; give credentials .*AWS_ACCESS_KEY_ID"
    ):
        open_dataset("s3://hospital/ds")


def test_wrong_credentials_are_a_sentence(bucket, s3, monkeypatch):
    reset = f"http://127.0.0.1:{s3}/moto-api/reset-auth"
    plain = {"Content-Type": "application/octet-stream"}
    urllib.request.urlopen(urllib.request.Request(reset, b"0", plain))
    try:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
        with pytest.raises(DatasetError, match="s3://hospital/ds/dataset.json: the store refuses access"):
            open_dataset("s3://hospital/ds")
    finally:
        urllib.request.urlopen(urllib.request.Request(reset, b"inf", plain))


def test_an_address_that_nobody_answers_at_is_a_sentence(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(remote, "PATIENCE", Patience(tries=2, wait_s=0.02, limit_s=3))
    with pytest.raises(DatasetError, match="s3://hospital/ds/dataset.json: cannot be reached, tried 2 times"):
        open_dataset("s3://hospital/ds")
    with pytest.raises(DatasetError, match="nothing here reads s4://"):
        open_dataset("s4://hospital/ds")


def damage(store, name="hospital/ds/signals/001.npy"):
    data = bytearray(store.cat_file(name))
    data[5000] ^= 1
    store.pipe_file(name, bytes(data))


def test_a_shard_with_a_wrong_checksum_is_named_and_put_aside(bucket):
    damage(bucket.store)
    dataset = open_dataset("s3://hospital/ds")
    with pytest.raises(
        DamagedShardError, match=r"s3://hospital/ds/signals/001.npy: its checksum differs .* \(1 there\)"
    ):
        dataset.open_shards()[1]
    assert shards_here() == []
    assert (dataset.path / "quarantine" / "001.npy").is_file()
    left = dataset.leave_out_damaged()
    assert left.damaged == {1}
    assert left.records_of(left.damaged) == 10
    folds = left.folds()
    assert [k for k, fold in enumerate(folds) if fold is None] == list(range(10, 20))
    left.verify()


def test_a_record_whose_part_is_damaged_is_not_taken_for_whole(bucket):
    damage(bucket.store)
    dataset = open_dataset("s3://hospital/ds")
    row = next(
        r
        for r in range(10, 20)
        if dataset.records.offset[r] * 24 <= 5000 - 128 < (dataset.records.offset[r] + 1000) * 24
    )
    with pytest.raises(DamagedShardError):
        dataset.signal(row)


def test_the_cache_keeps_within_its_limit_and_drops_what_was_not_used_for_longest(bucket, monkeypatch):
    monkeypatch.setenv("EINTHOVEN_CACHE_GB", str(2.5 * 240_128 / 1e9))
    shards = open_dataset("s3://hospital/ds").open_shards(1)
    for k in (0, 1, 0, 2):
        assert len(shards[k]) == 10_000
        time.sleep(0.02)
    assert shards_here() == ["000.npy", "002.npy"]
    monkeypatch.setenv("EINTHOVEN_CACHE_GB", "much")
    with pytest.raises(DatasetError, match="EINTHOVEN_CACHE_GB is 'much'; give a number of gigabytes above 0"):
        shards[3]


def test_a_dataset_that_was_written_anew_is_not_mixed_with_what_the_cache_has(bucket, corpus, tmp_path):
    old = open_dataset("s3://hospital/ds")
    old.open_shards()[0]
    other = prepare(dataclasses.replace(corpus, entries=corpus.entries[::-1]), tmp_path / "other", SPEC, workers=1)
    bucket.store.put(str(other.path) + "/", "hospital/ds", recursive=True)
    same(open_dataset("s3://hospital/ds"), other)


@pytest.fixture
def straight(bucket, s3, monkeypatch):
    """The same bucket without the proxy, which does not write."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{s3}")
    remote._remote.cache_clear()
    return bucket.store


@pytest.mark.parametrize("where", ["s3://hospital/new", "memory://new", "file://{tmp}/new"])
def test_a_dataset_is_prepared_and_appended_to_at_a_url(straight, corpus, local, where, tmp_path):
    url = where.format(tmp=tmp_path)
    first = dataclasses.replace(corpus, entries=corpus.entries[:20])
    assert len(prepare(first, url, SPEC, workers=1)) == 20
    whole = prepare(corpus, url, SPEC, workers=1, append=True)
    same(whole, local)
    for k in range(4):
        np.testing.assert_array_equal(whole.open_shards()[k], local.open_shards()[k])
    assert not list((cache_folder() / "uploads").rglob("*.npy")), "what was sent takes no space here"
    assert remote.remote_of(whole.url).size("writer.json") is None
    with pytest.raises(DatasetError, match="holds a dataset of another corpus or specification; add --overwrite"):
        prepare(first, url, SignalSpec(fs=50), workers=1)
    assert prepare(first, url, SignalSpec(fs=50), workers=1, overwrite=True).spec.fs == 50
    assert len(remote.remote_of(whole.url).names("signals")) == 2


def test_a_preparation_at_a_url_that_was_interrupted_goes_on_from_another_machine(
    straight, corpus, local, monkeypatch, tmp_path
):
    from einthoven.dataset.destination import Destination

    plain, sent = Destination.keep_shard, []

    def stop_at_the_third(self, k):
        plain(self, k)
        sent.append(k)
        if len(sent) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Destination, "keep_shard", stop_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            prepare(corpus, "s3://hospital/half", SPEC, workers=1)
    with pytest.raises(DatasetError, match="only partly prepared"):
        open_dataset("s3://hospital/half")
    monkeypatch.setenv("EINTHOVEN_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(Destination, "keep_shard", lambda self, k: (plain(self, k), sent.append(k)))
    same(prepare(corpus, "s3://hospital/half", SPEC, workers=1), local)
    assert sent == [0, 1, 2, 3]


def test_two_writers_at_one_url_are_one_too_many(straight, corpus):
    straight.pipe_file(
        "hospital/busy/writer.json", json.dumps({"pid": 7, "host": "elsewhere", "since": "noon"}).encode()
    )
    with pytest.raises(DatasetError, match="process 7 on elsewhere has been writing there since noon"):
        prepare(corpus, "s3://hospital/busy", SPEC, workers=1)


def test_a_dataset_is_read_over_http(local, tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(local.path.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        dataset = open_dataset(f"http://127.0.0.1:{server.server_port}/d/")
        same(dataset, local)
        np.testing.assert_array_equal(dataset.open_shards()[3], local.open_shards()[3])
    finally:
        server.shutdown()
        server.server_close()


def test_training_and_judging_read_a_bucket_and_leave_damaged_shards_out_where_asked(bucket, tmp_path, monkeypatch):
    from einthoven.bundle import load_bundle
    from einthoven.evaluation.predictions import predict_dataset
    from einthoven.training.recipe import parse_recipe
    from einthoven.workflow import train
    from einthoven.workflow.checkpoints import dataset_of_run
    from einthoven.workflow.selection import select_for_bundle

    text = (
        "name: far\ndata: {dataset: s3://hospital/ds, residence: stream, "
        "folds: {train: [1, 2, 3, 4, 5], validation: [6, 7, 8, 9, 10], test: []}}\n"
        "model: {name: map583_resnet1d_10}\ntraining: {epochs: 1, batch_size: 8, threads: 1, precision: fp32}\n"
    )
    damage(bucket.store)
    with pytest.raises(EinthovenError, match="001.npy: its checksum differs"):
        train(parse_recipe(text), tmp_path / "runs")
    module = sys.modules["einthoven.workflow.train"]  # the package has a function of that name
    monkeypatch.setattr(module, "evaluate", lambda *_, **__: None)  # its report is drawn for seconds
    told = []
    skipping = parse_recipe(text, overrides=["data.skip_damaged=true"])
    run = train(skipping, tmp_path / "runs", version="new", announce=told.append)
    assert any("left out 10 records of 1 damaged shards: 001.npy" in line for line in told)
    assert "signals: streamed; as the recipe says" in told
    bundle = load_bundle(run.bundle)
    dataset = dataset_of_run(run, bundle)
    selected = select_for_bundle(bundle, dataset)
    rows = selected.rows["validation"]
    assert len(rows) == 15
    assert not set(dataset.records.shard[rows].tolist()) & dataset.damaged
    assert np.isfinite(predict_dataset(bundle, dataset, rows, selected.targets[rows]).probabilities).all()


def test_without_the_extra_a_url_names_what_to_install_and_a_folder_needs_nothing(local):
    code = (
        "import sys; sys.modules['fsspec'] = None; from einthoven.dataset import open_dataset\n"
        "print(len(open_dataset(sys.argv[1])))\n"
        "try: open_dataset('s3://hospital/ds')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "print([m for m in ('s3fs', 'aiohttp', 'botocore', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(local.path)], capture_output=True, text=True, check=True)
    n, said, loaded = done.stdout.splitlines()
    assert n == "40"
    assert said.startswith("MissingExtraError the dataset at s3://hospital/ds needs optional packages")
    assert "einthoven[remote]" in said
    assert loaded == "[]"


def test_merging_reads_and_writes_urls(straight, local, corpus, tmp_path, capsys):
    from einthoven.cli.merge import merge_places

    shutil.copytree(local.path, tmp_path / "e")
    merge_places(["s3://hospital/ds", str(tmp_path / "e"), "memory://both"], prefix_ids=True)
    assert "memory://both: 80 records of 2 datasets, 8 shards" in capsys.readouterr().out
    both = open_dataset("memory://both")
    np.testing.assert_array_equal(both.signal(63), local.signal(23))
    assert both.records.record_id[40] == f"e-{local.records.record_id[0]}"
