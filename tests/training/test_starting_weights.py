"""A network that begins with the weights of another: its classifier takes over the classes that both know."""

import copy

import torch

from einthoven.models import create_model
from einthoven.models.weights import load_matching, save_weights

OLD, NEW = ("AFIB", "NORM", "LVH"), ("LVH", "WPW", "AFIB")


def network(n_classes, seed):
    torch.manual_seed(seed)
    return create_model("resnet1d_wang", 12, n_classes, width=16).eval()


def test_classes_go_by_their_names_and_new_ones_keep_their_own_rows(tmp_path):
    old, new, fresh = network(3, 0), network(3, 1), network(3, 1)
    save_weights(tmp_path / "old.safetensors", old)
    last = f"head.{len(new.head) - 1}"
    assert load_matching(tmp_path / "old.safetensors", new, last, OLD, NEW) == set()
    x = torch.randn(2, 12, 250)
    with torch.inference_mode():
        before, after = old(x), new(x)
    torch.testing.assert_close(after[:, [0, 2]], before[:, [2, 0]])
    torch.testing.assert_close(new.head[-1].weight[1], fresh.head[-1].weight[1])
    assert not torch.equal(fresh.head[-1].weight[1], old.head[-1].weight[1])


def test_another_number_of_classes_fits(tmp_path):
    save_weights(tmp_path / "old.safetensors", old := network(3, 0))
    new = network(5, 1)
    last = f"head.{len(new.head) - 1}"
    assert load_matching(tmp_path / "old.safetensors", new, last, OLD, (*NEW, "CLBBB", "NORM")) == set()
    torch.testing.assert_close(new.head[-1].bias[[0, 2, 4]], old.head[-1].bias[[2, 0, 1]])


def test_what_does_not_fit_is_named_and_left(tmp_path):
    save_weights(tmp_path / "old.safetensors", network(3, 0))
    torch.manual_seed(1)
    new = create_model("resnet1d_wang", 12, 3, width=32)
    own = new.head[-1].bias.clone()
    last = f"head.{len(new.head) - 1}"
    foreign = load_matching(tmp_path / "old.safetensors", new, last, OLD, ("CLBBB", "WPW", "STACH"))
    assert foreign
    torch.testing.assert_close(new.head[-1].bias, own)


def test_weights_of_16_bits_are_begun_with_too(tmp_path):
    old, new = network(3, 0), network(3, 1)
    save_weights(tmp_path / "old.safetensors", copy.deepcopy(old).half())
    last = f"head.{len(new.head) - 1}"
    assert load_matching(tmp_path / "old.safetensors", new, last, OLD, NEW) == set()
    assert {each.dtype for each in new.parameters()} == {torch.float32}
    torch.testing.assert_close(new.head[-1].weight[[0, 2]], old.head[-1].weight[[2, 0]], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(new.body[0].weight, old.body[0].weight, atol=1e-4, rtol=1e-3)
