"""A network from an ONNX file, by onnx2torch: no code of the file is run, and what cannot be converted is named."""

from __future__ import annotations

import ast
import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import fx, nn

from seewhy.data.networks.found import Dims, Found, Takes, check_there, digest_of_files
from seewhy.data.networks.onnx_model import OPSET, packages, read_model
from seewhy.data.networks.onnx_names import layer_names
from seewhy.errors import ModelError, first_line, listed
from seewhy.records import distinct

_CLASSES = ("classes", "class_names", "names", "labels")  # under which a file's metadata has class names


def read_onnx(path: Path) -> Found:
    """The network in an ONNX file, with the size and the classes that the file says.

    Raises ModelError where it is no such file, or names each operator with its node that cannot be converted, and
    MissingExtraError.
    """
    onnx, onnx2torch = packages()
    check_there(path, "*.onnx")
    model, files = read_model(onnx, path)
    _refuse_unknown(onnx2torch, model, path)
    takes = _takes(onnx, model, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = onnx2torch.convert(model)
    except Exception as error:
        raise _not_converted(onnx, onnx2torch, model, path, error) from error
    classes, notes = _classes(model), []
    if classes:
        notes.append(f"The class names are those in {path.name}.")
    if takes.size:
        height, width = takes.size
        notes.append(
            f"{path.name} takes pictures of {height} x {width}, and does not say how they are fed: RGB in 0..1 unless "
            "--mean, --std or --preprocess say otherwise."
        )
    return Found(
        _named(program, layer_names(model.graph.node)),
        f"onnx:{path}",
        takes.preprocess(),
        classes=classes,
        has_weights=True,
        notes=tuple(notes),
        takes=takes,
        program=digest_of_files(files),
    )


def _refuse_unknown(onnx2torch: Any, model: Any, path: Path) -> None:
    """Raise ModelError where a node is of an operator that onnx2torch does not know, with each and its node."""
    versions = {opset.domain: opset.version for opset in model.opset_import}
    unknown: dict[str, str] = {}
    for node in model.graph.node:
        try:
            onnx2torch.node_converters.get_converter(
                domain=node.domain, operation_type=node.op_type, version=versions[node.domain]
            )
        except (NotImplementedError, KeyError):
            unknown.setdefault(f"{node.domain}.{node.op_type}".lstrip("."), node.name or ", ".join(node.output))
    if unknown:
        names = listed([f"{kind} (node {name})" for kind, name in unknown.items()], 6)
        opset = versions.get("", 0)
        raise ModelError(
            f"{path} has operators that onnx2torch cannot convert in opset {opset}: {names}.\n"
            f"  Export it with opset {OPSET} or a lower one, or give the network that it was exported from.",
            slug="onnx-operator",
        )


def _not_converted(onnx: Any, onnx2torch: Any, model: Any, path: Path, cause: Exception) -> ModelError:
    """The error for a file that onnx2torch fails on, with the node where it did, as far as that can be told."""
    where = ""
    with suppress(Exception):
        versions = {opset.domain: opset.version for opset in model.opset_import}
        graph = onnx2torch.onnx_graph.OnnxGraph(onnx.shape_inference.infer_shapes(model).graph)
        for node in graph.nodes.values():
            try:
                onnx2torch.node_converters.get_converter(
                    domain=node.domain, operation_type=node.operation_type, version=versions[node.domain]
                )(node, graph)
            except Exception as error:  # noqa: BLE001 -- whatever it is, this is the node
                where, cause = f" {node.operation_type} (node {node.name or node.unique_name})", error
                break
    return ModelError(
        f"{path} cannot be converted by onnx2torch:{where} {type(cause).__name__}: {first_line(cause)}\n"
        "  Give the network that it was exported from.",
        slug="onnx-operator",
    )


def _takes(onnx: Any, model: Any, path: Path) -> Takes:
    """The inputs of a model that are no weights, with their shapes; the picture is the first with four axes."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs: dict[str, Dims] = {}
    pictures: list[str] = []
    for value in model.graph.input:
        if value.name not in weights:
            kind = value.type.tensor_type
            inputs[value.name] = tuple(size.dim_value or None for size in kind.shape.dim)
            if len(inputs[value.name]) == 4:
                pictures.append(value.name)
            if kind.elem_type == onnx.TensorProto.FLOAT16:
                raise ModelError(
                    f"{path} computes in float16, in which maps are not made.\n  Export it in float32.",
                    slug="onnx-file",
                )
    if not pictures:
        shapes = listed([f"{name} {shape}" for name, shape in inputs.items()])
        raise ModelError(f"{path} takes no pictures (N, C, H, W): its inputs are {shapes}.", slug="network-inputs")
    takes = Takes(inputs, pictures[0])
    if takes.channels not in (None, 1, 3, 4) and inputs[pictures[0]][3] in (1, 3):
        raise ModelError(
            f"{path} takes pictures as {takes.said(pictures[0])}, with the channels last.\n"
            "  Export it with the channels first (tf2onnx: --inputs-as-nchw NAME).",
            slug="network-inputs",
        )
    return takes


def _classes(model: Any) -> tuple[str, ...] | None:
    """The class names that a file's metadata has, as a list or as a dict of their numbers."""
    held = {entry.key.lower(): entry.value for entry in model.metadata_props}
    for key in _CLASSES:
        for read in (json.loads, ast.literal_eval):
            with suppress(ValueError, SyntaxError, TypeError, RecursionError):
                names = read(held.get(key, ""))
                if isinstance(names, dict):
                    names = [names.get(number, names.get(str(number))) for number in range(len(names))]
                if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
                    return distinct(names)
    return None


def _named(program: fx.GraphModule, names: list[str]) -> nn.Module:
    """The converted network with layers of these names, as a plain module: copied and saved like any other."""
    calls = [node for node in program.graph.nodes if node.op == "call_module"]
    parts: dict[str, Any] = {}
    for node, name in zip(calls, names, strict=True):
        parts[name] = program.get_submodule(node.target)
        node.target = name
    for node in program.graph.nodes:
        if node.op == "get_attr":
            place, _, name = node.target.rpartition(".")
            parts[node.target] = getattr(program.get_submodule(place), name)
    whole = fx.GraphModule(parts, program.graph)
    kind = type("OnnxNetwork", (nn.Module,), {"forward": type(whole).forward, "__module__": __name__})
    network: nn.Module = kind()
    for name, module in whole.named_children():
        network.add_module(name, module)
    return network.eval()
