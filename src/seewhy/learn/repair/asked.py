"""What is asked of a repair: which finding of an audit, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seewhy.errors import OptionError, listed, nearest
from seewhy.evidence.thresholds import AUDIT_THRESHOLDS
from seewhy.evidence.trials.design import AuditDesign
from seewhy.learn.repair.arms import USUAL_WAYS, WAYS
from seewhy.learn.train.fine_tune import Tuning
from seewhy.records import checked_seed
from seewhy.report.next_commands import is_shown_well

LEAST_SEEDS = 3
LARGEST_RATE = 1.0  # of Adam, whose steps are as large
NAMES = {"shortcut": "shortcut", "depends": "dependence"}
TODO = {  # where a finding makes no such claim, in front of --anyway
    "shortcut": "Repair it all the same:",
    "depends": "Try it all the same:",
}


@dataclass(frozen=True)
class Target:
    """A factor that is to be taken out of a network, and the class whose probability it moves.

    `same_cause` are factors that its finding told as the same cause.
    """

    factor: str
    contrast: str
    same_cause: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What is to be repaired: a factor of an audit's design, for the class whose probability it moves.

    `further` are the factors of other findings that are repaired with it. `same_cause` are factors that its finding
    told as the same cause; `wholly_it` those among all findings' of which the audit found less than its floor left
    where the factor itself was put back. `not_asked` are the factors of the audit's other shortcuts
    that are shown well. `of_core` are factors, no shortcuts, that are not separated from the core or act through it.
    """

    design: AuditDesign
    factor: str
    contrast: str
    claims: tuple[str, ...]
    level: str
    further: tuple[Target, ...] = ()
    same_cause: tuple[str, ...] = ()
    wholly_it: tuple[str, ...] = ()
    not_asked: tuple[str, ...] = ()
    of_core: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[Target, ...]:
        """All that is taken out, that of the first finding first."""
        return (Target(self.factor, self.contrast, self.same_cause), *self.further)

    @property
    def contrasts(self) -> tuple[str, ...]:
        """The contrasts of all targets."""
        return tuple(target.contrast for target in self.targets)

    @property
    def factors(self) -> tuple[str, ...]:
        """The factors of all targets."""
        return tuple(target.factor for target in self.targets)


@dataclass(frozen=True)
class RepairOptions:
    """How a repair is made: the ways that are tried, the networks of each arm, and how they are fine-tuned."""

    ways: tuple[str, ...] = USUAL_WAYS
    seeds: int = LEAST_SEEDS
    tuning: Tuning = field(default_factory=Tuning)
    groups: str | None = None
    seed: int = 0
    budget: int | None = None  # images through a network

    def __post_init__(self) -> None:
        checked_seed(self.seed)
        if self.seeds < LEAST_SEEDS:
            raise OptionError(f"--seeds is {self.seeds}, but an arm needs at least {LEAST_SEEDS} networks.")
        if self.tuning.epochs < 1 or self.tuning.batch_size < 1:
            raise OptionError("--epochs and --batch-size must be at least 1.")
        if self.budget is not None and self.budget < 1:
            raise OptionError(f"--budget is {self.budget}, but must be at least 1 image through a network.")
        if not 0 < self.tuning.rate <= LARGEST_RATE:
            raise OptionError(f"--rate is {self.tuning.rate:g}, but must be above 0 and at most 1, like 0.0001.")

    def stored(self) -> dict[str, Any]:
        """The options as the folder's identity has them."""
        return {**vars(self), "ways": list(self.ways), "tuning": vars(self.tuning)}


def named_ways(ways: str | Sequence[str]) -> tuple[str, ...]:
    """The ways by name. Raises OptionError with the nearest for an unknown one."""
    names = [word.strip() for word in ways.split(",")] if isinstance(ways, str) else list(ways)
    if not any(names):
        raise OptionError(f"No way was named.\n  Ways: {listed(WAYS)}")
    for name in names:
        if name not in WAYS:
            raise OptionError(
                f"There is no way {name!r}.  {nearest(name, WAYS)}".rstrip() + f"\n  Ways: {listed(WAYS)}"
            )
    return tuple(dict.fromkeys(names))


def find(
    design: AuditDesign,
    findings: Sequence[Mapping[str, Any]],
    which: int | str | Sequence[int | str],
    *,
    anyway: bool = False,
) -> Asked:
    """What is to be repaired, by number (from 1) or factor, among the findings about factors and marks.

    Several, by commas or in a list, are repaired together, but for marks. A factor that a title names beside the first
    is repaired itself.

    Raises OptionError where there is none such, or it is no shortcut and `anyway` is not said. A mark is laid over by
    the audit itself, so that it goes with no class: of one, a dependence is enough.
    """
    words = _words_of(which, findings)
    asked = {each.factor: each for each in (_found(design, findings, word, anyway=anyway) for word in words)}
    first, *more = asked.values()
    if more:
        _refuse_marks(design, list(asked))
    shortcuts = [str(one["factor"]) for one in findings if is_shown_well(one) and one["factor"] not in asked]
    told = {name for each in asked.values() for name in each.same_cause}
    return replace(
        first,
        further=tuple(target for each in more for target in each.targets),
        wholly_it=tuple(dict.fromkeys(name for each in asked.values() for name in each.wholly_it)),
        not_asked=tuple(name for name in dict.fromkeys(shortcuts) if name not in told),
        of_core=tuple(name for name in _told_with_core(findings) if name not in {*asked, *told}),
    )


def _told_with_core(findings: Sequence[Mapping[str, Any]]) -> dict[str, None]:
    """The factors that are members of a finding about what should decide, or act through it alone."""
    members = [str(name) for one in findings if "intended" in one["claims"] for name in one.get("members", ())]
    through = [str(one["factor"]) for one in findings if "through the core" in one["claims"]]
    shortcuts = {one["factor"] for one in findings if "shortcut" in one["claims"]}
    return {name: None for name in (*members, *through) if name not in shortcuts}


def _words_of(which: int | str | Sequence[int | str], findings: Sequence[Mapping[str, Any]]) -> list[int | str]:
    """Each finding that is named by itself. A name that holds a comma is one."""
    if not isinstance(which, str):
        several = list(which) or [""] if isinstance(which, Iterable) else [which]
        return [word.strip() if isinstance(word, str) else word for word in several]
    is_named = any(which in (one["factor"], *one.get("alternatives", ())) for one in findings)
    return [which] if is_named else [word.strip() for word in which.split(",") if word.strip()] or [which]


def _refuse_marks(design: AuditDesign, factors: Sequence[str]) -> None:
    """Raise OptionError where one of several is a mark."""
    for mark in design.marks:
        if mark.name in factors:
            raise OptionError(
                f"The mark {mark.name} is repaired by itself: it is laid over images, and the others are exchanged "
                f"between them.\n  Type:  --finding {mark.name}"
            )


def _found(
    design: AuditDesign, findings: Sequence[Mapping[str, Any]], which: int | str, *, anyway: bool = False
) -> Asked:
    """One finding that is to be repaired."""
    marks = {mark.name for mark in design.marks}
    factors = {factor.name for factor in design.factors} | marks
    about = [one for one in findings if one["factor"] in factors and one["numbers"].get("probability")]
    number = int(which) if isinstance(which, int) or str(which).isdecimal() else None
    places = [place for place, one in enumerate(about) if which in (one["factor"], *one.get("alternatives", ()))]
    place = places[0] if places else None if number is None else number - 1
    if place is None or not 0 <= place < len(about):
        raise _no_such_finding(str(which), about)
    found = about[place]
    factor = str(which) if places else str(found["factor"])
    numbers = found["numbers"] if factor == found["factor"] else found["numbers"]["members"][factor]
    claims, level = tuple(found["claims"]), str(found["level"])
    needed = "depends" if found["factor"] in marks else "shortcut"
    if needed not in claims and not anyway:
        said = f"{level} {found['factor']}: {', '.join(claims) or 'nothing is claimed'}"
        unnamed = "" if design.request.core else "  Name with --core what should decide, and audit again.\n"
        raise OptionError(
            f"Finding {place + 1} is no {NAMES[needed]} ({said}), so there may be nothing to repair.\n"
            f"{unnamed if needed == 'shortcut' else ''}  {TODO[needed]}  --anyway",
            slug="no-shortcut",
        )
    told = (str(found["factor"]), *found.get("members", ()))
    same_cause = tuple(name for name in dict.fromkeys(told) if name != factor)
    held = found["numbers"].get("held", {}) if factor == found["factor"] else {}
    left = {name: abs(held[name]["value"]) for name in same_cause if name in held}
    wholly_it = tuple(name for name, value in left.items() if value < AUDIT_THRESHOLDS["floor"])
    contrast = str(numbers["contrast"])
    return Asked(design, factor, contrast, claims, level, same_cause=same_cause, wholly_it=wholly_it)


def _no_such_finding(which: str, about: Sequence[Mapping[str, Any]]) -> OptionError:
    """What to say of a finding that the audit does not have, or that tells the factor under another one's name."""
    names = [str(one["factor"]) for one in about]
    for number, one in enumerate(about, 1):
        if which in one.get("members", ()):
            said = f"{which} has no finding of its own: it is told in finding {number}, {one['factor']}."
            return OptionError(f"{said}\n  Type:  --finding {number}", slug="no-such-finding")
    told = listed([f"{at} {name}" for at, name in enumerate(names, 1)], 12) or "none about a factor"
    others = [name for one in about for name in one.get("alternatives", ())]  # of "tint or background" the second
    close = "" if which.isdecimal() else nearest(which, [*names, *others])
    said = f"There is no finding {which}.  {close}".rstrip()
    todo = "\n  Type:  --finding 1" if names else "\n  Audit again with more --regions and --properties."
    return OptionError(f"{said}\n  The audit has: {told}.{todo}", slug="no-such-finding")
