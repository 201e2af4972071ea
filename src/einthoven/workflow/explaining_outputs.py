"""Writing explanations: where they may go, pictures, arrays and tables; all of a run, or nothing of it."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from einthoven.errors import EinthovenError
from einthoven.explain.catalogue import METHODS, RELATIVE
from einthoven.explain.wording import sample_unit, sum_sentence, title_of
from einthoven.files import atomic_write
from einthoven.labels import NORMAL_CLASSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from einthoven.explain import Explanation

__all__ = [
    "check_folder",
    "draw_class",
    "fit_name",
    "names_of",
    "staged",
    "write_arrays",
    "write_summary_pictures",
    "write_table",
]

_UNFIT = re.compile(r"[^\w.-]+")


def check_folder(out: Path) -> None:
    """Refuse a folder that cannot be written, before any work is done.

    Raises:
        EinthovenError: it is a file, lies below one, or may not be written.
    """
    there = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not there.is_dir():
        what = "is a file" if there == out else f"lies below {there}, which is a file"
        raise EinthovenError(f"--out names a folder, and {out} {what}; choose another name")
    if not os.access(there, os.W_OK | os.X_OK):
        raise EinthovenError(f"--out {out}: {there} may not be written; choose another folder")


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out`` whose files move there when the block ends well; else they are gone."""
    staging = out.absolute().parent / f".{out.absolute().name}.{os.getpid()}.tmp"
    try:
        staging.mkdir(parents=True)
        yield staging
        out.mkdir(parents=True, exist_ok=True)
        for file in sorted(staging.iterdir()):
            os.replace(file, out / file.name)
    except OSError as error:
        raise EinthovenError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def names_of(files: Sequence[Path]) -> list[str]:
    """A name for the outputs of each file; those that two files share are numbered."""
    stems = [fit_name(file.stem) for file in files]
    return [stem if stems.count(stem) == 1 else f"{stem}-{k + 1}" for k, stem in enumerate(stems)]


def fit_name(name: str) -> str:
    """A name without signs that file systems mind."""
    return _UNFIT.sub("-", name).strip("-") or "ecg"


def draw_class(found: Explanation, name: str, common_scale: bool = False) -> Figure:
    """Draw the ECG coloured by what moved one class.

    Args:
        found: the explanation.
        name: the class.
        common_scale: whether colours mean the same in the pictures of all classes of the record.
    """
    from einthoven.explain.explanation import NOT_A_DEVICE
    from einthoven.plots.explanation import Scale, draw_explanation, full_colour

    normal, fs = name in NORMAL_CLASSES, found.record.fs
    of = found.attribution if common_scale else found.of(name)
    scale = Scale(
        full_colour(of, fs),
        sample_unit(found) + (", one scale for all pictures of this record" if common_scale else ""),
        ("speaks for a normal ECG" if name == NORMAL_CLASSES[0] else f"speaks for {name}", "speaks against it"),
        normal,
        METHODS[found.method].unit != RELATIVE,
    )
    caption = f"{sum_sentence(found, name)}."
    title = f"{title_of(found, name)}   [{found.method}]"
    return draw_explanation(
        found.record, found.of(name), title=title, scale=scale, caption=caption[0].upper() + caption[1:],
        footer=NOT_A_DEVICE,
    )  # fmt: skip


def write_arrays(path: Path, found: Explanation) -> None:
    """Write the attributions themselves, with the signal as the model saw it, as a NumPy archive."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            attribution=found.attribution,
            classes=np.array(found.classes),
            leads=np.array(found.record.leads),
            fs=found.record.fs,
            unit=found.unit,
            signal_mv=found.record.signal,
        )


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV; what is None is empty. Without rows there is no file."""
    if not rows:
        return
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_summary_pictures(folder: Path, pictures: Mapping[str, Figure]) -> None:
    """Write figures of a split under their names as PNG."""
    from einthoven.plots.inline import save_figure

    for name, figure in pictures.items():
        save_figure(figure, folder / f"{fit_name(name)}.png")
