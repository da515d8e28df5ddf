"""Two runs have one identity exactly when they have the same results."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.errors import StoreError
from seewhy.explanation.folder import default_folder, run_in_folder
from seewhy.run.identity import VARYING, differing, identity_of, run_identity
from seewhy.run.own_code import own_code_digest as code_digest
from seewhy.run.plan import make_plan
from seewhy.store import manifest
from tests.models import FourConv, Pooled, images, seeded
from tests.started import run_code_apart

PATTERN = r"^runs/explain-[0-9a-f]{10}$"


def column(index: int) -> Callable[[Tensor], Tensor]:
    return lambda z: z[:, index]


def pick(z: Tensor, index: int) -> Tensor:
    return z[:, index]


@dataclass
class Pick:
    index: int

    def __call__(self, z: Tensor) -> Tensor:
        return z[:, self.index]

    def method(self, z: Tensor) -> Tensor:
        return z[:, self.index]


def typed(code: str, **more: Any) -> Any:
    """The function or object `chosen` of code that was typed, with its globals."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(code, names)
    names |= more
    return names["chosen"]


def closing_over(value: Any) -> Callable[[Tensor], Any]:
    return lambda z: z[:, value]


@dataclass
class Chosen:
    index: int


@dataclass(frozen=True, slots=True)
class Slotted:
    index: int


class Zero:
    INDEX = 0

    def forward(self, z: Tensor) -> Tensor:
        return z[:, self.INDEX]


class One(Zero):
    INDEX = 1


One.__qualname__ = One.__name__ = "Zero"
HELPED = "def helper(z):\n    return z[{0}]\ndef chosen(z):\n    return helper(z)\ndef unused(): return {1}"

HELD = "class Held:\n    what = {}\nchosen = Held()"

DIFFERENT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "constant": (lambda: lambda z: z[:, 0], lambda: lambda z: z[:, 1]),
    "name": (lambda: lambda z: z.amax(1), lambda: lambda z: z.amin(1)),
    "closure": (lambda: column(0), lambda: column(1)),
    "default": (lambda: lambda z, k=0: z[:, k], lambda: lambda z, k=1: z[:, k]),
    "inner-function": (lambda: lambda z: max(z, key=lambda y: y[0]), lambda: lambda z: max(z, key=lambda y: y[1])),
    "partial": (lambda: functools.partial(pick, index=0), lambda: functools.partial(pick, index=1)),
    "object": (lambda: Pick(0), lambda: Pick(1)),
    "method": (lambda: Pick(0).method, lambda: Pick(1).method),
    "weights": (lambda: seeded(nn.Linear(2, 1), 0), lambda: seeded(nn.Linear(2, 1), 1)),
    "global": (lambda: typed("K = 0\ndef chosen(z): return z[K]"), lambda: typed("K = 1\ndef chosen(z): return z[K]")),
    "global-in-a-lambda": (
        lambda: typed("K = 0\ndef chosen(z): return map(lambda y: y[K], z)"),
        lambda: typed("K = 1\ndef chosen(z): return map(lambda y: y[K], z)"),
    ),
    "helper": (lambda: typed(HELPED.format(0, 0)), lambda: typed(HELPED.format(1, 0))),
    "array": (lambda: closing_over(np.array([0, 1])), lambda: closing_over(np.array([1, 0]))),
    "record": (lambda: closing_over(Chosen(0)), lambda: closing_over(Chosen(1))),
    "namespace": (lambda: closing_over(SimpleNamespace(k=0)), lambda: closing_over(SimpleNamespace(k=1))),
    "slots": (lambda: closing_over(Slotted(0)), lambda: closing_over(Slotted(1))),
    "property": (
        lambda: closing_over(typed(HELD.format("property(lambda self: 0)"))),
        lambda: closing_over(typed(HELD.format("property(lambda self: 1)"))),
    ),
    "set-of-a-class": (
        lambda: closing_over(typed(HELD.format("{0, 1}"))),
        lambda: closing_over(typed(HELD.format("{0, 2}"))),
    ),
    "pattern": (lambda: closing_over(re.compile("a" * 300 + "b")), lambda: closing_over(re.compile("a" * 300 + "c"))),
    "large-number": (lambda: closing_over(1 << 20000), lambda: closing_over((1 << 20000) + 1)),
    "list": (
        lambda: typed("K = [0]\ndef chosen(z): return z[K[0]]"),
        lambda: typed("K = [1]\ndef chosen(z): return z[K[0]]"),
    ),
    "network": (
        lambda: typed("K = None\ndef chosen(z): return K(z)", K=seeded(nn.Linear(2, 1), 0)),
        lambda: typed("K = None\ndef chosen(z): return K(z)", K=seeded(nn.Linear(2, 1), 1)),
    ),
    "class": (lambda: Zero().forward, lambda: One().forward),
    "set-of-words": (lambda: lambda z: z in {"a", "b"}, lambda: lambda z: z in {"a", "c"}),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_functions_that_differ_have_other_digests(case: str) -> None:
    one, other = DIFFERENT[case]
    assert code_digest(one()) == code_digest(one())
    assert code_digest(one()) != code_digest(other())


def test_what_a_function_does_not_use_is_no_other_function() -> None:
    assert code_digest(typed(HELPED.format(0, 0))) == code_digest(typed(HELPED.format(0, 1)))
    assert code_digest(typed("K = 0\ndef chosen(z): return z")) == code_digest(typed("K = 1\ndef chosen(z): return z"))
    calls_itself = typed("def chosen(z): return chosen(z)")
    assert code_digest(calls_itself) == code_digest(calls_itself)


def test_what_a_function_does_while_it_runs_leaves_it_the_same() -> None:
    counting = typed("count = 0\ndef chosen(z):\n    global count\n    count += 1\n    return z.mean()")
    filling = typed("seen = {}\ndef chosen(z):\n    seen[len(seen)] = z\n    return z")
    growing = typed("seen = []\ndef chosen(z):\n    seen.append(z)\n    return z")
    for function in (counting, filling, growing):
        before = code_digest(function)
        function(torch.zeros(1))
        function.__globals__["mean"] = 5  # what it calls is an attribute of that name
        assert code_digest(function) == before


def test_modes_and_hooks_of_a_network_that_is_used_change_nothing() -> None:
    network = seeded(Pooled())
    uses = typed("K = None\ndef chosen(z): return K(z)", K=network)
    before = code_digest(uses)
    network.train(not network.training)
    network.register_forward_hook(lambda *given: None)
    assert code_digest(uses) == before


class Deferring:
    """Its attributes are what a dict says."""

    def __init__(self) -> None:
        self.values = {"k": 0}

    def __getattr__(self, name: str) -> Any:
        return self.values[name]


class Kind(Enum):
    FIRST = functools.partial(pick, index=0)


@pytest.mark.parametrize(
    "value",
    [
        Deferring(),
        Kind.FIRST,
        torch.zeros(2, 2).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.zeros(2, dtype=torch.complex64).conj(),
        np.array([object()]),
        functools.reduce(lambda inner, _: SimpleNamespace(inner=inner), range(3000), None),
    ],
    ids=["deferring", "enum", "sparse", "meta", "conjugate", "objects", "chain"],
)
def test_odd_objects_have_a_digest(value: Any) -> None:
    assert code_digest(closing_over(value)) == code_digest(closing_over(value))


def test_classes_that_name_each_other_are_described_once() -> None:
    lines = [f"class C{n}:\n" + "".join(f"    def f{m}(self): return {', '.join(f'C{k}' for k in range(30))}\n"
                                        for m in range(3)) for n in range(30)]  # fmt: skip
    function = typed("\n".join([*lines, "def chosen(z): return C0"]))
    assert code_digest(function) == code_digest(function)


def test_functions_that_close_over_each_other_have_a_digest() -> None:
    def first(z: Tensor) -> Tensor:
        return second(z)

    def second(z: Tensor) -> Tensor:
        return first(z)

    assert code_digest(first) == code_digest(first)


def test_the_digest_of_a_function_is_the_same_in_every_process() -> None:
    code = (
        "from tests.run.test_identity import DIFFERENT, code_digest\n"
        "print([code_digest(one()) for pair in DIFFERENT.values() for one in pair])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert ran.stdout.strip() == str([code_digest(one()) for pair in DIFFERENT.values() for one in pair]), ran.stderr


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(3):
        write(tmp_path / "first" / "photos" / f"{number}.bmp", number)
    return tmp_path / "first" / "photos"


def write(path: Path, seed: int, size: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    PIL.Image.fromarray(pixels).save(path)


def plan_of(source: Any, **options: Any) -> Any:
    net = seewhy.load(seeded(FourConv()), size=32) if isinstance(source, Path) else seeded(FourConv())
    return make_plan(net, source, layers="conv1", **options)


def test_the_default_folder_is_a_pure_function_of_the_options(photos: Path) -> None:
    folders = {default_folder(plan_of(photos)).as_posix() for _ in range(3)}
    assert len(folders) == 1
    assert re.match(PATTERN, folders.pop())


@pytest.mark.parametrize(
    "change",
    [{"target": "0"}, {"target": "margin"}, {"method": "layercam"}, {"limit": 2}, {"batch_size": 2},
     {"preset": "pytorch-grad-cam"}, {"image_format": "png"}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_option_has_a_folder_of_its_own(photos: Path, change: dict[str, Any]) -> None:
    assert default_folder(plan_of(photos, **change)) != default_folder(plan_of(photos))


def test_the_same_names_with_other_pixels_are_other_images(photos: Path, tmp_path: Path) -> None:
    before = identity_of(plan_of(photos))
    for number in range(3):
        write(tmp_path / "second" / "photos" / f"{number}.bmp", number + 10)  # same names and sizes in bytes
    after = identity_of(plan_of(tmp_path / "second" / "photos"))
    assert before["images"]["ids"] == after["images"]["ids"]
    assert before["images"]["content"] != after["images"]["content"]


def test_a_copy_of_the_images_elsewhere_has_the_same_identity(photos: Path, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "second" / "photos" / f"{number}.bmp", number)
    assert identity_of(plan_of(photos)) == identity_of(plan_of(tmp_path / "second" / "photos"))


@pytest.mark.parametrize("form", ["tensor", "dataset"])
def test_another_tensor_is_not_answered_with_the_maps_of_the_first(tmp_path: Path, form: str) -> None:
    def source(seed: int) -> Any:
        x = images(3, seed=seed)
        return x if form == "tensor" else torch.utils.data.TensorDataset(x, torch.zeros(3))

    seewhy.explain(seeded(FourConv()), source(1), out=tmp_path / "run", progress=False)
    seewhy.explain(seeded(FourConv()), source(1), out=tmp_path / "run", progress=False)
    with pytest.raises(StoreError, match="images: the same names with other content"):
        seewhy.explain(seeded(FourConv()), source(2), out=tmp_path / "run", progress=False)


def test_a_spot_in_the_middle_of_an_uncompressed_picture_is_another_run(photos: Path) -> None:
    before = identity_of(plan_of(photos))
    data = bytearray((photos / "1.bmp").read_bytes())
    data[len(data) // 2] ^= 255
    (photos / "1.bmp").write_bytes(data)
    assert identity_of(plan_of(photos)) != before


def test_what_differs_is_said_in_the_words_of_the_command_line(photos: Path) -> None:
    class Edited(FourConv):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    plain = seewhy.load(seeded(FourConv()), size=32)
    other = seewhy.load(seeded(Edited(), 1), size=(32, 32), mean=0.5, classes=["a", "b"])
    one = identity_of(make_plan(plain, photos, layers="conv1,conv2"))
    two = identity_of(make_plan(other, photos, layers="conv1", target="a", batch_size=4, image_format="png"))
    assert differing(one, one) == []
    said = dict(line.split(": ", 1) for line in differing(one, two))
    assert said.pop("the weights").startswith("other numbers than there")
    assert said.pop("the code").endswith("was edited")
    assert said.pop("the network").endswith("were edited")
    assert said.pop("--model").endswith("Edited asked")
    assert said == {
        "--classes": "0,1 there, a,b asked",
        "--layers": "conv1,conv2 there, conv1 asked",
        "--mean": "0.0 there, 0.5 asked",
        "--target": "predicted there, a asked",
        "--batch-size": "16 there, 4 asked",
        "--format": "jpg there, png asked",
    }


def small_input(image: PIL.Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image.resize((16, 16)))).permute(2, 0, 1) / 255


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 16}, "--size: 32x32 there, 16x16 asked"),
        ({"size": 32, "channels": "bgr"}, "--channels: rgb there, bgr asked"),
        ({"preprocess": small_input}, "the code: "),
    ],
    ids=["size", "channels", "function"],
)
def test_a_network_that_is_asked_of_other_input_is_not_said_to_answer_otherwise(
    photos: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    seewhy.explain(seewhy.load(seeded(Pooled()), size=32), photos, out=tmp_path / "run", progress=False)
    with pytest.raises(StoreError, match=re.escape(said)) as raised:
        seewhy.explain(seewhy.load(seeded(Pooled()), **options), photos, out=tmp_path / "run", progress=False)
    assert "answers" not in raised.value.message


def test_a_network_that_answers_otherwise_for_no_reason_that_shows_is_said_to(photos: Path) -> None:
    there = identity_of(plan_of(photos))
    (line,) = differing({**there, "answers": [number + 1 for number in there["answers"]]}, there)
    assert line.startswith("the network's answers: it gives other numbers than there")


def test_other_weights_are_another_run(photos: Path) -> None:
    one = make_plan(seewhy.load(seeded(FourConv(), 0), size=32), photos, layers="conv1")
    other = make_plan(seewhy.load(seeded(FourConv(), 1), size=32), photos, layers="conv1")
    assert default_folder(one) != default_folder(other)


def test_an_edited_forward_with_the_same_weights_is_another_run(photos: Path) -> None:
    class Edited(Pooled):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * 2

    Edited.__name__ = Edited.__qualname__ = "Pooled"
    plans = [make_plan(seeded(kind()), photos) for kind in (Pooled, Pooled, Edited)]
    first, again, edited = (identity_of(plan)["code"] for plan in plans)
    assert first == again != edited


NET = """
import torch
from torch import nn
from torch.nn import functional

SLOPE = 0.1


def squashed(x):
    return torch.tanh(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.act = nn.LeakyReLU()
        self.fc = nn.Linear(4, 2)
        self.factor = 1.0

    def features(self, x):
        return squashed(self.act(self.conv(x))) * self.factor

    def forward(self, x):
        return self.fc(functional.leaky_relu(self.features(x), SLOPE).mean((2, 3)))


SCALE = 255


def prepare(image):
    import numpy as np
    return torch.from_numpy(np.asarray(image)).permute(2, 0, 1).float() / SCALE
"""
EDITS = {
    "a helper method": ("squashed(self.act", "-squashed(self.act"),
    "a constant": ("SLOPE = 0.1", "SLOPE = 0.2"),
    "a function": ("torch.tanh(x)", "torch.sigmoid(x)"),
    "an attribute": ("self.factor = 1.0", "self.factor = 2.0"),
    "an activation": ("nn.LeakyReLU()", "nn.ReLU()"),
    "a setting of a layer": ("nn.LeakyReLU()", "nn.LeakyReLU(0.3)"),
    "a name that preprocessing uses": ("SCALE = 255", "SCALE = 127"),
}


def real(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=home, check=False)


def digests_of(home: Path, photos: Path, text: str, start: Any = run_code_apart) -> dict[str, Any]:
    """The identity of a run of the network in a file, in a process of its own."""
    (home / "net.py").write_text(text)
    code = (
        "import json, torch, seewhy\n"
        "from seewhy.run.identity import identity_of\n"
        "from seewhy.run.plan import make_plan\n"
        "torch.manual_seed(0)\n"
        "classifier = seewhy.load('net.py:Net', preprocess='net.py:prepare')\n"
        f"print(json.dumps(identity_of(make_plan(classifier, {str(photos)!r}, layers='conv', method='grad-cam'))))"
    )
    ran = start(code, home)
    assert ran.returncode == 0, ran.stderr
    identity: dict[str, Any] = json.loads(ran.stdout)
    return {**identity, "classifier": {**identity["classifier"], "weights": ""}}


@pytest.fixture(scope="module")
def unedited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    home = tmp_path_factory.mktemp("edited")
    (home / "photos").mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        PIL.Image.fromarray(pixels).save(home / "photos" / f"{number}.png")
    return home, digests_of(home, home / "photos", NET, real)


@pytest.mark.parametrize("edit", EDITS)
def test_every_edit_of_the_network_is_another_run(unedited: tuple[Path, dict[str, Any]], edit: str) -> None:
    home, before = unedited
    old, new = EDITS[edit]
    assert NET.count(old) == 1
    after = digests_of(home, home / "photos", NET.replace(old, new))
    assert before["network"] != after["network"] and differing(before, after)
    if "preprocessing" not in edit:
        assert before["answers"] != after["answers"]


def test_a_comment_and_a_blank_line_are_no_edit(unedited: tuple[Path, dict[str, Any]]) -> None:
    home, before = unedited
    assert digests_of(home, home / "photos", NET.replace("SLOPE = 0.1", "\n# of the leak\nSLOPE = 0.1")) == before


def test_folders_without_the_new_parts_are_still_this_run(photos: Path, tmp_path: Path) -> None:
    run_in_folder(plan_of(photos), tmp_path / "run", progress=lambda done, total: None)
    stored = manifest.read_manifest(tmp_path / "run")
    older = {key: value for key, value in stored["identity"].items() if key not in ("network", "answers")}
    assert run_identity(plan_of(photos)).differing(older) == []


class Restless(FourConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(2)


class Timed(FourConv):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + time.perf_counter_ns() % 1000


@pytest.mark.parametrize(("kind", "said"), [(Restless, "draws random numbers"), (Timed, "not repeatable")])
def test_a_network_that_answers_anew_each_time_is_told(
    photos: Path, tmp_path: Path, kind: type[nn.Module], said: str
) -> None:
    plan = make_plan(seewhy.load(seeded(kind()), size=32), photos, layers="conv1")
    explanation = run_in_folder(plan, tmp_path / "run", progress=lambda done, total: None)
    assert [note for note in explanation.notes if said in note]
    assert identity_of(plan)["answers"] == VARYING


def test_the_same_command_after_an_image_changed_is_another_folder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = default_folder(plan_of(photos))
    run_in_folder(plan_of(photos), first, progress=lambda done, total: None)
    assert default_folder(plan_of(photos)) == first
    write(photos / "1.bmp", 77)
    other = default_folder(plan_of(photos))
    assert other == first.with_name(f"{first.name}-2")
    run_in_folder(plan_of(photos), other, progress=lambda done, total: None)
    assert default_folder(plan_of(photos)) == other
    write(photos / "1.bmp", 1)
    assert default_folder(plan_of(photos)) == first
