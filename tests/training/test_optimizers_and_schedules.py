import copy
import math
import sys

import pytest
import torch

from einthoven.errors import MissingExtraError, RecipeError
from einthoven.models import Classifier, Scaling, create_model
from einthoven.training.averaging import WeightMean, refresh_batch_norm
from einthoven.training.muon import Muon, orthogonal
from einthoven.training.optimizers import make_optimizer
from einthoven.training.recipe import Training
from einthoven.training.schedules import Schedule


def _model(name="map583_cnn1d_3", **options):
    torch.manual_seed(0)
    return Classifier(Scaling(), create_model(name, 12, 3, **options))


def _learn(model, optimizer, n=40):
    x = torch.randn(16, 12, 250, generator=torch.Generator().manual_seed(0))
    y = (x[:, :3].mean(dim=-1) > 0).float()
    losses = []
    for _ in range(n):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(
    ("name", "lr"), [("adamw", 1e-2), ("adam", 1e-2), ("sgd", 0.5), ("lion", 3e-3), ("muon", 3e-2)]
)
def test_every_optimiser_learns_a_batch_and_continues_from_its_state(name, lr):
    if name == "lion":
        pytest.importorskip("lion_pytorch")
    options = Training(optimizer=name, lr=lr, weight_decay=0.01)
    model = _model("map583_lstm_1", hidden=16).train()
    optimizer = make_optimizer(model, options)
    losses = _learn(model, optimizer, 20)
    assert losses[-1] < 0.95 * losses[0]
    other = _model("map583_lstm_1", hidden=16).train()
    again = make_optimizer(other, options)
    other.load_state_dict(model.state_dict())
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch would share the tensors
    assert _learn(model, optimizer, 3) == _learn(other, again, 3)


def test_adam_decays_as_l2_and_adamw_apart_from_the_gradient():
    for name, changes in (("adamw", True), ("adam", False)):
        model = _model()
        weight = model.network.get_classifier().weight
        before = weight.detach().clone()
        optimizer = make_optimizer(model, Training(optimizer=name, lr=0.1, weight_decay=0.5))
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        ratio = (weight / before).detach()
        # AdamW shrinks by lr * decay whatever the gradient; Adam's step of L2 has the size of lr.
        assert torch.allclose(ratio, torch.full_like(ratio, 0.95)) == changes
        assert changes or torch.allclose((before - weight).abs(), torch.full_like(before, 0.1), atol=1e-3)


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "lion", "muon"])
def test_marked_parameters_do_not_decay(name):
    if name == "lion":
        pytest.importorskip("lion_pytorch")
    model = _model("map583_lstm_1", hidden=16) if name == "muon" else _model("s4d_small", width=8, depth=1)
    if name == "muon":
        next(p for p in model.parameters() if p.ndim == 2)._no_weight_decay = True
    marked = [p for p in model.parameters() if getattr(p, "_no_weight_decay", False)]
    optimizer = make_optimizer(model, Training(optimizer=name, weight_decay=0.3))
    assert marked
    seen = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert {id(p) for p in seen} == {id(p) for p in model.parameters()}
    assert len(seen) == len(list(model.parameters()))
    for group in optimizer.param_groups:
        kinds = {any(p is m for m in marked) for p in group["params"]}
        assert len(kinds) == 1
        assert group["weight_decay"] == (0.0 if kinds.pop() else 0.3)


@pytest.mark.parametrize(("name", "ndim"), [("map583_lstm_1", {2}), ("resnet1d_wang", {2, 3}), ("convnext1d", {2, 3})])
def test_muon_takes_matrices_and_kernels_and_leaves_the_rest_to_adamw(name, ndim):
    model = _model(name)
    first, *others = make_optimizer(model, Training(optimizer="muon")).param_groups
    assert {p.ndim for p in first["params"]} == ndim
    assert all(min(p.shape[:2]) > 1 for p in first["params"])
    rest = [p for group in others for p in group["params"]]
    assert any(p is model.network.get_classifier().weight for p in rest)
    assert len(rest) + len(first["params"]) == len(list(model.parameters()))
    depthwise = [p for p in model.parameters() if p.ndim == 3 and p.shape[1] == 1]
    assert bool(depthwise) == (name == "convnext1d")


def test_muon_is_refused_where_there_is_nothing_for_it():
    model = _model()
    for parameter in model.parameters():
        parameter._no_weight_decay = True
    with pytest.raises(RecipeError, match="muon is for networks with hidden matrices"):
        make_optimizer(model, Training(optimizer="muon"))


@pytest.mark.parametrize("shape", [(12, 40), (40, 12)])
def test_an_orthogonalised_step_has_singular_values_near_one_and_keeps_its_directions(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape)
    found = orthogonal(matrix)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ found @ right.T
    torch.testing.assert_close(inner, torch.diag(torch.diag(inner)), rtol=0, atol=1e-3)


def test_a_step_of_muon_is_that_of_the_paper_and_ignores_parameters_without_a_gradient():
    torch.manual_seed(0)
    kernel, idle = torch.nn.Parameter(torch.randn(6, 4, 3)), torch.nn.Parameter(torch.ones(2, 2))
    before, gradient = kernel.detach().clone(), torch.randn(6, 4, 3)
    kernel.grad = gradient
    Muon([kernel, idle], lr=0.1, momentum=0.9, weight_decay=0.5).step()
    nesterov = gradient + 0.9 * (0.1 * gradient - gradient)  # the mean began at zero
    step = orthogonal(nesterov.flatten(1)).view(6, 4, 3)
    torch.testing.assert_close(kernel.detach(), before * 0.95 - 0.1 * 0.2 * 12**0.5 * step)
    assert torch.equal(idle.detach(), torch.ones(2, 2))


def test_an_absent_lion_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "lion_pytorch", None)
    with pytest.raises(MissingExtraError, match=r"training.optimizer lion needs .*einthoven\[train\]"):
        make_optimizer(_model(), Training(optimizer="lion"))


def _rates(n_steps=10, losses=(), optimizer="sgd", **settings):
    options = Training(optimizer=optimizer, lr=1.0, **settings)
    chosen = make_optimizer(_model(), options)
    schedule = Schedule(chosen, options, n_steps)
    rates = []
    for epoch in range(options.epochs):
        for _ in range(n_steps):
            rates.append(schedule.rate)
            chosen.step()
            schedule.step()
        schedule.end_epoch(losses[epoch] if losses else 1.0)
    return rates


def test_cosine_warms_up_and_ends_near_zero():
    rates = _rates(epochs=10, schedule="cosine", warmup=0.2)
    assert rates[:3] == pytest.approx([1 / 21, 2 / 21, 3 / 21])
    assert rates[20] == max(rates) == 1
    assert rates[60] == pytest.approx(0.5)
    assert 0 < rates[-1] < 1e-3


def test_noam_peaks_at_the_recipes_rate():
    rates = _rates(epochs=10, schedule="noam", warmup=0.25)
    assert max(rates) == rates[24] == pytest.approx(1)
    # Vaswani et al.: proportional to min(s^-0.5, s w^-1.5)
    expected = [min(s**-0.5, s * 25**-1.5) * 5 for s in range(1, 101)]
    assert rates == pytest.approx(expected)


def test_step_and_exponential_decay_between_epochs_only():
    assert _rates(epochs=6, schedule="step", decay=0.1, decay_epochs=2)[::10] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )
    rates = _rates(epochs=3, schedule="exponential", decay=0.5)
    assert rates == pytest.approx([1] * 10 + [0.5] * 10 + [0.25] * 10)
    assert set(_rates(epochs=3, schedule="constant")) == {1}


def test_plateau_waits_for_its_patience():
    losses = [1.0, 0.9, 0.95, 0.94, 0.93, 0.92]
    rates = _rates(epochs=6, schedule="plateau", decay=0.5, decay_epochs=1, losses=losses)
    assert rates[::10] == pytest.approx([1, 1, 1, 1, 0.5, 0.5])


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "step", "exponential", "plateau", "noam", "constant"])
def test_averaged_epochs_have_a_constant_rate(schedule):
    rates = _rates(epochs=8, schedule=schedule, swa={"start": 0.75, "lr": 0.07})
    assert set(rates[60:]) == {0.07}
    assert 0.07 not in rates[:60]
    assert set(_rates(epochs=4, schedule=schedule, swa={"start": 0.5})[20:]) == {0.05}
    assert set(_rates(epochs=1, schedule=schedule, swa={})) == {0.05}


def test_one_cycle_leaves_the_momentum_of_sgd_as_the_recipe_has_it():
    options = Training(optimizer="sgd", momentum=0.8)
    optimizer = make_optimizer(_model(), options)
    schedule = Schedule(optimizer, options, 5)
    for _ in range(20):
        optimizer.step()
        schedule.step()
        assert optimizer.param_groups[0]["momentum"] == 0.8


def test_a_mean_of_weights_is_the_mean_and_its_batch_norms_are_those_of_the_batches():
    models = [_model() for _ in range(3)]
    for k, model in enumerate(models):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(k)), alpha=0.1)
    mean = WeightMean(models[0])
    for model in models:
        mean.update(model)
    for averaged, *each in zip(mean.module.parameters(), *(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(averaged, torch.stack(list(each)).mean(dim=0))
    batches = [(torch.randn(8, 12, 250, generator=torch.Generator().manual_seed(k)),) for k in range(4)]
    first = next(layer for layer in mean.module.modules() if isinstance(layer, torch.nn.BatchNorm1d))
    seen = []
    hook = first.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    momentum = first.momentum
    refresh_batch_norm(mean.module, iter(batches))
    hook.remove()
    axes = [k for k in range(seen[0].ndim) if k != 1]
    torch.testing.assert_close(first.running_mean, torch.stack([x.mean(dim=axes) for x in seen]).mean(dim=0))
    torch.testing.assert_close(first.running_var, torch.stack([x.var(dim=axes) for x in seen]).mean(dim=0))
    assert first.momentum == momentum
    assert not mean.module.training
    assert math.isfinite(mean.module(batches[0][0]).sum())
