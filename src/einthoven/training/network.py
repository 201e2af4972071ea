"""The fresh network of a recipe: scaling and fact scaling fitted on the training records, weights random or given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from einthoven.bundle import load_bundle
from einthoven.errors import RecipeError
from einthoven.models import Classifier, FactScaling, FusedNetwork, Scaling, create_model
from einthoven.models.weights import load_matching
from einthoven.training.batches import fit_scaling
from einthoven.training.problem import Problem
from einthoven.training.recipe import Recipe

__all__ = ["describe_network", "fit_fact_scaling", "make_model"]


def make_model(recipe: Recipe, problem: Problem) -> Classifier:
    """Build the network that a recipe describes, for a problem; random weights follow from the recipe's seed.

    Raises:
        RecipeError: unknown model or option, or starting weights of another network.
    """
    torch.manual_seed(recipe.seed)
    scaling = Scaling(*fit_scaling(problem.dataset, problem.train, recipe.model.scaling))
    n_leads, n_classes = len(problem.dataset.spec.leads), problem.targets.shape[1]
    network = create_model(recipe.model.name, n_leads, n_classes, **recipe.model.options)
    if problem.facts is None:
        model = Classifier(scaling, network)
    else:
        fused = FusedNetwork(network, problem.facts.shape[1], **recipe.model.fusion.model_dump())
        model = Classifier(scaling, fused, FactScaling(*fit_fact_scaling(problem)))
    if recipe.model.weights:
        _begin_with(model, recipe.model.weights)
    return model


def fit_fact_scaling(problem: Problem) -> tuple[list[float], list[float]]:
    """Mean and deviation of each fact over the training records that have it; 0 and 1 where none has, or all agree."""
    assert problem.facts is not None
    facts = problem.facts[problem.train].astype(np.float64)
    known = np.isfinite(facts)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, facts, 0).sum(axis=0) / n
    deviation = np.sqrt((np.where(known, facts - mean, 0) ** 2).sum(axis=0) / n)
    return mean.tolist(), np.where(deviation > 1e-6, deviation, 1.0).tolist()


def _begin_with(model: Classifier, where: str) -> None:
    """Fill a network with weights of a bundle or run; its classifier stays fresh where classes differ in number."""
    if Path(where).is_file():
        from einthoven.models.ecgfounder import load_ecgfounder

        load_ecgfounder(model.network, Path(where))
        return
    bundle = load_bundle(where)
    last = len(model.network.head) - 1
    foreign = load_matching(bundle.path / "model.safetensors", model)
    foreign -= {f"network.head.{last}.{part}" for part in ("weight", "bias")}
    if foreign:
        name = bundle.about["network"].get("name", "an ensemble")
        raise RecipeError(
            f"model.weights: {where} is {name} and does not fit, {min(foreign)} differs; "
            "name the same model, options, leads and facts"
        )


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
    return entry
