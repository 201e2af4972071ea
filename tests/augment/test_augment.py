import pytest
import torch

from einthoven.augment import Chain, Step, list_augmentations
from einthoven.errors import RecipeError

ALL = [Step("scale", 1.0, {"sigma": 0.3}), Step("noise", 1.0), Step("shift", 1.0), Step("lead_dropout", 1.0)]


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _x(n=512):
    return torch.randn(n, 12, 100, generator=_generator(9))


def test_the_registry_lists_every_operation_with_a_sentence():
    assert set(list_augmentations()) == {"scale", "noise", "shift", "lead_dropout"}
    assert all(text.endswith(".") for text in list_augmentations().values())


@pytest.mark.parametrize("step", ALL, ids=lambda step: step.name)
def test_same_seed_same_batch_and_the_input_is_left_alone(step):
    x = _x()
    before = x.clone()
    one, two = Chain([step])(x, _generator()), Chain([step])(x, _generator())
    assert torch.equal(one, two)
    assert torch.equal(x, before)
    assert not torch.equal(one, Chain([step])(x, _generator(1)))
    assert one.shape == x.shape
    assert one.dtype == x.dtype


@pytest.mark.parametrize("step", ALL, ids=lambda step: step.name)
def test_the_probability_is_per_sample(step):
    x = _x(2000)
    sometimes = Chain([Step(step.name, 0.25, step.parameters)])(x, _generator())
    changed = float((sometimes != x).flatten(1).any(1).float().mean())
    always = float((Chain([step])(x, _generator()) != x).flatten(1).any(1).float().mean())
    assert changed == pytest.approx(0.25 * always, abs=0.04)
    assert torch.equal(Chain([Step(step.name, 0.0)])(x, _generator()), x)


def test_scale_multiplies_by_a_lognormal_factor():
    ratio = Chain([Step("scale", 1.0, {"sigma": 0.2})])(_x(5000), _generator()) / _x(5000)
    assert torch.allclose(ratio, ratio[:, :1, :1].expand_as(ratio), rtol=1e-4)
    logs = ratio[:, 0, 0].log()
    assert logs.mean().abs() < 0.01
    assert float(logs.std()) == pytest.approx(0.2, abs=0.01)


def test_noise_has_the_stated_level():
    added = Chain([Step("noise", 1.0, {"sigma_mv": 0.06})])(torch.zeros(3000, 12, 100), _generator())
    levels = added.flatten(1).std(1)
    assert float(levels.mean()) == pytest.approx(0.03, abs=0.002)
    assert 0.055 < levels.max() < 0.065


def test_shift_moves_all_leads_together_and_repeats_the_edge():
    x = torch.arange(100.0).expand(64, 12, 100)
    moved = Chain([Step("shift", 1.0, {"max_fraction": 0.1})])(x, _generator())
    by = (x - moved)[:, 0, 50]
    assert by.abs().max() <= 10
    assert len(by.unique()) > 10
    assert torch.equal(moved, (x - by[:, None, None]).clamp(0, 99))


def test_lead_dropout_silences_whole_leads():
    x = _x(3000)
    got = Chain([Step("lead_dropout", 1.0, {"p_lead": 0.2})])(x, _generator())
    silent = (got == 0).all(-1)
    assert float(silent.float().mean()) == pytest.approx(0.2, abs=0.01)
    assert torch.equal(got[~silent], x[~silent])


def test_mistakes_are_named():
    with pytest.raises(RecipeError, match=r"unknown augmentation 'scael' \(did you mean 'scale'\?\)"):
        Chain([Step("scael")])
    with pytest.raises(RecipeError, match=r"'scale' has no parameter 'sigm' \(did you mean 'sigma'\?\)"):
        Chain([Step("scale", 1.0, {"sigm": 1})])
    with pytest.raises(RecipeError, match="sigma must be a number, got 'abc'"):
        Chain([Step("scale", 1.0, {"sigma": "abc"})])
    with pytest.raises(RecipeError, match="p must be between 0 and 1"):
        Chain([Step("scale", 1.5)])
