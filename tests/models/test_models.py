import pytest
import torch
from torch import nn

from einthoven.errors import RecipeError
from einthoven.models import Classifier, Scaling, create_model, list_models
from einthoven.models.weights import build_classifier, load_weights, save_weights

# Strodthoff et al. 2021's networks at 12 leads and 5 classes, as counted by others in thousands; ours to the unit.
PARAMETERS = {
    "inception1d": 507_653,
    "resnet1d_wang": 473_349,
    "xresnet1d18": 364_933,
    "xresnet1d34": 694_661,
    "xresnet1d50": 953_989,
    "xresnet1d101": 1_872_261,
    "xresnet1d152": 2_790_533,
}


def test_every_model_has_its_parameter_count():
    assert {name: create_model(name).n_parameters for name in list_models()} == PARAMETERS


@pytest.mark.parametrize("name", list_models())
def test_any_leads_classes_and_samples(name):
    for n_leads, n_classes, n_samples in ((1, 2, 187), (12, 71, 250), (8, 1, 1001)):
        model = create_model(name, n_leads, n_classes).eval()
        x = torch.randn(2, n_leads, n_samples)
        features = model.forward_features(x)
        assert features.shape[:2] == (2, model.n_features)
        assert model(x).shape == (2, n_classes)
        torch.testing.assert_close(model(x), model.forward_head(features))
        embedding = model.forward_head(features, pre_logits=True)
        torch.testing.assert_close(model.get_classifier()(embedding), model(x))


@pytest.mark.parametrize("name", list_models())
def test_every_parameter_gets_a_gradient(name):
    torch.manual_seed(0)
    model = create_model(name, 3, 4)
    nn.functional.binary_cross_entropy_with_logits(model(torch.randn(8, 3, 256)), torch.rand(8, 4)).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_a_fresh_classifier_has_other_classes():
    model = create_model("resnet1d_wang", 12, 5)
    model.reset_classifier(9)
    assert model.eval()(torch.randn(1, 12, 250)).shape == (1, 9)


def test_the_bottlenecks_are_bottlenecks():
    kernels = [m.kernel_size[0] for m in create_model("xresnet1d50").modules() if isinstance(m, nn.Conv1d)]
    assert kernels.count(5) == 3 + 16
    assert kernels.count(1) == 2 * 16 + 1  # the only shortcut that changes width is the first


def test_unknown_models_and_options_are_named():
    with pytest.raises(RecipeError, match=r"unknown model 'xresnet1d10' \(did you mean 'xresnet1d101'\?\)"):
        create_model("xresnet1d10")
    with pytest.raises(RecipeError, match="'resnet1d_wang' with options .*widht"):
        create_model("resnet1d_wang", widht=64)
    for width in (0, -4, "abc"):
        with pytest.raises(RecipeError, match="'resnet1d_wang' with options"):
            create_model("resnet1d_wang", width=width)


def test_scaling_acts_in_millivolts_per_dataset_or_lead():
    x = torch.randn(4, 2, 50)
    torch.testing.assert_close(Scaling([0.5], [2.0])(x), (x - 0.5) / 2)
    scaled = Scaling([0.5, -1.0], [2.0, 4.0])(x)
    torch.testing.assert_close(scaled[:, 1], (x[:, 1] + 1) / 4)


def test_weights_return_exactly_and_refuse_another_architecture(tmp_path):
    entry = {"name": "resnet1d_wang", "options": {"width": 16}, "n_leads": 3, "n_classes": 2, "n_scales": 3}
    model = Classifier(Scaling([0.1, 0.2, 0.3], [1, 2, 3]), create_model("resnet1d_wang", 3, 2, width=16)).eval()
    save_weights(tmp_path / "w.safetensors", model)
    again = build_classifier(entry).eval()
    load_weights(tmp_path / "w.safetensors", again)
    x = torch.randn(2, 3, 250)
    assert torch.equal(model(x), again(x))
    with pytest.raises(Exception, match="weights do not fit the model"):
        load_weights(tmp_path / "w.safetensors", build_classifier({**entry, "options": {"width": 32}}))
