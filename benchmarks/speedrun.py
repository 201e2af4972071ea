"""The speedrun: how soon does a network reach a macro AUROC of 0.935 on PTB-XL superclasses, fold 9?

usage: python benchmarks/speedrun.py DATASET [--seeds 0,1,2,3,4] [--threads 2] [--device cpu] [--epochs N]

Reached: 0.9355, the mean of five seeds (0.9350 to 0.9361), in 100 s of training (99.6 to 103 s) on two cores of an AMD
EPYC (AVX2) that did nothing else, with OMP_WAIT_POLICY=ACTIVE; the goal is 0.935 in 120 s. Where threads sleep while
they wait, or others use the cores, one thread is as fast. On a GPU, where the goal is 15 s with the signals resident on
it, ``--device cuda`` is written to work and was not measured.

Rules. The dataset was prepared before (``einthoven prepare ptb-xl PTBXL_DIR``) and is read into memory before the clock
starts. The clock runs from the first batch to the last step, cutting of crops included; judging is timed beside it. The
budget is fixed beforehand: every seed trains to the end of its schedule and is judged once. The run succeeds when the
mean over at least five seeds reaches 0.935. Folds 1-8 train, and by the definition of the goal fold 9 both chose this
design and judges it: the figure is no estimate of how well the network does on new patients.

What makes it fast, beside a small network:
- a stem of long kernels with a stride of 4: all that follows works at 25 Hz;
- Muon: the steps of all convolutions have equal singular values; AdamW reaches 0.9314 in the same 8 epochs;
- channels last, and a weight gradient of our own on the CPU, one matrix product over patches;
- all 71 statements are learned beside the five superclasses, from the same features.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from _timing import report
from einthoven.dataset import open_dataset
from einthoven.labels import make_task
from einthoven.metrics import auroc
from einthoven.training.batches import SignalStore, epoch_batches
from einthoven.training.device import Engine, make_engine
from einthoven.training.muon import Muon
from einthoven.training.recipe import Folds
from einthoven.workflow import select_records

GOAL, GOAL_SECONDS, FEWEST_SEEDS = 0.935, 120, 5
EPOCHS, BATCH, CROP, HOP = 9, 128, 250, 125  # samples at 100 Hz: crops of 2.5 s; when judged, one every 1.25 s
RATE, DECAY, WARMUP = 1e-2, 0.1, 0.25  # highest rate of one-cycle, and the share of steps that lead up to it
AUXILIARY = 0.2  # weight of a statement where a superclass has 1
PER_MV = 4.0  # PTB-XL's deviation is a quarter of a millivolt
STEM, STAGES, DROPOUT = (64, 15, 4), ((64, 3, 1), (96, 3, 2), (128, 3, 2)), 0.3  # channels, kernel, stride


class _PatchConv(torch.autograd.Function):
    """Convolution over time, (batch, channel, 1, time), whose weight gradient is one matrix product over patches.

    oneDNN's gradient by the weights takes half again as long as its other two passes; a product takes as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, (1, stride), (0, weight.shape[-1] // 2))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        by_x, pad, stride = None, weight.shape[-1] // 2, [1, ctx.stride]
        if ctx.needs_input_grad[0]:
            how = (None, stride, [0, pad], [1, 1], False, [0, 0], 1, [True, False, False])
            by_x = torch.ops.aten.convolution_backward(gradient, x, weight, *how)[0]
        # With channels last a patch of `kernel` samples is one run of memory; neighbours overlap.
        along = F.pad(x[:, :, 0].transpose(1, 2).contiguous(), (0, 0, pad, pad))  # (batch, time, channel)
        n, (n_out, n_in, _, kernel) = gradient.shape[-1], weight.shape
        size, strides = (len(x), n, kernel * n_in), (along.stride(0), ctx.stride * n_in, 1)
        patches = along.as_strided(size, strides).reshape(-1, kernel * n_in)
        product = gradient[:, :, 0].transpose(1, 2).reshape(-1, n_out).T @ patches
        return by_x, product.view(n_out, kernel, n_in).transpose(1, 2).unsqueeze(2), None


class Conv(nn.Conv2d):
    """Convolution over time, then batch norm: (batch, n_in, 1, time) to (batch, n_out, 1, time / stride)."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(n_in, n_out, (1, kernel), (1, stride), (0, kernel // 2), bias=False)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise."""
        plain = x.is_cuda or torch.is_autocast_enabled("cpu")
        y = super().forward(x) if plain else _PatchConv.apply(x, self.weight, self.stride[1])
        return self.norm(y)


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, n_in: int, n_out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = Conv(n_in, n_out, kernel, stride), Conv(n_out, n_out, kernel)
        self.shortcut = Conv(n_in, n_out, 1, stride) if (n_in, stride) != (n_out, 1) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, 1, time) to (batch, n_out, 1, time / stride)."""
        return F.relu_(self.shortcut(x) + self.second(F.relu_(self.first(x))))


class Speedy(nn.Module):
    """From signals in mV, (batch, lead, time), to logits of ``n_classes``."""

    def __init__(self, n_leads: int, n_classes: int) -> None:
        super().__init__()
        width, kernel, stride = STEM
        layers: list[nn.Module] = [Conv(n_leads, width, kernel, stride), nn.ReLU(inplace=True)]
        for n_out, kernel, stride in STAGES:
            layers.append(Block(width, n_out, kernel, stride))
            width = n_out
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.BatchNorm1d(2 * width), nn.Dropout(DROPOUT), nn.Linear(2 * width, n_classes))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, lead, time) to (batch, class)."""
        x = (x * PER_MV).unsqueeze(2).contiguous(memory_format=torch.channels_last)
        features = self.body(x)[:, :, 0]
        return self.head(torch.cat([features.amax(-1), features.mean(-1)], 1))


@dataclass(frozen=True)
class Task:
    """Signals, rows of folds 1-8 and of fold 9, and targets (record, class), the superclasses first."""

    store: SignalStore
    train: Tensor
    valid: Tensor
    targets: Tensor
    n_classes: int


def read(path: str, engine: Engine) -> Task:
    """Read a prepared dataset into memory, on a GPU into its own."""
    dataset = open_dataset(path)
    selected = select_records(dataset, make_task("superdiagnostic", dataset.label_table), Folds())
    statements = make_task("all", dataset.label_table).targets(dataset.records.statements)
    targets = torch.from_numpy(np.hstack([selected.targets, statements])).to(engine.device)
    train, valid = (torch.from_numpy(selected.rows[name]).to(engine.device) for name in ("train", "validation"))
    return Task(SignalStore(dataset, engine.device, "device"), train, valid, targets, selected.targets.shape[1])


def make_optimizers(net: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the convolutions, AdamW for norms and the classifier."""
    kernels = [parameter for parameter in net.parameters() if parameter.ndim == 4]
    others = [parameter for parameter in net.parameters() if parameter.ndim < 4]
    return [
        Muon(kernels, lr=RATE, momentum=0.95, weight_decay=DECAY),
        torch.optim.AdamW(others, RATE, weight_decay=DECAY, fused=True),
    ]


def train(task: Task, engine: Engine, seed: int, epochs: int, batch: int = BATCH) -> tuple[nn.Module, float]:
    """Train to the end of the budget; the network and the seconds from the first batch to the last step."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = Speedy(len(task.store.dataset.spec.leads), task.targets.shape[1]).to(engine.device)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = make_optimizers(net)
    n_steps = epochs * max(1, len(task.train) // batch)
    schedules = [
        OneCycleLR(each, RATE, total_steps=n_steps, pct_start=WARMUP, cycle_momentum=not isinstance(each, Muon))
        for each in optimizers
    ]
    weight = torch.ones(task.targets.shape[1], device=engine.device)
    weight[task.n_classes :] = AUXILIARY
    began = _now(engine)
    for _ in range(epochs):
        for rows, x in epoch_batches(task.store, task.train, CROP, batch, generator):
            with engine.autocast():
                logits = net(x)
            losses = F.binary_cross_entropy_with_logits(logits.float(), task.targets[task.train[rows]], weight)
            net.zero_grad()
            (losses * len(weight) / task.n_classes).backward()  # a sum over classes
            for each in (*optimizers, *schedules):
                each.step()
    return net.eval(), _now(engine) - began


@torch.inference_mode()
def judge(net: nn.Module, task: Task, engine: Engine) -> float:
    """Macro AUROC on fold 9 of the mean probability over overlapping windows."""
    found = []
    for rows in task.valid.split(256):
        total = torch.zeros(len(rows), task.n_classes, device=engine.device)
        starts = range(0, int(task.store.lengths(rows).max()) - CROP + 1, HOP)
        for start in starts:
            with engine.autocast():
                logits = net(task.store.gather(rows, torch.full_like(rows, start), CROP))
            total += logits[:, : task.n_classes].float().sigmoid()
        found.append(total / len(starts))
    y = task.targets[task.valid, : task.n_classes].cpu().numpy()
    return float(np.nanmean(auroc(y, torch.cat(found).double().cpu().numpy())))


def _now(engine: Engine) -> float:
    if engine.device.type == "cuda":
        torch.cuda.synchronize(engine.device)
    return time.perf_counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    engine = make_engine(options.device, threads=options.threads)
    began = time.perf_counter()
    task = read(options.dataset, engine)
    reading = time.perf_counter() - began
    scores, seconds, judging = [], [], []
    print(f"{engine.describe()}; {len(task.train):,} records train; read in {reading:.1f} s")
    print("seed  training, s  judging, s  macro AUROC, fold 9")
    for seed in map(int, options.seeds.split(",")):
        net, spent = train(task, engine, seed, options.epochs)
        began = time.perf_counter()
        scores.append(judge(net, task, engine))
        judging.append(time.perf_counter() - began)
        seconds.append(spent)
        print(f"{seed:4}  {spent:11.1f}  {judging[-1]:10.1f}  {scores[-1]:19.4f}", flush=True)
    mean, time_of_one = statistics.mean(scores), statistics.median(seconds)
    enough = len(scores) >= FEWEST_SEEDS
    report(
        "speedrun",
        {
            "engine": engine.describe(),
            "epochs": options.epochs,
            "seeds": options.seeds,
            "macro AUROC, mean": mean,
            "macro AUROC, deviation over seeds": statistics.stdev(scores) if len(scores) > 1 else 0.0,
            "macro AUROC, each": ", ".join(f"{score:.4f}" for score in scores),
            "training, s (median)": time_of_one,
            "training, s, each": ", ".join(f"{s:.1f}" for s in seconds),
            "judging, s (median)": statistics.median(judging),
            "reading, s": reading,
            f"mean of {FEWEST_SEEDS} seeds or more reaches {GOAL}": str(enough and mean >= GOAL).lower(),
            f"within {GOAL_SECONDS} s": str(time_of_one <= GOAL_SECONDS).lower(),
        },
    )


if __name__ == "__main__":
    main()
