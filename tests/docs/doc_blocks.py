"""Pages taken apart: their code blocks, and the commands within them.

A block is fenced, or indented by four spaces after an empty line. Its kind is its language; where it has none, the first
word tells: a program that we know makes it a shell block, ``$ `` a session with output, all else is text.
"""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("einthoven", "python", "make", "pip", "curl", "source", "cd", "tar", "git", "conda", "docker", "podman")
PROGRAMS += (
    ".venv-edge/bin/einthoven",
    ".venv/bin/einthoven",
    ".venv/bin/python",
    "export",
    "mkdir",
    "openssl",
    "ray",
    "sbatch",
    "kubectl",
)
_LANGUAGES = {"bash": "shell", "sh": "shell", "console": "session", "python": "python", "yaml": "yaml", "json": "json"}
_LANGUAGES |= {"csv": "text", "text": "text", "html": "text", "js": "text", "javascript": "text", "dockerfile": "text"}
_SEPARATORS = ("&&", "||", ";", "|", "&")


@dataclass(frozen=True)
class Block:
    """One code block of a page: ``line`` is that of its first line, counted from 1."""

    page: str
    line: int
    kind: str
    text: str

    @property
    def first(self) -> str:
        return self.text.strip().splitlines()[0].strip() if self.text.strip() else ""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One simple command: its words as a shell gives them, and the files that its output goes to."""

    block: Block
    words: list[str]
    into: str | None = None
    follows: str = ""  # the separator before it, as && or |
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return " ".join(self.words)


def pages():
    """README and every Markdown page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def blocks_of(page, text=None):
    """All blocks of a page, in order."""
    lines = (page.read_text(encoding="utf-8") if text is None else text).splitlines()
    found, k, name = [], 0, name_of(page) if text is None else str(page)
    while k < len(lines):
        if fence := re.match(r"^( *)(`{3,}|~{3,}) *([\w+-]*)[^`]*$", lines[k]):
            k, block = _fenced(lines, k, fence, name)
        elif lines[k].startswith("    ") and lines[k].strip() and _may_begin(lines, k):
            k, block = _indented(lines, k, name)
        else:
            k += 1
            continue
        found.append(block)
    return found


def _fenced(lines, k, fence, page):
    indent, mark, language = fence.groups()
    end = k + 1
    while end < len(lines) and not lines[end].strip().startswith(mark):
        end += 1
    text = "\n".join(line.removeprefix(indent) for line in lines[k + 1 : end])
    return end + 1, Block(page, k + 2, _LANGUAGES.get(language) or _told_by_its_words(text, language), text)


def _may_begin(lines, k):
    """An indented block stands after an empty line, and not below a list, where the indent is the list's."""
    if k and lines[k - 1].strip():
        return False
    above = next((line for line in reversed(lines[:k]) if line.strip() and not line.startswith("    ")), "")
    return not re.match(r" *([*+-]|\d+\.) |!!! |\?\?\? |  \S", above)


def _indented(lines, k, page):
    end = k
    while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
        end += 1
    text = "\n".join(line[4:] for line in lines[k:end]).rstrip()
    return end, Block(page, k + 1, _told_by_its_words(text, ""), text)


def _told_by_its_words(text, language):
    if language:
        return f"unknown language {language}"
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    if first.startswith("$ "):
        return "session"
    word = first.split(" ")[0]
    return "shell" if word in PROGRAMS else "text"


def command_lines(block):
    """The lines of a shell block that are commands, continuations joined; and those that are shown output."""
    joined = re.sub(r" *\\\n\s*", " ", block.text).splitlines()
    if block.kind == "session":
        commands = [line[2:] for line in joined if line.startswith("$ ")]
        return commands, [line for line in joined if line.strip() and not line.startswith("$ ")]
    told = [line for line in joined if line.strip() and not line.lstrip().startswith("#")]
    commands = [line for line in told if _is_command(line)]
    return commands, [line for line in told if not _is_command(line)]


def _is_command(line):
    words = line.split()
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):  # VARIABLE=value before the program
        words = words[1:]
    return bool(words) and words[0] in PROGRAMS


def commands_of(block):
    """Every simple command of a shell block."""
    found = []
    for line in command_lines(block)[0]:
        found += _simple(block, line)
    return found


def _simple(block, line):
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words, into, found, before, to_file = [], None, [], "", False
    for word in [*lexer, ";"]:
        if word in _SEPARATORS:
            if words:
                found.append(Command(block, words, into, before, line))
            words, into, before = [], None, word
        elif word in (">", ">>"):
            to_file = True
        elif to_file:
            into, to_file = word, False
        else:
            words.append(word)
    return found
