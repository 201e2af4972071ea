import pytest
import torch

from einthoven.augment import DEFAULT_STEPS, Chain, Context, Step, list_augmentations
from einthoven.augment._chain import _MIXINGS, _OPERATIONS
from einthoven.errors import RecipeError
from einthoven.leads import TWELVE_LEADS

TWELVE = Context(250.0, TWELVE_LEADS)
# What does not draw, and what draws so seldom that most samples stay, is not told by comparing seeds.
DETERMINISTIC = {"time_flip", "sign_flip"}


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _x(n=64, leads=12, time=500):
    return torch.randn(n, leads, time, generator=_generator(9))


def _chain(name, context=TWELVE, p=1.0, **parameters):
    return Chain([Step(name, p, parameters)], context)


def test_the_registry_lists_every_operation_with_a_sentence():
    assert set(list_augmentations()) == {*_OPERATIONS, *_MIXINGS}
    assert {"scale", "noise", "shift", "lead_dropout", "mixup", "rand_augment"} <= set(list_augmentations())
    assert len(list_augmentations()) == 30
    assert all(text.endswith(".") for text in list_augmentations().values())


@pytest.mark.parametrize("name", sorted(_OPERATIONS))
def test_same_seed_same_batch_and_the_input_is_left_alone(name):
    x = _x()
    before = x.clone()
    chain = _chain(name)
    one, two = chain(x, _generator()), chain(x, _generator())
    assert torch.equal(one, two)
    assert torch.equal(x, before)
    assert not torch.equal(one, x) or name == "equal_segments"
    assert (name in DETERMINISTIC) or not torch.equal(one, chain(x, _generator(1)))
    assert one.shape == x.shape
    assert one.dtype == x.dtype
    assert one.is_contiguous()
    assert bool(one.isfinite().all())


@pytest.mark.parametrize("name", sorted(_OPERATIONS))
def test_the_probability_is_per_sample(name):
    x, chain = _x(1000, 12, 64), _chain(name)
    sometimes = _chain(name, p=0.25)(x, _generator())
    before = x.clone()
    changed = float((sometimes != x).flatten(1).any(1).float().mean())
    always = float((chain(x, _generator()) != x).flatten(1).any(1).float().mean())
    assert changed == pytest.approx(0.25 * always, abs=0.05)
    assert torch.equal(_chain(name, p=0.0)(x, _generator()), x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", sorted(set(_OPERATIONS) - {"lead_exchange"}))
@pytest.mark.parametrize("lead", ["II", "MLII"])
def test_a_beat_of_one_lead_and_187_samples_can_be_varied(name, lead):
    x = _x(16, 1, 187)
    got = _chain(name, Context(125.0, (lead,)))(x, _generator())
    assert got.shape == x.shape
    assert bool(got.isfinite().all())


@pytest.mark.parametrize("name", sorted(_OPERATIONS))
@pytest.mark.parametrize("signal", [torch.zeros(4, 12, 300), torch.full((4, 12, 300), 2.5)])
def test_silence_and_constants_never_become_nan(name, signal):
    assert bool(_chain(name)(signal, _generator()).isfinite().all())


@pytest.mark.parametrize(
    "name",
    ["scale", "sign_flip", "shift", "roll", "time_flip", "time_warp", "stretch", "crop_stretch", "resample_sine",
     "resample_linear", "resample_triangle", "resample_power", "star", "equal_segments", "notch", "band_limit", "cutout"],
)  # fmt: skip
def test_what_treats_all_leads_alike_does_not_care_for_their_order(name):
    x, order = _x(), torch.randperm(12, generator=_generator(3))
    chain = _chain(name)
    torch.testing.assert_close(chain(x[:, order], _generator()), chain(x, _generator())[:, order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name", ["scale", "sign_flip", "shift", "roll", "time_flip", "time_warp", "stretch", "notch", "band_limit", "star"]
)
def test_what_treats_all_leads_alike_is_linear(name):
    x, z, chain = _x(), torch.randn(64, 12, 500, generator=_generator(4)), _chain(name)
    both = chain(x + 2 * z, _generator())
    torch.testing.assert_close(both, chain(x, _generator()) + 2 * chain(z, _generator()), rtol=1e-4, atol=1e-4)


def test_steps_follow_each_other_and_change_a_batch_once_copied():
    x = _x()
    steps = [Step("sign_flip"), Step("sign_flip"), Step("scale", 0.5), Step("noise", 0.5)]
    before = x.clone()
    assert torch.equal(Chain(steps[:2], TWELVE)(x, _generator()), x)
    changed = Chain(steps[2:], TWELVE)(x, _generator())
    share = float((changed != x).flatten(1).any(1).float().mean())
    assert 0.5 < share < 0.95
    assert torch.equal(x, before)
    assert Chain([], TWELVE)(x, _generator()) is x


def test_the_default_chain_is_mild_and_leaves_many_samples_alone():
    x = _x(400)
    got = Chain(DEFAULT_STEPS, TWELVE)(x, _generator())
    assert 0.05 < float((got == x).flatten(1).all(1).float().mean()) < 0.4
    assert not Chain(DEFAULT_STEPS, TWELVE).mixes
    assert Chain(DEFAULT_STEPS, Context(125.0, ("MLII",)))(_x(8, 1, 187), _generator()).shape == (8, 1, 187)


def test_mistakes_are_named():
    with pytest.raises(RecipeError, match=r"unknown augmentation 'scael' \(did you mean 'scale'\?\)"):
        _chain("scael")
    with pytest.raises(RecipeError, match=r"'scale' has no parameter 'sigm' \(did you mean 'sigma'\?\)"):
        _chain("scale", sigm=1)
    with pytest.raises(RecipeError, match="'time_flip' has no parameter 'p'; it has none"):
        Chain([Step("time_flip", 1.0, {"p": 1})], TWELVE)
    with pytest.raises(RecipeError, match="p must be between 0 and 1"):
        _chain("scale", p=1.5)


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        ("scale", {"sigma": "abc"}, "sigma must be a number, got 'abc'"),
        ("scale", {"sigma": True}, "sigma must be a number, got True"),
        ("scale", {"sigma": -1}, "sigma must be at least 0, got -1"),
        ("scale", {"sigma": float("nan")}, "sigma must be at least 0, got nan"),
        ("shift", {"max_fraction": 3}, "max_fraction must be between 0 and 1, got 3"),
        ("baseline_wander", {"tones": 1.5}, "tones must be a whole number, got 1.5"),
        ("baseline_wander", {"tones": 0}, "tones must be at least 1, got 0"),
        ("baseline_wander", {"hz": 0.3}, "hz must be two numbers, the lower first, got 0.3"),
        ("baseline_wander", {"hz": [0.5, 0.1]}, "hz must be two numbers, the lower first"),
        ("noise", {"snr_db": [1, "x"]}, "every entry of snr_db must be a number, got 'x'"),
        ("cutout", {"per_lead": 1}, "per_lead must be true or false, got 1"),
        ("power_line", {"hz": []}, "hz must be a list of numbers"),
        ("power_line", {"hz": [200, 300]}, "200, 300 Hz cannot occur in signals of 250 Hz; .* below 125 Hz"),
        ("muscle_noise", {"hz": [130, 150]}, "no frequency of 130 to 150 Hz .* must reach below 125 Hz"),
        ("notch", {"hz": [130, 150]}, "hz must lie between 0 and half of the rate of 250 Hz"),
        ("band_limit", {"low_hz": [0, 30]}, "low_hz must lie below high_hz, got 30 and 25"),
        ("resample_sine", {"max_s": 1}, "time would run backwards"),
        ("resample_power", {"stretch": [0.5, 1]}, "stretch must be at least 1"),
        ("star", {"low": 2.0}, "0 < low < high"),
        ("lead_exchange", {"exchanges": "LA-RA"}, "exchanges must be a list of names, got 'LA-RA'"),
        ("lead_exchange", {"exchanges": ["LA-XX"]}, "cannot exchange 'LA-XX'"),
        ("rand_augment", {"magnitude": 11}, "magnitude must be between 0 and 10, got 11"),
        ("rand_augment", {"operations": ["scael"]}, r"no magnitudes for 'scael' \(did you mean 'scale'\?\)"),
        ("mixup", {"alpha": 0}, "alpha must be above 0"),
    ],
)
def test_values_that_a_parameter_cannot_have_are_refused_when_the_chain_is_made(name, parameters, said):
    with pytest.raises(RecipeError, match=said):
        Chain([Step(name, 1.0, parameters)], TWELVE)


def test_what_signals_do_not_allow_is_refused_when_the_chain_is_made():
    with pytest.raises(RecipeError, match="cannot be computed from the leads MLII"):
        Chain([Step("lead_exchange")], Context(100.0, ("MLII",)))
    with pytest.raises(RecipeError, match="exchanging LA-RA changes none of the leads V1, V2"):
        Chain([Step("lead_exchange", 1.0, {"exchanges": ["LA-RA"]})], Context(100.0, ("V1", "V2")))
    with pytest.raises(RecipeError, match="cannot occur in signals of 100 Hz"):
        Chain([Step("power_line")], Context(100.0, TWELVE_LEADS))
    with pytest.raises(RecipeError, match="cannot occur in signals of 100 Hz"):
        Chain([Step("rand_augment", 1.0, {"operations": ["power_line"]})], Context(100.0, TWELVE_LEADS))
