"""An ONNX file read: with its weights from files beside it, and in the form that onnx2torch knows."""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from seewhy.errors import MissingExtraError, ModelError, first_line

OPSET = 17  # the last that onnx2torch knows whole
_DOMAIN = ("", "ai.onnx")  # of the operators of ONNX itself


def packages() -> tuple[ModuleType, ModuleType]:
    """The packages onnx and onnx2torch. Raises MissingExtraError, or ModelError where one does not load."""
    try:
        with warnings.catch_warnings(), _torchvision_or_stand_in():
            warnings.simplefilter("ignore")
            return importlib.import_module("onnx"), importlib.import_module("onnx2torch")
    except ModuleNotFoundError as error:
        if error.name in ("onnx", "onnx2torch"):
            raise MissingExtraError(error.name, "onnx", "onnx:FILE") from error
        raise _not_loading(error) from error
    except Exception as error:
        raise _not_loading(error) from error


def _not_loading(error: BaseException) -> ModelError:
    return ModelError(
        f"onnx2torch is installed but does not load ({first_line(error)}).\n"
        '  Bring it and onnx to versions that fit:  pip install --upgrade "seewhy[onnx]"',
        slug="import-failed",
    )


@contextmanager
def _torchvision_or_stand_in() -> Iterator[None]:
    """Let onnx2torch be imported where torchvision does not load, which it needs for two operators of detectors."""
    if "onnx2torch" in sys.modules:
        yield
        return
    try:
        importlib.import_module("torchvision.ops")
    except Exception as error:  # noqa: BLE001 -- a build for another torch raises anything
        stand_in, ops = ModuleType("torchvision"), ModuleType("torchvision.ops")
        reason = first_line(error)

        def missing(*_: Any, **__: Any) -> Any:
            raise ModelError(
                f"RoiAlign and NonMaxSuppression need torchvision, which does not load ({reason}).",
                slug="onnx-operator",
            )

        vars(ops).update(nms=missing, roi_align=missing, box_convert=missing)
        vars(stand_in).update(ops=ops)
        made = {"torchvision": stand_in, "torchvision.ops": ops}
        before = {name: sys.modules[name] for name in made if name in sys.modules}
        sys.modules.update(made)
        try:
            yield
        finally:
            for name in made:
                del sys.modules[name]
            sys.modules.update(before)
    else:
        yield


def read_model(onnx: Any, path: Path) -> tuple[Any, list[Path]]:
    """The model in a file with all its weights, and the files that hold it. Raises ModelError."""
    try:
        model = onnx.load_model(str(path), load_external_data=False)
        if not model.graph.node:
            raise ValueError("it holds no operators")
    except Exception as error:
        pointer = "\n  It is a Git LFS pointer, not the file itself:  git lfs pull" if _is_pointer(path) else ""
        raise ModelError(f"{path} is no ONNX file: {first_line(error)}.{pointer}", slug="onnx-file") from error
    beside = _external(onnx, model, path)
    try:
        if beside:
            onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
        if len(model.functions):
            model = onnx.inliner.inline_local_functions(model)
    except Exception as error:
        raise ModelError(f"{path} cannot be read: {first_line(error)}", slug="onnx-file") from error
    return _known_form(onnx, model), [path, *beside]


def _known_form(onnx: Any, model: Any) -> Any:
    """The same model in operators of a version that onnx2torch knows, with its weights where it looks for them."""
    for thing in (*model.opset_import, *model.graph.node):
        thing.domain = "" if thing.domain in _DOMAIN else thing.domain
    version = next((opset.version for opset in model.opset_import if not opset.domain), 0)
    if version > OPSET:
        model = _brought_down(onnx, model)
    weights = {tensor.name for tensor in model.graph.initializer}
    kept, other = {value.name for value in model.graph.output}, dict[str, str]()
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        node.input[:] = [other.get(name, name) for name in node.input]
        values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        if node.op_type == "Identity" and node.input[0] in weights and node.output[0] not in kept:
            other[node.output[0]] = node.input[0]  # one weight for several layers, as torch's exporter writes it
        elif node.op_type == "Constant" and values and node.output[0] not in kept:
            model.graph.initializer.add().CopyFrom(values[0])
            model.graph.initializer[-1].name = node.output[0]
            weights.add(node.output[0])
        else:
            model.graph.node.append(node)
    shapes = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        shape = shapes.get(node.input[1]) if node.op_type == "Reshape" else None
        if node.op_type == "Reshape" and (shape is None or 0 not in onnx.numpy_helper.to_array(shape)):
            for attribute in [attribute for attribute in node.attribute if attribute.name == "allowzero"]:
                node.attribute.remove(attribute)  # which says what zeros mean, and there are none
    return model


def _brought_down(onnx: Any, model: Any) -> Any:
    """The model in opset OPSET, its nodes with their own metadata; as it is where onnx cannot bring it there."""
    kept = {node.name: list(node.metadata_props) for node in model.graph.node}
    with suppress(Exception):  # an operator that stays is refused by name, if it is not known
        model = onnx.version_converter.convert_version(model, OPSET)
        for node in model.graph.node:
            if not node.metadata_props:
                node.metadata_props.extend(kept.get(node.name, ()))
    return model


def _is_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return b"git-lfs" in file.read(64)


def _external(onnx: Any, model: Any, path: Path) -> list[Path]:
    """The files beside an ONNX file that hold weights of it. Raises ModelError for any outside of its folder."""
    folder, files = path.parent.resolve(), set()
    for tensor in _tensors([model.graph, *model.functions]):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        file = (folder / location).resolve()
        if not location or Path(location).is_absolute() or not file.is_relative_to(folder):
            raise ModelError(
                f"{path} keeps the weights {tensor.name!r} in {location!r}, outside of its own folder; that is not "
                "read.\n  Put the file beside it, and save the model so that it names it there.",
                slug="onnx-file",
            )
        if not file.is_file():
            raise ModelError(f"{path} keeps weights in {location}, which is not beside it.", slug="onnx-file")
        files.add(file)
    return sorted(files)


def _tensors(graphs: Iterable[Any]) -> Iterator[Any]:
    """Every tensor in graphs and functions: weights, and those in the attributes of nodes, at any depth."""
    for graph in graphs:
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for attribute in (attribute for node in graph.node for attribute in node.attribute):
            yield from (attribute.t, *attribute.tensors)
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)
            inner = [attribute.g] if attribute.HasField("g") else []
            yield from _tensors([*inner, *attribute.graphs])
