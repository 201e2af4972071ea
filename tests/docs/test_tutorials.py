"""The notebooks: committed with what they print, small, of no machine in particular, and they run from start to end."""

import os
import re
import sys
from pathlib import Path

import pytest
from doc_blocks import ROOT, Block, commands_of
from doc_checks import check, check_recipe

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests" / "corpora")]
import tutorials

NOTEBOOKS = sorted(tutorials.TUTORIALS.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_is_one_for_every_user_and_for_the_earlier_notebooks():
    assert {path.stem for path in NOTEBOOKS} >= {
        "researcher",
        "clinic",
        "engineer",
        "student",
        "data-and-splits",
        "exploration",
    }
    index = (tutorials.TUTORIALS / "index.md").read_text(encoding="utf-8")
    assert all(f"({path.stem}.md)" in index for path in NOTEBOOKS)
    assert sum(path.stat().st_size for path in NOTEBOOKS) < 2_000_000


@each_notebook
def test_it_is_a_valid_notebook_with_outputs_and_without_an_error(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    cells = code_cells(path)
    outputs = [output for cell in cells for output in cell.outputs]
    assert len(outputs) > len(cells) // 3
    assert not [output for output in outputs if output.output_type == "error"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@each_notebook
def test_it_tells_of_no_machine_and_of_no_accident(path):
    text = path.read_text(encoding="utf-8")
    for told in (r"/home/\w", r"/root/", r"/tmp/", r"/Users/", "Traceback", r"\\u001b\["):
        assert not re.search(told, text), told


@each_notebook
def test_its_commands_and_recipes_exist(path):
    for cell in code_cells(path):
        lines = [line[1:] for line in cell.source.splitlines() if line.startswith("!")]
        for command in commands_of(Block(path.stem, 1, "shell", "\n".join(lines))):
            check(command)
        if cell.source.startswith("%%writefile"):
            check_recipe(cell.source.partition("\n")[2])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@each_notebook
def test_it_runs_from_start_to_end(path, tmp_path):
    if path.stem == "student":
        _mitdb(tmp_path)
    notebook = tutorials.run(path, tmp_path)
    assert not [
        o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs if o.output_type == "error"
    ]


def _mitdb(folder):
    """Real records where there are any, else synthetic ones of the same layout."""
    from mit_writer import regular, write_record

    from einthoven.corpora.mitdb import DS1, DS2

    real = Path(os.environ.get("EINTHOVEN_TEST_DATA", "/nowhere")) / "mitdb"
    place = folder / "corpora" / "mitdb"
    place.parent.mkdir()
    if real.is_dir():
        place.symlink_to(real)
        return
    place.mkdir()
    for name in (*DS1, *DS2):
        write_record(place, str(name), regular("NNVNNANNFNNQNNVNNANNFNNQNNVNNANNFNNQNNVNNA"))


def test_a_cell_whose_command_fails_is_a_failure(tmp_path):
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "x"}, "language_info": {"name": "python"}}
    )
    notebook.cells = [nbformat.v4.new_code_cell("!exit 3")]
    nbformat.write(notebook, tmp_path / "fails.ipynb")
    with pytest.raises(Exception, match="ended with 3"):
        tutorials.run(tmp_path / "fails.ipynb", tmp_path, timeout=300)


def test_tidying_leaves_out_bars_colours_and_counts():
    output = nbformat.v4.new_output(
        "stream", name="stderr", text="\x1b[1mdone\x1b[0m\nreading 10%\rreading 90%\rread\n"
    )
    cell = nbformat.v4.new_code_cell(
        "x", outputs=[output, nbformat.v4.new_output("stream", name="stdout", text="more\n")]
    )
    notebook = nbformat.v4.new_notebook(
        cells=[cell],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "x"},
            "language_info": {"name": "python", "version": "3.11.7"},
        },
    )
    (done,) = tutorials.tidy(notebook).cells
    assert [(o.name, o.text) for o in done.outputs] == [("stdout", "done\nread\nmore\n")]
    assert done.execution_count == 1
    assert notebook.metadata["language_info"] == {"name": "python"}
