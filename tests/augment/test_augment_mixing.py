"""Mixing: signals, targets and facts in one proportion, and what is unknown stays unknown."""

import numpy as np
import pytest
import torch
from scipy import stats

from einthoven.augment import Chain, Context, Step
from einthoven.leads import TWELVE_LEADS

TWELVE = Context(100.0, TWELVE_LEADS)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _numbered(n=400, time=100):
    """Signals, targets and facts that tell from which record they come."""
    number = torch.arange(float(n))
    return number[:, None, None].expand(n, 12, time), torch.eye(n), torch.stack([number, 2 * number], 1)


def _mix(name, x, y, facts, p=1.0, seed=0, **parameters):
    return Chain([Step(name, p, parameters)], TWELVE).mix(x, y, facts, _generator(seed))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_targets_facts_and_signals_are_mixed_in_one_proportion(name):
    x, y, facts = _numbered()
    mixed, targets, soft = _mix(name, x, y, facts, alpha=1.0)
    assert mixed.shape == x.shape
    torch.testing.assert_close(targets.sum(1), torch.ones(400))
    torch.testing.assert_close(mixed.mean((1, 2)), targets @ torch.arange(400.0), rtol=1e-3, atol=0.05)
    torch.testing.assert_close(soft, targets @ facts, rtol=1e-3, atol=0.05)
    own = targets.diagonal()[(targets.diagonal() < 1) & ((targets > 0).sum(1) == 2)]
    assert stats.kstest(own.numpy(), stats.uniform(0, 1).cdf).pvalue > 1e-3  # Beta(1, 1)


def test_mixup_draws_from_its_beta_distribution():
    x, y, _ = _numbered(3000, 2)
    weight = _mix("mixup", x, y, None, alpha=0.3)[1].diagonal().numpy()
    assert stats.kstest(weight, stats.beta(0.3, 0.3).cdf).statistic < 0.03


def test_cutmix_replaces_one_stretch_in_all_leads():
    x, y, _ = _numbered()
    mixed, targets, _ = _mix("cutmix", x, y, None)
    assert torch.equal(mixed, mixed[:, :1].expand_as(mixed))
    foreign = mixed[:, 0] != x[:, 0]
    assert (foreign.int().diff(dim=1).abs().sum(1) <= 2).all()
    moved = foreign.any(1)
    torch.testing.assert_close(targets.diagonal()[moved], 1 - foreign.float().mean(1)[moved])
    for row, signal in zip(targets[moved], mixed[moved, 0], strict=True):
        assert set(signal.unique().tolist()) == set(row.nonzero()[:, 0].float().tolist())


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_what_is_unknown_in_a_partner_with_weight_stays_unknown(name):
    x, _, facts = _numbered(200)
    y = torch.ones(200, 3)
    y[::2, 1] = torch.nan
    facts = facts.clone()
    facts[::3, 0] = torch.nan
    tell = torch.eye(200)
    mixed, targets, soft = _mix(name, x, torch.cat([y, tell], 1), facts, alpha=1.0)
    weights = targets[:, 3:]
    partners = [row.nonzero()[:, 0].numpy() for row in weights]
    for given, got in ((y, targets[:, :3]), (facts, soft)):
        unknown = given.isnan().numpy()
        expected = np.array([unknown[who].any(0) for who in partners])
        np.testing.assert_array_equal(got.isnan().numpy(), expected)
    assert bool(mixed.isfinite().all())
    assert torch.equal(targets[:, 0], torch.ones(200))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_samples_that_are_not_chosen_are_kept_exactly_and_nothing_given_changes(name):
    x = torch.randn(500, 12, 60, generator=_generator(1))
    y = torch.rand(500, 4, generator=_generator(2))
    y[0] = torch.nan
    before = x.clone(), y.clone()
    mixed, targets, none = _mix(name, x, y, None, p=0.3, alpha=1.0)
    changed = (mixed != x).flatten(1).any(1)
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.07)
    assert none is None
    assert torch.equal(targets[~changed].nan_to_num(9), y[~changed].nan_to_num(9))
    assert torch.equal(x, before[0])
    assert torch.equal(y.nan_to_num(9), before[1].nan_to_num(9))
    again = _mix(name, x, y, None, p=0.3, alpha=1.0)
    assert torch.equal(mixed, again[0])
    assert not torch.equal(mixed, _mix(name, x, y, None, p=0.3, seed=1, alpha=1.0)[0])


def test_a_chain_tells_whether_it_mixes_and_keeps_the_two_kinds_apart():
    x, y, facts = _numbered(20)
    both = Chain([Step("mixup"), Step("sign_flip")], TWELVE)
    assert both.mixes
    assert torch.equal(both(x, _generator()), -x)
    assert not torch.equal(both.mix(x, y, facts, _generator())[0], x)
    plain = Chain([Step("sign_flip")], TWELVE)
    assert not plain.mixes
    got = plain.mix(x, y, facts, _generator())
    assert got[0] is x
    assert got[1] is y
    assert got[2] is facts


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_batch_of_one_and_a_single_lead_are_mixed_with_themselves(name):
    x = torch.randn(1, 1, 187, generator=_generator())
    chain = Chain([Step(name)], Context(125.0, ("MLII",)))
    mixed, targets, _ = chain.mix(x, torch.tensor([[0.0, 1.0]]), None, _generator())
    torch.testing.assert_close(mixed, x)
    torch.testing.assert_close(targets, torch.tensor([[0.0, 1.0]]))
