"""What a Hugging Face directory holds: its network, its image processor, its labels, and what its head means."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from seewhy.data.pipelines.processors import BY_OPTIONS, UnfitProcessorError
from seewhy.errors import ModelError, first_line, listed
from seewhy.records import Task, distinct

_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_ADMINISTRATIVE = ("feature_extractor_type", "image_processor_type", "processor_class", "auto_map")
_TASKS: dict[str, Task] = {"regression": "regression", "multi_label_classification": "multi-label"}


@dataclass
class Directory:
    """A network with its image processor, or with what stood against having one."""

    model: nn.Module
    processor: Any = None
    processor_name: str = ""
    trouble: UnfitProcessorError | None = None
    classes: tuple[str, ...] | None = None
    task: Task | None = None
    notes: tuple[str, ...] = ()


def read_directory(folder: Path, arguments: dict[str, Any], importing: Callable[[], ModuleType]) -> Directory:
    """The network in a directory, with its weights, and all that stands beside it; `importing` gives transformers.

    Raises ModelError.
    """
    with _broken_torchvision_hidden() as reason:
        transformers = importing()
        config = _config_of(folder)
        try:
            known = _class_of(transformers, config)
            model = known.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **arguments)
        except Exception as error:
            raise ModelError(f"{folder} cannot be loaded: {first_line(error)}", slug="import-failed") from error
        directory = Directory(model, *_processor_of(transformers, folder, config))
    if reason and directory.processor is not None:
        directory.notes += (f"torchvision does not load ({reason}), so transformers prepares images without it.",)
    directory.notes += tuple(_unfollowed(folder, directory.processor))
    _read_head(directory)
    return directory


def _config_of(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"{folder} is not a Hugging Face model directory: it has no config.json.", slug="no-such-file")
    return _json_of(path)


def _json_of(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {first_line(error)}", slug="import-failed") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds {type(content).__name__}, not settings by name.", slug="import-failed")
    return content


def _class_of(transformers: Any, config: dict[str, Any]) -> Any:
    """The class that the directory's configuration names, so that no head is made up; else that of classifiers."""
    named = config.get("architectures") or []
    architecture = getattr(transformers, named[0], None) if named else None
    is_network = isinstance(architecture, type) and issubclass(architecture, transformers.PreTrainedModel)
    return architecture if is_network else transformers.AutoModelForImageClassification


def _processor_of(
    transformers: Any, folder: Path, config: dict[str, Any]
) -> tuple[Any, str, UnfitProcessorError | None]:
    """The processor that transformers makes of the directory, its name in words, and the error where it makes none."""
    named = [name for name in _PROCESSOR_FILES if (folder / name).is_file()]
    if not named and "pretrained_cfg" not in config:
        return None, "", None
    place = folder / (named[0] if named else "config.json")
    try:
        _json_of(place)
        processor = transformers.AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # noqa: BLE001 -- only options that replace it may go on without
        why = f"transformers makes no image processor of {place}: {first_line(error)}\n  {BY_OPTIONS}"
        return None, "", UnfitProcessorError(why)
    return processor, f"{place.name} as {type(processor).__name__} follows it", None


def _unfollowed(folder: Path, processor: Any) -> Iterator[str]:
    """A sentence on keys that the directory's settings have and its processor does not know."""
    path, known = folder / _PROCESSOR_FILES[0], getattr(type(processor), "valid_kwargs", None)
    if processor is None:
        if not any((folder / name).is_file() for name in _PROCESSOR_FILES):
            yield f"{folder} has no {_PROCESSOR_FILES[0]}: give the preprocessing by options."
    elif known is not None and path.is_file():
        followed = {*known.__annotations__, *_ADMINISTRATIVE}
        rest = [key for key in _json_of(path) if key not in followed and not key.startswith("_")]
        if rest:
            yield f"{type(processor).__name__} does not follow {listed(rest)} of {path.name}."


def _read_head(directory: Directory) -> None:
    """Set classes and task by the configuration, and say what one label means."""
    config: Any = directory.model.config
    directory.task = _TASKS.get(getattr(config, "problem_type", None) or "")
    if "For" not in type(directory.model).__name__:  # a model without a head has made-up labels
        directory.task = None
        return
    names = [str(config.id2label[index]) for index in sorted(config.id2label)]
    if names == [f"LABEL_{index}" for index in range(len(names))]:
        names = []
    directory.classes = distinct(names) or None
    if config.num_labels != 1:
        return
    name = names[0] if names else "its only label"
    if directory.task == "regression":
        directory.notes += (f"config.json says regression: the output is a number ({name}), not a class.",)
    elif directory.task is None:
        directory.classes = (f"not {name}", name) if names else None
        directory.notes += (
            f"config.json has one label, so that the sigmoid of the output is the probability of {name}, as in "
            "transformers' own pipeline. Where it is a number to be estimated:  --task regression",
        )


@contextmanager
def _broken_torchvision_hidden() -> Iterator[str | None]:
    """Hide a torchvision that does not load from transformers, which then does without; why it does not, or None."""
    try:
        importlib.import_module("torchvision")
        reason = None
    except ModuleNotFoundError:
        reason = None
    except Exception as error:  # noqa: BLE001 -- a build for another torch raises anything
        reason = first_line(error)
    if reason is None:
        yield None
        return
    sys.modules["torchvision"] = None  # type: ignore[assignment]  # which importlib takes for: not installed
    try:
        yield reason
    finally:
        sys.modules.pop("torchvision")
