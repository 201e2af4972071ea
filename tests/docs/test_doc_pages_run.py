"""The pages are followed, block by block, in a folder with small corpora and a trained run; see doc_tables."""

import os
from pathlib import Path

import doc_sandbox
import pytest
from doc_blocks import blocks_of, name_of, pages
from doc_checks import reason_not_to_run
from doc_running import Reader, call_einthoven

PAGES = [name_of(page) for page in pages() if any(b.kind in ("shell", "session", "python") for b in blocks_of(page))]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """The sandbox, built once; every page writes into a copy."""
    folder, before = tmp_path_factory.mktemp("sandbox"), Path.cwd()
    os.chdir(folder)
    try:
        return doc_sandbox.build(folder)
    finally:
        os.chdir(before)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_the_page_runs(page, base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reader, failed = Reader(page, base, tmp_path / "page"), []
    for block in blocks_of(doc_sandbox.ROOT / page):
        try:
            reader.follow(block)
        except Exception as error:  # all faults of a page at once: a run takes minutes
            failed.append(f"{block}: {type(error).__name__}: {error}")
    assert not failed, "\n\n".join(failed)


@pytest.mark.parametrize(
    "words",
    [
        "einthoven --help",
        "einthoven --version",
        "einthoven list formats",
        "einthoven list corpora",
        "einthoven models --pretrained",
        "einthoven labels list",
        "einthoven labels explain 59118001",
        "einthoven download --list",
    ],
)
def test_the_commands_that_need_no_data_run(words):
    code, printed = call_einthoven(words.split())
    assert code == 0
    assert len(printed.splitlines()) >= 1


def test_a_command_that_fails_fails_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    reader = Reader("page.md", tmp_path / "base", tmp_path / "page")
    for text in ("```bash\neinthoven prepare ptb-xl nowhere\n```", "```python\n1 / 0\n```"):
        (block,) = blocks_of("page.md", text)
        with pytest.raises((AssertionError, ZeroDivisionError), match=r"nowhere|division"):
            reader.follow(block)


def test_what_is_not_run_is_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    (block,) = blocks_of("page.md", "```bash\npip install nothing-of-that-name\n```")
    Reader("page.md", tmp_path / "base", tmp_path / "page").follow(block)
    from doc_blocks import commands_of

    assert reason_not_to_run(commands_of(block)[0])
