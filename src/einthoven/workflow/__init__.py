"""The verbs, composed from the rooms: train then bundle then judge then report. The only place that does."""

from einthoven.workflow.compare import compare
from einthoven.workflow.crossvalidation import CrossValidation, cross_validate
from einthoven.workflow.evaluate import Evaluated, evaluate
from einthoven.workflow.evaluate_file import EvaluatedFile, evaluate_file
from einthoven.workflow.finding import find_models
from einthoven.workflow.finetuning import finetune
from einthoven.workflow.queue import read_queue, work_off
from einthoven.workflow.selection import Selected, select_for, select_records
from einthoven.workflow.several import Ensemble, ensemble_of, evaluate_several
from einthoven.workflow.sources import by_source
from einthoven.workflow.train import train

__all__ = [
    "CrossValidation",
    "Ensemble",
    "Evaluated",
    "EvaluatedFile",
    "Selected",
    "by_source",
    "compare",
    "cross_validate",
    "ensemble_of",
    "evaluate",
    "evaluate_file",
    "evaluate_several",
    "find_models",
    "finetune",
    "read_queue",
    "select_for",
    "select_records",
    "train",
    "work_off",
]
