"""What a network can be given: which inputs fit it, and what is said where none does."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import nn

from seewhy.cam.model import logits_of, untouched
from seewhy.errors import ModelError, SeewhyError, first_line, listed

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
