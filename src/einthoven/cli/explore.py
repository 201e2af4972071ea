"""``einthoven explore``: look at ECGs, models, runs and datasets in the browser, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["explore"]


def explore(
    runs: Annotated[Path, typer.Option(help="folder of run folders")] = Path("runs"),
    datasets: Annotated[Path, typer.Option(help="folder of prepared datasets, or one of them")] = Path("datasets"),
    model: Annotated[
        str | None,
        typer.Option(help="a bundle, a run, a pretrained name, or auroc, accuracy, loss or latest for the best run"),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="of localhost")] = 8501,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="print the address and open nothing")] = False,
) -> None:
    """Open a web page on this machine: read ECGs with a model, see why, look at runs. Not a medical device."""
    from einthoven.explorer.launch import launch
    from einthoven.explorer.settings import Settings
    from einthoven.workflow.choosing import find_choices

    find_choices(runs, model)  # a wrong --model is said here, not on the page
    launch(Settings(runs, datasets, model), port=port, open_page=not no_browser)
