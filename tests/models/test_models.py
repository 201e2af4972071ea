import pytest
import torch
from torch import nn

from einthoven.errors import RecipeError
from einthoven.models import Classifier, Scaling, _registry, create_model, list_models
from einthoven.models.weights import build_classifier, load_weights, save_weights

# At 12 leads and 5 classes, to the unit. Strodthoff et al. 2021's networks others have counted in thousands; the counts
# that other projects' networks have at their own leads and classes are in the tests of those.
PARAMETERS = {
    "cinc2020_ctn": 13_641_861,
    "cinc2020_se_resnet18": 8_827_013,
    "convnext1d": 1_831_461,
    "convnext1d_tiny": 26_970_213,
    "ecgcnn_convnet": 551_749,
    "ecgcnn_inception": 140_549,
    "ecgcnn_resnet": 961_413,
    "ecgfounder_net1d": 30_604_021,
    "fcn_wang": 309_765,
    "heartreader_inception1d": 519_941,
    "heartreader_se_resnet1d": 1_214_725,
    "heartreader_xresnet1d18": 6_436_229,
    "heartreader_xresnet1d34": 12_055_173,
    "heartreader_xresnet1d50": 19_019_653,
    "heartreader_xresnet1d101": 33_555_333,
    "heartreader_xresnet1d152": 45_528_965,
    "inception1d": 507_653,
    "lstm": 903_685,
    "lstm_bidir": 2_330_629,
    "map583_cnn1d_3": 5_405,
    "map583_lstm_1": 116_105,
    "map583_lstm_2": 196_905,
    "map583_lstm_3": 277_705,
    "map583_resnet1d_10": 47_141,
    "map583_resnet1d_18": 88_869,
    "map583_resnet1d_v2_10": 698_751,
    "map583_resnet1d_v2_18": 1_561_819,
    "net1d": 893_701,
    "resnet1d_wang": 473_349,
    "s4d": 2_167_813,
    "s4d_small": 323_717,
    "vit1d": 477_189,
    "xresnet1d18": 364_933,
    "xresnet1d34": 694_661,
    "xresnet1d50": 953_989,
    "xresnet1d101": 1_872_261,
    "xresnet1d152": 2_790_533,
}

# Large networks whose code a smaller one of their family shares.
LARGE = (
    "convnext1d_tiny",
    "ecgfounder_net1d",
    "heartreader_xresnet1d34",
    "heartreader_xresnet1d50",
    "heartreader_xresnet1d101",
    "heartreader_xresnet1d152",
    "lstm_bidir",
    "s4d",
    "xresnet1d101",
    "xresnet1d152",
)
MODELS = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in list_models()]


def test_every_model_is_counted():
    assert set(list_models()) == set(PARAMETERS)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_its_parameter_count(name):
    assert create_model(name).n_parameters == PARAMETERS[name]


@torch.inference_mode()
@pytest.mark.parametrize("name", MODELS)
def test_any_leads_classes_and_samples(name):
    for n_leads, n_classes, n_samples in ((1, 2, 187), (12, 71, 250), (8, 1, 1001)):
        model = create_model(name, n_leads, n_classes).eval()
        x = torch.randn(2, n_leads, n_samples)
        features = model.forward_features(x)
        assert features.shape[:2] == (2, model.n_features)
        logits = model(x)
        assert logits.shape == (2, n_classes)
        torch.testing.assert_close(logits, model.forward_head(features))
        embedding = model.forward_head(features, pre_logits=True)
        torch.testing.assert_close(model.get_classifier()(embedding), logits)


@pytest.mark.parametrize("name", MODELS)
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
    with pytest.raises(
        RecipeError, match=r"'resnet1d_wang' has no option 'widht' \(did you mean 'width'\?\); it has width"
    ):
        create_model("resnet1d_wang", widht=64)
    with pytest.raises(RecipeError, match="'map583_cnn1d_3' has no option 'width'; it has none"):
        create_model("map583_cnn1d_3", width=64)
    for width in (0, -4, "abc"):
        with pytest.raises(RecipeError, match="'resnet1d_wang' with options"):
            create_model("resnet1d_wang", width=width)


def test_a_model_that_takes_any_option_is_given_it(monkeypatch):
    given = {}
    monkeypatch.setitem(_registry._ENTRIES, "free", lambda n_leads, n_classes, **options: given.update(options))
    create_model("free", anything=1)
    assert given == {"anything": 1}


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
