"""A network from code: a file, a module, or a model of timm, torchvision or Hugging Face, by name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from seewhy.data.formats.missing import nearest_paths
from seewhy.data.networks.exported import is_program, read_program, unflattened
from seewhy.data.networks.found import Found
from seewhy.data.networks.hugging_face import read_directory
from seewhy.data.networks.onnx_file import read_onnx
from seewhy.errors import MissingExtraError, ModelError, OptionError, first_line, listed, nearest
from seewhy.records import distinct

_neighbours: dict[str, str] = {}  # modules that a network's file imported from its own folder, with that folder
MODEL_FORMS = (
    "net.py:Net, package.module:factory, timm:NAME, torchvision:NAME, hf:DIRECTORY, onnx:FILE.onnx or pt2:FILE.pt2"
)
_FILES = {".onnx": "onnx", ".pt2": "pt2"}  # what a file's name says, by the word that it is named with


def find_network(model: Any, arguments: dict[str, Any], *, trust_program: bool = False) -> Found:
    """The network that `model` names, made with `arguments`. Raises ModelError with the nearest names.

    `trust_program` lets torch run what the file of an exported program holds.
    """
    if isinstance(model, nn.Module):
        return Found(model, type(model).__name__)
    if is_program(model):
        return unflattened(model, "ExportedProgram")
    if not isinstance(model, (str, os.PathLike)):
        raise ModelError(_no_network(model), slug="no-such-model")
    model = os.fspath(model)
    kind, colon, name = model.partition(":")
    finders = {"timm": _from_timm, "torchvision": _from_torchvision, "hf": _from_hf}
    if colon and kind in finders:
        return finders[kind](name, arguments)
    if colon and kind in _FILES.values():
        if arguments:
            raise OptionError(f"{name} is a network already, so --model-arg {next(iter(arguments))}=… does not apply.")
        return read_onnx(Path(name)) if kind == "onnx" else read_program(Path(name), trusted=trust_program)
    if (word := _FILES.get(Path(model).suffix)) is not None:
        raise ModelError(f"{model} is a file and no code.  Name it so:  --model {word}:{model}", slug="no-such-model")
    return _from_code(model, arguments)


def _no_network(given: Any) -> str:
    """What is said of something given in place of a network."""
    what = f"{type(given).__name__} is no network"
    if isinstance(given, type) and issubclass(given, nn.Module):
        return f"{given.__name__} is a class of networks.  Make one of it:  {given.__name__}()"
    if isinstance(given, Mapping):
        return f"{what}: it looks like weights. Give the network, and its weights in a file:  load(Net(), 'weights.pt')"
    if callable(given):
        return f"{what}: layers are watched, which a function has none of. Give the torch.nn.Module that it calls."
    return f'{what}.  Give a torch.nn.Module, or its name: "net.py:Net", "timm:NAME", "hf:DIRECTORY".'


def _from_code(spec: str, arguments: dict[str, Any]) -> Found:
    module, name = module_of(spec)
    if not name:
        networks = [
            key for key, net in vars(module).items() if _is_network_class(net) and net.__module__ == module.__name__
        ]
        if len(networks) != 1:
            what = f"{len(networks)} networks ({listed(networks)})" if networks else "no network"
            raise ModelError(
                f"{spec} defines {what}; name one:  --model {spec}:{networks[0] if networks else 'Net'}",
                slug="no-such-model",
            )
        name = networks[0]
    if not hasattr(module, name):
        place = spec.rpartition(":")[0]
        raise ModelError(f"{place} has no {name!r}.  {nearest(name, _offered(module))}".rstrip(), slug="no-such-model")
    network = _build(getattr(module, name), name, arguments)
    return Found(
        network, spec, getattr(module, "preprocess", None), f"`preprocess` of {spec.rpartition(':')[0] or spec}"
    )


def thing_of(spec: str, forms: str) -> Any:
    """What file.py:name or package.module:name names, whose code it runs. `forms` says how it is written.

    Raises ModelError and OptionError with the nearest names.
    """
    module, name = module_of(spec, forms)
    if not hasattr(module, name):
        near = nearest(name, _offered(module))
        raise OptionError(f"{spec!r} names nothing.  {near}".rstrip() + f"\n  Write it as {forms}.")
    return getattr(module, name)


def _offered(module: ModuleType) -> list[str]:
    """The names of what a module has that can be called: networks, classes, functions."""
    return [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]


def module_of(spec: str, forms: str = MODEL_FORMS) -> tuple[ModuleType, str]:
    """The imported module and the attribute that a spec names; a missing file is told from a file that fails."""
    where, colon, name = spec.rpartition(":")
    if not colon:
        where, name = spec, ""
    if where.endswith(".py") or "/" in where:
        return _import_file(Path(where)), name
    if not colon:
        raise ModelError(f"There is no model {spec!r}.  Write it as {forms}.", slug="no-such-model")
    return _import_name(where, forms), name


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ModelError(f"There is no file {path}.  {nearest_paths(path, '*.py')}", slug="no-such-file")
    name = f"seewhy_user_{path.stem}_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} is not a Python file.", slug="no-such-file")
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    for neighbour in [module_name for module_name, home in _neighbours.items() if home != folder]:
        sys.modules.pop(neighbour, None)  # another project's file of the same name is not this one's
        del _neighbours[neighbour]
    before = set(sys.modules)
    sys.path.insert(0, folder)  # so that the file can import its neighbours
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script that parses arguments when imported leaves with SystemExit
        del sys.modules[name]
        raise _import_failed(str(path), error) from error
    finally:
        sys.path.remove(folder)
        _neighbours.update(
            {module_name: folder for module_name in set(sys.modules) - before - {name} if _lies_in(module_name, folder)}
        )
    return module


def _lies_in(module: str, folder: str) -> bool:
    """Whether an imported module is a file or package directly in this folder."""
    top = Path(folder, module.partition(".")[0])
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and (Path(file) == top.with_suffix(".py") or top in Path(file).parents)


def _import_name(name: str, forms: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ModelError(
                f"There is no module {name!r} here or among the installed packages.\n  Write it as {forms}.",
                slug="no-such-model",
            ) from error
        raise _import_failed(name, error) from error
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from error
    finally:
        sys.path.remove(here)


def _import_failed(name: str, error: BaseException) -> ModelError:
    return ModelError(
        f"{name} was found, but importing it failed: {type(error).__name__}: {error}", slug="import-failed"
    )


def _build(thing: Any, name: str, arguments: dict[str, Any]) -> nn.Module:
    """The network that a class or factory makes with these arguments, or the module itself."""
    if isinstance(thing, nn.Module):
        if arguments:
            raise OptionError(f"{name} is a network already, so --model-arg {next(iter(arguments))}=… does not apply.")
        return thing
    if not callable(thing):
        raise ModelError(
            f"{name} is {type(thing).__name__}, not a network or a function that makes one.", slug="no-such-model"
        )
    try:
        inspect.signature(thing).bind(**arguments)
    except TypeError as error:
        takes = str(inspect.signature(thing))
        raise ModelError(
            f"{name}{takes} cannot be called: {error}.\n  Give arguments like:  --model-arg width=16"
        ) from error
    except ValueError:
        pass  # no signature to read: the call itself will tell
    try:
        network = thing(**arguments)
    except (Exception, SystemExit) as error:
        raise ModelError(f"Making {name} failed: {type(error).__name__}: {error}", slug="import-failed") from error
    if not isinstance(network, nn.Module):
        raise ModelError(f"{name} made {type(network).__name__}, not a torch.nn.Module.", slug="no-such-model")
    return network


def _from_timm(name: str, arguments: dict[str, Any]) -> Found:
    timm = _optional("timm", "timm:NAME")
    if not timm.is_model(name):
        raise ModelError(
            f"timm has no model {name!r}.  {nearest(name, timm.list_models())}".rstrip(), slug="no-such-model"
        )
    model = _build(lambda **kw: timm.create_model(name, pretrained=False, **kw), name, arguments)
    config = timm.data.resolve_data_config({}, model=model)
    if config["interpolation"] == "random":
        config["interpolation"] = "bilinear"
    return Found(
        model, f"timm:{name}", timm.data.create_transform(**config, is_training=False), f"timm's own for {name}"
    )


def _from_torchvision(name: str, arguments: dict[str, Any]) -> Found:
    models = _optional("torchvision.models", "torchvision:NAME")
    if name not in models.list_models():
        raise ModelError(
            f"torchvision has no model {name!r}.  {nearest(name, models.list_models())}".rstrip(), slug="no-such-model"
        )
    model = _build(lambda **kw: models.get_model(name, weights=None, **kw), name, arguments)
    default = models.get_model_weights(name).DEFAULT
    categories = default.meta.get("categories")
    classes = distinct(categories) if categories and "num_classes" not in arguments else None
    title = f"torchvision's own for {name}"
    return Found(model, f"torchvision:{name}", default.transforms(), title, classes=classes)


def _from_hf(directory: str, arguments: dict[str, Any]) -> Found:
    held = read_directory(Path(directory), arguments, partial(_optional, "transformers", "hf:DIRECTORY"))
    return Found(
        model=held.model,
        source=f"hf:{directory}",
        preprocess=held.processor,
        title=held.processor_name,
        trouble=held.trouble,
        classes=held.classes,
        task=held.task,
        has_weights=True,
        notes=held.notes,
    )


def _optional(package: str, purpose: str) -> ModuleType:
    """An optional package of the user's; one that is installed but broken is a named error."""
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package.partition(".")[0]:
            raise MissingExtraError(error.name, None, purpose) from error
        raise _import_failed(package, error) from error
    except Exception as error:
        raise ModelError(
            f"{package} is installed but does not load ({first_line(error)}).\n  Its build must match your torch "
            f"{torch.__version__}.",
            slug="import-failed",
        ) from error


def _is_network_class(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, nn.Module)
