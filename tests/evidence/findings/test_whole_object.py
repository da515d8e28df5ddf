"""The place of the core, and what stays when the object is gone as a whole: exchanged exactly, and told where used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.evidence.findings.whole_object import Boxes, Place, boxes, middles, moved
from seewhy.evidence.trials.edit import EXCHANGE, TrialKey
from tests.small_images import CLASSES, SIDE, classifier_of

EACH, OBJECT = 60, 8
REST, PLACE = "everything outside the core", "place of the core"
CORNER = (slice(0, 6), slice(0, 6))


def images_at(home: Path, where: Callable[[np.random.Generator, int], tuple[int, int]], corner: float = 0.0) -> Path:
    """A grey picture with a brighter square somewhere for each image, its mask, and a corner that tells the label."""
    for label, name in enumerate(CLASSES):
        rng = np.random.default_rng(label)
        for number in range(EACH):
            top, left = where(rng, label)
            pixels, mask = 0.4 + 0.02 * rng.standard_normal((SIDE, SIDE, 3)), np.zeros((SIDE, SIDE), np.uint8)
            mask[top : top + OBJECT, left : left + OBJECT] = 255
            pixels[mask > 0] += 0.3
            is_aligned = number % 10 > 0
            pixels[CORNER] += corner * (1 if is_aligned == (label == 0) else -1)
            for folder, content in (("data", (pixels.clip(0, 1) * 255).round().astype(np.uint8)), ("core", mask)):
                path = home / folder / "valid" / name / f"{number:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                PIL.Image.fromarray(content).save(path)
    return home


def anywhere(rng: np.random.Generator, label: int) -> tuple[int, int]:
    """But so near to the corner that its box would hold a part of that."""
    while True:
        top, left = rng.integers(0, SIDE - OBJECT + 1, 2).tolist()
        if max(top, left) >= CORNER[0].stop + SIDE // 8:
            return top, left


def left_or_right(rng: np.random.Generator, label: int) -> tuple[int, int]:
    """To the left in nine of ten of the first class, to the right in nine of ten of the second."""
    is_left = (label == 0) == (rng.random() < 0.9)
    return int(rng.integers(2, 22)), int(rng.integers(1, 6) if is_left else rng.integers(17, 22))


class Sees(nn.Module):
    """Two logits whose difference is what a function sees in the canvases (N, 3, H, W)."""

    def __init__(self, sees: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.sees = sees
        self.look = nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            self.look.weight.copy_(torch.eye(3)[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        margin = self.sees(self.look(x))
        return torch.stack([margin / 2, -margin / 2], dim=1)


def how_far_left(canvases: Tensor) -> Tensor:
    """How far to the left the bright square lies, in logits."""
    bright = (canvases.mean(dim=1) - 0.5).clamp(min=0).sum(dim=1)  # (N, W)
    across = torch.linspace(1, -1, SIDE)
    return 4 * (bright * across).sum(dim=1) / bright.sum(dim=1).clamp(min=1e-3)


def the_corner(canvases: Tensor) -> Tensor:
    return 30 * (canvases[(..., *CORNER)].mean(dim=(1, 2, 3)) - 0.4)


def audit_of(home: Path, sees: Callable[[Tensor], Tensor]) -> seewhy.Audit:
    return seewhy.audit(
        classifier_of(Sees(sees)), home / "data", regions=f"core={home / 'core'}", core="core", properties="none",
        recipients=60, progress=False,
    )  # fmt: skip


def told(audit: seewhy.Audit) -> dict[str, seewhy.Finding]:
    return {finding.factor: finding for finding in audit.findings}


@pytest.fixture(scope="module")
def sided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images_at(tmp_path_factory.mktemp("sided"), left_or_right, corner=0.1)


def test_a_network_that_reads_where_the_core_lies_is_told_so(sided: Path) -> None:
    found = told(audit_of(sided, how_far_left))
    assert found[PLACE].title == "STRONG  place of the core: depends, shortcut"
    assert found[PLACE].numbers["benefit"]["low"] > 0.1 and "the other way" in found[PLACE].text
    assert "shortcut" not in found[REST].claims


def test_where_the_place_goes_with_the_label_and_is_not_read_nothing_is_told_of_it(sided: Path) -> None:
    audit = audit_of(sided, the_corner)
    assert TrialKey(PLACE, EXCHANGE, "valid") in audit.trials and PLACE not in told(audit)


def test_what_moving_breaks_is_no_use_of_the_place(sided: Path) -> None:
    """A square that is pushed out of the picture changes the answer, whichever way it went: that is not its place."""
    audit = audit_of(sided, lambda x: the_corner(x) + 0.2 * (x.mean(dim=1) - 0.5).clamp(min=0).sum(dim=(1, 2)))
    assert TrialKey(PLACE, EXCHANGE, "valid") in audit.trials and PLACE not in told(audit)


def test_what_lies_away_from_objects_that_lie_anywhere_is_told_without_a_name(tmp_path: Path) -> None:
    audit = audit_of(images_at(tmp_path, anywhere, corner=0.1), the_corner)
    found = told(audit)
    assert found[REST].claims == ("depends", "shortcut") and "boxes around the cores" in found[REST].text
    assert PLACE not in found
    trials = audit.trials[TrialKey("boxes around the core", EXCHANGE, "valid")]
    plain = audit.before["valid"].scores.margins[:, 0]
    np.testing.assert_allclose(trials.after.margins[:, 0], plain[trials.recipients], atol=1e-4)  # the corner stays


def test_the_rim_of_objects_that_lie_anywhere_is_no_shortcut(tmp_path: Path) -> None:
    """The square tells the label, and the core as named leaves out all of it but its middle."""
    home = images_at(tmp_path, anywhere)
    rng = np.random.default_rng(3)
    for path in (home / "data").rglob("*.png"):
        core = home / "core" / path.relative_to(home / "data")
        mask, pixels = np.array(PIL.Image.open(core)) > 0, np.array(PIL.Image.open(path)).astype(float)
        sign = 1 if (path.parent.name == CLASSES[0]) == (rng.random() < 0.9) else -1
        pixels[mask] += 255 * 0.12 * sign
        small = np.zeros_like(mask)
        small[2:-2, 2:-2] = mask[4:, 2:-2] & mask[:-4, 2:-2] & mask[2:-2, 4:] & mask[2:-2, :-4]
        PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
        PIL.Image.fromarray(255 * small.astype(np.uint8)).save(core)
    found = told(audit_of(home, lambda x: 30 * (x.amax(dim=(1, 2, 3)) - 0.75)))
    assert "shortcut" not in found[REST].claims and PLACE not in found


def test_the_boxes_of_both_images_hold_the_donors_pixels_and_nothing_else_does() -> None:
    masks = torch.zeros(2, SIDE, SIDE)
    masks[0, 4:9, 10:12], masks[1, 20:22, 1:5] = 1, 1
    want = torch.zeros(2, SIDE, SIDE)
    want[0, 1:12, 7:15], want[1, 17:25, :8] = 1, 1
    assert torch.equal(boxes(masks, 3), want) and not boxes(torch.zeros(1, SIDE, SIDE), 3).any()
    canvases, factor = torch.rand(2, 3, SIDE, SIDE), Boxes("core", grow_px=3)
    content = factor.take(canvases, masks).flip(0)
    after = factor.put(canvases.clone(), masks, content)
    both = want.amax(dim=0).bool()
    torch.testing.assert_close(after[:, :, both], canvases.flip(0)[:, :, both], atol=0.1 / 255, rtol=0)
    assert torch.equal(after[:, :, ~both], canvases[:, :, ~both])


def test_a_core_is_moved_by_whole_pixels_to_where_the_donors_lies() -> None:
    masks = torch.zeros(2, SIDE, SIDE)
    masks[0, 4:8, 10:14], masks[1, 20:24, 6:10] = 1, 1
    assert middles(masks).tolist() == [[5.5, 11.5], [21.5, 7.5]]
    canvases = torch.rand(2, 3, SIDE, SIDE)
    there = Place("core").put(canvases, masks, middles(masks).flip(0))
    assert torch.equal(there[0, :, 20:24, 6:10], canvases[0, :, 4:8, 10:14])  # its own pixels, elsewhere
    around = (masks.sum(dim=0) == 0)[None].expand(3, -1, -1)
    assert torch.equal(there[0][around], canvases[0][around])
    away = Place("core", other_way=True).put(canvases, masks, middles(masks) + torch.tensor([3.0, -2.0]))
    assert torch.equal(away[0, :, 1:5, 12:16], canvases[0, :, 4:8, 10:14])
    at_home = Place("core").put(canvases, masks, middles(masks))
    assert torch.equal(at_home, canvases)


def test_what_is_moved_out_of_the_picture_is_gone() -> None:
    values = torch.arange(12.0).reshape(1, 1, 3, 4) + 1
    want = torch.tensor([[0, 0, 0, 0], [0, 1, 2, 3], [0, 5, 6, 7]]).float()
    assert torch.equal(moved(values, torch.tensor([[1, 1]]))[0, 0], want)
    assert not moved(values, torch.tensor([[-3, 0]])).any()
