"""The notebook's loop as people write it, on rendered faces: one text under both imports saves the same pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from seewhy.learn.net import Net
from seewhy.planted.folder import write_faces
from tests.compat.peers import theirs

SIZE, CONTRAST = 64, 0.25  # pixels; the deviation that a face is divided by
NAMES = ("pytorch_grad_cam", "seewhy.compat.pytorch_grad_cam")

ONE_BY_ONE = """
model = Net(size=64)
model.load_state_dict(torch.load("model_4.pt"))
for path in sorted(Path("faces/valid/fake").glob("*.png")):
    face = np.asarray(Image.open(path).convert("RGB"), np.float32) / 255
    tensor = preprocess_image(face, mean=[0.5] * 3, std=[0.25] * 3)
    with GradCAM(model=model, target_layers=[model.conv2, model.conv3]) as cam:
        mask = cam(input_tensor=tensor, targets=[ClassifierOutputTarget(0)])[0, :]
    Image.fromarray(show_cam_on_image(face, mask, use_rgb=True)).save(out / path.name)
    assert cam.outputs.shape == (1, 2)
"""

IN_A_BATCH = """
model = Net(size=64).eval()
model.load_state_dict(torch.load("model_4.pt"))
paths = sorted(Path("faces/valid/fake").glob("*.png"))
faces = [np.asarray(Image.open(path).convert("RGB"), np.float32) / 255 for path in paths]
batch = torch.cat([preprocess_image(face, mean=[0.5] * 3, std=[0.25] * 3) for face in faces])
for method in (GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM, ScoreCAM):
    cam = method(model, [model.conv4])
    for smooth in (False, True):
        for face, mask, path in zip(faces, cam(batch, targets=None, aug_smooth=smooth), paths):
            picture = show_cam_on_image(face[:, :, ::-1], mask)  # as OpenCV has it
            Image.fromarray(picture).save(out / f"{method.__name__}-{smooth}-{path.name}")
"""

HEAD = """
import numpy as np
import torch
from pathlib import Path
from PIL import Image
from seewhy.learn.net import Net
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, ScoreCAM, XGradCAM
from pytorch_grad_cam.utils.image import preprocess_image, show_cam_on_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six rendered fakes of "valid", and a checkpoint of a network that learned a little of 48 faces."""
    home = tmp_path_factory.mktemp("notebook")
    faces = write_faces(home / "faces", n_train=24, n_valid=6, size=SIZE)
    paths = sorted((faces / "train").rglob("*.png"))
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB"), np.float32) / 255 for path in paths])
    x = ((torch.from_numpy(pixels) - 0.5) / CONTRAST).permute(0, 3, 1, 2)
    y = torch.tensor([path.parent.name == "real" for path in paths]).long()
    torch.manual_seed(0)
    model = Net(size=SIZE)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(12):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    torch.save(model.state_dict(), home / "model_4.pt")
    return home


def run_script(text: str, package: str, home: Path) -> list[Path]:
    """The pictures that a script saves with one of the two packages imported."""
    out = home / package
    out.mkdir(exist_ok=True)
    changed = re.sub(r"\bpytorch_grad_cam\b", package, HEAD + text)
    exec(compile(changed, f"<{package}>", "exec"), {"out": out})
    return sorted(out.iterdir())


@pytest.mark.usefixtures("_no_progress_bars")
@pytest.mark.parametrize("script", [ONE_BY_ONE, IN_A_BATCH], ids=["one by one", "in a batch"])
def test_the_same_script_saves_the_same_pictures(script: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    want, have = (run_script(script, package, place) for package in NAMES)
    assert [path.name for path in have] == [path.name for path in want] and len(want) >= 6
    pictures = [[np.asarray(Image.open(path), np.int32) for path in both] for both in zip(have, want, strict=True)]
    apart = np.stack([np.abs(one - other).max(axis=2) for one, other in pictures])
    assert min(other.std() for _, other in pictures) > 20
    assert apart.max() <= 4 and (apart > 1).mean() <= 1e-4, (apart.max((1, 2)), (apart > 1).mean((1, 2)))


def test_both_names_are_two_packages() -> None:
    assert theirs.__name__ == NAMES[0] and "site-packages" in str(theirs.__file__)
