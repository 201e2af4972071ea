"""A teacher for a student: loaded, fitted to the student's classes and facts, refused where it has seen too much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, load_bundle
from einthoven.errors import DatasetError, RecipeError
from einthoven.splits import rows_of_folds
from einthoven.training.schema import Distillation
from einthoven.workflow.selection import Selected

if TYPE_CHECKING:
    from torch import nn

__all__ = ["load_teacher"]

Announce = Callable[[str], None]


def load_teacher(
    distill: Distillation,
    selected: Selected,
    fact_names: Sequence[str] = (),
    *,
    n_samples: int | None = None,
    announce: Announce = lambda _: None,
) -> nn.Module:
    """Load a teacher as a module that is called as the student is: ``teacher(x)`` or ``teacher(x, facts)``.

    Args:
        distill: names the teacher.
        selected: the student's records and classes.
        fact_names: columns of the student's facts; those that only the teacher knows are unknown to it here.
        n_samples: length of the student's crops, which the teacher must take.
        announce: told in a sentence what cannot be checked, or what the teacher does without.

    Returns:
        In evaluation mode and without gradients: logits in the order of the student's classes, of signals (batch, lead,
        time) in mV.

    Raises:
        BundleError: there is no such bundle, or it is damaged.
        RecipeError: it has other classes, another kind of them, or needs other signals than the student.
        DatasetError: it was trained on patients of the student's validation or test records.
    """
    import torch

    from einthoven.models.teacher import Teacher
    from einthoven.models.weights import build_classifier, load_weights

    bundle = load_bundle(distill.teacher)
    _check_fit(bundle, selected)
    _check_leak(bundle, selected, announce)
    if unknown := [name for name in bundle.facts if name not in fact_names]:
        announce(f"warning: the teacher takes for unknown what data.facts does not name: {', '.join(unknown)}")
    model = build_classifier(bundle.about["network"])
    load_weights(bundle.path / "model.safetensors", model)
    order = [bundle.classes.index(name) for name in selected.task.classes]
    columns = [fact_names.index(name) if name in fact_names else None for name in bundle.facts]
    teacher = Teacher(model, order, columns).eval().requires_grad_(False)
    if n_samples is not None:
        try:
            with torch.inference_mode():
                teacher(torch.zeros(2, len(bundle.spec.leads), n_samples))
        except (RuntimeError, ValueError) as error:
            raise RecipeError(
                f"training.distill: the teacher {bundle.name} cannot take crops of {n_samples} samples: "
                f"{str(error).splitlines()[0]}; change data.crop_s to its {bundle.window / bundle.spec.fs:g} s"
            ) from None
    return teacher


def _check_fit(bundle: Bundle, selected: Selected) -> None:
    """Refuse a teacher that answers another question, or sees other signals."""
    task, need, have = selected.task, selected.dataset.spec.to_dict(), bundle.spec.to_dict()
    name = f"training.distill: the teacher {bundle.name}"
    if bundle.kind != task.kind:
        raise RecipeError(f"{name} is {bundle.kind}, the student {task.kind}; set data.single_label as the teacher had")
    if set(bundle.classes) != set(task.classes):
        parts = [
            f"{whose} has {', '.join(sorted(more))}"
            for whose, more in (
                ("only the teacher", set(bundle.classes) - set(task.classes)),
                ("only the student", set(task.classes) - set(bundle.classes)),
            )
            if more
        ]
        raise RecipeError(f"{name} knows other classes: {'; '.join(parts)}; choose the teacher's task in data.task")
    if differ := [f"{key} is {_shown(have[key])}, not {_shown(need[key])}" for key in need if have[key] != need[key]]:
        raise RecipeError(
            f"{name} needs signals of another form than {selected.dataset.path}: {'; '.join(differ)}; prepare a "
            "dataset in the teacher's form"
        )


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _check_leak(bundle: Bundle, selected: Selected, announce: Announce) -> None:
    """Refuse a teacher that knows patients whom the student is judged on."""
    origin, dataset = bundle.about["provenance"], selected.dataset
    if origin.get("listing_sha256") != dataset.listing_sha256:
        announce(
            f"warning: the teacher {bundle.name} was trained on another preparation or corpus "
            f"({origin.get('dataset', 'unknown')}), so nothing proves that it has not seen patients of the student's "
            "validation and test records"
        )
        return
    folds = origin["folds"]
    fold = dataset.folds(folds.get("split"))
    for purpose, forbidden in (("train", ("validation", "test")), ("validation", ("test",))):
        seen = rows_of_folds(fold, folds[purpose])
        for split in forbidden:
            known = _shared(selected, seen, selected.rows[split])
            if known and purpose == "train":
                raise DatasetError(
                    f"training.distill: the teacher {bundle.name} was trained on {len(known):,} of the patients in the "
                    f"student's {split} folds, for example {known[0]}: the student would be judged on what its teacher "
                    "was told; use the teacher's folds, or another teacher"
                )
            if known:
                announce(
                    f"warning: {len(known):,} patients of the student's {split} folds chose the epoch of the teacher "
                    f"{bundle.name}"
                )


def _shared(selected: Selected, seen: NDArray[np.int64], judged: NDArray[np.int64]) -> list[str]:
    """Patients on both sides, a record standing for itself where its patient is unknown or may cross by design."""
    table, excused = selected.dataset.records, set(selected.dataset.shared_patients)

    def keys(rows: NDArray[np.int64]) -> set[str]:
        pairs = [(table.patient_id[row], table.record_id[row]) for row in rows.tolist()]
        alone = [p is None or p in excused or selected.leaks is not None for p, _ in pairs]
        return {f"record {r}" if one else str(p) for one, (p, r) in zip(alone, pairs, strict=True)}

    return sorted(keys(seen) & keys(judged))
