"""Typed configuration: a command's dataclass is its flags, its YAML keys and its Python API."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import docstring_parser
import jsonargparse
import yaml
from pydantic import TypeAdapter, ValidationError

from millsight.platform.errors import UserError

UNSET = object()
RESERVED = ("help", "config", "print_config")
# What jsonargparse gives for help where it found none.
EMPTY_HELP = "_EMPTY_HELP_"


def build_parser(config_class: type, *, prog: str, description: str) -> jsonargparse.ArgumentParser:
    """Make a parser whose flags are the dotted fields of a dataclass.

    ``--config FILE`` reads YAML, later flags override it, ``--print_config`` shows the result.
    """
    parser = jsonargparse.ArgumentParser(prog=prog, description=description, exit_on_error=False)
    parser.add_argument("--config", action="config", help="YAML file with any of the keys below.")
    parser.add_class_arguments(config_class, None, fail_untyped=True)
    said = docs_of(config_class)
    for action in parser._actions:
        # jsonargparse looks at a class and its first base alone.
        if action.help == EMPTY_HELP and action.dest in said:
            action.help = said[action.dest]
    return parser


def docs_of(config_class: type, prefix: str = "") -> dict[str, str]:
    """Return what the docstrings of a dataclass and of all its bases say of each dotted leaf."""
    hints = typing.get_type_hints(config_class)
    described: dict[str, str | None] = {}
    for one in reversed(config_class.__mro__):
        if dataclasses.is_dataclass(one):
            parsed = docstring_parser.parse(one.__doc__ or "")
            described |= {item.arg_name: item.description for item in parsed.params}
    found: dict[str, str] = {}
    for item in dataclasses.fields(config_class):
        kind, text = hints[item.name], described.get(item.name)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            found |= docs_of(kind, f"{prefix}{item.name}.")
        elif text:
            found[f"{prefix}{item.name}"] = text
    return found


def parse(parser: jsonargparse.ArgumentParser, config_class: type, argv: Sequence[str]) -> Any:
    """Parse flags and files into an instance of ``config_class``.

    Raises:
        UserError: With every problem of all files and flags at once: the dotted path, what is
            wrong and the nearest valid key.
    """
    words = _join_lists(argv, leaf_fields(config_class))
    problems = find_problems(config_class, words)
    if problems:
        raise UserError("\n".join(problems))
    try:
        namespace = parser.parse_args(words)
    except jsonargparse.ArgumentError as error:
        raise UserError(str(error)) from None
    values = namespace.as_dict()
    values.pop("config", None)
    return _build(config_class, values)


def find_problems(config_class: type, argv: Sequence[str]) -> list[str]:
    """List what is wrong with flags and with the YAML files that ``--config`` names."""
    fields = leaf_fields(config_class)
    given: dict[str, tuple[str, Any]] = {}
    problems: list[str] = []
    for key, text in _flags(argv):
        if key == "config" and text is not None:
            loaded, wrong = _read_yaml(Path(text))
            problems += wrong
            given |= {name: (f"{text}: {name}", value) for name, value in loaded.items()}
        elif key not in RESERVED:
            given |= _from_flag(key, text, fields)
    problems += _check(fields, given)
    if not any(word in ("--help", "-h", "--print_config") for word in argv):
        problems += [f"--{key}: required" for key in _missing(fields, given)]
    return problems


def problems_of(config_class: type, settings: Mapping[str, Any], shown: str) -> list[str]:
    """List what is wrong with dotted settings; ``shown`` is put before their keys."""
    fields = leaf_fields(config_class)
    given = {key: (f"{shown}{key}", value) for key, value in settings.items()}
    missing = [f"{shown}{key}: required" for key in _missing(fields, given)]
    problems = _check(fields, given) + missing
    if problems:
        return problems
    try:
        _build(config_class, _nest(settings))
    except UserError as error:
        return [f"{shown}{line}" for line in str(error).splitlines()]
    return []


def from_mapping(config_class: type, settings: Mapping[str, Any], shown: str) -> Any:
    """Make a configuration from dotted settings.

    Raises:
        UserError: With everything that is wrong with them.
    """
    problems = problems_of(config_class, settings, f"{shown}.")
    if problems:
        raise UserError("\n".join(problems))
    return _build(config_class, _nest(settings))


def from_text(text: str, kind: Any) -> Any:
    """Read a flag's value, or an override's, as YAML; what may be a string is left as it is."""
    is_union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    if kind is str or (is_union and str in typing.get_args(kind)):
        return None if is_union and text == "null" else text
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    of = _list_of(kind)
    if of is None or isinstance(value, list) or (is_union and value is None):
        return value
    return [text if of is str else value]


def _build(config_class: type, values: Mapping[str, Any]) -> Any:
    return _adapter(config_class).validate_python(values)


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    """Build it once: a recipe asks for the same few kinds hundreds of times."""
    return TypeAdapter(kind)


def _nest(settings: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in settings.items():
        *parents, leaf = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return nested


def _check(
    fields: Mapping[str, tuple[Any, bool]], given: Mapping[str, tuple[str, Any]]
) -> list[str]:
    problems: list[str] = []
    for key, (shown, value) in given.items():
        if key not in fields:
            problems.append(f"{shown}: {unknown('setting', key, fields)}")
        elif value is not UNSET:
            problems += _type_problems(shown, fields[key][0], value)
    return problems


def _missing(fields: Mapping[str, tuple[Any, bool]], given: Mapping[str, Any]) -> list[str]:
    return [key for key, (_, required) in fields.items() if required and key not in given]


@functools.cache
def leaf_fields(config_class: type, prefix: str = "") -> dict[str, tuple[Any, bool]]:
    """Map each dotted leaf of a nested dataclass to its type and whether it must be given.

    The mapping is shared; nobody may change it.
    """
    hints = typing.get_type_hints(config_class)
    leaves: dict[str, tuple[Any, bool]] = {}
    for item in dataclasses.fields(config_class):
        path, kind = f"{prefix}{item.name}", hints[item.name]
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            leaves |= leaf_fields(kind, f"{path}.")
        else:
            required = (
                item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
            )
            leaves[path] = (kind, required)
    return leaves


def _flags(argv: Sequence[str]) -> list[tuple[str, str | None]]:
    """Pair each ``--flag`` with its value; ``None`` for a flag without one."""
    pairs: list[tuple[str, str | None]] = []
    words = list(argv)
    for index, word in enumerate(words):
        if not word.startswith("--"):
            continue
        name, sign, value = word[2:].partition("=")
        following = words[index + 1] if index + 1 < len(words) else None
        if not sign:
            value_text = None if following is None or following.startswith("--") else following
            pairs.append((name.rstrip("+"), value_text))
        else:
            pairs.append((name.rstrip("+"), value))
    return pairs


def _join_lists(argv: Sequence[str], fields: Mapping[str, tuple[Any, bool]]) -> list[str]:
    """Give the values of a repeated list flag as one: ``--set a.k=1 --set b.k=2``.

    jsonargparse's ``--set+`` means the same and may stand beside it.
    """
    words: list[str] = []
    lists: dict[str, list[Any]] = {}
    pending = list(argv)
    while pending:
        word = pending.pop(0)
        key, sign, text = word.removeprefix("--").partition("=")
        key = key.removesuffix("+")
        kind = fields[key][0] if word.startswith("--") and key in fields else None
        follows = bool(pending) and not pending[0].startswith("--")
        if _list_of(kind) is None or not (sign or follows):
            words.append(word)
            continue
        values = from_text(text if sign else pending.pop(0), kind)
        if values is None:
            words.append(f"--{key}=null")
        else:
            lists.setdefault(key, []).extend(values)
    return words + [f"--{key}={json.dumps(values)}" for key, values in lists.items()]


def _list_of(kind: Any) -> Any:
    """Return what a list's items are, ``None`` where the kind is no list; it may be optional."""
    for own in (kind, *typing.get_args(kind)):
        if typing.get_origin(own) in (list, tuple):
            return typing.get_args(own)[0]
    return None


def _from_flag(
    key: str, text: str | None, fields: Mapping[str, tuple[Any, bool]]
) -> dict[str, tuple[str, Any]]:
    """Give a flag's value by key; ``--kead '{k: 2}'`` sets a whole group of keys."""
    if text is None:
        return {key: (f"--{key}", UNSET)}
    if key in fields or not any(name.startswith(f"{key}.") for name in fields):
        kind = fields[key][0] if key in fields else str
        return {key: (f"--{key}", from_text(text, kind))}
    group = from_text(text, dict)
    named = flatten(group, f"{key}.") if isinstance(group, Mapping) else {}
    return {name: (f"--{name}", value) for name, value in named.items()}


def _type_problems(shown: str, kind: Any, value: Any) -> list[str]:
    try:
        _adapter(kind).validate_python(value)
    except ValidationError as error:
        messages = dict.fromkeys(str(item["msg"]) for item in error.errors())
        return [f"{shown}: {value!r} does not fit: {'; or '.join(messages)}"]
    return []


def _read_yaml(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, [f"--config: no such file: {path}"]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return {}, [f"{path}: not readable as YAML: {error}"]
    if not isinstance(loaded, Mapping):
        return {}, [f"{path}: must hold keys and values, as --print_config shows them"]
    return flatten(loaded), []


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Turn nested keys into dotted ones."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        path = f"{prefix}{key}"
        flat |= flatten(item, f"{path}.") if isinstance(item, Mapping) else {path: item}
    return flat


def unknown(what: str, key: str, known: Mapping[str, Any]) -> str:
    """Say that there is no such key, and which comes nearest."""
    members = [name for name in known if name.startswith(f"{key}.")]
    if members:
        return f"is a group; set one of {', '.join(members)}"
    by_leaf = {name.rsplit(".", 1)[-1]: name for name in known}
    close = difflib.get_close_matches(key, known, n=1) or [
        by_leaf[leaf] for leaf in difflib.get_close_matches(key.rsplit(".", 1)[-1], by_leaf, n=1)
    ]
    return f"no such {what}{f'; did you mean {close[0]}?' if close else ''}"
