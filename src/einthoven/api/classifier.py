"""A classifier of ECG arrays that is called as scikit-learn's are, and trained as every other model here is.

``fit`` writes a dataset folder, trains a recipe on it and keeps the bundle: the same preparation, trainer, decisions
and judgement as on the command line. scikit-learn itself is not needed.
"""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from einthoven.api.arrays import (
    check_facts,
    check_leads,
    check_signals,
    fact_columns,
)
from einthoven.api.fitting import Part, divide, join, make_recipe, train_arrays
from einthoven.api.targets import Labels, check_labels, labels_like
from einthoven.bundle import Bundle, load_bundle
from einthoven.errors import DatasetError, EinthovenError, RecipeError, nearest
from einthoven.metrics import auroc
from einthoven.signals import aggregate, conform_signals, windows
from einthoven.spec import SignalSpec

__all__ = ["ECGClassifier"]

Array = NDArray[np.float64]

_BATCH = 64  # records


class ECGClassifier:
    """Train a network on arrays of ECGs.

    Args:
        model: one of ``einthoven list models``.
        epochs: of training.
        lr: the highest rate of the schedule.
        batch_size: records a step; a quarter of the training records where these are few.
        crop_s: length of the random crops in training and of the windows later; 2.5 s, or the records' where shorter.
        validation_share: of the patients, to choose the epoch and to fit calibration and thresholds.
        random_state: seed of the split and the training.
        leads: names of the rows of a record, as ``"I,II,V1"``; ``fit`` takes them too.
        fs: sampling rate in Hz; ``fit`` takes it too.
        unit: of ``X``: ``"mV"``, ``"uV"`` or ``"V"``.
        class_names: of the columns of a two-dimensional ``y``.
        settings: further values of the recipe, as ``{"training.augment": "default", "model.scaling": "lead"}``.
        folder: where dataset and run are kept; by default a temporary folder that goes with the classifier.
        verbose: 1 shows a bar and a line per epoch.

    Attributes:
        classes_: of each column of ``predict_proba``: the values of a one-dimensional ``y``, or its columns' names.
        bundle_: the model.
        run_: the run's folder, with ``report.html``.
        thresholds_: from which probability each class is reported; NaN where none could be, or the likeliest wins.
        leads_, fs_: what the model was fitted on.

    >>> ECGClassifier(model="resnet1d_wang", epochs=3).get_params()["epochs"]
    3
    """

    _estimator_type = "classifier"

    def __init__(
        self,
        model: str = "xresnet1d50",
        *,
        epochs: int = 15,
        lr: float = 1e-2,
        batch_size: int = 128,
        crop_s: float | None = None,
        validation_share: float = 0.15,
        random_state: int | None = 0,
        leads: str | Sequence[str] | None = None,
        fs: float | None = None,
        unit: str = "mV",
        class_names: Sequence[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.crop_s = crop_s
        self.validation_share = validation_share
        self.random_state = random_state
        self.leads = leads
        self.fs = fs
        self.unit = unit
        self.class_names = class_names
        self.settings = settings
        self.folder = folder
        self.verbose = verbose

    def fit(
        self,
        X: ArrayLike,
        y: Any,
        *,
        leads: str | Sequence[str] | None = None,
        fs: float | None = None,
        groups: Sequence[Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        X_val: ArrayLike | None = None,
        y_val: Any = None,
        groups_val: Sequence[Any] | None = None,
        facts_val: Mapping[str, Any] | None = None,
    ) -> ECGClassifier:
        """Train.

        Args:
            X: signals, shape (records, leads, samples), NaN where nothing was recorded.
            y: one class a record, shape (records,); or 0, 1 and NaN (unknown), shape (records, classes).
            leads: names of the rows of a record.
            fs: sampling rate in Hz.
            groups: patient of each record; none of them is on both sides of the validation split.
            facts: what the network sees beside the signal: ``age``, ``sex`` (female or male) and any other numbers,
                each (records,); None or NaN where unknown.
            X_val: records to validate on, instead of a share of ``X``.
            y_val: their labels.
            groups_val: their patients.
            facts_val: their facts.

        Raises:
            DatasetError: arrays that cannot be right, or too few records; see ``einthoven.api.arrays``.
            RecipeError: an unknown model, or a setting that does not fit.
        """
        x = check_signals(X, self.unit)
        self.leads_ = check_leads(self.leads if leads is None else leads, x.shape)
        self.fs_ = _rate(self.fs if fs is None else fs)
        spec = SignalSpec(self.leads_, self.fs_)
        part = self._part(x, y, groups, facts, "")
        if X_val is None:
            fold = divide(part, self.validation_share, self._seed())
        else:
            held = self._part(
                check_signals(X_val, self.unit, len(self.leads_)), y_val, groups_val, facts_val, "_val", part
            )
            part, fold = join(part, held)
        self._train(part, spec, fold)
        return self

    def _part(
        self,
        x: NDArray[np.float32],
        y: Any,
        groups: Sequence[Any] | None,
        facts: Mapping[str, Any] | None,
        suffix: str,
        like: Part | None = None,
    ) -> Part:
        if y is None:
            raise DatasetError(f"y{suffix} is missing: X{suffix} needs its labels")
        labels = check_labels(y, len(x), self.class_names) if like is None else labels_like(like.labels, y, len(x))
        if groups is not None and len(groups) != len(x):
            raise DatasetError(f"groups{suffix} names {len(groups):,} patients for {len(x):,} records")
        given = [None] * len(x) if groups is None else list(groups)
        patients = [None if one is None or one != one else str(one) for one in given]
        return Part(x, labels, patients, check_facts(facts, len(x)))

    def _seed(self) -> int:
        if self.random_state is None:
            return 0
        if not isinstance(self.random_state, int | np.integer) or self.random_state < 0:
            raise RecipeError(f"random_state must be a whole number from 0 or None, got {self.random_state!r}")
        return int(self.random_state)

    def _train(self, part: Part, spec: SignalSpec, fold: Sequence[int]) -> None:
        kept = None if self.folder else tempfile.TemporaryDirectory(prefix="einthoven-")
        home = Path(kept.name) if kept else Path(str(self.folder))
        names = ("model", "epochs", "lr", "batch_size", "crop_s", "settings")
        # What is thrown away needs no intervals.
        options = {name: getattr(self, name) for name in names} | {"n_resamples": 0 if kept else 1000}
        recipe = make_recipe(part, spec, fold, home / "dataset", {**options, "seed": self._seed()})
        run = train_arrays(part, spec, fold, recipe, home / "runs", self.verbose)
        if kept:
            shutil.rmtree(home / "dataset")
        self._home, self.run_ = kept, run.path
        self.bundle_ = load_bundle(run.bundle)
        self.classes_, self._exclusive = part.labels.values, part.labels.exclusive
        self._columns = [self.bundle_.classes.index(name) for name in part.labels.names]

    @property
    def thresholds_(self) -> Array:
        """From which probability each class is reported, shape (classes,), NaN where none could be fitted."""
        limits = self._fitted().decisions.thresholds
        return np.array([np.nan if limits[k] is None else limits[k] for k in self._columns], dtype=np.float64)

    def predict_proba(self, X: ArrayLike, *, facts: Mapping[str, Any] | None = None, fs: float | None = None) -> Array:
        """Calibrated probabilities, shape (records, classes) in the order of ``classes_``.

        Every record gets an answer; whether it is fit to be judged says ``bundle_.predict``.

        Args:
            X: signals of the leads of ``fit``, shape (records, leads, samples), of any length.
            facts: as in ``fit``; unknown where not given.
            fs: their rate in Hz where it is not that of ``fit``.
        """
        decisions = self._fitted().decisions
        return decisions.decide(self._scores(X, facts, fs)).probabilities[:, self._columns]

    def predict(self, X: ArrayLike, *, facts: Mapping[str, Any] | None = None, fs: float | None = None) -> NDArray[Any]:
        """The likeliest class of each record, or of each class whether it reaches its threshold, as 0 or 1.

        Args:
            X: see ``predict_proba``.
            facts: likewise.
            fs: likewise.
        """
        decided = self._fitted().decisions.decide(self._scores(X, facts, fs))
        if self._exclusive:
            return self.classes_[decided.probabilities[:, self._columns].argmax(axis=1)]
        return decided.present[:, self._columns].astype(np.int64)

    def score(self, X: ArrayLike, y: Any, *, facts: Mapping[str, Any] | None = None, fs: float | None = None) -> float:
        """Macro AUROC of the network's scores over the classes that have both positives and negatives in ``y``.

        Raises:
            DatasetError: labels of another shape or unknown classes, or no class with both.
        """
        p = self._scores(X, facts, fs)[:, self._columns]
        labels = labels_like(Labels(np.empty((0, 0), np.float32), (), self.classes_, self._exclusive), y, len(p))
        areas = auroc(labels.targets, p)
        if not np.isfinite(areas).any():
            raise DatasetError("no class has both a positive and a negative record, so there is no AUROC")
        return float(np.nanmean(areas))

    def save(self, path: str | Path) -> Bundle:
        """Copy the bundle to a folder of its own, which ``einthoven.load`` and ``einthoven predict`` read.

        Raises:
            EinthovenError: something is there already, or nothing was fitted.
        """
        bundle, path = self._fitted(), Path(path)
        if path.exists():
            raise EinthovenError(f"{path}: is there already; name a new folder")
        shutil.copytree(bundle.path, path)
        return load_bundle(path)

    def _fitted(self) -> Bundle:
        if not hasattr(self, "bundle_"):
            raise EinthovenError("this ECGClassifier is not fitted yet; call fit(X, y, leads=..., fs=...) first")
        return self.bundle_

    def _scores(self, X: ArrayLike, facts: Mapping[str, Any] | None, fs: float | None) -> Array:
        """Scores before calibration, shape (records, classes of the bundle)."""
        bundle = self._fitted()
        x = check_signals(X, self.unit, len(self.leads_))
        given = fact_columns(bundle.facts, check_facts(facts, len(x)), len(x))
        rate, parts = self.fs_ if fs is None else _rate(fs), []
        for k in range(0, len(x), _BATCH):
            conformed = conform_signals(x[k : k + _BATCH], self.leads_, rate, bundle.spec)
            cut = [windows(record, bundle.window, bundle.stride)[0] for record in conformed]
            seen = np.repeat(given[k : k + _BATCH], len(cut[0]), axis=0)
            first = np.arange(len(cut)) * len(cut[0])
            parts.append(aggregate(bundle.scores(np.concatenate(cut), seen), first, bundle.how))
        return np.concatenate(parts)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Arguments of the constructor by name; ``deep`` is scikit-learn's, and there is nothing deeper."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> ECGClassifier:
        """Change arguments of the constructor.

        Raises:
            RecipeError: an unknown one.
        """
        for name, value in params.items():
            if name not in self._names():
                known = ", ".join(self._names())
                raise RecipeError(f"ECGClassifier has no {name!r}{nearest(name, self._names())}; it has {known}")
            setattr(self, name, value)
        return self

    @classmethod
    def _names(cls) -> list[str]:
        return list(inspect.signature(cls).parameters)

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = {k: v for k, v in self.get_params().items() if v != defaults[k].default}
        return f"ECGClassifier({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "bundle_")

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, Tags, TargetTags  # only scikit-learn asks

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True, multi_output=True),
            classifier_tags=ClassifierTags(multi_label=True),
            input_tags=InputTags(two_d_array=False, three_d_array=True, allow_nan=True),
        )

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs: arguments, what was fitted, and the bundle's files."""
        state = {key: value for key, value in self.__dict__.items() if key not in ("bundle_", "_home")}
        if hasattr(self, "bundle_"):
            state["_files"] = {file.name: file.read_bytes() for file in sorted(self.bundle_.path.iterdir())}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = state.pop("_files", None)
        self.__dict__.update(state)
        if files is not None:
            self._home = tempfile.TemporaryDirectory(prefix="einthoven-")
            for name, content in files.items():
                (Path(self._home.name) / name).write_bytes(content)
            self.bundle_ = load_bundle(self._home.name)


def _rate(fs: float | None) -> float:
    if fs is None:
        raise DatasetError("at which rate was X sampled? give fs= in Hz, as fs=500")
    try:
        return float(fs)
    except (TypeError, ValueError):
        raise DatasetError(f"fs must be a number of Hz, got {fs!r}") from None
