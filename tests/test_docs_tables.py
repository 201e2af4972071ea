"""The tables of what is supported: complete, and each row backed by a test that exists."""

import re
from pathlib import Path

import pytest

from einthoven.corpora import list_corpora
from einthoven.formats import list_formats

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| (?P<name>[^|]+) \|.*\| `(?P<file>test_\w+\.py)::(?P<test>test_\w+)` \|$", re.M)


def rows(page):
    return [m.groupdict() for m in ROW.finditer((ROOT / "docs" / page).read_text())]


@pytest.mark.parametrize(
    ("page", "known"),
    [
        ("formats.md", {reader.name for reader in list_formats()}),
        ("corpora.md", set(list_corpora())),
    ],
)
def test_every_format_and_corpus_has_a_row_and_every_row_a_test(page, known):
    table = rows(page)
    named = {name.strip("` ") for row in table for name in row["name"].split(",")}
    assert known <= named
    for row in table:
        (file,) = (ROOT / "tests").rglob(row["file"])
        assert f"def {row['test']}(" in file.read_text(), row
