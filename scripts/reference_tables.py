"""The pages of the reference that are written from the registries: what is listed is what the code knows.

``PAGES`` names each page and the function that writes its Markdown; mkdocs asks for them at build time
(``docs_hooks.py``), and tests compare them with the registries.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import BaseModel

__all__ = ["PAGES"]

_GENERATED = "*Written from the code when the documentation is built.*"


def models_page() -> str:
    """Every network with its size and what ``model.options`` may say of it."""
    from einthoven.models import create_model, list_models
    from einthoven.models._registry import _ENTRIES

    def rows() -> Iterator[list[str]]:
        for name in list_models():
            options = [each for each in inspect.signature(_ENTRIES[name]).parameters.values() if _is_option(each)]
            words = (inspect.getdoc(_ENTRIES[name]) or "").split("\n")[0]
            yield [_code(name), f"{create_model(name).n_parameters:,}", ", ".join(map(_option, options)), words]

    table = _table(["`model.name`", "parameters", "`model.options` and their defaults", "what it is"], rows())
    return _page(
        "Models",
        "Parameters are those for 12 leads and 5 classes, without facts beside the signal. How they do on PTB-XL under "
        "one budget stands in the [benchmarks](../benchmarks.md#the-model-zoo).",
        table,
    )


def training_page() -> str:
    """What the keys of a recipe with a fixed choice may be."""
    from einthoven.augment import list_augmentations
    from einthoven.training.schema import Recipe

    choices = _table(["key", "choices"], ([_code(key), _codes(values)] for key, values in choices_of(Recipe)))
    augmentations = _table(["name", "what it does"], ([_code(k), v] for k, v in list_augmentations().items()))
    return _page(
        "Losses, optimisers, schedules and other choices",
        "Keys of a [recipe](../recipes.md) whose value is one of several words.",
        choices,
        "## Augmentations\n\nParameters, pictures and speed: [Augmentations](../augmentations.md).",
        augmentations,
    )


def keys_page() -> str:
    """Every key of a recipe with type and default."""
    from einthoven.training.schema import Recipe
    from einthoven.training.sweep_schema import Search

    rows = ([_code(key), kind, default, words] for key, kind, default, words in keys_of(Recipe))
    searched = ([_code(f"sweep.{key}"), kind, default, words] for key, kind, default, words in keys_of(Search))
    head = ["key", "kind", "default", "meaning"]
    text = "What they mean together, with examples: [Recipes](../recipes.md)."
    return _page("Keys of a recipe", text, _table(head, rows), "## Sweeps", _table(head, searched))


def data_page() -> str:
    """Formats, corpora, downloads, label systems with their tasks, methods of splitting."""
    from einthoven.corpora import list_corpora
    from einthoven.downloads import list_sources
    from einthoven.formats import list_formats
    from einthoven.labels import load_system, system_names
    from einthoven.splits import list_methods

    formats = _table(["format", "what it is"], ([entry.name, entry.description] for entry in list_formats()))
    corpora = _table(["`einthoven prepare`", "what it is"], ([_code(k), v] for k, v in list_corpora().items()))
    sources = _table(
        ["`einthoven download`", "version", "licence", "what it is"],
        ([_code(name), each.version, each.licence, each.title] for name, each in list_sources().items()),
    )
    systems = map(load_system, system_names())
    tasks = _table(
        ["system", "task", "classes"],
        ([_code(s.name), _code(task), str(len(s.class_codes(task)))] for s in systems for task in s.tasks),
    )
    methods = _table(
        ["`einthoven split --method`", "what it makes"], ([_code(k), v] for k, v in list_methods().items())
    )
    return _page(
        "Formats, corpora, labels and splits",
        "What was verified on what: [File formats](../formats.md), [Corpora](../corpora.md), [Labels](../labels.md), "
        "[Splits](../splits.md).",
        *("## Formats", formats, "## Corpora", corpora, "## Downloads", sources),
        *("## Label systems and tasks", tasks, "## Methods of splitting", methods),
    )


def deploying_page() -> str:
    """Pretrained bundles, forms of export, methods of explanation."""
    from einthoven.bundle import about_pretrained
    from einthoven.edge.formats import FORMATS, WEB
    from einthoven.explain.catalogue import METHODS

    bundles = about_pretrained()
    shipped = _table(["name", "classes"], ([_code(n), ", ".join(b["task"]["classes"])] for n, b in bundles.items()))
    forms = [[_code(name), form.words, form.precision] for name, form in FORMATS.items()]
    forms += [[_code(name), words, ""] for name, words in WEB.items()]
    methods = METHODS.values() if isinstance(METHODS, dict) else METHODS
    explained = _table(["`einthoven explain --method`", "what it is"], ([_code(m.name), m.words] for m in methods))
    return _page(
        "Pretrained models, exports and explanations",
        "Proofs and figures: [Edge](../edge.md), [Explanations](../explanations.md).",
        *("## Pretrained", shipped),
        *("## Exports", _table(["`einthoven export --to`", "what it is", "precision"], forms)),
        *("## Explanations", explained),
    )


def commands_page() -> str:
    """Every command of the command line with its arguments and options."""
    import typer

    from einthoven.cli.main import app

    parts = [_command(name, command) for name, command in _commands(typer.main.get_command(app), "einthoven")]
    return _page("Command line", "What `einthoven COMMAND --help` prints.", *parts)


def keys_of(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield key, kind, default and meaning of every field of a section of the schema, sections within it too."""
    for name, field in section.model_fields.items():
        inner = next((each for each in _parts(field.annotation) if _is_section(each)), None)
        optional = type(None) in _parts(field.annotation)
        default = "required" if field.is_required() else _default(field.get_default(call_default_factory=True))
        words = field.description or ""
        if inner is None or _is_listed(field.annotation):
            yield prefix + name, _kind(field.annotation), default, words
        else:
            if optional:
                yield prefix + name, "a section", default, words or (inspect.getdoc(inner) or "").split("\n")[0]
            yield from keys_of(inner, f"{prefix}{name}.")


def choices_of(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield every key whose value is one of several words."""
    for name, field in section.model_fields.items():
        parts = list(_parts(field.annotation))
        words = [word for part in parts if typing.get_origin(part) is typing.Literal for word in typing.get_args(part)]
        if words:
            yield prefix + name, words
        for inner in parts:
            if _is_section(inner) and not _is_listed(field.annotation):
                yield from choices_of(inner, f"{prefix}{name}.")


def _parts(annotation: Any) -> Iterator[Any]:
    """An annotation and all that it is made of, except the words of a ``Literal``."""
    yield annotation
    if typing.get_origin(annotation) is not typing.Literal:
        for part in typing.get_args(annotation):
            yield from _parts(part)


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _is_listed(annotation: Any) -> bool:
    return any(typing.get_origin(part) in (tuple, dict) for part in _parts(annotation))


def _kind(annotation: Any) -> str:
    parts = list(_parts(annotation))
    if any(typing.get_origin(part) is typing.Literal for part in parts):
        return "a word"
    if any(part is dict or typing.get_origin(part) is dict for part in parts):
        return "a table"
    if any(typing.get_origin(part) is tuple for part in parts):
        return "a list"
    names = [("true or false", bool), ("a number", float), ("a whole number", int), ("text", str)]
    return next((words for words, kind in names if kind in parts), "a value")


def _default(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {None: "`null`", True: "`true`", False: "`false`"}[value]
    if isinstance(value, tuple):
        return _code(f"[{', '.join(map(str, value))}]")
    return _code(str(value)) if value != "" else "empty"


def _is_option(parameter: inspect.Parameter) -> bool:
    return parameter.name not in ("n_leads", "n_classes") and parameter.default is not inspect.Parameter.empty


def _option(parameter: inspect.Parameter) -> str:
    return _code(f"{parameter.name}: {parameter.default}")


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for sub, found in getattr(command, "commands", {}).items():
        if hasattr(found, "commands"):
            yield from _commands(found, f"{name} {sub}")
        else:
            yield f"{name} {sub}", found


def _command(name: str, command: Any) -> str:
    rows = [[_names(each), each.help or "", _given(each)] for each in command.params if getattr(each, "help", None)]
    words = re.sub(r"\s+", " ", (command.help or "").split("\n\n")[0]).strip()
    return f"## {name}\n\n{words}\n\n{_table(['', 'what it says', 'default'], rows)}"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return _code(parameter.metavar or parameter.name.upper())
    return ", ".join(map(_code, (*parameter.opts, *parameter.secondary_opts)))


def _given(parameter: Any) -> str:
    value = parameter.default
    if parameter.required or value in (None, False, (), "") or callable(value) or "Sentinel" in repr(value):
        return ""
    return _code(str(value))


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", *parts, _GENERATED]) + "\n"


def _table(head: list[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_cell(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("``", "`").replace("|", "\\|")).strip()


def _code(text: str) -> str:
    return f"`{text}`"


def _codes(values: Iterable[str]) -> str:
    return ", ".join(map(_code, values))


PAGES: dict[str, Callable[[], str]] = {
    "reference/models.md": models_page,
    "reference/training.md": training_page,
    "reference/keys.md": keys_page,
    "reference/data.md": data_page,
    "reference/deploying.md": deploying_page,
    "reference/commands.md": commands_page,
}
