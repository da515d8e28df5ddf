"""Networks that take more than the picture: constants reach them, count in a run, and each mistake is told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.cli.app import main
from seewhy.data.networks.constants import parse_inputs
from seewhy.errors import ModelError, OptionError
from seewhy.run.identity import identity_of, run_identity
from seewhy.run.plan import make_plan
from tests.models import images, seeded


class Aged(nn.Module):
    """Reads the picture and an age, which stands beside the features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 6, 3, padding=1)
        self.fc = nn.Linear(7, 2)

    def forward(self, image: Tensor, age: Tensor) -> Tensor:
        features = self.last(self.conv(image).relu()).relu().mean((2, 3))
        return self.fc(torch.cat([features, age], 1))


class AgeFirst(Aged):
    def forward(self, age: Tensor, image: Tensor) -> Tensor:
        return super().forward(image, age)


class ByKeyword(Aged):
    def forward(self, image: Tensor, *, age: Tensor, scale: float = 1.0, flip: bool = False) -> Tensor:
        return super().forward(image, age) * scale * (-1 if flip else 1)


class Fixed(nn.Module):
    """The same network, wrapped by hand."""

    def __init__(self, inner: nn.Module, age: Tensor) -> None:
        super().__init__()
        self.inner, self.age = inner, age

    def forward(self, image: Tensor) -> Tensor:
        return self.inner(image=image, age=self.age.expand(len(image), -1))


def answer(model: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        result: Tensor = model(x)
    return result


def network(kind: type[nn.Module] = Aged) -> nn.Module:
    return seeded(kind()).eval()


@pytest.mark.parametrize("kind", [Aged, AgeFirst, ByKeyword])
def test_a_constant_is_given_to_every_call_as_by_a_wrapper(kind: type[nn.Module]) -> None:
    net = network(kind)
    wrapped, x = Fixed(net, torch.tensor([[0.5]])), images()
    classifier = seewhy.load(net, inputs={"age": [0.5]})
    assert torch.equal(answer(classifier.model, x), answer(wrapped, x))
    assert torch.equal(answer(classifier.model, x[:1]), answer(wrapped, x[:1]))
    assert type(classifier.model).__name__ == kind.__name__ and classifier.inputs.keys() == {"age"}


@pytest.mark.parametrize("method", ["grad-cam", "hirescam", "ablation-cam", "score-cam", "eigen-cam", "recipro-cam"])
def test_maps_are_those_of_the_network_wrapped_by_hand(method: str) -> None:
    net = network()
    asked: dict[str, Any] = {"method": method, "target": 0, "progress": False}
    found = seewhy.explain(seewhy.load(net, inputs={"age": [0.5]}), images(), layers="last", **asked)
    wanted = seewhy.explain(Fixed(net, torch.tensor([[0.5]])), images(), layers="inner.last", **asked)
    np.testing.assert_allclose(found.maps, wanted.maps, atol=1e-6)


def test_another_constant_gives_other_logits_and_another_run() -> None:
    net = network()
    young, old = (seewhy.load(net, inputs={"age": [age]}) for age in (0.5, 0.7))
    assert not torch.equal(answer(young.model, images()), answer(old.model, images()))
    plans = [make_plan(classifier, images()) for classifier in (young, old)]
    first, second = (identity_of(plan)["classifier"]["inputs"]["age"] for plan in plans)
    assert first != second
    assert run_identity(plans[1]).differing(identity_of(plans[0]))[0].startswith("--input: age float32 1 ")
    assert run_identity(plans[0]).differing(identity_of(plans[0])) == []
    again = seewhy.load(network(), inputs={"age": torch.tensor([0.5])})
    assert run_identity(make_plan(again, images())).differing(identity_of(plans[0])) == []


def test_a_network_without_constants_has_the_identity_that_it_had() -> None:
    identity = seewhy.load(seeded(nn.Sequential(nn.Conv2d(3, 2, 3)))).identity()
    assert identity.keys() == {"network", "source", "weights", "preprocess", "classes"}


def test_the_network_is_left_as_it_was() -> None:
    net = network()
    before, names = dict(vars(net)), dict(net.named_modules())
    classifier = seewhy.load(net, inputs={"age": [0.5]})
    seewhy.explain(classifier, images(), progress=False)
    assert vars(net).keys() == before.keys() and all(vars(net)[key] is value for key, value in before.items())
    assert dict(net.named_modules()) == names and type(net) is Aged
    with pytest.raises(TypeError, match="age"):
        net(images())
    assert classifier.model.conv is net.conv  # it shares its layers


def test_a_copy_keeps_its_constants() -> None:
    for net in (network(), torch.fx.symbolic_trace(network())):
        classifier = seewhy.load(net, inputs={"age": [0.5]})
        assert torch.equal(answer(copy.deepcopy(classifier.model), images()), answer(classifier.model, images()))


def test_wrappers_are_taken_off() -> None:
    net = network()
    classifier = seewhy.load(nn.DataParallel(net), inputs={"age": [0.5]})
    assert torch.equal(answer(classifier.model, images()), answer(Fixed(net, torch.tensor([[0.5]])), images()))
    assert any("DataParallel was unwrapped" in note for note in classifier.notes)


class Shapes(nn.Module):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3)

    def forward(self, x: Tensor, **given: Any) -> Tensor:
        self.given.update(given)
        return self.conv(x).mean((2, 3))


def test_what_a_value_becomes(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    pairs = ["n=0.5", "i=3", "l=[0.5,1]", f"a={tmp_path / 'a.npy'}", "z=zeros:3x8", "o=ones:4", "t=true", "f=False"]
    net = Shapes()
    net.given = {}
    model = seewhy.load(net, inputs={**parse_inputs(pairs), "words": "fast", "none": None}).model
    answer(model, images(5))
    given = net.given
    shapes = {name: tuple(value.shape) for name, value in given.items() if isinstance(value, Tensor)}
    assert shapes == {"n": (5,), "i": (5,), "l": (5, 2), "a": (5, 2, 3), "z": (5, 3, 8), "o": (5, 4)}
    kinds = {name: value.dtype for name, value in given.items() if isinstance(value, Tensor)}
    assert kinds.pop("i") == torch.int64 and set(kinds.values()) == {torch.float32}
    assert (given["t"], given["f"], given["words"], given["none"]) == (True, False, "fast", None)
    assert torch.equal(given["a"][4], torch.arange(6.0).reshape(2, 3)) and bool((given["n"] == 0.5).all())


def test_floats_have_the_type_of_the_network() -> None:
    net = network().double()
    assert seewhy.explain(seewhy.load(net, inputs={"age": [0.5]}), images(), progress=False).maps.shape[0] == 4


def test_what_is_missing_is_named_with_the_line_to_type() -> None:
    for load in (lambda: seewhy.explain(network(), images(), progress=False), lambda: two({"age": [1.0]})):
        with pytest.raises(
            ModelError, match=r"forward needs image and \w+; seewhy gives one.*\n.*--input \w+=0\.5"
        ) as raised:
            load()
        assert raised.value.slug == "network-inputs" and "In Python: inputs=…" in str(raised.value)


def two(inputs: dict[str, Any]) -> seewhy.Classifier:
    class Two(Aged):
        def forward(self, image: Tensor, age: Tensor, height: Tensor) -> Tensor:
            return super().forward(image, age + height)

    return seewhy.load(network(Two), inputs=inputs)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        (
            {"aeg": [0.5]},
            r"Aged\.forward has no input 'aeg'.  Nearest: age, image\.\n.*It takes image, age; the picture is the",
        ),
        ({"image": [0.5], "age": [0.5]}, r"names every input of Aged\.forward: none is left for the picture"),
        ({"age": [[1], [2, 3]]}, r"The input 'age' is list, which makes no tensor"),
    ],
)
def test_an_input_that_the_network_does_not_have(inputs: dict[str, Any], match: str) -> None:
    with pytest.raises(OptionError, match=match):
        seewhy.load(network(), inputs=inputs)


def test_one_input_is_left_for_the_picture() -> None:
    class Only(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.mean((2, 3))

    with pytest.raises(OptionError, match=r"no input 'age'.*\n  It takes the picture alone"):
        seewhy.load(Only(), inputs={"age": 1})


@pytest.mark.parametrize(
    ("pair", "match"),
    [
        ("age", "must look like age=0.5"),
        ("=1", "must look like age=0.5"),
        ("age=old", r"--input age is 'old', but must be one of 0\.5, \[0\.5, 1\.0\], FILE\.npy"),
        ("age=zeros:3y8", "must be one of"),
        ("age=missing.npy", r"There is no file missing\.npy"),
        ("age=__import__('os')", "must be one of"),
    ],
)
def test_values_that_are_none(pair: str, match: str) -> None:
    with pytest.raises(OptionError, match=match):
        parse_inputs([pair])
    with pytest.raises(OptionError, match="twice"):
        parse_inputs(["a=1", "a=2"])


def test_an_array_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(OptionError, match="no array that can be read"):
        parse_inputs([f"a={tmp_path / 'a.npy'}"])


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(4, 2)

    def forward(self, image, age):
        return self.fc(self.conv(image).relu().mean((2, 3)) * age[:, None])
"""


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return int(stopped.value.code or 0)


def test_constants_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    generator = np.random.default_rng(0)
    for number in range(4):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path)
    words = ["explain", "photos", "--model", "net.py:Net", "--workers", "1", "--out", "run", "--no-report"]
    assert run(*words) == 2
    assert "--input age=0.5" in capsys.readouterr().err
    assert run(*words, "--input", "age=0.5") == 0
    assert "Held fixed for every image: age = 0.5." in "".join(capsys.readouterr())
    assert run(*words, "--input", "age=0.5") == 0  # the same run
    capsys.readouterr()
    assert run(*words, "--input", "age=0.7") == 2
    assert "--input: age 0.5 there, age 0.7 asked" in capsys.readouterr().err
    (tmp_path / "seewhy.toml").write_text('[explain]\ninput = ["age=0.5"]\n')
    assert run(*words) == 0
    (tmp_path / "seewhy.toml").unlink()
    assert run("layers", "--model", "net.py:Net", "--input", "age=1.0") == 0
