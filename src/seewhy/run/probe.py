"""What one pass over the first image shows, and what is chosen from it: layers, methods, a layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from seewhy.cam.capture import LayerCall, capture, find_layer, gradients
from seewhy.cam.fitting import inputs_error, missing_inputs, size_error
from seewhy.cam.grid import AS_IT_IS, read_grid
from seewhy.cam.layers.calls import trace_any
from seewhy.cam.layers.choice import Choice, choose, choose_layer, mixture
from seewhy.cam.layers.inferred import Call, grid_of
from seewhy.cam.layers.token_order import with_token_order
from seewhy.cam.methods.catalogue import find_method
from seewhy.cam.methods.weighting import grad_cam, weighted_sum
from seewhy.cam.model import answer, as_input
from seewhy.cam.remembered import remembered
from seewhy.cam.scores.form import AS_RETURNED, Form, LastCalls, tensor_at
from seewhy.cam.scores.form_choice import choose_form, columns
from seewhy.cam.scores.outputs import Output, guess_task, read_output
from seewhy.cam.tail.affine import affine_behind
from seewhy.errors import LayerError, ModelError, OptionError
from seewhy.records import TOLD, OutputAsked, Task
from seewhy.run.names import layer_names

ONE_LABEL_NOTE = (
    "Each class has a probability of its own, but each image has one label:  --task multi-label  reads several."
)
_OTHERS = 4  # pictures of noise, for what one image alone could not say
_SAME_MAPS = 2e-6  # of the largest number of a map: what two orders of summation may make of it in a preset


@dataclass(frozen=True)
class Probe:
    """What one pass over an image shows: what the output means, its numbers (1, K), and every layer call.

    It is remembered for all images of a shape, so that the numbers may be those of another one.

    `form` is how the network's output is read, and `notes` what is said of that.
    """

    task: Task
    output: Output
    calls: list[Call]
    form: Form = AS_RETURNED
    notes: tuple[str, ...] = ()

    @property
    def logits(self) -> Tensor:
        """The numbers (1, K) kept of the image."""
        return self.output.logits


def probe_network(
    network: nn.Module,
    inputs: Tensor,
    task: Task | None,
    asked: OutputAsked = TOLD,
    class_counts: Sequence[int] = (),
    has_labels: bool = False,
) -> Probe:
    """One pass over the first image; a network that cannot take the input says what fits.

    `class_counts` are the numbers of classes that names or folders allow: of several outputs the one with so many
    columns is read. Several sigmoids are labels of their own, unless `has_labels` says that each image has one label.
    What the pass shows is remembered with the network, for all images of one shape.
    """
    key = ("probe", inputs.shape, inputs.dtype, task, asked, tuple(class_counts), has_labels)
    return remembered(network, key, lambda: _probed(network, inputs, task, asked, class_counts, has_labels))


def _probed(
    network: nn.Module,
    inputs: Tensor,
    task: Task | None,
    asked: OutputAsked,
    class_counts: Sequence[int],
    has_labels: bool,
) -> Probe:
    try:
        with LastCalls() as last:
            calls, raw = trace_any(network, as_input(network, inputs))
        calls = with_token_order(network, as_input(network, inputs), calls)

        def others(path: Sequence[str]) -> Tensor:
            pictures = _noise(inputs.expand(_OTHERS, *inputs.shape[1:])).split(1)
            return torch.cat([torch.atleast_1d(tensor_at(answer(network, picture), path)) for picture in pictures])

        form, said = choose_form(raw, last, len(inputs), task, network, asked, class_counts, others)
        read = raw if form == AS_RETURNED else form.read(raw, last)
        task, more = (task, []) if task else _task(read, network, form, has_labels=has_labels)
        said += more
        return Probe(task, read_output(read, len(inputs), task), calls, form, tuple(said))
    except TypeError as error:
        if names := missing_inputs(network):
            raise inputs_error(network, names) from error
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        if "memory" in str(error).lower():
            raise
        raise size_error(network, inputs.shape, error) from error


def _task(read: Any, network: nn.Module, form: Form, *, has_labels: bool) -> tuple[Task, list[str]]:
    """What the network is for, and what is said of that: several sigmoids are labels of their own."""
    told = guess_task(read, network)
    if isinstance(read, Tensor) and read.ndim == 0:
        return told, []
    if form.squash != "sigmoid" or told != "classification" or columns(read, len(read)) < 2:
        return told, []
    if not has_labels:
        return "multi-label", []
    return told, [ONE_LABEL_NOTE]


def layers_and_methods(
    network: nn.Module,
    inputs: Tensor,
    probe: Probe,
    layers: str | nn.Module | Sequence[str | nn.Module],
    known: Sequence[str],
    own_methods: Container[str],
    preset: str | None,
    grid: str | None,
) -> tuple[tuple[str, ...], tuple[LayerCall, ...], list[str]]:
    """The methods, the layers with their grids (none where every method maps the input), and what to say of both.

    `known` are the methods as `named_methods` gives them, `own_methods` those of the user's.
    """
    names = layer_names(network, layers)
    if not names:
        raise OptionError("No layer was named.  Name some, or leave the choice:  --layers auto")
    if all(name != "auto" and name not in own_methods and find_method(name).on_input for name in known):
        return _once("method", known), (), []
    choice: Choice | None = None
    if "auto" in names or ("auto" in known and preset is None):
        choice = chosen_layer(network, as_input(network, inputs), probe)
    automatic = "grad-cam" if preset or choice is None else choice.method
    methods = _once("method", [automatic if name == "auto" else name for name in known])
    calls = []
    for name in _once("layer", [choice.layer if name == "auto" and choice else name for name in names]):
        calls.append(_seen(find_layer(network, name), probe.calls, inputs.shape, grid))
    runs = Counter(call.name for call in probe.calls)
    said = _chosen(choice, "auto" in names, "auto" in known and preset is None)
    said += [
        f"{call.name} runs {runs[call.name]} times in one pass; the last is explained ({call.name}@1 names the first)."
        for call in calls
        if not call.call and runs[call.name] > 1
    ]
    said += [f"{call.asked} is seen as {call.grid}." for call in calls if call.grid and call.grid.layout == "tokens"]
    return methods, tuple(calls), said


def chosen_layer(network: nn.Module, inputs: Tensor, probe: Probe) -> Choice:
    """The layer that auto takes, whatever the first image shows: it is probed with noise, and with that image then.

    Where no gradient reaches any, the last one with a grid: a broken network can still be checked.
    """
    key = ("layer", inputs.shape, inputs.dtype, probe.task)
    return remembered(network, key, lambda: _chosen_layer(network, inputs, probe))


def _chosen_layer(network: nn.Module, inputs: Tensor, probe: Probe) -> Choice:
    if probe.task == "segmentation":
        return _chosen_features(network, inputs, probe)
    for picture in (_noise(inputs), inputs):
        try:
            return choose_layer(network, picture, probe.calls)
        except LayerError as error:
            if error.slug != "no-gradient":
                raise
    return choose(probe.calls)


def _chosen_features(network: nn.Module, inputs: Tensor, probe: Probe) -> Choice:
    """For a segmentation the last layer before those that give the classes of each place: these are no features."""
    n_classes = probe.output.tensor.shape[1]
    calls = [call for call in probe.calls if call.grid is None or call.shape[call.grid.channel_axis] != n_classes]
    choice = choose(calls)
    reason = f"{choice.layer} is the last layer of features ({choice.grid}); Grad-CAM, a mean over the class's pixels"
    return replace(choice, method="grad-cam", reason=reason)


def _chosen(choice: Choice | None, layer: bool, method: bool) -> list[str]:
    if choice is None:
        return []
    if layer and method:
        return [f"Chosen: {choice.reason}."]
    return [f"Chosen: layer {choice.layer}."] if layer else [f"Chosen: method {choice.method}."]


def _once(what: str, names: Sequence[str]) -> tuple[str, ...]:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise OptionError(f"The {what} {repeated[0]!r} was named twice.")
    return tuple(names)


def _seen(layer: LayerCall, calls: Sequence[Call], shape: Sequence[int], grid: str | None) -> LayerCall:
    """The layer with the way in which its output is seen as a grid."""
    runs = [call for call in calls if call.name == layer.name]
    if layer.call is not None:
        runs = runs[layer.call - 1 : layer.call]
    if not runs:
        raise LayerError(
            f"Layer {layer.asked!r} never runs in the forward pass.\n"
            "  See the layers that run, with their grids:  seewhy layers --model …",
            slug="layer-never-runs",
        )
    inferred = runs[-1].grid
    named = None if grid is None else read_grid(grid, runs[-1].shape)
    if named is not None and inferred is not None and replace(inferred, skipped=named.skipped) == named:
        named = inferred  # which knows where special tokens stand
    return replace(layer, grid=named or grid_of(runs[-1], shape))


def memory_format_for(
    network: nn.Module,
    inputs: Tensor,
    probe: Probe,
    layers: Sequence[LayerCall],
    methods: Sequence[str],
    preset: str | None,
) -> torch.memory_format:
    """Channels last on a CPU, where convolutions and pools are faster, unless the network minds (a .view of features).

    Only the input is laid out so; the network's parameters stay as they are. The order of summation differs, which can
    turn a ReLU or a maximum pool behind a layer. A preset, whose pictures must be equal, keeps the peer's layout unless
    what follows the layers is proven affine, so that nothing can turn, or the method is Grad-CAM, whose mean over
    places hides single turns, and the maps of the first image are the same in both layouts.
    """
    if probe.output.logits.device.type != "cpu" or inputs.ndim != 4:
        return torch.contiguous_format
    careful = None if preset is None else tuple(methods)
    key = ("layout", inputs.shape, inputs.dtype, probe.task, tuple(layers), careful)
    same = remembered(network, key, lambda: _same_in_channels_last(network, inputs, probe, layers, careful))
    return torch.channels_last if same else torch.contiguous_format


def _same_in_channels_last(
    network: nn.Module, inputs: Tensor, probe: Probe, layers: Sequence[LayerCall], careful: tuple[str, ...] | None
) -> bool:
    """Whether the first image's output is the same in both layouts, and for these methods every image's maps, too."""
    inputs = as_input(network, inputs)
    turned = inputs.contiguous(memory_format=torch.channels_last)
    try:
        plain, again = (read_output(answer(network, x), len(x), probe.task).logits for x in (inputs, turned))
        same = torch.allclose(again, plain, rtol=1e-4, atol=1e-5, equal_nan=True)
        if careful is None or not same:
            return same
        if careful != ("grad-cam",):
            return affine_behind(network, turned, layers)
        maps = zip(*(_plain_maps(network, batch, layers, probe.task) for batch in (inputs, turned)), strict=True)
        return all(bool((first - other).abs().max() <= _SAME_MAPS * first.abs().max()) for first, other in maps)
    except (RuntimeError, LayerError, ModelError):
        return False


def _plain_maps(network: nn.Module, inputs: Tensor, layers: Sequence[LayerCall], task: Task) -> list[Tensor]:
    """Raw Grad-CAM maps (1, H, W) of a mixture of all outputs, by layer."""
    with capture(network, inputs, layers, task=task) as captured:
        slopes = gradients(mixture(captured.logits), captured.activations)
    maps = []
    for layer in layers:
        seen = layer.grid or AS_IT_IS
        activation, slope = (seen.view(tensors[layer.asked].detach()) for tensors in (captured.activations, slopes))
        maps.append(weighted_sum(grad_cam(activation, slope), activation))
    return maps


def _noise(inputs: Tensor) -> Tensor:
    """A picture of noise like the inputs, the same each time: what is planned must not hang on the first image."""
    return torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)).to(inputs)
