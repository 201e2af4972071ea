"""How each method is computed: functions from (subject, class, baselines, settings) to (leads, samples).

One idea: Captum does the mathematics on one differentiable function of the record; here is how it is asked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients, LayerAttribution, LayerGradCam
from torch import Tensor, nn

from einthoven.errors import BundleError, RecordError
from einthoven.explain.catalogue import Method, Settings
from einthoven.explain.deeplift import deeplift
from einthoven.explain.subject import AT_ONCE, Subject
from einthoven.explain.waves import WAVES, label_waves, runs_of
from einthoven.models._network import Network

__all__ = ["run_method"]

Run = Callable[[Subject, int, Tensor, Settings], Tensor]


def run_method(method: Method, subject: Subject, k: int, baselines: Tensor, settings: Settings) -> Tensor:
    """Attribute the log-odds of a class to leads and samples.

    Args:
        method: of the catalogue.
        subject: a record that is ready.
        k: number of the class.
        baselines: what the record is compared with, shape (n, leads, samples), mV.
        settings: steps and seed.

    Returns:
        Shape (leads, samples), in the method's unit.

    Raises:
        BundleError: the method is not made for this network.
        RecordError: waves shall be occluded, and no beats are clear.
    """
    return _RUNS[method.name](subject, k, baselines, settings)


def _integrated_gradients(subject: Subject, k: int, baselines: Tensor, settings: Settings) -> Tensor:
    """Mean over baselines of integrated gradients; several records at once, few enough for the memory."""
    at_once = max(1, AT_ONCE // subject.score.n_windows)
    x = subject.x.expand_as(baselines)
    method = IntegratedGradients(subject.score, multiply_by_inputs=True)
    # Captum takes its steps in single precision, which is what the network has.
    found = [
        method.attribute(x[i : i + 1], b[None], target=k, n_steps=settings.steps, internal_batch_size=at_once).detach()
        for i, b in enumerate(baselines)
    ]
    return torch.cat(found).mean(dim=0)


def _deeplift(subject: Subject, k: int, baselines: Tensor, settings: Settings) -> Tensor:
    del settings
    return deeplift(subject.score, subject.x, baselines, k)


def _grad_cam(subject: Subject, k: int, baselines: Tensor, settings: Settings) -> Tensor:
    """Grad-CAM (Selvaraju et al. 2017) of each network's last features over time, upsampled to the windows."""
    del baselines, settings
    score, x = subject.score, subject.x
    bodies = [module.body for module in score.model.modules() if isinstance(module, Network)]
    if not all(_convolves(body) for body in bodies):
        raise BundleError(
            f"Grad-CAM needs a convolutional network, and {subject.bundle.about['network'].get('name', 'a member')} "
            "has no convolution over neighbouring samples; use method ig, which works on any network"
        )
    cam = torch.zeros(score.n_windows, subject.bundle.window)
    seen = x[None].clone().requires_grad_()  # weights are frozen, so the gradient must come from the signal
    for body in bodies:
        maps = LayerGradCam(score, body).attribute(seen, target=k, relu_attributions=False)
        if maps.ndim != 3 or maps.shape[0] != score.n_windows:
            raise BundleError("Grad-CAM needs features over time, and this network has none; use method ig")
        cam += LayerAttribution.interpolate(maps.detach(), subject.bundle.window, "linear")[:, 0]
    return _over_time(subject, cam.clamp(min=0)).expand(len(x), -1).clone()


def _convolves(body: nn.Module) -> bool:
    """Whether a convolution sees neighbours of what its own neighbour sees; patches that do not overlap are tokens."""
    convs = [part for part in body.modules() if isinstance(part, nn.Conv1d)]
    recurrent = any(isinstance(part, nn.LSTM | nn.GRU) for part in body.modules())
    return not recurrent and any(conv.kernel_size[0] > conv.stride[0] for conv in convs)


def _over_time(subject: Subject, cam: Tensor) -> Tensor:
    """Mean of the windows over each sample, largest 1."""
    score = subject.score
    total, count = torch.zeros(2, subject.x.shape[1] + score.missing)
    for window, index in zip(cam, score.index, strict=True):
        total[index] += window
        count[index] += 1
    time = (total / count)[: subject.x.shape[1]]
    return time / time.max().clamp(min=1e-12)


def _occlude_leads(subject: Subject, k: int, baselines: Tensor, settings: Settings) -> Tensor:
    del settings
    groups = torch.arange(len(subject.x))[:, None].expand_as(subject.x)
    return _ablate(subject, k, baselines[0], groups)


def _occlude_waves(subject: Subject, k: int, baselines: Tensor, settings: Settings) -> Tensor:
    """Each kind of wave of each lead, in all beats at once: one beat alone hardly matters to a mean over windows."""
    del settings
    labels = _labels(subject)
    groups = torch.arange(len(subject.x))[:, None] * len(WAVES) + torch.from_numpy(labels.astype(np.int64))
    _, dense = torch.unique(groups, return_inverse=True)
    return _ablate(subject, k, baselines[0], dense)


def _occlude_beats(subject: Subject, k: int, baselines: Tensor, settings: Settings) -> Tensor:
    """Each wave of each single beat, in all leads at once."""
    del settings
    groups = torch.zeros_like(subject.x, dtype=torch.long)
    for number, (_, first, last) in enumerate(runs_of(_labels(subject))):
        groups[:, first:last] = number
    return _ablate(subject, k, baselines[0], groups)


def _labels(subject: Subject) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
    found = label_waves(subject.record)
    if found is None:
        name = subject.record.record_id or "record"
        raise RecordError(f"{name}: no wave can be occluded, because no beats are clear in it; use method ig")
    return found.labels


def _ablate(subject: Subject, k: int, baseline: Tensor, groups: Tensor) -> Tensor:
    """What the score loses without each group of samples, spread evenly over it."""
    method = FeatureAblation(subject.score)
    at_once = max(1, AT_ONCE // subject.score.n_windows)
    with torch.no_grad():
        lost = method.attribute(
            subject.x[None], baseline[None], target=k, feature_mask=groups[None], perturbations_per_eval=at_once
        )[0]
    sizes = torch.bincount(groups.flatten())[groups]
    return lost / sizes


_RUNS: dict[str, Run] = {
    "ig": _integrated_gradients,
    "eg": _integrated_gradients,
    "deeplift": _deeplift,
    "gradcam": _grad_cam,
    "occlusion-leads": _occlude_leads,
    "occlusion-waves": _occlude_waves,
    "occlusion-beats": _occlude_beats,
}
