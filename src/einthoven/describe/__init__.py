"""What is in a dataset? Labels by age, sex and source, missing and doubtful signals, as numbers and as a page."""

from einthoven.describe.contents import Contents, dataset_contents
from einthoven.describe.label_statistics import LabelStatistics, label_statistics
from einthoven.describe.page import write_page
from einthoven.describe.signal_statistics import SignalStatistics, signal_statistics

__all__ = [
    "Contents",
    "LabelStatistics",
    "SignalStatistics",
    "dataset_contents",
    "label_statistics",
    "signal_statistics",
    "write_page",
]
