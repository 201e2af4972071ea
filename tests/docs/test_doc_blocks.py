"""Every command and code block of README and documentation exists: programs, options, keys, modules. None is executed."""

import ast
import importlib.util
import json
import re

import pytest
from doc_blocks import Block, blocks_of, command_lines, commands_of, name_of, pages
from doc_checks import check, check_recipe, reason_not_to_run
from doc_tables import GIVEN, NOT_RUN, PLACES, PLAIN_TEXT, PYTHON_NOT_RUN, SHOWS_OUTPUT

BLOCKS = [block for page in pages() for block in blocks_of(page)]
COMMANDS = [command for block in BLOCKS if block.kind in ("shell", "session") for command in commands_of(block)]


def of_kind(*kinds):
    return pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind in kinds], ids=str)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: f"{c.block}: {c}"[:90])
def test_every_command_exists_with_its_options(command):
    check(command)


@of_kind("python")
def test_every_python_block_compiles_and_imports_what_there_is(block):
    for node in ast.walk(ast.parse(block.text)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        assert all(importlib.util.find_spec(name) for name in names), names
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert all(
                hasattr(module, a.name) or importlib.util.find_spec(f"{node.module}.{a.name}") for a in node.names
            )


@of_kind("yaml")
def test_every_yaml_block_is_a_recipe(block):
    check_recipe(block.text)


@of_kind("json")
def test_every_json_block_is_json(block):
    json.loads(block.text)


def test_every_block_is_run_checked_or_listed_as_text():
    unknown = [b for b in BLOCKS if b.kind.startswith("unknown") or (b.kind == "text" and not _is_told(b))]
    assert not unknown, f"give them a language, or list them in doc_tables.PLAIN_TEXT: {[str(b) for b in unknown]}"


def _is_told(block):
    return (block.page, block.first) in PLAIN_TEXT or _fence_says_text(block)


def _fence_says_text(block):
    page = next(page for page in pages() if name_of(page) == block.page)
    above = page.read_text(encoding="utf-8").splitlines()[block.line - 2].strip()
    return above.startswith(("```", "~~~")) and above.strip("`~ ") != ""


@of_kind("shell", "session")
def test_output_is_shown_only_where_that_is_said(block):
    shown = command_lines(block)[1]
    assert not shown or (block.page, block.first) in SHOWS_OUTPUT, f"no program that we know: {shown[0]}"


def test_the_tables_hold_nothing_that_the_pages_no_longer_have():
    names = {name_of(page) for page in pages()}
    first = {(block.page, block.first) for block in BLOCKS}
    assert set(GIVEN) | set(PLACES) <= names
    assert first >= PLAIN_TEXT
    assert first >= set(SHOWS_OUTPUT) | set(PYTHON_NOT_RUN)


def test_a_command_that_is_not_run_has_a_reason_of_words():
    assert all(len(why.split()) >= 3 for _, why in NOT_RUN)
    skipped = [command for command in COMMANDS if reason_not_to_run(command)]
    assert len(skipped) < len(COMMANDS) * 0.6


def _one(text, kind="shell"):
    return commands_of(Block("page", 1, kind, text))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("einthoven predikt x y", "no command 'predikt'"),
        ("einthoven predict", "Missing argument"),
        ("einthoven predict m f.csv --fz 5", "No such option"),
        ("einthoven predict m f.csv --fs fast", "Invalid value for '--fs'"),
        ("einthoven labels shew", "no command 'shew'"),
        ("make everything", "no target 'everything'"),
        ("pip install 'einthoven[trian]'", "no extra trian"),
        ("python benchmarks/nothing.py", "there is no benchmarks/nothing.py"),
        ("python benchmarks/models.py D --modles x", "has no option --modles"),
        ("python -m einthoven.nothing", "there is no module"),
        ("curly http://x", ""),
    ],
)
def test_a_mistake_in_a_command_is_found(line, complaint):
    if not complaint:
        assert command_lines(Block("page", 1, "shell", line)) == ([], [line])
        return
    with pytest.raises(AssertionError, match=re.escape(complaint)):
        check(_one(line)[0])


def test_a_mistake_in_a_key_of_a_recipe_is_found():
    with pytest.raises(Exception, match="epochs"):
        check(_one("einthoven train recipes/demo.yaml training.epoch=5")[0])
    with pytest.raises(Exception, match="augment"):
        check_recipe("training: {augmentt: [noise]}")


def test_blocks_are_found_fenced_indented_and_in_sessions():
    text = "a\n\n    einthoven runs   # why\n\n* list\n\n    more of the list\n\n```bash\nmake demo && \\\n  make test\n```\n"
    text += "\n```\n$ einthoven runs | cat > out.txt\nname\n```\n"
    found = blocks_of("page.md", text)
    assert [(block.kind, block.line) for block in found] == [("shell", 3), ("shell", 10), ("session", 15)]
    assert [str(c) for c in commands_of(found[1])] == ["make demo", "make test"]
    assert [(str(c), c.follows, c.into) for c in commands_of(found[2])] == [
        ("einthoven runs", "", None),
        ("cat", "|", "out.txt"),
    ]
    assert command_lines(found[2])[1] == ["name"]
