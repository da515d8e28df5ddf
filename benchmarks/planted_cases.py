"""Which networks `planted.py` trains and audits, which names may tell what is planted, and the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from report import table_head, table_row

Effects = Mapping[str, Mapping[str, float]]  # by planted kind or "core": by factor, what it adds to P(fake) through it

SIZE = 64
IMAGES = 150  # recipients, and donors of each class
ZONES = ("border", "centre", "top-left", "top-right", "bottom-left", "bottom-right")
PARTS = ("background", "face", "hair", "body")  # the masks that every drawing has
CORE = "face"
USED, UNUSED = 0.05, 0.01  # own oracle effects: from here on used, up to here not
FLOOR = 0.02  # below this the audit reports nothing, so |(2 strength - 1) effect| must be above to be asked for
ACCEPTED: dict[str, tuple[str, ...]] = {  # which findings tell a planted kind
    "tint": ("background", "tint", "low-frequency", "saturation", "border", "top-left", "top-right"),
    "texture": ("background", "spectrum", "sharpness", "border", "top-left", "top-right"),
    "logo": ("top-right", "border", "background"),
    "mark": ("face", "centre"),
    "frame": ("border", "background", "top-left", "top-right", "bottom-left", "bottom-right", "brightness", "contrast"),
    "jpeg": ("jpeg", "spectrum", "sharpness", "noise"),
    "brightness": ("brightness", "low-frequency"),
    "blur": ("sharpness", "spectrum", "jpeg", "noise"),
    "shift": ("crop", "flip"),
    "hair": ("hair", "tint", "low-frequency", "saturation"),
    "watermark": ("background", "low-frequency", "border", "brightness", "centre"),
}


@dataclass(frozen=True)
class Case:
    """One network: what is planted, how it is trained, and with which seed."""

    name: str
    kinds: tuple[str, ...]
    scenario: str = "planted"
    strength: float = 0.9
    amount: float = 1.0
    difficulty: float = 0.0
    n_train: int = 500  # of each class
    epochs: int = 10
    head: str = "pooled"
    seed: int = 0


def cases() -> list[Case]:
    """The most important first."""
    single = [Case(kind, (kind,)) for kind in ("tint", "logo", "frame", "brightness", "jpeg", "blur", "hair")]
    strong = [Case(f"{kind}, twice", (kind,), amount=2.0) for kind in ("brightness", "hair")]
    clean = [Case(f"clean {seed}", ("tint", "logo"), "clean", seed=seed) for seed in (1, 2, 3, 4)]
    decoy = [
        Case(f"decoy {kind}", (kind,), "decoy", seed=seed)
        for seed, kind in enumerate(("tint", "logo", "brightness"), 5)
    ]
    return [
        *single,
        Case("tint and logo", ("tint", "logo")),
        *clean,
        *decoy,
        Case("legit", (), "legit", seed=8),
        *strong,
        Case("memorised", (), "memorised", difficulty=0.3, n_train=60, epochs=60, head="flat", seed=9),
        Case("memorised, at chance", (), "memorised", difficulty=0.6, n_train=60, epochs=60, head="flat", seed=9),
        Case("tint, 3 epochs", ("tint",), epochs=3),
        Case("tint, 40 epochs", ("tint",), epochs=40),
        Case("tint, flat", ("tint",), head="flat"),
        Case("texture", ("texture",)),
        Case("mark", ("mark",)),
        Case("shift", ("shift",)),
        Case("watermark", ("watermark",)),
    ]


def weights_of(case: Case) -> dict[str, float]:
    """How far each kind goes with the label in what is audited: the core cue wholly."""
    aligned = 2 * case.strength - 1 if case.scenario in ("planted", "decoy") else 0.0
    return {**dict.fromkeys(case.kinds, aligned), "core": 1.0}


def score(case: Case, audit: Any, own: Effects) -> dict[str, Any]:
    """What the audit told, against what drawing says."""
    weights = weights_of(case)
    told = [one for one in audit.findings if "depends" in one.claims and "jointly" not in one.claims]
    named = {one.factor for one in told}
    members = {name for one in told for name in one.members}
    core = set(audit.design.core)
    rows = {one.factor: _row(one, own, weights) for one in audit.cases.singles}
    for name, row in rows.items():
        row["told"] = "alone" if name in named else "member" if name in members else ""
        row["core"] = name in core
    asked = {kind: weights[kind] * own[kind]["all"] for kind in case.kinds}
    return {
        "case": case.name,
        "planted": {kind: _found(kind, size, named, members) for kind, size in asked.items()},
        "flags": sorted(name for name in named if name in rows and flag_of(rows[name], weights) == "false"),
        "flagged_members": sorted(name for name in members if name in rows and flag_of(rows[name], weights) == "false"),
        "core_flags": sorted(
            name for name in named | members if name in rows and flag_of(rows[name], weights) == "core only"
        ),
        "shortcuts": [one.factor for one in audit.findings if "shortcut" in one.claims],
        "overfit": [one.factor for one in audit.findings if "overfit" in one.claims],
        "fragile": [one.factor for one in audit.findings if "fragile" in one.claims],
        "rest": next((f"{one.level}: {one.text}" for one in audit.findings if one.factor.startswith("everything")), ""),
        "levels": {one.factor: one.level for one in audit.findings},
        "worst_error": max(rows.values(), key=lambda row: abs(row["error"]))["error"] if rows else None,
        "mean_error": sum(abs(row["error"]) for row in rows.values()) / max(len(rows), 1),
        "inside": sum(row["low"] <= row["expected"] <= row["high"] for row in rows.values()) / max(len(rows), 1),
        "factors": rows,
    }


def _row(one: Any, own: Effects, weights: Mapping[str, float]) -> dict[str, Any]:
    """One factor: its measured effect, what drawing expects of it, and what each kind does through it."""
    through = {kind: effects[one.factor] for kind, effects in own.items()}
    expected = sum(weights[kind] * effect for kind, effect in through.items())
    share = one.effect.probability
    return {
        "value": share.value, "low": share.low, "high": share.high, "expected": expected,
        "error": share.value - expected, "through": through, "p_holm": one.p_holm,
        "overfit": None if one.overfit is None else one.overfit.overfit,
    }  # fmt: skip


def _found(kind: str, size: float, named: set[str], members: set[str]) -> dict[str, Any]:
    """Whether a planted kind is told, by itself or among the members of a finding; `size` is the effect to be seen."""
    accepted = set(ACCEPTED[kind])
    asked = "yes" if abs(size) >= 2 * FLOOR else "no" if abs(size) <= UNUSED else "grey"
    return {"effect": size, "asked": asked, "alone": sorted(named & accepted), "member": sorted(members & accepted)}


def flag_of(row: Mapping[str, Any], weights: Mapping[str, float]) -> str:
    """Whether no kind that goes with the label goes through a factor ("false"), or the core cue alone ("core only")."""
    if row["core"]:
        return ""
    through = {kind: abs(weights[kind] * effect) for kind, effect in row["through"].items()}
    if any(size > UNUSED for kind, size in through.items() if kind != "core"):
        return ""
    return "core only" if through["core"] > UNUSED else "false"


def brief(found: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a case: its score, with fewer digits."""
    result = dict(found["score"])
    result["factors"] = {
        name: {
            key: round(value, 4) if isinstance(value, float) else value
            for key, value in row.items()
            if key != "through"
        }
        | {"through": {kind: round(effect, 4) for kind, effect in row["through"].items()}}
        for name, row in result["factors"].items()
    }
    return {key: found[key] for key in ("case", "seconds", "unbiased_accuracy")} | {"score": result}


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """One row a case."""
    head = ("case", "accuracy", "effect to see", "found in", "called shortcuts", "of these, the core alone",
            "false", "overfit", "error", "s")  # fmt: skip
    lines = table_head(*head)
    for one in found:
        result = one["score"]
        planted = result["planted"].values()
        names = {name for row in planted for name in row["alone"]}
        members = {f"({name})" for row in planted for name in row["member"]}
        lines.append(table_row((
            result["case"], f"{one['unbiased_accuracy']:.2f}",
            "; ".join(f"{kind} {row['effect']:+.2f}" for kind, row in result["planted"].items()),
            ", ".join([*sorted(names), *sorted(members)]),
            ", ".join(result["shortcuts"]),
            ", ".join(name for name in result["shortcuts"] if name in result["core_flags"]),
            ", ".join([*result["flags"], *(f"({name})" for name in result["flagged_members"])]),
            ", ".join(result["overfit"]), f"{result['mean_error']:.3f}", f"{one['seconds']['audit']:.0f}",
        )))  # fmt: skip
    return "\n".join(lines)
