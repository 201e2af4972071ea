"""What can be measured on one ECG: rate, intervals, axes and amplitudes, and how a dataset keeps them."""

from einthoven.features.measuring import measure, measured_names
from einthoven.features.table import MEASURED_VERSION, measure_dataset, read_measured

__all__ = ["MEASURED_VERSION", "measure", "measure_dataset", "measured_names", "read_measured"]
