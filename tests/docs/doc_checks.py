"""Is a command one that exists? Parsed by its own parser, executed by nobody."""

import ast
import importlib.util
import re
import tomllib
from functools import cache

import typer
import yaml
from doc_blocks import ROOT
from doc_tables import NOT_RUN

from einthoven.cli.main import app
from einthoven.training.grid import expand
from einthoven.training.recipe import parse_recipe

_RECIPE = "name: x\ndata: {dataset: y}\n"
_WITHOUT_SWEEP = re.compile(r"^sweep\.")


def reason_not_to_run(command):
    """Why a command is not executed, or None."""
    return next((why for pattern, why in NOT_RUN if re.fullmatch(pattern, str(command))), None)


def check(command):
    """Check one command without running it.

    Raises:
        AssertionError: the program, option, target, script, extra or key of a recipe does not exist.
    """
    words = [word for word in command.words if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    program = words[0].rsplit("/", 1)[-1]
    checks = {"einthoven": _check_einthoven, "make": _check_make, "pip": _check_pip, "python": _check_python}
    if program in checks:
        checks[program](words[1:], command)
    else:
        assert reason_not_to_run(command) or program in ("cd", "mkdir", "export"), f"{command}: who runs {program}?"


@cache
def _commands():
    return typer.main.get_command(app)


def _check_einthoven(words, command):
    """Let click parse the words: unknown commands and options, missing arguments and bad values are errors."""
    group, rest = _commands(), list(words)
    if not rest or rest[0].startswith("-"):
        _parse(group, rest, command)
        return
    while commands := getattr(group, "commands", None):  # of a group
        assert rest, f"{command}: which subcommand?"
        name = rest.pop(0)
        assert name in commands, f"{command}: there is no command {name!r}"
        group = commands[name]
    _parse(group, rest, command)
    if words[0] in ("train", "sweep"):
        _check_overrides(words[1:], command)


def _parse(group, words, command):
    try:
        group.make_context("einthoven", list(words))
    except typer.Exit:
        pass  # --help and --version end here
    except Exception as error:
        if not hasattr(error, "format_message"):  # of click, or of what typer brings in its place
            raise
        raise AssertionError(f"{command}: {error.format_message()}") from None


def _check_overrides(words, command):
    """Every KEY=VALUE is a key of the schema with a fitting value; a list is an axis."""
    overrides = [w for w in words if "=" in w and not w.startswith("-") and not _WITHOUT_SWEEP.match(w)]
    recipe = next((ROOT / w for w in words if w.endswith(".yaml") and (ROOT / w).is_file()), None)
    text = recipe.read_text(encoding="utf-8") if recipe else _RECIPE
    assert expand(text, overrides, str(command))


def _check_make(words, command):
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for word in words:
        assert "=" in word or word in targets, f"{command}: the Makefile has no target {word!r}"


@cache
def _extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def _check_pip(words, command):
    for extras in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
        unknown = set(extras.split(",")) - _extras()
        assert not unknown, f"{command}: pyproject.toml has no extra {', '.join(unknown)}"


def _check_python(words, command):
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), f"{command}: there is no module {words[1]}"
        return
    if words[0] == "-c":
        ast.parse(words[1])
        return
    script = ROOT / words[0]
    assert script.is_file(), f"{command}: there is no {words[0]}"
    text = script.read_text(encoding="utf-8")
    for option in (word.split("=")[0] for word in words[1:] if word.startswith("--")):
        assert f'"{option}"' in text, f"{command}: {words[0]} has no option {option}"


def check_recipe(text):
    """A YAML block is a recipe or a part of one, a list of augmentations, or a section ``sweep``."""
    values = yaml.safe_load(text)
    if isinstance(values, list):
        values = {"training": {"augment": values}}
    searched = values.pop("sweep", None)
    whole = {"name": "x", **values, "data": {"dataset": "y", **values.get("data", {})}}
    assert expand(yaml.safe_dump(whole, sort_keys=False))
    for key, wanted in ((searched or {}).get("parameters") or {}).items():
        value = wanted[0] if isinstance(wanted, list) else wanted["low"]
        parse_recipe(_RECIPE, overrides=[f"{key}={yaml.safe_dump(value, default_flow_style=True).strip()}"])
