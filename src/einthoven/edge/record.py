"""One ONNX graph from a whole record at the recorder's own rate to scores: resampling, windows and their mean inside.

What ONNX has no operator for stays outside: zero-phase recursive filters, missing samples, and derived leads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from einthoven.bundle import Bundle
from einthoven.bundling import export_onnx
from einthoven.dataset import Dataset, gather_steps, to_millivolts
from einthoven.edge.formats import Calibration, Made, Options
from einthoven.errors import BundleError, ConformError
from einthoven.facts import facts_of_dataset
from einthoven.models.weights import build_classifier, load_weights
from einthoven.signals import MIN_DURATION_S, aggregate, window_starts, windows
from einthoven.signals.resample import polyphase_taps, resample, resampled_length

__all__ = ["answer_records", "check", "long_enough", "make"]

_MOST_TAPS = 100_000  # of all phases together, 0.4 MB; rates whose ratio is odder than 128 to 100 Hz exceed it


def check(bundle: Bundle) -> None:
    """Refuse at once what no graph can do from a record to scores.

    Raises:
        BundleError: the bundle judges single beats, or filters its signals.
    """
    beat_s = bundle.about["provenance"].get("record_s", np.inf)
    if beat_s < MIN_DURATION_S:
        raise BundleError(
            f"{bundle.name} judges single beats of {beat_s:g} s that were cut out around their R peak, and a graph of "
            "whole records finds no beats; export it to onnx or int8"
        )
    if filters := [name for name in ("band_hz", "notch_hz") if getattr(bundle.spec, name) is not None]:
        raise BundleError(
            f"{bundle.name} filters its signals ({', '.join(filters)}) forwards and backwards, for which ONNX has no "
            "operator; filter outside and export to onnx or int8, or train on a dataset without filters"
        )


def make(name: str, bundle: Bundle, folder: Path, calibration: Calibration | None, options: Options) -> Made:
    """Write ``model.<name>.onnx``; see ``formats.Maker``.

    Its input ``records_mv`` has the shape (batch, leads, seconds * fs), its output ``scores`` the shape (batch,
    classes): what ``Bundle.decide`` takes.

    Raises:
        BundleError: see ``check``; or the two rates have no short common period.
    """
    check(bundle)
    n_in, fs = round(options.record_s * options.record_fs), options.record_fs
    module = _WholeRecord(bundle, n_in, fs).eval()
    example = np.zeros((2, len(bundle.spec.leads), n_in), np.float32)
    facts = np.zeros((2, len(bundle.facts)), np.float32) if bundle.facts else None
    file = folder / f"model.{name}.onnx"
    export_onnx(module, example, file, facts, names=("records_mv", "scores"))
    return Made([file.name], {"fs": fs, "seconds": options.record_s, "input": "records_mv", "output": "scores"})


def answer_records(
    bundle: Bundle,
    dataset: Dataset,
    rows: NDArray[np.int64],
    file: Path,
    how: Mapping[str, Any],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ask the bundle about whole records brought to the graph's rate, and the graph about their beginnings.

    Args:
        bundle: the reference.
        dataset: prepared in the bundle's form; missing samples are taken for 0.
        rows: of records that are long enough, see ``long_enough``.
        file: the graph.
        how: what ``make`` said of it.
        progress: called with records done and their number.

    Returns:
        Scores of the bundle and of the graph, both (records, classes).
    """
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    facts = facts_of_dataset(dataset, bundle.facts)
    shards, n_in = dataset.open_shards(), round(how["seconds"] * how["fs"])
    pairs = []
    for done, row in enumerate(rows.tolist(), start=1):
        steps = gather_steps(shards, dataset, np.array([row]), np.array([0]), int(dataset.records.length[row]))
        x = resample(np.nan_to_num(to_millivolts(steps, dataset.step_uv)), bundle.spec.fs, how["fs"])
        cut, _, _ = windows(resample(x[0], how["fs"], bundle.spec.fs), bundle.window, bundle.stride)
        seen = facts[[row]]
        expected = aggregate(bundle.scores(cut, np.repeat(seen, len(cut), axis=0)), np.array([0]), bundle.how)
        answer = session.run(None, dict(zip(names, (x[..., :n_in], seen), strict=False)))[0]
        pairs.append((expected[0], answer[0]))
        if progress:
            progress(done, len(rows))
    both = np.asarray(pairs, dtype=np.float64)
    return both[:, 0], both[:, 1]


def long_enough(dataset: Dataset, rows: NDArray[np.int64], how: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Which of some records fill the graph's input."""
    return np.asarray(dataset.records.length[rows] * how["fs"] >= round(how["seconds"] * how["fs"]) * dataset.spec.fs)


class _WholeRecord(nn.Module):
    """Resamples (batch, leads, time), cuts windows, asks the network, and joins its answers."""

    def __init__(self, bundle: Bundle, n_in: int, fs: float) -> None:
        super().__init__()
        spec = bundle.spec
        model = build_classifier(bundle.about["network"])
        load_weights(bundle.path / "model.safetensors", model)
        self.model, self.kind, self.how, self.window = model, bundle.kind, bundle.how, bundle.window
        n_out = resampled_length(n_in, fs, spec.fs)
        self.resampling = None if fs == spec.fs else _Resampling(n_in, fs, spec.fs)
        self.starts = [int(start) for start in window_starts(n_out, bundle.window, bundle.stride)]
        self.missing = max(0, bundle.window - n_out)

    def forward(self, x: Tensor, facts: Tensor | None = None) -> Tensor:
        """Scores of records."""
        if self.resampling is not None:
            x = self.resampling(x)
        if self.missing:
            x = F.pad(x, (0, self.missing))
        windows = torch.stack([x[..., start : start + self.window] for start in self.starts], dim=1)
        seen = None if facts is None else facts.repeat_interleave(len(self.starts), dim=0)
        logits = self.model(windows.flatten(0, 1), seen)
        scores = logits.softmax(dim=1) if self.kind == "multiclass" else logits.sigmoid()
        each = scores.unflatten(0, (-1, len(self.starts)))
        return each.amax(dim=1) if self.how == "max" else each.mean(dim=1)


class _Resampling(nn.Module):
    """``signals.resample`` as one strided convolution: an output channel for each phase of the output grid."""

    weight: Tensor

    def __init__(self, n_in: int, fs_in: float, fs_out: float) -> None:
        super().__init__()
        try:
            taps, up, down = polyphase_taps(fs_in, fs_out)
        except ConformError as error:
            raise BundleError(str(error)) from None
        first = np.arange(up) * down // up
        kernel = np.zeros((up, 1, int(first[-1]) + taps.shape[1]), np.float32)
        if kernel.size > _MOST_TAPS:
            raise BundleError(
                f"from {fs_in:g} to {fs_out:g} Hz takes {up} phases of {kernel.shape[-1]:,} taps, which is no graph "
                "for a small device; resample outside"
            )
        for phase, start in enumerate(first):
            kernel[phase, 0, start : start + taps.shape[1]] = taps[phase]
        self.register_buffer("weight", torch.from_numpy(kernel))
        self.down, self.n_out = down, resampled_length(n_in, fs_in, fs_out)
        periods = -(-self.n_out // up)
        before = taps.shape[1] // 2 - 1
        self.pad = (before, max(0, (periods - 1) * down + kernel.shape[-1] - before - n_in))

    def forward(self, x: Tensor) -> Tensor:
        """Resample the last axis; the ends are continued by their own values."""
        flat = F.pad(x.flatten(0, 1).unsqueeze(1), self.pad, mode="replicate")
        phases = F.conv1d(flat, self.weight, stride=self.down)  # (batch * leads, phase, period)
        joined = phases.transpose(1, 2).flatten(1)[:, : self.n_out]
        return joined.reshape(-1, x.shape[1], self.n_out)
