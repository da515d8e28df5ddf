"""A network from a program of torch.export, with its modules as they were: layers have names, and can be watched."""

from __future__ import annotations

import hashlib
import importlib
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from seewhy.data.networks.found import Found, Takes, check_there, digest_of_files
from seewhy.data.networks.leaves import rebuilt
from seewhy.errors import ModelError, first_line

_EXPORT = "torch.export.save(torch.export.export(model.eval(), (pictures,)), 'net.pt2')"


def is_program(thing: Any) -> bool:
    """Whether this is what torch.export.export gives; torch.export itself takes long to import."""
    return type(thing).__name__ == "ExportedProgram" and type(thing).__module__.startswith("torch.export")


def read_program(path: Path, *, trusted: bool) -> Found:
    """The network in a file that torch.export.save wrote. Raises ModelError, also where the file is not `trusted`.

    To read such a file torch evaluates expressions, unpickles objects and calls functions that the file names.
    """
    check_there(path, "*.pt2")
    _check_archive(path)
    if not trusted:
        raise ModelError(
            f"{path} is a program of torch.export, and to load one torch may run code that the file holds: pickles, "
            "expressions, functions by name. Nothing of it was run.\n"
            "  Where you trust who made it:  --trust-program\n"
            "  An ONNX file runs no code:  --model onnx:FILE.onnx",
            slug="program-code",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of older formats, which are read all the same
            exported = importlib.import_module("torch.export").load(path)
    except Exception as error:
        raise ModelError(
            f"{path} cannot be loaded by torch {torch.__version__}: {first_line(error)}\n  Export it again:  {_EXPORT}",
            slug="import-failed",
        ) from error
    return unflattened(exported, f"pt2:{path}", digest_of_files([path]))


def _check_archive(path: Path) -> None:
    """Raise ModelError where a file is no exported program, or one that was compiled, by the names in it alone."""
    names: list[str] = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    if any("/aotinductor/" in name for name in names):
        raise ModelError(
            f"{path} is a compiled package (AOTInductor): machine code, which has no layers and no gradients.\n"
            f"  Give the program that it was compiled from:  {_EXPORT}",
            slug="torchscript",
        )
    if any(name.split("/")[1:2] in (["code"], ["constants.pkl"]) for name in names):
        raise ModelError(
            f"{path} is a TorchScript archive, whose layers cannot be watched.\n"
            f"  Give the network's code and its state dict, or export the network:  {_EXPORT}",
            slug="torchscript",
        )
    if not any(name.endswith((".json", "serialized_exported_program.json")) for name in names):
        raise ModelError(f"{path} is no program of torch.export.\n  Such a file is made by  {_EXPORT}", slug="program")


def unflattened(exported: Any, source: str, digest: str = "") -> Found:
    """The network of an exported program, with its modules by their own names. Raises ModelError where it has none."""
    _refuse_training(exported.graph_module, source)
    takes = _takes(exported, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network: nn.Module = importlib.import_module("torch.export").unflatten(exported)
    except Exception as error:
        raise ModelError(
            f"{source} cannot be turned into modules: {first_line(error)}\n"
            "  Give the module that it was made from, with its state dict.",
            slug="torchscript",
        ) from error
    rebuilt(network)
    _settled(network)
    size = takes.size
    notes = (
        [f"The program was exported for pictures of {size[0]} x {size[1]}: they are brought to that."] if size else []
    )
    digest = digest or hashlib.blake2b(str(exported.graph).encode(), digest_size=16).hexdigest()
    return Found(network, source, takes.preprocess(), has_weights=True, notes=tuple(notes), takes=takes, program=digest)


def _settled(network: nn.Module) -> None:
    """Leave out what only the export needed and what cannot be copied: checks of sizes, and tensors without numbers.

    Whether it takes several pictures at once is tried.
    """
    vars(network).update(check_input_constraints=False, input_placeholders=[], ivals=None)
    for module in network.modules():
        module.training = False
        if isinstance(graph := vars(module).get("graph"), fx.Graph):
            for node in graph.nodes:
                node.meta.clear()


def _takes(exported: Any, source: str) -> Takes:
    """The inputs of a program with their shapes; the picture is the first with four axes."""
    names = list(exported.graph_signature.user_inputs)
    args, kwargs = pytree.tree_unflatten(list(range(len(names))), exported.call_spec.in_spec)
    flat = all(isinstance(part, int) for part in (*args, *kwargs.values()))
    if not flat or not all(isinstance(name, str) for name in names):
        raise ModelError(
            f"{source} takes lists, dicts or constants as inputs, where seewhy gives one tensor by name each.\n"
            "  Export a wrapper whose forward takes tensors alone.",
            slug="network-inputs",
        )
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes if node.op == "placeholder"}
    inputs = {
        name: tuple(size if isinstance(size, int) else None for size in getattr(values.get(name), "shape", ()))
        for name in names
    }
    picture = next((name for name, shape in inputs.items() if len(shape) == 4), None)
    if picture is None:
        raise ModelError(f"{source} takes no pictures (N, C, H, W): its inputs are {inputs}.", slug="network-inputs")
    return Takes(inputs, picture, {names[place]: keyword for keyword, place in kwargs.items()})


def _refuse_training(program: fx.GraphModule, source: str) -> None:
    """Raise ModelError where a program was exported in training mode, in which every answer depends on the batch."""
    if node := next(_in_training(program), None):
        raise ModelError(
            f"{source} was exported in training mode ({node.name}), so that its answers depend on the batch and on "
            f"chance.\n  Call eval() before:  {_EXPORT}",
            slug="program",
        )


def _in_training(program: fx.GraphModule) -> Iterator[fx.Node]:
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        names = [argument.name for argument in schema.arguments] if schema else []
        given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if given.get("training") is True or given.get("train") is True:
            yield node
