"""The site: it builds without a warning, asks no other host for anything, and lists what the registries know."""

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from doc_blocks import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import reference_tables

from einthoven.augment import list_augmentations
from einthoven.bundle import list_pretrained
from einthoven.corpora import list_corpora
from einthoven.edge.formats import FORMATS
from einthoven.explain.catalogue import METHODS
from einthoven.formats import list_formats
from einthoven.labels import system_names
from einthoven.models import list_models
from einthoven.splits import list_methods
from einthoven.training.schema import Recipe

needs_mkdocs = pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs comes with the extra docs")
# What a page may fetch: scripts, styles, fonts, pictures, frames. Links that a reader follows are no matter.
FETCHED = re.compile(r"<(?:script|img|iframe|source|video|audio)\b[^>]*\bsrc=[\"']?(?:https?:)?//", re.I)
STYLED = re.compile(
    r"<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|preload|icon|preconnect))[^>]*\bhref=[\"']?(?:https?:)?//", re.I
)
IN_STYLE = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", re.I)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("models.md", lambda: list_models()),
        ("training.md", lambda: list_augmentations()),
        ("data.md", lambda: [*list_corpora(), *system_names(), *list_methods()]),
        ("deploying.md", lambda: [*FORMATS, *list_pretrained()]),
        ("keys.md", lambda: [key for key, *_ in reference_tables.keys_of(Recipe)]),
    ],
)
def test_every_registered_name_has_its_row(page, names):
    text = reference_tables.PAGES[f"reference/{page}"]()
    rows = re.findall(r"^\| (`[^|]*) \|(?: (`[^|]*) \|)?", text, re.M)
    told = {cell.strip("` ") for row in rows for cell in row}
    assert set(names()) - told == set()


def test_formats_and_explanations_have_their_rows():
    text = reference_tables.data_page()
    assert all(f"| {entry.name} |" in text for entry in list_formats())
    methods = METHODS.values() if isinstance(METHODS, dict) else METHODS
    assert all(f"| `{method.name}` |" in reference_tables.deploying_page() for method in methods)


def test_a_key_of_the_reference_is_a_key_of_the_schema_and_has_its_default():
    keys = {key: default for key, _, default, _ in reference_tables.keys_of(Recipe)}
    assert keys["training.epochs"] == f"`{Recipe(name='x', data={'dataset': 'y'}).training.epochs}`"
    assert keys["name"] == keys["data.dataset"] == keys["training.distill.teacher"] == "required"
    choices = dict(reference_tables.choices_of(Recipe))
    assert "muon" in choices["training.optimizer"]
    assert set(choices) <= set(keys)


def test_every_command_of_the_command_line_is_in_the_reference():
    from einthoven.cli.main import app

    text = reference_tables.commands_page()
    named = [command.name or command.callback.__name__.replace("_", "-") for command in app.registered_commands]
    assert all(f"## einthoven {name}\n" in text for name in named)
    assert "`--split`" in text.split("## einthoven evaluate\n")[1].split("\n## ")[0]


@needs_mkdocs
def test_a_notebook_becomes_markdown_with_its_outputs_and_pictures():
    from docs_hooks import page_of

    cells = [
        {"cell_type": "markdown", "source": ["# A title\n", "[next](other.ipynb#part)"]},
        {
            "cell_type": "code",
            "source": "!einthoven runs",
            "outputs": [{"output_type": "stream", "text": ["one\n", "two\n"]}],
        },
        {
            "cell_type": "code",
            "source": "draw()",
            "outputs": [{"output_type": "display_data", "data": {"image/png": "aGVs", "text/plain": "<Figure>"}}],
        },
        {"cell_type": "code", "source": "", "outputs": []},
    ]
    text, pictures = page_of({"cells": cells}, "name")
    assert text.startswith("# A title\n[next](other.md#part)\n\n")
    assert "[name.ipynb](name.ipynb)" in text
    assert "```bash\neinthoven runs\n```\n\n```text\none\ntwo\n```" in text
    assert "```python\ndraw()\n```\n\n![what the cell above drew](name-1.png)" in text
    assert pictures == {"name-1.png": b"hel"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The documentation as `make docs` builds it."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True))
    return folder


@needs_mkdocs
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_site_builds_strictly_and_no_page_fetches_from_another_host(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not FETCHED.search(text), page
        assert not STYLED.search(text), page
    for style in site.rglob("*.css"):
        assert not IN_STYLE.search(style.read_text(encoding="utf-8")), style


@needs_mkdocs
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_tutorial_and_table_is_a_page_that_search_finds(site):
    for page in ("tutorials/student", "reference/models", "how-to/cross-validate", "coming-from/map583"):
        assert (site / page / "index.html").is_file()
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {"tutorials/student/", "reference/commands/"} <= found


def test_the_patterns_find_what_they_are_for():
    assert FETCHED.search('<script async src="https://cdn.example/x.js">')
    assert FETCHED.search("<img alt=x src=//cdn.example/x.png>")
    assert not FETCHED.search('<img src="../images/x.png"><a href="https://physionet.org">')
    assert STYLED.search('<link rel="stylesheet" href="https://fonts.example/css">')
    assert not STYLED.search('<link rel="canonical" href="https://einthoven.example/">')
    assert IN_STYLE.search("@font-face{src:url(https://fonts.example/x.woff2)}")


def test_pictures_of_the_pages_are_there():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"!\[[^\]]*\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).is_file() or target.startswith("http"), f"{Path(page).name}: {target}"
