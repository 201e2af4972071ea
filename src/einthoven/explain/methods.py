"""The methods, as a table: what each computes, what it is compared with, and what it promises.

One idea: every method is a function from (subject, class, baselines, settings) to (leads, samples); the rest is data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients, LayerAttribution, LayerGradCam
from torch import Tensor, nn

from einthoven.errors import BundleError, EinthovenError, RecordError, nearest
from einthoven.explain.deeplift import deeplift
from einthoven.explain.subject import AT_ONCE, Subject
from einthoven.explain.waves import WAVES, label_waves, runs_of
from einthoven.models._network import Network

__all__ = ["LOGIT", "METHODS", "RELATIVE", "Method", "Settings", "method_named"]

LOGIT = "contribution to the log-odds of the class"
RELATIVE = "relative: 0 to 1, 1 where the evidence is strongest"
_ROUNDS = 3  # how often steps are doubled before a method is called incomplete
_REFERENCES = {
    "flat": "a flat line at 0 mV",
    "background": "background records",
    "bridged": "straight lines in place of the wave",
    "none": "nothing",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How an attribution is computed.

    Attributes:
        steps: of the path integral; doubled up to three times where the sum does not come out.
        n_background: records of the background, where a method compares with one.
        seed: of the synthetic background and of everything that is drawn.
        tolerance: how far the sum of a complete method may be from what the score gained, as a share of the gain.
        least: or in log-odds, whichever is more.
    """

    steps: int = 50
    n_background: int = 16
    seed: int = 0
    tolerance: float = 0.05
    least: float = 0.05


Run = Callable[[Subject, int, Tensor, Settings], Tensor]


@dataclass(frozen=True, slots=True)
class Method:
    """One method.

    Attributes:
        words: what it is.
        run: computes it: (subject, class, baselines (n, leads, samples), settings) to (leads, samples).
        reference: what the record is compared with.
        complete: whether the attribution promises to sum to what the score gained over the reference.
        unit: of the attribution.
        by_lead: whether leads differ.
        by_time: whether moments differ.
        steps: of the path integral by default.
        integrates: whether more steps make the sum more exact.
    """

    words: str
    run: Run
    reference: Literal["flat", "background", "bridged", "none"]
    complete: bool = False
    unit: str = LOGIT
    by_lead: bool = True
    by_time: bool = True
    steps: int = 50
    integrates: bool = False

    @property
    def compared_with(self) -> str:
        """The reference in words."""
        return _REFERENCES[self.reference]


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


METHODS: dict[str, Method] = {
    "ig": Method(
        "integrated gradients (Sundararajan et al. 2017)",
        _integrated_gradients,
        "flat",
        complete=True,
        integrates=True,
    ),
    "eg": Method(
        "expected gradients (Erion et al. 2021): SHAP values, integrated gradients averaged over a background",
        _integrated_gradients,
        "background",
        complete=True,
        steps=12,
        integrates=True,
    ),
    "deeplift": Method(
        "DeepLIFT-SHAP (Shrikumar et al. 2017; Lundberg and Lee 2017), rescale rule",
        _deeplift,
        "background",
        complete=True,
    ),
    "gradcam": Method(
        "Grad-CAM (Selvaraju et al. 2017) of the last features over time; the same for all leads",
        _grad_cam,
        "none",
        unit=RELATIVE,
        by_lead=False,
    ),
    "occlusion-leads": Method("occlusion of each lead", _occlude_leads, "flat", by_time=False),
    "occlusion-waves": Method(
        "occlusion of each lead's P, QRS, ST-T and rest, in all beats", _occlude_waves, "bridged"
    ),
    "occlusion-beats": Method(
        "occlusion of each wave of each beat, in all leads", _occlude_beats, "bridged", by_lead=False
    ),
}


def method_named(name: str) -> Method:
    """Return a method of the table.

    Raises:
        EinthovenError: there is no such method.
    """
    if name not in METHODS:
        raise EinthovenError(f"unknown method {name!r}{nearest(name, METHODS)}; methods are {', '.join(METHODS)}")
    return METHODS[name]


def doubled(settings: Settings) -> list[Settings]:
    """Settings to try one after the other: with twice the steps each time."""
    steps = [settings.steps * 2**k for k in range(_ROUNDS + 1)]
    return [Settings(n, settings.n_background, settings.seed, settings.tolerance, settings.least) for n in steps]


def bound(gain: float, settings: Settings) -> float:
    """How far the sum of an attribution may be from what the score gained."""
    return max(settings.tolerance * math.fabs(gain), settings.least)
