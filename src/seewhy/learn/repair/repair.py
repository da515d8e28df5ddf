"""`repair`: a network that depends less on a factor, with the proof against control arms, or why that failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from seewhy.errors import OptionError
from seewhy.evidence.results.result import Audit
from seewhy.learn.repair.arms import USUAL_WAYS
from seewhy.learn.repair.asked import LEAST_SEEDS, Asked, RepairOptions, find, named_ways
from seewhy.learn.repair.bench import Bench
from seewhy.learn.repair.repair_folder import RepairFolder
from seewhy.learn.repair.repaired import Repair
from seewhy.learn.train.fine_tune import Tuning
from seewhy.records import Progress, checked_folder
from seewhy.run.progress import chosen_progress


def repair(
    audit: Audit,
    finding: int | str | Sequence[int | str] = 1,
    *,
    ways: str | Sequence[str] = USUAL_WAYS,
    seeds: int = LEAST_SEEDS,
    epochs: int = 12,
    rate: float = 3e-4,
    batch_size: int = 32,
    groups: str | None = None,
    budget: int | None = None,
    anyway: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    progress: bool | Progress = True,
) -> Repair:
    """A changed network that depends less on a factor, proved against control arms of equal budget; or why that failed.

    The images of train are learned from; one half of those that were audited chooses the way, by what it leaves of the
    effect, and the other half proves. The network itself is left exactly as found.

    Args:
        audit: what `audit` gave
        finding: the finding, by its number among those about factors and marks, worst first, or its factor; several,
            by commas or in a list, are repaired together, each with its proof
        ways: "exchange", "consistency" (fine-tuning), "last-layer", "projection" (no training); also "gated" (a
            projection only where the factor is present), for regions "attention" (a loss on maps, where they may be
            read) and "gradients" (one on the input's gradient); by commas or in a list
        seeds: networks of each arm, 3 or more
        epochs, rate, batch_size: of fine-tuning: passes over train, Adam's rate, images a step
        groups: a column of the table that says what the factor is; None: told from the donors' own effects
        budget: at most so many images through a network, a step of training counting as three: the cheapest ways are
            tried first, and what is left out is said; None: all
        anyway: also where the finding is no shortcut
        seed: of halves, donors, shuffles
        out: a folder for model.pt and repair.json, which goes on where it was killed; None: in memory
        progress: True: a bar; False: none; or a function of (done, total), in networks

    Returns:
        a Repair: is_proved, headline, margins over the controls, arms, cost, others, network, lines(), summary().

    Raises:
        OptionError (no such finding, or no shortcut; no way fits the budget), DataError (no train, or a class with too
        few images).

    Example:
        >>> repaired = seewhy.repair(audit, "tint", epochs=1, rate=0.001, anyway=True)
        >>> print(repaired.headline)
    """
    if not isinstance(audit, Audit):
        raise OptionError(
            f"seewhy.repair takes what seewhy.audit gave, and got {audit!r:.80}.\n"
            "  Of an audit in a folder:  seewhy repair RUN --finding 1   (in Python audit again, with out=RUN: what is "
            "there is read)"
        )
    asked = find(audit.design, [vars(one) for one in audit.findings], finding, anyway=anyway)
    tuning = Tuning(epochs=epochs, rate=rate, batch_size=batch_size)
    options = RepairOptions(named_ways(ways), seeds, tuning, groups, seed, budget)
    with chosen_progress(progress, "Repairing") as update:
        return run_repair(asked, options, folder=None if out is None else checked_folder(out), progress=update)


def run_repair(
    asked: Asked,
    options: RepairOptions,
    *,
    folder: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Repair:
    """The repair, in memory or in a folder where the networks of an earlier try are kept."""
    return _made(asked, options, _folder_of(asked, options, folder), progress)


def _made(asked: Asked, options: RepairOptions, kept: RepairFolder, progress: Progress) -> Repair:
    with torch.inference_mode(False), kept.held():  # which a caller may be in, and nothing could be trained
        kept.stored()
        bench = Bench(asked, options, kept, progress)
        kept.begin(bench.design)
        found = bench.repair()
        kept.finish(found, bench.design)
        return replace(found, folder=kept.folder)


def repair_in_folder(
    asked: Asked, options: RepairOptions, folder: Path, *, progress: Progress = lambda done, total: None
) -> dict[str, Any]:
    """The repair's summary, from a folder where it is finished, else made and written to it."""
    kept = _folder_of(asked, options, folder)
    stored = kept.stored()
    return _made(asked, options, kept, progress).summary() if stored is None else stored


def _folder_of(asked: Asked, options: RepairOptions, folder: Path | None) -> RepairFolder:
    factor = [*asked.factors] if asked.further else asked.factor
    return RepairFolder(folder, asked.design, {"factor": factor, **options.stored()})
