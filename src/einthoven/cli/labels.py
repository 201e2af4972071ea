"""``einthoven labels``: what codes mean, and label tables from one system to another."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from einthoven.errors import EinthovenError

if TYPE_CHECKING:
    from einthoven.labels import LossReport, Meaning

__all__ = ["labels", "write_losses"]

labels = typer.Typer(no_args_is_help=True, help="What label codes mean, and label tables from one system to another.")
_SHOWN = 30  # matches of words
_System = Annotated[str, typer.Argument(help="scp, snomed, aha, mitbih, aami or ptbdb")]


@labels.command(name="list")
def list_systems() -> None:
    """List the label systems, their tasks, and the maps between them."""
    from einthoven.labels import list_maps, load_map, load_system, system_names

    for name in system_names():
        system = load_system(name)
        print(f"{name:<8} {len(system.table):>4} codes  {system.title} ({system.source})")
        for task in system.tasks:
            print(f"{'':<8} {len(system.class_codes(task)):>4} classes in task {task}")
    for (source, target), title in list_maps().items():
        print(f"map      {len(load_map(source, target).rows):>4} codes  {source} to {target}: {title}")


@labels.command()
def show(
    system: _System,
    task: Annotated[str | None, typer.Option(help="the classes of this task and the codes of each")] = None,
) -> None:
    """Print the codes of a system, or the classes of one of its tasks."""
    from einthoven.labels import load_system, make_task

    loaded = load_system(system)
    if task is None:
        for code, statement in loaded.table.items():
            print(f"{code:<16} {statement.abbreviation:<10} {statement.description}")
        for code, meaning in loaded.modifiers.items():
            print(f"+{code:<15} {'modifier':<10} {meaning}")
        return
    words = make_task(task, loaded.table).descriptions
    for name, codes in loaded.class_codes(task).items():
        print(f"{name:<16} {words.get(name, '')}  [{', '.join(codes)}]")


@labels.command()
def explain(
    code: Annotated[str, typer.Argument(help="a code, an abbreviation, a class, or words of a description")],
    system: Annotated[str | None, typer.Option(help="search this one only  [default: all]")] = None,
) -> None:
    """Say what a code or class is, what it is part of, and what it is in other systems."""
    from einthoven.labels import explain_code, find_classes, find_codes

    if not code.strip():
        raise EinthovenError("explain what? give a code, an abbreviation, a class, or words of a description")
    found = find_codes(code, system)
    for one in find_classes(code, system):
        print(f"{one.system} task {one.task}, class {one.name}: {one.description}  [{', '.join(one.codes)}]")
    for where, match in found[:_SHOWN]:
        _print_meaning(explain_code(where, match))
    if len(found) > _SHOWN:
        print(f"and {len(found) - _SHOWN} more: add words or --system")


def _print_meaning(found: Meaning) -> None:
    about = found.statement
    print(f"{found.system} {found.code}" + (f" ({about.abbreviation})" if about.abbreviation else ""))
    print(f"  {about.description}")
    for title, codes in (("part of", found.parents), ("includes", found.children)):
        for code, words in codes.items():
            print(f"  {title} {code} {words}")
    for task, name in about.groups.items():
        same = found.equivalents.get(task, ())
        with_others = f", with {', '.join(same[:_SHOWN])}{' ...' if len(same) > _SHOWN else ''}" if same else ""
        print(f"  task {task}: class {name}{with_others}")
    for target, row in found.maps.items():
        print(f"  to {target}: " + (f"{row.target} ({_fit(row.fit, row.note)})" if row else "no counterpart"))
    for source, code, row in found.mapped_from:
        print(f"  from {source}: {code} ({_fit(row.fit, row.note)})")


def _fit(fit: str, note: str) -> str:
    return f"{fit}: {note}" if note else fit


@labels.command()
def convert(
    table: Annotated[Path, typer.Argument(help="CSV with a column of codes, or a column of 0 and 1 per code")],
    dest: Annotated[Path, typer.Argument(help="CSV to write")],
    source: Annotated[str, typer.Option("--from", help="label system of the table")],
    target: Annotated[str, typer.Option("--to", help="label system wanted")],
    column: Annotated[str | None, typer.Option(help="of codes, where it has an unusual name")] = None,
    report: Annotated[Path | None, typer.Option(help="loss report to write  [default: DEST with .losses.csv]")] = None,
    sinus_rhythm: Annotated[
        Path | None,
        typer.Option(
            "--impute-sinus-rhythm",
            help="label table of training records in the target system, to learn sinus rhythm from",
        ),
    ] = None,
) -> None:
    """Rewrite a label table in another system, whole or not at all, and say what was lost."""
    from einthoven import labels as room

    report = report or dest.with_suffix(".losses.csv")
    _check_places(table, dest, report, sinus_rhythm)
    read = room.read_label_table(table, source, column)
    done = room.convert(read.statements, source, target)
    codes = _written_codes(source, target, read.columns)
    statements = done.statements
    if sinus_rhythm is not None:
        statements = _impute(statements, target, sinus_rhythm, dest)
        codes = list(dict.fromkeys([*codes, room.SINUS_RHYTHM]))
    room.write_label_table(dest, read, statements, target, codes)
    write_losses(report, done.report)
    print(done.report)
    print(f"{dest}: {len(read.rows):,} rows; report {report}")


def _check_places(table: Path, dest: Path, report: Path, training: Path | None) -> None:
    read = [path.resolve() for path in (table, training) if path is not None]
    for path in (dest, report):
        if path.resolve() in read:
            raise EinthovenError(f"{path}: is read and would be overwritten; name another file")
    if dest.resolve() == report.resolve():
        raise EinthovenError(f"{dest}: is to be both the table and its report; name another file with --report")


def _written_codes(source: str, target: str, columns: tuple[str, ...]) -> list[str]:
    """Codes that columns of 0 and 1 become."""
    from einthoven.labels import load_map

    rows = [load_map(source, target).lookup(name) for name in columns]
    return list(dict.fromkeys(row.target for row in rows if row is not None))


def _impute(
    statements: list[dict[str, float | None]], target: str, training: Path, dest: Path
) -> list[dict[str, float | None]]:
    from einthoven.files import write_json
    from einthoven.labels import fit_sinus_rhythm, read_label_table

    if target != "snomed":
        raise EinthovenError(f"--impute-sinus-rhythm works on SNOMED CT codes: add --to snomed, not {target}")
    model = fit_sinus_rhythm(read_label_table(training, target).statements)
    imputed = model.impute(statements)
    where = dest.with_suffix(".sinus-rhythm.json")
    write_json(where, {**model.to_dict(), "imputed_rows": list(imputed.rows), "n_unanswered": imputed.n_unanswered})
    print(
        f"sinus rhythm imputed in {len(imputed.rows):,} of {len(statements):,} rows, {imputed.n_unanswered:,} tell "
        f"nothing; learnt from {model.n_records:,} rows, of which it says {model.agreement:.1%} right; "
        f"which rows, and the coefficients: {where}"
    )
    return imputed.statements


def write_losses(path: Path, report: LossReport) -> None:
    """Write a loss report as CSV, one row per code."""
    from einthoven.files import atomic_write

    columns = ["source", "target", "code", "name", "fit", "becomes", "note", "records", "left_empty", "unknown"]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(report.to_rows())
