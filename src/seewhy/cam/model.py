"""Run the user's network, and leave it exactly as it was."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seewhy.cam.pass_effects import in_one_process, modules_of, restored, written_by
from seewhy.cam.scores.outputs import first_tensor, read_output
from seewhy.errors import ModelError
from seewhy.records import Task

_locks: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_locks_guard = threading.Lock()
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
    low, high = inputs.detach().aminmax()
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
