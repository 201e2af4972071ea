"""The verbs, composed from the rooms: train then bundle then judge then report. The only place that does."""

from einthoven.workflow.compare import compare
from einthoven.workflow.evaluate import Evaluated, evaluate
from einthoven.workflow.selection import Selected, select_for, select_records
from einthoven.workflow.train import train

__all__ = ["Evaluated", "Selected", "compare", "evaluate", "select_for", "select_records", "train"]
