"""What ``einthoven split``, ``audit`` and ``samples`` do: the user's words become folds, a verdict, or files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from einthoven.cli.progress import bar
from einthoven.errors import EinthovenError

if TYPE_CHECKING:
    from einthoven.audit import Audit
    from einthoven.dataset import Dataset
    from einthoven.workflow.splitting import Made

__all__ = ["audit_folds", "export_samples", "split_dataset"]

_SHOWN = 8  # classes in a table; JSON has all


def split_dataset(
    dataset: Path,
    method: str | None,
    tables: Sequence[Path],
    choices: dict[str, Any],
    options: dict[str, Any],
    outputs: dict[str, Any],
) -> None:
    """Make a split, or take one that is there, and write what is asked for.

    Args:
        dataset: its folder.
        method: of division; None where a split is imported or is there already.
        tables: to import.
        choices: name, task, of, overwrite.
        options: of the method; None where not given.
        outputs: recipes, like, csv, suffix.
    """
    from einthoven.dataset import open_dataset

    opened = open_dataset(dataset)
    made = _made(opened, method, tables, choices, {key: value for key, value in options.items() if value is not None})
    for note in made.notes:
        print(note if note.startswith("warning") else f"note: {note}")
    _print_split(made)
    print(f"split   {made.path}")
    _write_outputs(opened, made, outputs, choices["overwrite"])


def _made(
    dataset: Dataset, method: str | None, tables: Sequence[Path], choices: dict[str, Any], options: dict[str, Any]
) -> Made:
    from einthoven.splits import list_methods
    from einthoven.workflow.splitting import import_split, make_split, stored_split

    if method and tables:
        raise EinthovenError("choose one of --method and --from-csv")
    if "shares" in options:
        options["shares"] = _shares(options["shares"])
    if method:
        return make_split(dataset, method, **choices, **options)
    if options:
        raise EinthovenError(f"--{next(iter(options))} belongs to a method; name one with --method")
    if tables:
        if choices.pop("of"):
            raise EinthovenError("--of belongs to a method; name one with --method")
        return import_split(dataset, tables, **choices)
    if choices["name"]:
        return stored_split(dataset, choices["name"], choices["task"])
    raise EinthovenError(
        f"how to divide? --method is one of {', '.join(list_methods())}; --name alone takes a split that is there"
    )


def _shares(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(Fraction(part.strip())) for part in text.split(","))
    except (ValueError, ZeroDivisionError):
        raise EinthovenError(f"--shares {text!r}: write numbers, for example 0.8,0.1,0.1 or 1/2,1/4,1/8") from None


def _write_outputs(dataset: Dataset, made: Made, outputs: dict[str, Any], overwrite: bool) -> None:
    from einthoven.training.recipe import load_recipe
    from einthoven.workflow.split_outputs import write_recipes, write_tables

    if outputs["recipes"]:
        like = load_recipe(outputs["like"]) if outputs["like"] else None
        paths = write_recipes(dataset, made, outputs["recipes"], like, overwrite)
        print(f"recipes {len(paths)} in {outputs['recipes']}; how to use them: {outputs['recipes'] / 'commands.txt'}")
    elif outputs["like"]:
        raise EinthovenError("--like is the model for recipes; say where to write them with --recipes")
    if outputs["csv"]:
        paths = write_tables(dataset, made, outputs["csv"], outputs["suffix"])
        print(f"tables  {len(paths)} in {outputs['csv']}; their column path holds the record's name")


def _print_split(made: Made) -> None:
    counts, deviations = made.about.counts, made.deviations
    shown = sorted(made.task.classes, key=lambda name: -abs(deviations[name].size) / deviations[name].limit)[:_SHOWN]
    shown = [name for name in made.task.classes if name in shown]
    print(f"{made.name}: {made.about.method}, kept together: {made.about.grouping}")
    if counts:
        print(f"  {'fold':<5} {'records':>8} {'patients':>9}" + "".join(f" {_short(name):>9}" for name in shown))
    for count in counts:
        patients = "unknown" if count["patients"] is None else f"{count['patients']:,}"
        cells = "".join(f" {count['classes'].get(name, 0):>9,}" for name in shown)
        name = made.about.fold_names[count["fold"]]
        print(f"  {count['fold']:<5} {count['records']:>8,} {patients:>9}{cells}  {name}")
    if counts:
        print(f"  {'off by':<24}" + "".join(f" {deviations[name].size:>+9.1f}" for name in shown))
    if len(shown) < len(made.task.classes):
        print(f"  ({len(shown)} of {len(made.task.classes)} classes are shown: those farthest from their due)")
    if made.about.shares:
        _print_beyond(made)


def _print_beyond(made: Made) -> None:
    beyond = {name: each for name, each in made.deviations.items() if not each.within}
    within = len(made.deviations) - len(beyond)
    print(f"  {within} of {len(made.deviations)} classes are within 1 % (at least 1 record) of their due in every fold")
    for name, each in list(beyond.items())[:_SHOWN]:
        reason = f"; one patient alone has {each.largest_group}" if each.forced else ""
        print(f"  {name}: {each.count:,} in fold {each.fold}, due {each.due:.1f}{reason}")


def _short(name: str) -> str:
    return name if len(name) <= 9 else f"{name[:8]}."


def audit_folds(dataset: Path, split: str | None, task: str | None, as_json: bool) -> None:
    """Audit and print; exit code 2 where the folds leak."""
    from einthoven.audit import audit_dataset
    from einthoven.dataset import open_dataset
    from einthoven.workflow.splitting import usual_task

    opened = open_dataset(dataset)
    with bar("comparing signals") as progress:
        found = audit_dataset(opened, usual_task(opened, task), split, progress)
    if as_json:
        print(json.dumps(found.to_dict(), indent=1))
    else:
        _print_audit(found)
    if found.leaks:
        raise typer.Exit(2)


def _print_audit(found: Audit) -> None:
    print(
        f"{found.dataset}, {f'split {found.split}' if found.split else 'its own folds'}: {found.verdict}: {found.why}"
    )
    for kind, parts in found.parts.items():
        _print_parts(kind, parts, found.deviations[kind])
    for patient, folds in list(found.crossing.items())[:_SHOWN]:
        print(f"  patient {patient} is in folds {', '.join(map(str, folds))}")
    for patient, why in found.published.items():
        print(f"  published: patient {patient}: {why}")
    for group in found.duplicates[:_SHOWN]:
        pairs = zip(group["records"], group["folds"], strict=True)
        places = ", ".join(f"{name} (fold {f})" for name, f in pairs)
        print(f"  same signal (correlation {group['correlation']:.4f}): {places}")
    n = found.n_duplicates
    print(f"  duplicate signals in all: {n['exact']:,} with equal samples, {n['near']:,} equal up to gain and offset")
    for note in found.notes:
        print(f"  note: {note}")


def _print_parts(kind: str, parts: Sequence[dict[str, Any]], largest: dict[str, Any] | None) -> None:
    classes = list(parts[0]["prevalence"])[:_SHOWN] if parts else []
    if parts:
        print(f"  {kind:<14} {'records':>8} {'patients':>9}" + "".join(f" {_short(name):>9}" for name in classes))
    for part in parts:
        patients = "unknown" if part["patients"] is None else f"{part['patients']:,}"
        values = [part["prevalence"][name] for name in classes]
        cells = "".join(f" {'unknown' if value is None else f'{value:.2%}':>9}" for value in values)
        print(f"  {part['name']!s:<14} {part['records']:>8,} {patients:>9}{cells}")
    if largest:
        print(
            f"  largest deviation: {largest['class']} in {largest['part']}: {largest['prevalence']:.2%}, "
            f"in all {largest['overall']:.2%}"
        )


def export_samples(
    dataset: Path,
    dest: Path,
    per_class: int,
    task: str | None,
    folds: str | None,
    split: str | None,
    overwrite: bool,
) -> None:
    """Write representative records."""
    from einthoven.dataset import open_dataset
    from einthoven.workflow.samples import choose_samples, write_samples
    from einthoven.workflow.splitting import usual_task

    if dest.exists() and any(dest.iterdir()) and not overwrite:
        raise EinthovenError(f"{dest}: is not empty; --overwrite writes into it all the same")
    opened = open_dataset(dataset)
    wanted = usual_task(opened, task)
    with bar("measuring") as progress:
        samples = choose_samples(opened, wanted, per_class, _folds(folds), split, progress)
    index = write_samples(opened, samples, wanted, dest, split)
    print(f"{index}: {len(samples):,} records of {len({s.class_name for s in samples})} classes")
    if absent := [name for name in wanted.classes if name not in {s.class_name for s in samples}]:
        print(f"no whole record of {', '.join(absent)}")


def _folds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise EinthovenError(f"--folds {text!r}: write fold numbers, for example 9,10") from None
