"""A classifier from code and weights: the network, its preprocessing, its class names and its device."""

from __future__ import annotations

import ast
import copy
import hashlib
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.data.network import find_network, thing_of
from seewhy.data.weights import load_weights
from seewhy.errors import ModelError, OptionError, listed, nearest
from seewhy.records import Preprocess, Task, find_task

RANDOM_NOTE = "No --weights were given: the network is as its code makes it, which is random unless that loads some."
Opaque = Callable[[Any], Tensor]  # a PIL image in, the network's input (C, H, W) out
OPAQUE_NOTE = (
    "The preprocessing is a function, so seewhy cannot see inside it: overlays assume that it stretches the whole "
    "photograph over the input, and checks of the preprocessing and of whole-image properties (audit) are ruled out."
)


@dataclass(frozen=True)
class Classifier:
    """A network with its preprocessing, class names and device; the network inside is never changed.

    `classes` is None until it is known (it can come from folder names); `task` None is told from the output. `notes`
    says what loading had to decide.
    """

    model: nn.Module
    preprocess: Preprocess | Opaque = field(default_factory=Preprocess)
    classes: tuple[str, ...] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    source: str = ""
    task: Task | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def identity(self) -> dict[str, Any]:
        """What makes two classifiers the same, ready for JSON: code, hash of the weights, preprocessing, classes."""
        preprocess = self.preprocess
        return {
            "network": type(self.model).__name__,
            "source": self.source,
            "weights": fingerprint(self.model),
            "preprocess": vars(preprocess) if isinstance(preprocess, Preprocess) else _callable_name(preprocess),
            "classes": list(self.classes) if self.classes else None,
        }


def load(
    model: str | nn.Module,
    weights: str | Path | None = None,
    *,
    epoch: int | None = None,
    classes: str | Sequence[str] | None = None,
    model_args: Mapping[str, Any] | None = None,
    preprocess: str | Opaque | Preprocess | None = None,
    device: str = "auto",
    task: str | None = None,
    **changes: Any,
) -> Classifier:
    """A classifier from a network and its weights.

    Args:
        model: "net.py:Net", "package.module:factory", "timm:NAME", "torchvision:NAME", "hf:DIRECTORY", or a
            torch.nn.Module. A name runs that code
        weights: a state dict in a file (.pt, .pth, .ckpt, .safetensors), or a folder of checkpoints. Never
            runs code
        epoch: which checkpoint of the folder: 4 takes model_4.pt; None: the last
        classes: K names in the order of the logits, or one text with commas; None: from the model, else
            from the images' folders
        model_args: arguments of the network by name
        preprocess: a Preprocess; a function from a PIL image to the input (C, H, W); "file.py:name" of
            either; None: preprocess in the network's file or what the model says, else plain RGB in 0..1
        device: "auto": a module stays where it is, a name goes to the GPU where there is one
        task: "classification", "multi-label", "regression", "embedding", "segmentation", "detection"; None:
            told from the output
        **changes: single fields of Preprocess

    Returns:
        a Classifier. A module of yours is used as it is, or copied where weights are loaded or it changes
        its device.

    Raises:
        ModelError (no such network, or its code fails), WeightsError (a file that does not fit, or that
        would run code), OptionError.

    Example:
        >>> classifier = seewhy.load("net.py:Net", weights="checkpoints", epoch=7, model_args={"size": 32})
        >>> print(classifier.notes)
    """
    known = None if task is None else find_task(task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # so that a network without weights is the same one each time
        original = find_network(model, dict(model_args or {}))
    is_spec = isinstance(model, str)
    where = _device(device, original.model, is_spec=is_spec)
    network = (
        original.model
        if is_spec or (weights is None and _lies_on(original.model, where))
        else copy.deepcopy(original.model)
    )
    notes = list(original.notes)
    if weights is not None:
        notes += load_weights(network, Path(weights), epoch)
    elif epoch is not None:
        raise OptionError(f"--epoch {epoch} needs --weights DIRECTORY.")
    elif is_spec and not original.has_weights:
        notes.append(RANDOM_NOTE)
    own_preprocess = (
        None if original.preprocess is None else _as_preprocess(original.preprocess, f"{original.source}: preprocess")
    )
    chosen = _preprocess(preprocess, own_preprocess, changes)
    if not isinstance(chosen, Preprocess):
        notes.append(OPAQUE_NOTE)
    asked = [name.strip() for name in classes.split(",")] if isinstance(classes, str) else classes
    names = tuple(asked) if asked is not None else original.classes
    if names is not None and len(set(names)) != len(names):
        raise OptionError(f"Class names must differ, but they are: {listed(names)}.")
    try:
        network = network.eval().to(where) if is_spec else network.to(where)
    except NotImplementedError as error:
        raise ModelError(
            f"{type(network).__name__} cannot be put on {where}: {_line(error)}", slug="meta-device"
        ) from error
    return Classifier(network, chosen, names, where, original.source, known, tuple(notes))


def with_classes(classifier: Classifier, classes: Sequence[str]) -> Classifier:
    """The classifier with class names."""
    return replace(classifier, classes=tuple(classes))


def parse_model_args(pairs: Sequence[str]) -> dict[str, Any]:
    """{"width": 16} from ["width=16"]; values are Python literals, anything else a string."""
    arguments = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise OptionError(f"--model-arg is {pair!r}, but must look like width=16.")
        try:
            arguments[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            arguments[name] = text
    return arguments


def fingerprint(model: nn.Module) -> str:
    """A hash of every parameter and buffer with its name, type and shape: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        if isinstance(tensor, Tensor):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _preprocess(asked: Any, own_preprocess: Preprocess | Opaque | None, changes: dict[str, Any]) -> Preprocess | Opaque:
    """The preprocessing asked for, else the model's own, else the default; with single fields changed."""
    if isinstance(asked, str):
        asked = thing_of(asked, "net.py:fn or package.module:fn")
    base = _as_preprocess(asked, "preprocess") if asked is not None else own_preprocess or Preprocess()
    changes = {key: _normal(key, value) for key, value in changes.items() if value is not None}
    if not changes:
        return base
    if not isinstance(base, Preprocess):
        if asked is not None:
            raise OptionError(
                f"A preprocessing function decides everything: {listed(changes)} cannot be given beside it."
            )
        base = Preprocess()  # options outrank the function in net.py
    unknown = [key for key in changes if key not in Preprocess.__dataclass_fields__]
    if unknown:
        raise OptionError(
            f"There is no option {unknown[0]!r}.  {nearest(unknown[0], Preprocess.__dataclass_fields__)}".rstrip()
        )
    return replace(base, **changes)


def _as_preprocess(given: Any, name: str) -> Preprocess | Opaque:
    if isinstance(given, Preprocess):
        return given
    if isinstance(given, Mapping):
        return _preprocess(None, None, dict(given))
    if callable(given):
        function: Opaque = given
        return function
    raise OptionError(
        f"{name} is {type(given).__name__}, but must be a Preprocess, a dict of its fields, or a function."
    )


def _normal(key: str, value: Any) -> Any:
    """Option values in the one normal form: tuples of numbers, (height, width)."""
    if key not in ("size", "mean", "std"):
        return value
    values = (value,) if isinstance(value, numbers.Real) else tuple(value)
    if not all(isinstance(number, numbers.Real) for number in values) or (key == "size" and len(values) not in (1, 2)):
        form = "one number, or (height, width)" if key == "size" else "one number or one for each channel"
        raise OptionError(f"{key} is {value!r}, but must be {form}.")
    return (int(values[0]), int(values[-1])) if key == "size" else tuple(map(float, values))


def _lies_on(model: nn.Module, device: torch.device) -> bool:
    return all(parameter.device == device for parameter in model.parameters())


def _device(asked: str, model: nn.Module, *, is_spec: bool) -> torch.device:
    if asked == "auto":
        if not is_spec and (first := next(model.parameters(), None)) is not None:
            return first.device
        asked = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OptionError(f"There is no device {asked!r} here: {_line(error)}\n  Try:  --device cpu") from error
    return device


def _callable_name(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
