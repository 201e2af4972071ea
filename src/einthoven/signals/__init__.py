"""How is a signal changed or judged? Resampling, filters, windows, quality, and ``conform``, which everything uses."""

from einthoven.signals.conform import conform, conform_signals
from einthoven.signals.quality import Flag, check_signal
from einthoven.signals.resample import resample
from einthoven.signals.windows import aggregate, window_starts, windows

__all__ = ["Flag", "aggregate", "check_signal", "conform", "conform_signals", "resample", "window_starts", "windows"]
