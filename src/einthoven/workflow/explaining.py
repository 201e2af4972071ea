"""Explain ECG files: a page with everything, a picture for each finding, numbers, and arrays where they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from einthoven.bundle import Bundle, load_bundle
from einthoven.dataset import Dataset, open_dataset
from einthoven.errors import RecordError
from einthoven.explain.catalogue import Settings, check_classes, method_named
from einthoven.files import write_json
from einthoven.formats import read_record
from einthoven.record import Record
from einthoven.workflow.explaining_outputs import check_folder, draw_class, fit_name, names_of, staged, write_arrays

if TYPE_CHECKING:
    from einthoven.explain import Explanation
    from einthoven.explain.page_files import Gains
    from einthoven.explain.subject import Model

__all__ = ["ExplainedFiles", "explain_files"]

Progress = Callable[[int, int], None]


@dataclass
class ExplainedFiles:
    """What was explained, and where it lies.

    Attributes:
        folder: of page, pictures and numbers; not there where nothing was explained.
        done: explanations by file.
        gains: of each file and class, how deletion and insertion compare with other orders.
        failed: reasons by file.
    """

    folder: Path
    done: dict[Path, Explanation] = field(default_factory=dict)
    gains: dict[Path, Gains] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _How:
    """What is the same for all files of a call."""

    bundle: Bundle
    method: str
    classes: Sequence[str] | None
    dataset: Dataset | None
    settings: Settings


def explain_files(
    model: str | Path,
    files: Sequence[Path],
    *,
    method: str = "ig",
    classes: Sequence[str] | None = None,
    out: Path = Path("explanation"),
    background: Path | None = None,
    settings: Settings | None = None,
    save: bool = False,
    common_scale: bool = False,
    stated: Mapping[str, Any] | None = None,
    patient: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> ExplainedFiles:
    """Explain ECG files: ``explain.html``, ``FILE-CLASS.png`` for each finding, ``explanation.json``, and arrays.

    A file that cannot be read or is refused does not stop the others. Where none is explained, nothing is written; a
    call that fails or is interrupted writes nothing either.

    Args:
        model: a run, a bundle or a pretrained name.
        files: of any readable format.
        method: one of ``METHODS``.
        classes: to explain; by default what is found in each.
        out: folder to write.
        background: a prepared dataset whose training records are compared with, in place of synthetic ones.
        settings: of the method.
        save: whether to write the attributions themselves, as ``FILE.npz``.
        common_scale: whether colours mean the same in all pictures of a file; by default each has its own scale.
        stated: rate, unit and leads where files do not tell.
        patient: age and sex where files do not tell.
        progress: called with steps done and their number: one to explain and one to draw each file.

    Raises:
        EinthovenError: an unknown method or class, a folder that cannot be written, or a method that does not fit the
            network.
    """
    settings = settings or Settings(steps=method_named(method).steps)
    check_folder(out)
    bundle = load_bundle(model)
    check_classes(bundle, classes or ())
    how = _How(bundle, method, classes, open_dataset(background) if background else None, settings)
    done, network = ExplainedFiles(out), None
    move = progress or (lambda done, total: None)
    for k, file in enumerate(files):
        move(k, 2 * len(files))
        try:
            record = replace(read_record(file, **(stated or {})), **(patient or {}))
            network = network or _open(bundle)  # not before there is something to explain
            done.done[file], done.gains[file] = _explain_one(record, network, how)
        except RecordError as error:
            done.failed[file] = str(error)
    if done.done:
        with staged(out) as folder:
            _write_pictures(done, files, folder, move, save=save, common_scale=common_scale)
            _write_numbers(done, bundle, folder)
    move(2 * len(files), 2 * len(files))
    return done


def _open(bundle: Bundle) -> Model:
    from einthoven.explain import open_model

    return open_model(bundle)


def _explain_one(record: Record, network: Model, how: _How) -> tuple[Explanation, Gains]:
    from einthoven.explain import dataset_background, open_subject
    from einthoven.explain.checks import faithfulness
    from einthoven.explain.explaining import explain_subject

    subject, given = open_subject(how.bundle, record, network), None
    if how.dataset is not None and method_named(how.method).reference == "background":
        given = dataset_background(
            how.bundle, how.dataset, subject.x.shape[1], how.settings.n_background, how.settings.seed
        )
    found = explain_subject(
        subject, method=how.method, classes=how.classes, background=given, settings=how.settings
    )  # fmt: skip
    seed = how.settings.seed
    return found, {name: faithfulness(subject, found.of(name), name, seed).gains for name in found.classes}


def _write_pictures(
    done: ExplainedFiles, files: Sequence[Path], folder: Path, move: Progress, *, save: bool, common_scale: bool
) -> None:
    from einthoven.plots.inline import save_figure

    for k, (file, name) in enumerate(zip(files, names_of(files), strict=True)):
        move(len(files) + k, 2 * len(files))
        if file not in done.done:
            continue
        found = done.done[file]
        for each in found.classes:
            save_figure(draw_class(found, each, common_scale), folder / f"{name}-{fit_name(each)}.png")
        if save:
            write_arrays(folder / f"{name}.npz", found)


def _write_numbers(done: ExplainedFiles, bundle: Bundle, folder: Path) -> None:
    from einthoven.explain.page_files import write_files_page
    from einthoven.explain.verdicts import record_verdicts

    names = dict(zip(done.done, names_of(list(done.done)), strict=True))
    listed = [
        {
            "file": file.name,
            **found.to_dict(),
            "faithfulness": {name: dict(gains) for name, gains in done.gains[file].items()},
            "checks": [each.to_dict() for each in record_verdicts(found, done.gains[file])],
        }
        for file, found in done.done.items()
    ]
    failed = [{"file": file.name, "error": why} for file, why in done.failed.items()]
    write_json(folder / "explanation.json", {"model": bundle.name, "explained": listed, "failed": failed})
    write_files_page(
        folder / "explain.html",
        {names[file]: found for file, found in done.done.items()},
        {names[file]: gains for file, gains in done.gains.items()},
        {str(file): why for file, why in done.failed.items()},
    )
