"""Options from a file, and options by the words that they had before."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

import typer

from seewhy.errors import OptionError, listed, nearest

RENAMED = {"factors": "properties", "insert": "mark"}  # the old word works for one release


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Options from --config or ./seewhy.toml become the defaults of the command; the command line outranks them."""
    file = path or Path("seewhy.toml")
    if path is None and not file.is_file():
        return None
    command = context.info_name or ""
    defaults = {}
    for key, value in _section(file, context, command).items():
        parameter = _parameter(file, context, command, key)
        if parameter.name in defaults:
            raise OptionError(f"{file} sets {key!r} for {command} a second time, by another word.", slug="config")
        defaults[parameter.name] = _read(file, context, command, key, parameter, value)
    context.default_map = {**defaults, **(context.default_map or {})}
    return path


def value_of(context: typer.Context, new: str) -> Any:
    """The value of an option that had another word before, under which it may have been typed.

    It is kept under the new word alone, so that the command line that makes the run again has that one.
    """
    old = next(before for before, now in RENAMED.items() if now == new)
    value = context.params.pop(old)
    if not value:
        return context.params[new]
    source = context.get_parameter_source(new)
    if source is not None and source.name == "COMMANDLINE":
        raise OptionError(f"--{old} is the old word for --{new}.  Leave it out.")
    _say_renamed(f"--{old}", f"--{new}")
    context.params[new] = value
    return value


def _section(file: Path, context: typer.Context, command: str) -> dict[str, Any]:
    """What the file says of the command. Raises OptionError for sections that name none."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise OptionError(f"{file} cannot be read: {error}", slug="config") from error
    commands = getattr(context.parent.command, "commands", {}) if context.parent else {command: context.command}
    sections = [name for name, of in commands.items() if any(one.name == "config" for one in of.params)]
    for section, value in content.items():
        if not isinstance(value, dict):
            fitting = [name for name in (command, *sections) if section.replace("-", "_") in _names(commands[name])]
            advice = f"Put it below [{fitting[0]}]." if fitting else nearest(section, _names(commands[command]))
            raise OptionError(f"{file} sets {section!r} outside a section.  {advice}".rstrip(), slug="config")
        if section not in sections:
            known = section in commands
            why = "which takes no settings from a file" if known else "which is no command"
            close = "" if known else nearest(section, sections)
            raise OptionError(
                f"{file} has a section [{section}], {why}.  {close}".rstrip() + f"\n  Sections: {listed(sections)}.",
                slug="config",
            )
    settings: dict[str, Any] = content.get(command, {})
    return settings


def _names(command: Any) -> dict[str, Any]:
    """What a file may set for a command: its options by their words; another file is none of them."""
    return {
        flag.lstrip("-").replace("-", "_"): parameter
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.hidden and parameter.name != "config"
        for flag in parameter.opts
    }


def _parameter(file: Path, context: typer.Context, command: str, key: str) -> Any:
    """The parameter that a key of the file sets. Raises OptionError with the nearest names."""
    known = _names(context.command)
    word = key.replace("-", "_")
    if word not in known and RENAMED.get(word) in known:
        _say_renamed(f"{key} in {file}", RENAMED[word])
        word = RENAMED[word]
    if word not in known:
        raise OptionError(
            f"{file} sets {key!r} for {command}, which has no such option.  {nearest(key, known)}".rstrip(),
            slug="config",
        )
    return known[word]


def _read(file: Path, context: typer.Context, command: str, key: str, parameter: Any, value: Any) -> Any:
    """A value of the file as the command line would take it. Raises OptionError where it would not."""
    texts = [str(part) for part in (value if isinstance(value, list) else [value])]
    is_switch = isinstance(value, bool) and parameter.is_flag
    taken = value if is_switch else texts if parameter.multiple else ",".join(texts)
    try:
        parameter.process_value(context, taken)
    except (typer.BadParameter, OptionError) as error:
        raise OptionError(f"{file} sets {key!r} to {value!r} for {command}: {error.message}", slug="config") from error
    return taken


def _say_renamed(old: str, new: str) -> None:
    print(f"{old} is called {new} now; the old word goes with the next release.", file=sys.stderr)
