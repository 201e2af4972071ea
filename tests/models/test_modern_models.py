import io

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch.nn import functional as F

from einthoven.bundling import export_onnx
from einthoven.errors import RecipeError
from einthoven.models import Classifier, Scaling, create_model
from einthoven.models.convnext1d import ChannelNorm, DropPath
from einthoven.models.s4d import StateSpace, convolve
from einthoven.models.vit1d import sinusoids

# Two layers are enough to see a graph, and quick to export.
FAST = {"s4d_small": {"depth": 2}, "convnext1d": {}, "vit1d": {"depth": 2}, "net1d": {}}
SLOW = ("s4d", "convnext1d_tiny", "ecgfounder_net1d")
REAL = {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64, onnx.TensorProto.BOOL}


def _recurrence(states: StateSpace, x: np.ndarray, direction: int) -> np.ndarray:
    """x' = a x + u, held over a step, one sample after the other, in complex double precision; x is (width, time)."""
    p = {name: value.detach().double().numpy() for name, value in states.named_parameters()}
    a = -np.exp(p["decay"]) + 1j * p["frequency"]
    step = np.exp(p["log_step"])[:, None]
    c = p["output"][direction, 0] + 1j * p["output"][direction, 1]
    state, out = np.zeros_like(a), np.zeros_like(x)
    for t in range(x.shape[1]):
        state = np.exp(step * a) * state + (np.exp(step * a) - 1) / a * x[:, t : t + 1]
        out[:, t] = 2 * (c * state).sum(axis=1).real
    return out


def _states(width: int = 16, n_states: int = 8) -> StateSpace:
    torch.manual_seed(3)
    states = StateSpace(width, n_states)
    with torch.no_grad():  # somewhere else than where training begins
        states.decay += 0.3 * torch.randn_like(states.decay)
        states.frequency += torch.randn_like(states.frequency)
    return states


@pytest.mark.parametrize("direction", [0, 1])
def test_the_kernel_is_the_response_of_the_naive_recurrence(direction):
    states, pulse = _states(), np.zeros((16, 300))
    pulse[:, 0] = 1
    kernel = states.kernel(300)[direction].detach().numpy()
    assert np.abs(kernel).max() > 0.01
    np.testing.assert_allclose(kernel, _recurrence(states, pulse, direction), atol=1e-5)


@pytest.mark.parametrize("n_samples", [64, 250, 333])
def test_state_spaces_are_a_forward_and_a_backward_recurrence(n_samples):
    states = _states()
    x = np.random.default_rng(0).normal(size=(16, n_samples))
    later = np.concatenate([x[:, 1:], np.zeros((16, 1))], axis=1)  # the backward system begins with the next sample
    wanted = _recurrence(states, x, 0) + _recurrence(states, later[:, ::-1], 1)[:, ::-1]
    wanted += states.direct.detach().double().numpy()[:, None] * x
    found = states(torch.from_numpy(x)[None].float())[0].detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_the_convolution_and_its_gradient_are_those_of_a_plain_one():
    x = torch.randn(3, 4, 37, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(2, 4, 37, dtype=torch.float64, requires_grad=True)

    def plain(x, kernel):
        taps = torch.cat([kernel[0].flip(-1), kernel[1, :, :-1]], dim=-1)
        return F.conv1d(x, taps[:, None], padding=36, groups=4)

    torch.testing.assert_close(convolve(x, kernel), plain(x, kernel))
    weight = torch.randn(3, 4, 37, dtype=torch.float64)
    ours = torch.autograd.grad((convolve(x, kernel) * weight).sum(), (x, kernel))
    torch.testing.assert_close(ours, torch.autograd.grad((plain(x, kernel) * weight).sum(), (x, kernel)))


def test_what_the_states_are_made_of_is_marked_against_decay():
    marked = {n for n, p in create_model("s4d_small").named_parameters() if getattr(p, "_no_weight_decay", False)}
    assert len(marked) == 4 * 5
    assert all(".states." in name for name in marked)


def test_states_come_in_pairs():
    with pytest.raises(RecipeError, match="n_states must be even"):
        create_model("s4d", n_states=7)


def _export(name: str, folder):
    torch.manual_seed(1)
    network = create_model(name, 12, 5, **FAST.get(name, {}))
    for module in network.modules():  # a shortcut that is scaled to nothing would hide what is beside it
        if hasattr(module, "scale"):
            torch.nn.init.normal_(module.scale)
    model = Classifier(Scaling([0.1], [0.5]), network).eval()
    example = np.random.default_rng(0).normal(size=(3, 12, 250)).astype(np.float32)
    path = folder / "model.onnx"
    export_onnx(model, example, path)
    return model, path, example


def _check_parity(name: str, folder) -> onnx.GraphProto:
    model, path, example = _export(name, folder)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for x in (example[:1], example):
        with torch.inference_mode():
            wanted = model(torch.from_numpy(x)).numpy()
        found = session.run(None, {"signals_mv": x})[0]
        assert found.shape == (len(x), 5)
        assert np.ptp(wanted) > 1e-3
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    return onnx.shape_inference.infer_shapes(onnx.load(path)).graph


@pytest.mark.parametrize("name", FAST)
def test_the_graph_answers_as_the_network_and_is_real(name, tmp_path):
    graph = _check_parity(name, tmp_path)
    assert {"DFT", "STFT", "Loop", "Scan"}.isdisjoint(node.op_type for node in graph.node)
    kinds = {value.type.tensor_type.elem_type for value in graph.value_info}
    assert kinds | {tensor.data_type for tensor in graph.initializer} <= REAL


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_the_large_graph_answers_as_the_network(name, tmp_path):
    _check_parity(name, tmp_path)


@pytest.mark.parametrize("name", FAST)
def test_half_precision_trains(name):
    torch.manual_seed(0)
    model = create_model(name, 3, 4)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(torch.randn(4, 3, 128))
    F.binary_cross_entropy_with_logits(logits.float(), torch.rand(4, 4)).backward()
    assert torch.isfinite(logits).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_kernels_and_transforms_are_in_single_precision_under_autocast():
    states, x = _states(), torch.randn(2, 16, 250)
    plain = states(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(states(x), plain)


def test_a_branch_is_dropped_whole_and_its_mean_kept():
    torch.manual_seed(0)
    x = torch.ones(4000, 3, 2)
    y = DropPath(0.25)(x)
    torch.testing.assert_close(y.unique(), torch.tensor([0, 4 / 3]))
    assert (y.amax(dim=(1, 2)) == y.amin(dim=(1, 2))).all()
    assert float(y.mean()) == pytest.approx(1, abs=0.03)
    assert torch.equal(DropPath(0.25).eval()(x), x)
    with pytest.raises(RecipeError, match=r"must be in \[0, 1\)"):
        create_model("convnext1d", drop_path=1.5)


def test_channels_are_normalised_instant_by_instant():
    x = 5 + 3 * torch.randn(2, 32, 7)
    y = ChannelNorm(32)(x)
    torch.testing.assert_close(y.mean(dim=1), torch.zeros(2, 7), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.std(dim=1, unbiased=False), torch.ones(2, 7), atol=1e-3, rtol=0)


def test_the_transformer_fills_the_last_patch_with_zeros():
    model = create_model("vit1d", 2, 3).eval()
    x = torch.randn(1, 2, 260)
    padded = F.pad(x, (0, 15))
    assert model.forward_features(x).shape == (1, 96, 11)
    torch.testing.assert_close(model(x), model(padded))
    assert not torch.allclose(model(x), model(x[..., :250]))


def test_the_transformer_knows_leads_and_time():
    torch.manual_seed(0)
    model = create_model("vit1d", 2, 3).eval()
    torch.nn.init.normal_(model.body.tokens.lead)
    x = torch.randn(1, 2, 250)
    assert not torch.allclose(model(x), model(x.flip(1)), atol=1e-4)
    assert not torch.allclose(model(x), model(x.roll(125, dims=-1)), atol=1e-4)
    with pytest.raises(RecipeError, match="multiple of twice n_heads"):
        create_model("vit1d", width=100, n_heads=8)


def test_positions_are_those_of_the_transformer():
    found = sinusoids(9, 8).numpy()
    k, t = np.arange(4), np.arange(9)[:, None]
    np.testing.assert_allclose(found, np.hstack([np.sin(t / 1e4 ** (k / 4)), np.cos(t / 1e4 ** (k / 4))]), atol=1e-6)


def test_weights_survive_being_saved():
    model = create_model("s4d_small", 2, 2).eval()
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    again = create_model("s4d_small", 2, 2).eval()
    again.load_state_dict(torch.load(buffer, weights_only=True))
    x = torch.randn(2, 2, 250)
    assert torch.equal(model(x), again(x))
