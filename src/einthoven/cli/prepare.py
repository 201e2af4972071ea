"""What ``einthoven prepare`` does: the user's words become a corpus and a specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from einthoven.cli.machines import cluster_of, fan_out_of
from einthoven.cli.progress import bar
from einthoven.errors import EinthovenError

if TYPE_CHECKING:
    from einthoven.dataset import Dataset

__all__ = ["prepare_corpus"]


def prepare_corpus(
    name: str,
    source: Path,
    dest: str | Path | None,
    form: Mapping[str, Any],
    options: Sequence[str],
    system: str | None,
    workers: int | None,
    overwrite: bool,
    skip_unreadable: bool,
    ray: str | None = None,
    append: bool = False,
) -> None:
    """Prepare a dataset, or add to one, and say what was found."""
    from einthoven.cli.labels import write_losses
    from einthoven.corpora import open_corpus
    from einthoven.corpora.relabel import relabel
    from einthoven.dataset.destination import Destination
    from einthoven.preparation import prepare

    changes = _changes(form)
    corpus = open_corpus(name, source, wanted_fs=form["fs"], **_options(options))
    losses = None
    if system is not None:
        corpus, losses = relabel(corpus, system)
        print(losses)
    said = losses.summary() if losses is not None else None
    for note in corpus.notes:
        if note != said:
            print(f"note: {note}")
    spec = replace(corpus.spec, **changes)
    dest = dest or Path("datasets") / f"{name}-{spec.fs:g}"
    place = Destination(dest)
    before = len(place.open()) if append else 0
    with (
        cluster_of(ray, shared=[place.path.absolute().parent], needed=[source]) as cluster,
        bar("preparing") as progress,
    ):
        dataset = prepare(
            corpus,
            dest,
            spec,
            workers=workers,
            overwrite=overwrite,
            append=append,
            skip_unreadable=skip_unreadable,
            progress=progress,
            fan_out=fan_out_of(cluster),
        )
    if losses is not None and dataset.url is None:
        write_losses(dataset.path / "label_losses.csv", losses)
    _tell(dataset, len(corpus.entries), before)


def _tell(dataset: Dataset, n_listed: int, before: int) -> None:
    """Say what the dataset has now, and what became of the records that were listed."""
    patients = len({p for p in dataset.records.patient_id if p is not None})
    n_leads = len(dataset.spec.leads)
    leads = "1 lead" if n_leads == 1 else f"{n_leads} leads"
    of_whom = f" of {patients:,} patients" if patients else " (patients unknown)"
    print(f"{dataset}: {len(dataset):,} records{of_whom}, {leads} at {dataset.spec.fs:g} Hz")
    added = len(dataset) - before
    if before:
        print(f"{added:,} records were added to {before:,}; {n_listed - added:,} were there already or unreadable")
    elif lost := n_listed - added:
        print(f"{lost:,} records could not be read and were left out: see {dataset.path / 'skipped.csv'}")


def _options(pairs: Sequence[str]) -> dict[str, str]:
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise EinthovenError(f"--set {pair!r}: write key=value, for example --set table=labels.csv")
        options[key] = value
    return options


def _changes(form: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if form["fs"] is not None:
        changes["fs"] = form["fs"]
    if form["leads"] is not None:
        changes["leads"] = tuple(form["leads"].split(","))
    if form["band"] is not None:
        changes["band_hz"] = _band(form["band"])
    if form["notch"] is not None:
        changes["notch_hz"] = form["notch"]
    return changes


def _band(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        raise EinthovenError(f"--band {text!r}: write low-high in Hz, for example 0.5-40") from None
    return low, high
