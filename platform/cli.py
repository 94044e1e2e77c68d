"""The command line: ``millsight COMMAND [--flags]``.

Commands register themselves through the entry-point group ``millsight.commands``, so the floor
imports no room. An entry point's name is the command's words joined by dots (``data.inspect``);
its object is a function from ``config``, a dataclass whose fields are the flags, to an ``Outcome``.
"""

from __future__ import annotations

import functools
import importlib.metadata
import inspect
import json
import os
import re
import sys
import typing
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from millsight.platform import config
from millsight.platform.commands import Outcome
from millsight.platform.errors import UserError, is_disk_full

GROUP = "millsight.commands"
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130

Command = Callable[..., Outcome]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0: done. 1: something failed, as the summary says. 2: the user can mend it, no traceback.
    3: done, but pictures were set aside. 130: interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    # Threads that spin while they wait halve the speed of all where other work keeps cores busy.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return _dispatch(words)
    except UserError as error:
        print(f"millsight: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except Exception as error:
        if not is_disk_full(error):
            raise
        print(
            "millsight: a disk is full, or your quota of it. Make room, or name another place with "
            "--workspace or --output, and run the same command again: what has landed is kept, and "
            "nothing is half-written.",
            file=sys.stderr,
        )
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print(
            "millsight: interrupted. What has landed is kept: run the same command again to go on.",
            file=sys.stderr,
        )
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def load_command(words: str) -> tuple[Command, type]:
    """Return a command's function and its configuration's class.

    Raises:
        UserError: If there is no such command.
    """
    entries = _entries()
    name = words.strip().replace(" ", ".")
    if name not in entries:
        raise UserError(f"no such command: {words!r}.{_did_you_mean(name, entries)}")
    command: Command = entries[name].load()
    return command, typing.get_type_hints(command)["config"]


@functools.cache
def _entries() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def _dispatch(words: list[str]) -> int:
    entries = _entries()
    if words[:1] == ["--version"]:
        print(importlib.metadata.version("millsight"))
        return 0
    name, rest = _split_name(words, entries)
    if name not in entries:
        return _explain(words, name, entries)
    return _run(name, rest)


def _split_name(words: list[str], entries: typing.Container[str]) -> tuple[str, list[str]]:
    """Take the longest run of leading words that names a command."""
    leading = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    for end in range(leading, 0, -1):
        if ".".join(words[:end]) in entries:
            return ".".join(words[:end]), words[end:]
    return ".".join(words[:leading]), words[leading:]


def _run(name: str, words: list[str]) -> int:
    command, config_class = load_command(name)
    if "--" in words:
        cut = words.index("--")
        words, passed_on = words[:cut], words[cut + 1 :]
        if "command" not in config.leaf_fields(config_class):
            raise UserError("unexpected `--`: only `millsight submit` passes words on.")
        words += [f"--command={json.dumps(passed_on, ensure_ascii=False)}"]
    prog = f"millsight {name.replace('.', ' ')}"
    parser = config.build_parser(config_class, prog=prog, description=_description(command))
    words = _name_positionals(words, config_class)
    try:
        return command(config.parse(parser, config_class, words)).exit_code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0


def _description(command: Command) -> str:
    """Return what a command's docstring says to its user, not to its caller."""
    return re.split(r"\n\s*(?:Args|Returns|Raises):\n", inspect.getdoc(command) or "")[0]


def _name_positionals(words: list[str], config_class: type) -> list[str]:
    """Let the first required setting be given without its flag: ``millsight run recipe.yaml``."""
    if not words or words[0].startswith("-"):
        return words
    required = [key for key, (_, needed) in config.leaf_fields(config_class).items() if needed]
    if not required:
        raise UserError(f"unexpected {words[0]!r}: this command's settings are all --flags.")
    return [f"--{required[0]}", *words]


def _explain(
    words: list[str], name: str, entries: typing.Mapping[str, importlib.metadata.EntryPoint]
) -> int:
    group = {key: entry for key, entry in entries.items() if key.startswith(f"{name}.")}
    if name and not group:
        shown = name.replace(".", " ")
        raise UserError(f"no such command: {shown!r}.{_did_you_mean(name, entries)}")
    from rich.console import Console
    from rich.table import Table

    table = Table("command", "what it does", box=None, header_style="bold", pad_edge=False)
    for key, entry in sorted((group or entries).items()):
        summary = (inspect.getdoc(entry.load()) or "").partition("\n")[0]
        table.add_row(f"millsight {key.replace('.', ' ')}", summary)
    console = Console()
    console.print("millsight finds surface defects in metal where labels are scarce.\n")
    console.print(table)
    console.print("\n`millsight COMMAND --help` shows a command's settings and their defaults.")
    return 0 if not words or words[-1] in ("--help", "-h") or group else EXIT_USER_ERROR


def _did_you_mean(name: str, entries: typing.Iterable[str]) -> str:
    words = name.split(".")
    leading = (".".join(words[:count]) for count in (3, 2, 1))
    close = [match for part in leading for match in get_close_matches(part, list(entries), n=1)]
    hint = f" Did you mean `millsight {close[0].replace('.', ' ')}`?" if close else ""
    return f"{hint} `millsight --help` lists the commands."


if __name__ == "__main__":
    sys.exit(main())
