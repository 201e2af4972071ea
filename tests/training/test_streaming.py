import numpy as np
import pytest
import torch

from einthoven.dataset import MISSING, gather_steps, open_dataset
from einthoven.errors import DatasetError
from einthoven.training import residence, streaming
from einthoven.training.batches import SignalStore, epoch_batches, fit_scaling
from einthoven.training.residence import choose_residence
from einthoven.training.sampling import make_sampler
from einthoven.training.streaming import plan_stream, pool_shards

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def many_shards(corpus_folder, tmp_path_factory):
    """240 records in 24 shards."""
    from einthoven import preparation
    from einthoven.corpora import open_corpus
    from einthoven.spec import SignalSpec

    folder = tmp_path_factory.mktemp("shards") / "ds"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(preparation, "_SHARD_BYTES", 24_000 * 10)
        preparation.prepare(open_corpus("ptb-xl", corpus_folder), folder, SignalSpec(), workers=1)
    return open_dataset(folder)


@pytest.fixture
def small_pool(monkeypatch):
    monkeypatch.setattr(streaming, "_POOL_BYTES", 0)  # the least number of shards


def draw(dataset, seed, share=(0, 1), crop=250, batch=16, rows=None, sampler=None, where="stream"):
    store = SignalStore(dataset, CPU, where)
    rows = torch.arange(len(dataset)) if rows is None else rows
    generator = torch.Generator().manual_seed(seed)
    return list(epoch_batches(store, rows, crop, batch, generator, sampler, share))


def shards_per_batch(shard, order, batch):
    n = len(order) // batch * batch
    return np.array([len(set(part)) for part in shard[order[:n]].reshape(-1, batch).tolist()])


def test_an_epoch_holds_every_record_once_and_each_crop_is_of_its_record(many_shards, small_pool):
    crops = {}
    for chosen, x in draw(many_shards, 3, batch=15):
        for row, signal in zip(chosen.tolist(), x.numpy(), strict=True):
            assert row not in crops
            crops[row] = signal
    assert sorted(crops) == list(range(240))
    for row in (0, 99, 239):
        whole = np.nan_to_num(many_shards.signal(row))
        windows = np.lib.stride_tricks.sliding_window_view(whole, 250, axis=1).transpose(1, 0, 2)
        assert np.abs(windows - crops[row]).max(axis=(1, 2)).min() < 1e-6


def test_records_shorter_than_the_crop_end_in_zeros(many_shards, small_pool):
    for _, x in draw(many_shards, 0, crop=1200):
        assert not x[:, :, 1000:].any()
        assert x[:, :, :1000].any()


def test_the_same_seed_gives_the_same_epoch_and_another_seed_another(many_shards, small_pool):
    first, again, other = draw(many_shards, 1), draw(many_shards, 1), draw(many_shards, 2)
    for (a, x), (b, y) in zip(first, again, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(x, y)
    assert not all(torch.equal(a, b) for (a, _), (b, _) in zip(first, other, strict=True))


def test_several_processes_take_disjoint_shares_and_leave_no_record_out(many_shards, small_pool):
    parts = [torch.cat([chosen for chosen, _ in draw(many_shards, 5, (rank, 3), batch=24)]) for rank in range(3)]
    assert [len(part) for part in parts] == [80, 80, 80]
    assert len(set(torch.cat(parts).tolist())) == 240
    shards = [set(many_shards.records.shard[part.numpy()].tolist()) for part in parts]
    shared = sum(map(len, shards)) - len(set.union(*shards))
    assert shared <= 2  # a shard at each cut is read by both sides


def test_a_sampler_draws_as_often_from_a_stream(many_shards, small_pool):
    targets = np.zeros((240, 1), np.float32)
    targets[:24] = 1
    drawn = draw(many_shards, 5, sampler=make_sampler("equal", targets, ("A",), {}))
    share = np.concatenate([chosen.numpy() for chosen, _ in drawn])
    assert 0.35 < (share < 24).mean() < 0.65


def test_few_rows_make_one_small_batch(many_shards, small_pool):
    rows = torch.tensor([3, 50, 51])
    ((chosen, x),) = draw(many_shards, 0, rows=rows, batch=16)
    assert sorted(chosen.tolist()) == [0, 1, 2]
    assert x.shape == (3, 12, 250)


@pytest.mark.parametrize("share", [(0, 1), (1, 2)])
def test_batches_of_a_pool_are_composed_almost_as_uniform_ones(share):
    shard = np.repeat(np.arange(200), 1000)[np.random.default_rng(0).permutation(200_000)]
    plan = plan_stream(shard, 64, torch.Generator().manual_seed(1), share, 128)
    found = shards_per_batch(shard, plan.order, 128)
    # Different shards among 128 records: 64 (1 - (1 - 1/64)^128) = 55.5 of a pool of 64, 94.7 of all 200.
    assert abs(found.mean() - 64 * (1 - (1 - 1 / 64) ** 128)) < 3
    assert found.min() > 40, "also the first and the last batches are mixed"
    # How much the share of a tenth varies among batches: as in a uniform shuffle where the tenth is spread over the
    # shards, and by 1 / 64 more (a pool's shards are a draw too) where it fills whole shards, the worst case.
    spread, whole = np.arange(200_000) % 10 == 0, shard % 10 == 0
    for label, variance in ((spread, 0.09 / 128), (whole, 0.09 / 128 + 0.09 / 64)):
        means = label[plan.order[: len(plan.order) // 128 * 128]].reshape(-1, 128).mean(axis=1)
        assert means.std() < 1.1 * np.sqrt(variance)
        assert label is whole or means.std() > 0.9 * np.sqrt(variance)
    assert abs(np.corrcoef(plan.order[:-1], plan.order[1:])[0, 1]) < 0.02


def test_with_no_more_shards_than_the_pool_the_order_is_uniform():
    shard = np.repeat(np.arange(8), 100)
    place = np.array(
        [
            np.argsort(plan_stream(shard, 8, torch.Generator().manual_seed(seed), batch=10).order)[5]
            for seed in range(400)
        ]
    )
    counts = np.bincount(place // 100, minlength=8)
    assert ((counts - 50) ** 2 / 50).sum() < 24.3  # chi-squared of 7 degrees, 0.1 %


def test_memory_is_that_of_the_pool_however_large_the_archive():
    capacity = []
    for n_shards in (100, 400):
        shard = np.repeat(np.arange(n_shards), 100)
        plan = plan_stream(shard, 16, torch.Generator().manual_seed(2), batch=32)
        assert len(plan.visits) <= n_shards + 17
        capacity.append(plan.capacity)
    assert capacity[0] < 17 * 100
    assert abs(capacity[1] - capacity[0]) < 0.2 * capacity[0]


def test_the_pool_follows_its_formula(many_shards):
    assert pool_shards(many_shards, 250) == 2 * 192 * 2**20 // (10 * 250 * 12 * 2)


def test_an_error_of_the_reading_thread_is_heard_and_none_is_left_behind(many_shards, small_pool, monkeypatch):
    import threading

    def fail(path):
        raise DatasetError(f"{path}: gone")

    monkeypatch.setattr(streaming, "map_shard", fail)
    with pytest.raises(DatasetError, match="gone"):
        draw(many_shards, 1)
    monkeypatch.undo()
    batches = epoch_batches(SignalStore(many_shards, CPU, "stream"), torch.arange(240), 250, 16, torch.Generator())
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "shard reader"]


def test_the_scaling_of_many_shards_is_that_of_all_samples(many_shards):
    rows = np.array([200, 3, 77])
    steps = np.concatenate([many_shards.steps(int(row)) for row in rows]).astype(float)
    mean, deviation = fit_scaling(many_shards, rows, "lead")
    np.testing.assert_allclose(mean, steps.mean(axis=0) / 1000)
    np.testing.assert_allclose(deviation, steps.std(axis=0) / 1000)


def test_windows_at_the_end_of_a_shard_are_cut_as_any_other(many_shards):
    rows, starts = np.array([9, 9, 9, 239]), np.array([0, 900, 990, 1000])
    steps = gather_steps(many_shards.open_shards(), many_shards, rows, starts, 250)
    for cut, row, start in zip(steps, rows.tolist(), starts.tolist(), strict=True):
        part = many_shards.steps(row)[start : start + 250]
        np.testing.assert_array_equal(cut[: len(part)], part)
        assert (cut[len(part) :] == MISSING).all()


@pytest.mark.parametrize(
    ("whole", "free", "n_ranks", "name"),
    [(64e9, 32e9, 1, "device"), (64e9, 12e6, 1, "map"), (8e6, 8e6, 1, "stream"), (64e9, 20e6, 8, "map")],
)
def test_residence_follows_from_what_is_measured_and_says_why(many_shards, monkeypatch, whole, free, n_ranks, name):
    monkeypatch.setattr(residence, "memory_bytes", lambda: whole)
    monkeypatch.setattr(residence, "free_bytes", lambda device: free)
    chosen = choose_residence(many_shards, CPU, n_ranks=n_ranks)
    assert chosen.name == name
    assert "0.00576 GB of signals" in chosen.why


def test_a_streamed_run_that_was_interrupted_ends_with_the_same_numbers(
    many_shards, small_pool, tmp_path, recipe_of, silent
):
    from einthoven.training.device import make_engine
    from einthoven.training.loop import Trainer
    from einthoven.training.runs import begin_run
    from einthoven.workflow import select_for
    from einthoven.workflow.problem import make_problem

    recipe = recipe_of(many_shards.path, "data.residence=stream", "training.epochs=2")

    def trainer(epochs):
        some = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})
        return Trainer(
            recipe if epochs == 2 else some,
            make_problem(recipe, select_for(recipe, many_shards)),
            make_engine("cpu", "fp32", 1),
        )

    whole = trainer(2)
    assert whole.store.streams
    whole.fit(begin_run(tmp_path, recipe), silent)
    run = begin_run(tmp_path, recipe)

    class Stop:
        def step(self, *_):
            pass

        def epoch(self, row):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(2).fit(run, Stop())
    again = trainer(2)
    again.fit(run, silent)
    seconds = ("seconds", "train_seconds")
    assert [{k: v for k, v in row.items() if k not in seconds} for row in again.history] == [
        {k: v for k, v in row.items() if k not in seconds} for row in whole.history
    ]
