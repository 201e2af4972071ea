"""From records to what the network is called with: drawn, cropped, varied, with targets and facts.

Every draw follows from the recipe's seed and the number of the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from einthoven.augment import DEFAULT_STEPS, Chain, Context, Step
from einthoven.errors import RecipeError
from einthoven.spec import SignalSpec
from einthoven.training.batches import SignalStore, epoch_batches
from einthoven.training.device import Engine
from einthoven.training.problem import Problem
from einthoven.training.recipe import Recipe, Training
from einthoven.training.sampling import make_sampler

__all__ = ["Batch", "Feed", "drop_facts", "make_chain"]


class Batch(NamedTuple):
    """What one forward pass needs.

    Attributes:
        inputs: signals (batch, lead, time) in mV, then facts (batch, fact) where the network sees any.
        targets: shape (batch, class).
        chosen: positions of the records within the training rows.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    chosen: Tensor


class Feed:
    """The training batches of every epoch.

    Args:
        recipe: how they are drawn and varied.
        problem: of what.
        engine: where; one of several processes gets its share of each batch.
        max_batches: of an epoch at most.

    Attributes:
        n_batches: of an epoch.
        store: the signals.
        facts: of all records of the dataset, on the device; None without any.

    Raises:
        RecipeError: an augmentation that cannot be, or importance of an unknown class.
    """

    def __init__(self, recipe: Recipe, problem: Problem, engine: Engine, max_batches: int | None = None) -> None:
        options, spec, targets = recipe.training, problem.dataset.spec, problem.targets[problem.train]
        self._recipe, self._engine, self._crop = recipe, engine, max(1, round(recipe.data.crop_s * spec.fs))
        self._chain = make_chain(options, spec)
        self._sampler = make_sampler(options.sampler, targets, problem.classes, options.importance)
        self.store = SignalStore(problem.dataset, engine.device, recipe.data.residence, engine.n_ranks)
        self._rows = torch.from_numpy(problem.train).to(engine.device)
        self._targets = torch.from_numpy(targets).to(engine.device)
        self.facts = None if problem.facts is None else torch.from_numpy(problem.facts).to(engine.device)
        n_batches = max(1, len(problem.train) // options.batch_size)
        self.n_batches = min(n_batches, max_batches or n_batches)

    def epoch(self, epoch: int, *, whole: bool = False) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0; torch's own generator, of dropout, is seeded for them.

        Args:
            epoch: its number.
            whole: not this process's share of each batch, but all of it.
        """
        rank, n_ranks = (0, 1) if whole else (self._engine.rank, self._engine.n_ranks)
        common = _seed(self._recipe.seed, epoch)  # order and crops: every process draws the same, and takes its share
        own = _seed(self._recipe.seed, epoch, rank) if rank else common
        torch.manual_seed(own)
        varied = torch.Generator(self._engine.device).manual_seed(own + 1)
        batches = epoch_batches(
            self.store,
            self._rows,
            self._crop,
            self._recipe.training.batch_size,
            torch.Generator().manual_seed(common),
            self._sampler,
            (rank, n_ranks),
        )
        return (self._vary(chosen, x, varied) for chosen, x in islice(batches, self.n_batches))

    def _vary(self, chosen: Tensor, x: Tensor, generator: torch.Generator) -> Batch:
        y, facts = self._targets[chosen], None if self.facts is None else self.facts[self._rows[chosen]]
        x = self._chain(x, generator)
        if self._chain.mixes:
            x, y, facts = self._chain.mix(x, y, facts, generator)
        if facts is None:
            return Batch((x,), y, chosen)
        return Batch((x, drop_facts(facts, self._recipe.training.fact_dropout, generator)), y, chosen)


def _seed(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


def make_chain(options: Training, spec: SignalSpec) -> Chain:
    """Return the recipe's augmentation; a step ``default`` stands for several.

    Raises:
        RecipeError: an unknown operation or parameter, or ``default`` with a probability or parameters.
    """
    steps: list[Step] = []
    for step in options.augment:
        if step.name != "default":
            steps.append(Step(step.name, step.p, step.parameters))
        elif step.p != 1 or step.parameters:
            raise RecipeError("augmentation 'default' is several steps with p and parameters of their own; give none")
        else:
            steps += DEFAULT_STEPS
    return Chain(steps, Context(spec.fs, spec.leads))


def drop_facts(facts: Tensor, p: float, generator: torch.Generator) -> Tensor:
    """Forget all facts of a record with probability ``p``, and each single one with the same.

    Args:
        facts: shape (batch, fact), NaN where unknown.
        p: probability.
        generator: on the device of ``facts``.
    """
    all_gone = torch.rand(len(facts), 1, generator=generator, device=facts.device) < p
    gone = torch.rand(facts.shape, generator=generator, device=facts.device) < p
    return facts.masked_fill(all_gone | gone, torch.nan)
