"""The demo: rendered faces with a planted shortcut, a network trained on them, and 100 fakes explained."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from seewhy.data.classifier import load
from seewhy.data.planted import write_faces
from seewhy.errors import StoreError, listed
from seewhy.learn import net
from seewhy.learn.train import Training, train
from seewhy.records import Progress
from seewhy.run.explain import run_in_folder
from seewhy.run.explanation import Explanation
from seewhy.run.plan import make_plan

SIZE, N_TRAIN, N_VALID, EPOCHS, BATCH, STRENGTH = 128, 300, 100, 5, 16, 0.9
_PREPROCESS = """

# seewhy reads this name: how a photograph's pixels in 0..1 become the network's input.
preprocess = {"mean": 0.5, "std": 0.25}
"""
_OWN = ("faces", "net.py", "checkpoints", "run")


@dataclass(frozen=True)
class Demo:
    """What the demo made: its folder, the training, the explanation, and how to repeat it by hand."""

    folder: Path
    training: Training
    explanation: Explanation
    story: tuple[str, ...]
    commands: tuple[str, ...]

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / "run"


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
        plan = make_plan(classifier, faces / "valid" / "fake", target="fake")
        explanation = run_in_folder(plan, folder / "run", workers=None, progress=update)
    return Demo(folder, training, explanation, _story(training), _commands(faces, spec, checkpoints, training))


def _check_folder(folder: Path) -> None:
    if folder.exists() and (strange := [one.name for one in folder.iterdir() if one.name not in _OWN]):
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


def _commands(faces: Path, spec: str, checkpoints: Path, training: Training) -> tuple[str, ...]:
    network = f"--model {spec} --model-arg size={SIZE}"
    epoch = training.best_epoch
    return (
        f"seewhy data planted {faces} --size {SIZE} --train {N_TRAIN} --valid {N_VALID}",
        f"seewhy train {faces} {network} --epochs {EPOCHS} --batch-size {BATCH} --out {checkpoints}",
        f"seewhy explain {faces / 'valid' / 'fake'} {network} --weights {checkpoints} --epoch {epoch} --target fake",
    )
