"""Search the best values of a recipe's keys: trials side by side, resumable, judged on the validation folds only."""

from __future__ import annotations

import fcntl
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import yaml

from einthoven.dataset import open_dataset
from einthoven.errors import EinthovenError, MissingExtraError, RecipeError
from einthoven.evaluation.tables import write_csv
from einthoven.files import atomic_write
from einthoven.processes import FanOut
from einthoven.training.recipe import Training
from einthoven.training.runs import CRITERIA, changes
from einthoven.training.sweep_schema import SweepPlan, load_sweep
from einthoven.workflow.selection import select_for
from einthoven.workflow.train import check_trainable

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

__all__ = ["Found", "sweep"]

_FEWEST = 4  # completed trials from which an importance is told
_POLL_S = 0.5
Row = dict[str, Any]
Announce = Callable[[str], None]


class Elsewhere(Protocol):
    """Other machines, as ``einthoven.cluster`` gives them."""

    def divide(self, needs: Training) -> FanOut:
        """How trainings are divided among them, each with the cores and the GPU that it needs."""

    def host(self, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """Make a function in a process of this machine, and return what calls it from any."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a sweep found.

    Attributes:
        folder: with ``study.db``, ``trials.csv``, ``importance.csv``, ``best.yaml``, ``search.png`` and ``trials/``.
        trials: rows of ``trials.csv``.
        best: the row of the best trial.
        importance: share of the variance of the metric by parameter (fANOVA, Hutter et al. 2014), largest first; empty
            where too few trials tell.
        metric: that was searched.
    """

    folder: Path
    trials: list[Row]
    best: Row
    importance: dict[str, float]
    metric: str

    @property
    def recipe(self) -> Path:
        """The best recipe."""
        return self.folder / "best.yaml"


def sweep(
    source: Path,
    overrides: list[str] | tuple[str, ...] = (),
    runs: Path = Path("runs"),
    *,
    workers: int | None = None,
    elsewhere: Elsewhere | None = None,
    announce: Announce = lambda _: None,
) -> Found:
    """Search, or go on with a search that was interrupted or shall have more trials.

    Args:
        source: a recipe with a section ``sweep``.
        overrides: ``key.sub=value``, for example ``sweep.trials=50``.
        runs: the sweep's folder ``<name>-sweep`` lies there.
        workers: trials at a time, each a process with its share of the cores; by default one, elsewhere as many as
            there is room for.
        elsewhere: where trials are trained instead; the study stays here.
        announce: told in a sentence what happens.

    Raises:
        RecipeError: see ``load_sweep``; or the folder holds another search.
        DatasetError: see ``train``.
        EinthovenError: another process searches, a worker died, or no trial was completed.
    """
    try:
        from einthoven.workflow import trials
    except ModuleNotFoundError as error:
        if error.name != "optuna":
            raise
        raise MissingExtraError("a sweep", "sweep") from None
    plan = load_sweep(source, overrides)
    dataset = open_dataset(plan.base.data.dataset)
    check_trainable(select_for(plan.base, dataset), plan.base)
    folder = runs / f"{plan.base.name}-sweep"
    with _claimed(folder):
        stored = _store(plan, folder)
        dataset.verify()
        study, wanted = trials.open_study(plan, folder), trials.count_wanted(plan)
        again, done = trials.recover(study, plan), _done(study)
        announce(
            f"{folder}: {wanted} trials by {plan.search.sampler}, {len(done)} are done"
            + (f", {again} were interrupted and are repeated" if again else "")
        )
        teller = _Teller(study, plan, wanted, announce, {trial.number for trial in done})
        if elsewhere is not None:
            _work_elsewhere(stored, plan, study, folder, elsewhere, workers, teller)
        elif workers in (None, 1):
            trials.work(stored, folder, told=teller.tell)
        else:
            _work_together(stored, folder, workers or 1, teller)
        return _write(plan, study, folder, announce)


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise EinthovenError(f"{folder}: another process searches here; wait for it or stop it") from None
        yield


def _store(plan: SweepPlan, folder: Path) -> Path:
    """Keep what is searched beside the study; only the number of trials may change."""
    path, text = folder / "sweep.yaml", plan.to_yaml()
    if path.is_file():
        old, new = (yaml.safe_load(each) for each in (path.read_text(encoding="utf-8"), text))
        for each in (old, new):
            each["sweep"].pop("trials")
        if differing := changes(old, new):
            raise RecipeError(
                f"{folder}: holds another search: {'; '.join(differing)}; set these back, or rename the recipe"
            )
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _done(study: Study) -> list[FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


class _Teller:
    """Announces each trial once, as it ends."""

    def __init__(self, study: Study, plan: SweepPlan, wanted: int, announce: Announce, known: set[int]) -> None:
        self._study, self._plan, self._wanted, self._announce, self._known = study, plan, wanted, announce, known

    def tell(self) -> None:
        """Announce what has ended since."""
        for trial in _done(self._study):
            if trial.number not in self._known:
                self._known.add(trial.number)
                row = _row(trial, self._plan)
                figure = "" if row["value"] is None else f" {self._plan.search.metric} {row['value']:.4f}"
                values = ", ".join(f"{key} {_short(value)}" for key, value in trial.params.items())
                reason = f" ({row['reason']})" if row["reason"] else ""
                self._announce(f"trial {trial.number} of {self._wanted} {row['state']}{figure}{reason}: {values}")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _work_together(source: Path, folder: Path, workers: int, teller: _Teller) -> None:
    """Let processes train trials; one that dies is told when the others are done."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_child, args=(source, folder, k, workers)) for k in range(workers)]
    try:
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            time.sleep(_POLL_S)
            teller.tell()
    finally:
        for process in processes:
            process.join(timeout=10)  # Ctrl-C reaches them too, and they note their trials
            process.terminate()
            process.join()
    teller.tell()
    if dead := [process.exitcode for process in processes if process.exitcode]:
        raise EinthovenError(
            f"{len(dead)} of {workers} workers ended with exit code {dead[0]}; the same command repeats their trials"
        )


def _work_elsewhere(
    source: Path,
    plan: SweepPlan,
    study: Study,
    folder: Path,
    elsewhere: Elsewhere,
    workers: int | None,
    teller: _Teller,
) -> None:
    """Let other machines train trials: drawn here as there is room, judged here, and noted here as they end."""
    from einthoven.workflow import trials

    judge = elsewhere.host(partial(trials.Judge, source.absolute(), folder.absolute()))
    work = partial(trials.train_elsewhere, source.absolute(), folder.absolute(), judge)
    divided = elsewhere.divide(plan.base.training)
    for (number, _), (value, error) in divided(work, trials.upcoming(study, plan, folder), workers):
        trials.finish_elsewhere(study, number, value, error)
        teller.tell()


def _child(source: Path, folder: Path, worker: int, workers: int) -> None:
    from einthoven.workflow.trials import work

    try:
        work(source, folder, worker, workers)
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _write(plan: SweepPlan, study: Study, folder: Path, announce: Announce) -> Found:
    from einthoven.plots.histories import search_figure
    from einthoven.plots.inline import save_figure

    rows = [_row(trial, plan) for trial in study.get_trials(deepcopy=False)]
    write_csv(folder / "trials.csv", rows)
    complete = [row for row in rows if row["state"] == "complete"]
    if not complete:
        reasons = [row["reason"] for row in rows if row["reason"]]
        raise EinthovenError(f"{folder}: no trial was completed{f': {reasons[0]}' if reasons else ''}")
    sign = CRITERIA[plan.search.metric]
    best = max(complete, key=lambda row: sign * row["value"])
    importance = _importance(study, plan, len(complete), announce)
    write_csv(folder / "importance.csv", [{"parameter": k, "importance": v} for k, v in importance.items()])
    recipe = plan.recipe_of(study.trials[best["number"]].params, f"{plan.base.name}-best")
    head = (
        f"# Trial {best['number']} of {len(rows)} of {folder.name}: validation {plan.search.metric} "
        f"{best['value']:.4f}, the best of {len(complete)} and therefore optimistic.\n"
    )
    with atomic_write(folder / "best.yaml") as temporary:
        temporary.write_text(head + recipe.to_yaml(), encoding="utf-8")
    figure = search_figure(rows, f"validation {plan.search.metric}", larger_is_better=sign > 0)
    for suffix in ("png", "svg"):
        save_figure(figure, folder / f"search.{suffix}")
    return Found(folder, rows, best, importance, plan.search.metric)


def _row(trial: FrozenTrial, plan: SweepPlan) -> Row:
    from einthoven.workflow.trials import state_of

    reached = {epoch: CRITERIA[plan.search.metric] * value for epoch, value in trial.intermediate_values.items()}
    value = trial.value if trial.state.name in ("COMPLETE", "PRUNED") else None
    return {
        "number": trial.number,
        "state": state_of(trial),
        "value": value,
        "best_epoch": max(reached, key=lambda epoch: reached[epoch]) if reached else None,
        "epochs": len(reached),
        "seconds": trial.duration.total_seconds() if trial.duration else None,
        **{key: trial.params.get(key) for key in plan.parameters},
        "reason": trial.user_attrs.get("error"),
    }


def _importance(study: Study, plan: SweepPlan, n_complete: int, announce: Announce) -> dict[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    values = {trial.value for trial in study.trials if trial.state.name == "COMPLETE"}
    if n_complete < _FEWEST or len(values) < 2:
        announce(f"no importance is told: {n_complete} completed trials, {_FEWEST} with different figures are needed")
        return {}
    return dict(get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=plan.base.seed)))
