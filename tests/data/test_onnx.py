"""Networks from ONNX files: equal to what they were exported from, named alike, and each mistake told."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from benchmarks.kills import kill_often, new_trial
from torch import nn

import seewhy
from seewhy.cli.app import main
from seewhy.data.networks.onnx_names import layer_names
from seewhy.errors import MissingExtraError, ModelError, OptionError
from seewhy.run.identity import identity_of, run_identity
from seewhy.run.plan import layers_of, make_plan
from tests.data.networks_in_files import answer, assert_near
from tests.data.onnx_files import Graph, N, Residual, four_conv, residual, with_age
from tests.models import FourConv, Linear, Pooled, images, seeded
from tests.started import started

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnx2torch", reason="onnx2torch is not installed")

MADE = {
    "flattening": four_conv,
    "flattening-one": lambda path: four_conv(path, batch=1),
    "batch-norm": residual,
    "batch-norm-one": lambda path: residual(path, batch=1),
}
LAYERS = {"flattening": ("conv2", "conv2"), "batch-norm": ("layer1.0.relu", "layer1.0.relu")}


def load(path: Path, **options: Any) -> seewhy.Classifier:
    return seewhy.load(f"onnx:{path}", device="cpu", **options)


@pytest.mark.parametrize("made", MADE)
def test_logits_are_those_of_the_network_on_a_batch_and_alone(made: str, tmp_path: Path) -> None:
    net, path = MADE[made](tmp_path / "net.onnx")
    classifier, x = load(path), images()
    assert classifier.batch is None  # nothing in these files keeps the number of pictures
    torch.testing.assert_close(answer(classifier.model, x), answer(net, x), atol=1e-5, rtol=1e-5)
    for row in range(len(x)):
        one = x[row : row + 1]
        torch.testing.assert_close(answer(classifier.model, one), answer(net, one), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["grad-cam", "hirescam", "layercam", "ablation-cam", "score-cam"])
@pytest.mark.parametrize("made", MADE)
def test_maps_are_those_of_the_network(made: str, method: str, tmp_path: Path) -> None:
    net, path = MADE[made](tmp_path / "net.onnx")
    here, there = LAYERS[made.removesuffix("-one")]
    asked: dict[str, Any] = {"method": method, "target": 0, "progress": False}
    for batch_size in (None, 1):
        found = seewhy.explain(load(path), images(), layers=here, batch_size=batch_size, **asked)
        wanted = seewhy.explain(net, images(), layers=there, batch_size=batch_size, **asked)
        assert_near(found.maps, wanted.maps)


@pytest.mark.parametrize("made", ["flattening", "batch-norm"])
def test_what_is_chosen_is_what_is_chosen_of_the_network(made: str, tmp_path: Path) -> None:
    net, path = MADE[made](tmp_path / "net.onnx")
    found, wanted = (seewhy.explain(model, images(), target=1, progress=False) for model in (load(path), net))
    assert found.method == wanted.method
    assert_near(found.maps, wanted.maps)


def test_layers_have_the_names_of_the_network(tmp_path: Path) -> None:
    candidates, choice, size = layers_of(load(residual(tmp_path / "net.onnx")[1]))
    names = ["conv1", "bn1", "Relu", "layer1.0.conv", "layer1.0.bn", "layer1.0.Add", "layer1.0.relu"]
    assert [candidate.name for candidate in candidates] == names
    assert (choice.layer, choice.method, size) == ("layer1.0.relu", "grad-cam", (32, 32))
    assert [candidate.kind for candidate in candidates][:3] == ["Conv2d", "BatchNorm2d", "ReLU"]


EXPORTED: dict[str, tuple[Callable[[], nn.Module], str, str]] = {  # the layer there, and what it is called in the file
    "flattening": (FourConv, "relu", "relu_1"),
    "pooled": (Pooled, "act", "act"),
    "batch-norm": (Residual, "layer1.0.relu", "layer1.0.relu"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("kind", EXPORTED)
def test_what_torchs_own_exporter_writes(kind: str, batch: int, tmp_path: Path) -> None:
    make, there, here = EXPORTED[kind]
    net, path, x = seeded(make()), tmp_path / "net.onnx", images()
    free = {"input_names": ["x"], "dynamic_axes": {"x": {0: "N"}}} if batch == 2 else {}
    torch.onnx.export(net, (images(batch),), str(path), dynamo=False, opset_version=13, **free)
    classifier = load(path)
    assert classifier.batch is None
    torch.testing.assert_close(answer(classifier.model, x), answer(net, x), atol=1e-5, rtol=1e-5)
    for method in ("grad-cam", "hirescam"):
        found = seewhy.explain(classifier, x, layers=here, method=method, target=0, progress=False)
        wanted = seewhy.explain(net, x, layers=there, method=method, target=0, progress=False)
        assert_near(found.maps, wanted.maps)


def test_newer_operators_and_weights_behind_nodes(tmp_path: Path) -> None:
    net, graph = seeded(Linear(2)), Graph(opset=20)
    weight = graph.node("Identity", "/shared", graph.weight("w", net.features.weight))
    bias = graph.node("Constant", "/bias", value=onnx.numpy_helper.from_array(net.features.bias.detach().numpy()))
    x = graph.node("Conv", "/features/Conv", graph.input("x", N, 3, 16, 16), weight, bias, pads=[1, 1, 1, 1])
    graph.nodes[-1].metadata_props.add(key="pkg.torch.onnx.name_scopes", value="['', 'encoder', 'encoder.0', 'conv2d']")
    x = graph.node("ReduceMean", "/ReduceMean", x, graph.weight("axes", torch.tensor([2, 3])), keepdims=0)
    x = graph.node("Reshape", "/Reshape", x, graph.weight("shape", torch.tensor([-1, 10])), allowzero=1)
    classifier = load(graph.save(tmp_path / "net.onnx", graph.linear("/fc/Gemm", x, net.fc), 2))
    x = images(size=16)
    torch.testing.assert_close(answer(classifier.model, x), answer(net, x), atol=1e-5, rtol=1e-5)
    assert layers_of(classifier)[1].layer == "encoder.0"


def test_it_is_converted_where_torchvision_does_not_load(tmp_path: Path) -> None:
    residual(tmp_path / "net.onnx")
    code = (
        "import sys; sys.modules['torchvision'] = None; import seewhy\n"
        "seewhy.load('onnx:net.onnx', device='cpu')\n"
        "print(sys.modules['torchvision'], 'torchvision.ops' in sys.modules)"
    )
    made = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert made.stdout.strip() == "None False"


def node(name: str, kind: str = "Conv", scopes: str = "") -> Any:
    kept = [SimpleNamespace(key="pkg.torch.onnx.name_scopes", value=scopes)] if scopes else []
    return SimpleNamespace(name=name, op_type=kind, metadata_props=kept)


def test_names_of_layers() -> None:
    assert layer_names([node("/a/a.0/conv/Conv"), node("/a/a.0/Add")]) == ["a.0.conv", "a.0.Add"]
    assert layer_names([node(""), node(""), node("x,y@1", "Relu")]) == ["Conv", "Conv_1", "x_y_1"]
    assert layer_names([node("/norm/Sub"), node("/norm/Div")]) == ["norm.Sub", "norm.Div"]
    assert layer_names([node("/forward/Conv"), node("/type/Conv")]) == ["forward_", "type_"]
    newer = "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']"
    assert layer_names([node("node_conv2d", scopes=newer), node("node_x", scopes="[")]) == ["layer1.0.conv1", "node_x"]
    leaf = [node("relu"), node("/relu/a/Relu"), node("/relu/b/Relu")]
    assert layer_names(leaf) == ["relu_1", "relu.a", "relu.b"]  # a layer holds no others


def test_a_file_that_keeps_the_number_of_pictures(tmp_path: Path) -> None:
    net, path = four_conv(tmp_path / "one.onnx", batch=1, flatten="Reshape")
    classifier = load(path)
    assert classifier.batch == 1 and "takes one picture at a time, so each runs alone" in classifier.notes[-1]
    asked: dict[str, Any] = {"layers": "conv2", "target": 0, "progress": False}
    found, wanted = (seewhy.explain(model, images(), **asked) for model in (classifier, net))
    assert_near(found.maps, wanted.maps)
    with pytest.raises(ModelError, match=r"one picture at a time, and this gives it 4 at once"):
        classifier.model(images())
    with pytest.raises(OptionError, match=r"--batch-size is 4, but onnx:.*one picture at a time.*--batch-size 1"):
        seewhy.explain(classifier, images(), batch_size=4, **asked)
    with pytest.raises(ModelError, match=r"takes 2 pictures at a time.*\n.*dynamic first axis") as raised:
        load(four_conv(tmp_path / "two.onnx", batch=2, flatten="Reshape")[1])
    assert raised.value.slug == "fixed-batch"


def test_sizes_and_classes_that_the_file_says(tmp_path: Path) -> None:
    _, path = four_conv(tmp_path / "net.onnx")
    assert load(path).preprocess.size == (32, 32) and load(path).classes is None
    assert load(path, size=64, mean=0.5).preprocess.size == (64, 64)
    assert load(four_conv(tmp_path / "any.onnx", size="side")[1]).preprocess.size is None
    model = onnx.load_model(str(path))
    for names in ({0: "real", 1: "fake"}, ["real", "fake"]):
        for text in (str(names), json.dumps(names)):
            onnx.helper.set_model_props(model, {"names": text})
            onnx.save_model(model, str(path))
            assert load(path).classes == ("real", "fake")
    onnx.helper.set_model_props(model, {"names": "{5: 'real'}"})
    onnx.save_model(model, str(path))
    assert load(path).classes is None


def test_a_copy_answers_alike_and_nothing_is_left_in_training_mode(tmp_path: Path) -> None:
    model = load(residual(tmp_path / "net.onnx")[1]).model
    assert not any(module.training for module in model.modules())
    assert torch.equal(answer(copy.deepcopy(model), images()), answer(model, images()))
    assert type(model).__name__ == "OnnxNetwork"


def test_several_inputs(tmp_path: Path) -> None:
    net, path = with_age(tmp_path / "net.onnx", N, 1)
    with pytest.raises(ModelError, match=r"needs image and age.*\n.*--input age=0\.5.*\n.*age \(N, 1\)") as raised:
        load(path)
    assert raised.value.slug == "network-inputs"
    with pytest.raises(OptionError, match=r"no input 'ages'.  Nearest: age\.\n.*beside the picture: age \(N, 1\)"):
        load(path, inputs={"ages": [0.5]})
    x = images(size=16)
    classifier = load(path, inputs={"age": [0.5]})
    torch.testing.assert_close(answer(classifier.model, x), answer(net, x, torch.full((4, 1), 0.5)))
    assert classifier.inputs == {"age": classifier.inputs["age"]} and classifier.inputs["age"].startswith("float32 1 ")


def test_an_operator_that_cannot_be_converted_is_named_with_its_node(tmp_path: Path) -> None:
    for kind, domain, said in (("Det", "", "Det"), ("Odd", "my.own", r"my\.own\.Odd")):
        graph = Graph()
        x = graph.node(kind, "/head/odd", graph.input("x", N, 3, 8, 8), domain=domain)
        path = graph.save(tmp_path / "net.onnx", x, 2)
        with pytest.raises(ModelError, match=rf"cannot convert in opset 13: {said} \(node /head/odd\)") as raised:
            load(path)
        assert raised.value.slug == "onnx-operator"


def test_a_node_that_fails_to_be_converted_is_named(tmp_path: Path) -> None:
    graph = Graph(opset=14)
    shape = graph.weight("shape", torch.tensor([0, 192]))
    x = graph.node("Reshape", "/head/Reshape", graph.input("x", N, 3, 8, 8), shape, allowzero=1)
    path = graph.save(tmp_path / "net.onnx", x, 192)
    with pytest.raises(ModelError, match=r"cannot be converted by onnx2torch: Reshape \(node /head/Reshape\) NotImpl"):
        load(path)


def test_files_that_are_no_networks(tmp_path: Path) -> None:
    _, whole = four_conv(tmp_path / "net.onnx")
    with pytest.raises(ModelError, match=r"There is no file .*nett\.onnx.  Nearest: .*net\.onnx") as raised:
        load(tmp_path / "nett.onnx")
    assert raised.value.slug == "no-such-file"
    content = {
        "text": b"not a network",
        "empty": b"",
        "cut": whole.read_bytes()[: len(whole.read_bytes()) // 2],
        "pointer": b"version https://git-lfs.github.com/spec/v1\n",
    }
    for name, data in content.items():
        (tmp_path / f"{name}.onnx").write_bytes(data)
        with pytest.raises(ModelError, match=rf"{name}\.onnx is no ONNX file") as raised:
            load(tmp_path / f"{name}.onnx")
        assert raised.value.slug == "onnx-file" and ("git lfs pull" in str(raised.value)) == (name == "pointer")
    graph = Graph()
    rows = graph.save(tmp_path / "rows.onnx", graph.node("Relu", "/Relu", graph.input("x", N, 2)), 2)
    with pytest.raises(ModelError, match=r"takes no pictures \(N, C, H, W\): its inputs are x"):
        load(rows)
    graph = Graph()
    last = graph.save(tmp_path / "last.onnx", graph.node("Relu", "/Relu", graph.input("x", N, 224, 224, 3)), 2)
    with pytest.raises(ModelError, match=r"x \(N, 224, 224, 3\), with the channels last"):
        load(last)


def test_a_name_without_its_word_says_what_to_type() -> None:
    with pytest.raises(ModelError, match=r"is a file and no code.*--model onnx:folder/net\.onnx"):
        seewhy.load("folder/net.onnx")
    with pytest.raises(OptionError, match=r"a network already, so --model-arg width"):
        seewhy.load("onnx:net.onnx", model_args={"width": 3})


@pytest.mark.parametrize("package", ["onnx", "onnx2torch"])
def test_a_missing_package_is_named_with_its_extra(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf'{package}.*\n.*pip install "seewhy\[onnx\]"'):
        seewhy.load("onnx:net.onnx")


def external(path: Path, location: str) -> Path:
    """A copy of an ONNX file whose weights lie in another file, which is named so."""
    model = onnx.load_model(str(path))
    copied = path.with_name("external.onnx")
    onnx.save_model(model, str(copied), save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = onnx.load_model(str(copied), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    copied.write_bytes(model.SerializeToString())
    return copied


def test_weights_in_a_file_beside_are_read_and_count(tmp_path: Path) -> None:
    net, path = four_conv(tmp_path / "net.onnx")
    path = external(path, "weights.bin")
    first = load(path)
    torch.testing.assert_close(answer(first.model, images()), answer(net, images()), atol=1e-5, rtol=1e-5)
    held = tmp_path / "weights.bin"
    held.write_bytes(held.read_bytes() + b"\0")
    assert load(path).identity()["program"] != first.identity()["program"]
    held.unlink()
    with pytest.raises(ModelError, match=r"keeps weights in weights\.bin, which is not beside it"):
        load(path)


@pytest.mark.parametrize("location", ["../outside.bin", "link.bin", "ABSOLUTE", "inner/../../outside.bin", ""])
def test_weights_outside_of_the_folder_are_not_read(location: str, tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.bin", tmp_path / "folder"
    folder.mkdir()
    _, path = four_conv(folder / "net.onnx")
    path = external(path, str(outside) if location == "ABSOLUTE" else location)
    outside.write_bytes((folder / "weights.bin").read_bytes())
    (folder / "link.bin").symlink_to(outside)
    with pytest.raises(ModelError, match=r"outside of its own folder; that is not read") as raised:
        load(path)
    assert raised.value.slug == "onnx-file"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    generator = np.random.default_rng(0)
    for number in range(6):
        path = tmp_path / "photos" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(generator.integers(0, 256, (40, 36, 3), dtype=np.uint8)).save(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    return int(stopped.value.code or 0)


def test_a_run_from_the_command_line_is_known_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    four_conv(home / "net.onnx")
    words = ["explain", "photos", "--model", "onnx:net.onnx", "--workers", "1", "--out", "run", "--no-report"]
    assert run(*words) == 0
    said = capsys.readouterr()
    assert "Network  onnx:net.onnx, input 3 x 32 x 32" in said.err + said.out
    written = (home / "run" / "manifest.json").stat().st_mtime_ns
    assert run(*words) == 0
    assert (home / "run" / "manifest.json").stat().st_mtime_ns == written  # nothing was done again
    model = onnx.load_model("net.onnx")
    onnx.helper.set_model_props(model, {"made": "again"})
    onnx.save_model(model, "net.onnx")
    assert run(*words) == 2
    assert "the network's file: another one than there" in capsys.readouterr().err


@pytest.mark.slow  # explain is killed in its own tests, and a run of a file is known again in the one before
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")
def test_a_killed_run_goes_on_and_gives_the_same_bytes(tmp_path: Path) -> None:
    trial = new_trial(tmp_path, 96, started)
    four_conv(tmp_path / "net.onnx")
    trial.command = ["photos", "--model", "onnx:net.onnx", "--layers", "conv2"]
    losses = kill_often(trial, kills=2)
    assert (losses.kills, losses.touched, losses.differing) == (2, [], [])


def test_layers_are_listed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    residual(home / "net.onnx")
    assert run("layers", "--model", "onnx:net.onnx") == 0
    assert "layer1.0.relu" in capsys.readouterr().out


def test_identity_holds_the_file(tmp_path: Path) -> None:
    _, path = four_conv(tmp_path / "net.onnx")
    identity = identity_of(make_plan(load(path), images()))
    assert len(identity["classifier"]["program"]) == 32 and "inputs" not in identity["classifier"]
    moved = tmp_path / "other"
    moved.mkdir()
    (moved / "net.onnx").write_bytes(path.read_bytes())
    plan = make_plan(load(moved / "net.onnx"), images())
    assert run_identity(plan).differing(identity) == []  # another folder is no other network
