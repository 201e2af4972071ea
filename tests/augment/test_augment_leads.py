"""Lost, absent and exchanged leads, holes, and the policy over all operations."""

import numpy as np
import pytest
import torch
from scipy import stats

from einthoven.augment import Chain, Context, Step
from einthoven.augment.policy import MAGNITUDES
from einthoven.corpora.synthetic import example_record
from einthoven.leads import TWELVE_LEADS
from einthoven.signals.electrodes import exchange_electrodes

FS = 250.0
TWELVE = Context(FS, TWELVE_LEADS)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _apply(name, x, context=TWELVE, seed=0, **parameters):
    return Chain([Step(name, 1.0, parameters)], context)(x, _generator(seed))


def _x(n=64, leads=12, time=500):
    return torch.randn(n, leads, time, generator=_generator(9))


def test_lead_dropout_silences_whole_leads():
    x = _x(3000, time=20)
    got = _apply("lead_dropout", x, p_lead=0.2)
    silent = (got == 0).all(-1)
    assert float(silent.float().mean()) == pytest.approx(0.2, abs=0.01)
    assert torch.equal(got[~silent], x[~silent])


def test_lead_dropout_always_leaves_a_lead():
    assert ((_apply("lead_dropout", _x(time=20), p_lead=1.0) != 0).any(-1).sum(1) == 1).all()
    one = _x(8, 1, 50)
    assert torch.equal(_apply("lead_dropout", one, Context(FS, ("II",)), p_lead=0.9), one)


def test_lead_subset_keeps_any_number_of_leads_and_any_of_them():
    x = _x(6000, time=4)
    kept = (_apply("lead_subset", x, min_leads=3) != 0).any(-1)
    counts = torch.bincount(kept.sum(1), minlength=13)
    assert (counts[:3] == 0).all()
    assert stats.chisquare(counts[3:]).pvalue > 1e-3
    assert stats.chisquare(kept[kept.sum(1) == 3].sum(0)).pvalue > 1e-3


@pytest.mark.parametrize("exchange", ["LA-RA", "LA-LL", "RA-LL", "RA-RL", "V1-V2", "V5-V6"])
def test_lead_exchange_equals_the_electrode_algebra(exchange):
    x = _x(4)
    got = _apply("lead_exchange", x, exchanges=[exchange])
    np.testing.assert_allclose(got.numpy(), exchange_electrodes(x.numpy(), TWELVE_LEADS, exchange), atol=1e-5)


def test_arm_reversal_turns_lead_one_and_leaves_the_chest():
    x = _x(4)
    got = _apply("lead_exchange", x, exchanges=["LA-RA"])
    assert torch.equal(got[:, 0], -x[:, 0])
    assert torch.equal(got[:, 1:6], x[:, [2, 1, 4, 3, 5]])
    assert torch.equal(got[:, 6:], x[:, 6:])


def test_lead_exchange_draws_all_exchanges_alike():
    x = torch.eye(12).repeat(2000, 1, 1)  # what comes out is the matrix itself
    got = _apply("lead_exchange", x)
    _, counts = got.reshape(2000, -1).unique(dim=0, return_counts=True)
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 1e-3
    chest = _apply("lead_exchange", torch.eye(2).repeat(4, 1, 1), Context(FS, ("V1", "V2")))
    assert torch.equal(chest, torch.eye(2).flip(0).repeat(4, 1, 1))


def test_cutout_covers_one_stretch_in_all_leads():
    covered = _apply("cutout", torch.ones(2000, 12, 100), max_fraction=0.3) == 0
    assert torch.equal(covered, covered[:, :1].expand_as(covered))
    width = covered[:, 0].sum(1)
    assert int(width.max()) == 30
    assert float(width.float().mean()) == pytest.approx(15, abs=0.7)
    edges = covered[:, 0].int().diff(dim=1).abs().sum(1)
    assert (edges <= 2).all()
    chance = covered[:, 0].float().mean(0)
    assert chance[50] > chance[0] > 0


def test_cutout_can_have_several_holes_and_differ_between_leads():
    covered = _apply("cutout", torch.ones(300, 12, 200), max_fraction=0.1, holes=3, per_lead=True) == 0
    assert not torch.equal(covered, covered[:, :1].expand_as(covered))
    edges = covered.int().diff(dim=-1).abs().sum(-1)
    assert 4 < int(edges.max()) <= 6
    assert int(covered.sum(-1).max()) <= 60


def test_rand_augment_of_magnitude_zero_changes_next_to_nothing():
    x = torch.from_numpy(np.stack([example_record("NORM", noise=0.3).signal] * 8))
    context = Context(float(example_record("NORM", noise=0.3).fs), TWELVE_LEADS)
    # Without a magnitude, not weaker than this, or too high for the record's rate; equal segments stay equal.
    free = {"equal_segments", "band_limit", "lead_exchange", "notch", "resample_power", "power_line"}
    for name in sorted(set(MAGNITUDES) - free):
        got = Chain([Step("rand_augment", 1.0, {"magnitude": 0, "operations": [name]})], context)(x, _generator())
        torch.testing.assert_close(got, x, atol=1e-2, rtol=0, msg=name)
        strong = Chain([Step("rand_augment", 1.0, {"magnitude": 10, "operations": [name]})], context)(x, _generator())
        assert (strong - x).abs().max() > 0.02, name


def test_rand_augment_draws_per_sample_or_per_batch():
    x = _x(600, time=64)
    context = Context(FS, TWELVE_LEADS)
    steps = {"n": 1, "operations": ["multiply_linear", "lead_dropout", "roll", "noise"], "magnitude": 5}
    per_sample = Chain([Step("rand_augment", 1.0, steps)], context)(x, _generator())
    silenced = ((per_sample == 0).all(-1).any(1)).float().mean()
    assert 0.15 < float(silenced) < 0.3  # a quarter of the samples lose leads
    per_batch = Chain([Step("rand_augment", 1.0, {**steps, "per_sample": False})], context)
    seen = {float((per_batch(x, _generator(s)) == 0).all(-1).any(1).float().mean() > 0.5) for s in range(12)}
    assert seen == {0.0, 1.0}


def test_rand_augment_applies_n_operations_one_after_the_other():
    x = torch.ones(50, 12, 100)
    steps = {"n": 3, "operations": ["scale"], "magnitude": 10}
    logs = Chain([Step("rand_augment", 1.0, steps)], TWELVE)(torch.ones(4000, 12, 2), _generator())[..., 0].log()
    assert float(logs.mean(1).std()) == pytest.approx((3 * (0.4**2 + 0.2**2 / 12)) ** 0.5, rel=0.05)
    assert Chain([Step("rand_augment", 0.0)], TWELVE)(x, _generator()) is x
