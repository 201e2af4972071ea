import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from einthoven.errors import RecipeError
from einthoven.training.losses import lesson_loss, loss_of, make_loss
from einthoven.training.recipe import Training
from einthoven.training.sampling import make_sampler
from einthoven.training.targets import class_weights, importance_of

NAN = float("nan")
MULTILABEL, MULTICLASS = ("bce", "focal", "asymmetric", "mse", "l1"), ("cross_entropy", "nll", "focal", "mse", "l1")
EVERY = [(name, "multilabel") for name in MULTILABEL] + [(name, "multiclass") for name in MULTICLASS]


def _batch(kind, n=64, k=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = 3 * torch.randn(n, k, generator=generator)
    if kind == "multiclass":
        return z, F.one_hot(torch.randint(k, (n,), generator=generator), k).float()
    return z, (torch.rand(n, k, generator=generator) < 0.3).float()


def _p_of(z, y, kind):
    """Probability of what is true."""
    if kind == "multiclass":
        return (z.softmax(dim=1) * y).sum(dim=1)
    return torch.where(y == 1, z.sigmoid(), 1 - z.sigmoid())


def test_focal_and_asymmetric_are_those_of_their_papers():
    z, y = _batch("multilabel")
    p, pt = z.sigmoid(), _p_of(z, y, "multilabel")
    alpha = torch.where(y == 1, 0.25, 0.75)
    focal = (-alpha * (1 - pt) ** 2 * pt.log()).mean()
    torch.testing.assert_close(loss_of(z, y, "multilabel", name="focal"), focal)
    plain = (-((1 - pt) ** 3) * pt.log()).mean()
    torch.testing.assert_close(loss_of(z, y, "multilabel", name="focal", options={"gamma": 3, "alpha": None}), plain)
    pm = (p - 0.05).clamp(min=0)
    asymmetric = torch.where(y == 1, -(1 - p) * p.log(), -(pm**4) * (1 - pm).log()).mean()
    torch.testing.assert_close(loss_of(z, y, "multilabel", name="asymmetric"), asymmetric)
    z, y = _batch("multiclass")
    pt = _p_of(z, y, "multiclass")
    torch.testing.assert_close(loss_of(z, y, "multiclass", name="focal"), (-((1 - pt) ** 2) * pt.log()).mean())


def test_losses_that_torch_has_are_torchs():
    z, y = _batch("multiclass")
    for name in ("auto", "cross_entropy", "nll"):
        torch.testing.assert_close(
            loss_of(z, y, "multiclass", 0.1, name=name), F.cross_entropy(z, y, label_smoothing=0.1)
        )
    torch.testing.assert_close(loss_of(z, y, "multiclass", name="mse"), 4 * F.mse_loss(z.softmax(1), y))
    torch.testing.assert_close(loss_of(z, y, "multiclass", name="l1"), 4 * F.l1_loss(z.softmax(1), y))
    z, y = _batch("multilabel")
    torch.testing.assert_close(loss_of(z, y, "multilabel"), F.binary_cross_entropy_with_logits(z, y))
    torch.testing.assert_close(loss_of(z, y, "multilabel", name="mse"), F.mse_loss(z.sigmoid(), y))
    torch.testing.assert_close(loss_of(z, y, "multilabel", name="l1"), F.l1_loss(z.sigmoid(), y))


def test_class_weights_are_those_of_torch():
    weights = torch.tensor([0.5, 1.0, 2.0, 0.1])
    z, y = _batch("multilabel")
    torch.testing.assert_close(
        loss_of(z, y, "multilabel", weights=weights), F.binary_cross_entropy_with_logits(z, y, pos_weight=weights)
    )
    z, y = _batch("multiclass")
    torch.testing.assert_close(
        loss_of(z, y, "multiclass", weights=weights),
        F.cross_entropy(z, y.argmax(1), weight=weights, reduction="sum") / 64,
    )


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_unknown_targets_count_for_nothing(name, kind):
    z, y = _batch(kind)
    weights = torch.tensor([0.5, 1.0, 2.0, 0.1])
    holes = y.clone()
    if kind == "multiclass":
        holes[::3] = NAN
        expected = loss_of(
            z[torch.arange(64) % 3 > 0], y[torch.arange(64) % 3 > 0], kind, 0.1, name=name, weights=weights
        )
    else:
        holes[:, 1] = NAN
        kept = [0, 2, 3]
        expected = loss_of(z[:, kept], y[:, kept], kind, 0.1, name=name, weights=weights[kept])
    z.requires_grad_()
    loss = loss_of(z, holes, kind, 0.1, name=name, weights=weights)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert torch.isfinite(z.grad).all()
    assert not z.grad[torch.isnan(holes)].any()
    assert loss_of(z, torch.full_like(y, NAN), kind, name=name) == 0


@pytest.mark.parametrize(("name", "kind"), EVERY)
def test_soft_targets_lead_between_hard_ones_and_certain_logits_stay_finite(name, kind):
    z = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], requires_grad=True)
    y = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    loss = loss_of(z, y, kind, name=name)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()
    # Of answers from certain no to certain yes, a target of one half is best met in the middle, or equally well by all.
    one = torch.linspace(-4, 4, 81)[:, None]
    answers = torch.cat([one, torch.zeros_like(one)], dim=1) if kind == "multiclass" else one
    half = torch.full((1, answers.shape[1]), 0.5)
    losses = torch.stack(
        [
            loss_of(row[None], half, kind, name=name, options={"clip": 0} if name == "asymmetric" else {})
            for row in answers
        ]
    )
    if name not in ("asymmetric",) and not (name == "focal" and kind == "multilabel"):
        assert losses[40] <= losses.min() + 1e-6


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_a_student_that_answers_as_its_teacher_has_no_gradient(kind):
    z, _ = _batch(kind)
    for temperature in (1.0, 3.0):
        student = z.clone().requires_grad_()
        lesson_loss(student, z, kind, temperature).backward()
        assert student.grad.abs().max() < 1e-7
    taught = lesson_loss(torch.zeros(1, 2), torch.tensor([[2.0, -2.0]]), kind, 2.0)
    torch.testing.assert_close(taught, torch.tensor(4 * math.log(2)))


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"loss": "focal", "loss_options": {"gama": 1}}, "multilabel", r"loss focal has no 'gama' \(did you mean 'gamma'\?\); it takes gamma, alpha"),
        ({"loss_options": {"gamma": 1}}, "multilabel", "loss bce has no 'gamma'; it takes none"),
        ({"loss": "focal", "loss_options": {"alpha": 0.3}}, "multiclass", "loss focal has no 'alpha'"),
        ({"loss": "focal", "loss_options": {"alpha": 2}}, "multilabel", "alpha must be from 0 to 1, got 2"),
        ({"loss": "asymmetric", "loss_options": {"gamma_neg": -1}}, "multilabel", "gamma_neg must be 0 or above"),
        ({"loss": "asymmetric"}, "multiclass", "asymmetric does not fit multiclass targets; use cross_entropy, nll"),
    ],
)  # fmt: skip
def test_losses_that_cannot_be_are_refused(settings, kind, message):
    with pytest.raises(RecipeError, match=message):
        make_loss(Training(**settings), kind)


def test_class_weights_follow_their_rules():
    y = np.zeros((1000, 3), np.float32)
    y[:600, 0], y[600:900, 1], y[900:, 2] = 1, 1, 1
    y[:10, 2] = NAN
    n = np.array([600, 300, 100])

    def weights(rule, importance=None):
        return class_weights(rule, y, ("a", "b", "c"), importance or {})

    assert weights("none") is None
    np.testing.assert_allclose(weights("inverse"), 1 / n / (1 / n).mean(), rtol=1e-6)
    np.testing.assert_allclose(weights("root"), n**-0.5 / (n**-0.5).mean(), rtol=1e-6)
    np.testing.assert_allclose(weights("balanced"), 1000 / (3 * n), rtol=1e-6)
    effective = (1 - 0.9999) / (1 - 0.9999**n)
    np.testing.assert_allclose(weights("effective"), effective / effective.mean(), rtol=1e-6)
    np.testing.assert_allclose(weights("importance", {"b": 4}), [0.5, 2, 0.5])


@pytest.mark.parametrize(
    ("importance", "message"),
    [
        ({"VEB": 2}, r"unknown class 'VEB' \(did you mean 'SVEB'\?\); classes are N, SVEB"),
        ({"N": -1}, "N must be 0 or above, got -1"),
        ({"N": 0, "SVEB": 0}, "at least one class"),
    ],
)
def test_importance_of_what_is_not_there_is_refused(importance, message):
    with pytest.raises(RecipeError, match=message):
        importance_of(importance, ("N", "SVEB"))


def _shares(sampler, y, epochs=40):
    drawn = np.concatenate([sampler.draw(torch.Generator().manual_seed(k)).numpy() for k in range(epochs)])
    return drawn, np.nan_to_num(y[drawn]).mean(axis=0)


def test_the_equal_sampler_draws_every_class_as_often_and_each_record_of_a_class():
    y = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], [900, 90, 10])]
    sampler = make_sampler("equal", y, "abc", {})
    drawn, share = _shares(sampler, y)
    assert len(sampler.draw(torch.Generator())) == 1000
    np.testing.assert_allclose(share, 1 / 3, atol=0.01)
    assert set(drawn[drawn >= 900]) == set(range(900, 1000))
    assert torch.equal(sampler.draw(torch.Generator().manual_seed(3)), sampler.draw(torch.Generator().manual_seed(3)))
    assert make_sampler("none", y, "abc", {}) is None


def test_records_without_a_class_are_drawn_as_a_class_of_their_own():
    y = np.zeros((1000, 2), np.float32)
    y[:50, 0], y[:10, 1] = 1, 1
    y[900:] = NAN
    _, share = _shares(make_sampler("equal", y, "ab", {}), y)
    # A third each of: a, of which a fifth are b too; b, all of which are a too; neither.
    np.testing.assert_allclose(share, [2 / 3, 1 / 3 + 1 / 15], atol=0.01)


def test_importance_is_the_proportion_in_which_classes_are_drawn():
    y = np.eye(3, dtype=np.float32)[np.repeat([0, 1, 2], [900, 90, 10])]
    _, share = _shares(make_sampler("importance", y, "abc", {"b": 2, "c": 0.5}), y)
    np.testing.assert_allclose(share, np.array([1, 2, 0.5]) / 3.5, atol=0.01)
