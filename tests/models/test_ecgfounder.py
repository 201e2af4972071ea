"""The published files are not at hand: a made-up one has their names and shapes, and their arithmetic is written anew."""

import pickle
import re
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from einthoven.errors import BundleError
from einthoven.models import create_model
from einthoven.models.ecgfounder import load_ecgfounder

WIDTHS, DEPTHS = (64, 160, 160, 400, 400, 1024, 1024), (2, 2, 2, 3, 3, 4, 4)
BLOCKS = [(s, b) for s, depth in enumerate(DEPTHS) for b in range(depth)]
NORMS = re.compile(r"\bbn\d|first_bn")


def _norm(name: str, width: int) -> dict[str, torch.Tensor]:
    parts = {"weight": torch.ones, "bias": torch.zeros, "running_mean": torch.zeros, "running_var": torch.ones}
    counter = {f"{name}.num_batches_tracked": torch.tensor(0)}
    return {f"{name}.{part}": make(width) for part, make in parts.items()} | counter


def _layer(name: str, generator: torch.Generator, *shape: int) -> dict[str, torch.Tensor]:
    weight = torch.randn(shape, generator=generator) / np.sqrt(np.prod(shape[1:]))
    return {f"{name}.weight": weight, f"{name}.bias": 0.1 * torch.randn(shape[0], generator=generator)}


def _their_state(n_leads: int = 12, n_classes: int = 150) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(5)
    state = _layer("first_conv.conv", g, 64, n_leads, 16) | _norm("first_bn", 64)
    n_in = 64
    for s, b in BLOCKS:
        n, at = WIDTHS[s], f"stage_list.{s}.block_list.{b}"
        for k, width, shape in ((1, n_in, (n, n_in, 1)), (2, n, (n, 16, 16)), (3, n, (n, n, 1))):
            state |= _norm(f"{at}.bn{k}", width) | _layer(f"{at}.conv{k}.conv", g, *shape)
        state |= _layer(f"{at}.se_fc1", g, n // 2, n) | _layer(f"{at}.se_fc2", g, n, n // 2)
        n_in = n
    return state | _layer("dense", g, n_classes, n_in)


def _same(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int = 1) -> torch.Tensor:
    missing = max(0, (-(-x.shape[-1] // stride) - 1) * stride + weight.shape[-1] - x.shape[-1])
    groups = 1 if weight.shape[-1] == 1 or weight.shape[1] != 16 else len(weight) // 16
    return F.conv1d(F.pad(x, (missing // 2, missing - missing // 2)), weight, bias, stride, groups=groups)


def _their_answer(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The published forward pass with its norms and dropouts off, from the names in the file."""

    def at(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return state[f"{name}.weight"], state[f"{name}.bias"]

    def swish(x: torch.Tensor) -> torch.Tensor:
        return x * x.sigmoid()

    x = swish(_same(x, *at("first_conv.conv"), stride=2))
    for s, b in BLOCKS:
        block, stride = f"stage_list.{s}.block_list.{b}", 1 if b else 2
        y = _same(x if s == b == 0 else swish(x), *at(f"{block}.conv1.conv"))
        y = _same(swish(y), *at(f"{block}.conv2.conv"), stride=stride)
        y = _same(swish(y), *at(f"{block}.conv3.conv"))
        gate = F.linear(swish(F.linear(y.mean(-1), *at(f"{block}.se_fc1"))), *at(f"{block}.se_fc2")).sigmoid()
        if stride == 2:
            x = F.max_pool1d(F.pad(x, (0, 1)), 2)
        more = y.shape[1] - x.shape[1]
        around = [torch.zeros(len(x), n, x.shape[2]) for n in (more // 2, more - more // 2)]
        x = y * gate[..., None] + torch.cat([around[0], x, around[1]], dim=1)
    return F.linear(x.mean(-1), *at("dense"))


@pytest.fixture(scope="module")
def state():
    return _their_state()


@pytest.fixture(scope="module")
def file(state, tmp_path_factory):
    """A checkpoint as the published training writes it, score and optimiser included."""
    path = tmp_path_factory.mktemp("ecgfounder") / "12_lead_ECGFounder.pth"
    optimizer = {"state": {}, "param_groups": [{"lr": 1e-4, "params": [0, 1]}]}
    scheduler = {"best": np.float64(0.92), "mode_worse": -float("inf")}
    about = {"epoch": 3, "step": 10000, "optimizer": optimizer, "scheduler": scheduler}
    torch.save({**about, "state_dict": state, "val_auroc": np.float64(0.92)}, path)
    return path


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("ecgfounder_net1d", 12, 150)


def _tensors(path, state):
    save_file(state, path)
    return path


def test_the_made_up_file_has_the_published_size(state):
    weights = [t for name, t in state.items() if not NORMS.search(name)]
    assert sum(t.numel() for t in weights) == 30_752_646
    assert len(state) == 2 + 5 + len(BLOCKS) * (3 * (2 + 5) + 4) + 2
    assert create_model("ecgfounder_net1d", 12, 150).n_parameters == 30_752_646
    assert create_model("ecgfounder_net1d", 1, 150).n_parameters == 30_752_646 - 11 * 64 * 16


def test_every_weight_arrives_and_the_published_arithmetic_follows(state, file, network):
    assert load_ecgfounder(network, file) == []
    x = torch.randn(2, 12, 777, generator=torch.Generator().manual_seed(1))  # odd lengths on the way down
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(x), _their_answer(state, x), atol=1e-4, rtol=1e-4)
    given = sorted(float(t.double().sum()) for name, t in state.items() if not NORMS.search(name))
    assert sorted(float(t.double().sum()) for t in network.state_dict().values()) == given


def test_training_mode_is_kept(file, network):
    load_ecgfounder(network.train(), file)
    assert network.training


def test_a_score_from_an_older_numpy_is_read(file, network, tmp_path):
    path = tmp_path / "older.pth"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(path, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename.endswith("data.pkl"):
                assert b"numpy._core.multiarray" in content
                content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            new.writestr(item, content)
    assert load_ecgfounder(network, path) == []


def test_other_classes_leave_the_classifier_fresh_and_say_so(state, file):
    network = create_model("ecgfounder_net1d", 12, 5)
    before = network.get_classifier().weight.clone()
    assert load_ecgfounder(network, file) == ["head.2.weight", "head.2.bias"]
    assert torch.equal(network.get_classifier().weight, before)
    assert torch.equal(network.body.stem.weight, state["first_conv.conv.weight"])


def test_one_lead_and_safetensors(tmp_path):
    path = _tensors(tmp_path / "one.safetensors", _their_state(n_leads=1))
    assert load_ecgfounder(create_model("ecgfounder_net1d", 1, 150), path) == []
    with pytest.raises(BundleError, match="for 1 leads, but the network has 12; build it with n_leads=1"):
        load_ecgfounder(create_model("ecgfounder_net1d", 12, 150), path)


def test_a_stored_probe_is_answered_even_with_other_classes(state, file, tmp_path):
    x = torch.randn(2, 12, 500, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        logits = _their_answer(state, x)
    good = _tensors(tmp_path / "good.safetensors", {"input": x, "logits": logits})
    assert load_ecgfounder(create_model("ecgfounder_net1d", 12, 5), file, good) == ["head.2.weight", "head.2.bias"]
    bad = _tensors(tmp_path / "bad.safetensors", {"input": x, "logits": logits + 0.01})
    with pytest.raises(BundleError, match=r"differs by 0.01 in a logit from .*bad"):
        load_ecgfounder(create_model("ecgfounder_net1d", 12, 5), file, bad)
    with pytest.raises(BundleError, match="a probe is a safetensors file of input"):
        load_ecgfounder(create_model("ecgfounder_net1d", 12, 5), file, tmp_path / "absent.safetensors")


def test_an_untrained_file_and_one_of_nonsense_are_refused(state, network, tmp_path):
    g = torch.Generator().manual_seed(0)
    drawn = {  # as torch draws them
        name: (2 * torch.rand(t.shape, generator=g) - 1) * t[0].numel() ** -0.5 if t.dim() > 1 else t
        for name, t in state.items()
    }
    with pytest.raises(BundleError, match="weights of an untrained network"):
        load_ecgfounder(network, _tensors(tmp_path / "fresh.safetensors", drawn))
    broken = {**state, "dense.bias": torch.full((150,), torch.nan)}
    with pytest.raises(BundleError, match="answers are not finite"):
        load_ecgfounder(network, _tensors(tmp_path / "nan.safetensors", broken))


def test_another_architecture_is_named(state, network, file, tmp_path):
    lacking = {name: t for name, t in state.items() if name != "stage_list.3.block_list.1.se_fc1.bias"}
    more = {**state, "decoder.weight": torch.zeros(2)}
    other = {**state, "stage_list.0.block_list.0.conv2.conv.weight": torch.zeros(64, 16, 9)}
    for found, words in (
        (lacking, r"lacks 1 tensors \(stage_list.3.block_list.1.se_fc1.bias\)"),
        (more, r"has besides 1 tensors \(decoder.weight\)"),
        (other, r"conv2.conv.weight has shape \(64, 16, 9\) instead of \(64, 16, 16\)"),
    ):
        with pytest.raises(BundleError, match=words):
            load_ecgfounder(network, _tensors(tmp_path / "other.safetensors", found))
    with pytest.raises(BundleError, match=r"fit the model ecgfounder_net1d only; this network has body\."):
        load_ecgfounder(create_model("net1d"), file)


class Hostile:
    def __reduce__(self):
        return print, ("run",)


def test_what_is_no_file_of_weights_is_named(network, file, tmp_path, capsys):
    path = tmp_path / "12_lead_ECGFounder.pth"

    def refused(content: bytes, words: str) -> None:
        path.write_bytes(content)
        with pytest.raises(BundleError, match=words):
            load_ecgfounder(network, path)

    with pytest.raises(BundleError, match="missing; download ECGFounder's weights"):
        load_ecgfounder(network, path)
    refused(b"\n<!DOCTYPE html><html>Sign in</html>", "not weights but a web page")
    refused(b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a Git LFS pointer")
    with file.open("rb") as whole:
        refused(whole.read(1_000_000), "cut short; download it again")
    refused(pickle.dumps(Hostile()), "not a file that torch.save wrote")
    torch.save({"state_dict": Hostile()}, tmp_path / "hostile.pth")
    refused((tmp_path / "hostile.pth").read_bytes(), r"holds pickled code \(print\)")
    torch.save({"state_dict": [1, 2]}, path)
    refused(path.read_bytes(), "holds no state_dict")
    assert capsys.readouterr().out == ""
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    with pytest.raises(BundleError, match="cut short or damaged"):
        load_ecgfounder(network, damaged)
