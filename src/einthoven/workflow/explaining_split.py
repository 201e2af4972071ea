"""Explain a split of a dataset: what moves a model over many records, and the checks that say whether to believe it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from einthoven.bundle import Bundle, load_bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import DatasetError, EinthovenError, RecordError, nearest
from einthoven.explain.catalogue import METHODS, Settings, check_classes, method_named
from einthoven.explain.explanation import NOT_A_DEVICE, Explanation
from einthoven.files import write_json
from einthoven.workflow.explaining_outputs import check_folder, staged, write_summary_pictures, write_table
from einthoven.workflow.selection import SPLITS, Selected, select_for_bundle

if TYPE_CHECKING:
    from einthoven.explain.population import ClassSummary
    from einthoven.explain.subject import Subject
    from einthoven.explain.verdicts import Verdict

__all__ = ["ExplainedSplit", "explain_dataset"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExplainedSplit:
    """What moves a model over a split, the checks with their verdicts, and the folder that holds them."""

    folder: Path
    summaries: dict[str, ClassSummary]
    checks: dict[str, Any]
    verdicts: list[Verdict]
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

    Writes ``explain.html``, ``population.json``, ``leads.csv``, ``waves.csv``, ``checks.csv``, ``stability.csv``,
    ``leads.png`` and ``beat-CLASS.png``, all of them or none.

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
        EinthovenError: an unknown method, class or split, or a folder that cannot be written.
        DatasetError: no records, or none that the model accepts.
    """
    settings = settings or Settings(steps=method_named(method).steps)
    check_folder(out)
    bundle = load_bundle(model)
    check_classes(bundle, classes or ())
    selected, rows = _rows(bundle, dataset_path, split, n_records, settings.seed)
    tally = _Tally(bundle, n_randomised, repeats, settings)
    _explain(bundle, selected.dataset, rows, method, classes, tally, progress)
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
    done = tally.result(out, method)
    _write(done, {"varied": tally.varied, "classes": tally.stability}, about)
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


def _explain(
    bundle: Bundle,
    dataset: Dataset,
    rows: NDArray[np.int64],
    method: str,
    classes: Sequence[str] | None,
    tally: _Tally,
    progress: Progress | None,
) -> None:
    """Explain rows one by one into the tally."""
    from einthoven.explain import open_model, open_subject
    from einthoven.explain.explaining import explain_subject

    network = open_model(bundle)
    for k, row in enumerate(rows.tolist()):
        if progress:
            progress(k, len(rows))
        record = dataset.record(row)
        try:
            subject = open_subject(bundle, record, network)
            found = explain_subject(subject, method=method, classes=classes, settings=tally.settings)
        except RecordError as error:
            tally.failed[record.record_id] = str(error)
        else:
            tally.count(subject, found)
    if progress:
        progress(len(rows), len(rows))


class _Tally:
    """Counts explanations and runs the checks on them."""

    def __init__(self, bundle: Bundle, n_randomised: int, repeats: int, settings: Settings) -> None:
        from einthoven.explain.population import Population

        self.population = Population(bundle.spec.leads, bundle.spec.fs)
        self.failed: dict[str, str] = {}
        self.stability: dict[str, list[dict[str, Any]]] = {}
        self.varied = ""
        self.settings, self._left, self._repeats = settings, n_randomised, repeats
        self._gaps: list[float] = []
        self._gains: list[dict[str, float]] = []
        self._correlations: list[dict[str, float]] = []

    def count(self, subject: Subject, found: Explanation) -> None:
        """Add one record's explanation."""
        from einthoven.explain.checks import faithfulness, randomisation, stability

        self.population.add(found)
        for k, name in enumerate(found.classes):
            self._gaps.append(float(found.gap[k]))
            self._gains.append(faithfulness(subject, found.of(name), name, self.settings.seed).gains)
            if self._left:
                self._left -= 1
                self._correlations.append(randomisation(subject, found.method, name, self.settings))
            if self._repeats and name not in self.stability and METHODS[found.method].by_lead:
                repeated = stability(subject, found.method, name, self._repeats, self.settings)
                self.stability[name], self.varied = repeated.rows(), repeated.varied

    def result(self, folder: Path, method: str) -> ExplainedSplit:
        """Every check with its figures and what they mean."""
        from einthoven.explain.verdicts import split_verdicts

        gaps = np.abs(np.array(self._gaps))
        gaps = gaps[np.isfinite(gaps)]
        checks = {
            "completeness": {
                "n": len(gaps),
                "median_gap": float(np.median(gaps)) if len(gaps) else None,
                "largest_gap": float(gaps.max()) if len(gaps) else None,
            },
            "faithfulness": self._intervals(self._gains),
            "randomisation": self._intervals(self._correlations),
        }
        summaries = self.population.summaries()
        verdicts = split_verdicts(checks, summaries, self.stability, method)
        return ExplainedSplit(folder, summaries, checks, verdicts, self.failed)

    def _intervals(self, rows: Iterable[dict[str, float]]) -> dict[str, Any]:
        from einthoven.explain.checks import mean_interval

        columns: dict[str, list[float]] = {}
        for row in rows:
            for name, value in row.items():
                columns.setdefault(name, []).append(value)
        return {name: mean_interval(values, self.settings.seed) for name, values in columns.items()}


def _write(done: ExplainedSplit, stability: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    from einthoven.explain.page_split import split_figures, write_split_page

    summaries, figures = done.summaries, split_figures(done.summaries, about)
    checks = [(name, done.checks[name]) for name in ("faithfulness", "randomisation")]
    tables = {
        "leads": [{"class": name, **row} for name, s in summaries.items() for row in s.to_dict()["leads"]],
        "waves": [{"class": n, "wave": wave, **row} for n, s in summaries.items() for wave, row in s.waves.items()],
        "checks": [{"check": check, "of": of, **row} for check, rows in checks for of, row in rows.items()],
        "stability": [{"class": name, **row} for name, rows in stability["classes"].items() for row in rows],
    }
    report = {
        **about,
        "classes": [summary.to_dict() for summary in summaries.values()],
        "checks": done.checks,
        "verdicts": [verdict.to_dict() for verdict in done.verdicts],
        "stability": stability,
        "failed": done.failed,
        "note": NOT_A_DEVICE,
    }
    with staged(done.folder) as folder:
        for name, rows in tables.items():
            write_table(folder / f"{name}.csv", rows)
        write_summary_pictures(folder, figures)
        write_json(folder / "population.json", report)
        write_split_page(
            folder / "explain.html", about, summaries, done.verdicts, stability, done.failed, figures
        )  # fmt: skip
