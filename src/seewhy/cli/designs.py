"""The design of an audit from the options of its command: here, in a worker, or where parts are merged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from seewhy.cli.config import RENAMED, value_of
from seewhy.cli.options import ClassifierOptions, ImageOptions, LayerOptions, RunOptions
from seewhy.cli.signature import filled

if TYPE_CHECKING:
    from seewhy.evidence.trials.design import AuditDesign
    from seewhy.records import Progress


def _nothing(done: int, total: int) -> None:
    pass


def designed(context: typer.Context, progress: Progress = _nothing) -> AuditDesign:
    """The design that the options of `seewhy audit` ask for, as they stand in its context."""
    for word in RENAMED.values():
        value_of(context, word)
    return designed_as(context.params, progress)


def designed_as(typed: Mapping[str, Any], progress: Progress = _nothing) -> AuditDesign:
    """The design that options of these names ask for, without the words that they had before."""
    from seewhy.evidence.trials.design import design_audit
    from seewhy.evidence.trials.request import request

    classifier, maps = filled(ClassifierOptions, typed), filled(LayerOptions, typed)
    taken, columns = filled(ImageOptions, typed).without_compared()
    asked = request(
        typed["regions"],
        typed["core"],
        typed["properties"],
        typed["mark"] or (),
        typed["recipients"],
        typed["donors"],
        columns,
        as_given=typed["as_given"],
    )
    return design_audit(
        classifier.load(typed["task"]),
        taken.table_of(typed["data"]),
        asked,
        label=typed["label"],
        cluster_by=typed["cluster_by"],
        progress=progress,
        **maps.arguments(),
        **taken.arguments(),
        **filled(RunOptions, typed).arguments(),
    )
