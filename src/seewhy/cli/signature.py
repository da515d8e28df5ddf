"""Options that stand in classes, as a command's own keywords."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Container, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

import typer

Options = TypeVar("Options")


def spelled_out(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a keyword for each field of its option classes, as Typer reads them, in place of the classes."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
    }

    @functools.wraps(command)
    def spelled(**values: Any) -> None:
        filled = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **filled)

    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, plain in signature.parameters.items()
        for parameter in (_fields_of(groups[name]) if name in groups else [plain])
    ]
    vars(spelled)["__signature__"] = signature.replace(parameters=parameters)
    spelled.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return spelled


def filled(group: type[Options], values: Mapping[str, Any]) -> Options:
    """An option class with its values among those of a command, by the names of its fields."""
    return group(**{field.name: values[field.name] for field in fields(group)})  # type: ignore[arg-type]


def typed_beside(context: typer.Context, names: Container[str]) -> list[str]:
    """The options that the command line itself gives, but for these: "--model", "--limit"."""
    asked = [one for one in context.command.params if one.param_type_name == "option" and one.name not in names]
    sources = [(one, context.get_parameter_source(one.name or "")) for one in asked]
    return [max(one.opts, key=len) for one, source in sources if source is not None and source.name == "COMMANDLINE"]


def _fields_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(
            field.name,
            kind,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
