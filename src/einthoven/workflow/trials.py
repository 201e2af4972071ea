"""The trials of a sweep in an Optuna study: which values come next, how one is trained, and what was interrupted.

Every draw follows from the recipe's seed and the number of trials so far, so a sweep of one worker that was interrupted
goes on with the numbers of an undisturbed one. Only training and validation records are looked at.
"""

from __future__ import annotations

import fcntl
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from einthoven.dataset import open_dataset
from einthoven.errors import EinthovenError, RecipeError
from einthoven.threads import available_cores
from einthoven.training.recipe import Recipe
from einthoven.training.runs import CRITERIA, begin_run, best_epoch
from einthoven.training.sweep_schema import Range, SweepPlan, load_sweep
from einthoven.workflow.problem import make_problem
from einthoven.workflow.selection import select_for
from einthoven.workflow.train import check_trainable

__all__ = [
    "Judge",
    "count_wanted",
    "finish_elsewhere",
    "open_study",
    "recover",
    "state_of",
    "train_elsewhere",
    "upcoming",
    "work",
]

# Attributes of trials: why it failed, which interrupted one it repeats, after which epoch another machine stopped it.
_ERROR, _RETRY, _STOPPED = "error", "retry_of", "stopped_after"
_FAILURES = (EinthovenError, RuntimeError, MemoryError)  # as memory that a large network lacks


def open_study(plan: SweepPlan, folder: Path) -> optuna.Study:
    """Open the study of a sweep's folder, or begin it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    folder.mkdir(parents=True, exist_ok=True)
    return optuna.create_study(
        storage=f"sqlite:///{(folder / 'study.db').resolve()}",
        study_name="sweep",
        direction="maximize" if CRITERIA[plan.search.metric] > 0 else "minimize",
        pruner=_pruner(plan),
        load_if_exists=True,
    )


def recover(study: optuna.Study, plan: SweepPlan) -> int:
    """Count trials that were interrupted as failed, and put them, and the combinations of a grid, up for training.

    Nobody else may work at the study.

    Returns:
        How many are repeated.
    """
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials()
    repeated = {trial.user_attrs.get(_RETRY) for trial in trials}
    lost = [t for t in trials if state_of(t) == "interrupted" and t.number not in repeated]
    for trial in lost:
        study.enqueue_trial(trial.params, user_attrs={_RETRY: trial.number})
    if plan.search.sampler == "grid" and not any(_RETRY not in trial.user_attrs for trial in trials):
        for values in plan.combinations():
            study.enqueue_trial(values)
    return len(lost)


def count_wanted(plan: SweepPlan) -> int:
    """How many trials a sweep makes in all."""
    wanted = plan.search.trials
    return min(wanted, len(plan.combinations())) if plan.search.sampler == "grid" else wanted


def state_of(trial: FrozenTrial) -> str:
    """Return complete, pruned, failed (by an error), interrupted, running or waiting."""
    if trial.state == TrialState.FAIL:
        return "failed" if _ERROR in trial.user_attrs else "interrupted"
    return trial.state.name.lower()


def work(source: Path, folder: Path, worker: int = 0, workers: int = 1, told: Any = None) -> None:
    """Train trials until there are as many as wanted.

    Args:
        source: the recipe with its section ``sweep``.
        folder: of the sweep.
        worker: number of this process, from 0.
        workers: how many there are; they share the cores.
        told: called after each trial.
    """
    plan = load_sweep(source)
    study = open_study(plan, folder)
    while (trial := _next(study, plan, folder, worker, workers)) is not None:
        _finish(study, trial, plan, folder, worker, workers)
        if told:
            told()


def upcoming(study: optuna.Study, plan: SweepPlan, folder: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Numbers and values of the trials to come, each drawn when it is asked for, until there are as many as wanted.

    With a sampler that looks at no other trial, these are the trials of a sweep of one worker.
    """
    while (trial := _next(study, plan, folder, 0, 2)) is not None:
        yield trial.number, trial.params


class Judge:
    """Hears what the trials of other machines reach, and says which are behind; lives where the study lies.

    Args:
        source: the recipe with its section ``sweep``.
        folder: of the sweep.
    """

    def __init__(self, source: Path, folder: Path) -> None:
        self._study = open_study(load_sweep(source), folder)

    def __call__(self, number: int, epoch: int, value: float) -> bool:
        """Note what an epoch of a trial reached; True where the trial shall stop."""
        known = self._study.trials[number]
        if epoch in known.intermediate_values:  # a repeated trial reaches the same, and hears the same
            return bool(known.user_attrs.get(_STOPPED) == epoch)
        trial = Trial(self._study, known._trial_id)
        trial.report(value, epoch)
        if behind := trial.should_prune():
            trial.set_user_attr(_STOPPED, epoch)
        return behind


def train_elsewhere(
    source: Path, folder: Path, judge: Callable[[int, int, float], bool], number: int, values: dict[str, Any]
) -> tuple[float | None, str | None]:
    """Train one trial on some machine; what a dead one has left of it is removed.

    Args:
        source: the recipe with its section ``sweep``.
        folder: of the sweep, which this machine sees.
        judge: calls a ``Judge``.
        number: of the trial.
        values: of the searched keys, as the study has them.

    Returns:
        Its figure, None where it was stopped early; and why it failed, None where it did not.
    """
    plan = load_sweep(source)
    shutil.rmtree(folder / "trials" / _name(number), ignore_errors=True)
    try:
        recipe = _shared(plan.recipe_of(values, _name(number)), 0, 1)
        watcher = _Watcher(partial(judge, number), plan.search.metric, recipe.training.epochs)
        return _train_recipe(recipe, plan, folder, number, watcher), None
    except optuna.TrialPruned:
        return None, None
    except _FAILURES as error:
        return None, _reason(error)


def finish_elsewhere(study: optuna.Study, number: int, value: float | None, error: str | None) -> None:
    """Note in the study how a trial of ``train_elsewhere`` ended."""
    if error is not None:
        Trial(study, study.trials[number]._trial_id).set_user_attr(_ERROR, error)
        study.tell(number, state=TrialState.FAIL)
    elif value is None:
        study.tell(number, state=TrialState.PRUNED)
    else:
        study.tell(number, value)


def _next(study: optuna.Study, plan: SweepPlan, folder: Path, worker: int, workers: int) -> Trial | None:
    """The next trial, or None where enough are done or under way; one process asks at a time."""
    with _alone(folder / ".ask.lock"):
        trials = study.get_trials(deepcopy=False)
        counted = [t for t in trials if state_of(t) in ("complete", "pruned", "failed", "running")]
        if len(counted) >= count_wanted(plan):
            return None
        started = sum(state_of(t) != "waiting" for t in trials)
        study.sampler = _sampler(plan, [plan.base.seed, started, worker], workers)
        return study.ask({key: _distribution(plan, key) for key in plan.parameters})


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sampler(plan: SweepPlan, entropy: Sequence[int], workers: int) -> optuna.samplers.BaseSampler:
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    if plan.search.sampler == "tpe":
        return optuna.samplers.TPESampler(seed=seed, constant_liar=workers > 1)
    if plan.search.sampler == "cmaes":
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return optuna.samplers.RandomSampler(seed=seed)  # of a grid: every trial's values are set already


def _pruner(plan: SweepPlan) -> optuna.pruners.BasePruner:
    if plan.search.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2)
    if plan.search.pruner == "asha":
        return optuna.pruners.SuccessiveHalvingPruner()
    if plan.search.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=_most_epochs(plan))
    return optuna.pruners.NopPruner()


def _most_epochs(plan: SweepPlan) -> int:
    values = plan.parameters.get("training.epochs", [plan.base.training.epochs])
    return int(values.high if isinstance(values, Range) else max(map(int, values)))


def _distribution(plan: SweepPlan, key: str) -> BaseDistribution:
    values = plan.parameters[key]
    if not isinstance(values, Range):
        return CategoricalDistribution(plan.choices(key))
    if plan.is_whole(key):
        return IntDistribution(int(values.low), int(values.high), log=values.log, step=int(values.step or 1))
    return FloatDistribution(float(values.low), float(values.high), log=values.log, step=values.step)


class _Watcher:
    """Tells ``judge(epoch, value)`` what the epochs reached, and stops the trial where the answer is True."""

    def __init__(self, judge: Callable[[int, float], bool], metric: str, n_epochs: int) -> None:
        self._judge, self._metric, self._n_epochs = judge, metric, n_epochs

    def step(self, epoch: int, step: int, n_steps: int, loss: float) -> None:
        """Say nothing within an epoch."""

    def epoch(self, row: dict[str, float]) -> None:
        """Report, and stop unless this was the last epoch anyway."""
        behind = self._judge(int(row["epoch"]), row[f"validation_{self._metric}"])
        if behind and row["epoch"] < self._n_epochs:
            raise optuna.TrialPruned


def _judged_by(trial: Trial) -> Callable[[int, float], bool]:
    def judge(epoch: int, value: float) -> bool:
        trial.report(value, epoch)
        return trial.should_prune()

    return judge


def _finish(study: optuna.Study, trial: Trial, plan: SweepPlan, folder: Path, worker: int, workers: int) -> None:
    try:
        value = _train(trial, plan, folder, worker, workers)
        study.tell(trial, value)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except _FAILURES as error:
        trial.set_user_attr(_ERROR, _reason(error))
        study.tell(trial, state=TrialState.FAIL)
    except KeyboardInterrupt:
        study.tell(trial, state=TrialState.FAIL)
        raise


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _train(trial: Trial, plan: SweepPlan, folder: Path, worker: int, workers: int) -> float:
    recipe = _shared(plan.recipe_of(trial.params, _name(trial.number)), worker, workers)
    watcher = _Watcher(_judged_by(trial), plan.search.metric, recipe.training.epochs)
    return _train_recipe(recipe, plan, folder, trial.number, watcher)


def _name(number: int) -> str:
    return f"trial-{number:03d}"


def _train_recipe(recipe: Recipe, plan: SweepPlan, folder: Path, number: int, watcher: _Watcher) -> float:
    """Train one trial and return its best epoch's figure; of its run folder the history stays, not the weights."""
    from einthoven.training.device import make_engine
    from einthoven.training.loop import Trainer

    selected = select_for(recipe, open_dataset(recipe.data.dataset))
    check_trainable(selected, recipe)
    options = recipe.training
    engine = make_engine(options.device, options.precision, options.threads)
    trainer = Trainer(recipe, make_problem(recipe, selected), engine)
    run = begin_run(folder / "trials", recipe, trial=number, parameters=trainer.model.network.n_parameters)
    try:
        trainer.fit(run, watcher)
    finally:
        shutil.rmtree(run.path / "checkpoints", ignore_errors=True)
    best = best_epoch(trainer.history, plan.search.metric)
    if best is None:
        raise RecipeError(f"no epoch has a validation {plan.search.metric}")
    return trainer.history[best - 1][f"validation_{plan.search.metric}"]


def _shared(recipe: Recipe, worker: int, workers: int) -> Recipe:
    """The recipe of a trial among several at once: its share of the cores, and a GPU of its own where there are."""
    import torch

    options, n_gpus = recipe.training, torch.cuda.device_count()
    update: dict[str, Any] = {"threads": max(1, (options.threads or available_cores()) // workers)}
    if options.device in ("auto", "cuda") and n_gpus > 1:
        update["device"] = f"cuda:{worker % n_gpus}"
    return recipe.model_copy(update={"training": options.model_copy(update=update)})
