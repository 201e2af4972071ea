"""A smaller model made from a trained one, and the proof that it still is as good: prune, train on, compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from einthoven.bundle import load_bundle
from einthoven.bundling import update_bundle
from einthoven.edge.proof import verdict_of
from einthoven.errors import BundleError
from einthoven.evaluation.card import model_card
from einthoven.workflow.exporting import Prover
from einthoven.workflow.finetuning import finetune
from einthoven.workflow.origin import dataset_of
from einthoven.workflow.selection import select_for_bundle

__all__ = ["slim"]


def slim(
    where: str | Path,
    dataset_path: str | Path | None = None,
    *,
    split: str = "validation",
    max_drop: float = 0.005,
    n_resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    announce: Callable[[str], None] = lambda _: None,
    **how: Any,
) -> Path:
    """Prune a bundle, or prepare it for int8, by training on, and compare the result with what it was.

    Args:
        where: a run, a bundle or a pretrained name.
        dataset_path: the dataset that it was trained on; a run knows its own.
        split: on which both are compared.
        max_drop: of the macro AUROC, beyond which the result is refused.
        n_resamples: of patients, for the intervals.
        seed: of the resamples.
        progress: called with windows done and their number.
        announce: told in a sentence what happens.
        how: see ``finetune``.

    Returns:
        The folder of the run, whose bundle and model card have the comparison.

    Raises:
        BundleError: the result lost more than ``max_drop``; the run stays, with its figures.
    """
    source = load_bundle(where, backend="torch")
    dataset = dataset_of(where, source, dataset_path)
    path = finetune(where, dataset.path, announce=announce, **how)
    bundle = load_bundle(path, backend="torch")
    prover = Prover(source, select_for_bundle(source, dataset), split, max_drop, n_resamples, seed, progress)
    proof = prover.prove(bundle)
    sizes = [each.about["network"]["n_parameters"] for each in (source, bundle)]
    bundle = update_bundle(bundle, {"slimmed": {"from": source.name, "n_parameters": sizes, "proof": proof}})
    update_bundle(bundle, {}, model_card(bundle.about, list(bundle.about["metrics"].values())))
    announce(f"{source.name}, {sizes[0]:,} parameters, to {bundle.name}, {sizes[1]:,}: {verdict_of(proof)}")
    if not proof["good"]:
        raise BundleError(
            f"{path}: {verdict_of(proof)}; prune less, train longer (--finetune), in more rounds, or allow more: the "
            "same command with a larger --max-drop takes this run as it is"
        )
    return path
