"""A pipeline of transforms feeds as it does by itself, and is read as a canvas where that is the same."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.data.networks.classifier import load
from seewhy.data.reader import load_image
from seewhy.data.sources.folder import read_table
from seewhy.errors import DataError, OptionError
from seewhy.records import Preprocess
from seewhy.run.source import code_digest
from tests.data.feeding import levels_off, photograph

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMAL = f"Normalize({MEAN}, {STD})"
V2_FLOAT = "ToImage(), ToDtype(torch.float32, scale=True)"
USUAL = Preprocess((224, 224), "crop", 0.875, mean=MEAN, std=STD)
# As they are written, of torchvision's first or second kind, and the canvas that they come to (None: a function).
PIPELINES: dict[str, tuple[str, Preprocess | None]] = {
    "usual": (f"v1.Compose([Resize(256), CenterCrop(224), ToTensor(), {NORMAL}])", USUAL),
    "usual-v2": (f"v2.Compose([Resize(256), CenterCrop(224), {V2_FLOAT}, {NORMAL}])", USUAL),
    "v2-tensor-first": (
        f"v2.Compose([ToImage(), Resize(256), CenterCrop(224), ToDtype(torch.float32, True), {NORMAL}])",
        USUAL,
    ),
    "v2-float-first": (f"v2.Compose([{V2_FLOAT}, Resize(256), CenterCrop(224), {NORMAL}])", USUAL),
    "v1-tensor-first": (f"v1.Compose([ToTensor(), Resize(256), CenterCrop(224), {NORMAL}])", USUAL),
    "stretched": ("v1.Compose([Resize((64, 96)), ToTensor()])", Preprocess((64, 96))),
    "stretched-and-cropped": (
        "v1.Compose([Resize((64, 96)), CenterCrop((56, 84)), ToTensor()])",
        Preprocess((56, 84), "stretch", 0.875),
    ),
    "a-list-of-one": ("v2.Compose([Resize([64]), CenterCrop([64]), ToTensor()])", Preprocess((64, 64), "crop")),
    "odd-crop": ("v1.Compose([Resize(101), CenterCrop(64), ToTensor()])", Preprocess((64, 64), "crop", 64 / 101)),
    "shorter-side": (f"v1.Compose([Resize(64), ToTensor(), {NORMAL}])", Preprocess(shorter=64, mean=MEAN, std=STD)),
    "tensor-alone": ("v1.ToTensor()", Preprocess()),
    "bicubic": (
        "v1.Compose([Resize(72, interpolation=Mode.BICUBIC), CenterCrop(64), ToTensor()])",
        Preprocess((64, 64), "crop", 64 / 72, "bicubic"),
    ),
    "lanczos": (
        "v1.Compose([Resize((64, 64), interpolation=Mode.LANCZOS), ToTensor()])",
        Preprocess((64, 64), interpolation="lanczos"),
    ),
    "nearest": (
        "v1.Compose([Resize((64, 64), interpolation=Mode.NEAREST), ToTensor()])",
        Preprocess((64, 64), interpolation="nearest"),
    ),
    "grey": (
        "v1.Compose([Resize((48, 48)), Grayscale(), ToTensor(), Normalize(0.5, 0.25)])",
        Preprocess((48, 48), mean=(0.5,), std=(0.25,), channels="grey"),
    ),
    "grey-first": ("v1.Compose([Grayscale(1), Resize((48, 48)), ToTensor()])", Preprocess((48, 48), channels="grey")),
    "bytes-then-scale": (
        "v1.Compose([Resize((48, 48)), PILToTensor(), ConvertImageDtype(torch.float32)])",
        Preprocess((48, 48)),
    ),
    "not-scaled": (
        "v2.Compose([Resize((48, 48)), ToImage(), ToDtype(torch.float32, scale=False), Normalize([127.0], [50.0])])",
        Preprocess((48, 48), range="0-255", mean=(127.0,), std=(50.0,)),
    ),
    "one-number": (
        "v1.Compose([Resize((48, 48)), ToTensor(), Normalize(0.5, 0.5)])",
        Preprocess((48, 48), mean=(0.5,), std=(0.5,)),
    ),
    "nested": (
        f"v1.Compose([v1.Compose([Resize(256), CenterCrop(224)]), v1.Compose([ToTensor(), {NORMAL}])])",
        USUAL,
    ),
    "to-rgb": ("v1.Compose([Lambda(lambda p: p.convert('RGB')), Resize((48, 48)), ToTensor()])", Preprocess((48, 48))),
    "never-drawn": ("v1.Compose([Resize((48, 48)), RandomHorizontalFlip(p=0.0), ToTensor()])", Preprocess((48, 48))),
    "tensors-asked-for": (
        "v1.Compose([ConvertImageDtype(torch.float32), Resize((48, 48), antialias=True)])",
        Preprocess((48, 48)),
    ),
    "modules-asked-for": (
        "nn.Sequential(v1.Resize((48, 48), antialias=True), v1.ConvertImageDtype(torch.float32))",
        Preprocess((48, 48)),
    ),
    "without-antialias": (
        "v2.Compose([ToImage(), Resize((48, 48), antialias=False), ToDtype(torch.float32, True)])",
        None,
    ),
    "crop-alone": ("v1.Compose([CenterCrop(90), ToTensor()])", None),
    "crop-of-another-shape": ("v1.Compose([Resize(64), CenterCrop((64, 48)), ToTensor()])", None),
    "crop-that-pads": ("v1.Compose([Resize(64), CenterCrop(80), ToTensor()])", None),
    "crop-first": ("v1.Compose([CenterCrop(90), Resize(64), ToTensor()])", None),
    "largest-side": ("v1.Compose([Resize(48, max_size=64), CenterCrop(40), ToTensor()])", None),
    "three-greys": ("v1.Compose([Resize((48, 48)), Grayscale(3), ToTensor()])", None),
    "padded": ("v1.Compose([Resize((48, 48)), Pad(4), ToTensor()])", None),
    "turned": ("v1.Compose([Resize((48, 48)), Lambda(lambda p: p.rotate(180)), ToTensor()])", None),
    "bgr": ("v1.Compose([Resize((48, 48)), ToTensor(), Lambda(lambda t: t.flip(0))])", None),
    "twice-normal": (f"v1.Compose([Resize((48, 48)), ToTensor(), {NORMAL}, {NORMAL}])", None),
    "box": ("v1.Compose([Resize((48, 48), interpolation=Mode.BOX), ToTensor()])", None),
    "five-steps-of-his-own": ("v1.Compose([Mine(), Resize((48, 48)), ToTensor()])", None),
}


class Mine:
    """A user's own step."""

    def __call__(self, picture: PIL.Image.Image) -> PIL.Image.Image:
        return picture.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)


def written(text: str) -> Any:
    """The pipeline that a line of code makes."""
    v1 = pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    from torchvision.transforms import v2

    names = vars(v2) if text.startswith("v2") else vars(v1)
    scope = {**names, "v1": v1, "v2": v2, "Mode": v1.InterpolationMode, "torch": torch, "nn": nn, "Mine": Mine}
    return eval(text, scope)


def as_bytes(pipeline: Any, picture: PIL.Image.Image) -> Tensor:
    return pipeline(torch.from_numpy(np.array(picture)).permute(2, 0, 1))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PIPELINES)
def test_torchvisions_pipelines(name: str) -> None:
    text, wanted = PIPELINES[name]
    pipeline = written(text)
    classifier = load(nn.Flatten(), preprocess=pipeline)
    itself = partial(as_bytes, pipeline) if "asked-for" in name else pipeline
    mean, most = levels_off(classifier.preprocess, itself)
    if wanted is None:
        assert not isinstance(classifier.preprocess, Preprocess) and most == 0
        assert any("as a function" in note for note in classifier.notes)
    else:
        assert classifier.preprocess == wanted
        on_pillow = not any(first in name for first in ("first", "asked-for", "grey"))
        assert (most < 0.001) if on_pillow else (mean < 0.6 and most < 2)
    assert any(note.startswith("Preprocessing: ") for note in classifier.notes)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "vit_b_16", "convnext_tiny", "mnasnet0_5"])
@pytest.mark.parametrize("given", ["enum", "transforms", "maker"])
def test_a_weights_enum(name: str, given: str) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    weights = models.get_model_weights(name).DEFAULT
    asked = {"enum": weights, "transforms": weights.transforms(), "maker": weights.transforms}[given]
    classifier = load(nn.Flatten(), preprocess=asked)
    assert classifier.preprocess.fit == "crop"
    assert levels_off(classifier.preprocess, weights.transforms())[1] < 0.001


def test_a_segmentations_preset_keeps_the_shape() -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    preset = models.get_model_weights("lraspp_mobilenet_v3_large").DEFAULT.transforms()
    assert load(nn.Flatten(), preprocess=preset).preprocess == Preprocess(shorter=520, mean=MEAN, std=STD)


TIMM: dict[str, tuple[dict[str, Any], type]] = {
    "center": ({}, Preprocess),
    "squash": ({"crop_mode": "squash"}, Preprocess),
    "squash-whole": ({"crop_mode": "squash", "crop_pct": 1.0}, Preprocess),
    "bicubic": ({"interpolation": "bicubic", "crop_pct": 0.95}, Preprocess),
    "whole": ({"crop_pct": 1.0}, Preprocess),
    "border": ({"crop_mode": "border"}, object),
    "oblong": ({"input_size": (3, 160, 224)}, object),
}


@pytest.mark.parametrize("name", TIMM)
def test_timms_pipelines(name: str) -> None:
    data = pytest.importorskip("timm.data", reason="timm is not installed")
    changes, kind = TIMM[name]
    given = {
        "input_size": (3, 224, 224),
        "crop_pct": 0.9,
        "mean": MEAN,
        "std": STD,
        "interpolation": "bilinear",
    } | changes
    pipeline = data.create_transform(**given, is_training=False)
    preprocess = load(nn.Flatten(), preprocess=pipeline).preprocess
    assert levels_off(preprocess, pipeline)[1] < 0.001
    assert isinstance(preprocess, kind)


@pytest.mark.parametrize(
    "step",
    ["RandomResizedCrop(48)", "RandomHorizontalFlip()", "ColorJitter(0.4)", "RandAugment()", "RandomApply([Pad(4)])"],
)
def test_a_pipeline_for_training_is_named(step: str) -> None:
    pipeline = written(f"v1.Compose([Resize((48, 48)), {step}, ToTensor()])")
    notes = load(nn.Flatten(), preprocess=pipeline).notes
    kind = step.partition("(")[0]
    assert any(f"as a function, since {kind} is random, so that it is a pipeline for training" in n for n in notes)


def test_reading_draws_nothing() -> None:
    pipeline = written("v1.Compose([Resize((48, 48)), RandomHorizontalFlip(), ToTensor()])")
    before, before_numpy = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    load(nn.Flatten(), preprocess=pipeline)
    assert torch.equal(torch.random.get_rng_state(), before) and np.random.get_state()[1].tolist() == before_numpy


NET = """
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
"""
IMPORTS = "from torchvision import transforms as T\n"
TEXT = "T.Compose([T.Resize(36), T.CenterCrop(32), T.ToTensor()])"
READ = Preprocess((32, 32), "crop", 32 / 36)


@pytest.mark.filterwarnings("ignore")
def test_in_a_file(tmp_path: Path) -> None:
    pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    net = tmp_path / "net.py"
    net.write_text(f"{IMPORTS}{NET}\npreprocess = {TEXT}\nother = T.Compose([T.Resize((8, 8)), T.ToTensor()])\n")
    classifier = load(f"{net}:Net")
    assert classifier.preprocess == READ
    assert f"Preprocessing: `preprocess` of {net}, read as a canvas." in classifier.notes
    other = load(f"{net}:Net", preprocess=f"{net}:other")
    assert other.preprocess == Preprocess((8, 8))
    assert f"Preprocessing: {net}:other, read as a canvas." in other.notes
    assert load(f"{net}:Net", mean=0.5).preprocess == Preprocess((32, 32), "crop", 32 / 36, mean=(0.5,))


def test_of_a_dict_of_pipelines_the_validations_is_taken(tmp_path: Path) -> None:
    pytest.importorskip("torchvision.transforms", reason="torchvision is not installed")
    net = tmp_path / "net.py"
    training = "T.Compose([T.RandomResizedCrop(32), T.ToTensor()])"
    net.write_text(f"{IMPORTS}{NET}\nboth = {{'train': {training}, 'val': {TEXT}}}\n")
    classifier = load(f"{net}:Net", preprocess=f"{net}:both")
    assert classifier.preprocess == READ
    assert f"Preprocessing: {net}:both['val'], read as a canvas." in classifier.notes
    with pytest.raises(OptionError, match=r"There is no option 'train'"):
        load(nn.Flatten(), preprocess={"train": 1})


def test_two_functions_of_a_kind_are_two() -> None:
    first, same, other = (
        load(nn.Flatten(), preprocess=written(f"v1.Compose([Resize(({size}, 48)), Pad(4), ToTensor()])")).preprocess
        for size in (48, 48, 64)
    )
    assert code_digest(first) == code_digest(same) != code_digest(other)


# ---- albumentations, whose place a stand-in with its names and its ways takes ----


class Arrays:
    """A step of albumentations: arrays by keyword."""

    p = 1.0

    def __init__(self, **settings: Any) -> None:
        vars(self).update(settings)

    def __call__(self, *, image: np.ndarray) -> dict[str, Any]:
        return {"image": self.apply(image)}

    def apply(self, image: np.ndarray) -> Any:
        raise NotImplementedError


@pytest.fixture
def albumentations(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A module of that name, on OpenCV as the real one is."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    module = types.ModuleType("albumentations")

    def step(name: str, apply: Callable[[Any, np.ndarray], Any]) -> None:
        kind = type(name, (Arrays,), {"apply": apply, "__module__": "albumentations.core"})
        setattr(module, name, kind)

    def cropped(self: Any, image: np.ndarray) -> np.ndarray:
        top, left = (image.shape[0] - self.height) // 2, (image.shape[1] - self.width) // 2
        return image[top : top + self.height, left : left + self.width]

    def composed(self: Any, image: np.ndarray) -> Any:
        for part in self.transforms:
            image = part(image=image)["image"]
        return image

    step("Resize", lambda s, i: cv2.resize(i, (s.width, s.height), interpolation=s.interpolation))
    step("CenterCrop", cropped)
    step("Normalize", lambda s, i: ((i / s.max_pixel_value - s.mean) / s.std).astype(np.float32))
    step("ToTensorV2", lambda s, i: torch.from_numpy(i.transpose(2, 0, 1)))
    step("HorizontalFlip", lambda s, i: i[:, ::-1])
    step("Compose", composed)
    monkeypatch.setitem(sys.modules, "albumentations", module)
    return module


def normal(module: Any) -> Any:
    return module.Normalize(mean=np.array(MEAN), std=np.array(STD), max_pixel_value=255.0)


def itself(pipeline: Any, picture: PIL.Image.Image) -> Tensor:
    return pipeline(image=np.asarray(picture))["image"]


def test_albumentations_without_a_resize_is_a_canvas(albumentations: Any) -> None:
    pipeline = albumentations.Compose(transforms=[normal(albumentations), albumentations.ToTensorV2()])
    preprocess = load(nn.Flatten(), preprocess=pipeline).preprocess
    assert preprocess == Preprocess(mean=MEAN, std=STD)
    assert levels_off(preprocess, partial(itself, pipeline))[1] < 0.001


def test_opencvs_resize_is_used_as_it_is(albumentations: Any) -> None:
    steps = [
        albumentations.Resize(height=48, width=64, interpolation=1),
        normal(albumentations),
        albumentations.ToTensorV2(),
    ]
    pipeline = albumentations.Compose(transforms=steps)
    classifier = load(nn.Flatten(), preprocess=pipeline)
    assert levels_off(classifier.preprocess, partial(itself, pipeline))[1] == 0
    assert any("of 255 grey levels off, by its resampling" in note for note in classifier.notes)


def test_albumentations_for_training_is_named(albumentations: Any) -> None:
    steps = [albumentations.HorizontalFlip(p=0.5), normal(albumentations), albumentations.ToTensorV2()]
    notes = load(nn.Flatten(), preprocess=albumentations.Compose(transforms=steps)).notes
    assert any("HorizontalFlip is random" in note for note in notes)


# ---- typed: --resize and --crop ----


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ({"resize": 256, "crop": 224}, Preprocess((224, 224), "crop", 0.875)),
        ({"resize": (256, 256), "crop": 224}, Preprocess((224, 224), "stretch", 0.875)),
        ({"resize": [256], "crop": (224, 224)}, Preprocess((224, 224), "crop", 0.875)),
        ({"resize": (64, 96)}, Preprocess((64, 96))),
        ({"resize": 64}, Preprocess(shorter=64)),
        ({"resize": 64, "crop": 64, "interpolation": "bicubic"}, Preprocess((64, 64), "crop", 1.0, "bicubic")),
    ],
    ids=str,
)
def test_resize_and_crop_can_be_typed(typed: dict[str, Any], wanted: Preprocess) -> None:
    assert load(nn.Flatten(), **typed).preprocess == wanted
    assert load(nn.Flatten(), preprocess=typed).preprocess == wanted
    before = Preprocess((9, 9), "letterbox", shorter=3)
    assert load(nn.Flatten(), preprocess=before, **typed).preprocess == wanted


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        (
            {"crop": 224},
            r"crop is 224 x 224, but to which size the photograph is brought first is not said.*\n.*--resize",
        ),
        ({"resize": 200, "crop": 224}, r"crop is 224 x 224, which is more than the 200 x 200 of resize"),
        ({"resize": 256, "crop": (224, 192)}, r"whose sides are not the same share of those of resize"),
        ({"resize": 256, "crop": 224, "size": 224}, r"resize and crop say the size and the fit: size cannot be given"),
        ({"resize": 256, "fit": "crop"}, r"resize and crop say the size and the fit: fit cannot be given"),
        ({"resize": "256"}, r"resize is '256', but must be one number, or \(height, width\)"),
        ({"resize": 0}, r"shorter is 0, but must be at least 1"),
    ],
    ids=str,
)
def test_resize_and_crop_that_make_no_sense(typed: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        load(nn.Flatten(), **typed)


def test_another_fit_takes_the_whole_photograph_again() -> None:
    assert load(nn.Flatten(), preprocess=USUAL, fit="stretch").preprocess.crop_share == 1.0
    assert load(nn.Flatten(), preprocess=USUAL, fit="crop").preprocess.crop_share == 0.875


# ---- the shorter side alone ----


def written_pictures(folder: Path, *shapes: tuple[int, int]) -> str:
    for row, shape in enumerate(shapes):
        PIL.Image.fromarray(photograph(*shape)).save(folder / f"{row}.png")
    return str(folder)


@pytest.mark.filterwarnings("ignore")
def test_square_photographs_of_several_sizes_come_to_one_canvas(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    folder = written_pictures(tmp_path, (60, 60), (40, 40), (90, 90))
    explanation = seewhy.explain(load(network, resize=32), folder, layers="0", method="grad-cam")
    assert len(explanation) == 3 and explanation.maps.shape == (3, 30, 30)
    PIL.Image.fromarray(photograph(40, 60)).save(tmp_path / "wide.png")
    with pytest.raises(DataError, match=r"The images have 2 different sizes: 32 x 32 \(3\), 48 x 32 \(1\)"):
        seewhy.explain(load(network, resize=32), folder, layers="0", method="grad-cam")


def test_the_shorter_side_of_a_single_photograph(tmp_path: Path) -> None:
    table = read_table(written_pictures(tmp_path, (60, 91)))
    loaded = load_image(table, table.images[0], Preprocess(shorter=32))
    assert loaded.canvas.shape == (32, 48, 3)
    assert loaded.geometry.to_photograph(48, 32) == (91.0, 60.0)
