"""cinc2020_se_resnet18: the residual network with channel gates that came second in the CinC Challenge 2020.

Zhao et al. 2020, "Adaptive lead weighted ResNet trained with different duration signals for classifying 12-lead ECGs";
the network of ZhaoZhibin/Physionet2020model, UTU-Health-Research/dl-ecg-classifier and
NaderNemati/ecg-multilabel-classifier.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from einthoven.models._blocks import ResidualBlock, SqueezeExcite, init_convolutions, residual_stages
from einthoven.models._network import Network, conv1d
from einthoven.models._registry import register_model

__all__ = ["cinc2020_se_resnet18"]

_STEM = 64


class LeadWeighting(SqueezeExcite):
    """One gate per lead and record, between 0 and 1, learned from the leads' mean absolute values.

    Their plain means, which gates on features use, are near zero for every high-passed lead and would tell nothing.
    """

    def __init__(self, n_leads: int) -> None:
        super().__init__(n_leads, reduction=2)

    def squeeze(self, x: Tensor) -> Tensor:
        """(batch, lead, time) to (batch, lead)."""
        return x.abs().mean(dim=-1)


@register_model
def cinc2020_se_resnet18(
    n_leads: int, n_classes: int, width: int = 64, reduction: int = 16, lead_weighting: bool = False
) -> Network:
    """Eight residual blocks of kernel 7 with gates; 8,833,169 parameters at 12 leads and 17 classes.

    The repositories' 8,833,379 count a branch for age and sex besides, Linear(3 to 10), which gives the classifier ten
    more inputs: 40 + 10 * 17.

    Args:
        n_leads: rows of the input.
        n_classes: logits.
        width: channels of the first of four stages; each stage doubles it. With 32 and 16 these are the second and
            third network of UTU-Health-Research/dl-ecg-dp-classifier, which has no batch norms.
        reduction: how many times fewer the hidden units of a gate are.
        lead_weighting: gates on the leads themselves, before the first convolution. The paper's title promises them,
            but its weighting is that of the blocks' gates, on features; none of the repositories has any on the leads.
            So this is our reading of the title, and off.
    """
    stem = [conv1d(n_leads, _STEM, 15, stride=2), nn.BatchNorm1d(_STEM), nn.ReLU()]
    block = partial(ResidualBlock, kernels=(7, 7), dropout=0.2, gate=partial(SqueezeExcite, reduction=reduction))
    widths = tuple(width * 2**stage for stage in range(4))
    blocks = residual_stages(_STEM, widths, (2, 2, 2, 2), block)
    weighting = [LeadWeighting(n_leads)] if lead_weighting else []
    body = nn.Sequential(*weighting, *stem, nn.MaxPool1d(3, stride=2, padding=1), *blocks)
    init_convolutions(body)
    head = nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(widths[-1], n_classes))
    return Network(body, head, n_features=widths[-1])
