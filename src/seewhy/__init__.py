"""The public names, loaded lazily, nothing else."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seewhy.cam.scores import boxes, pixels, similarity
    from seewhy.data.classifier import Classifier, load
    from seewhy.errors import SeewhyError
    from seewhy.evidence.audit import audit
    from seewhy.evidence.check import Check, check
    from seewhy.evidence.properties import Property
    from seewhy.evidence.result import Audit
    from seewhy.learn.train import train
    from seewhy.records import Preprocess
    from seewhy.report.write import write_report
    from seewhy.run.explain import explain
    from seewhy.run.explanation import Explanation

__version__ = version("seewhy")
__all__ = [
    "Audit",
    "Check",
    "Classifier",
    "Explanation",
    "Preprocess",
    "Property",
    "SeewhyError",
    "__version__",
    "audit",
    "boxes",
    "check",
    "explain",
    "load",
    "pixels",
    "similarity",
    "train",
    "write_report",
]

_HOMES = {
    "Audit": "seewhy.evidence.result",
    "Check": "seewhy.evidence.check",
    "Classifier": "seewhy.data.classifier",
    "Explanation": "seewhy.run.explanation",
    "Preprocess": "seewhy.records",
    "Property": "seewhy.evidence.properties",
    "SeewhyError": "seewhy.errors",
    "audit": "seewhy.evidence.audit",
    "boxes": "seewhy.cam.scores",
    "check": "seewhy.evidence.check",
    "explain": "seewhy.run.explain",
    "load": "seewhy.data.classifier",
    "pixels": "seewhy.cam.scores",
    "similarity": "seewhy.cam.scores",
    "train": "seewhy.learn.train",
    "write_report": "seewhy.report.write",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'seewhy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
