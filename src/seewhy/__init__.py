"""The public names, loaded lazily, nothing else."""

from __future__ import annotations

import random
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seewhy.cam.scores.targets import boxes, pixels, similarity
    from seewhy.data.networks.classifier import Classifier, load
    from seewhy.data.sources.folder import read_table
    from seewhy.errors import SeewhyError
    from seewhy.evidence.audit import audit
    from seewhy.evidence.check import Check, check
    from seewhy.evidence.metrics.compare import compare_methods
    from seewhy.evidence.metrics.comparison import MethodComparison
    from seewhy.evidence.properties.catalogue import Property
    from seewhy.evidence.results.result import Audit
    from seewhy.evidence.trends.trends import Trends, trends
    from seewhy.explanation.explain import explain
    from seewhy.explanation.result import Explanation
    from seewhy.integrations.widget import widget
    from seewhy.learn.compare.compare import compare
    from seewhy.learn.compare.comparison import Comparison
    from seewhy.learn.exchange.exchanged import ExchangeDataset, ExchangeTransform
    from seewhy.learn.repair.repair import repair
    from seewhy.learn.repair.repaired import Repair
    from seewhy.learn.train.train import train
    from seewhy.learn.watch.watch import Watch
    from seewhy.records import Preprocess
    from seewhy.report.write import write_report
    from seewhy.version import __version__

__all__ = [
    "Audit",
    "Check",
    "Classifier",
    "Comparison",
    "ExchangeDataset",
    "ExchangeTransform",
    "Explanation",
    "MethodComparison",
    "Preprocess",
    "Property",
    "Repair",
    "SeewhyError",
    "Trends",
    "Watch",
    "__version__",
    "audit",
    "boxes",
    "check",
    "compare",
    "compare_methods",
    "explain",
    "load",
    "pixels",
    "read_table",
    "repair",
    "similarity",
    "train",
    "trends",
    "widget",
    "write_report",
]

_HOMES = {
    "Audit": "seewhy.evidence.results.result",
    "Check": "seewhy.evidence.check",
    "Classifier": "seewhy.data.networks.classifier",
    "Comparison": "seewhy.learn.compare.comparison",
    "ExchangeDataset": "seewhy.learn.exchange.exchanged",
    "ExchangeTransform": "seewhy.learn.exchange.exchanged",
    "Explanation": "seewhy.explanation.result",
    "MethodComparison": "seewhy.evidence.metrics.comparison",
    "Preprocess": "seewhy.records",
    "Property": "seewhy.evidence.properties.catalogue",
    "Repair": "seewhy.learn.repair.repaired",
    "SeewhyError": "seewhy.errors",
    "Trends": "seewhy.evidence.trends.trends",
    "Watch": "seewhy.learn.watch.watch",
    "audit": "seewhy.evidence.audit",
    "boxes": "seewhy.cam.scores.targets",
    "check": "seewhy.evidence.check",
    "compare": "seewhy.learn.compare.compare",
    "compare_methods": "seewhy.evidence.metrics.compare",
    "explain": "seewhy.explanation.explain",
    "load": "seewhy.data.networks.classifier",
    "pixels": "seewhy.cam.scores.targets",
    "read_table": "seewhy.data.sources.folder",
    "repair": "seewhy.learn.repair.repair",
    "similarity": "seewhy.cam.scores.targets",
    "train": "seewhy.learn.train.train",
    "trends": "seewhy.evidence.trends.trends",
    "widget": "seewhy.integrations.widget",
    "write_report": "seewhy.report.write",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":  # what is installed is read from disk
        return import_module("seewhy.version").__version__
    if name not in _HOMES:
        raise AttributeError(f"module 'seewhy' has no attribute {name!r}")
    state = random.getstate()  # which what is imported here may move: rich does
    try:
        return getattr(import_module(_HOMES[name]), name)
    finally:
        random.setstate(state)


def __dir__() -> list[str]:
    return sorted(__all__)
