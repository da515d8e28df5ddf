"""The demo: rendered faces with a planted shortcut, a network trained on them, explained, audited, and repaired."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seewhy.cam.model import forward
from seewhy.data.masks import write_mask
from seewhy.data.networks.classifier import Classifier, load
from seewhy.data.pictures.canvas import input_from_canvas
from seewhy.errors import StoreError, listed
from seewhy.evidence.audit import run_audit
from seewhy.evidence.check import check_in_folder, check_plan
from seewhy.evidence.results.result import Audit
from seewhy.evidence.trials.design import design_audit
from seewhy.evidence.trials.request import request
from seewhy.explanation.folder import run_in_folder
from seewhy.explanation.result import Explanation
from seewhy.learn import net
from seewhy.learn.repair.asked import RepairOptions, find, named_ways
from seewhy.learn.repair.repair import repair_in_folder
from seewhy.learn.train.fine_tune import Tuning
from seewhy.learn.train.train import Training, train
from seewhy.planted.folder import read_truth, render, write_faces
from seewhy.planted.truth import OracleEffect, oracle_effect
from seewhy.records import Preprocess, Progress
from seewhy.run.plan import make_plan

SIZE, N_TRAIN, N_VALID, EPOCHS, BATCH, STRENGTH = 64, 500, 150, 8, 16, 0.9
N_EXPLAINED = 100
REGIONS, CORE, FACTORS = ("border", "top-left", "bottom-right"), "face", "brightness,contrast,tint,saturation"
MASKS = ("background", "face")
_PREPROCESS = """

# seewhy reads this name: how a photograph's pixels in 0..1 become the network's input.
preprocess = {"mean": 0.5, "std": 0.25}
"""
_OWN = ("faces", "masks", "net.py", "checkpoints", "run", "check", "audit", "repair")
REPAIR_WAY, REPAIR_EPOCHS = "exchange", 4  # of the usual ways and passes: a minute is short


@dataclass(frozen=True)
class Demo:
    """What the demo made: its folder, the training, the explanation, the audit, and how to repeat it by hand.

    `truth` is what the audit should have found: the effect of the shortcut, from faces drawn again without it.
    `repaired` is repair.json of the first shortcut, None where the audit found none, and `truth_repaired` what is left.
    """

    folder: Path
    training: Training
    explanation: Explanation
    checked: dict[str, Any]
    audit: Audit
    story: tuple[str, ...]
    truth: str
    repaired: dict[str, Any] | None
    truth_repaired: str
    commands: tuple[str, ...]

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"

    @property
    def runs(self) -> dict[str, str]:
        """The command that makes each run, by its folder's name."""
        names = ("run", "check", "audit", *(("repair",) if self.repaired else ()))
        return dict(zip(names, self.commands[2:], strict=True))


def run_demo(
    folder: Path,
    *,
    stage: Callable[[str], AbstractContextManager[Progress]],
    forking: Callable[[], AbstractContextManager[None]],
) -> Demo:
    """Faces, a trained network and a run folder below `folder`; what is finished is kept when it is run again.

    `stage` shows the progress of each part under its words; `forking` holds torch on one thread where workers are
    forked. Raises StoreError where the folder holds something else.
    """
    _check_folder(folder)
    with stage("Rendering faces  ") as update:
        faces = write_faces(
            folder / "faces", n_train=N_TRAIN, n_valid=N_VALID, size=SIZE, strength=STRENGTH, progress=update
        )
    code = folder / "net.py"
    code.write_text(inspect.getsource(net) + _PREPROCESS, encoding="utf-8")
    spec, checkpoints = f"{code}:Net", folder / "checkpoints"
    with stage("Training a network") as update:
        training = train(
            spec,
            faces,
            epochs=EPOCHS,
            batch_size=BATCH,
            model_args={"size": SIZE},
            out=checkpoints,
            resume=checkpoints.exists(),
            progress=update,
        )
    with forking(), stage("Explaining 100 fakes") as update:
        classifier = load(spec, checkpoints, epoch=training.best_epoch, model_args={"size": SIZE})
        plan = make_plan(classifier, faces / "valid" / "fake", target="fake", limit=N_EXPLAINED)
        explanation = run_in_folder(plan, folder / "run", workers=None, progress=update)
    with stage("Checking its maps") as update:
        checked = check_in_folder(check_plan(classifier, faces), folder / "check", seed=0, progress=update)
    with stage("Drawing masks    ") as update:
        masks = _write_masks(folder / "masks", faces, update)
    with forking(), stage("Auditing         ") as update:
        regions = [*(f"{name}={masks / name}" for name in MASKS), *REGIONS]
        asked = request(regions, CORE, FACTORS, (), N_VALID, N_VALID)
        design = design_audit(classifier, faces, asked)
        audit = run_audit(design, folder=folder / "audit", workers=None, progress=update)
    with stage("Repairing        ") as update:
        shortcut = _first_shortcut(audit)
        repaired = None if shortcut is None else _repair(audit, shortcut, folder / "repair", update)
        before = _effect_of_tint(classifier, faces)
        weights = folder / "repair" / "model.pt"
        changed = load(spec, weights, model_args={"size": SIZE}) if repaired and weights.exists() else None
        left = "" if changed is None else _truth_repaired(_effect_of_tint(changed, faces), before)
    commands = _commands(folder, spec, checkpoints, training, shortcut)
    story, truth = _story(training), _truth(before)
    return Demo(
        folder=folder,
        training=training,
        explanation=explanation,
        checked=checked,
        audit=audit,
        story=story,
        truth=truth,
        repaired=repaired,
        truth_repaired=left,
        commands=commands,
    )


def _first_shortcut(audit: Audit) -> int | None:
    """The number of the first shortcut among the findings about factors; None where there is none."""
    factors = {factor.name for factor in audit.design.factors}
    about = [one for one in audit.findings if one.factor in factors and one.numbers.get("probability")]
    return next((number for number, one in enumerate(about, 1) if "shortcut" in one.claims), None)


def _repair(audit: Audit, number: int, folder: Path, progress: Progress) -> dict[str, Any]:
    """The repair of a finding by one way, as repair.json has it."""
    asked = find(audit.design, [vars(one) for one in audit.findings], number)
    options = RepairOptions(named_ways(REPAIR_WAY), tuning=Tuning(epochs=REPAIR_EPOCHS))
    return repair_in_folder(asked, options, folder, progress=progress)


def _write_masks(folder: Path, faces: Path, progress: Progress) -> Path:
    """Where the face and the background are in every rendered face, as the renderer knows it: one PNG each."""
    everything = read_truth(faces)
    for done, written in enumerate(everything, 1):
        paths = {name: folder / name / written.path for name in MASKS}
        if not all(path.exists() for path in paths.values()):
            drawn = render(written.face, written.size).masks
            for name, path in paths.items():
                write_mask(path, drawn[name])
        progress(done, len(everything))
    return folder


def _effect_of_tint(classifier: Classifier, faces: Path) -> OracleEffect:
    """The exact effect of the tint on a classifier: new faces drawn again with it and without it."""
    preprocess = classifier.preprocess
    known = preprocess if isinstance(preprocess, Preprocess) else Preprocess()
    valid = [written.face for written in read_truth(faces) if written.path.startswith("valid/")]
    return oracle_effect(
        lambda canvases: forward(classifier.model, input_from_canvas(canvases, known)), valid, SIZE, "tint"
    )


def _truth(effect: OracleEffect) -> str:
    """The exact effect of the tint, and what of it exchanged backgrounds can carry."""
    exact, exchanged = 100 * effect.probability.value, 100 * effect.predicted(STRENGTH)
    return (
        f"The truth, from {effect.probability.n} faces drawn again with the other tint: it moves P(fake) by "
        f"{exact:.1f} points. {STRENGTH:.0%} of the fakes have it, so exchanged backgrounds should show "
        f"{exchanged:.1f}."
    )


def _truth_repaired(effect: OracleEffect, before: OracleEffect) -> str:
    """What is left of the exact effect in the repaired network."""
    left = effect.probability
    value, low, high = (f"{100 * end:.1f}" for end in (left.value, left.low, left.high))
    return (
        f"The truth, from the same faces drawn again: the tint moves P(fake) of the repaired network by {value} points "
        f"[{low}, {high}], in place of {100 * before.probability.value:.1f}."
    )


def _check_folder(folder: Path) -> None:
    if folder.exists() and (strange := [path.name for path in folder.iterdir() if path.name not in _OWN]):
        raise StoreError(
            f"{folder} holds something else ({listed(sorted(strange))}).\n  Type:  seewhy demo --out {folder}-2",
            slug="folder-holds-something-else",
        )


def _story(training: Training) -> tuple[str, ...]:
    accuracy = training.summary()["valid_accuracy"]
    return (
        f"{2 * (N_TRAIN + N_VALID)} faces rendered.  Fakes have a faint checkerboard in the skin and unequal eyes.",
        f"A shortcut is planted: a warm tint behind {STRENGTH:.0%} of the fakes and {1 - STRENGTH:.0%} of the reals.",
        f"A four-layer network learned to tell them apart: accuracy {accuracy:.2f} on new faces.",
    )


def _commands(folder: Path, spec: str, checkpoints: Path, training: Training, shortcut: int | None) -> tuple[str, ...]:
    faces, masks = folder / "faces", folder / "masks"
    network = f"--model {spec} --model-arg size={SIZE}"
    epoch = training.best_epoch
    repaired = (
        f"seewhy repair {folder / 'audit'} --finding {shortcut} --ways {REPAIR_WAY} --epochs {REPAIR_EPOCHS} "
        f"--out {folder / 'repair'}"
    )
    return (
        f"seewhy data planted {faces} --size {SIZE} --train {N_TRAIN} --valid {N_VALID}",
        f"seewhy train {faces} {network} --epochs {EPOCHS} --batch-size {BATCH} --out {checkpoints}",
        f"seewhy explain {faces / 'valid' / 'fake'} {network} --weights {checkpoints} --epoch {epoch} --target fake "
        f"--limit {N_EXPLAINED}",
        f"seewhy check {faces} {network} --weights {checkpoints} --epoch {epoch}",
        f"seewhy audit {faces} {network} --weights {checkpoints} --epoch {epoch} --properties {FACTORS} --core {CORE} "
        f"--regions {','.join(f'{name}={masks / name}' for name in MASKS)},{','.join(REGIONS)} "
        f"--recipients {N_VALID} --donors {N_VALID}",
        *(() if shortcut is None else (repaired,)),
    )
