"""Run the tutorials and keep what they print: ``python scripts/tutorials.py [NAME ...]``.

Each notebook runs in a folder of its own. MIT-BIH, for the student's, lies where ``EINTHOVEN_TEST_DATA`` points.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

__all__ = ["TUTORIALS", "run", "tidy"]

TUTORIALS = Path(__file__).parents[1] / "docs" / "tutorials"
_BAR = re.compile(r"^.*[━╸╺].*\n?", re.M)
_WARNING = re.compile(r"^.*(Warning|warn\().*\n?", re.M)


def run(path: Path, folder: Path, timeout: int = 3600) -> nbformat.NotebookNode:
    """Execute a notebook in ``folder`` and return it with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed, or a command of one, which a notebook alone hides.
    """
    notebook = nbformat.read(path, as_version=4)
    programs = str(Path(sys.executable).parent)
    os.environ["PATH"] = f"{programs}{os.pathsep}{os.environ['PATH']}"
    first = nbformat.v4.new_code_cell(_CHECKED)
    notebook.cells.insert(0, first)
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    notebook.cells.remove(first)
    return tidy(notebook)


# A command that ends with an error is an error of its cell; in a notebook as it is, nobody would notice.
_CHECKED = """
def _checked(command, _plain=get_ipython().system):
    _plain(command)
    code = get_ipython().user_ns.get("_exit_code", 0)
    if code and "flat.npz" not in command:
        raise RuntimeError(f"{command}: ended with {code}")
get_ipython().system = _checked
"""


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Leave out what differs from run to run and says nothing: counts, times, progress, half lines of one stream."""
    for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), start=1):
        cell.execution_count = number
        cell.metadata = {}
        cell.outputs = [_plain(output) for output in _joined(cell.outputs)]
    notebook.metadata = {key: notebook.metadata[key] for key in ("kernelspec", "language_info")}
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """Streams as one: what a command writes on both is read in order."""
    found: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and found and found[-1].output_type == "stream":
            found[-1]["text"] += output["text"]
        else:
            found.append(output)
    return found


def _plain(output: Any) -> Any:
    if output.output_type == "stream":
        text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output["text"]).replace("\r\n", "\n")
        output["text"] = _WARNING.sub("", _BAR.sub("", re.sub(r"[^\n]*\r", "", text)))
        output["name"] = "stdout"
    if "execution_count" in output:
        output["execution_count"] = None
    output.get("data", {}).pop("text/html", None)
    return output


def _mitdb(folder: Path) -> None:
    """MIT-BIH where the notebook looks for it."""
    real = Path(os.environ.get("EINTHOVEN_TEST_DATA", "")) / "mitdb"
    if not real.is_dir():
        sys.exit("EINTHOVEN_TEST_DATA must point to a folder with mitdb, for the student's notebook")
    (folder / "corpora").mkdir()
    (folder / "corpora" / "mitdb").symlink_to(real)


def main(names: list[str]) -> None:
    """Run the tutorials of these names, or all, and write them with their outputs."""
    for path in sorted(TUTORIALS.glob("*.ipynb")):
        if not names or path.stem in names:
            print(path.stem, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                if path.stem == "student":
                    _mitdb(Path(folder))
                nbformat.write(run(path, Path(folder)), path)


if __name__ == "__main__":
    main(sys.argv[1:])
