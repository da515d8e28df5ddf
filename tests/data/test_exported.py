"""Programs of torch.export: layers and maps of the network that was exported, and no code of a file without a word."""

from __future__ import annotations

import copy
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch import Tensor, nn

import seewhy
from seewhy.data.networks.exported import read_program
from seewhy.errors import ModelError, OptionError
from seewhy.run.identity import identity_of, run_identity
from seewhy.run.plan import layers_of, make_plan
from tests.data.networks_in_files import Aged, answer, assert_near
from tests.data.onnx_files import Residual
from tests.models import FourConv, Pooled, images, seeded

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
ANY = ({0: torch.export.Dim("pictures", min=1, max=64)},)
KINDS: dict[str, Callable[[], nn.Module]] = {"flattening": FourConv, "pooled": Pooled, "batch-norm": Residual}


def exported(net: nn.Module, x: Tensor | None = None, shapes: Any = ANY) -> Any:
    return torch.export.export(net, (images(2) if x is None else x,), dynamic_shapes=shapes)


def saved(net: nn.Module, path: Path, **options: Any) -> str:
    torch.export.save(exported(net, **options), path)
    return f"pt2:{path}"


def load(spec: Any, **options: Any) -> seewhy.Classifier:
    return seewhy.load(spec, device="cpu", trust_program=True, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_maps_are_those_of_the_network(kind: str, tmp_path: Path) -> None:
    net = seeded(KINDS[kind]())
    classifier, x = load(saved(net, tmp_path / "net.pt2")), images()
    assert classifier.batch is None and classifier.preprocess.size == (32, 32)
    torch.testing.assert_close(answer(classifier.model, x), answer(net, x))
    torch.testing.assert_close(answer(classifier.model, x[:1]), answer(net, x[:1]))
    for method in ("auto", "hirescam", "ablation-cam", "score-cam"):
        found, wanted = (
            seewhy.explain(model, x, method=method, target=0, progress=False) for model in (classifier, net)
        )
        assert (found.method, found.layers) == (wanted.method, wanted.layers)
        assert_near(found.maps, wanted.maps)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_those_of_the_network(kind: str) -> None:
    net = seeded(KINDS[kind]())
    found, wanted = (layers_of(seewhy.load(model, size=32)) for model in (exported(net), net))
    assert [(c.name, c.grid, c.runs) for c in found[0]] == [(c.name, c.grid, c.runs) for c in wanted[0]]
    assert (found[1].layer, found[1].method) == (wanted[1].layer, wanted[1].method)


def test_a_program_for_one_picture_runs_others_where_it_can() -> None:
    net = seeded(Pooled())
    classifier = seewhy.load(exported(net, images(1), None))
    assert classifier.batch is None
    torch.testing.assert_close(answer(classifier.model, images()), answer(net, images()))


class Counted(Pooled):
    """Keeps the number of pictures that it was exported with."""

    def forward(self, x: Tensor) -> Tensor:
        count = x.shape[0]
        return self.fc(self.act(self.block(self.stem(x))).mean((2, 3)).reshape(count, 12))


def test_a_program_that_keeps_the_number_of_pictures() -> None:
    net = seeded(Counted())
    classifier = seewhy.load(exported(net, images(1), None))
    assert classifier.batch == 1
    found, wanted = (seewhy.explain(model, images(), layers="act", progress=False) for model in (classifier, net))
    assert_near(found.maps, wanted.maps)
    with pytest.raises(OptionError, match=r"one picture at a time.*--batch-size 1"):
        seewhy.explain(classifier, images(), batch_size=4, progress=False)
    with pytest.raises(ModelError, match="takes 3 pictures at a time"):
        seewhy.load(exported(net, images(3), None))


def test_a_check_of_one_picture_at_a_time_is_that_of_batches(tmp_path: Path) -> None:
    net, random = seeded(Counted()), np.random.default_rng(0)
    for number in range(9):
        path = tmp_path / "valid" / "abc"[number % 3] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    one = seewhy.load(exported(net, images(1), None), size=32)
    assert one.batch == 1
    alone, together = (seewhy.check(model, tmp_path, progress=False) for model in (one, seewhy.load(net, size=32)))
    assert alone.grades == together.grades and alone.grades
    assert [(f.level, f.text) for f in alone.findings] == [(f.level, f.text) for f in together.findings]


class Marking:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_no_code_of_a_file_is_run_without_a_word(tmp_path: Path) -> None:
    path, mark = tmp_path / "net.pt2", tmp_path / "was-run"
    spec = saved(seeded(Pooled()), path)
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, pickle.dumps(Marking(mark)) if "sample_inputs" in name else data)
    with pytest.raises(ModelError, match=r"may run code that the file holds.*Nothing of it was run") as raised:
        seewhy.load(spec)
    assert raised.value.slug == "program-code" and not mark.exists()
    assert "--trust-program" in str(raised.value) and "trust_program=…" in str(raised.value)


def test_files_that_are_no_programs(tmp_path: Path) -> None:
    (tmp_path / "text.pt2").write_text("no program")
    (tmp_path / "weights.pt2").touch()
    torch.save(seeded(Pooled()).state_dict(), tmp_path / "weights.pt2")
    for name in ("text", "weights"):
        with pytest.raises(ModelError, match=rf"{name}\.pt2 is no program of torch\.export") as raised:
            load(f"pt2:{tmp_path / name}.pt2")
        assert raised.value.slug == "program"
    with pytest.raises(ModelError, match=r"There is no file .*tex\.pt2.  Nearest: .*text\.pt2"):
        load(f"pt2:{tmp_path}/tex.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(seeded(Pooled()), images(1)), tmp_path / "script.pt2")
    with pytest.raises(ModelError, match="is a TorchScript archive, whose layers cannot be watched") as raised:
        load(f"pt2:{tmp_path}/script.pt2")
    assert raised.value.slug == "torchscript"
    with zipfile.ZipFile(tmp_path / "compiled.pt2", "w") as archive:
        archive.writestr("net/data/aotinductor/model/net.so", b"")
    with pytest.raises(ModelError, match="is a compiled package"):
        load(f"pt2:{tmp_path}/compiled.pt2")
    with zipfile.ZipFile(tmp_path / "broken.pt2", "w") as archive:
        archive.writestr("net/models/model.json", b"{}")
    with pytest.raises(ModelError, match=r"broken\.pt2 cannot be loaded by torch"):
        read_program(tmp_path / "broken.pt2", trusted=True)
    with pytest.raises(ModelError, match=r"is a file and no code.*--model pt2:net\.pt2"):
        seewhy.load("net.pt2")


@pytest.mark.parametrize("kind", [Pooled, lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten())])
def test_a_program_in_training_mode_is_refused(kind: Callable[[], nn.Module]) -> None:
    with pytest.raises(ModelError, match=r"was exported in training mode.*\n.*Call eval\(\) before") as raised:
        seewhy.load(exported(kind().train()))
    assert raised.value.slug == "program"


@pytest.mark.parametrize("by_keyword", [False, True])
def test_several_inputs(by_keyword: bool) -> None:
    net, x, age = seeded(Aged()), images(2), torch.ones(2, 1)
    some = {0: ANY[0][0]}
    args, kwargs = ((), {"image": x, "age": age}) if by_keyword else ((x, age), {})
    program = torch.export.export(net, args, kwargs, dynamic_shapes={"image": some, "age": some})
    with pytest.raises(ModelError, match=r"needs image and age.*\n.*--input age=0\.5.*\n.*age \(N, 1\)"):
        seewhy.load(program)
    with pytest.raises(OptionError, match="no input 'years'"):
        seewhy.load(program, inputs={"years": [1]})
    classifier = seewhy.load(program, inputs={"age": [0.5]})
    torch.testing.assert_close(answer(classifier.model, images()), answer(net, images(), torch.full((4, 1), 0.5)))
    assert_near(
        seewhy.explain(classifier, images(), target=0, layers="conv", progress=False).maps,
        seewhy.explain(seewhy.load(net, inputs={"age": [0.5]}), images(), target=0, layers="conv", progress=False).maps,
    )


def test_a_copy_answers_alike() -> None:
    model = seewhy.load(exported(seeded(Residual()))).model
    assert torch.equal(answer(copy.deepcopy(model), images()), answer(model, images()))


def test_a_run_knows_its_program(tmp_path: Path) -> None:
    net = seeded(Pooled())
    spec = saved(net, tmp_path / "net.pt2")
    first = identity_of(make_plan(load(spec), images()))
    assert run_identity(make_plan(load(spec), images())).differing(first) == []
    saved(net.double().float(), tmp_path / "net.pt2", shapes=None)
    differing = run_identity(make_plan(load(spec), images())).differing(first)
    assert any(line.startswith("the network's file: another one than there") for line in differing)


def test_what_module_gives_is_refused_with_what_to_give() -> None:
    with pytest.raises(
        ModelError, match=r"exported program.*\n.*what torch\.export\.export gave, without \.module\(\)"
    ):
        seewhy.explain(exported(seeded(Pooled())).module(), images(), progress=False)
