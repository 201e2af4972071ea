"""The page that people read: one HTML file without network, laid out by templates beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

import einthoven.evaluation
from einthoven.evaluation.wording import sentence
from einthoven.explain.explanation import NOT_A_DEVICE
from einthoven.explain.verdicts import MEANINGS, Verdict
from einthoven.files import atomic_write

__all__ = ["render_page", "verdict_views"]

# The style is that of the model report.
_FOLDERS = (Path(__file__).parent, Path(einthoven.evaluation.__file__).parent)
_TITLES = {
    "completeness": "Does it add up?",
    "faithfulness": "Does what it marks matter?",
    "randomisation": "Does it depend on what was learned?",
    "stability": "Is it the same again?",
    "waves": "Is conduction seen in the QRS complex?",
}


def render_page(path: Path, template: str, **view: Any) -> None:
    """Fill a template and write the page, whole or not at all.

    Raises:
        EinthovenError: the file cannot be written.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDERS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["sentence"] = sentence
    page = environment.get_template(template).render(disclaimer=NOT_A_DEVICE, **view)
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def verdict_views(verdicts: list[Verdict]) -> list[dict[str, Any]]:
    """Verdicts under the question that each check answers."""
    return [
        {
            "title": _TITLES[check],
            "meaning": meaning,
            "rows": [each.to_dict() for each in verdicts if each.check == check],
        }
        for check, meaning in MEANINGS.items()
        if any(each.check == check for each in verdicts)
    ]
