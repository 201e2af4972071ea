"""``einthoven``: one subcommand per verb, loaded when it is used.

Bad input ends with one sentence on standard error and exit code 2; Ctrl-C says how to go on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from einthoven.cli.evaluate import evaluate
from einthoven.cli.sources import sources
from einthoven.errors import EinthovenError, MissingExtraError
from einthoven.threads import be_patient

__all__ = ["app", "run"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Any ECG file in; a trained, honestly judged and deployable classifier out. Not a medical device.",
)


# Optional packages, and the extra that brings each.
_EXTRA_OF = dict.fromkeys(("torch", "tensorboard", "onnx", "onnxscript"), "train")
_EXTRA_OF |= dict.fromkeys(("matplotlib", "jinja2", "markupsafe"), "report")


def run() -> None:
    """Entry point of the console script."""
    be_patient()
    try:
        app()
    except EinthovenError as error:
        _fail(str(error), 130 if isinstance(error, _InterruptedByUserError) else 2)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA_OF:
            raise
        _fail(str(MissingExtraError("this", _EXTRA_OF[error.name])), 2)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error), 2)


class _InterruptedByUserError(EinthovenError):
    """Ctrl-C in a command that can be continued; typer would end it without a word."""


@contextmanager
def _continuable() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise _InterruptedByUserError("interrupted; the same command continues where it stopped") from None


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
    with _continuable():
        download_corpus(name, dest, part, only, mirror, workers, verify)


@app.command()
def prepare(
    corpus: Annotated[str, typer.Argument(help="its kind; see 'einthoven list corpora'")],
    source: Annotated[Path, typer.Argument(help="the folder of the corpus as published, or your own")],
    dest: Annotated[Path | None, typer.Argument(help="dataset folder  [default: datasets/CORPUS-FS]")] = None,
    fs: Annotated[float | None, typer.Option(help="sampling rate of the dataset in Hz  [default: the corpus']")] = None,
    band: Annotated[str | None, typer.Option(help="zero-phase band-pass in Hz, as 0.5-40")] = None,
    notch: Annotated[float | None, typer.Option(help="power-line frequency to remove, in Hz")] = None,
    leads: Annotated[str | None, typer.Option(help="leads to keep, as I,II,V1  [default: the corpus']")] = None,
    options: Annotated[
        list[str] | None, typer.Option("--set", help="an option of the corpus, as key=value; repeatable")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes  [default: all cores]")] = None,
    overwrite: Annotated[bool, typer.Option(help="replace a dataset made otherwise")] = False,
    skip_unreadable: Annotated[
        bool, typer.Option(help="leave out records that cannot be read, and list them in skipped.csv")
    ] = False,
) -> None:
    """Turn a corpus, or a folder of your own, into a dataset folder; an interrupted run is continued."""
    from einthoven.cli.prepare import prepare_corpus

    form = {"fs": fs, "leads": leads, "band": band, "notch": notch}
    with _continuable():
        prepare_corpus(corpus, source, dest, form, options or [], workers, overwrite, skip_unreadable)


@app.command()
def train(
    recipe: Annotated[Path, typer.Argument(help="a YAML recipe")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key.sub=value, for example training.epochs=5")] = None,
    runs: Annotated[Path, typer.Option(help="folder of the run folders")] = Path("runs"),
    fresh: Annotated[bool, typer.Option(help="begin anew instead of continuing an interrupted run")] = False,
) -> None:
    """Train a recipe, judge it on its validation folds, and write bundle and report."""
    from einthoven.cli import verbs

    with _continuable():
        verbs.train_recipe(recipe, overrides or [], runs, fresh)


app.command()(evaluate)
app.command()(sources)


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
    files: Annotated[list[Path], typer.Argument(help="ECG files of any readable format")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV, one row per file and class")] = False,
    fs: Annotated[float | None, typer.Option(help="sampling rate in Hz, where a file does not tell")] = None,
    unit: Annotated[str | None, typer.Option(help="mV or uV, where a file does not tell")] = None,
    leads: Annotated[str | None, typer.Option(help="lead names in the file's order, as I,II,V1")] = None,
) -> None:
    """Print the findings of a model for ECG files, with probability and threshold."""
    from einthoven.cli import verbs

    verbs.predict_files(model, files, as_json, as_csv, fs, unit, leads)


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
    what: Annotated[str, typer.Argument(help="models, pretrained, corpora, formats, tasks or augmentations")],
) -> None:
    """List what there is, by kind."""
    from einthoven.cli import verbs

    verbs.list_parts(what)
