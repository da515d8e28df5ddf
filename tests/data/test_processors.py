"""A Hugging Face directory is fed what its own image processor feeds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.data.networks import hugging_face
from seewhy.data.networks.classifier import load
from seewhy.errors import ModelError
from seewhy.records import Preprocess
from tests.data.feeding import levels_off, photograph

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PLAIN = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
TOP = (0.47853944, 0.4732864, 0.47434163)
OLD: dict[str, Any] = {"do_resize": True, "do_normalize": True, **IMAGENET}
VIT: dict[str, Any] = {"image_processor_type": "ViTImageProcessor", "size": {"height": 64, "width": 48}}
CONVNEXT = OLD | {"feature_extractor_type": "ConvNextFeatureExtractor", "resample": 3}
# As the directories of these networks have them: the settings, and the canvas they come to (None: a function).
DIRECTORIES: dict[str, tuple[dict[str, Any], Preprocess | None]] = {
    "resnet": (
        CONVNEXT | {"size": 224, "crop_pct": 0.875},
        Preprocess((224, 224), "crop", 0.875, "bicubic", MEAN, STD, rounding="floor"),
    ),
    "resnet-without-crop_pct": (
        CONVNEXT | {"size": {"shortest_edge": 160}},
        Preprocess((160, 160), "crop", 160 / 182, "bicubic", MEAN, STD, rounding="floor"),
    ),
    "convnext-at-384": (
        CONVNEXT | {"size": 384, "crop_pct": None},
        Preprocess((384, 384), "stretch", 1.0, "bicubic", MEAN, STD),
    ),
    "deit": (
        OLD
        | {"feature_extractor_type": "DeiTFeatureExtractor", "size": 256, "crop_size": 224}
        | {"do_center_crop": True, "resample": 3},
        Preprocess((224, 224), "stretch", 0.875, "bicubic", MEAN, STD, rounding="floor"),
    ),
    "mobilevit": (
        {"feature_extractor_type": "MobileViTFeatureExtractor", "size": 288, "crop_size": 256, "resample": 2}
        | {"do_center_crop": True, "do_flip_channel_order": True, "do_resize": True},
        Preprocess((256, 256), "crop", 256 / 288, channels="bgr", rounding="floor"),
    ),
    "efficientnet": (
        {"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 224, "width": 224}, "resample": 2}
        | {"include_top": True, "rescale_offset": False, "image_mean": list(MEAN), "image_std": list(TOP)},
        Preprocess((224, 224), mean=MEAN, std=tuple(value * value for value in TOP)),
    ),
    "efficientnet-offset": (
        {"image_processor_type": "EfficientNetImageProcessor", "size": {"height": 96, "width": 96}, "resample": 2}
        | {"include_top": False, "rescale_offset": True, "rescale_factor": 1 / 127.5, "do_normalize": False},
        Preprocess((96, 96), mean=(0.5,), std=(0.5,)),
    ),
    "clip": (
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 224}, "do_convert_rgb": True}
        | {"crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "resample": 3, **PLAIN},
        Preprocess((224, 224), "crop", 1.0, "bicubic", (0.5,) * 3, (0.5,) * 3, rounding="floor"),
    ),
    "dinov2": (
        {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}, **IMAGENET}
        | {"crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "resample": 3},
        Preprocess((224, 224), "crop", 0.875, "bicubic", MEAN, STD, rounding="floor"),
    ),
    "levit": (
        OLD
        | {"feature_extractor_type": "LevitFeatureExtractor", "size": 224, "resample": 3}
        | {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}},
        Preprocess((224, 224), "crop", 224 / 256, "bicubic", MEAN, STD, rounding="floor"),
    ),
    "poolformer": (
        OLD
        | {"feature_extractor_type": "PoolFormerFeatureExtractor", "size": 224, "crop_pct": 0.9, "resample": 3}
        | {"do_center_crop": True, "do_resize_and_center_crop": True, "crop_size": 224},
        Preprocess((224, 224), "crop", 224 / 248, "bicubic", MEAN, STD, rounding="floor"),
    ),
    "vit": (VIT | PLAIN, Preprocess((64, 48), mean=(0.5,) * 3, std=(0.5,) * 3)),
    "vit-an-integer": (VIT | IMAGENET | {"size": 64}, Preprocess((64, 64), mean=MEAN, std=STD)),
    "vit-fast": (
        VIT | PLAIN | {"image_processor_type": "ViTImageProcessorFast"},
        Preprocess((64, 48), mean=(0.5,) * 3, std=(0.5,) * 3),
    ),
    "vit-with-a-crop": (
        VIT | PLAIN | {"size": {"height": 64, "width": 64}, "do_center_crop": True, "crop_size": 56},
        Preprocess((56, 56), "stretch", 0.875, mean=(0.5,) * 3, std=(0.5,) * 3, rounding="floor"),
    ),
    "no-resize": (VIT | PLAIN | {"do_resize": False}, Preprocess(mean=(0.5,) * 3, std=(0.5,) * 3)),
    "no-rescale": (
        VIT | {"do_rescale": False, "image_mean": [127.0] * 3, "image_std": [50.0] * 3},
        Preprocess((64, 48), mean=(127.0,) * 3, std=(50.0,) * 3, range="0-255"),
    ),
    "no-rescale-no-normalize": (
        VIT | {"do_rescale": False, "do_normalize": False},
        Preprocess((64, 48), range="0-255"),
    ),
    "no-normalize": (VIT | {"do_normalize": False}, Preprocess((64, 48))),
    "lanczos": (
        VIT | PLAIN | {"resample": 1},
        Preprocess((64, 48), interpolation="lanczos", mean=(0.5,) * 3, std=(0.5,) * 3),
    ),
    "shorter-side-alone": (
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 64}, "do_center_crop": False}
        | {"resample": 2, **PLAIN},
        Preprocess(shorter=64, mean=(0.5,) * 3, std=(0.5,) * 3),
    ),
    "nearest": (VIT | PLAIN | {"resample": 0}, None),
    "crop-without-resize": (VIT | PLAIN | {"do_resize": False, "do_center_crop": True, "crop_size": 56}, None),
    "crop-larger-than-resize": (VIT | PLAIN | {"do_center_crop": True, "crop_size": 80}, None),
    "padded": (VIT | PLAIN | {"do_pad": True, "pad_size": {"height": 80, "width": 80}}, None),
    "perceiver": ({"image_processor_type": "PerceiverImageProcessor", "size": {"height": 64, "width": 64}}, None),
    "longest-edge": (
        {"image_processor_type": "ViltImageProcessor", "size": {"shortest_edge": 160}, "size_divisor": 32, **PLAIN},
        None,
    ),
    "multiples-of-32": ({"image_processor_type": "GLPNImageProcessor", "size_divisor": 32}, None),
}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a small ResNet and its two labels, and no processor."""
    folder = tmp_path_factory.mktemp("resnet")
    saved(folder, id2label={0: "cat", 1: "dog"})
    return folder


@pytest.fixture
def directory(network: Path, tmp_path: Path) -> Path:
    """The same, to write into."""
    for file in network.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def saved(folder: Path, **settings: Any) -> None:
    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], **settings)
    transformers.ResNetForImageClassification(config).save_pretrained(folder)


def own(processor: Any, picture: PIL.Image.Image) -> Tensor:
    """What the processor itself makes of a picture."""
    return processor(images=picture, return_tensors="pt")["pixel_values"][0]


@pytest.mark.parametrize("name", DIRECTORIES)
def test_a_directory_is_fed_what_its_own_processor_feeds(name: str, directory: Path) -> None:
    written, wanted = DIRECTORIES[name]
    (directory / "preprocessor_config.json").write_text(json.dumps(written))
    classifier = load(f"hf:{directory}")
    processor = transformers.AutoImageProcessor.from_pretrained(directory, local_files_only=True)
    mean, most = levels_off(classifier.preprocess, partial(own, processor))
    if wanted is None:
        assert most == 0 and not isinstance(classifier.preprocess, Preprocess)
        assert any("as a function, since" in note for note in classifier.notes)
    else:
        assert classifier.preprocess == wanted
        assert mean < 0.3 and most < 8  # torchvision resamples bytes otherwise than Pillow does
    assert any(f"preprocessor_config.json as {type(processor).__name__} follows it" in n for n in classifier.notes)


@pytest.mark.parametrize("name", [name for name, (_, wanted) in DIRECTORIES.items() if wanted is not None])
def test_processors_without_torchvision_are_met_exactly(name: str, directory: Path) -> None:
    written, wanted = DIRECTORIES[name]
    (directory / "preprocessor_config.json").write_text(json.dumps(written))
    processor = transformers.AutoImageProcessor.from_pretrained(directory, local_files_only=True, backend="pil")
    classifier = load(nn.Flatten(), preprocess=processor)
    assert classifier.preprocess == wanted
    assert levels_off(classifier.preprocess, partial(own, processor))[1] < 0.001
    assert any(note.endswith("read as a canvas.") for note in classifier.notes)


NOT_OF_PICTURES = ("Siglip2ImageProcessor", "Siglip2ImageProcessorPil")  # which make a row of patches of them


def classifying() -> list[type]:
    """The processors of all networks that transformers has for the classification of images, in both kinds."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    names = {
        name
        for kind in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
        for name in IMAGE_PROCESSOR_MAPPING_NAMES.get(kind, {}).values()
        if name
    }
    other = {
        "TimmWrapperImageProcessor",
        "ImageGPTImageProcessor",
        "ImageGPTImageProcessorPil",
    }  # need more than defaults
    return [getattr(transformers, name) for name in sorted(names - other)]


def test_every_processor_of_an_image_classifier_is_met() -> None:
    kinds, wrong, met = classifying(), {}, []
    for kind in kinds:
        processor = kind()
        if kind.__name__ in NOT_OF_PICTURES:
            with pytest.raises(ModelError, match=r"makes of one picture pixel_values \[1, 256, 768\]"):
                load(nn.Flatten(), preprocess=processor)
            continue
        preprocess = load(nn.Flatten(), preprocess=processor).preprocess
        mean, most = levels_off(preprocess, partial(own, processor), [(300, 400), (401, 333), (160, 160)])
        is_canvas = isinstance(preprocess, Preprocess)
        if mean > (0.3 if is_canvas else 0) or most > (8 if is_canvas else 0):
            wrong[kind.__name__] = (mean, most)
        met += [kind.__name__] if is_canvas else []
    assert wrong == {}
    assert len(kinds) >= 30 and len(met) >= 20


def test_keys_that_the_processor_does_not_follow_are_named(directory: Path) -> None:
    (directory / "preprocessor_config.json").write_text(json.dumps(VIT | {"crop_pct": 0.9, "sharpen": 2}))
    notes = load(f"hf:{directory}").notes
    assert "ViTImageProcessor does not follow crop_pct, sharpen of preprocessor_config.json." in notes


def test_a_directory_without_settings_says_so(directory: Path) -> None:
    classifier = load(f"hf:{directory}")
    assert classifier.preprocess == Preprocess()
    assert any("has no preprocessor_config.json: give the preprocessing by options" in n for n in classifier.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read: Expecting property name"),
        ("[1]", "holds list, not settings by name"),
        (json.dumps(VIT | {"size": "large"}), "transformers makes no image processor of"),
        (json.dumps({"image_processor_type": "NoSuchProcessor"}), "transformers makes no image processor of"),
        (
            json.dumps({"auto_map": {"AutoImageProcessor": "code.Mine"}, "image_processor_type": "Mine"}),
            "transformers makes no image processor of",
        ),
    ],
    ids=["no-json", "a-list", "a-word-for-a-size", "no-such-class", "remote-code"],
)
def test_broken_settings_are_refused_unless_options_replace_them(directory: Path, text: str, says: str) -> None:
    (directory / "preprocessor_config.json").write_text(text)
    with pytest.raises(ModelError, match=says) as raised:
        load(f"hf:{directory}")
    assert "Give the preprocessing by options" in str(raised.value) and "Traceback" not in str(raised.value)
    assert load(f"hf:{directory}", size=32).preprocess == Preprocess((32, 32))
    assert load(f"hf:{directory}", preprocess=Preprocess((48, 48))).preprocess == Preprocess((48, 48))


def test_a_processor_that_fails_on_every_picture_is_refused_unless_options_replace_it(directory: Path) -> None:
    settings = CONVNEXT | {"size": {"height": 32, "width": 32}}
    (directory / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=r"ConvNextImageProcessor fails on a picture: "):
        load(f"hf:{directory}")
    assert load(f"hf:{directory}", size=32).preprocess == Preprocess((32, 32))


def test_what_is_no_picture_is_refused(directory: Path) -> None:
    settings = {"image_processor_type": "ImageGPTImageProcessor", "clusters": [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]}
    (directory / "preprocessor_config.json").write_text(json.dumps(settings | {"size": {"height": 8, "width": 8}}))
    with pytest.raises(ModelError, match=r"ImageGPTImageProcessor makes of one picture input_ids .*1, 64"):
        load(f"hf:{directory}")


@pytest.mark.parametrize("text", ["{", "[]"], ids=["no-json", "a-list"])
def test_a_broken_config_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json (cannot be read|holds list)"):
        load(f"hf:{tmp_path}")


def test_two_processors_of_a_kind_are_two_functions(directory: Path) -> None:
    from seewhy.run.source import code_digest

    def digest(**changes: Any) -> str:
        return code_digest(load(nn.Flatten(), preprocess=transformers.ViTImageProcessorPil(**changes)).preprocess)

    assert digest(resample=4) == digest(resample=4) != digest(resample=4, image_mean=[0.1, 0.5, 0.5])


@pytest.fixture
def broken_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A torchvision whose build is another torch's, as the import of it says."""
    importing = hugging_face.importlib.import_module

    def broken(name: str, *rest: Any) -> Any:
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist")
        return importing(name, *rest)

    monkeypatch.setattr(hugging_face.importlib, "import_module", broken)


@pytest.mark.usefixtures("broken_torchvision")
def test_a_torchvision_that_does_not_load_is_hidden_from_transformers(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    made = transformers.AutoImageProcessor.from_pretrained

    def watched(*names: Any, **options: Any) -> Any:
        seen.append(sys.modules.get("torchvision", "not there"))
        return made(*names, **options, backend="pil")

    (directory / "preprocessor_config.json").write_text(json.dumps(VIT | PLAIN))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(transformers.AutoImageProcessor, "from_pretrained", watched)
    classifier = load(f"hf:{directory}")
    assert seen == [None] and "torchvision" not in sys.modules
    assert classifier.preprocess == Preprocess((64, 48), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert any(note.startswith("torchvision does not load (operator torchvision::nms") for note in classifier.notes)


HEADS: dict[str, tuple[dict[str, Any], tuple[str, ...] | None, str | None, str]] = {
    "one-label": ({"id2label": {0: "cat"}}, ("not cat", "cat"), None, "the sigmoid of the output is the probability"),
    "one-unnamed": ({"num_labels": 1}, None, None, "the probability of its only label"),
    "regression": (
        {"id2label": {0: "age"}, "problem_type": "regression"},
        ("age",),
        "regression",
        r"the output is a number \(age\)",
    ),
    "multi-label": (
        {"id2label": {0: "hat", 1: "tie"}, "problem_type": "multi_label_classification"},
        ("hat", "tie"),
        "multi-label",
        "",
    ),
    "made-up": ({"num_labels": 3}, None, None, ""),
    "two-equal": ({"id2label": {0: "crane", 1: "crane"}}, ("crane", "crane 2"), None, ""),
}


@pytest.mark.parametrize("name", HEADS)
def test_what_the_head_means(name: str, tmp_path: Path) -> None:
    settings, classes, task, says = HEADS[name]
    saved(tmp_path, **settings)
    classifier = load(f"hf:{tmp_path}")
    assert (classifier.classes, classifier.task) == (classes, task)
    assert any(says in note.replace("(", r"\(").replace(")", r"\)") for note in classifier.notes)
    pictures = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    explanation = seewhy.explain(classifier, pictures, layers="resnet.encoder.stages.0", method="grad-cam")
    with torch.no_grad():
        logits = classifier.model(pictures).logits
    if name == "one-label":
        chances = logits.sigmoid().flatten().tolist()
        wanted = [max((chance, "cat"), (1 - chance, "not cat")) for chance in chances]
        assert [explanation[row].prediction for row in range(3)] == [word for _, word in wanted]
        assert [explanation[row].probability for row in range(3)] == pytest.approx([chance for chance, _ in wanted])
    if name == "regression":
        assert [explanation[row].outcome.logits[0] for row in range(3)] == pytest.approx(logits.flatten().tolist())


def test_a_processor_inside_another_object_is_found() -> None:
    class Outer(transformers.ImageClassificationPipeline):
        def __init__(self, processor: Any) -> None:
            self.image_processor = processor

    outer = Outer(transformers.ViTImageProcessor(size={"height": 16, "width": 16}))
    assert load(nn.Flatten(), preprocess=outer).preprocess.size == (16, 16)


def test_a_grey_picture_comes_as_three_channels_also_to_a_function() -> None:
    function: Callable[[Any], Tensor] = load(
        nn.Flatten(), preprocess=transformers.ViTImageProcessorPil(resample=4)
    ).preprocess
    assert function(PIL.Image.fromarray(photograph(40, 50)).convert("L")).shape == (3, 224, 224)
