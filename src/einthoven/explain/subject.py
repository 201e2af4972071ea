"""What is explained: the score that a bundle gives a record, as one differentiable function of the record's signal.

Windows are cut, judged and aggregated inside that function, so what overlapping windows say adds up by itself, and an
attribution sums to what the bundle's own score gained, not to that of some window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from einthoven.bundle import Bundle, Prediction
from einthoven.errors import BundleError, RecordError
from einthoven.facts import facts_of_record
from einthoven.models.ensemble import WeightedMean
from einthoven.models.scaling import Classifier
from einthoven.models.weights import build_classifier, load_weights
from einthoven.record import Record
from einthoven.signals import conform, window_starts

__all__ = ["AT_ONCE", "Model", "RecordScore", "Subject", "log_odds", "open_model", "open_subject"]

Model = Classifier | WeightedMean
AT_ONCE = 128  # windows of which gradients are held at a time


class RecordScore(nn.Module):
    """From whole records to the log-odds of their scores, before calibration.

    Args:
        model: from windows in mV to logits.
        bundle: how windows are cut and aggregated.
        n_samples: per lead of the records.
        facts: of the record, shape (facts,), NaN where unknown; held fixed.
    """

    index: Tensor
    facts: Tensor | None

    def __init__(self, model: Model, bundle: Bundle, n_samples: int, facts: NDArray[np.float32] | None) -> None:
        super().__init__()
        self.model, self.how, self.kind = model, bundle.how, bundle.kind
        starts = window_starts(n_samples, bundle.window, bundle.stride)
        self.missing = max(0, bundle.window - n_samples)
        self.register_buffer("index", torch.from_numpy(starts[:, None] + np.arange(bundle.window)))
        self.register_buffer("facts", None if facts is None else torch.from_numpy(facts))

    @property
    def n_windows(self) -> int:
        """Windows of a record."""
        return len(self.index)

    def cut(self, x: Tensor) -> Tensor:
        """Windows, shape (batch * windows, lead, time), of records (batch, lead, samples), record by record."""
        cut = F.pad(x, (0, self.missing))[..., self.index]  # (B, lead, W, time)
        return cut.transpose(1, 2).flatten(0, 1)

    def logits(self, windows: Tensor) -> Tensor:
        """Logits of windows, shape (windows, classes)."""
        facts = None if self.facts is None else self.facts.expand(len(windows), -1)
        if len(windows) <= AT_ONCE or not (torch.is_grad_enabled() and windows.requires_grad):
            return torch.cat([self._ask(part, facts) for part in torch.split(windows, AT_ONCE)])
        # Of a long record the network's insides are computed again for the gradient, not kept.
        parts = [checkpoint(self._ask, part, facts, use_reentrant=False) for part in torch.split(windows, AT_ONCE)]
        return torch.cat(parts)

    def _ask(self, windows: Tensor, facts: Tensor | None) -> Tensor:
        logits: Tensor = self.model(windows, None if facts is None else facts[: len(windows)])
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Log-odds (batch, class) of records (batch, lead, samples) in mV."""
        z = self.logits(self.cut(x))
        return log_odds(z.reshape(len(x), self.n_windows, -1), self.how, self.kind)


def log_odds(z: Tensor, how: str, kind: str) -> Tensor:
    r"""Log-odds of the probability that windows have together.

    Of the mean of the windows' probabilities :math:`p_w` this is :math:`\log \sum_w p_w - \log \sum_w (1 - p_w)`,
    computed from log-probabilities so that nothing overflows.

    Args:
        z: logits, shape (batch, window, class).
        how: ``"mean"`` or ``"max"``.
        kind: ``"multilabel"`` or ``"multiclass"``.

    Returns:
        Shape (batch, class).
    """
    if kind == "multiclass":
        own = torch.eye(z.shape[-1], dtype=torch.bool, device=z.device)
        whole = z.logsumexp(dim=-1, keepdim=True)
        others = z[..., None, :].masked_fill(own, -torch.inf).logsumexp(dim=-1)
        present, absent = z - whole, others - whole
    else:
        present, absent = F.logsigmoid(z), F.logsigmoid(-z)
    if how == "max":
        return (present - absent).amax(dim=1)
    return present.logsumexp(dim=1) - absent.logsumexp(dim=1)


@dataclass(frozen=True, slots=True)
class Subject:
    """A record made ready to be explained.

    Attributes:
        bundle: the model's.
        record: conformed: leads, rate and band of the model.
        x: what the network sees, shape (leads, samples), mV, 0 where nothing was recorded.
        recorded: where something was recorded, same shape.
        score: from records like ``x`` to log-odds.
        facts: what the network sees beside the signal, NaN where unknown.
        prediction: what the bundle says about the record.
    """

    bundle: Bundle
    record: Record
    x: Tensor
    recorded: NDArray[np.bool_]
    score: RecordScore
    facts: NDArray[np.float32]
    prediction: Prediction


def open_model(bundle: Bundle) -> Model:
    """Build the network of a bundle with its trained weights, in evaluation mode, for gradients of its input only.

    Raises:
        BundleError: the bundle has no weights, only a graph.
    """
    file = bundle.path / "model.safetensors"
    if not file.is_file():
        raise BundleError(
            f"{bundle.path}: no model.safetensors; an explanation needs the network's weights, a graph alone has no "
            "gradients: name the bundle that it was exported from"
        )
    model = build_classifier(bundle.about["network"])
    load_weights(file, model)
    return model.eval().requires_grad_(False)


def open_subject(bundle: Bundle, record: Record, model: Model | None = None) -> Subject:
    """Judge a record, and make it ready to be explained in exactly the form that was judged.

    Args:
        bundle: the model.
        record: one ECG.
        model: its network, where it is at hand; opened by default.

    Raises:
        RecordError: the bundle refuses the record.
        BundleError: the bundle has no weights.
    """
    prediction = bundle.predict(record)
    name = record.record_id or "record"
    if prediction.refused:
        why = "; ".join(flag.text for flag in prediction.flags if flag.refuse)
        raise RecordError(f"{name}: not explained, because the model refuses it: {why}")
    conformed = conform(record, bundle.spec)
    recorded = np.isfinite(conformed.signal)
    x = torch.from_numpy(np.where(recorded, conformed.signal, np.float32(0)))
    facts = facts_of_record(conformed, bundle.facts)[0] if bundle.facts else np.empty(0, np.float32)
    score = RecordScore(model or open_model(bundle), bundle, conformed.n_samples, facts if bundle.facts else None)
    return Subject(bundle, conformed, x, recorded, score.eval(), facts, prediction)
