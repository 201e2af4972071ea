"""The network that a training begins with: scaling fitted on the training records, weights random, given or pruned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from einthoven.bundle import load_bundle
from einthoven.errors import RecipeError
from einthoven.models import Classifier, FactScaling, FusedNetwork, Scaling, create_model
from einthoven.models.pruning import count_channels, count_macs, prune_network
from einthoven.models.weights import build_classifier, load_matching, load_weights
from einthoven.models.widths import narrow_network, read_widths
from einthoven.training.batches import SignalStore, epoch_batches, fit_scaling
from einthoven.training.losses import make_loss
from einthoven.training.problem import Problem
from einthoven.training.recipe import Recipe

__all__ = ["describe_network", "fit_fact_scaling", "make_model", "pruning_facts"]

_JUDGES = 512  # training records whose losses say which channels count
_BATCH = 32


def make_model(recipe: Recipe, problem: Problem) -> Classifier:
    """Build the network that a recipe describes, for a problem; random weights follow from the recipe's seed.

    Raises:
        RecipeError: unknown model or option, starting weights of another network, or an architecture that cannot be
            pruned.
        MissingExtraError: pruning is wanted, but its package is not there.
    """
    torch.manual_seed(recipe.seed)
    scaling = Scaling(*fit_scaling(problem.dataset, problem.train, recipe.model.scaling))
    network = _fresh(recipe, problem)
    if problem.facts is None:
        model = Classifier(scaling, network)
    else:
        fact_scaling = FactScaling(*fit_fact_scaling(problem))
        model = Classifier(scaling, network, fact_scaling)
    if recipe.model.weights:
        _begin_with(model, recipe.model.weights, problem.classes)
    if recipe.model.prune:
        _prune(model, recipe, problem)
    return model


def _fresh(recipe: Recipe, problem: Problem) -> Any:
    """The network as its architecture builds it."""
    n_leads, n_classes = len(problem.dataset.spec.leads), problem.targets.shape[1]
    network = create_model(recipe.model.name, n_leads, n_classes, **recipe.model.options)
    if problem.facts is None:
        return network
    return FusedNetwork(network, problem.facts.shape[1], **recipe.model.fusion.model_dump())


def fit_fact_scaling(problem: Problem) -> tuple[list[float], list[float]]:
    """Mean and deviation of each fact over the training records that have it; 0 and 1 where none has, or all agree."""
    assert problem.facts is not None
    facts = problem.facts[problem.train].astype(np.float64)
    known = np.isfinite(facts)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, facts, 0).sum(axis=0) / n
    deviation = np.sqrt((np.where(known, facts - mean, 0) ** 2).sum(axis=0) / n)
    return mean.tolist(), np.where(deviation > 1e-6, deviation, 1.0).tolist()


def _begin_with(model: Classifier, where: str, classes: Sequence[str]) -> None:
    """Fill a network with weights of a bundle or run; of its classifier, the rows of the classes that both know."""
    if Path(where).is_file():
        from einthoven.models.ecgfounder import load_ecgfounder

        load_ecgfounder(model.network, Path(where))
        return
    bundle = load_bundle(where)
    classifier = f"head.{len(model.network.head) - 1}"
    if pruned := bundle.about["network"].get("pruned"):
        widths = {name: list(shape) for name, shape in pruned["widths"].items()}
        if classifier in widths:
            widths[classifier][0] = len(classes)
        try:
            narrow_network(model.network, widths, pruned["n_features"])
        except (AttributeError, KeyError, ValueError) as error:
            raise _misfit(where, bundle.about["network"], f"its widths do not fit ({error})") from None
    weights = bundle.path / "model.safetensors"
    if foreign := load_matching(weights, model, f"network.{classifier}", bundle.classes, classes):
        raise _misfit(where, bundle.about["network"], f"{min(foreign)} differs")


def _misfit(where: str, network: dict[str, Any], reason: str) -> RecipeError:
    name = network.get("name", "an ensemble")
    return RecipeError(
        f"model.weights: {where} is {name} and does not fit, {reason}; name the same model, options, leads and facts"
    )


def _prune(model: Classifier, recipe: Recipe, problem: Problem) -> None:
    """Prune the network, and see that it can be rebuilt from what its bundle will say."""
    how = recipe.model.prune
    assert how is not None
    inputs = next(_batches(recipe, problem))[0]
    model.eval()
    prune_network(
        model.network,
        _within(model, inputs),
        how.ratio,
        criterion=how.criterion,
        scope=how.scope,
        round_to=how.round_to,
        losses=lambda: _losses(model, recipe, problem),
    )
    again = build_classifier(describe_network(recipe, problem, model)).eval()
    again.load_state_dict(model.state_dict())
    with torch.inference_mode():
        if not torch.equal(again(*inputs), model(*inputs)):
            raise RecipeError(f"model.prune: {recipe.model.name} cannot be rebuilt without its channels; prune another")


def _within(model: Classifier, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What the network within a classifier is called with."""
    with torch.no_grad():
        facts = model.fact_scaling(inputs[1]) if model.fact_scaling is not None else ()
        return (model.scaling(inputs[0]), *facts)


def _batches(recipe: Recipe, problem: Problem) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
    """Training records as they are, without augmentation: inputs and targets, drawn by the recipe's seed."""
    store, rows = SignalStore(problem.dataset, torch.device("cpu"), "map"), torch.from_numpy(problem.train)
    crop = max(1, round(recipe.data.crop_s * problem.dataset.spec.fs))
    draw = torch.Generator().manual_seed(recipe.seed)
    n, size = 0, min(_BATCH, len(rows))
    for chosen, x in epoch_batches(store, rows, crop, size, draw):
        at = problem.train[chosen.numpy()]
        facts = () if problem.facts is None else (torch.from_numpy(problem.facts[at]),)
        yield (x, *facts), torch.from_numpy(problem.targets[at])
        n += size
        if n >= _JUDGES:
            return


def _losses(model: Classifier, recipe: Recipe, problem: Problem) -> Iterator[Tensor]:
    """Losses of training records: of each for second-order criteria, of batches for the others."""
    loss = make_loss(recipe.training, problem.kind)
    assert recipe.model.prune is not None
    single = recipe.model.prune.criterion == "hessian"
    for inputs, targets in _batches(recipe, problem):
        for k in range(len(targets)) if single else (slice(None),):
            part = slice(k, k + 1) if isinstance(k, int) else k
            yield loss(model(*(x[part] for x in inputs)), targets[part])


def describe_network(recipe: Recipe, problem: Problem, model: Classifier) -> dict[str, Any]:
    """Return the entry of ``bundle.json`` from which ``build_classifier`` makes the same module again."""
    entry = {
        "name": recipe.model.name,
        "options": recipe.model.options,
        "n_leads": len(problem.dataset.spec.leads),
        "n_classes": len(problem.classes),
        "n_scales": model.scaling.mean.numel(),
        "n_parameters": model.network.n_parameters,
    }
    if model.n_facts:
        entry |= {"n_facts": model.n_facts, "fusion": recipe.model.fusion.model_dump(mode="json")}
    if widths := read_widths(model.network, _fresh(recipe, problem)):
        entry["pruned"] = {"n_features": model.network.n_features, "widths": widths}
    return entry


def pruning_facts(recipe: Recipe, model: Classifier, n_samples: int) -> dict[str, Any] | None:
    """What pruning took from the starting weights: channels, parameters and multiplications, before and after.

    Args:
        recipe: that pruned.
        model: what came of it.
        n_samples: length of the window that multiplications are counted for.

    Returns:
        Plain values; None where the recipe prunes nothing.
    """
    if recipe.model.prune is None or recipe.model.weights is None:
        return None
    bundle = load_bundle(recipe.model.weights)
    before = build_classifier(bundle.about["network"])
    load_weights(bundle.path / "model.safetensors", before)
    assert isinstance(before, Classifier)
    window = torch.zeros(1, len(bundle.spec.leads), n_samples)
    sizes = {
        "channels": [count_channels(each.network) for each in (before, model)],
        "parameters": [each.network.n_parameters for each in (before, model)],
        "macs": [count_macs(each.eval(), (window,)) for each in (before, model)],
    }
    asked = recipe.model.prune
    return {**asked.model_dump(), "got": 1 - sizes["channels"][1] / sizes["channels"][0], "before_and_after": sizes}
