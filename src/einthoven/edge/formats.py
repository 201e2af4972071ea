"""Which artefacts a bundle can be exported to: a table, and what every maker of one takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from einthoven.errors import RecipeError, nearest

if TYPE_CHECKING:  # who lists the formats needs neither
    import numpy as np
    from numpy.typing import NDArray

    from einthoven.bundle import Bundle

__all__ = ["FORMATS", "Calibration", "Format", "Made", "Maker", "Options", "maker_of", "parse_formats", "split_names"]


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of artefact.

    Attributes:
        module: in this folder, whose ``make`` writes it.
        kind: the runtime that computes it, see ``einthoven.runtimes``; None where none here can.
        precision: of its weights: ``"fp32"``, ``"fp16"`` or ``"int8"``.
        calibrated: whether it is made with records of the training folds.
        words: for people.
    """

    module: str
    kind: str | None
    precision: str
    calibrated: bool
    words: str


FORMATS: Mapping[str, Format] = {
    "onnx": Format("onnx", "onnx", "fp32", False, "ONNX as in every bundle, here proven"),
    "fp16": Format("onnx", "onnx", "fp16", False, "ONNX, weights stored in 16 bits"),
    "int8": Format("onnx", "onnx", "int8", True, "ONNX, static 8-bit quantisation: for CPUs and the browser"),
    "record": Format("record", None, "fp32", False, "ONNX from whole records at another rate, resampling inside"),
    "int8-dynamic": Format("onnx", "onnx", "int8", False, "ONNX, dynamic 8-bit quantisation: for comparison only"),
    "tflite": Format("litert", "tflite", "fp32", False, "LiteRT (TFLite): for phones"),
    "tflite-fp16": Format("litert", "tflite", "fp16", False, "LiteRT, weights stored in 16 bits"),
    "tflite-int8": Format("litert", "tflite", "int8", True, "LiteRT, static 8-bit quantisation: for phones"),
    "openvino": Format("openvino", "openvino", "fp32", False, "OpenVINO: for Intel's processors"),
    "openvino-int8": Format("openvino", "openvino", "int8", True, "OpenVINO, static 8-bit quantisation by NNCF"),
    "executorch": Format("executorch", "executorch", "fp32", False, "ExecuTorch with XNNPACK: for phones"),
    "executorch-int8": Format("executorch", "executorch", "int8", True, "ExecuTorch, static 8-bit quantisation"),
    "c": Format("c_header", None, "int8", True, "C header with the graph of tflite-int8: for microcontrollers"),
}


RANGES = ("minmax", "percentile")
LAYERS = ("first", "last")


WEB = {"web": "a page that runs the model in the browser"}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Windows of training records that show the ranges of activations.

    Attributes:
        record_ids: of each window, in order.
        signals: shape (windows, leads, samples), mV.
        facts: shape (windows, facts); None where the network sees none.
        progress: called with windows shown and their number.
    """

    record_ids: Sequence[str]
    signals: NDArray[np.float32]
    facts: NDArray[np.float32] | None
    progress: Callable[[int, int], None] | None = None

    def feeds(self, size: int = 1) -> Iterator[list[NDArray[np.float32]]]:
        """Inputs of the network, ``size`` windows at a time: signals, and facts where it sees any."""
        arrays, n = [self.signals] + ([] if self.facts is None else [self.facts]), len(self.signals)
        for k in range(0, n, size):
            yield [array[k : k + size] for array in arrays]
            if self.progress:
                self.progress(min(k + size, n), n)


@dataclass(frozen=True, slots=True)
class Options:
    """What a user may choose.

    Attributes:
        ranges: how the range of an activation follows from the calibration records: ``"minmax"``, or
            ``"percentile"``: 99.999 % of the values.
        keep_float: layers that stay in 32 bits: ``"first"``, ``"last"``.
        reduce_range: weights in 7 bits: products of 8-bit weights and 8-bit activations overflow the 16-bit sums of x86
            processors without VNNI.
        record_fs: rate in Hz of the records that ``record`` takes.
        record_s: their length in seconds.
    """

    ranges: str = "minmax"
    keep_float: tuple[str, ...] = ()
    reduce_range: bool = True
    record_fs: float = 500
    record_s: float = 10

    def __post_init__(self) -> None:
        if self.ranges not in RANGES:
            raise RecipeError(
                f"unknown ranges {self.ranges!r}{nearest(self.ranges, RANGES)}; choose {', '.join(RANGES)}"
            )
        for layer in self.keep_float:
            if layer not in LAYERS:
                raise RecipeError(f"unknown layer {layer!r}; those that may stay in 32 bits are {', '.join(LAYERS)}")


@dataclass(frozen=True, slots=True)
class Made:
    """What a maker wrote: file names in the folder that it was given, the graph first, and how it was made."""

    files: Sequence[str]
    how: Mapping[str, Any] = field(default_factory=dict)


class Maker(Protocol):
    """Writes ``model.<name>.<suffix>`` of a bundle into a folder; calibration is None where the format needs none."""

    def __call__(
        self, name: str, bundle: Bundle, folder: Path, calibration: Calibration | None, options: Options, /
    ) -> Made:
        """Write the files, and say what they are called and how they were made."""


def maker_of(name: str) -> Maker:
    """Load the function that writes a format.

    Raises:
        ModuleNotFoundError: its packages are not installed.
    """
    maker: Maker = import_module(f"einthoven.edge.{FORMATS[name].module}").make
    return maker


def split_names(text: str) -> tuple[str, ...]:
    """Split names at commas, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def parse_formats(text: str) -> tuple[str, ...]:
    """Split ``"int8,fp16"`` into names.

    Raises:
        RecipeError: an unknown format, or none.

    >>> parse_formats("int8, fp16")
    ('int8', 'fp16')
    """
    names = split_names(text)
    known = (*FORMATS, *WEB)
    if not names:
        raise RecipeError(f"no format to export to; formats are {', '.join(known)}")
    for name in names:
        if name not in known:
            raise RecipeError(f"unknown format {name!r}{nearest(name, known)}; formats are {', '.join(known)}")
    return names
