"""heartreader_*: the three backbones of Heart Reader, each with that project's head.

The repository is chaima-massaoudi/Heart-Reader-From-Deep-Learning-to-Edge-AI-for-Automated-ECG-Diagnosis, for 12 leads,
1000 samples and 5 superclasses of PTB-XL. What its configuration calls xresnet1d101 has the depths of a 34; the names
here say what the networks are.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from einthoven.models._blocks import ResidualBlock, SqueezeExcite, dense_layers, init_convolutions, residual_stages
from einthoven.models._network import ConcatPool, Network, conv1d
from einthoven.models._registry import register_model
from einthoven.models.inception1d import ResidualInception
from einthoven.models.xresnet1d import ResidualBlock as PooledShortcutBlock

__all__ = [
    "heartreader_inception1d",
    "heartreader_se_resnet1d",
    "heartreader_xresnet1d18",
    "heartreader_xresnet1d34",
    "heartreader_xresnet1d50",
    "heartreader_xresnet1d101",
    "heartreader_xresnet1d152",
]

_gate = partial(SqueezeExcite, reduction=16, narrowest=4)


def _with_head(body: nn.Sequential, n_features: int, n_classes: int) -> Network:
    """Concatenated pooling, then batch norm and a dropout of 0.5 before each of two linear layers."""
    init_convolutions(body)
    head = nn.Sequential(ConcatPool(), *dense_layers(2 * n_features, n_classes, hidden=128, dropouts=(0.5, 0.5)))
    return Network(body, head, n_features)


@register_model
def heartreader_inception1d(n_leads: int, n_classes: int, n_filters: int = 32, depth: int = 6) -> Network:
    """InceptionTime with a gate after every module; 519,941 parameters at 12 leads and 5 classes.

    ``depth`` counts modules, three to a shortcut.
    """
    n_out = 4 * n_filters
    blocks = [ResidualInception(n_leads if k == 0 else n_out, n_filters) for k in range(depth // 3)]
    for block in blocks:
        block.inner = nn.Sequential(*(layer for module in block.inner for layer in (module, _gate(n_out))))
    return _with_head(nn.Sequential(*blocks), n_out, n_classes)


@register_model
def heartreader_se_resnet1d(n_leads: int, n_classes: int, width: int = 128) -> Network:
    """Three wide blocks with gates behind a stem without pooling; 1,214,725 parameters at 12 leads and 5 classes."""
    stem = [conv1d(n_leads, width, 7), nn.BatchNorm1d(width), nn.ReLU()]
    widths = (width, 2 * width, 2 * width)
    blocks = residual_stages(width, widths, (1, 1, 1), partial(ResidualBlock, kernels=(5, 3), gate=_gate))
    return _with_head(nn.Sequential(*stem, *blocks), widths[-1], n_classes)


def _xresnet1d(n_leads: int, n_classes: int, depths: tuple[int, ...], expansion: int) -> Network:
    """Widths 64, 128, 256 and 512, where the PTB-XL benchmark's networks stay at 64.

    The blocks pool before the shortcut's convolution, as He et al. 2019; the original pools after it, which is the same
    function of a trained network for more work. Their last batch norms start at zero, which the original says of itself
    but undoes when it draws its weights.
    """
    sizes = (n_leads, 32, 32, 64)
    stem: list[nn.Module] = []
    for k in range(3):
        stem += [conv1d(sizes[k], sizes[k + 1], 5, stride=2 if k == 0 else 1), nn.BatchNorm1d(sizes[k + 1]), nn.ReLU()]

    def block(n_in: int, n_out: int, stride: int) -> nn.Module:
        return PooledShortcutBlock(n_in, n_out // expansion, expansion, stride)

    widths = tuple(expansion * 64 * 2**stage for stage in range(4))
    blocks = residual_stages(sizes[-1], widths, depths, block)
    body = nn.Sequential(*stem, nn.MaxPool1d(3, stride=2, padding=1), *blocks)
    return _with_head(body, widths[-1], n_classes)


@register_model
def heartreader_xresnet1d18(n_leads: int, n_classes: int) -> Network:
    """Basic blocks, 2-2-2-2; 6,436,229 parameters at 12 leads and 5 classes."""
    return _xresnet1d(n_leads, n_classes, (2, 2, 2, 2), expansion=1)


@register_model
def heartreader_xresnet1d34(n_leads: int, n_classes: int) -> Network:
    """Basic blocks, 3-4-6-3; 12,055,173 parameters; what the project trains under the name of xresnet1d101."""
    return _xresnet1d(n_leads, n_classes, (3, 4, 6, 3), expansion=1)


@register_model
def heartreader_xresnet1d50(n_leads: int, n_classes: int) -> Network:
    """Bottlenecks, 3-4-6-3; 19,019,653 parameters at 12 leads and 5 classes."""
    return _xresnet1d(n_leads, n_classes, (3, 4, 6, 3), expansion=4)


@register_model
def heartreader_xresnet1d101(n_leads: int, n_classes: int) -> Network:
    """Bottlenecks, 3-4-23-3; 33,555,333 parameters at 12 leads and 5 classes."""
    return _xresnet1d(n_leads, n_classes, (3, 4, 23, 3), expansion=4)


@register_model
def heartreader_xresnet1d152(n_leads: int, n_classes: int) -> Network:
    """Bottlenecks, 3-8-36-3; 45,528,965 parameters at 12 leads and 5 classes."""
    return _xresnet1d(n_leads, n_classes, (3, 8, 36, 3), expansion=4)
