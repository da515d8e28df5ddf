"""What a network is given beside the picture: constants by name, the same for every image."""

from __future__ import annotations

import ast
import copy
import hashlib
import inspect
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.fitting import inputs_error
from seewhy.cam.model import run, untouched
from seewhy.data.formats.missing import nearest_paths
from seewhy.data.networks.found import Takes
from seewhy.errors import ModelError, OptionError, listed, nearest

Constant = Tensor | bool | str | None
FORMS = "0.5, [0.5, 1.0], FILE.npy, zeros:3x8, ones:4, true or false"
_SAME = 1e-4  # of the largest answer: what two sizes of a batch may make of it


@dataclass(frozen=True)
class Arguments:
    """How a network is called: its constants, the picture's name, and all inputs in order where they go by place.

    `keywords` are what inputs of `order` are called that go by keyword.
    """

    constants: Mapping[str, Constant]
    picture: str
    order: tuple[str, ...] = ()
    keywords: Mapping[str, str] = field(default_factory=dict)
    alone: str = ""  # the source of a network that takes one picture at a time

    def arguments(self, picture: Tensor) -> tuple[list[Any], dict[str, Any]]:
        """What forward is called with for a batch of pictures. Raises ModelError for more than it takes."""
        if self.alone and len(picture) != 1:
            raise ModelError(
                f"{self.alone} takes one picture at a time, and this gives it {len(picture)} at once.\n"
                "  Export it again for any number of pictures (a dynamic first axis).",
                slug="fixed-batch",
            )
        given = {name: _beside(value, picture) for name, value in self.constants.items()}
        if not self.order:
            return ([], {self.picture: picture, **given}) if self.picture else ([picture], given)
        given[self.picture] = picture
        places = [given[name] for name in self.order if name not in self.keywords]
        return places, {word: given[name] for name, word in self.keywords.items()}


def parse_inputs(pairs: Sequence[str]) -> dict[str, Any]:
    """{"age": 0.5} from ["age=0.5"]. Raises OptionError for what is no number, list of numbers, array or shape."""
    inputs: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise OptionError(f"--input is {pair!r}, but must look like age=0.5.  Values: {FORMS}.")
        if name.strip() in inputs:
            raise OptionError(f"--input names {name.strip()!r} twice.")
        inputs[name.strip()] = _value_of(name.strip(), text.strip())
    return inputs


def _value_of(name: str, text: str) -> Any:
    kind, _, shape = text.partition(":")
    if text.endswith(".npy"):
        return _array(Path(text))
    if kind in ("zeros", "ones") and all(part.isdecimal() and int(part) for part in shape.lower().split("x")):
        sides = tuple(map(int, shape.lower().split("x")))
        return torch.zeros(sides) if kind == "zeros" else torch.ones(sides)
    try:
        value = ast.literal_eval(text.capitalize() if text in ("true", "false") else text)
    except (ValueError, SyntaxError):
        value = None
    if not isinstance(value, (numbers.Real, list)):
        raise OptionError(f"--input {name} is {text!r}, but must be one of {FORMS}.")
    return value


def _array(path: Path) -> Any:
    if not path.is_file():
        raise OptionError(f"There is no file {path}.  {nearest_paths(path, '*.npy')}", slug="no-such-file")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise OptionError(f"{path} is no array that can be read: {error}") from error


def constants_of(inputs: Mapping[str, Any]) -> dict[str, Constant]:
    """Numbers, lists and arrays as tensors, of floats in float32; tensors as they are, bool, str and None, too."""
    return {name: _constant(name, value) for name, value in inputs.items()}


def _constant(name: str, value: Any) -> Constant:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    try:
        tensor = torch.as_tensor(np.array(value))
    except (ValueError, TypeError) as error:
        raise OptionError(f"The input {name!r} is {type(value).__name__}, which makes no tensor: {error}") from error
    return tensor.float() if tensor.is_floating_point() else tensor


def described(constants: Mapping[str, Constant]) -> dict[str, str]:
    """Each constant in a few words that differ where the constants do: a number as it is, of others a hash."""
    return {name: _words(value) for name, value in constants.items()}


def _words(value: Constant) -> str:
    if not isinstance(value, Tensor):
        return str(value)
    if value.ndim == 0:
        return str(value.numpy()[()])  # 0.7 as it was typed, in the digits of its own type
    held = value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
    kind, shape = str(value.dtype).removeprefix("torch."), "x".join(map(str, value.shape))
    return f"{kind} {shape} {hashlib.blake2b(held, digest_size=8).hexdigest()}"


def holding(network: nn.Module, inputs: Mapping[str, Any], takes: Takes | None) -> tuple[nn.Module, dict[str, str]]:
    """The network as one that takes the picture alone, and its constants in words; the network itself stays as it is.

    A constant of shape S is given as (N, *S) beside N pictures. Raises OptionError for an input that the network does
    not have, with the nearest, and ModelError for one that it needs.
    """
    constants = constants_of(inputs)
    if takes is None:
        return _twin(network, _by_name(network, constants)), described(constants)
    others = listed([takes.said(name) for name in takes.others])
    has = f"It takes beside the picture: {others}." if others else "It takes the picture alone."
    _check_known(network, constants, takes.others, has)
    if missing := [name for name in takes.others if name not in constants]:
        raise inputs_error(network, missing, takes.picture, [takes.said(name) for name in takes.inputs])
    if not takes.others and not takes.keywords:
        return network, {}
    held = Arguments(constants, takes.picture, tuple(takes.inputs), takes.keywords)
    return _twin(network, held), described(constants)


def _by_name(network: nn.Module, constants: Mapping[str, Constant]) -> Arguments:
    """How a network of code is called: by the names in its forward, as far as these can be read."""
    try:
        parameters = inspect.signature(network.forward).parameters.values()
    except (TypeError, ValueError):
        return Arguments(constants, "")
    kinds = inspect.Parameter
    named = [p for p in parameters if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)]
    names = [p.name for p in named]
    if not any(p.kind is kinds.VAR_KEYWORD for p in parameters):
        several = f"It takes {listed(names)}; the picture is the first that is not held fixed."
        _check_known(network, constants, names, several if len(names) > 1 else "It takes the picture alone.")
    rest = [p for p in named if p.name not in constants]
    if named and not rest:
        every = f"{type(network).__name__}.forward"
        raise OptionError(f"--input names every input of {every}: none is left for the picture.")
    if missing := [p.name for p in rest[1:] if p.default is kinds.empty]:
        raise inputs_error(network, missing, rest[0].name)
    is_first = not rest or rest[0] is named[0]
    return Arguments(constants, "" if is_first else rest[0].name)


def _check_known(network: nn.Module, constants: Mapping[str, Constant], names: Sequence[str], has: str) -> None:
    """Raise OptionError for a constant that is none of the network's inputs, with the nearest and what it `has`."""
    for name in constants:
        if name not in names:
            raise OptionError(
                f"{type(network).__name__}.forward has no input {name!r}.  {nearest(name, names)}".rstrip()
                + f"\n  {has}",
                slug="no-such-input",
            )


def _beside(value: Constant, picture: Tensor) -> Any:
    """A constant for a batch: (N, *S), on its device; floats in its type. A copy, which the network may overwrite."""
    if not isinstance(value, Tensor):
        return value
    dtype = picture.dtype if value.is_floating_point() and picture.is_floating_point() else value.dtype
    return value.to(picture.device, dtype).expand(len(picture), *value.shape).clone()


def _twin(network: nn.Module, held: Arguments) -> nn.Module:
    """A network that is called with the picture alone, and shares all else with this one: layers, weights, name."""
    kind, on_instance = type(network), vars(network).get("forward")

    def forward(self: nn.Module, picture: Tensor) -> Any:
        places, names = vars(self)["_held"].arguments(picture)
        return on_instance(*places, **names) if on_instance else kind.forward(self, *places, **names)

    names = {"forward": forward, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
    copying: Callable[..., nn.Module] | None = getattr(kind, "__deepcopy__", None)
    if copying is not None:  # as of torch.fx, which knows its own forward alone
        names["__deepcopy__"] = lambda self, memo: _twin(copy.deepcopy(network, memo), vars(self)["_held"])
    metaclass: Any = type(kind)
    twin: nn.Module = object.__new__(metaclass(kind.__name__, (kind,), names))
    vars(twin).update({key: value for key, value in vars(network).items() if key != "forward"}, _held=held)
    return twin


def one_at_a_time(network: nn.Module, takes: Takes, source: str) -> nn.Module:
    """The network as one that says so where it is given several pictures at once."""
    held = vars(network).get("_held")
    if held is not None:
        vars(network)["_held"] = replace(held, alone=source)
        return network
    return _twin(network, Arguments({}, takes.picture, tuple(takes.inputs), takes.keywords, source))


def at_once(network: nn.Module, takes: Takes | None, source: str) -> int | None:
    """1 where the network of a file takes one picture at a time, None where it takes any number.

    A file that names the number of pictures may take others all the same: it is tried. Raises ModelError where it
    takes neither one picture nor any number.
    """
    if takes is None or takes.batch is None:
        return None
    height, width = takes.size or (64, 64)
    generator = torch.Generator().manual_seed(0)
    like = next((p for p in network.parameters() if p.is_floating_point()), torch.zeros(()))
    pictures = torch.rand(2, takes.channels or 3, height, width, generator=generator).to(like.device, like.dtype)
    alone, both = _answer(network, pictures[:1]), _answer(network, pictures)
    if alone is not None and both is not None and len(both) == 2 and _is_near(both[:1], alone):
        return None
    if takes.batch != 1:
        raise ModelError(
            f"{source} takes {takes.batch} pictures at a time, no more and no fewer.\n"
            "  Export it again for any number of pictures (a dynamic first axis), or for one.",
            slug="fixed-batch",
        )
    return 1


def _is_near(answer: Tensor, other: Tensor) -> bool:
    return bool(((answer - other).abs() <= _SAME * other.abs().max() + 1e-6).all())


def _answer(network: nn.Module, pictures: Tensor) -> Tensor | None:
    """The first tensor of what the network answers; None where it fails."""
    try:
        with untouched(network), torch.no_grad():
            answer = run(network, pictures)
    except Exception:  # noqa: BLE001 -- a wrong number of pictures may raise anything
        return None
    answer = next(iter(answer.values())) if isinstance(answer, Mapping) else answer
    answer = answer[0] if isinstance(answer, (tuple, list)) else answer
    return answer if isinstance(answer, Tensor) and answer.ndim else None
