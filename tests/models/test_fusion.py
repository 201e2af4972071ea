import numpy as np
import pytest
import torch

from einthoven.models import Classifier, FactScaling, FusedNetwork, Scaling, create_model
from einthoven.models.weights import build_classifier, load_weights, save_weights

NAN = float("nan")


def _fused(n_facts=3, **options):
    torch.manual_seed(0)
    network = FusedNetwork(create_model("resnet1d_wang", 2, 4, width=16), n_facts, **options)
    return Classifier(Scaling([0.0], [1.0]), network, FactScaling([50.0] * n_facts, [10.0] * n_facts)).eval()


def test_unknown_facts_are_zero_and_masked():
    values, known = FactScaling([50.0, 1.0], [10.0, 2.0])(torch.tensor([[60.0, NAN], [NAN, 5.0]]))
    torch.testing.assert_close(values, torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    torch.testing.assert_close(known, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_an_absurd_measurement_is_cut_off():
    values, _ = FactScaling([0.0], [1.0])(torch.tensor([[1e9], [-1e9]]))
    assert values.flatten().tolist() == [10.0, -10.0]


@pytest.mark.parametrize("options", [{}, {"hidden": (8,), "top": (6,), "dropout": 0.3}, {"mask": False}])
def test_any_fact_may_be_missing_and_all_missing_is_a_bare_record(options):
    model, x = _fused(**options), torch.randn(2, 2, 200)
    some = model(x, torch.tensor([[60.0, NAN, 40.0], [NAN, NAN, NAN]]))
    assert some.shape == (2, 4)
    assert torch.isfinite(some).all()
    torch.testing.assert_close(model(x)[1], some[1])
    torch.testing.assert_close(model(x), model(x, torch.full((2, 3), NAN)))
    assert not torch.allclose(model(x)[0], some[0])


def test_the_mask_tells_an_unknown_fact_from_a_mean_one():
    x, mean, unknown = torch.randn(1, 2, 200), torch.full((1, 3), 50.0), torch.full((1, 3), NAN)
    with_mask, without = _fused(), _fused(mask=False)
    assert not torch.allclose(with_mask(x, mean), with_mask(x, unknown))
    torch.testing.assert_close(without(x, mean), without(x, unknown))


def test_every_part_gets_a_gradient_and_fresh_classes_can_be_had():
    model = _fused(hidden=(8,), top=(6,)).train()
    model(torch.randn(8, 2, 200), torch.randn(8, 3) * 10 + 50).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    model.network.reset_classifier(9)
    assert model.eval()(torch.randn(1, 2, 200)).shape == (1, 9)


def test_weights_return_through_the_bundles_entry(tmp_path):
    options = {"hidden": [8], "width": 5, "top": [6], "dropout": 0.1, "mask": True}
    model = _fused(**options)
    save_weights(tmp_path / "w.safetensors", model)
    entry = {"name": "resnet1d_wang", "options": {"width": 16}, "n_leads": 2, "n_classes": 4, "n_scales": 1}
    again = build_classifier({**entry, "n_facts": 3, "fusion": options}).eval()
    load_weights(tmp_path / "w.safetensors", again)
    x, facts = torch.randn(3, 2, 200), torch.tensor([[60.0, NAN, 40.0]] * 3)
    torch.testing.assert_close(again(x, facts), model(x, facts))


def test_the_graph_takes_facts_with_holes(tmp_path):
    import onnxruntime as ort

    from einthoven.bundling import export_onnx

    model = _fused(hidden=(8,))
    x = np.random.default_rng(0).standard_normal((3, 2, 200)).astype(np.float32)
    facts = np.array([[60, NAN, 40], [NAN, NAN, NAN], [50, 50, 50]], np.float32)
    export_onnx(model, x, tmp_path / "m.onnx", facts)
    session = ort.InferenceSession(str(tmp_path / "m.onnx"))
    for n in (1, 3):
        (got,) = session.run(None, {"signals_mv": x[:n], "facts": facts[:n]})
        with torch.inference_mode():
            want = model(torch.from_numpy(x[:n]), torch.from_numpy(facts[:n])).numpy()
        np.testing.assert_allclose(got, want, atol=1e-4)
