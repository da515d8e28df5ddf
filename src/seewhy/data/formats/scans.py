"""Files that hold numbers and that Pillow does not open: which they are, and their numbers as images of Pillow."""

from __future__ import annotations

import numpy as np
import PIL.Image

from seewhy.data.formats.depth import Scan, Source, as_whole
from seewhy.data.formats.dicom import is_dicom, open_dicom
from seewhy.data.formats.extras import UnreadableError
from seewhy.data.formats.nifti import is_nifti, open_nifti


def is_scan(head: bytes) -> bool:
    """Whether a file that begins so holds numbers that Pillow does not open."""
    return is_dicom(head) or is_nifti(head)


def source_of(data: bytes) -> Source:
    """What such a file holds, of which the first bytes may be enough. Raises UnreadableError with the reason."""
    return open_dicom(data) if is_dicom(data) else open_nifti(data)


def image_of_scan(scan: Scan) -> PIL.Image.Image:
    """The numbers as Pillow holds them, for functions of the user's: of mode L, RGB, I;16, I or F."""
    values = scan.values
    if values.ndim == 3 and scan.is_deep:
        raise UnreadableError("its colours have 16 bits, for which Pillow has no mode: give no preprocessing function")
    if values.dtype in (np.uint8, np.uint16):
        return PIL.Image.fromarray(np.ascontiguousarray(values))
    return PIL.Image.fromarray(values.astype(np.float32) if values.dtype.kind == "f" else as_whole(values))
