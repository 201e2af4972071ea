"""What mkdocs does beside its own: notebooks become pages, and the reference tables are written from the registries.

Nothing is installed for it: a notebook is JSON, and its cells are Markdown and code already. Pictures that a cell drew
lie beside the page; an animation or a widget has no place here.
"""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

from reference_tables import PAGES

__all__ = ["on_files", "page_of"]

_TO_NOTEBOOK = re.compile(r"\]\(([\w./-]+)\.ipynb")
_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every notebook and every table; the notebook itself stays, to be downloaded."""
    for notebook in [each for each in files if each.src_uri.endswith(".ipynb")]:
        name = notebook.src_uri.removesuffix(".ipynb")
        text, pictures = page_of(json.loads(notebook.content_string), Path(name).name)
        files.append(File.generated(config, f"{name}.md", content=text))
        for picture, data in pictures.items():
            files.append(File.generated(config, f"{Path(name).parent.as_posix()}/{picture}", content=data))
    for name, write in PAGES.items():
        files.append(File.generated(config, name, content=write()))
    return files


def page_of(notebook: Mapping[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by file name.

    Args:
        notebook: as its JSON says, format 4.
        name: of the file, without ending; pictures are called after it.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(_TO_NOTEBOOK.sub(r"](\1.md", source))
        elif cell["cell_type"] == "code" and source.strip():
            parts.append(f"```{_language(source)}\n{_shown(source)}\n```")
            parts += _outputs(cell["outputs"], name, pictures)
    first, *rest = parts
    link = f"*This page is the notebook [{name}.ipynb]({name}.ipynb); run it where Einthoven is installed.*"
    return "\n\n".join([first, link, *rest]) + "\n", pictures


def _language(source: str) -> str:
    return "bash" if source.startswith("!") else "python"


def _shown(source: str) -> str:
    """Commands without the mark that tells a notebook of them."""
    return re.sub(r"^!", "", source, flags=re.M) if source.startswith("!") else source


def _outputs(outputs: list[Mapping[str, Any]], name: str, pictures: dict[str, bytes]) -> Iterator[str]:
    for output in outputs:
        data = output.get("data", {})
        if "image/png" in data:
            picture = f"{name}-{len(pictures) + 1}.png"
            pictures[picture] = base64.b64decode("".join(data["image/png"]))
            yield f"![{_alternative(data)}]({picture})"
        elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
            yield f"```text\n{_TERMINAL.sub('', text)}\n```"


def _alternative(data: Mapping[str, Any]) -> str:
    """What a picture is of; a figure tells it only as the size of an object."""
    return "".join(data.get("text/alt", "what the cell above drew"))
