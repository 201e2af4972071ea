"""``einthoven``: one subcommand per verb, loaded when it is used.

Bad input ends with one sentence on standard error and exit code 2; Ctrl-C says how to go on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from einthoven.cli.beats import beats
from einthoven.cli.bench import bench
from einthoven.cli.describe import describe
from einthoven.cli.draw import draw
from einthoven.cli.ensemble import ensemble
from einthoven.cli.evaluate import evaluate
from einthoven.cli.explain import explain
from einthoven.cli.explore import explore
from einthoven.cli.export import export
from einthoven.cli.interrupts import InterruptedByUserError, continuable
from einthoven.cli.labels import labels
from einthoven.cli.machines import Ray
from einthoven.cli.measure import measure
from einthoven.cli.merge import merge
from einthoven.cli.runs import runs
from einthoven.cli.serve import serve
from einthoven.cli.sources import sources
from einthoven.cli.sweep import sweep
from einthoven.cli.train import train
from einthoven.errors import EinthovenError, MissingExtraError
from einthoven.threads import be_patient

__all__ = ["app", "run"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # brackets are brackets
    help="Any ECG file in; a trained, honestly judged and deployable classifier out. Not a medical device.",
)


app.add_typer(labels, name="labels")

# Optional packages, and the extra that brings each.
_EXTRA_OF = dict.fromkeys(("torch", "tensorboard", "onnx", "onnxscript"), "train")
_EXTRA_OF |= dict.fromkeys(("optuna", "sqlalchemy", "cmaes"), "sweep")
_EXTRA_OF |= {"torch_pruning": "prune", "captum": "explain"}
_EXTRA_OF |= dict.fromkeys(("matplotlib", "jinja2", "markupsafe"), "report")
_EXTRA_OF |= dict.fromkeys(("fastapi", "uvicorn", "prometheus_client", "multipart"), "serve")
_EXTRA_OF["streamlit"] = "explore"
_EXTRA_OF |= {"ray": "ray"}


def run() -> None:
    """Entry point of the console script."""
    be_patient()
    try:
        with _only(*sys.argv[1:2]):
            app()
    except EinthovenError as error:
        _fail(str(error), 130 if isinstance(error, InterruptedByUserError) else 2)
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in _EXTRA_OF:
            raise
        _fail(str(MissingExtraError("this", _EXTRA_OF[package])), 2)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error), 2)


@contextmanager
def _only(called: str = "") -> Iterator[None]:
    """Hide the commands that are not called: making the options of all of them takes longer than a prediction."""
    every = list(app.registered_commands)
    found = [each for each in every if called == (each.name or getattr(each.callback, "__name__", ""))]
    app.registered_commands[:] = found or every
    try:
        yield
    finally:
        app.registered_commands[:] = every


def _fail(message: str, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("einthoven"))
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def download(
    name: Annotated[str | None, typer.Argument(help="a published corpus; see --list")] = None,
    dest: Annotated[Path | None, typer.Argument(help="folder to fill  [default: corpora/NAME]")] = None,
    part: Annotated[str, typer.Option(help="a part of it, as 100hz of ptb-xl; see --list")] = "all",
    only: Annotated[
        str | None, typer.Option(help="files whose path matches this glob, as 'training/georgia/*'")
    ] = None,
    mirror: Annotated[
        str | None, typer.Option(help="URL of a folder with the same layout, instead of the source")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="files at a time")] = 8,
    verify: Annotated[bool, typer.Option(help="check again every file that was verified before")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="print what can be downloaded")] = False,
) -> None:
    """Fetch a published corpus, every file verified by its checksum; an interrupted download is continued."""
    from einthoven.cli.download import download_corpus, print_sources

    if list_all:
        return print_sources()
    with continuable():
        download_corpus(name, dest, part, only, mirror, workers, verify)


@app.command()
def prepare(
    corpus: Annotated[str, typer.Argument(help="its kind; see 'einthoven list corpora'")],
    source: Annotated[Path, typer.Argument(help="the folder of the corpus as published, or your own")],
    dest: Annotated[str | None, typer.Argument(help="dataset folder or URL  [default: datasets/CORPUS-FS]")] = None,
    fs: Annotated[float | None, typer.Option(help="sampling rate of the dataset in Hz  [default: the corpus']")] = None,
    band: Annotated[str | None, typer.Option(help="zero-phase band-pass in Hz, as 0.5-40")] = None,
    notch: Annotated[float | None, typer.Option(help="power-line frequency to remove, in Hz")] = None,
    leads: Annotated[str | None, typer.Option(help="leads to keep, as I,II,V1  [default: the corpus']")] = None,
    options: Annotated[
        list[str] | None, typer.Option("--set", help="an option of the corpus, as key=value; repeatable")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--labels", help="convert the labels to this system; see 'einthoven labels list'")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes  [default: all cores]")] = None,
    overwrite: Annotated[bool, typer.Option(help="replace a dataset made otherwise")] = False,
    skip_unreadable: Annotated[
        bool, typer.Option(help="leave out records that cannot be read, and list them in skipped.csv")
    ] = False,
    append: Annotated[
        bool, typer.Option("--append", help="add the records that are new to the dataset that is there")
    ] = False,
    ray: Ray = None,
) -> None:
    """Turn a corpus, or a folder of your own, into a dataset folder; an interrupted run is continued."""
    from einthoven.cli.prepare import prepare_corpus

    form = {"fs": fs, "leads": leads, "band": band, "notch": notch}
    with continuable():
        prepare_corpus(
            corpus, source, dest, form, options or [], system, workers, overwrite, skip_unreadable, ray, append
        )


@app.command()
def split(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset")],
    more_csv: Annotated[list[Path] | None, typer.Argument(help="further tables of --from-csv", metavar="CSV")] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="kfold, source-kfold, shuffle, nested, leave-one-source-out, inter-patient, official or random-beats"
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="of the split  [default: the method]")] = None,
    task: Annotated[
        str | None, typer.Option(help="whose classes are kept in proportion  [default: superdiagnostic or all]")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="how many, of kfold and source-kfold  [default: 5]")] = None,
    shares: Annotated[
        str | None, typer.Option(help="of the parts, as 0.8,0.1,0.1; of nested the sizes, as 1/2,1/4,1/8")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of what is drawn  [default: 0]")] = None,
    ungrouped: Annotated[
        bool, typer.Option("--ungrouped", help="take each record of unknown patient for a patient of its own")
    ] = False,
    validation: Annotated[
        str | None, typer.Option(help="of leave-one-source-out: next, each, or a source  [default: next]")
    ] = None,
    of: Annotated[
        str | None, typer.Option(help="the split that nested divides further  [default: the corpus']")
    ] = None,
    from_csv: Annotated[
        Path | None, typer.Option(help="make it from tables of earlier toolkits: train.csv validation.csv test.csv")
    ] = None,
    recipes: Annotated[Path | None, typer.Option(help="folder to write a recipe per use of the split into")] = None,
    like: Annotated[Path | None, typer.Option(help="a recipe whose model and training the recipes have")] = None,
    csv: Annotated[Path | None, typer.Option(help="folder to write tables for earlier toolkits into")] = None,
    csv_suffix: Annotated[str, typer.Option(help="what follows the record's name in the tables, as .mat")] = "",
    overwrite: Annotated[bool, typer.Option(help="replace a split of that name")] = False,
) -> None:
    """Divide a dataset into folds, patients whole and every class in proportion, or by source or publication."""
    from einthoven.cli.split import split_dataset
    from einthoven.errors import EinthovenError

    if more_csv and not from_csv:
        raise EinthovenError(f"what is {more_csv[0]}? tables are imported with --from-csv")
    options = {"folds": folds, "shares": shares, "seed": seed, "validation": validation, "ungrouped": ungrouped or None}
    choices = {"name": name, "task": task, "of": of, "overwrite": overwrite}
    outputs = {"recipes": recipes, "like": like, "csv": csv, "suffix": csv_suffix}
    tables = [from_csv, *(more_csv or [])] if from_csv else []
    split_dataset(dataset, method, tables, choices, options, outputs)


@app.command()
def audit(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset")],
    split: Annotated[str | None, typer.Option(help="a split of its folder  [default: the corpus' own folds]")] = None,
    task: Annotated[
        str | None, typer.Option(help="whose prevalence is compared  [default: superdiagnostic or all]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Prove that no patient and no duplicate signal crosses folds; exit code 2 where one does."""
    from einthoven.cli.split import audit_folds

    audit_folds(dataset, split, task, as_json)


@app.command()
def samples(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset")],
    dest: Annotated[Path, typer.Argument(help="folder to write CSV files and index.csv into")],
    per_class: Annotated[int, typer.Option(min=1, help="records per class")] = 3,
    task: Annotated[str | None, typer.Option(help="whose classes are shown  [default: superdiagnostic or all]")] = None,
    folds: Annotated[str | None, typer.Option(help="choose from these folds only, as 9,10")] = None,
    split: Annotated[str | None, typer.Option(help="whose folds  [default: the corpus' own]")] = None,
    overwrite: Annotated[bool, typer.Option(help="write into a folder that is not empty")] = False,
) -> None:
    """Export representative records of each class as CSV files, in mV with a time column."""
    from einthoven.cli.split import export_samples

    export_samples(dataset, dest, per_class, task, folds, split, overwrite)


app.command()(merge)
app.command()(measure)
app.command()(describe)
app.command()(draw)
app.command()(train)
app.command()(runs)
app.command()(sweep)
app.command()(evaluate)
app.command()(ensemble)
app.command()(explain)
app.command()(explore)
app.command()(export)
app.command()(serve)
app.command()(sources)
app.command()(beats)
app.command()(bench)


@app.command()
def compare(
    models: Annotated[list[str], typer.Argument(help="two or more run folders or predictions files (Parquet)")],
    split: Annotated[str, typer.Option(help="whose predictions of a run: train, validation or test")] = "validation",
    classes: Annotated[list[str] | None, typer.Option("--class", help="compare this class only; repeatable")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say which model is better on the same records, with interval, or that the data cannot tell."""
    from einthoven.cli import verbs

    verbs.compare_models(models, split, classes, as_json)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="a bundle folder, a run folder, or a pretrained name")],
    files: Annotated[
        list[Path], typer.Argument(help="ECG files of any readable format; with --out a prepared dataset")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV, one row per file and class")] = False,
    fs: Annotated[float | None, typer.Option(help="sampling rate in Hz, where a file does not tell")] = None,
    unit: Annotated[str | None, typer.Option(help="mV or uV, where a file does not tell")] = None,
    leads: Annotated[str | None, typer.Option(help="lead names in the file's order, as I,II,V1")] = None,
    age: Annotated[float | None, typer.Option(min=0, max=130, help="years, for models that use it")] = None,
    sex: Annotated[str | None, typer.Option(help="female or male, for models that use it")] = None,
    backend: Annotated[
        str, typer.Option(help="what computes: onnx, torch, or an artefact of the bundle, as int8")
    ] = "auto",
    out: Annotated[
        Path | None, typer.Option(help="folder that gets the scores of every record of a dataset, as Parquet parts")
    ] = None,
    folds: Annotated[str | None, typer.Option(help="of a dataset only these folds, as 9,10")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes for a dataset  [default: all cores]")] = None,
    ray: Ray = None,
) -> None:
    """Print the findings of a model for ECG files; with --out, write its scores of a whole dataset."""
    from einthoven.cli import verbs

    stated = {"fs": fs, "unit": unit, "leads": leads}
    of_files = {**stated, "age": age, "sex": sex, "json": as_json, "csv": as_csv}
    of_dataset: dict[str, Any] = {"out": out, "folds": folds, "workers": workers, "ray": ray}
    if any(value is not None for value in of_dataset.values()):
        from einthoven.cli.predict import predict_dataset

        return predict_dataset(model, files, backend, of_files, **of_dataset)
    verbs.predict_files(model, files, as_json, as_csv, stated, {"age": age, "sex": sex}, backend)


@app.command()
def synthesize(
    dest: Annotated[Path, typer.Argument(help="folder to write, in PTB-XL's layout")],
    n: Annotated[int, typer.Option("--records", "-n", min=1, help="how many records")] = 1500,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    fs: Annotated[str, typer.Option(help="rates to write: 100, 500 or 100,500")] = "100",
) -> None:
    """Write a corpus of synthetic 12-lead ECGs with labelled pathologies, patients and folds."""
    from einthoven.cli import verbs

    verbs.synthesize_corpus(dest, n, seed, fs)


@app.command(name="list")
def list_parts(
    what: Annotated[str, typer.Argument(help="models, pretrained, corpora, formats, tasks, augmentations or exports")],
) -> None:
    """List what there is, by kind."""
    from einthoven.cli import verbs

    verbs.list_parts(what)


@app.command()
def models(
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="the trained models that come with the package")
    ] = False,
) -> None:
    """List the networks that can be trained, or the models that are trained already."""
    from einthoven.cli import verbs

    verbs.list_parts("pretrained" if pretrained else "models")
