"""Explain files, or a split of a dataset: pictures, numbers, and the checks that say whether to believe them."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, load_bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import DatasetError, EinthovenError, RecordError, nearest
from einthoven.explain import Explanation, Settings, dataset_background, open_model, open_subject
from einthoven.explain.checks import faithfulness, mean_interval, randomisation, stability
from einthoven.explain.explaining import check_classes, explain_subject
from einthoven.explain.explanation import NOT_A_DEVICE
from einthoven.explain.methods import METHODS, RELATIVE, method_named
from einthoven.explain.population import BEFORE_S, ClassSummary, Population
from einthoven.explain.subject import Model
from einthoven.explain.wording import NORMAL, title_of
from einthoven.files import atomic_write, write_json
from einthoven.formats import read_record
from einthoven.record import Record
from einthoven.workflow.selection import SPLITS, Selected, select_for_bundle

__all__ = ["ExplainedFiles", "ExplainedSplit", "explain_dataset", "explain_files"]

Progress = Callable[[int, int], None]
_UNFIT = re.compile(r"[^\w.-]+")


@dataclass
class ExplainedFiles:
    """Explanations by file, what failed and why, and the folder of pictures and numbers."""

    folder: Path
    done: dict[Path, Explanation] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


def explain_files(
    model: str | Path,
    files: Sequence[Path],
    *,
    method: str = "ig",
    classes: Sequence[str] | None = None,
    out: Path = Path("explanation"),
    background: Path | None = None,
    settings: Settings | None = None,
    save: bool = False,
    stated: Mapping[str, Any] | None = None,
    patient: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExplainedFiles:
    """Explain ECG files: ``FILE-CLASS.png`` for each finding, ``explanation.json``, and arrays where they are wanted.

    A file that cannot be read or is refused does not stop the others.

    Args:
        model: a run, a bundle or a pretrained name.
        files: of any readable format.
        method: one of ``METHODS``.
        classes: to explain; by default what is found in each.
        out: folder to write.
        background: a prepared dataset whose training records are compared with, in place of synthetic ones.
        settings: of the method.
        save: whether to write the attributions themselves, as ``FILE.npz``.
        stated: rate, unit and leads where files do not tell.
        patient: age and sex where files do not tell.
        progress: called with files done and their number.

    Raises:
        EinthovenError: an unknown method or class, or a method that does not fit the network.
    """
    from einthoven.plots.explanation import draw_explanation
    from einthoven.plots.inline import save_figure

    bundle = load_bundle(model)
    method_named(method)
    check_classes(bundle, classes or ())
    network, dataset = open_model(bundle), open_dataset(background) if background else None
    out.mkdir(parents=True, exist_ok=True)
    done, names = ExplainedFiles(out), _names(files)
    for k, file in enumerate(files):
        try:
            record = replace(read_record(file, **(stated or {})), **(patient or {}))
            found = _explain_one(bundle, record, network, method, classes, dataset, settings)
        except RecordError as error:
            done.failed[file] = str(error)
        else:
            done.done[file] = found
            for name in found.classes:
                save_figure(_picture(draw_explanation, found, name), out / f"{names[k]}-{_fit(name)}.png")
            if save:
                _write_arrays(out / f"{names[k]}.npz", found)
        if progress:
            progress(k + 1, len(files))
    listed = [{"file": file.name, **found.to_dict()} for file, found in done.done.items()]
    failed = [{"file": file.name, "error": why} for file, why in done.failed.items()]
    write_json(out / "explanation.json", {"model": bundle.name, "explained": listed, "failed": failed})
    return done


def _explain_one(
    bundle: Bundle,
    record: Record,
    network: Model,
    method: str,
    classes: Sequence[str] | None,
    dataset: Dataset | None,
    settings: Settings | None,
) -> Explanation:
    subject = open_subject(bundle, record, network)
    given = None
    if dataset is not None and METHODS[method].reference == "background":
        how = settings or Settings()
        given = dataset_background(bundle, dataset, subject.x.shape[1], how.n_background, how.seed)
    return explain_subject(subject, method=method, classes=classes, background=given, settings=settings)


def _picture(draw: Callable[..., Any], found: Explanation, name: str) -> Any:
    method = METHODS[found.method]
    title = f"{title_of(found, name)}   [{found.method}]"
    normal, signed = name == NORMAL, method.unit != RELATIVE
    words = ("speaks for a normal ECG", "speaks against it") if normal else (f"speaks for {name}", "speaks against it")
    return draw(
        found.record, found.of(name), title=title, normal=normal, signed=signed, words=words, footer=NOT_A_DEVICE
    )


def _names(files: Sequence[Path]) -> list[str]:
    """A name for the outputs of each file; those that two files share are numbered."""
    stems = [_fit(file.stem) for file in files]
    return [stem if stems.count(stem) == 1 else f"{stem}-{k + 1}" for k, stem in enumerate(stems)]


def _fit(name: str) -> str:
    return _UNFIT.sub("-", name).strip("-") or "ecg"


def _write_arrays(path: Path, found: Explanation) -> None:
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            attribution=found.attribution,
            classes=np.array(found.classes),
            leads=np.array(found.record.leads),
            fs=found.record.fs,
            unit=found.unit,
            signal_mv=found.record.signal,
        )


@dataclass(frozen=True, slots=True)
class ExplainedSplit:
    """What moves a model over a split, the checks, and the folder that holds them."""

    folder: Path
    summaries: dict[str, ClassSummary]
    checks: dict[str, Any]
    failed: dict[str, str]


def explain_dataset(
    model: str | Path,
    dataset_path: Path,
    *,
    split: str = "validation",
    n_records: int = 200,
    method: str = "ig",
    classes: Sequence[str] | None = None,
    out: Path = Path("explanation"),
    settings: Settings | None = None,
    n_randomised: int = 10,
    repeats: int = 8,
    progress: Progress | None = None,
) -> ExplainedSplit:
    """Explain what a model finds in records of a split, and check the method on them.

    Writes ``population.json``, ``leads.csv``, ``waves.csv``, ``checks.csv``, ``stability.csv``, ``leads.png`` and
    ``beat-CLASS.png``.

    Args:
        model: a run, a bundle or a pretrained name.
        dataset_path: prepared in the model's form.
        split: train, validation or test.
        n_records: how many, drawn by seed.
        method: one of ``METHODS``.
        classes: to explain in every record; by default what is found in each.
        out: folder to write.
        settings: of the method; its seed draws the records too.
        n_randomised: findings on which weights are randomised.
        repeats: of the stability table, on the first record of each class; 0 leaves it out.
        progress: called with records done and their number.

    Raises:
        EinthovenError: an unknown method, class or split.
        DatasetError: no records, or none that the model accepts.
    """
    bundle = load_bundle(model)
    settings = settings or Settings(steps=method_named(method).steps)
    check_classes(bundle, classes or ())
    selected, rows = _rows(bundle, dataset_path, split, n_records, settings.seed)
    network, tally = open_model(bundle), _Tally(bundle, n_randomised, repeats, settings)
    for k, row in enumerate(rows.tolist()):
        record = _record(selected.dataset, row)
        try:
            subject = open_subject(bundle, record, network)
            found = explain_subject(subject, method=method, classes=classes, settings=settings)
        except RecordError as error:
            tally.failed[record.record_id] = str(error)
        else:
            tally.count(subject, found)
        if progress:
            progress(k + 1, len(rows))
    if not tally.population.summaries():
        raise DatasetError(
            f"{dataset_path}: none of {len(rows)} records was explained: {next(iter(tally.failed.values()))}"
        )
    about = {
        "model": bundle.name,
        "dataset": selected.dataset.name,
        "split": split,
        "n_records": len(rows) - len(tally.failed),
        "method": method,
        "method_in_words": METHODS[method].words,
        "unit": METHODS[method].unit,
        "settings": {"steps": settings.steps, "n_background": settings.n_background, "seed": settings.seed},
        "interval": "95 %, percentile bootstrap of records",
    }
    done = ExplainedSplit(out, tally.population.summaries(), tally.checks(), tally.failed)
    _write_split(done, tally, about)
    return done


def _rows(bundle: Bundle, path: Path, split: str, n_records: int, seed: int) -> tuple[Selected, NDArray[np.int64]]:
    if split not in SPLITS:
        raise EinthovenError(f"unknown split {split!r}{nearest(split, SPLITS)}; splits are {', '.join(SPLITS)}")
    selected = select_for_bundle(bundle, open_dataset(path))
    rows = selected.rows[split]
    if not len(rows):
        raise DatasetError(f"{path}: no labelled record in the {split} split")
    drawn = np.random.default_rng(seed).permutation(rows)[:n_records]
    return selected, np.sort(drawn)


def _record(dataset: Dataset, row: int) -> Record:
    table = dataset.records
    sex = table.sex[row]
    return Record(
        signal=dataset.signal(row),
        fs=dataset.spec.fs,
        leads=dataset.spec.leads,
        record_id=table.record_id[row],
        age=table.age[row],
        sex="female" if sex == "female" else "male" if sex == "male" else None,
        unit=dataset.spec.unit,
    )


class _Tally:
    """Counts explanations and runs the checks on them."""

    def __init__(self, bundle: Bundle, n_randomised: int, repeats: int, settings: Settings) -> None:
        self.population = Population(bundle.spec.leads, bundle.spec.fs)
        self.failed: dict[str, str] = {}
        self.stability: dict[str, list[dict[str, Any]]] = {}
        self.varied = ""
        self._settings, self._left, self._repeats = settings, n_randomised, repeats
        self._gaps: list[float] = []
        self._gains: list[dict[str, float]] = []
        self._correlations: list[dict[str, float]] = []

    def count(self, subject: Any, found: Explanation) -> None:
        """Add one record's explanation."""
        self.population.add(found)
        for k, name in enumerate(found.classes):
            self._gaps.append(float(found.gap[k]))
            self._gains.append(faithfulness(subject, found.of(name), name, self._settings.seed).gains)
            if self._left:
                self._left -= 1
                self._correlations.append(randomisation(subject, found.method, name, self._settings))
            if self._repeats and name not in self.stability and METHODS[found.method].by_lead:
                repeated = stability(subject, found.method, name, self._repeats, self._settings)
                self.stability[name], self.varied = repeated.rows(), repeated.varied

    def checks(self) -> dict[str, Any]:
        """Every check with its figures and what they mean."""
        gaps = np.abs(np.array(self._gaps))
        gaps = gaps[np.isfinite(gaps)]
        return {
            "completeness": {
                "n": len(gaps),
                "median_gap": float(np.median(gaps)) if len(gaps) else None,
                "largest_gap": float(gaps.max()) if len(gaps) else None,
            },
            "faithfulness": self._intervals(self._gains),
            "randomisation": self._intervals(self._correlations),
        }

    def _intervals(self, rows: Iterable[dict[str, float]]) -> dict[str, Any]:
        columns: dict[str, list[float]] = {}
        for row in rows:
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
        return {name: mean_interval(values, self._settings.seed) for name, values in columns.items()}


def _write_split(done: ExplainedSplit, tally: _Tally, about: Mapping[str, Any]) -> None:
    from einthoven.plots.explanation import beat_map_figure, lead_bars_figure
    from einthoven.plots.inline import save_figure

    folder, summaries = done.folder, done.summaries
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(
        folder / "leads.csv", [{"class": n, **row} for n, s in summaries.items() for row in s.to_dict()["leads"]]
    )
    _write_table(
        folder / "waves.csv",
        [{"class": n, "wave": wave, **row} for n, s in summaries.items() for wave, row in s.waves.items()],
    )
    checks = [("faithfulness", done.checks["faithfulness"]), ("randomisation", done.checks["randomisation"])]
    _write_table(
        folder / "checks.csv", [{"check": check, "of": of, **row} for check, rows in checks for of, row in rows.items()]
    )
    if tally.stability:
        _write_table(
            folder / "stability.csv", [{"class": n, **row} for n, rows in tally.stability.items() for row in rows]
        )
    unit = "log-odds" if about["unit"] != RELATIVE else "relative"
    title = f"{about['model']}, {about['split']} split of {about['dataset']}, {about['method']}"
    if METHODS[about["method"]].by_lead:
        bars = lead_bars_figure(
            next(iter(summaries.values())).leads,
            {f"{n} ({s.n_records:,} records)": s.mean_absolute.tolist() for n, s in summaries.items()},
            {f"{n} ({s.n_records:,} records)": s.sem.tolist() for n, s in summaries.items()},
            label=f"mean absolute attribution ({unit})",
            title=title,
        )
        save_figure(bars, folder / "leads.png")
    for name, s in summaries.items():
        if s.beat is not None and s.signal is not None:
            heading = f"{name}: mean over {s.n_beats:,} records in which it is found"
            label = f"{unit} per sample"
            picture = beat_map_figure(
                s.beat, s.signal, s.leads, s.fs, BEFORE_S, title=heading, label=label, normal=name == NORMAL
            )
            save_figure(picture, folder / f"beat-{_fit(name)}.png")
    report = {
        **about,
        "classes": [s.to_dict() for s in summaries.values()],
        "checks": done.checks,
        "stability": {"varied": tally.varied, "classes": tally.stability},
        "failed": done.failed,
        "note": NOT_A_DEVICE,
    }
    write_json(folder / "population.json", json.loads(json.dumps(report)))


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
