"""The packages of our extras that read further kinds of images, loaded with the first such image."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable
from typing import Any

from seewhy.data.formats.image_files import suffix_of

_PACKAGES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "pillow-heif"),
    **dict.fromkeys((".dcm", ".dicom"), "pydicom"),
    **dict.fromkeys((".nii", ".nii.gz"), "nibabel"),
}
_DECODERS = ("pylibjpeg-libjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pyjpegls", "python-gdcm")  # pydicom's helpers
_MISSING = "not installed"


class UnreadableError(Exception):
    """Occurs when one image cannot be read; its text is the reason in the image's row."""


class TooShortError(UnreadableError):
    """Occurs when the bytes of a file do not say what image it holds: the first ones alone may be too few."""


def library(name: str, extra: str, kind: str) -> Any:
    """The package that reads files of that kind. Raises UnreadableError that names the extra where it is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UnreadableError(f'it is a {kind} file, which an extra reads: pip install "seewhy[{extra}]"') from error


def readers_of(paths: Iterable[str | None]) -> dict[str, str]:
    """The packages that decide the pixels of these files, with their versions; {} for what Pillow reads."""
    packages = {_PACKAGES[suffix] for path in paths if (suffix := suffix_of(path or "")) in _PACKAGES}
    versions = {package: _version(package) for package in sorted(packages)}
    helpers = {name: _version(name) for name in (_DECODERS if "pydicom" in packages else ())}
    return versions | {name: version for name, version in helpers.items() if version != _MISSING}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return _MISSING
