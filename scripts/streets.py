"""Draw the start page's picture, ``streets.svg``, and its tall form for phones: ``python scripts/streets.py``.

The panel brings its own dark ground, so it reads alike on a light and on a dark page.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["draw"]

IMAGES = Path(__file__).parents[1] / "docs" / "images"
GROUND, LINE, TEXT = "#10263d", "#9fb8d3", "#d5e1ee"
GREY, BLUE, ORANGE, GREEN, PURPLE = "#3d5369", "#1f5f99", "#a84c08", "#1a6c59", "#5b4a8a"
BUILD = [
    ("Corpus", "files, labels,|patients, folds", GREY),
    ("Dataset", "one form; labels|as published", BLUE),
    ("Training", "augment, network,|exact resume", BLUE),
    ("Bundle", "weights, graph,|decisions, card", ORANGE),
    ("Judgement", "with intervals,|calibrated; report", GREEN),
]
USE = [
    ("File", "any format,|found by content", GREY),
    ("Record", "leads by name,|mV, rate, facts", BLUE),
    ("Checks", "what is unfit|is refused", BLUE),
    ("Same bundle", "windows, network,|decisions", ORANGE),
    ("Findings", "present, absent or|undecided; why", GREEN),
]
WORDS = (
    "The two streets of Einthoven. Build: a corpus becomes a dataset, a training, a bundle, and the bundle is judged. "
    "Use: a file becomes a record, is checked, judged by the same bundle, and findings come out. One preparation "
    "serves both."
)


def draw(tall: bool) -> str:
    """The picture as SVG; ``tall`` has the streets side by side from top to bottom."""
    width, height = (420, 690) if tall else (890, 404)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{WORDS}" '
        'font-family="system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif">',
        '<defs><marker id="a" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{LINE}"/></marker></defs>',
        f'<rect width="{width}" height="{height}" rx="12" fill="{GROUND}"/>',
    ]
    return "\n".join([*parts, *(_tall() if tall else _wide()), "</svg>"]) + "\n"


def _wide() -> list[str]:
    parts = [
        _text(24, 36, "BUILD", "from a corpus to a judged model"),
        _text(24, 266, "USE", "from a file to findings"),
    ]
    for y, street in ((52, BUILD), (282, USE)):
        parts += [_box(22 + 173 * k, y, 150, 82, *each) for k, each in enumerate(street)]
        parts += [_arrow(175 + 173 * k, y + 41, 192 + 173 * k, y + 41) for k in range(4)]
    parts += [_arrow(270, 166, 270, 138), _arrow(270, 228, 270, 278), _arrow(616, 138, 616, 278)]
    parts += [
        _box(195, 168, 323, 60, "conform: one preparation", "lead order, missing limb leads, rate, filter", PURPLE)
    ]
    return [
        *parts,
        _text(628, 204, "", "what is judged is deployed"),
        _text(24, 388, "", "No test record fits or chooses anything."),
    ]


def _tall() -> list[str]:
    tops = (46, 214, 342, 470, 598)
    parts = [_text(20, 32, "BUILD", "a judged model"), _text(230, 32, "USE", "findings")]
    for x, street in ((18, BUILD), (228, USE)):
        parts += [_box(x, top, 174, 84, *each) for top, each in zip(tops, street, strict=True)]
        parts += [_arrow(x + 87, top - 42, x + 87, top - 4) for top in tops[2:]]
        parts += [_arrow(x + 87, 132, x + 87, 146), _arrow(x + 87, 196, x + 87, 210)]
    parts += [_box(18, 150, 384, 44, "conform: one preparation for both", "", PURPLE), _arrow(194, 512, 224, 512)]
    return parts


def _box(x: int, y: int, width: int, height: int, head: str, words: str, colour: str) -> str:
    lines = [line for line in words.split("|") if line]
    top = y + height / 2 - 9 * len(lines) + 6
    shown = [f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{colour}"/>']
    shown.append(_line(x + width / 2, top, head, 17, 600))
    shown += [_line(x + width / 2, top + 20 + 18 * k, line, 14.5, 400) for k, line in enumerate(lines)]
    return "\n".join(shown)


def _line(x: float, y: float, words: str, size: float, weight: int) -> str:
    look = f'text-anchor="middle" font-size="{size}" font-weight="{weight}" fill="#ffffff"'
    return f'<text x="{x:g}" y="{y:g}" {look}>{words}</text>'


def _text(x: int, y: int, head: str, words: str) -> str:
    title = f'<tspan font-size="17" font-weight="700" fill="#ffffff">{head}</tspan> ' if head else ""
    return f'<text x="{x}" y="{y}" font-size="14.5" fill="{TEXT}">{title}{words}</text>'


def _arrow(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path d="M{x1} {y1}L{x2} {y2}" stroke="{LINE}" stroke-width="2.5" fill="none" marker-end="url(#a)"/>'


if __name__ == "__main__":
    for name, tall in (("streets", False), ("streets-tall", True)):
        (IMAGES / f"{name}.svg").write_text(draw(tall), encoding="utf-8")
