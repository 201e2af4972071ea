"""A recipe is one YAML file that says everything a training needs; it is checked before anything runs.

Errors name the file, the line, the key and the nearest valid name. ``key.sub=value`` overrides on the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from einthoven.decisions import parse_rule
from einthoven.errors import RecipeError, nearest

__all__ = ["AugmentStep", "Data", "Evaluation", "Folds", "Model", "Recipe", "Training", "load_recipe", "parse_recipe"]


def _no_bool(value: Any) -> Any:
    # YAML 1.1 reads `no` as False, which would silently become 0.
    if isinstance(value, bool):
        raise ValueError("a number is needed, not a truth value")
    return value


def _rule(text: str) -> str:
    try:
        return str(parse_rule(text))
    except RecipeError as error:
        raise ValueError(str(error)) from None


Number = Annotated[float, BeforeValidator(_no_bool)]
Count = Annotated[int, BeforeValidator(_no_bool)]
Fold = Annotated[int, BeforeValidator(_no_bool)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Folds(_Section):
    """Which folds are for what."""

    split: str | None = Field(None, description="a split of the dataset's folder; the corpus' own folds by default")
    train: tuple[Fold, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    validation: tuple[Fold, ...] = (9,)
    test: tuple[Fold, ...] = (10,)

    @model_validator(mode="after")
    def _disjoint(self) -> Folds:
        for a, b in (("train", "validation"), ("train", "test"), ("validation", "test")):
            if both := set(getattr(self, a)) & set(getattr(self, b)):
                raise ValueError(f"fold {min(both)} is in both {a} and {b}")
        if not self.train or not self.validation:
            raise ValueError("train and validation each need at least one fold")
        return self


class Data(_Section):
    """Which dataset, what is predicted, and who is in which split."""

    dataset: str
    task: str = Field("superdiagnostic", min_length=1, description="'all', or one that the dataset's labels have")
    min_likelihood: Number = Field(0.0, ge=0, le=100, description="percent; stated likelihoods below it do not count")
    unlabelled: Literal["auto", "drop", "negative"] = Field(
        "auto", description="records with no statement of the task: left out, or negative; the corpus decides"
    )
    single_label: bool = Field(False, description="keep the likeliest class only: a multi-class model")
    folds: Folds = Folds()
    crop_s: Number = Field(2.5, ge=0.1, le=3600, description="length of the random crops in training")
    residence: Literal["auto", "device", "map"] = Field("auto", description="where signals lie while training")


class Model(_Section):
    """Which network."""

    name: str = "resnet1d_wang"
    options: dict[str, Any] = {}
    scaling: Literal["dataset", "lead", "none"] = Field("dataset", description="one mean and deviation, or per lead")


class AugmentStep(_Section):
    """One augmentation."""

    name: str
    p: Number = Field(1.0, ge=0, le=1, description="probability per sample")
    parameters: dict[str, Any] = {}


class Training(_Section):
    """How it is trained."""

    epochs: Count = Field(15, ge=1)
    batch_size: Count = Field(128, ge=2)
    lr: Number = Field(1e-2, gt=0, description="the highest rate of the one-cycle schedule")
    weight_decay: Number = Field(1e-2, ge=0)
    warmup: Number = Field(0.3, gt=0, lt=1, description="share of the steps until the highest rate")
    ema: Number | None = Field(None, gt=0, lt=1, description="decay per step of the averaged weights")
    clip_norm: Number | None = Field(None, gt=0, description="largest norm of the gradient")
    label_smoothing: Number = Field(0.0, ge=0, lt=1)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    early_stopping: Count | None = Field(None, ge=1, description="epochs without a better validation AUROC")
    augment: tuple[AugmentStep, ...] = ()
    threads: Count | None = Field(None, ge=1, le=256, description="CPU threads; all cores where the machine is idle")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")


class Evaluation(_Section):
    """How it is judged."""

    window_s: Number | None = Field(None, ge=0.1, le=3600, description="length of a window; the crop's where not given")
    stride_s: Number | None = Field(None, ge=0.01, le=3600, description="from one window to the next; half a window")
    aggregate: Literal["mean", "max"] = "mean"
    select: Literal["auroc", "accuracy", "loss"] = Field("auroc", description="which checkpoint becomes the bundle")
    calibration: Literal["none", "temperature", "platt", "isotonic", "beta"] = "platt"
    thresholds: Annotated[str, AfterValidator(_rule)] = Field(
        "f1", description="f1, fbeta:2, youden, sensitivity:0.9, specificity:0.9, cost:5 or challenge:2021"
    )
    conformal_error: Number | None = Field(
        0.1, gt=0, lt=0.5, description="error rate that the conformal sets promise; null makes none"
    )
    n_resamples: Count = Field(1000, ge=0)


class Recipe(_Section):
    """Everything a run needs; saved beside its results."""

    name: str = Field(pattern=r"^\w[\w.-]*$")
    description: str = ""
    seed: Count = Field(0, ge=0)
    data: Data
    model: Model = Model()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()

    def to_yaml(self) -> str:
        """Return the recipe as YAML that ``load_recipe`` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: a YAML file.
        overrides: ``key.sub=value``, the value as in YAML; they win over the file.

    Raises:
        RecipeError: the file is absent or not YAML, a key is unknown, a value does not fit.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not a text file; a recipe is YAML in UTF-8") from None
    return parse_recipe(text, str(path), overrides)


def parse_recipe(text: str, name: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as text; ``name`` stands for it in errors."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{name}: a recipe is a mapping of keys to values")
    _refuse_duplicates(node, name)
    origin = {key: f"override {text}" for text in overrides for key in [_override(values, text)]}
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError("; ".join(_explain(e, name, node, origin) for e in error.errors())) from None


def _refuse_duplicates(node: Any, name: str) -> None:
    """YAML takes the last of two equal keys without a word."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, name)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                raise RecipeError(f"{name}:{key.start_mark.line + 1}: key {key.value!r} is given twice")
            seen.add(key.value)
            _refuse_duplicates(value, name)


def _override(values: dict[str, Any], text: str) -> tuple[str, ...]:
    key, equals, value = text.partition("=")
    path = tuple(key.split("."))
    if not equals or not all(path):
        raise RecipeError(f"override {text!r}: write key=value, for example training.epochs=5")
    inner = values
    for part in path[:-1]:
        if inner.get(part) is None:
            inner[part] = {}
        inner = inner[part]
        if not isinstance(inner, dict):
            raise RecipeError(f"override {text!r}: {part} is a value, not a section")
    try:
        inner[path[-1]] = yaml.safe_load(value)
    except yaml.YAMLError:
        raise RecipeError(f"override {text!r}: {value!r} is not YAML; quote it") from None
    return path


def _explain(error: Any, name: str, node: Any, origin: dict[tuple[str, ...], str]) -> str:
    where = tuple(part for part in error["loc"] if not _is_variant(part))
    key = ".".join(str(part) for part in where)
    source = next((text for path, text in origin.items() if tuple(map(str, where))[: len(path)] == path), None)
    place = source or f"{name}:{_line(node, where)}"
    if error["type"] == "extra_forbidden":
        allowed = _allowed_keys(where[:-1])
        return f"{place}: unknown key {key!r}{nearest(str(where[-1]), allowed)}; allowed here: {', '.join(allowed)}"
    if error["type"] == "missing":
        return f"{place}: {key} is missing"
    message = error["msg"].removeprefix("Value error, ")
    got = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
    return f"{place}: {key}: {message[0].lower()}{message[1:]}{got}"


def _is_variant(part: Any) -> bool:
    # pydantic adds the name of a validator to the path of an error
    return isinstance(part, str) and part.startswith("function-")


def _allowed_keys(where: Sequence[Any]) -> list[str]:
    section: Any = Recipe
    for part in where:
        if isinstance(part, int):
            continue
        annotation = section.model_fields[part].annotation
        section = AugmentStep if part == "augment" else annotation
    return list(section.model_fields)


def _line(node: Any, where: Sequence[Any]) -> int:
    """Line of the deepest part of a key path that the file has."""
    line = node.start_mark.line
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = [(node.value[part], node.value[part])]
        else:
            found = []
        if not found:
            break
        line, node = found[0][0].start_mark.line, found[0][1]
    return int(line) + 1
