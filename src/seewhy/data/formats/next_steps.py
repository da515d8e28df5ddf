"""What to do with files that are no pictures for us, though somebody may take them for such."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from pathlib import Path

DICOM = "DICOM without .dcm"  # stands for a suffix where files are counted
_ARRAYS = (".npy", ".npz", ".mat", ".h5", ".hdf5")
_DRAWINGS = (".svg", ".pdf", ".eps", ".ps", ".ai", ".psd", ".xcf")
_RAW = (".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".mpg", ".mpeg")
_STEPS = (
    (_ARRAYS, "Arrays are given in Python, as one array of images or as a Dataset that loads each file:  "
              "seewhy.explain(network, dataset)"),
    (_DRAWINGS, "Drawings and pages are exported as PNG first."),
    (_RAW, "RAW photographs are developed into TIFF or JPEG first."),
    (_VIDEOS, "Videos are cut into pictures first:  ffmpeg -i FILE frames/%05d.png"),
    ((".tar",), "Tars of images (WebDataset) are named by a pattern:  'FOLDER/*.tar'"),
    ((DICOM,), 'DICOM files are read where their names end in .dcm:  pip install "seewhy[medical]"'),
)  # fmt: skip


def steps_for(suffixes: Iterable[str]) -> list[str]:
    """A sentence for each kind of file among the suffixes for which there is something to do."""
    pool = set(suffixes)
    return [words for kinds, words in _STEPS if not pool.isdisjoint(kinds)]


def kind_of_file(path: Path) -> str:
    """By what a file that is not read is counted: its suffix, or DICOM where that is none or a number."""
    suffix = path.suffix.lower()
    return DICOM if (not suffix or suffix[1:].isdigit()) and _holds_dicom(path) else suffix


def is_address(path: str | Path) -> bool:
    """Whether this is no path but the address of something elsewhere, like https://…, also as a Path writes it."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) is not None


def _holds_dicom(path: Path) -> bool:
    """Whether a file begins like DICOM; what could be waited for without an end is not opened."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
