"""When an audit searches for places that nobody named, what that may cost, and the design with what was found."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from seewhy.evidence.factors.factor import RegionFactor
from seewhy.evidence.factors.region_grammar import SEARCH
from seewhy.evidence.trials.anywhere import with_all_corners
from seewhy.evidence.trials.design import AuditDesign, measured, scheduled
from seewhy.evidence.trials.masked import RuledOut, outside_of_core
from seewhy.evidence.trials.places import Places
from seewhy.evidence.trials.proposers import is_enough
from seewhy.evidence.trials.proposing import USUAL
from seewhy.evidence.trials.sample import Sample
from seewhy.evidence.trials.scorer import Scorer
from seewhy.evidence.trials.search import MOST_PLACES, searched, trials_of_place
from seewhy.evidence.trials.squares import Squares, trials_of_squares
from seewhy.records import Progress
from seewhy.run.plan import Plan

PART = 1 / 3  # of a budget, that a search may take


def is_pending(design: AuditDesign) -> bool:
    """Whether places are still to be searched for."""
    return SEARCH in design.request.regions and design.places is None


def most_found(design: AuditDesign) -> int:
    """How many places a search finds at most: with a core also what lies elsewhere in each picture, and in its core."""
    return MOST_PLACES + 2 * bool(design.core_regions)


def usual_trials(design: AuditDesign) -> int:
    """How many trials a search takes, about; 0 where none is to be made, or the images are too few for one."""
    sample = design.audited
    if not is_pending(design) or not is_enough(sample, design.seed):
        return 0
    return USUAL * trials_of_place(sample)


def is_reached(design: AuditDesign, budget: int | None) -> bool:
    """Whether a third of a budget pays for a search."""
    return budget is None or usual_trials(design) <= int(PART * budget)


def least_budget(design: AuditDesign) -> int:
    """The smallest budget that reaches a search."""
    return round(usual_trials(design) / PART)


def searched_places(design: AuditDesign, budget: int | None, progress: Progress) -> Places:
    """What a search finds that takes at most a third of a budget; nothing, and why, where that is too little."""
    if not is_reached(design, budget):
        return Places(
            "No place was searched for that nobody named: the budget does not reach it, which takes about "
            f"{usual_trials(design):,} trials.  --budget {least_budget(design)}"
        )
    found = searched(
        design.audited,
        design.core_regions[0] if design.core_regions else None,
        design.contrasts,
        partial(_scorer, design.plan),
        design.seed,
        progress,
        most=float("inf") if budget is None else int(PART * budget),
        taken={*(factor.name for factor in design.factors), *(mark.name for mark in design.marks), *design.ruled_out},
    )
    return in_all_images(design, found, float("inf") if budget is None else int(PART * budget))


def with_places(design: AuditDesign, places: Places) -> AuditDesign:
    """The design with the places that were found as regions like any other, to be scheduled anew."""
    core = design.core_regions[0] if design.core_regions else ""
    by_split, regions, ruled_out = places.masked(design.samples, core), places.regions, dict[str, RuledOut]()
    if design.core_regions:
        by_split, regions, ruled_out = outside_of_core(by_split, regions, core)
    samples = replace(design.samples, by_split=by_split)
    found = [RegionFactor(region) for region in regions]
    associations, unfit, values = measured(found, samples.audited)
    associations = {**design.associations, **associations}
    factors = [*design.factors, *(factor for factor in found if factor.name not in unfit)]
    return replace(
        design,
        samples=samples,
        factors=tuple(sorted(factors, key=lambda factor: -round(associations[factor.name], 6))),
        associations=associations,
        ruled_out={**design.ruled_out, **ruled_out, **unfit},
        values={**design.values, **values},
        notes=(*design.notes, places.note),
        places=places,
    )


def searched_for(design: AuditDesign, budget: int | None, progress: Progress = lambda done, total: None) -> AuditDesign:
    """The design within a budget, after the search for places where one is to be made."""
    if is_pending(design):
        design = with_places(design, searched_places(design, budget, progress))
    return scheduled(design, budget)


def in_all_images(design: AuditDesign, places: Places, most: float | None = None) -> Places:
    """The places with those that lie elsewhere in each picture in all images of the design.

    That takes trials, of which at most so many are made in all: else train goes without, then the place; None counts
    none. A place that the network fails on there is left out, too, as the note says.
    """
    anywhere, notes, spent = dict[str, Squares](), list[str](), 0
    for name, squares in places.anywhere.items() if design.core_regions else ():
        reached = list[Sample]()
        for sample in design.samples.values():
            missing = sum(image.id not in squares.corners for image in sample.images)
            cost = 0 if most is None else trials_of_squares(missing, 1)
            if most is not None and places.n_trials + spent + cost > most:
                notes.append(f" The budget does not reach to look for {name} in all images of {sample.split}.")
                break
            reached, spent = [*reached, sample], spent + cost
        try:
            if reached:
                core, scorer_of = design.core_regions[0], partial(_scorer, design.plan)
                anywhere[name] = with_all_corners(squares, reached, core, scorer_of)
        except Exception as error:  # noqa: BLE001 -- the network's own code may raise anything
            why = next(iter(str(error).splitlines()), type(error).__name__)
            notes.append(f" {name} could not be looked for in all images: {why}")
    notes += [f" To look for squares in all other images took {spent:,} trials more."] if spent else []
    return replace(places, anywhere=anywhere, n_trials=places.n_trials + spent, note=places.note + "".join(notes))


def _scorer(plan: Plan, sample: Sample) -> Scorer:
    return Scorer(plan.classifier.model, sample, plan.batch_size, plan.memory_format)
