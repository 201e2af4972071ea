import numpy as np
import pytest
import torch
from small_runs import Silent, small_recipe
from torch import nn

from einthoven.dataset import open_dataset
from einthoven.errors import RecipeError
from einthoven.models import Classifier, Scaling, create_model
from einthoven.training.device import make_engine
from einthoven.training.loop import Trainer
from einthoven.training.quantisation import FakeQuantisation, fake_signal, fake_weight
from einthoven.training.runs import Run, open_run
from einthoven.training.validation import predict_rows
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import select_for


def signals(n=4, seed=0):
    return torch.randn(n, 12, 200, generator=torch.Generator().manual_seed(seed))


def network(name="resnet1d_wang", **options):
    torch.manual_seed(0)
    model = Classifier(Scaling(), create_model(name, **options))
    model.train()
    for seed in range(3):  # batch norms of their own
        model(signals(16, seed))
    return model.eval()


def trainer_of(dataset_folder, *overrides):
    recipe = small_recipe(dataset_folder, "training.quantize=int8", *overrides)
    selected = select_for(recipe, open_dataset(recipe.data.dataset))
    return Trainer(recipe, make_problem(recipe, selected), make_engine("cpu", "fp32", 1))


def test_a_weight_lies_on_seven_bits_of_each_channel_with_the_batch_norm_folded_in():
    rng = np.random.default_rng(0)
    w, norm = rng.normal(size=(3, 2, 5)).astype(np.float32), nn.BatchNorm1d(3)
    norm.weight.data = torch.tensor([2.0, -0.5, 1.0])
    norm.running_var.copy_(torch.tensor([4.0, 0.25, 1.0]))
    factor = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().numpy()[:, None, None]
    folded = w * factor
    step = np.abs(folded).max(axis=(1, 2), keepdims=True) / 64
    wanted = np.round(folded / step) * step / factor
    np.testing.assert_allclose(fake_weight(torch.from_numpy(w), norm).numpy(), wanted, rtol=1e-4, atol=1e-6)
    assert not np.allclose(fake_weight(torch.from_numpy(w)).numpy(), w, atol=1e-4)


def test_a_channel_that_its_norm_switches_off_stays_finite():
    norm = nn.BatchNorm1d(2)
    norm.weight.data = torch.tensor([0.0, 1.0])
    assert torch.isfinite(fake_weight(torch.ones(2, 3, 3), norm)).all()
    assert torch.isfinite(fake_weight(torch.zeros(2, 3, 3))).all()


def test_a_signal_has_256_values_and_zero_is_one_of_them():
    x = torch.linspace(-0.7, 2.1, 10_001)
    y = fake_signal(x, torch.tensor(-0.7), torch.tensor(2.1))
    assert len(y.unique()) == 256
    assert fake_signal(torch.zeros(1), torch.tensor(-0.7), torch.tensor(2.1)) == 0
    assert (x - y).abs().max() <= 2.8 / 255
    assert fake_signal(torch.tensor([5.0]), torch.tensor(-0.7), torch.tensor(2.1)) < 2.2


def test_gradients_pass_rounding_and_stop_outside_the_range():
    x = torch.tensor([-3.0, 0.123, 1.9, 4.0], requires_grad=True)
    fake_signal(x, torch.tensor(-1.0), torch.tensor(2.0)).sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 0]
    weight = torch.randn(2, 3, requires_grad=True)
    fake_weight(weight).sum().backward()
    torch.testing.assert_close(weight.grad, torch.ones(2, 3))


def test_norms_and_rectifiers_behind_a_layer_are_found():
    found = FakeQuantisation(network(), (signals(),)).layers
    names = {name.removeprefix("network."): (norm, rectified) for name, (norm, rectified) in found.items()}
    assert names["body.0"] == ("network.body.1", True)
    assert names["body.3.conv1"] == ("network.body.3.bn1", True)
    assert names["body.3.conv2"] == ("network.body.3.bn2", False)  # a sum follows
    assert names["body.4.shortcut.0"] == ("network.body.4.shortcut.1", False)
    assert names["head.3"] == (None, True)
    assert names["head.7"] == (None, False)
    assert len(names) == 11
    shared = FakeQuantisation(network("inception1d", n_filters=8, depth=3), (signals(),)).layers
    assert {norm for norm, _ in shared.values()} == {None, "network.body.0.shortcut.1"}  # a concatenation is between


@pytest.mark.parametrize("name", ["resnet1d_wang", "inception1d", "convnext1d", "heartreader_se_resnet1d", "net1d"])
def test_the_network_is_itself_again_afterwards(name):
    model, x = network(name), signals()
    names, before = list(model.state_dict()), model(x)
    fakes = FakeQuantisation(model, (x,))
    with fakes.worn(model, learning=True), torch.no_grad():
        model(x)
    with fakes.worn(model, learning=False), torch.no_grad():
        worn = model(x)
    assert torch.equal(model(x), before)
    assert list(model.state_dict()) == names
    assert 0 < (worn - before).abs().max() < 0.5 * before.abs().max()
    with pytest.raises(RuntimeError, match="expected"), fakes.worn(model, learning=False):
        model(x[:, :7])
    assert torch.equal(model(x), before)


def test_ranges_widen_at_once_narrow_slowly_and_are_kept():
    model = network()
    fakes = FakeQuantisation(model, (signals(),))
    for scale in (1.0, 2.0, 1.0):
        with fakes.worn(model, learning=True), torch.no_grad():
            model(scale * signals())
    low, high = fakes.state_dict()["network.body.0.input"]
    peak = signals().amax()
    assert float(high) == pytest.approx(float(1.99 * peak), rel=1e-4)
    assert low < 0
    again = FakeQuantisation(model, (signals(),))
    again.load_state_dict(fakes.state_dict())
    with torch.no_grad(), fakes.worn(model, learning=False):
        wanted = model(signals())
    with torch.no_grad(), again.worn(model, learning=False):
        assert torch.equal(model(signals()), wanted)


def test_the_fake_is_close_to_what_onnx_runtime_computes_in_int8(tmp_path):
    import onnxruntime as ort
    from onnxruntime import quantization

    from einthoven.bundling import export_onnx

    torch.manual_seed(0)
    wide = [nn.Conv1d(12, 32, 5), nn.BatchNorm1d(32), nn.ReLU(), nn.Conv1d(32, 32, 5), nn.BatchNorm1d(32), nn.ReLU()]
    dense = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 5)]
    model, x = nn.Sequential(*wide, *dense), signals(8)
    for seed in range(3):
        model(signals(16, seed))
    fakes = FakeQuantisation(model.eval(), (x,))
    with torch.no_grad():
        with fakes.worn(model, learning=True):
            model(x)
        with fakes.worn(model, learning=False):
            fake = model(x).numpy()
        plain = model(x).numpy()
    windows = iter([{"signals_mv": x.numpy()}])

    class Reader(quantization.CalibrationDataReader):
        def get_next(self):
            return next(windows, None)

    export_onnx(model, x.numpy(), tmp_path / "float.onnx")
    paths = [str(tmp_path / name) for name in ("float.onnx", "folded.onnx", "int8.onnx")]
    quantization.shape_inference.quant_pre_process(*paths[:2], skip_symbolic_shape=True)
    kinds = {"activation_type": quantization.QuantType.QUInt8, "weight_type": quantization.QuantType.QInt8}
    quantization.quantize_static(*paths[1:], Reader(), per_channel=True, reduce_range=True, **kinds)
    int8 = ort.InferenceSession(paths[2], providers=["CPUExecutionProvider"]).run(None, {"signals_mv": x.numpy()})[0]
    assert np.abs(fake - int8).mean() < 0.5 * np.abs(plain - int8).mean()


@pytest.mark.parametrize(("lr", "share"), [(1e-5, 0.3), (1e-3, 2.0)])
def test_learning_makes_the_errors_smaller_and_large_steps_do_not_run_away(lr, share):
    model, x = network("fcn_wang", width=16), torch.cat([signals(8, seed) for seed in range(4)])
    with torch.no_grad():
        wanted = model(x)
    fakes = FakeQuantisation(model, (x,))

    def error(learning=False):
        with fakes.worn(model, learning=learning):
            return nn.functional.mse_loss(model(x), wanted)

    with torch.no_grad():
        error(learning=True)
        before = float(error())
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(60):
        optimizer.zero_grad()
        error(learning=True).backward()
        optimizer.step()
    assert float(error().detach()) < share * before


def test_what_is_validated_is_the_rounded_network_and_what_is_kept_is_the_plain_one(dataset_folder, tmp_path):
    trainer = trainer_of(dataset_folder, "training.epochs=1")
    run, _ = open_run(tmp_path, trainer.recipe)
    trainer.fit(run, Silent())
    rows = trainer.validation
    how = (trainer.store, rows, trainer.window, "mean", "multilabel", trainer.engine)
    plain = predict_rows(trainer.judged, *how)
    with trainer.fakes.worn(trainer.judged, learning=False):
        rounded = predict_rows(trainer.judged, *how)
    figures, judged = trainer._validate()
    assert figures["validation_loss"] == pytest.approx(trainer.history[0]["validation_loss"], rel=1e-6)
    assert np.array_equal(judged, rounded)
    assert not np.array_equal(judged, plain)
    fresh = create_model("resnet1d_wang", width=16)
    assert {name.removeprefix("network.") for name in trainer.judged.network.state_dict()} == set(fresh.state_dict())


def test_a_training_that_was_interrupted_ends_with_the_same_weights_and_ranges(dataset_folder, tmp_path):
    whole = trainer_of(dataset_folder, "training.epochs=2")
    whole.fit(open_run(tmp_path / "whole", whole.recipe)[0], Silent())
    halved = trainer_of(dataset_folder, "training.epochs=2")
    run, _ = open_run(tmp_path / "halved", halved.recipe)
    _one_epoch(halved, run)
    again = trainer_of(dataset_folder, "training.epochs=2")
    again.fit(Run(run.path), Silent())
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    ranges = again.fakes.state_dict()
    assert all(torch.equal(kept, ranges[name]) for name, kept in whole.fakes.state_dict().items())


def _one_epoch(trainer, run):
    class StopError(Exception):
        pass

    class Stopping(Silent):
        def epoch(self, row):
            raise StopError

    with pytest.raises(StopError):
        trainer.fit(run, Stopping())


def test_what_does_not_go_together_is_refused(dataset_folder):
    for override in ("training.compile=true", "training.devices=2"):
        with pytest.raises(RecipeError, match="quantize works on one device and without compile"):
            small_recipe(dataset_folder, "training.quantize=int8", override)
