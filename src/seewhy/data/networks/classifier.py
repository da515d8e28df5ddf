"""A classifier from code and weights: the network, its preprocessing, its class names and its device."""

from __future__ import annotations

import ast
import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.model import unwrap
from seewhy.data.networks.constants import at_once, holding, one_at_a_time
from seewhy.data.networks.found import Found
from seewhy.data.networks.network import find_network
from seewhy.data.networks.preprocessing import choose_preprocess
from seewhy.data.networks.weights import load_weights
from seewhy.data.pipelines.pipelines import Function
from seewhy.errors import ModelError, OptionError, first_line, listed
from seewhy.records import TOLD, OutputAsked, Preprocess, Task, find_task, one_form

RANDOM_NOTE = "No --weights were given: the network is as its code makes it, which is random unless that loads some."
Opaque = Function  # a PIL image as its file holds it in, the network's input (C, H, W) out
OPAQUE_NOTE = (
    "The preprocessing is a function, so seewhy cannot see inside it: checks of the preprocessing and of whole-image "
    "properties (audit) are ruled out."
)


@dataclass(frozen=True)
class Classifier:
    """A network with its preprocessing, class names and device; the network inside is never changed.

    `classes` is None until it is known (it can come from folder names); `task` None is told from the output, and so is
    all that `asked` leaves open. `notes` says what loading had to decide. `inputs` are the constants beside the picture
    in words, `program` a hash of the files of a network that is a file, `batch` 1 where it takes one picture at a time.
    """

    model: nn.Module
    preprocess: Preprocess | Opaque = field(default_factory=Preprocess)
    classes: tuple[str, ...] | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    source: str = ""
    task: Task | None = None
    asked: OutputAsked = TOLD
    notes: tuple[str, ...] = field(default=(), compare=False)
    inputs: Mapping[str, str] = field(default_factory=dict)
    program: str = ""
    batch: int | None = None

    def identity(self) -> dict[str, Any]:
        """What makes two classifiers the same, ready for JSON: code, hash of the weights, preprocessing, classes."""
        preprocess = self.preprocess
        return {
            "network": type(self.model).__name__,
            "source": self.source,
            "weights": fingerprint(self.model),
            "preprocess": preprocess.stored() if isinstance(preprocess, Preprocess) else _callable_name(preprocess),
            "classes": list(self.classes) if self.classes else None,
            **({"program": self.program} if self.program else {}),
            **({"inputs": dict(self.inputs)} if self.inputs else {}),
        }


def load(
    model: str | nn.Module,
    weights: str | Path | None = None,
    *,
    epoch: int | None = None,
    weights_key: str | None = None,
    classes: str | Sequence[str] | Mapping[Any, Any] | None = None,
    model_args: Mapping[str, Any] | None = None,
    preprocess: str | Opaque | Preprocess | None = None,
    device: str = "auto",
    task: str | None = None,
    output: str | int | None = None,
    output_form: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    trust_program: bool = False,
    **changes: Any,
) -> Classifier:
    """A classifier from a network and its weights.

    Args:
        model: "net.py:Net", "package.module:factory", "timm:NAME", "torchvision:NAME", "hf:DIRECTORY",
            "onnx:FILE.onnx", "pt2:FILE.pt2", or a torch.nn.Module or exported program. A name runs that code;
            an ONNX file has none
        weights: a state dict in a file (.pt, .pth, .ckpt, .safetensors), or a folder of checkpoints. Never
            runs code
        epoch: which checkpoint of the folder: 4 takes model_4.pt; None: the last
        weights_key: which of several sets of weights in the file: "state_dict_ema"; None: the usual one
        classes: K names in the order of the logits, or one text with commas; None: from the model, else
            from the images' folders. A dict of names and indices, either way round, says the order, too
        model_args: arguments of the network by name
        preprocess: a Preprocess, or a dict of its fields; a pipeline of torchvision, timm, albumentations or
            transformers, or a weights enum; a function from a PIL image to the input (C, H, W);
            "file.py:name" of any of these; None: preprocess in the network's file or what the model says,
            else plain RGB in 0..1. A function gets the image as Pillow opens the file (of mode RGB, L, RGBA,
            P, CMYK, I;16, F, …), turned upright
        device: "auto": a module stays where it is, a name goes to the GPU where there is one
        task: "classification", "multi-label", "regression", "embedding", "segmentation", "detection"; None:
            told from the output
        output: which of several outputs is explained: 1, "logits", "heads.age"; None: the one that fits the
            classes, else the first
        output_form: "logits" or "probabilities" (whose logits are explained); None: told from the output
        inputs: what forward takes beside the picture, by name, the same for every image: a number, or a list or
            array of shape S, which is given as (N, *S); bool, str and None as they are
        trust_program: whether torch may run what the file of a program (pt2:) holds
        **changes: single fields of Preprocess; also resize (the shorter side, or height and width) and
            crop (the middle that is kept)

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
    asked_task = None if task is None else find_task(task)
    asked_output = OutputAsked(None if output is None else str(output), output_form)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # so that a network without weights is the same one each time
        original = find_network(model, dict(model_args or {}), trust_program=trust_program)
    is_spec = isinstance(model, str)
    where = _device(device, original.model, is_spec=is_spec)
    network = (
        original.model
        if is_spec or (weights is None and _lies_on(original.model, where))
        else copy.deepcopy(original.model)
    )
    notes = list(original.notes)
    if weights is not None:
        notes += load_weights(network, Path(weights), epoch, weights_key)
    elif epoch is not None:
        raise OptionError(f"--epoch {epoch} needs --weights DIRECTORY.")
    elif weights_key is not None:
        raise OptionError(f"--weights-key {weights_key} needs --weights FILE.")
    elif is_spec and not original.has_weights:
        notes.append(RANDOM_NOTE)
    chosen, how = choose_preprocess(preprocess, original, changes)
    notes += how
    if not isinstance(chosen, Preprocess):
        notes.append(OPAQUE_NOTE)
    asked = [name.strip() for name in classes.split(",")] if isinstance(classes, str) else _in_order(classes)
    known_names = asked if asked is not None else original.classes
    names = None if known_names is None else tuple(map(one_form, known_names))
    if names is not None and len(set(names)) != len(names):
        raise OptionError(f"Class names must differ, but they are: {listed(names)}.")
    try:
        network = network.eval().to(where) if is_spec else network.to(where)
    except NotImplementedError as error:
        raise ModelError(
            f"{type(network).__name__} cannot be put on {where}: {first_line(error)}", slug="meta-device"
        ) from error
    network, held, batch, said = _as_called(network, inputs or {}, original)
    return Classifier(
        model=network,
        preprocess=chosen,
        classes=names,
        device=where,
        source=original.source,
        task=asked_task or original.task,
        asked=asked_output,
        notes=(*notes, *said),
        inputs=held,
        program=original.program,
        batch=batch,
    )


def _as_called(
    network: nn.Module, inputs: Mapping[str, Any], original: Found
) -> tuple[nn.Module, dict[str, str], int | None, list[str]]:
    """The network as one that takes pictures alone, its constants in words, how many at once, and what is said."""
    said: list[str] = []
    held: dict[str, str] = {}
    if inputs or original.takes is not None:
        network, said = unwrap(network)
        network, held = holding(network, inputs, original.takes)
    batch = at_once(network, original.takes, original.source)
    if held:
        said.append(f"Held fixed for every image: {listed([f'{name} = {text}' for name, text in held.items()])}.")
    if batch is not None and original.takes is not None:
        network = one_at_a_time(network, original.takes, original.source)
        said.append(f"{original.source} takes one picture at a time, so each runs alone.")
    return network, held, batch, said


def _in_order(classes: Sequence[str] | Mapping[Any, Any] | None) -> Sequence[str] | None:
    """Class names in the order of their indices, also from a dict of either to the other (class_to_idx, id2label)."""
    if not isinstance(classes, Mapping):
        return classes
    by_name = all(isinstance(value, int) for value in classes.values())
    order = {int(value if by_name else key): str(key if by_name else value) for key, value in classes.items()}
    if sorted(order) != list(range(len(classes))):
        raise OptionError(
            f"classes has the indices {listed(map(str, sorted(order)))}, but must have 0 to K - 1, each once."
        )
    return [order[index] for index in sorted(order)]


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
        raise OptionError(f"There is no device {asked!r} here: {first_line(error)}\n  Try:  --device cpu") from error
    return device


def _callable_name(function: Any) -> str:
    function = getattr(function, "pipeline", function)
    return f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', type(function).__name__)}"
