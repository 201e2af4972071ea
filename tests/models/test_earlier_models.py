import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from einthoven.bundling import export_onnx
from einthoven.models import create_model
from einthoven.models._blocks import PoolTo, SqueezeExcite
from einthoven.models.cinc2020_ctn import Encoder
from einthoven.models.cinc2020_se_resnet import LeadWeighting
from einthoven.models.lstm import Recurrent, RecurrentPool

# (leads, classes), parameters, and (samples, positions before the head) of each network as its own project has it; but
# cinc2020_ctn and fcn_wang are padded otherwise, so their positions are ours.
REFERENCE = {
    "ecgcnn_convnet": ((12, 5), 551_749, (1000, 125)),
    "ecgcnn_resnet": ((12, 5), 961_413, (1000, 63)),
    "ecgcnn_inception": ((12, 5), 140_549, (1000, 1000)),
    "cinc2020_se_resnet18": ((12, 17), 8_833_379 - 40 - 170, (4096, 128)),
    "cinc2020_ctn": ((12, 17), 13_642_641, (4096, 117)),
    "heartreader_inception1d": ((12, 5), 519_941, (1000, 1000)),
    "heartreader_se_resnet1d": ((12, 5), 1_214_725, (1000, 250)),
    "heartreader_xresnet1d18": ((12, 5), 6_436_229, (1000, 32)),
    "heartreader_xresnet1d34": ((12, 5), 12_055_173, (1000, 32)),
    "heartreader_xresnet1d50": ((12, 5), 19_019_653, (1000, 32)),
    "heartreader_xresnet1d101": ((12, 5), 33_555_333, (1000, 32)),
    "heartreader_xresnet1d152": ((12, 5), 45_528_965, (1000, 32)),
    "map583_cnn1d_3": ((1, 5), 4_789, (187, 18)),
    "map583_lstm_1": ((1, 5), 116_105, (187, 1)),
    "map583_lstm_2": ((1, 5), 196_905, (187, 1)),
    "map583_lstm_3": ((1, 5), 277_705, (187, 1)),
    "map583_resnet1d_10": ((1, 5), 45_381, (187, 12)),
    "map583_resnet1d_18": ((1, 5), 87_109, (187, 12)),
    "map583_resnet1d_v2_10": ((1, 5), 696_991, (187, 12)),
    "map583_resnet1d_v2_18": ((1, 5), 1_560_059, (187, 12)),
    "fcn_wang": ((12, 5), 309_765, (250, 251)),
    "lstm": ((12, 5), 903_685, (250, 250)),
    "lstm_bidir": ((12, 5), 2_330_629, (250, 250)),
}

# Options that make a network small, for tests that need no size.
SMALL = {
    "ecgcnn_convnet": {"width": 8},
    "cinc2020_se_resnet18": {"width": 8, "lead_weighting": True},
    "cinc2020_ctn": {"n_layers": 1},
    "lstm": {"hidden": 8},
    "lstm_bidir": {"hidden": 8},
    "map583_lstm_3": {"hidden": 8},
}


def as_trained(model, n_leads=12, n_samples=250):
    """A network whose batch norms have moved: residual branches that start at zero would hide from a test."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            with torch.no_grad():
                module.weight += 0.3 * torch.rand_like(module.weight)
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = None  # the statistics of what it sees, at once
    with torch.no_grad():
        model.train()(torch.randn(16, n_leads, n_samples))
    return model.eval()


def onnx_agrees(model, path, n_leads=12, n_samples=250):
    export_onnx(model, np.zeros((3, n_leads, n_samples), np.float32), path)
    session = onnxruntime.InferenceSession(path)
    for batch in (1, 3):
        x = torch.randn(batch, n_leads, n_samples)
        with torch.inference_mode():
            expected = model(x)
        (logits,) = session.run(None, {"signals_mv": x.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", REFERENCE)
def test_parameters_and_positions_are_those_of_the_reference(name):
    (n_leads, n_classes), n_parameters, (n_samples, n_positions) = REFERENCE[name]
    model = create_model(name, n_leads, n_classes).eval()
    assert model.n_parameters == n_parameters
    with torch.inference_mode():
        features = model.forward_features(torch.randn(1, n_leads, n_samples))
    assert features.shape == (1, model.n_features, n_positions)


def test_age_and_sex_account_for_the_difference_to_the_repositories_count():
    branch, inputs_of_classifier = nn.Linear(3, 10), nn.Linear(10, 17, bias=False)
    extra = sum(p.numel() for module in (branch, inputs_of_classifier) for p in module.parameters())
    assert create_model("cinc2020_se_resnet18", 12, 17).n_parameters + extra == 8_833_379
    assert create_model("cinc2020_se_resnet18", 12, 17).get_classifier().in_features == 512


@pytest.mark.parametrize(("width", "n_parameters"), [(64, 8_823_779), (32, 2_226_147), (16, 570_531)])
def test_widths_give_the_private_variants_without_their_missing_batch_norms(width, n_parameters):
    model = create_model("cinc2020_se_resnet18", 12, 17, width=width)
    norms = sum(p.numel() for m in model.modules() if isinstance(m, nn.BatchNorm1d) for p in m.parameters())
    assert model.n_parameters - norms + 40 + 170 == n_parameters


def test_lead_weighting_is_off_and_costs_two_small_layers():
    plain = create_model("cinc2020_se_resnet18", 12, 17)
    weighted = create_model("cinc2020_se_resnet18", 12, 17, lead_weighting=True)
    assert not any(isinstance(module, LeadWeighting) for module in plain.modules())
    assert weighted.n_parameters - plain.n_parameters == 2 * 12 * 6


def test_lead_weights_see_the_size_of_leads_whose_mean_is_zero():
    torch.manual_seed(0)
    weighting = LeadWeighting(12)
    x = torch.sin(torch.arange(200) * torch.pi / 10).repeat(2, 12, 1)
    x[1, 3] *= 5
    gates = weighting(x)[..., 5] / x[..., 5]
    assert ((gates > 0) & (gates < 1)).all()
    assert (gates[0] - gates[1]).abs().max() > 0.01
    torch.testing.assert_close(weighting(-x), -weighting(x))
    features = SqueezeExcite(12, reduction=2)(x)[..., 5] / x[..., 5]
    torch.testing.assert_close(features, torch.full((2, 12), 0.5), atol=1e-4, rtol=0)  # why the mean would not do


def test_gates_are_one_number_per_channel_from_its_mean():
    torch.manual_seed(0)
    block = SqueezeExcite(8, reduction=4)
    x = torch.rand(3, 8, 20)
    down, up = block.gate[0].weight, block.gate[2].weight
    gates = torch.sigmoid(torch.relu(x.mean(2) @ down.T) @ up.T)
    torch.testing.assert_close(block(x), x * gates[:, :, None])
    assert down.shape == (2, 8)
    assert SqueezeExcite(8, reduction=16).gate[0].out_features == 1
    assert SqueezeExcite(8, reduction=16, narrowest=4).gate[0].out_features == 4


@pytest.mark.parametrize("n_samples", [4, 18, 31, 125, 129, 625])
def test_pooling_to_positions_is_adaptive_average_pooling(n_samples):
    x = torch.randn(2, 3, n_samples)
    for n in (1, 18, 125):
        torch.testing.assert_close(PoolTo(n)(x), nn.AdaptiveAvgPool1d(n)(x))
    assert PoolTo(n_samples)(x) is x


@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_pooling_takes_the_state_that_each_direction_ends_with(bidirectional):
    body = Recurrent(3, 5, 2, bidirectional)
    x = torch.randn(4, 3, 30)
    outputs, (states, _) = body.lstm(x.transpose(1, 2))
    ends = torch.cat(list(states[-2:] if bidirectional else states[-1:]), dim=1)
    pooled = RecurrentPool(bidirectional)(body(x))
    torch.testing.assert_close(pooled, torch.cat([outputs.amax(1), outputs.mean(1), ends], dim=1))


def test_bidirectional_is_an_option_of_the_lstm():
    assert create_model("lstm", bidirectional=True).n_parameters == create_model("lstm_bidir").n_parameters
    assert create_model("lstm", hidden=16, layers=1).n_features == 16
    assert create_model("lstm_bidir", hidden=16, layers=1).n_features == 32


def test_a_beat_of_one_lead_is_one_step_and_leads_are_steps():
    model = create_model("map583_lstm_2", 3, 5).eval()
    x = torch.randn(4, 3, 187)
    outputs, _ = model.body.recurrent.lstm(x)
    torch.testing.assert_close(model(x), model.get_classifier()(outputs[:, -1]))
    torch.testing.assert_close(model.forward_features(x[:, :1])[..., 0], outputs[:, 0])
    assert create_model("map583_lstm_2", 12, 5).n_parameters == 196_905
    assert create_model("map583_lstm_2", 1, 5, n_samples=250).n_parameters == 196_905 + 4 * 100 * (250 - 187)


def test_attention_knows_the_order_and_its_layers_start_apart():
    torch.manual_seed(0)
    encoder = Encoder(n_layers=2).eval()
    x = torch.randn(1, 256, 9)
    assert (encoder(x.flip(-1)).flip(-1) - encoder(x)).abs().max() > 0.01
    assert not torch.equal(encoder.layers[0].linear1.weight, encoder.layers[1].linear1.weight)


def test_the_shortest_signals_pass():
    for name in REFERENCE:
        if "xresnet" not in name or name.endswith("18"):
            assert create_model(name, 2, 3).eval()(torch.randn(2, 2, 64)).shape == (2, 3)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_seed_alone_decides_the_weights(name):
    options = SMALL.get(name, {})
    if name.startswith("heartreader_xresnet") and not name.endswith("18"):
        pytest.skip("tens of millions of weights by the code of heartreader_xresnet1d18")

    def weights(seed):
        torch.manual_seed(seed)
        return create_model(name, 2, 3, **options).state_dict()

    first, again, other = weights(0), weights(0), weights(1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize(
    "name",
    [
        "cinc2020_ctn",
        "ecgcnn_convnet",
        "lstm_bidir",
        pytest.param("lstm", marks=pytest.mark.slow),
        pytest.param("cinc2020_se_resnet18", marks=pytest.mark.slow),
    ],
)
def test_onnx_gives_the_same_logits_at_any_batch_size(name, tmp_path):
    torch.manual_seed(0)
    model = as_trained(create_model(name, 3, 4, **SMALL[name]), n_leads=3, n_samples=100)
    onnx_agrees(model, tmp_path / "model.onnx", n_leads=3, n_samples=100)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", REFERENCE)
def test_every_earlier_model_exports_at_full_size(name, tmp_path):
    torch.manual_seed(0)
    onnx_agrees(as_trained(create_model(name)), tmp_path / "model.onnx")
