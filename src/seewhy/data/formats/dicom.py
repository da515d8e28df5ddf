"""Scans in DICOM files, by the extra `medical`: their numbers in the file's own units, and the window it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

import numpy as np

from seewhy.data.formats.depth import Scan, Source, Values, Window, rescaled, turned
from seewhy.data.formats.extras import TooShortError, UnreadableError, library

_DEFLATED = b"1.2.840.10008.1.2.1.99"  # pydicom unpacks such a file whole, however much it says to be
_FRAMES = (
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)  # where newer files keep their settings


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM, and no TIFF at the same time."""
    return head[128:132] == b"DICM" and head[:4] not in (b"II*\0", b"MM\0*")


def open_dicom(data: bytes) -> Source:
    """What a DICOM file holds, whose first bytes may be enough for that.

    Raises UnreadableError where it is no single image, or the extra is missing.
    """
    pydicom = library("pydicom", "medical", "DICOM")
    if _DEFLATED in data:
        raise UnreadableError("it is a deflated DICOM file: write it anew without, like  dcmconv +te IN.dcm OUT.dcm")
    header = pydicom.dcmread(BytesIO(data), stop_before_pixels=True)
    if not header.get("Rows") or not header.get("Columns"):
        raise TooShortError(f"it is a DICOM file without an image (modality {header.get('Modality') or 'unknown'})")
    if (frames := int(header.get("NumberOfFrames") or 1)) > 1:
        raise UnreadableError(
            f"it holds {frames} frames, and an image is one: split it, like  emf2sf --out-dir DIR FILE"
        )
    deep = int(header.BitsAllocated) > 8 or _scaling(header) != (1, 0) or "ModalityLUTSequence" in header
    deep = deep and not _is_palette(header)
    return Source((int(header.Rows), int(header.Columns)), deep, lambda: _read(pydicom, data))


def _read(pydicom: Any, data: bytes) -> Scan:
    file = pydicom.dcmread(BytesIO(data))
    _check_decoder(pydicom, file)
    try:
        values: Values = pydicom.pixels.pixel_array(file, raw=False)  # of colours RGB
    except Exception as error:
        reason = f"its pixels cannot be decoded: {type(error).__name__}: {' '.join(str(error).split())}"
        raise UnreadableError(reason[:200]) from error
    if _is_palette(file):
        values = pydicom.pixels.apply_color_lut(values, file)
        return Scan(values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8))
    return Scan(values) if values.ndim == 3 else _grey(pydicom, file, values)


def _grey(pydicom: Any, file: Any, values: Values) -> Scan:
    """Grey numbers in the units of the file; where the lowest is white, they are turned within what its bits hold."""
    if table := file.get("ModalityLUTSequence"):
        values = pydicom.pixels.apply_modality_lut(values, file)
        scan, ends = Scan(values, _window(file)), (0.0, 2.0 ** table[0].LUTDescriptor[2] - 1)
    else:
        slope, intercept = _scaling(file)
        values = values * np.uint8(255) if int(file.BitsAllocated) == 1 else values
        no_data = tuple(number * slope + intercept for number in _padding(file))
        scan = Scan(rescaled(values, slope, intercept), _window(file), no_data)
        low, high = _ends(file)
        ends = (low * slope + intercept, high * slope + intercept)
    return scan if file.PhotometricInterpretation != "MONOCHROME1" else turned(scan, sum(ends))


def _check_decoder(pydicom: Any, file: Any) -> None:
    """Raise UnreadableError for pixels compressed in a way for which nothing is installed."""
    kind = file.file_meta.TransferSyntaxUID
    if not kind.is_compressed:
        return
    try:
        known = pydicom.pixels.get_decoder(kind).is_available
    except NotImplementedError:
        known = False
    if not known:
        advice = 'pip install "pylibjpeg[all]", or write it anew without, like  dcmdjpeg IN.dcm OUT.dcm'
        raise UnreadableError(f"its pixels are compressed as {kind.name}, which pydicom cannot decode here: {advice}")


def _is_palette(file: Any) -> bool:
    return bool(file.get("PhotometricInterpretation") == "PALETTE COLOR")


def _scaling(file: Any) -> tuple[float, float]:
    """Slope and intercept from stored numbers to the file's units, like Hounsfield units."""
    slope, intercept = _setting(file, "RescaleSlope"), _setting(file, "RescaleIntercept")
    return (1.0 if slope is None else float(slope)), (0.0 if intercept is None else float(intercept))


def _window(file: Any) -> Window | None:
    """The first window that the file asks for, by the standard's formula for lines; None where it names none."""
    middle, width = _first(_setting(file, "WindowCenter")), _first(_setting(file, "WindowWidth"))
    if middle is None or width is None or _setting(file, "VOILUTFunction") == "SIGMOID":
        return None
    exact = _setting(file, "VOILUTFunction") == "LINEAR_EXACT"
    middle, half = (middle, width / 2) if exact else (middle - 0.5, (width - 1) / 2)
    return (middle - half, middle + half) if half > 0 else None


def _ends(file: Any) -> tuple[float, float]:
    """The lowest and the highest number that the stored bits can hold."""
    bits = 8 if int(file.BitsAllocated) == 1 else int(file.get("BitsStored") or file.BitsAllocated)
    half = 2.0 ** (bits - 1)
    return (-half, half - 1) if file.get("PixelRepresentation") == 1 else (0.0, 2 * half - 1)


def _padding(file: Any) -> tuple[float, ...]:
    """The stored number that says that nothing was measured there, if there is one."""
    value = _first(file.get("PixelPaddingValue"))
    if value is None:
        return ()
    half = 2.0 ** (int(file.BitsAllocated) - 1)
    return (value - 2 * half if file.get("PixelRepresentation") == 1 and value >= half else value,)


def _first(value: Any) -> float | None:
    """The first of one or several numbers."""
    many = isinstance(value, Iterable) and not isinstance(value, str)
    value = next(iter(value), None) if many else value
    return None if value in (None, "") else float(value)


def _setting(file: Any, name: str) -> Any:
    """A setting of the file, or of its only frame; None where it has none."""
    return next((value for part in _parts(file) if (value := part.get(name)) is not None), None)


def _parts(file: Any) -> Iterator[Any]:
    yield file
    for frames in _FRAMES:
        for frame in file.get(frames) or ():
            for element in frame:
                yield from element.value if element.VR == "SQ" else ()
