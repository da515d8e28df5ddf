"""What to type after a run: other commands about the same classifier, word by word as the run was typed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from seewhy.errors import listed
from seewhy.records import one_form
from seewhy.report.stored import StoredRun

MOST_TOGETHER = 3  # findings that are repaired together
CLASSIFIER_WORDS = frozenset(  # what other commands about the same classifier need of a command line
    ("--model", "--weights", "--weights-key", "--epoch", "--model-arg", "--device", "--classes", "--task", "--output",
     "--output-form", "--size", "--fit", "--resize", "--crop", "--interpolation", "--mean", "--std", "--range",
     "--window", "--channels", "--preprocess", "--first-label", "--input")
)  # fmt: skip
CLASSIFIER_FLAGS = ("--trust-program",)  # the same, without a value


def commands_after(stored: StoredRun, checked: StoredRun | None) -> list[tuple[str, str]]:
    """What to do next: words, and a command line."""
    typed, labels = stored.typed, {outcome.image.label for outcome in stored.outcomes} - {None}
    every = all_classes_argument(stored)
    commands: list[tuple[str, str]] = []
    task = stored.identity.get("task", "classification")
    if task not in ("classification", "multi-label"):
        return commands
    if stored.command != "check" and checked is None:
        words = "Does it work, is it fed right, may its maps be read?  (Run it, then write this report again.)"
        commands.append((words, other_command(typed, "check", every if labels else images_argument(typed))))
    if stored.command != "audit":
        words = "What do its decisions depend on? (--regions names parts, --core those that should matter.)"
        label = f" --label {shlex.quote(stored.classes[0])}" if task == "multi-label" and stored.classes else ""
        commands.append((words, other_command(typed, "audit", every) + label))
    return commands if stored.command != "audit" else commands + after_audit(stored.found, stored.folder, typed)


def after_audit(found: Mapping[str, Any], folder: Path, typed: str | None) -> list[tuple[str, str]]:
    """What an audit's own findings ask for: words, and a command line from the folder that it was typed in.

    A shortcut can be repaired, and so can what a mark does; without a core nothing is known to be one.
    """
    if typed is None:
        return []
    commands = []
    if any(finding["numbers"].get("reason") == "core" for finding in found["findings"]):
        words = "Which of these are shortcuts? Name where the object lies: a zone, or masks (--core object=FOLDER)."
        commands.append((words, f"{typed} --core centre"))
    able = [finding for finding in found["findings"] if _can_be_repaired(finding)]
    able.sort(key=lambda finding: "shortcut" not in finding["claims"])  # a mark may be in no image
    if names := [finding["factor"] for finding in able]:
        words = f"Make a network that depends less on {names[0]}, with the proof."
        commands.append((words, _repairing(folder, names[0])))
        if len(together := repaired_together(able)) > 1:
            words = f"Or less on {listed(together)}: together, each with its proof."
            beside = shlex.quote(f"{folder}-repair-together")  # RUN-repair is that of one alone
            commands.append((words, f"{_repairing(folder, ','.join(together))} --out {beside}"))
    is_more_used = any(finding["claims"] and "benefit" in finding["numbers"] for finding in found["findings"])
    if is_more_used and (searching := _with_search(typed)):
        commands.append(("Let the audit look for places that nobody named, too.", searching))
    return commands


def _repairing(folder: Path, finding: str) -> str:
    return f"seewhy repair {shlex.quote(str(folder))} --finding {shlex.quote(finding)}"


def is_shown_well(finding: Mapping[str, Any]) -> bool:
    """Whether a finding, as findings.json has it, is a shortcut that is shown well."""
    return "shortcut" in finding["claims"] and finding.get("level") in ("STRONG", "MODERATE")


def repaired_together(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The shortcuts that are shown well, but for marks, which are repaired one by one; at most three."""
    some = [one for one in findings if one["numbers"].get("kind") != "insert" and is_shown_well(one)]
    return [one["factor"] for one in some if "," not in one["factor"]][:MOST_TOGETHER]


def _with_search(typed: str) -> str:
    """The command line with a search for places beside the regions that it names; "" where it searches anyway."""
    words = _words(typed)
    at = words.index("--regions") + 1 if "--regions" in words[:-1] else 0
    regions = words[at].split(",")
    if not at or "search" in regions:
        return ""
    return shlex.join([*words[:at], ",".join([*regions, "search"]), *words[at + 1 :]])


def _can_be_repaired(finding: Mapping[str, Any]) -> bool:
    """Whether a finding with an effect is a shortcut, or a dependence on a mark, which goes with no class."""
    claim = "depends" if finding["numbers"].get("kind") == "insert" else "shortcut"
    return claim in finding["claims"] and bool(finding["numbers"].get("probability"))


def audit_command(stored: StoredRun, label: str, options: Sequence[str]) -> str:
    """The command line of an audit that tests what a run proposes; why there is none where none could run."""
    task = stored.identity.get("task", "classification")
    if task not in ("classification", "multi-label"):
        return f"An audit tests classifiers, and this network's output is read as: {task}."
    of_label = ["--label", label] if task == "multi-label" else []
    words = " ".join([*map(shlex.quote, of_label), *options])
    return f"{other_command(stored.typed, 'audit', all_classes_argument(stored))} {words}"


def other_command(typed: str | None, command: str, data: str = "DATA") -> str:
    """The command line of another command about the same classifier: what the two share, word by word."""
    words = _words(typed)
    if len(words) < 3:
        return f"seewhy {command} {shlex.quote(data)} --model net.py:Net --weights model.pt"
    kept = [f"{shlex.quote(word)} {shlex.quote(value)}" for word, value in pairwise(words) if word in CLASSIFIER_WORDS]
    kept += [flag for flag in CLASSIFIER_FLAGS if flag in words]
    return f"seewhy {command} {shlex.quote(data)} {' '.join(kept)}"


def images_argument(typed: str | None) -> str:
    """What a command line names as its images; DATA where it is not known."""
    words = _words(typed)
    return words[2] if len(words) > 2 and not words[2].startswith("-") else "DATA"


def all_classes_argument(stored: StoredRun) -> str:
    """The images with all classes: above the folder of a class, and of its split; a word where that is not known."""
    named = PurePath(images_argument(stored.typed))
    images = [outcome.image for outcome in stored.outcomes if outcome.image.label is not None]
    labels = {image.label for image in images}
    if len(labels) > 1 or (
        images and images[0].label in [one_form(part) for part in PurePosixPath(images[0].id).parts[:-1]]
    ):
        return str(named)
    if not images or one_form(named.name) != images[0].label:
        return "FOLDER_OF_ALL_CLASSES"
    above = named.parent
    return str(above.parent if above.name and one_form(above.name) == images[0].split else above)


def _words(typed: str | None) -> list[str]:
    try:
        return shlex.split(typed or "")
    except ValueError:  # edited by hand
        return []
