"""Run the user's network, and leave it exactly as it was."""

from __future__ import annotations

import contextlib
import inspect
import os
import random
import threading
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.pass_effects import OF_TORCH, PLAIN, in_one_process, modules_of, restored, written_by
from seewhy.cam.scores.outputs import first_tensor, read_output
from seewhy.errors import ModelError, SeewhyError, first_line, listed
from seewhy.records import Task

T = TypeVar("T")
_SOME = 8  # rows of a tensor, or a few more, of which a few numbers stand for it
_MOST_PARTS = 64  # of a list or dict of a module that count as part of its code
SIZES: tuple[int, ...] = (224, 256, 128, 64, 32, 28, 96, 112, 160, 192, 299, 384, 48, 512)


def fitting_size(model: nn.Module, channels: int) -> int | None:
    """The first usual square input size in pixels at which the network runs, or None."""
    parameter = next(model.parameters(), torch.zeros(()))
    sizes: list[int] = [*SIZES, *range(16, 513, 16)]
    for size in sizes:
        inputs = torch.zeros(1, channels, size, size, device=parameter.device, dtype=parameter.dtype)
        try:
            with untouched(model), torch.inference_mode(False), torch.no_grad():
                logits_of(model(inputs), 1)
        except SeewhyError:
            return None
        except (RuntimeError, ValueError, AssertionError):
            continue
        return size
    return None


def input_channels(model: nn.Module) -> int:
    """How many channels the first convolution reads; 3 where there is none."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def reads_volumes(model: nn.Module) -> bool:
    """Whether the first convolution reads clips or scans, (N, C, T, H, W)."""
    first = next((m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d))), None)
    return isinstance(first, nn.Conv3d)


def volumes_error(model: nn.Module) -> ModelError:
    """The error for a network that reads volumes and is given images."""
    return ModelError(
        f"The first convolution of {type(model).__name__} reads clips or scans (N, C, T, H, W), and images are given.\n"
        "  Volumes are explained in Python:  seewhy.explain(model, volumes)   (of one, volume[None])",
        slug="volumes",
    )


def size_error(model: nn.Module, shape: Sequence[int], cause: Exception) -> ModelError:
    """The error for a network that cannot take `shape` (N, C, H, W): it names the channels or the size that fits."""
    wanted = input_channels(model)
    what = f"{type(model).__name__} cannot take input of shape {tuple(shape)}: {first_line(cause)}"
    if len(shape) != 4:
        return ModelError(f"{what}\n  Volumes are (N, C, T, H, W): frames or slices third.", slug="input-size")
    if reads_volumes(model):
        return volumes_error(model)
    if wanted != shape[1]:
        advice = {1: "--channels grey", 3: "--channels rgb"}.get(wanted)
        how = {1: 'image.convert("L") in it', 3: 'image.convert("RGB") in it'}.get(wanted, "--preprocess file.py:name")
        made = f"a preprocessing function that gives {wanted} ({how}), a tensor or a Dataset"
        return ModelError(
            f"{what}\n  Its first convolution reads {wanted} channels:  {f'{advice}, or ' if advice else ''}{made}",
            slug="input-size",
        )
    size = fitting_size(model, wanted)
    if size is None or size == shape[2] == shape[3]:
        return ModelError(f"{what}\n  No usual square size from 16 to 512 fits.", slug="input-size")
    return ModelError(f"{what}\n  A size that fits:  --size {size}", slug="input-size")


def missing_inputs(model: nn.Module) -> list[str]:
    """The names of what forward needs beside the picture; [] where that is all, or cannot be told."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [p.name for p in parameters if p.kind in kinds and p.default is inspect.Parameter.empty][1:]


def inputs_error(model: nn.Module, names: Sequence[str], first: str = "", takes: Sequence[str] = ()) -> ModelError:
    """The error for a network whose forward needs more than a picture, which is its input `first`.

    `takes` are all inputs with their shapes, of a network that comes from a file and cannot be wrapped.
    """
    name = type(model).__name__
    first = first or next(iter(inspect.signature(model.forward).parameters))
    given = ", ".join([first, *(f"{other}=…" for other in names)])
    typed = " ".join(f"--input {other}=0.5" for other in names)
    wrapper = (
        "  Or wrap it, and name the wrapper with --model:\n"
        "    class Wrapped(nn.Module):\n"
        f"        def __init__(self): super().__init__(); self.inner = {name}()\n"
        f"        def forward(self, {first}): return self.inner({given})"
    )
    return ModelError(
        f"{name}.forward needs {' and '.join([first, *names])}; seewhy gives one tensor, the picture.\n"
        f"  Hold the rest fixed, the same for every image:  {typed}   (or [0.5, 1], FILE.npy, zeros:3x8)\n"
        + (f"  It takes {listed(takes)}." if takes else wrapper),
        slug="network-inputs",
    )


_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()


_locks_guard = threading.Lock()


_known: weakref.WeakKeyDictionary[nn.Module, tuple[int, dict[Hashable, Any]]] = weakref.WeakKeyDictionary()
_held: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # by `untouched`, each guarded by its own lock


def unwrap(model: nn.Module) -> tuple[nn.Module, list[str]]:
    """The plain module inside DataParallel and compiled wrappers, and a note for each wrapper taken off."""
    notes = []
    while True:
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            notes.append(f"{type(model).__name__} was unwrapped: the module inside runs on one device.")
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            notes.append("The compiled wrapper was taken off: the original module runs.")
            model = inner
        else:
            return model, notes


def remembered(model: nn.Module, key: Hashable, learn: Callable[[], T]) -> T:
    """What `learn` gives, kept with the model under `key` until its code or its weights change (see `state_of`).

    Nothing that is learned may hold the model itself, which would then live for ever.
    """
    state = state_of(model)
    known = _known.get(model)
    if known is None or known[0] != state:
        known = _known[model] = (state, {})
    if key not in known[1]:
        known[1][key] = learn()
    value: T = known[1][key]
    return value


def state_of(model: nn.Module, *, values: bool = False) -> int:
    """A number for what decides what a model computes: modules, their code, attributes and hooks, weights and buffers.

    Weights count by memory and version, not by value: cheap, and an optimiser's step or a loaded checkpoint shows. With
    `values` some of their numbers count, too, which a change through `.data` shows in as well. Whether a module is in
    training mode does not count, since nothing is learned in it, nor do buffers that its own passes write.
    """
    state: list[Hashable] = []
    written = written_by(model)
    for module in modules_of(model):
        attributes = vars(module)
        kind = type(module)
        state += [id(module), id(kind), id(kind.forward), id(attributes.get("forward"))]
        state += [*module._modules, *map(id, module._modules.values())]
        state += [*module._forward_hooks, *module._forward_pre_hooks]
        state += [_stated(value) for key, value in attributes.items() if key != "training" and key not in OF_TORCH]
        buffers = [
            buffer
            for name, buffer in module._buffers.items()
            if not written or f"{kind.__name__}.{name}" not in written
        ]
        for tensor in (*module._parameters.values(), *buffers):
            if tensor is not None:
                version = -1 if tensor.is_inference() else tensor._version
                state += [tuple(tensor.shape), tensor.dtype, tensor.device, tensor.data_ptr(), version]
                state += [str(_some_of(tensor))] if values else []
    return hash(tuple(state))


def _stated(value: Any, depth: int = 2) -> Hashable:
    """What counts of an attribute: plain values, functions, and these in lists and dicts; tensors may be results."""
    if type(value) in PLAIN:
        return str(value)  # as words, since -1 and -2 have one hash
    if isinstance(value, (list, dict)) and depth:
        content = value if isinstance(value, list) else [part for item in value.items() for part in item]
        return len(content), *(_stated(part, depth - 1) for part in content[:_MOST_PARTS])
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    return (id(value), id(code)) if callable(value) else None


def _some_of(tensor: Tensor) -> list[Any]:
    """A few numbers of a tensor, from all over it."""
    if tensor.is_meta or not tensor.numel() or tensor.layout != torch.strided:
        return []
    rows = torch.atleast_1d(tensor.detach())
    rows = (
        rows[:: max(1, len(rows) // _SOME)].flatten(1) if rows.ndim > 1 else rows[:: max(1, len(rows) // _SOME), None]
    )
    some: list[Any] = rows[:, :: max(1, rows.shape[1] // 2)].tolist()
    return some


@contextlib.contextmanager
def untouched(model: nn.Module, *, learns: bool = False) -> Iterator[None]:
    """Hold the model in eval mode, alone, and put modes and random state back afterwards, also after an exception.

    What its passes write is put back, too, unless it `learns` meanwhile: then weights and buffers are to change. A
    surrounding autocast is off meanwhile, and compiled parts run as they were written, so that they can be watched.
    """
    with _locks_guard:
        lock = _locks.setdefault(model, threading.RLock())
    with lock:
        if model in _held:  # by this thread, further out
            with in_one_process():
                yield
            return
        _held.add(model)
        try:
            modules = modules_of(model)
            weights = (weight for module in modules for weight in module._parameters.values() if weight is not None)
            devices = {weight.device for weight in weights}
            restoring = contextlib.nullcontext() if learns else restored(model, whole=bool(written_by(model)))
            with _as_written(modules, devices), _put_back(modules, devices), restoring, in_one_process():
                yield
        finally:
            _held.discard(model)


@contextlib.contextmanager
def _put_back(modules: Sequence[nn.Module], devices: Iterable[torch.device]) -> Iterator[None]:
    modes = [(module, module.training) for module in modules]
    states = (random.getstate(), np.random.get_state(), torch.random.get_rng_state())
    home, dtype, threads = _working_folder(), torch.get_default_dtype(), torch.get_num_threads()
    numbers = sorted({device.index for device in devices if device.type == "cuda"})
    cuda = [torch.cuda.get_rng_state(number) for number in numbers]
    try:
        if any(training for _, training in modes):
            modules[0].eval()
        yield
    finally:
        for module, training in modes:
            if module.training != training:
                module.training = training
        if home and _working_folder() != home:
            os.chdir(home)
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])
        for number, state in zip(numbers, cuda, strict=True):
            torch.cuda.set_rng_state(state, number)


def _working_folder() -> str:
    """Where relative names begin; "" where that folder is gone."""
    try:
        return os.getcwd()  # noqa: PTH109 -- a word, and quick
    except OSError:
        return ""


@contextlib.contextmanager
def _as_written(modules: Sequence[nn.Module], devices: Iterable[torch.device]) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for kind in {device.type for device in devices} or {"cpu"}:
            if kind != "meta" and torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        compiled = any("_orig_mod" in module._modules or module._compiled_call_impl is not None for module in modules)
        if compiled and hasattr(torch.compiler, "set_stance"):  # torch 2.6
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def logits_of(output: Any, n_images: int) -> Tensor:
    """The logits (N, K) in a classifier's output. Raises ModelError for anything else."""
    return read_output(output, n_images).logits


def answer(model: nn.Module, inputs: Tensor) -> Any:
    """What the model returns, without a graph, leaving the model as found."""
    with untouched(model), torch.inference_mode(False), torch.no_grad():
        return run(model, as_input(model, inputs))


def run(model: nn.Module, inputs: Tensor) -> Any:
    """What the model returns for a copy of the inputs, which it may write to.

    Raises ModelError where its own code would end the program, or meets a file's error.
    """
    try:
        output = model(inputs.clone())
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, OSError):
            error.add_note(f"seewhy gave {type(model).__name__}.forward {_described(inputs)}.")
            raise
        said = str(error) or type(error).__name__
        raise ModelError(
            f"{type(model).__name__} ended its forward pass with {type(error).__name__}: {said}\n"
            "  That is in the network's own code: it must give logits, and neither leave nor read files that are gone.",
            slug="network-failed",
        ) from error
    given = first_tensor(output)
    if given is not None and given.is_inference() and not torch.is_inference_mode_enabled():
        raise ModelError(
            f"{type(model).__name__}.forward runs under torch.inference_mode(), so no gradient of what it gives can be "
            "taken.\n  Take @torch.inference_mode() off forward: seewhy keeps no graph where none is needed.",
            slug="no-gradient",
        )
    return output


def _described(inputs: Tensor) -> str:
    """A tensor in words: its type, shape and range."""
    kind = f"a {str(inputs.dtype).removeprefix('torch.')} tensor {tuple(inputs.shape)} on {inputs.device}"
    if not inputs.numel() or not inputs.is_floating_point():
        return kind
    low, high = inputs.aminmax()
    return f"{kind}, {float(low):.3g} to {float(high):.3g}"


def forward(model: nn.Module, inputs: Tensor, task: Task = "classification") -> Tensor:
    """The numbers (N, K) kept of each image, in float32 or wider, without a graph, leaving the model as found."""
    return read_output(answer(model, inputs), len(inputs), task).logits


def as_input(model: nn.Module, inputs: Tensor) -> Tensor:
    """Detached, on the model's device and in its floating type; a fresh copy if made under inference mode."""
    like = next((p for p in model.parameters() if p.is_floating_point()), None)
    if like is not None and like.is_meta:
        refuse_meta(model)
    if like is not None and like.is_inference():
        raise ModelError(
            "The network was made under torch.inference_mode(), so no gradient can be taken.\n"
            "  Make it outside:  model = Net()  before  with torch.inference_mode():",
            slug="no-gradient",
        )
    with torch.inference_mode(False):
        inputs = inputs.clone() if inputs.is_inference() else inputs.detach()
        return inputs if like is None else inputs.to(like.device, like.dtype)


def refuse_meta(model: nn.Module) -> None:
    """Raise ModelError for a network on the meta device, which has shapes and no numbers."""
    name = next((name for name, parameter in model.named_parameters() if parameter.is_meta), None)
    if name is not None:
        raise ModelError(
            f"{type(model).__name__} lies on the meta device ({name} has a shape and no numbers).\n"
            "  Give it memory and load its weights:  model.to_empty(device='cpu'); model.load_state_dict(…)",
            slug="meta-device",
        )


def refuse_quantised(model: nn.Module) -> None:
    """Raise ModelError for a network of integers, through which no gradient passes."""
    kinds = {
        name: type(module).__name__ for name, module in model.named_modules() if ".quantized" in type(module).__module__
    }
    if kinds:
        shown = listed([f"{name} ({kind})" for name, kind in kinds.items()], 3)
        raise ModelError(
            f"{type(model).__name__} is quantised: {shown}. It computes with integers, through which no gradient "
            "passes, and gradients are what maps are made of.\n"
            "  Explain the network that it was made from, before convert() or quantize_dynamic().\n"
            "  Without gradients, where a layer before the integers has a grid:  --method eigen-cam --layers NAME",
            slug="quantised",
        )


def refuse_programs(model: nn.Module) -> None:
    """Raise ModelError for a scripted, traced or exported program, whose layers cannot be watched."""
    scripted = isinstance(model, torch.jit.ScriptModule)
    if scripted or (isinstance(model, torch.fx.GraphModule) and "_guards_fn" in dict(model.named_children())):
        advice = "" if scripted else " Or what torch.export.export gave, without .module(): it knows the layers."
        raise ModelError(
            f"{type(model).__name__} is a {'TorchScript' if scripted else 'exported'} program, whose layers cannot be "
            f"watched.\n  Give the module that it was made from, with its state dict.{advice}",
            slug="torchscript",
        )
