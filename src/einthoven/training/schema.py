"""What a recipe may say: every key, its type, its default and its bounds; nothing is read or run here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from einthoven.decisions import parse_rule
from einthoven.errors import RecipeError

__all__ = [
    "AugmentStep",
    "Criterion",
    "Data",
    "Distillation",
    "Evaluation",
    "Folds",
    "Fusion",
    "Model",
    "Pruning",
    "Recipe",
    "Scope",
    "Training",
    "WeightAveraging",
]


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


def _steps(value: Any) -> Any:
    # `augment: default` and `augment: [noise, scale]` say all that is needed.
    items = [value] if isinstance(value, str) else value
    return [{"name": item} if isinstance(item, str) else item for item in items] if isinstance(items, list) else items


Number = Annotated[float, BeforeValidator(_no_bool)]
Count = Annotated[int, BeforeValidator(_no_bool)]
Criterion = Literal["l1", "l2", "lamp", "taylor", "hessian"]
Scope = Literal["global", "layer"]
Fold = Annotated[int, BeforeValidator(_no_bool)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Folds(_Section):
    """Which folds are for what."""

    split: str | None = Field(None, description="a split of the dataset's folder; the corpus' own folds by default")
    train: tuple[Fold, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    validation: tuple[Fold, ...] = (9,)
    test: tuple[Fold, ...] = (10,)
    rotate: bool = Field(
        False, description="cross-validation: each fold is the test fold once, the next validates, the others train"
    )

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
    sample_frac: Number = Field(1.0, gt=0, le=1, description="share of the training patients, drawn by the seed")
    facts: tuple[str, ...] = Field(
        (), description="what the network sees beside the signal: age, sex, measured:GLOB, features:GLOB"
    )
    crop_s: Number = Field(2.5, ge=0.1, le=3600, description="length of the random crops in training")
    residence: Literal["auto", "device", "memory", "map", "stream"] = Field(
        "auto", description="where signals lie while training"
    )
    skip_damaged: bool = Field(False, description="leave out the records of damaged shards, instead of stopping")


class Fusion(_Section):
    """How facts (age, sex, measurements) join the signal: a branch beside the pooled signal, before the classifier."""

    hidden: tuple[Count, ...] = Field((), description="hidden layers of the branch")
    width: Count = Field(10, ge=1, description="what the branch gives")
    top: tuple[Count, ...] = Field((), description="hidden layers after both have met")
    dropout: Number = Field(0.0, ge=0, lt=1, description="in the branch and after the meeting")
    mask: bool = Field(True, description="the branch is told which facts are known")


class Pruning(_Section):
    """Which channels of the starting weights go before the training begins."""

    ratio: Number = Field(gt=0, lt=1, description="share of the channels; parameters go by its square")
    criterion: Criterion = Field(
        "l1", description="what makes a channel count: its weights, or by taylor and hessian what the loss says of them"
    )
    scope: Scope = Field("global", description="the least ones of all, or as many of each layer")
    round_to: Count = Field(8, ge=1, description="widths are multiples of it")


class Model(_Section):
    """Which network."""

    name: str = "resnet1d_wang"
    options: dict[str, Any] = {}
    scaling: Literal["dataset", "lead", "none"] = Field("dataset", description="one mean and deviation, or per lead")
    fusion: Fusion = Fusion()
    weights: str | None = Field(
        None, description="weights to begin with: a bundle, a run, or for ecgfounder_net1d its published file"
    )
    prune: Pruning | None = None

    @model_validator(mode="after")
    def _trained(self) -> Model:
        if self.prune and not self.weights:
            raise ValueError("prune takes the least channels of trained weights; name a bundle or run in model.weights")
        if taken := sorted({"name", "n_leads", "n_classes"} & self.options.keys()):
            raise ValueError(
                f"options cannot set {taken[0]}: model.name names the network, leads and classes are the data's"
            )
        return self


class AugmentStep(_Section):
    """One augmentation."""

    name: str
    p: Number = Field(1.0, ge=0, le=1, description="probability per sample")
    parameters: dict[str, Any] = {}


class WeightAveraging(_Section):
    """Stochastic weight averaging (Izmailov et al. 2018): the mean of the weights at the end of the last epochs."""

    start: Number = Field(0.75, gt=0, lt=1, description="share of the epochs before averaging begins")
    lr: Number | None = Field(None, gt=0, description="constant rate from then on; a twentieth of training.lr")


class Distillation(_Section):
    """A teacher whose probabilities are targets beside the labels (Hinton et al. 2015)."""

    teacher: str = Field(description="a bundle or run; its classes, leads and rate must be the student's")
    weight: Number = Field(0.5, gt=0, le=1, description="share of the teacher's loss")
    temperature: Number = Field(1.0, gt=0)


class Training(_Section):
    """How it is trained."""

    epochs: Count = Field(15, ge=1)
    batch_size: Count = Field(128, ge=2)
    accumulate: Count = Field(1, ge=1, description="batches whose gradients make one step")
    optimizer: Literal["adamw", "adam", "sgd", "lion", "muon"] = "adamw"
    lr: Number = Field(1e-2, gt=0, description="the highest rate of the schedule")
    momentum: Number = Field(0.9, ge=0, lt=1, description="of sgd and muon")
    weight_decay: Number = Field(1e-2, ge=0)
    schedule: Literal["one_cycle", "cosine", "step", "exponential", "plateau", "noam", "constant"] = "one_cycle"
    warmup: Number = Field(0.3, ge=0, lt=1, description="share of the steps until the highest rate; not of step etc.")
    decay: Number = Field(0.5, gt=0, lt=1, description="factor of the rate in step, exponential (per epoch), plateau")
    decay_epochs: Count = Field(5, ge=1, description="step: epochs between two decays; plateau: epochs of patience")
    loss: Literal["auto", "bce", "focal", "asymmetric", "cross_entropy", "nll", "mse", "l1"] = Field(
        "auto", description="bce, or cross_entropy where classes exclude each other"
    )
    loss_options: dict[str, Number | None] = Field(
        {}, description="focal: gamma, alpha; asymmetric: gamma_pos, gamma_neg, clip"
    )
    class_weights: Literal["none", "inverse", "balanced", "root", "effective", "importance"] = Field(
        "none", description="weights of the positives of each class, by a rule of their counts or training.importance"
    )
    sampler: Literal["none", "equal", "importance"] = Field(
        "none", description="equal: every class drawn as often; importance: by training.importance"
    )
    importance: dict[str, Number] = Field({}, description="weights by class, as {S: 2, V: 2}; 1 where not named")
    label_smoothing: Number = Field(0.0, ge=0, lt=1)
    ema: Number | None = Field(None, gt=0, lt=1, description="decay per step of the averaged weights")
    swa: WeightAveraging | None = None
    distill: Distillation | None = None
    quantize: Literal["int8"] | None = Field(
        None, description="let weights and signals lie on the grid of int8 while the network learns"
    )
    fact_dropout: Number = Field(0.1, ge=0, lt=1, description="probability that a record loses all its facts, or one")
    clip_norm: Number | None = Field(None, gt=0, description="largest norm of the gradient")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    compile: bool = Field(False, description="torch.compile; pays on GPUs and long trainings")
    early_stopping: Count | None = Field(None, ge=1, description="epochs without a better validation AUROC")
    augment: Annotated[tuple[AugmentStep, ...], BeforeValidator(_steps)] = Field(
        (), description="steps in order, or names of some with their defaults; 'default' is a chain of several"
    )
    keep_every: Count | None = Field(None, ge=1, description="epochs between checkpoints that stay, for --resume EPOCH")
    predictions_every: Count | None = Field(None, ge=1, description="epochs between stored validation predictions")
    mlflow: str | None = Field(None, description="tracking URI, as sqlite:///mlflow.db; CSV and TensorBoard are always")
    threads: Count | None = Field(None, ge=1, le=256, description="CPU threads; all cores where the machine is idle")
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    devices: Count = Field(1, ge=1, description="GPUs of this machine, or processes on the CPU, that share each batch")

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        if self.sampler != "none" and self.class_weights != "none":
            raise ValueError(
                f"sampler {self.sampler} and class_weights {self.class_weights} both correct for rare classes; "
                "choose one"
            )
        if bool(self.importance) != ("importance" in (self.sampler, self.class_weights)):
            raise ValueError(
                "importance goes with sampler: importance or class_weights: importance, and these need it, "
                "as {S: 2, V: 2}"
            )
        if self.ema and self.swa:
            raise ValueError("ema and swa both average the weights; choose one")
        if self.quantize and (self.compile or self.devices > 1):
            raise ValueError("quantize works on one device and without compile; set devices to 1 and compile to false")
        return self


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


# Losses by what they need of the classes; "auto" fits both.
_LOSS_KINDS = {"bce": False, "asymmetric": False, "cross_entropy": True, "nll": True}


class Recipe(_Section):
    """Everything a run needs; saved beside its results."""

    name: str = Field(pattern=r"^\w[\w.-]*$")
    description: str = ""
    seed: Count = Field(0, ge=0)
    data: Data
    model: Model = Model()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    ensemble: bool = Field(False, description="of a grid: make one bundle of its runs, weighted on validation")

    @model_validator(mode="after")
    def _loss_fits(self) -> Recipe:
        loss, exclusive = self.training.loss, self.data.single_label
        if _LOSS_KINDS.get(loss, exclusive) != exclusive:
            right = "bce, focal or asymmetric" if loss in ("cross_entropy", "nll") else "cross_entropy, nll or focal"
            what = "exclude each other (data.single_label)" if exclusive else "may occur together"
            raise ValueError(f"training.loss {loss} does not fit: the classes {what}; use {right}")
        return self

    def to_yaml(self) -> str:
        """Return the recipe as YAML that ``load_recipe`` reads back."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
