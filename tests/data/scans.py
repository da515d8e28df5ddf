"""DICOM and NIfTI files of any numbers, written with pydicom and nibabel."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np


def write_dicom(path: Path, values: np.ndarray, photometric: str = "MONOCHROME2", **more: Any) -> Path:
    """A DICOM file of (H, W), (N, H, W) with `NumberOfFrames`, or colours (H, W, 3); `more` are settings by keyword."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    colours = photometric not in ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    file.Rows, file.Columns = values.shape[-3:-1] if colours else values.shape[-2:]
    file.SamplesPerPixel, file.PhotometricInterpretation = (3, photometric) if colours else (1, photometric)
    if colours:
        file.PlanarConfiguration = 0
    file.BitsAllocated = file.BitsStored = values.dtype.itemsize * 8
    file.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in more.items():
        setattr(file, name, value)
    file.HighBit = file.BitsStored - 1
    data = values.astype(values.dtype.newbyteorder("<")).tobytes()
    file.PixelData = data + b"\0" * (len(data) % 2)
    file["PixelData"].VR = "OB" if values.dtype.itemsize == 1 else "OW"
    file.save_as(path, enforce_file_format=True)
    return path


def write_nifti(path: Path, values: np.ndarray, affine: np.ndarray, slope: float = 1, intercept: float = 0) -> Path:
    """A NIfTI file of these stored numbers, scaled by slope and intercept."""
    import nibabel

    kind = nibabel.Nifti2Image if path.name.startswith("two") else nibabel.Nifti1Image
    image = kind(values, affine, dtype=values.dtype)
    image.header.set_slope_inter(slope, intercept)
    data = image.to_bytes()
    header = kind.header_class(data[: kind.header_class.sizeof_hdr])
    header["scl_slope"], header["scl_inter"] = slope, intercept  # nibabel forgets them where it writes an array
    header = header.as_byteswapped(">") if values.dtype.byteorder == ">" else header
    stored = header.binaryblock + bytes(header.get_data_offset() - header.sizeof_hdr) + values.tobytes(order="F")
    path.write_bytes(gzip.compress(stored) if path.suffix == ".gz" else stored)
    return path
