"""The methods that were asked for: ours by name, the user's own from a file, a module or as functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from seewhy.cam.attribute import Subject, attribute
from seewhy.cam.capture import LayerCall
from seewhy.cam.methods.catalogue import CAPTUM_PREFIX, Method, method_name
from seewhy.cam.methods.own import MapFunction, own_method
from seewhy.cam.scores.score import Score
from seewhy.data.networks.network import thing_of
from seewhy.errors import OptionError
from seewhy.records import Task

MethodName = str | MapFunction
FORMS = "file.py:function or package.module:function, of a Scene that gives maps (N, H, W)"


def named_methods(method: MethodName | Sequence[MethodName]) -> tuple[list[str], dict[str, Method]]:
    """The methods' names in our spelling ("auto" stays), and those among them that are the user's own.

    A method is a name, file.py:function, package.module:function, or a function of a Scene. Raises OptionError with the
    nearest names.
    """
    names: list[str] = []
    own_methods: dict[str, Method] = {}
    for asked in split_methods(method):
        if isinstance(asked, str) and not _is_spec(asked):
            names.append(asked if asked == "auto" else method_name(asked))
            continue
        function = thing_of(asked, FORMS) if isinstance(asked, str) else asked
        if not callable(function):  # what a file has under that name
            raise OptionError(
                f"The method {asked!r} is {type(function).__name__}.  Write it as {FORMS}.", slug="own-method"
            )
        name, own_one = own_method(function)
        names.append(name)
        own_methods[name] = own_one
    if not names:
        raise OptionError("No method was named.  Name some, or leave the choice:  --method auto")
    return names, own_methods


def try_methods(
    network: nn.Module,
    inputs: Tensor,
    layers: Sequence[LayerCall],
    own_methods: Mapping[str, Method],
    scores: Sequence[Score],
    task: Task,
) -> None:
    """Run the user's own methods on the first input, so that what is wrong is said before a long run."""
    fitting = [score for score in scores if not score.needs_labels and score.count is None][:1]
    if own_methods and fitting:
        attribute(network, inputs, layers, own_methods, Subject(fitting, task))


def split_methods(method: MethodName | Sequence[MethodName]) -> list[MethodName]:
    """Names by commas or in a list, and functions."""
    parts: list[Any] = list(method) if isinstance(method, (list, tuple, set, frozenset)) else [method]
    for part in parts:
        if not isinstance(part, str) and not callable(part):
            raise OptionError(f"The method {part!r} is {type(part).__name__}.  Write it as {FORMS}.", slug="own-method")
    return [
        name
        for part in parts
        for name in ([word.strip() for word in part.split(",") if word.strip()] if isinstance(part, str) else [part])
    ]


def _is_spec(name: str) -> bool:
    return (":" in name and not name.casefold().startswith(CAPTUM_PREFIX)) or name.endswith(".py")
