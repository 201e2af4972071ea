"""The speedrun's own parts: its convolution, its budget, its judgement."""

import importlib
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

from einthoven.training.device import make_engine

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def speedrun() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        return importlib.import_module("speedrun")
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2), (15, 4)])
@pytest.mark.parametrize(("n_samples", "layout"), [(31, torch.channels_last), (32, torch.contiguous_format)])
def test_the_weight_gradient_over_patches_is_that_of_the_convolution(speedrun, kernel, stride, n_samples, layout):
    torch.manual_seed(0)
    layer = speedrun.Conv(6, 4, kernel, stride)
    x = torch.randn(3, 6, 1, n_samples).contiguous(memory_format=layout).requires_grad_()
    plain = F.conv2d(x, layer.weight, None, layer.stride, layer.padding)
    target = torch.randn_like(plain)
    ours = speedrun._PatchConv.apply(x, layer.weight, stride)
    wanted = torch.autograd.grad((plain * target).sum(), (x, layer.weight))
    got = torch.autograd.grad((ours * target).sum(), (x, layer.weight))
    torch.testing.assert_close(ours, plain)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_a_run_learns_repeats_itself_and_sees_no_record_of_the_fold_that_judges(speedrun, dataset_folder):
    engine = make_engine("cpu", "fp32", threads=1)
    task = speedrun.read(str(dataset_folder), engine)
    assert task.n_classes == 5
    assert task.targets.shape[1] > 5
    assert not set(task.train.tolist()) & set(task.valid.tolist())
    net, seconds = speedrun.train(task, engine, seed=0, epochs=3, batch=32)
    again, _ = speedrun.train(task, engine, seed=0, epochs=3, batch=32)
    for name, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert 0 < seconds < math.inf
    assert speedrun.judge(net, task, engine) > 0.6
    x = torch.randn(2, 12, 250)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):  # the other path through the convolutions
        short = net(x).float()
    torch.testing.assert_close(short, net(x).detach(), rtol=0.1, atol=0.1)


def test_the_table_says_what_was_reached_and_five_seeds_are_needed(speedrun, dataset_folder, monkeypatch, capsys):
    written = {}
    monkeypatch.setattr(speedrun, "report", lambda name, figures: written.update({"name": name, **figures}))
    monkeypatch.setattr(speedrun, "GOAL", 0.0)
    monkeypatch.setattr(
        sys, "argv", ["speedrun.py", str(dataset_folder), "--seeds", "0,1", "--epochs", "1", "--threads", "1"]
    )
    speedrun.main()
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["seed", "0", "1"]
    assert written["name"] == "speedrun"
    each = [float(score) for score in written["macro AUROC, each"].split(", ")]
    assert written["macro AUROC, mean"] == pytest.approx(sum(each) / 2, abs=1e-4)
    assert written["mean of 5 seeds or more reaches 0.0"] == "false"
