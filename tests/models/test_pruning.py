import copy

import pytest
import torch
from torch import nn

pytest.importorskip("torch_pruning")

from einthoven.errors import RecipeError
from einthoven.models import create_model, list_models
from einthoven.models._network import Network
from einthoven.models.fusion import FusedNetwork
from einthoven.models.pruning import CRITERIA, count_channels, count_macs, prune_network
from einthoven.models.widths import narrow_network, read_widths

# Why an architecture is refused; all others can be pruned.
REFUSED = {
    "cinc2020_ctn": "MultiheadAttention",
    "ecgcnn_convnet": "lays 125 positions of a channel side by side",
    "ecgfounder_net1d": "of 4 groups of channels",
    "lstm": "LSTM",
    "lstm_bidir": "LSTM",
    "map583_cnn1d_3": "lays 18 positions of a channel side by side",
    "map583_lstm_1": "LSTM",
    "map583_lstm_2": "LSTM",
    "map583_lstm_3": "LSTM",
    "net1d": "of 4 groups of channels",
    "s4d": "StateSpace",
    "s4d_small": "StateSpace",
    "vit1d": "Tokens",
}
QUICK = {"convnext1d", "ecgcnn_inception", "fcn_wang", "map583_resnet1d_18", "resnet1d_wang", "xresnet1d18"}
LARGE = (pytest.mark.slow, pytest.mark.timeout(1800))  # up to 45 million parameters, and a proof for each group of them
LISTED = [pytest.param(name, marks=() if name in QUICK or name in REFUSED else LARGE) for name in list_models()]


def signals(n=2, samples=200, n_leads=12, seed=0):
    return torch.randn(n, n_leads, samples, generator=torch.Generator().manual_seed(seed))


def rebuilt(pruned, fresh):
    narrow_network(fresh, read_widths(pruned, copy.deepcopy(fresh)), pruned.n_features)
    fresh.load_state_dict(pruned.state_dict())
    return fresh.eval()


@pytest.mark.parametrize("name", LISTED)
def test_an_architecture_loses_half_its_channels_twice_and_is_rebuilt_or_is_refused_by_name(name):
    torch.manual_seed(0)
    network, x = create_model(name).eval(), signals()
    if name in REFUSED:
        with pytest.raises(RecipeError, match=rf"model.prune: .*{REFUSED[name]}.*, so this architecture cannot be"):
            prune_network(network, (x,), 0.5)
        return
    for scope in ("layer", "global"):
        n_channels, n_parameters = count_channels(network), network.n_parameters
        prune_network(network, (x,), 0.5, scope=scope, round_to=4)
        assert 0.4 < count_channels(network) / n_channels < 0.6
        assert network.n_parameters < 0.55 * n_parameters
    assert network(x).shape == (2, 5)
    assert network.forward_features(x).shape[1] == network.n_features
    again = rebuilt(network, create_model(name))
    assert repr(again) == repr(network)
    assert torch.equal(again(x), network(x))


class Shuffled(nn.Module):
    """Reads channels in another order than it was given them."""

    def forward(self, x):
        return x.roll(1, dims=1)


def chain(*between, width=16):
    body = nn.Sequential(nn.Conv1d(12, width, 3), nn.ReLU(), *between, nn.Conv1d(width, width, 3), nn.ReLU())
    return Network(body, nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(width, 5)), width).eval()


def test_channels_that_cannot_be_followed_are_noticed():
    with pytest.raises(
        RecipeError, match=r"body.0 \(Conv1d\) has channels that the network reads where they cannot be"
    ):
        prune_network(chain(Shuffled()), (signals(),), 0.5, scope="layer")


def test_the_smallest_channels_go_and_what_stays_is_untouched():
    torch.manual_seed(0)
    network = chain()
    first, second = network.body[0], network.body[2]
    small = [1, 4, 5, 6, 9, 11, 14, 15]
    with torch.no_grad():
        first.weight[small] *= 0.01
        second.weight[:, small] *= 0.01
    whole, stay = first.weight.detach().clone(), [k for k in range(16) if k not in small]
    prune_network(network, (signals(),), 0.5, scope="layer")
    assert torch.equal(first.weight, whole[stay])
    assert (first.out_channels, second.in_channels, second.out_channels) == (8, 8, 8)


def test_the_global_share_is_taken_where_channels_are_least_and_every_layer_keeps_some():
    torch.manual_seed(0)
    network = chain(width=32)
    with torch.no_grad():
        network.body[0].weight[:30] *= 1e-4
        network.body[2].weight[:, :30] *= 1e-4
    prune_network(network, (signals(),), 0.5, scope="global")
    widths = (network.body[0].out_channels, network.body[2].out_channels)
    assert widths[0] == 8
    assert widths[1] > 20


@pytest.mark.parametrize("criterion", [name for name, needs in CRITERIA.items() if needs])
def test_a_criterion_of_the_loss_drops_large_channels_that_nothing_reads(criterion):
    torch.manual_seed(0)
    network, x = chain(), signals(8)
    idle = [0, 2, 3, 7, 8, 10, 12, 13]
    with torch.no_grad():
        network.body[0].weight[idle] *= 100
        network.body[2].weight[:, idle] = 0
    first = network.body[0].weight.detach().clone()
    by_size = copy.deepcopy(network)
    prune_network(by_size, (x,), 0.5, scope="layer")
    assert torch.equal(by_size.body[0].weight, first[idle])
    wanted = torch.rand(8, 5, generator=torch.Generator().manual_seed(1)).round()

    def losses():
        for k in range(8):
            yield nn.functional.binary_cross_entropy_with_logits(network(x[k : k + 1]), wanted[k : k + 1])
        yield 0 * network(x[:1]).sum()  # the last one must not be all that counts

    prune_network(network, (x,), 0.5, scope="layer", criterion=criterion, losses=losses)
    assert torch.equal(network.body[0].weight, first[[k for k in range(16) if k not in idle]])
    assert all(p.grad is None for p in network.parameters())


def test_branches_that_meet_in_a_concatenation_and_a_sum_each_keep_some():
    torch.manual_seed(0)
    network = create_model("inception1d", n_filters=16, depth=3).eval()
    last, shortcut, head = network.body[0].inner[2], network.body[0].shortcut, network.head
    least = slice(16, 32)  # of the sum: what the second of four branches gives
    with torch.no_grad():
        for weight in (last.convs[1].weight, shortcut[0].weight[least], last.norm.weight[least]):
            weight *= 1e-3
        shortcut[1].weight[least] *= 1e-3
        for half in (0, 64):  # maximum and mean over time
            head[1].weight[half + 16 : half + 32] *= 1e-3
            head[3].weight[:, half + 16 : half + 32] *= 1e-3
    prune_network(network, (signals(),), 0.4, scope="global", round_to=4)
    widths = [last.convs[0].out_channels, last.convs[1].out_channels, last.convs[2].out_channels]
    widths.append(last.pooled[1].out_channels)
    assert widths[1] == 4 < min(widths[0], widths[2], widths[3])
    assert last.norm.num_features == shortcut[0].out_channels == sum(widths)


def test_leads_classes_and_facts_stay():
    torch.manual_seed(0)
    network = FusedNetwork(create_model("fcn_wang", width=32), 3, hidden=(16,), top=(32,)).eval()
    inputs = (signals(), torch.randn(2, 3), torch.ones(2, 3))
    prune_network(network, inputs, 0.5, scope="layer")
    assert network.body[0].in_channels == 12
    assert network.get_classifier().out_features == 5
    assert [layer.weight.shape for layer in network.branch if isinstance(layer, nn.Linear)] == [(16, 6), (10, 16)]
    assert network.head[0].weight.shape[0] == 16  # what joins both is pruned
    again = rebuilt(network, FusedNetwork(create_model("fcn_wang", width=32), 3, hidden=(16,), top=(32,)))
    assert torch.equal(again(*inputs), network(*inputs))


def test_a_ratio_that_takes_nothing_is_refused():
    with pytest.raises(RecipeError, match="no channel of 32 can go at ratio 0.1 with round_to 8; raise the ratio or"):
        prune_network(chain(), (signals(),), 0.1, scope="layer")


def test_multiplications_are_those_of_the_convolutions_and_products():
    wanted = 16 * 12 * 3 * 198 + 16 * 16 * 3 * 196 + 16 * 5
    assert count_macs(chain(), (signals(1),)) == wanted


def test_widths_of_another_architecture_are_refused():
    with pytest.raises(ValueError, match=r"weight of shape \(128, 12, 7\) has no part of shape \(256, 12, 7\)"):
        narrow_network(create_model("resnet1d_wang"), {"body.0": [256, 12, 7]}, 256)
